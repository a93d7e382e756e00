//! What a failure of the server or of the connection is to a caller.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use ::redis::{ErrorKind, RedisError};

use crate::store::{BackendError, BackendErrorKind};

/// A failure that can be told again and again, and that names neither keys nor secrets: what the server or the system
/// says word by word may hold both, so none of it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    kind: BackendErrorKind,
    cause: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(kind: BackendErrorKind, cause: &'static str) -> Failure {
        Failure { kind, cause: cause.into() }
    }

    /// Of an error that was made of one.
    pub(super) fn of(error: &BackendError) -> Failure {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        Failure { kind: error.kind(), cause: cause.into() }
    }

    pub(super) fn kind(&self) -> BackendErrorKind {
        self.kind
    }

    pub(super) fn cause(&self) -> &str {
        &self.cause
    }
}

impl From<Failure> for BackendError {
    fn from(Failure { kind, cause }: Failure) -> BackendError {
        BackendError::new(kind, cause)
    }
}

/// The first words of a server's refusals, and what they mean.
const CODES: [(&str, BackendErrorKind); 13] = [
    ("NOPERM", BackendErrorKind::Refused),
    ("NOAUTH", BackendErrorKind::Refused),
    ("WRONGPASS", BackendErrorKind::Refused),
    ("WRONGTYPE", BackendErrorKind::Refused),
    ("DENIED", BackendErrorKind::Refused),
    ("READONLY", BackendErrorKind::ReadOnly),
    // It cannot write to its disk, or has too few replicas, and takes no writes until that is mended.
    ("MISCONF", BackendErrorKind::ReadOnly),
    ("NOREPLICAS", BackendErrorKind::ReadOnly),
    ("OOM", BackendErrorKind::OutOfMemory),
    ("MASTERDOWN", BackendErrorKind::Unreachable),
    ("CLUSTERDOWN", BackendErrorKind::Unreachable),
    ("LOADING", BackendErrorKind::Unreachable),
    // Some of an entry's keys have moved to another node and others have not yet, which says nothing of other entries.
    ("TRYAGAIN", BackendErrorKind::Refused),
];

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Failure {
        Failure::from(&error)
    }
}

impl From<&RedisError> for Failure {
    fn from(error: &RedisError) -> Failure {
        if error.is_timeout() {
            return Failure::new(BackendErrorKind::TimedOut, "no answer in time");
        }
        // Of several commands at once, the first that failed says why; the error itself has no code then.
        if let Some((_, first)) = error.clone().into_server_errors().as_deref().and_then(<[_]>::first) {
            return server(first.code(), first.details().unwrap_or_default());
        }
        if let Some(code) = error.code() {
            return server(code, error.detail().unwrap_or_default());
        }
        match error.kind() {
            ErrorKind::Io => io(error),
            ErrorKind::AuthenticationFailed => Failure::new(BackendErrorKind::Refused, "the password is wrong"),
            _ => Failure { kind: BackendErrorKind::Other, cause: error.category().to_owned().into() },
        }
    }
}

fn server(code: &str, detail: &str) -> Failure {
    if code == "MOVED" || code == "ASK" {
        let cause = "the server is one of a cluster, for which a url begins with `redis-cluster://`";
        return Failure::new(BackendErrorKind::Other, cause);
    }
    let known = |word: &str| CODES.iter().find(|(code, _)| *code == word);
    // Where a script is stopped, older servers say `ERR` and then why; those that lack a code have a sentence for it, which
    // in Valkey is another one.
    let in_script = || detail.split([' ', ':', '-']).find_map(known);
    let sentences = ["can't run this command", "ACL failure in script"];
    let denied = || sentences.iter().any(|sentence| detail.contains(sentence)).then_some(&CODES[0]);
    if let Some((code, kind)) = known(code)
        .or_else(|| (code == "ERR" || code.starts_with("@user_script")).then(|| in_script().or_else(denied)).flatten())
    {
        return Failure { kind: *kind, cause: format!("the server says {code}").into() };
    }
    let is_word = code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    let cause = if is_word { format!("the server says {code}").into() } else { "the server says no".into() };
    Failure { kind: BackendErrorKind::Other, cause }
}

fn io(error: &RedisError) -> Failure {
    let source = error.source().and_then(|source| source.downcast_ref::<Arc<dyn StdError + Send + Sync>>());
    let Some(error) = source.and_then(|source| source.downcast_ref::<io::Error>()) else {
        return Failure::new(BackendErrorKind::Unreachable, "no connection");
    };
    #[cfg(feature = "redis-tls")]
    if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        let cause = match error {
            rustls::Error::InvalidCertificate(_) => "the server's certificate is not trusted",
            _ => "no encrypted connection",
        };
        return Failure::new(BackendErrorKind::Unreachable, cause);
    }
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        // Of a socket in the file system.
        io::ErrorKind::NotFound => "there is no such socket",
        io::ErrorKind::PermissionDenied => "the connection is not permitted",
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
            "the connection was lost"
        }
        // A name that means no address, among others.
        _ => "no connection",
    };
    Failure::new(BackendErrorKind::Unreachable, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_scripts_of_older_servers() {
        let detail = "Error running script (call to f_1): @user_script:7: WRONGTYPE Operation against a key";
        assert_eq!(server("ERR", detail).kind(), BackendErrorKind::Refused);
        let detail = "19: -OOM command not allowed when used memory > 'maxmemory'.";
        assert_eq!(server("@user_script:", detail).kind(), BackendErrorKind::OutOfMemory);
        assert_eq!(server("ERR", "syntax error near OOMPH").kind(), BackendErrorKind::Other);
        let detail = "The user executing the script can't run this command or subcommand script: f_1";
        assert_eq!(server("ERR", detail).cause(), "the server says NOPERM");
        let detail = "ACL failure in script: User ann has no permissions to run the 'hmget' command script: f_1";
        assert_eq!(server("ERR", detail).cause(), "the server says NOPERM");
    }

    #[test]
    fn what_else_a_server_says_is_not_repeated() {
        let failure = server("stampede:{mail}", "stampede:{mail} secret");
        assert_eq!(failure, Failure::new(BackendErrorKind::Other, "the server says no"));
    }
}
