//! `[sumdb]`: how the Go checksum database is watched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    sections::{lasts, within},
};

/// `[sumdb]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SumdbSection {
    /// Artifacts checked at one time; most of the time they wait for the database.
    pub concurrency: usize,
    /// How often `/latest` is asked for.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    /// How long `/latest` may be smaller than what was seen before, until Go is stopped.
    #[serde(with = "humantime_serde")]
    pub behind_max: Duration,
    /// How long `/latest` may stay as it is, until Go is stopped; `0s` means for ever.
    #[serde(with = "humantime_serde")]
    pub frozen_after: Duration,
}

impl Default for SumdbSection {
    fn default() -> Self {
        Self {
            concurrency: 16,
            poll: Duration::from_mins(5),
            behind_max: Duration::from_hours(1),
            frozen_after: Duration::from_hours(24),
        }
    }
}

impl SumdbSection {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let day = Duration::from_hours(24);
        within("sumdb.concurrency", self.concurrency, 1, 1024)?;
        lasts("sumdb.poll", self.poll, Duration::from_secs(10), Duration::from_hours(1))?;
        lasts("sumdb.behind_max", self.behind_max, Duration::from_mins(1), 7 * day)?;
        let frozen_after = self.frozen_after;
        if frozen_after.is_zero() || (Duration::from_hours(1)..=30 * day).contains(&frozen_after) {
            return Ok(());
        }
        let problem =
            format!("is {frozen_after:?}; it must be from 3600s to {:?}, or 0s for never", 30 * day);
        Err(ConfigError::Value { key: "sumdb.frozen_after".to_owned(), problem })
    }
}
