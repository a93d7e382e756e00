//! What goes wrong between a question and its embeddings.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use crate::semantic::{EmbedError, EmbedErrorKind};

/// A failure of one attempt. It names neither texts nor secrets: what the server or a library says word by word may hold
/// both, so none of it is here.
#[derive(Debug)]
pub(super) struct Failure {
    kind: EmbedErrorKind,
    cause: Cow<'static, str>,
    /// Another attempt may be answered.
    may_pass: bool,
    retry_after: Option<Duration>,
}

impl Failure {
    fn new(kind: EmbedErrorKind, cause: impl Into<Cow<'static, str>>, may_pass: bool) -> Failure {
        Failure { kind, cause: cause.into(), may_pass, retry_after: None }
    }

    pub(super) fn invalid(cause: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(EmbedErrorKind::Invalid, cause, false)
    }

    pub(super) fn late() -> Failure {
        Failure::new(EmbedErrorKind::TimedOut, "no answer in time", false)
    }

    pub(super) fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// How long the server wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    #[cfg(test)]
    pub(super) fn cause(&self) -> &str {
        &self.cause
    }

    /// The server has answered, and not with embeddings.
    pub(super) fn answered(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
        let (kind, may_pass) = match status.as_u16() {
            400 | 413 | 422 => (EmbedErrorKind::Unsuitable, false),
            429 => (EmbedErrorKind::RateLimited, true),
            502 | 503 => (EmbedErrorKind::Unreachable, true),
            504 => (EmbedErrorKind::TimedOut, true),
            500 => (EmbedErrorKind::Other, true),
            501.. => (EmbedErrorKind::Other, false),
            _ => (EmbedErrorKind::Refused, false),
        };
        let word = word(body);
        // A quota comes back with a payment.
        let may_pass = may_pass && word.as_deref() != Some("insufficient_quota");
        let cause = match word {
            Some(word) => format!("the server says {} {word}", status.as_u16()),
            None => format!("the server says {}", status.as_u16()),
        };
        Failure { kind, cause: cause.into(), may_pass, retry_after }
    }
}

impl From<Failure> for EmbedError {
    fn from(failure: Failure) -> EmbedError {
        EmbedError::new(failure.kind, failure.cause)
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Why,
}

#[derive(Deserialize)]
struct Why {
    code: Option<serde_json::Value>,
    r#type: Option<serde_json::Value>,
}

/// The server's word for what is wrong, if it has one: `code`, or else `type`. Only what looks like the name of an error is
/// taken for one.
fn word(body: &[u8]) -> Option<String> {
    const WORD_BYTES_MAX: usize = 40;
    let Refusal { error } = serde_json::from_slice(body).ok()?;
    let is_word = |word: &&str| {
        let is_short = (1..=WORD_BYTES_MAX).contains(&word.len());
        is_short && word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
    };
    let words = [&error.code, &error.r#type];
    words.into_iter().flatten().filter_map(|word| word.as_str()).find(is_word).map(str::to_owned)
}

/// The pause that a server asks for, in seconds. Servers that name a date instead get ours.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Failure {
        if error.is_timeout() {
            return Failure::new(EmbedErrorKind::TimedOut, "no connection in time", true);
        }
        if error.is_builder() {
            return Failure::new(EmbedErrorKind::Other, "the request cannot be made", false);
        }
        let mut source = error.source();
        while let Some(error) = source {
            if let Some(failure) = error.downcast_ref().and_then(of_io) {
                return failure;
            }
            source = error.source();
        }
        let cause = if error.is_connect() { "no connection" } else { "the connection was lost" };
        Failure::new(EmbedErrorKind::Unreachable, cause, true)
    }
}

fn of_io(error: &io::Error) -> Option<Failure> {
    // An error inside of another has no source of its own to be found by.
    if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>()) {
        return of_io(inner);
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(error) = inner {
        let (cause, may_pass) = match error {
            rustls::Error::InvalidCertificate(_) => ("the server's certificate is not trusted", false),
            _ => ("no encrypted connection", true),
        };
        return Some(Failure::new(EmbedErrorKind::Unreachable, cause, may_pass));
    }
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
            "the connection was lost"
        }
        _ => return None,
    };
    Some(Failure::new(EmbedErrorKind::Unreachable, cause, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_told_and_a_sentence_is_not() {
        let told = |body: &str| Failure::answered(StatusCode::NOT_FOUND, None, body.as_bytes()).cause().to_owned();
        let body = r#"{"error": {"message": "no such model as secret", "type": "t", "code": "model_not_found"}}"#;
        assert_eq!(told(body), "the server says 404 model_not_found");
        assert_eq!(told(r#"{"error": {"type": "NotFoundError", "code": 404}}"#), "the server says 404 NotFoundError");
        for body in [
            "",
            "secret",
            r#"{"error": "secret"}"#,
            r#"{"error": {"code": "sk-secret"}}"#,
            r#"{"error": {"code": "a secret"}}"#,
            r#"{"error": {"code": ""}}"#,
        ] {
            assert_eq!(told(body), "the server says 404", "{body}");
        }
    }

    #[test]
    fn every_status_has_a_kind_and_few_are_tried_again() {
        let again: Vec<_> = (300..600)
            .filter(|status| Failure::answered(StatusCode::from_u16(*status).unwrap(), None, b"").may_pass())
            .collect();
        assert_eq!(again, [429, 500, 502, 503, 504]);
        let kind = |status| Failure::answered(StatusCode::from_u16(status).unwrap(), None, b"").kind;
        assert_eq!([302, 401, 403, 404].map(kind), [EmbedErrorKind::Refused; 4]);
        assert_eq!([400, 413, 422].map(kind), [EmbedErrorKind::Unsuitable; 3]);
        assert_eq!([502, 503].map(kind), [EmbedErrorKind::Unreachable; 2]);
        assert_eq!(
            [429, 504, 500].map(kind),
            [EmbedErrorKind::RateLimited, EmbedErrorKind::TimedOut, EmbedErrorKind::Other]
        );
    }

    #[test]
    fn an_empty_purse_is_not_tried_again() {
        let body = br#"{"error": {"code": "insufficient_quota"}}"#;
        assert!(!Failure::answered(StatusCode::TOO_MANY_REQUESTS, None, body).may_pass());
    }

    #[test]
    fn a_pause_is_in_whole_seconds() {
        let of = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]));
        assert_eq!([of("7"), of(" 0 ")], [Some(Duration::from_secs(7)), Some(Duration::ZERO)]);
        let none = ["", "-1", "1.5", "soon", "Fri, 31 Dec 1999 23:59:59 GMT", "99999999999999999999"];
        assert_eq!(none.map(of), [None; 6]);
    }
}
