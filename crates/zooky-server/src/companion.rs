//! What a program adds to the server that it runs.

use std::fmt::Debug;

/// Adds numbers of its own to the server's, and is told what only the server knows.
///
/// It is called on the server's one thread: it must not wait, and everybody waits for what it does.
pub trait Companion: Debug + Send + Sync {
    /// Numbers in Prometheus' text format, each with its `# HELP` and `# TYPE`, to stand behind the server's own
    /// ([`Config::metrics`](crate::Config::metrics)). Their names are not the server's.
    fn numbers(&self) -> String;

    /// A session has expired, and these ephemeral nodes go with it. No client has been told yet.
    fn expired(&self, nodes: &[String]);
}
