//! What a function did since a test began to count.

use std::fmt::{self, Debug};

use crate::stats::Stats;

/// Begins to count what a function does: its figures are compared with those of now.
///
/// `stats`: how to ask for them, mostly the `stats` of the function's companion. For a [`Coalescer`](crate::Coalescer) it is
/// `|| users.stats()`.
///
/// ```
/// use stampede_runtime::{coalesce, testing};
///
/// #[coalesce(ttl = "1m")]
/// async fn load(id: u32) -> String {
///     format!("item {id}")
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let counted = testing::count(load::stats);
/// load(7).await;
/// load(7).await;
/// counted.assert_executions(1);
/// counted.assert(|since| (since.requests, since.cache_hits), (2, 1));
/// # }
/// ```
///
/// Tests that run at once count each other's calls, unless each is [isolated](super::isolate).
pub fn count<S: Fn() -> Stats>(stats: S) -> Counted<S> {
    let before = stats();
    Counted { stats, before }
}

/// What a function did since [`count`].
#[must_use = "it is there to be asked"]
pub struct Counted<S> {
    stats: S,
    before: Stats,
}

impl<S: Fn() -> Stats> Counted<S> {
    /// The figures since then, as though the function had been called for the first time. What says how things stand
    /// (`in_flight`, `cache_size`, the states of backends) is as it is now, and the longest times are those of all time.
    pub fn since(&self) -> Stats {
        (self.stats)().since(&self.before)
    }

    /// Asserts that so many executions have begun since then.
    ///
    /// # Panics
    /// When it were more or fewer, with all that has been counted.
    #[track_caller]
    pub fn assert_executions(&self, expected: u64) {
        self.assert(|since| Executions(since.executions), Executions(expected));
    }

    /// Asserts what some of the figures are.
    ///
    /// # Panics
    /// When they differ, with all that has been counted.
    #[expect(clippy::needless_pass_by_value, reason = "it reads as in `assert_eq!`")]
    #[track_caller]
    pub fn assert<T: PartialEq + Debug>(&self, pick: impl FnOnce(&Stats) -> T, expected: T) {
        let since = self.since();
        let found = pick(&since);
        assert!(found == expected, "counted {found:?}, expected {expected:?}, of\n{}", Counts(&since));
    }
}

impl<S> Debug for Counted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").field("before", &self.before).finish_non_exhaustive()
    }
}

#[derive(PartialEq)]
struct Executions(u64);

impl Debug for Executions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} executions", self.0)
    }
}

/// All that is not zero.
struct Counts<'a>(&'a Stats);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A figure a line, whatever figures there are.
        let all = format!("{:#?}", self.0);
        let mut lines = Vec::new();
        for line in all.lines().skip(1) {
            let value = line.rsplit(": ").next().unwrap_or_default();
            // What opened before it and held nothing else.
            let is_empty = |last: &&str| last.ends_with(['{', '[']);
            match line.trim() {
                "}" | "}," | "]" | "]," if lines.last().is_some_and(is_empty) => drop(lines.pop()),
                "0," => (),
                _ if matches!(value, "0," | "0.0," | "0ns," | "None," | "false,") => (),
                _ => lines.push(line),
            }
        }
        let mut lines = lines.into_iter().filter(|line| *line != "}").peekable();
        if lines.peek().is_none() {
            return f.write_str("    nothing");
        }
        lines.try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests;
