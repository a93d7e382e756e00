//! `GET /v1/models`.

use axum::http::Method;
use stampede_runtime::distributed_coalesce;

use crate::caller::Caller;
use crate::chat::Answer;
use crate::refusal::Refusal;
use crate::upstream::Upstream;

/// Each key sees models of its own.
#[distributed_coalesce(namespace = "gateway_models", key(caller.tenant), ttl = "1m", timeout = "10s")]
pub(crate) async fn models(upstream: &Upstream, caller: &Caller) -> Result<Answer, Refusal> {
    Answer::new(upstream.ask(Method::GET, "/models", caller, Vec::new()).await?)
}
