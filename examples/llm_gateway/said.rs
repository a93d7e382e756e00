//! What a response says of where it comes from.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use stampede_runtime::{Outcome, Tier};

use crate::wish::Share;

/// `hit`, `joined` (another request's call, under way), `miss`, `bypass`.
pub(crate) const STATUS: &str = "x-stampede";
const TIER: &str = "x-stampede-tier";
const SIMILARITY: &str = "x-stampede-similarity";
const AGE: &str = "x-stampede-age";

/// What became of a request that could be shared.
pub(crate) fn outcome(response: &mut Response, share: Share, outcome: Option<Outcome>) {
    set(response, Share::HEADER, share.name());
    let Some(outcome) = outcome else { return set(response, STATUS, "miss") };
    set(
        response,
        STATUS,
        match outcome {
            Outcome::Hit { .. } | Outcome::Semantic { .. } | Outcome::Fallback { .. } => "hit",
            Outcome::Joined { .. } => "joined",
            Outcome::Bypassed => "bypass",
            _ => "miss",
        },
    );
    if let Some(tier) = outcome.tier() {
        set(
            response,
            TIER,
            match tier {
                Tier::Memory => "memory",
                Tier::Backend => "redis",
                _ => "index",
            },
        );
    }
    if outcome.is_saved() {
        set(response, SIMILARITY, &format!("{:.3}", outcome.similarity()));
    }
    if let Some(age) = outcome.age() {
        set(response, AGE, &age.as_secs().to_string());
    }
}

/// Of a request that was passed through.
pub(crate) fn bypassed(response: &mut Response) {
    set(response, Share::HEADER, Share::Nothing.name());
    set(response, STATUS, "bypass");
}

pub(crate) fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
