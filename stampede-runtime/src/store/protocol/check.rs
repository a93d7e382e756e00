//! The protocol under an explicit-state model checker: every state that a few processes can reach, with so many faults, in
//! breadth.
//!
//! The server is the state machine. Processes are models of the client: what `fleet.rs` and `fleet/held.rs` do, one step at a
//! time, each of which may be early, late or never. So a process that is stopped past its lease needs no fault: others step
//! and time passes meanwhile. Faults are what takes something away: a command, an answer or a message that gets lost, a process
//! that dies, a server that forgets, a clock that is set.
//!
//! `cargo test -p stampede-runtime --all-features --lib protocol:: -- --nocapture` says how many states there are.
//! `STAMPEDE_PROTOCOL_THOROUGH=1` allows more of everything, and takes minutes.

mod client;
mod explore;
mod scenarios;
mod world;
