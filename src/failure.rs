//! How a command ends when it does not end well: one sentence, one exit code.

use std::fmt;
use std::process::ExitCode;

/// Why a command stopped. The text is a whole sentence for a person; nothing else is printed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something did not work, or the verdict is bad: exit code 1.
    Failed(String),
    /// The command was asked for something it cannot do as it was called: exit code 2, as for a bad option.
    Usage(String),
    /// Ctrl-C: exit code 130, as shells report it.
    Interrupted,
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(sentence) | Self::Usage(sentence) => f.write_str(sentence),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}
