//! Why a configuration was not taken.

use std::fmt;

/// Why a configuration was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// These things are wrong with it, each with where it stands. Mend them all.
    Invalid(Vec<String>),
    /// `configure` was called before. Call it once, at startup.
    Twice,
    /// These functions had been called already, without it. Call `configure` before them.
    TooLate(Vec<String>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Invalid(problems) => {
                let count = problems.len();
                write!(f, "the configuration has {count} problem{}:", if count == 1 { "" } else { "s" })?;
                problems.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
            }
            ConfigError::Twice => write!(f, "`configure` was called a second time; call it once, at startup"),
            ConfigError::TooLate(functions) => {
                write!(f, "`configure` was called after {} had been; call it first, at startup", functions.join(", "))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
