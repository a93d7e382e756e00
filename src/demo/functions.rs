//! What the demo is about: the same two functions, as most code has them, and with one line more.

use stampede_runtime::{coalesce, coalesce_by_content, distributed_coalesce};

use super::api::{Api, ApiError};
use super::wire::{Completion, Prompt, Weather};

/// The weather of a place. Every caller pays for a call.
pub(crate) async fn weather_alone(api: Api, country: &str, zip: &str) -> Result<Weather, ApiError> {
    api.get(&format!("/v1/weather/{country}/{zip}")).await
}

/// The weather of a place. Its callers share one call, and for an hour its answer.
#[coalesce(ttl = "1h", skip(api))]
pub(crate) async fn weather(api: Api, country: &str, zip: &str) -> Result<Weather, ApiError> {
    api.get(&format!("/v1/weather/{country}/{zip}")).await
}

/// The weather of a place. Callers in all processes share one call, and for a minute its answer. `run`: keeps what one
/// demo stores from the next one.
#[distributed_coalesce(namespace = "stampede-demo", ttl = "1m", lease = "1s", skip(api))]
pub(crate) async fn weather_for_all(api: Api, run: &str, country: &str, zip: &str) -> Result<Weather, ApiError> {
    api.get(&format!("/v1/weather/{country}/{zip}")).await
}

/// The completion of a prompt. Every caller pays for a call.
pub(crate) async fn complete_alone(api: Api, prompt: &str) -> Result<Completion, ApiError> {
    api.post("/v1/complete", &Prompt { prompt: prompt.to_owned() }).await
}

/// The completion of a prompt. Callers share a call when their prompts differ in nothing but case and spacing.
#[coalesce_by_content(fields = [prompt], ttl = "1h", capacity = 20_000)]
pub(crate) async fn complete(api: Api, prompt: &str) -> Result<Completion, ApiError> {
    api.post("/v1/complete", &Prompt { prompt: prompt.to_owned() }).await
}
