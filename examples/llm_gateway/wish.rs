//! What a request wishes for itself, by its headers.

use axum::http::{HeaderMap, header};
use stampede_runtime::{bypass, refresh};

use crate::refusal::Refusal;

/// `Cache-Control` of a request, as far as it is for us (RFC 9111, section 5.2.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Whatever is kept may answer.
    Welcome,
    /// `no-cache`: what is kept may not answer, and the new answer is kept.
    Refresh,
    /// `no-store`: nothing is read, shared or kept.
    Bypass,
}

impl Kept {
    pub(crate) fn new(headers: &HeaderMap) -> Kept {
        let said = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
        let said: Vec<_> = said.flat_map(|value| value.split(',')).map(str::trim).collect();
        let says = |word: &str| said.iter().any(|said| said.eq_ignore_ascii_case(word));
        match () {
            () if says("no-store") => Kept::Bypass,
            () if says("no-cache") || says("max-age=0") => Kept::Refresh,
            () => Kept::Welcome,
        }
    }

    /// A call, as the request wishes it.
    pub(crate) async fn call<F: Future>(self, call: F) -> F::Output {
        match self {
            Kept::Welcome => call.await,
            Kept::Refresh => refresh(call).await,
            Kept::Bypass => bypass(call).await,
        }
    }
}

/// What a request may be answered with, besides what is made for it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// The answer to a question that means the same, where all else is equal.
    Meaning,
    /// The answer to an equal request.
    Exact,
    /// Nothing.
    Nothing,
}

impl Share {
    pub(crate) const HEADER: &str = "x-stampede-share";
    const ALL: [Share; 3] = [Share::Meaning, Share::Exact, Share::Nothing];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Share::Meaning => "meaning",
            Share::Exact => "exact",
            Share::Nothing => "none",
        }
    }

    /// What the request says, if it does.
    pub(crate) fn said(headers: &HeaderMap) -> Result<Option<Share>, Refusal> {
        let Some(said) = headers.get(Share::HEADER) else { return Ok(None) };
        match Share::ALL.into_iter().find(|share| said == share.name()) {
            Some(share) => Ok(Some(share)),
            None => Err(Refusal::bad_request("unknown_share", "`x-stampede-share` is `meaning`, `exact` or `none`")),
        }
    }
}
