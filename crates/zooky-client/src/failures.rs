//! Why there is no connection yet: each server's last word, to be read while a session is still being opened.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What the newest attempt at each server has failed with. Give a clone to
/// [`SessionConfig::failures`](crate::SessionConfig::failures) and read it whenever the opening takes long: it goes on
/// until [`connect_timeout`](crate::SessionConfig::connect_timeout), as a server that refuses may be about to start.
///
/// Its text is `server: cause; server: cause`. One that is shared by several sessions tells of all of them.
///
/// ```
/// # use std::time::Duration;
/// # use zooky_client::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let failures = ConnectFailures::default();
/// let mut config = SessionConfig::new("127.0.0.1:1".parse()?).failures(failures.clone());
/// # config.connect_timeout = Duration::from_millis(300);
/// let opening = Session::connect(config);
/// tokio::pin!(opening);
/// tokio::select! {
///     session = &mut opening => drop(session?),
///     () = tokio::time::sleep(Duration::from_millis(100)) => {
///         eprintln!("no session yet: {failures}"); // 127.0.0.1:1: Connection refused
///         opening.await.unwrap_err();
///     }
/// }
/// # assert!(failures.to_string().starts_with("127.0.0.1:1: Connection refused"));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct ConnectFailures(Arc<Mutex<Vec<(String, String)>>>);

impl ConnectFailures {
    /// Each server that failed, as `host:port`, in the order in which they first did, with the cause.
    pub fn causes(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note(&self, server: &str, why: &str) {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match causes.iter_mut().find(|(known, _)| known == server) {
            Some((_, last)) => why.clone_into(last),
            None => causes.push((server.to_owned(), why.to_owned())),
        }
    }
}

impl fmt::Display for ConnectFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (server, why)) in self.causes().iter().enumerate() {
            write!(f, "{}{server}: {why}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.causes()).finish()
    }
}
