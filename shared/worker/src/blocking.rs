//! Work that computes, away from the threads that answer others.

use crate::CheckError;

/// Runs what computes on the blocking pool; its panic is the caller's. An error says that the process is being stopped.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CheckError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(CheckError::retry_because("the work was stopped", error)),
        },
    }
}
