//! A peer's process, seen from the driver.

use crate::failure::Failure;
use crate::peers::{Flavor, PeerKind};
use crate::protocol::Order;
use serde::de::DeserializeOwned;
use std::time::Duration;
use zooky_testkit::Talk;

/// More than any order takes, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running peer. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Child {
    kind: PeerKind,
    talk: Talk,
}

impl Child {
    /// Starts the process; it is connected to nothing yet.
    pub(crate) fn spawn(kind: PeerKind, flavor: Flavor) -> Result<Child, Failure> {
        Ok(Child { kind, talk: kind.spawn(flavor)? })
    }

    /// Which peer it is.
    pub(crate) fn kind(&self) -> PeerKind {
        self.kind
    }

    /// Gives an order and waits until it has been carried out.
    pub(crate) fn obey<T: DeserializeOwned>(&mut self, order: &Order) -> Result<T, Failure> {
        self.talk.send_line(&order.to_string());
        let answer = self.talk.expect_line("", PATIENCE);
        let failed = |what: &str| Failure::Refused(format!("{} at {order:?}: {what}", self.kind.name()));
        let json = answer.strip_prefix("ok ").ok_or_else(|| failed(&answer))?;
        serde_json::from_str(json).map_err(|error| failed(&error.to_string()))
    }
}
