//! How far what was read of the log is behind what Postgres has sealed of it. Some seconds are as it should be.

use std::time::Duration;

use tokio::time::Instant;

/// How long an entry may be sealed and not readable.
pub(super) const BEHIND_MAX: Duration = Duration::from_mins(5);

/// The oldest size that Postgres was seen to have and that was not read since.
#[derive(Debug, Default)]
pub(super) struct Behind {
    awaited: Option<(u64, Instant)>,
    told: bool,
}

impl Behind {
    /// Compares what Postgres has with what was read; true if it is to be told that the log stays behind, once each time.
    pub(super) fn look(&mut self, sealed: u64, taken: u64, now: Instant) -> bool {
        let behind = sealed.saturating_sub(taken);
        metrics::gauge!("touchstone_log_behind_entries").set(u32::try_from(behind).unwrap_or(u32::MAX));
        // Also when Postgres has fewer than it had, which is another matter.
        if self.awaited.is_some_and(|(size, _)| size <= taken || size > sealed) {
            *self = Self::default();
        }
        if behind == 0 {
            return false;
        }
        let (_, since) = *self.awaited.get_or_insert((sealed, now));
        let tell = !self.told && now.duration_since(since) > BEHIND_MAX;
        self.told |= tell;
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_stays_behind_is_told_once_and_one_that_follows_late_never() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut behind = Behind::default();
        assert!(!behind.look(0, 0, start), "nobody asked Postgres yet");
        for told in [true, true] {
            assert!(!behind.look(10, 7, start));
            assert!(!behind.look(20, 9, start + BEHIND_MAX));
            assert_eq!(behind.look(20, 9, start + BEHIND_MAX + second), told, "the tenth is not there");
            assert!(!behind.look(30, 9, start + 3 * BEHIND_MAX), "it is told already");
            assert!(!behind.look(30, 30, start + 4 * BEHIND_MAX));
        }

        // Always behind, and never by the same entries for long.
        let mut behind = Behind::default();
        for tick in 0..2_000_u32 {
            let taken = u64::from(tick) * 10;
            assert!(!behind.look(taken + 20, taken, start + tick * second), "{tick}");
        }

        let mut behind = Behind::default();
        assert!(!behind.look(10, 7, start));
        assert!(!behind.look(8, 7, start + 2 * BEHIND_MAX), "Postgres went back, and is awaited anew");
        assert!(behind.look(8, 7, start + 4 * BEHIND_MAX));
    }
}
