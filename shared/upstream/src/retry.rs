//! Trying again: with full jitter, a few times, and only what may help.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::error::FetchError;

/// The longest `Retry-After` that is waited for here; a caller who is asked to wait longer is told so at once.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// Runs `operation` up to `attempts_max` times. It must not have handed out any byte when it fails.
pub(crate) async fn retried<T, F, A>(attempts_max: usize, operation: F) -> Result<T, FetchError>
where
    F: FnMut() -> A,
    A: Future<Output = Result<T, FetchError>>,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(attempts_max - 1);
    operation
        .retry(backoff)
        .when(|error: &FetchError| error.is_transient() && !matches!(error, FetchError::BreakerOpen { .. }))
        .adjust(|error: &FetchError, planned: Option<Duration>| delay(error, planned?))
        .notify(|error: &FetchError, delay: Duration| tracing::debug!(%error, ?delay, "trying again"))
        .await
}

/// How long to wait before the next attempt; `None` for no further one.
fn delay(error: &FetchError, planned: Duration) -> Option<Duration> {
    let jittered = rand::random_range(Duration::ZERO..=planned);
    let FetchError::Status { retry_after: Some(wait), .. } = error else { return Some(jittered) };
    (*wait <= RETRY_AFTER_MAX).then(|| jittered.max(*wait))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    fn status(status: u16, retry_after: Option<u64>) -> FetchError {
        FetchError::Status {
            origin: String::new(),
            status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    async fn attempts(error: fn() -> FetchError) -> (u32, Duration) {
        let (count, start) = (Cell::new(0), Instant::now());
        let result: Result<(), _> = retried(3, || {
            count.set(count.get() + 1);
            async { Err(error()) }
        })
        .await;
        assert_eq!(result.unwrap_err().to_string(), error().to_string());
        (count.get(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_tried_three_times() {
        let (count, elapsed) = attempts(|| status(503, None)).await;
        assert_eq!(count, 3);
        assert!(elapsed <= Duration::from_millis(310), "{elapsed:?}");
        assert_eq!(attempts(|| status(429, None)).await.0, 3);
        assert_eq!(attempts(|| status(403, None)).await.0, 1);
        assert_eq!(attempts(|| FetchError::Request { problem: "" }).await.0, 1);
        let open = || FetchError::BreakerOpen { origin: String::new(), retry_after: Duration::ZERO };
        assert_eq!(attempts(open).await.0, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_up_to_five_seconds() {
        let (count, elapsed) = attempts(|| status(429, Some(5))).await;
        assert_eq!(count, 3);
        assert!(elapsed >= Duration::from_secs(10) && elapsed < Duration::from_secs(11), "{elapsed:?}");
        assert_eq!(attempts(|| status(429, Some(6))).await, (1, Duration::ZERO));
    }
}
