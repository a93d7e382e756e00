//! The protocol under an explicit-state model checker.
