//! Time limits: one code for all recipes.

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;
use crate::acquire::WaitingFor;

/// Runs `wait` for up to `timeout`, or `once` if that is zero. What is in the way when the time is over is
/// told from `waiting`. The future that lost the race is dropped, which cleans up after it.
pub(crate) async fn limited<T>(
    path: &str,
    timeout: Duration,
    waiting: &WaitingFor,
    once: impl Future<Output = Result<Option<T>, Error>>,
    wait: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let begun = Instant::now();
    if timeout.is_zero() {
        if let Some(gotten) = once.await? {
            return Ok(gotten);
        }
    } else if let Ok(result) = tokio::time::timeout(timeout, wait).await {
        return result;
    }
    let holder = waiting.take().map(Box::new);
    Err(Error::Timeout { path: path.to_owned(), waited: begun.elapsed(), holder })
}
