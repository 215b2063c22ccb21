//! The session as a pure state machine.
use zooky_wire::Request;

/// A request and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ask<R, W> {
    /// What is asked, with the paths that the server knows.
    pub(crate) request: Request,
    /// Where the answer goes; nowhere for what the session asks for itself.
    pub(crate) reply: Option<R>,
    /// Where the event goes, if the request sets a watch.
    pub(crate) watch: Option<W>,
}

impl<R, W> Ask<R, W> {
    /// The path that errors name.
    pub(crate) fn take_path(self) -> String {
        String::new()
    }
}
