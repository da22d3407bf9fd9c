//! Whether it is worth telling people that what happened a minute ago is not sealed: not while there is much to seal, after a pause or an
//! upgrade, and the log grows.
//!
//! *Invariant:* people are told in the end, however the log grows: whoever lets it grow a little, or keep up for a moment, must not hide
//! that it does not keep up.

use std::time::Duration;

use tokio::time::Instant;

/// How long what happened may be on its way into the log without a word; as much is sealed in that time as a large installation has.
const QUIET_MAX: Duration = Duration::from_mins(5);

/// What was seen of the log.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// How large the log was at the look before.
    size: Option<u64>,
    /// Since when what happened waits for too long, with pauses shorter than [`QUIET_MAX`].
    since: Option<Instant>,
    /// When it did last.
    late: Option<Instant>,
}

impl Behind {
    /// A look at a log of this size, for which something waits too long, or nothing does. Whether nobody need be told.
    pub(super) fn is_quiet(&mut self, size: u64, is_late: bool, now: Instant) -> bool {
        let grows = self.size.replace(size) != Some(size);
        if !is_late {
            if self.late.is_none_or(|late| now.duration_since(late) >= QUIET_MAX) {
                self.since = None;
            }
            return true;
        }
        self.late = Some(now);
        let since = *self.since.get_or_insert(now);
        grows && now.duration_since(since) < QUIET_MAX
    }
}

/// Since when something is so that may be so for a time.
#[derive(Debug, Default)]
pub(super) struct Lasting(Option<Instant>);

impl Lasting {
    /// It is so now, or not. Whether it has been so for longer than that.
    pub(super) fn exceeds(&mut self, longest: Duration, is_so: bool, now: Instant) -> bool {
        if !is_so {
            self.0 = None;
            return false;
        }
        now.duration_since(*self.0.get_or_insert(now)) > longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_while_the_log_grows_and_everybody_when_it_does_not_or_takes_too_long() {
        let (mut behind, begun) = (Behind::default(), Instant::now());
        assert!(behind.is_quiet(7, false, begun), "nothing waits");
        assert!(behind.is_quiet(8, true, begun), "it grows");
        assert!(!behind.is_quiet(8, true, begun), "it stands");
        assert!(behind.is_quiet(8, false, begun), "nothing waits");

        let at = |seconds| begun + Duration::from_secs(seconds);
        for second in 0..300 {
            assert!(behind.is_quiet(9 + second, true, at(second)), "{second}");
        }
        for second in 300..400 {
            assert!(!behind.is_quiet(9 + second, true, at(second)), "{second}");
        }
        assert!(behind.is_quiet(1000, false, at(400)));
        assert!(!behind.is_quiet(1001, true, at(401)), "a moment is no end");
        assert!(behind.is_quiet(1001, false, at(701)));
        assert!(behind.is_quiet(1002, true, at(702)), "it begins anew");
    }

    #[test]
    fn what_lasts_too_long_is_told_from_what_came_and_went() {
        let (mut lasting, begun, longest) = (Lasting::default(), Instant::now(), Duration::from_mins(1));
        for (second, is_so, expected) in [
            (0, true, false),
            (60, true, false),
            (61, true, true),
            (62, false, false),
            (63, true, false),
            (123, true, false),
            (124, true, true),
        ] {
            let now = begun + Duration::from_secs(second);
            assert_eq!(lasting.exceeds(longest, is_so, now), expected, "{second}");
        }
    }

    #[test]
    fn the_first_look_is_at_a_log_that_nobody_had_the_time_to_seal() {
        let (mut behind, now) = (Behind::default(), Instant::now());
        assert!(behind.is_quiet(7, true, now));
        assert!(!behind.is_quiet(7, true, now));
    }
}
