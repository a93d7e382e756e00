//! The state machine of the protocol beside a real server: both are asked the same, step by step, and must agree on every
//! answer, every message and everything that is left. Numbers that come from clocks must be in the same order.

#[path = "support/redis_server.rs"]
mod redis_server;

#[path = "protocol/order.rs"]
mod order;
#[path = "protocol/pair.rs"]
mod pair;
#[path = "protocol/random.rs"]
mod random;
#[path = "protocol/vectors.rs"]
mod vectors;
#[path = "protocol/wire.rs"]
mod wire;
