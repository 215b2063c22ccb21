//! Why a measurement could not be made.

/// What ends a run, with what to do about it where that is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A socket, a file or a process.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Bytes that are no such record, or no such answer.
    #[error("{0}")]
    Unreadable(String),
    /// A server or client refused, or did what its lock must not do.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// For `map_err`: what was being done when the system refused.
    pub(crate) fn io<E: Into<std::io::Error>>(what: &str) -> impl FnOnce(E) -> Failure {
        let what = what.to_string();
        move |error| Failure::Io { what, error: error.into() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Io { what: "talking to the server".to_string(), error }
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        Failure::Refused(format!("a task died: {error}"))
    }
}

impl From<zooky_wire::DecodeError> for Failure {
    fn from(error: zooky_wire::DecodeError) -> Self {
        Failure::Unreadable(error.to_string())
    }
}

impl From<zooky_wire::FrameError> for Failure {
    fn from(error: zooky_wire::FrameError) -> Self {
        Failure::Unreadable(error.to_string())
    }
}
