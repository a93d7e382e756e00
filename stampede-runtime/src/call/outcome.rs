//! What becomes of a call, as it is told to who asks.

use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::flight::Node;
use crate::share::Share;
use crate::tier::Came;

/// What became of one call of a shared function: see [`outcome`](crate::outcome).
///
/// Ages say how long ago the value was made, wherever that was; those of values from other hosts are off by as much as the
/// clocks are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// A body ran because of it, and ended in whatever way: with a value, an error, by `timeout`.
    Executed,
    /// It joined an execution under way, here or in another process, and that ended in whatever way.
    Joined {
        /// How near the question of that execution is, from -1 to 1 (`#[semantic_coalesce]`); 1 for its own key.
        similarity: f32,
    },
    /// It was answered with what was kept of its key.
    Hit {
        /// Where that was.
        tier: Tier,
        /// Past its `ttl`, and served on purpose (`stale`).
        is_stale: bool,
        /// How long ago it was made.
        age: Duration,
    },
    /// It was answered with what was kept of a question that means the same (`#[semantic_coalesce]`).
    Semantic {
        /// Where that was.
        tier: Tier,
        /// How near that question is, from -1 to 1.
        similarity: f32,
        /// How long ago the answer was made.
        age: Duration,
    },
    /// It was answered with an old value, because the execution failed, or was slow (`stale_if_error`, `soft_timeout`).
    Fallback {
        /// How long ago the old value was made.
        age: Duration,
        /// It had begun that execution. If not, it had joined it.
        has_led: bool,
    },
    /// It ran its own body, unshared: in [`bypass`](crate::bypass), with `STAMPEDE_OFF`, or from inside its own execution.
    Bypassed,
    /// It got an error of this crate before there was a result for it: its `wait` was over, it would have called too deep
    /// into itself, or its execution was abandoned and it had no body left.
    Refused,
}

impl Outcome {
    /// Of a call that was answered from memory.
    pub(crate) fn of_hit<K, S: Share>(node: &Node<K, S>) -> Outcome {
        match node.came() {
            Came::Near { similarity, .. } => Outcome::Semantic { tier: Tier::Memory, similarity, age: age(node) },
            _ => Outcome::Hit { tier: Tier::Memory, is_stale: is_stale(node), age: age(node) },
        }
    }

    /// Of a call that waited for the end of a flight. `has_led`: which it has begun.
    pub(crate) fn of_flight<K, S: Share>(node: &Node<K, S>, has_led: bool) -> Outcome {
        let hit = |tier| Outcome::Hit { tier, is_stale: is_stale(node), age: age(node) };
        match node.came() {
            Came::Near { similarity, is_joined: true } => Outcome::Joined { similarity },
            Came::Near { similarity, is_joined: false } => {
                Outcome::Semantic { tier: Tier::Index, similarity, age: age(node) }
            }
            Came::Backend => hit(Tier::Backend),
            Came::Index => hit(Tier::Index),
            Came::Made if has_led => Outcome::Executed,
            Came::Made | Came::Told => Outcome::Joined { similarity: 1.0 },
        }
    }

    /// Of a call that was answered with an old value.
    pub(crate) fn of_old<K, S: Share>(old: &Node<K, S>, has_led: bool) -> Outcome {
        Outcome::Fallback { age: age(old), has_led }
    }

    /// Whether it was answered, with a value or an error, and no body was begun for it.
    #[must_use]
    pub fn is_saved(self) -> bool {
        match self {
            Outcome::Joined { .. } | Outcome::Hit { .. } | Outcome::Semantic { .. } => true,
            Outcome::Fallback { has_led, .. } => !has_led,
            Outcome::Executed | Outcome::Bypassed | Outcome::Refused => false,
        }
    }

    /// How near the question is that was answered, from -1 to 1. 1 for the call's own.
    #[must_use]
    pub fn similarity(self) -> f32 {
        match self {
            Outcome::Joined { similarity } | Outcome::Semantic { similarity, .. } => similarity,
            _ => 1.0,
        }
    }

    /// Where what answered it was kept, if it was kept.
    #[must_use]
    pub fn tier(self) -> Option<Tier> {
        match self {
            Outcome::Hit { tier, .. } | Outcome::Semantic { tier, .. } => Some(tier),
            Outcome::Fallback { .. } => Some(Tier::Memory),
            _ => None,
        }
    }

    /// How long ago what answered it was made, if it was kept.
    #[must_use]
    pub fn age(self) -> Option<Duration> {
        match self {
            Outcome::Hit { age, .. } | Outcome::Semantic { age, .. } | Outcome::Fallback { age, .. } => Some(age),
            _ => None,
        }
    }
}

fn age<K, S: Share>(node: &Node<K, S>) -> Duration {
    Moment::now().since(node.made())
}

fn is_stale<K, S: Share>(node: &Node<K, S>) -> bool {
    // What is not kept has no time to be past.
    node.expires() > Moment::PAST && node.expires() <= Moment::now()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Executed => f.write_str("executed"),
            Outcome::Joined { similarity: 1.0 } => f.write_str("joined"),
            Outcome::Joined { similarity } => write!(f, "joined, similarity {similarity:.3}"),
            Outcome::Hit { tier, is_stale: false, age } => write!(f, "hit in {tier}, {age:.1?} old"),
            Outcome::Hit { tier, is_stale: true, age } => write!(f, "stale hit in {tier}, {age:.1?} old"),
            Outcome::Semantic { tier, similarity, age } => {
                write!(f, "semantic hit in {tier}, similarity {similarity:.3}, {age:.1?} old")
            }
            Outcome::Fallback { age, .. } => write!(f, "fallback, {age:.1?} old"),
            Outcome::Bypassed => f.write_str("bypassed"),
            Outcome::Refused => f.write_str("refused"),
        }
    }
}

/// Where a value was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// In this process.
    Memory,
    /// In the backend of bytes, such as Redis.
    Backend,
    /// In the index of meanings.
    Index,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Memory => "memory",
            Tier::Backend => "the backend",
            Tier::Index => "the index",
        })
    }
}
