//! Durations worth a name.

use std::time::Duration;

/// 60 seconds.
pub const MINUTE: Duration = Duration::from_secs(60);
/// 300 seconds.
pub const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// 3,600 seconds.
pub const HOUR: Duration = Duration::from_secs(3_600);
/// 86,400 seconds.
pub const DAY: Duration = Duration::from_secs(86_400);
/// 604,800 seconds.
pub const WEEK: Duration = Duration::from_secs(604_800);
