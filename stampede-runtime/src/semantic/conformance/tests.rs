//! The suite can fail: indexes with one trick each, and the checks that see through it.
