//! A token bucket: how many calls an API accepts, in a burst and over time.

use std::time::Duration;

use tokio::time::Instant;

/// Holds up to `burst` tokens and regains all of them over `period`; each accepted call takes one.
#[derive(Debug)]
pub(crate) struct Bucket {
    burst: u32,
    period: Duration,
    tokens: f64,
    seen: Instant,
}

impl Bucket {
    pub(crate) fn full(burst: u32, period: Duration, now: Instant) -> Self {
        Self { burst, period, tokens: f64::from(burst), seen: now }
    }

    /// Takes a token, or says how long it takes until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let burst = f64::from(self.burst);
        let regained = burst * now.duration_since(self.seen).div_duration_f64(self.period);
        self.tokens = (self.tokens + regained).min(burst);
        self.seen = now;
        if self.tokens < 1.0 {
            return Err(self.period.mul_f64((1.0 - self.tokens) / burst));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    pub(crate) fn refill(&mut self) {
        self.tokens = f64::from(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_accepts_its_burst_and_regains_it_over_the_period() {
        let start = Instant::now();
        let mut bucket = Bucket::full(2, Duration::from_secs(10), start);

        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Ok(()));
        assert_eq!(bucket.take(start), Err(Duration::from_secs(5)));

        let later = start + Duration::from_secs(5);
        assert_eq!(bucket.take(later), Ok(()));
        assert!(bucket.take(later).is_err());

        let much_later = start + Duration::from_secs(3600);
        assert_eq!(bucket.take(much_later), Ok(()));
        assert_eq!(bucket.take(much_later), Ok(()));
        assert!(bucket.take(much_later).is_err(), "a bucket never holds more than its burst");
    }
}
