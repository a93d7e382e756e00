//! The example `llm_gateway`, run as a person would run it, before an upstream that counts its calls: with OpenAI's own Python
//! client, and with what no client sends.

#[path = "support/example.rs"]
mod example;
#[path = "gateway/process.rs"]
mod process;
#[path = "../stampede-runtime/tests/support/redis_server.rs"]
mod redis_server;
#[path = "gateway/upstream.rs"]
mod upstream;

#[path = "gateway/clients.rs"]
mod clients;
#[path = "gateway/endings.rs"]
mod endings;
#[path = "gateway/hostile.rs"]
mod hostile;
#[path = "gateway/shared.rs"]
mod shared;
