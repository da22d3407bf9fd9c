//! What an upstream has just said that it does not have. The go command asks for a module at every parent of a path, in every
//! command anew.
//!
//! *Invariant:* only 404 and 410 are remembered; a failure never is.

use std::time::Duration;

use tokio::time::Instant;
use touchstone_upstream::FetchError;
use url::Url;

/// How long it is remembered.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);
/// The bytes of addresses that are remembered.
const MEMORY_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What an address takes beside its text, in bytes.
const ENTRY_BYTES: usize = 128;

/// The addresses, and the statuses that they were answered with.
pub(crate) struct Absent(moka::sync::Cache<String, (u16, Instant)>);

impl Absent {
    pub(crate) fn new() -> Self {
        let weigh = |url: &String, _: &_| u32::try_from(url.len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        Self(moka::sync::Cache::builder().max_capacity(MEMORY_BYTES_MAX).weigher(weigh).build())
    }

    /// The status with which the upstream said so just now: 404 or 410.
    pub(crate) fn status(&self, url: &Url) -> Option<u16> {
        let (status, at) = self.0.get(url.as_str())?;
        (at.elapsed() < REMEMBERED_FOR).then_some(status)
    }

    /// Remembers the failure of a fetch, if it says that there is nothing.
    pub(crate) fn remember(&self, url: &Url, error: &FetchError) {
        match error {
            FetchError::NotFound { status, .. } => {
                self.0.insert(url.as_str().to_owned(), (*status, Instant::now()));
            }
            FetchError::Status { .. }
            | FetchError::Egress(_)
            | FetchError::Unreachable { .. }
            | FetchError::Timeout { .. }
            | FetchError::TooLarge { .. }
            | FetchError::Truncated { .. }
            | FetchError::Encoding { .. }
            | FetchError::Malformed { .. }
            | FetchError::Redirects { .. }
            | FetchError::NotAnArtifact { .. }
            | FetchError::Empty { .. }
            | FetchError::BreakerOpen { .. }
            | FetchError::Request { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> Url {
        Url::parse("https://proxy.example/").and_then(|base| base.join(path)).expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_is_remembered_for_a_minute() {
        let absent = Absent::new();
        let there = |status| FetchError::NotFound { origin: "https://proxy.example".to_owned(), status };
        absent.remember(&url("a"), &there(404));
        absent.remember(&url("b"), &there(410));
        assert_eq!(
            [url("a"), url("b"), url("c")].map(|url| absent.status(&url)),
            [Some(404), Some(410), None]
        );
        tokio::time::advance(Duration::from_millis(59_999)).await;
        assert_eq!(absent.status(&url("a")), Some(404));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!([url("a"), url("b")].map(|url| absent.status(&url)), [None, None]);
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered() {
        let absent = Absent::new();
        let origin = || "https://proxy.example".to_owned();
        let phase = touchstone_upstream::Phase::Answer;
        for error in [
            FetchError::Status { origin: origin(), status: 403, retry_after: None },
            FetchError::Status { origin: origin(), status: 503, retry_after: None },
            FetchError::Timeout { origin: origin(), phase, after: REMEMBERED_FOR },
            FetchError::Empty { origin: origin() },
            FetchError::BreakerOpen { origin: origin(), retry_after: REMEMBERED_FOR },
        ] {
            absent.remember(&url("a"), &error);
            assert_eq!(absent.status(&url("a")), None, "{error}");
        }
    }

    #[tokio::test]
    async fn the_memory_is_bounded() {
        let absent = Absent::new();
        let error = FetchError::NotFound { origin: String::new(), status: 404 };
        for n in 0..60_000 {
            absent.remember(&url(&n.to_string()), &error);
        }
        absent.0.run_pending_tasks();
        assert!(absent.0.weighted_size() <= MEMORY_BYTES_MAX);
    }
}
