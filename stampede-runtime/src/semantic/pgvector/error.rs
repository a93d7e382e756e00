//! What a failure of the database or of the connection is to a caller.

use std::borrow::Cow;
use std::io;

use sqlx::Error;
use sqlx::error::DatabaseError;

use crate::store::{BackendError, BackendErrorKind};

/// A failure that names neither texts nor secrets: what the server says word by word may hold both, so none of it is here
/// but its code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    kind: BackendErrorKind,
    cause: Cow<'static, str>,
    then: Then,
}

/// What a failure says about the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It was undone as a whole because of others' work: to be tried again.
    Undone,
    /// The connection is lost, and whether it was done is unknown.
    Lost,
    Nothing,
}

impl Failure {
    pub(super) fn new(kind: BackendErrorKind, cause: impl Into<Cow<'static, str>>) -> Failure {
        Failure { kind, cause: cause.into(), then: Then::Nothing }
    }

    pub(super) fn cause(&self) -> &str {
        &self.cause
    }

    pub(super) fn is_undone(&self) -> bool {
        self.then == Then::Undone
    }

    pub(super) fn is_lost(&self) -> bool {
        self.then == Then::Lost
    }

    fn lost(cause: impl Into<Cow<'static, str>>) -> Failure {
        Failure { kind: BackendErrorKind::Unreachable, cause: cause.into(), then: Then::Lost }
    }

    fn undone(cause: impl Into<Cow<'static, str>>) -> Failure {
        Failure { kind: BackendErrorKind::Other, cause: cause.into(), then: Then::Undone }
    }
}

impl From<Failure> for BackendError {
    fn from(Failure { kind, cause, .. }: Failure) -> BackendError {
        BackendError::new(kind, cause)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        match error {
            Error::Database(error) => server(&**error),
            Error::Io(error) => failure_of(error),
            Error::Tls(_) => Failure::new(BackendErrorKind::Unreachable, "no encrypted connection"),
            Error::PoolTimedOut => Failure::new(BackendErrorKind::TimedOut, "the pool had no connection in time"),
            Error::PoolClosed => Failure::new(BackendErrorKind::Unreachable, "the pool is closed"),
            Error::WorkerCrashed => Failure::lost("the connection's work has ended"),
            Error::TypeNotFound { .. } => Failure::new(BackendErrorKind::Refused, NO_TYPE),
            // What is in these may be somebody's.
            Error::Protocol(_) => Failure::new(BackendErrorKind::Other, "the server answers what is not understood"),
            _ => Failure::new(BackendErrorKind::Other, "the server's answer is not what was asked for"),
        }
    }
}

const NO_TYPE: &str = "the extension `vector` is not there: `ensure_schema` or the SQL of `stampede schema` make it";

fn server(error: &dyn DatabaseError) -> Failure {
    let code = error.code().unwrap_or_default();
    code_of(&code)
}

/// What a server's code means. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn code_of(code: &str) -> Failure {
    let is_code = code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let said = if is_code { code } else { "no" };
    let cause = |why: &str| format!("the server says {said}: {why}");
    let told = |kind, why| Failure::new(kind, cause(why));
    match code {
        "40001" | "40P01" => Failure::undone(cause("the work of others was in the way")),
        "25006" => told(BackendErrorKind::ReadOnly, "it is a replica, or takes no writes"),
        "57014" => told(BackendErrorKind::TimedOut, "the statement took too long"),
        "55P03" => told(BackendErrorKind::TimedOut, "somebody else keeps the table or its rows locked"),
        "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => Failure::lost(cause("it has ended the connection")),
        "57P03" => told(BackendErrorKind::Unreachable, "it is starting or stopping"),
        "53300" => told(BackendErrorKind::Unreachable, "it has too many connections"),
        _ if code.starts_with("08") => Failure::lost(cause("the connection broke")),
        "42P01" | "3F000" => told(
            BackendErrorKind::Refused,
            "there is no table: `ensure_schema` or the SQL of `stampede schema` make it",
        ),
        "42703" | "42P10" | "42804" | "23502" => {
            told(BackendErrorKind::Refused, "the table has another shape: `ensure_schema` says what differs")
        }
        "22000" => told(BackendErrorKind::Refused, "the table keeps embeddings of other dimensions"),
        "42704" => told(BackendErrorKind::Refused, NO_TYPE),
        // Of `<=>`, and of a setting: the extension is missing, in another schema, or too old.
        "42883" | "42602" => {
            told(BackendErrorKind::Refused, "it lacks pgvector of version 0.8 or newer in the search path")
        }
        "42501" => told(BackendErrorKind::Refused, "the user has no right to do this"),
        "28000" | "28P01" => told(BackendErrorKind::Refused, "it does not know the user or the password"),
        "3D000" => told(BackendErrorKind::Refused, "there is no such database"),
        "53100" => told(BackendErrorKind::OutOfMemory, "its disk is full"),
        _ if code.starts_with("53") => told(BackendErrorKind::OutOfMemory, "it lacks room"),
        "54000" => told(BackendErrorKind::TooLarge, "it is more than it takes"),
        _ => told(BackendErrorKind::Other, "it could not do it"),
    }
}

fn failure_of(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::new(BackendErrorKind::Unreachable, "the connection was refused"),
        io::ErrorKind::NotFound => Failure::new(BackendErrorKind::Unreachable, "there is no such socket"),
        io::ErrorKind::PermissionDenied => {
            Failure::new(BackendErrorKind::Unreachable, "the connection is not permitted")
        }
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof => Failure::lost("the connection was lost"),
        // A name that means no address, among others.
        _ => Failure::new(BackendErrorKind::Unreachable, "no connection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_kinds() {
        use BackendErrorKind::{Other, OutOfMemory, ReadOnly, Refused, TimedOut, TooLarge, Unreachable};
        for (code, kind) in [
            ("40001", Other),
            ("25006", ReadOnly),
            ("57014", TimedOut),
            ("57P01", Unreachable),
            ("08006", Unreachable),
            ("42P01", Refused),
            ("42501", Refused),
            ("28P01", Refused),
            ("53100", OutOfMemory),
            ("53200", OutOfMemory),
            ("53300", Unreachable),
            ("54000", TooLarge),
            ("XX000", Other),
            ("", Other),
        ] {
            assert_eq!(code_of(code).kind, kind, "{code}");
        }
        assert!(code_of("40P01").is_undone() && !code_of("40P01").is_lost());
        assert!(code_of("57P01").is_lost() && !code_of("53300").is_lost());
    }

    #[test]
    fn what_is_no_code_is_not_repeated() {
        assert_eq!(code_of("secret").cause, "the server says no: it could not do it");
    }
}
