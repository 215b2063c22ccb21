//! Leader election.

use std::time::Duration;

use zooky_client::BootInstant;

use crate::acquire::{Recipe, WaitingFor};
use crate::core::dialect::Role;
use crate::delay::lock_delay;
use crate::guard::{Guard, GuardState};
use crate::head::Head;
use crate::inspect::{self, Contender};
use crate::limit::limited;
use crate::lock::settings;
use crate::{Acl, Client, Error, FencingToken, Owner};

/// An election on a path: at most one of those who stand for it leads, first come first served.
///
/// It is the lock recipe, in the layout of kazoo's `Election` (which uses kazoo's `Lock`), so that kazoo's
/// candidates and ours stand in one queue. Who only wants to know who leads [observes](Election::observe) without
/// standing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// let election = zooky::Election::new(&client, "/elections/scheduler")?.identifier("scheduler on db1");
///
/// let leading = election.campaign().await?;
/// let leader = election.leader().await?.expect("somebody leads");
/// assert_eq!(leader.identifier(), "scheduler on db1");
/// leading.resign().await?;
///
/// // Or, ended as soon as the leadership is lost:
/// let planned = election.run(async |leading| plan_fenced_by(leading.fencing_token()).await).await?;
/// assert_eq!(planned, "planned");
/// # Ok(())
/// # }
/// # async fn plan_fenced_by(_: zooky::FencingToken) -> &'static str { "planned" }
/// ```
#[derive(Debug, Clone)]
pub struct Election {
    recipe: Recipe,
}

impl Election {
    /// A handle for the election at `path`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Path`] if it is no path of a znode, or `/`, or below `/zookeeper`.
    pub fn new(client: &Client, path: &str) -> Result<Election, Error> {
        Ok(Election { recipe: Recipe::new(client, path)? })
    }

    settings!();
    lock_delay!();

    /// Stands under this name: the owner's [id](Owner::with_id), which [`Contender::identifier`] shows.
    #[must_use]
    pub fn identifier(mut self, identifier: impl Into<String>) -> Election {
        self.recipe.owner = (*self.recipe.owner).clone().with_id(identifier).into();
        self
    }

    /// Stands for election until it leads. If the session is lost while waiting, it stands again at the end of the
    /// queue with a new session.
    ///
    /// Cancel-safe like [`crate::Lock::acquire`]: dropped, it stands no more.
    ///
    /// # Errors
    /// As [`crate::Lock::acquire`].
    pub async fn campaign(&self) -> Result<Leadership, Error> {
        let guard = self.recipe.acquire(Role::Lock, &WaitingFor::default()).await?;
        Ok(Leadership { guard })
    }

    /// Leads if nobody leads or stands at this moment.
    ///
    /// # Errors
    /// As [`crate::Lock::try_acquire`].
    pub async fn try_campaign(&self) -> Result<Option<Leadership>, Error> {
        let guard = self.recipe.try_acquire(Role::Lock, None).await?;
        Ok(guard.map(|guard| Leadership { guard }))
    }

    /// [`Election::campaign`], up to `timeout`; zero tries once.
    ///
    /// # Errors
    /// [`Error::Timeout`] with the candidate before us; else as [`Election::campaign`].
    pub async fn campaign_timeout(&self, timeout: Duration) -> Result<Leadership, Error> {
        let waiting = WaitingFor::default();
        let once = self.recipe.try_acquire(Role::Lock, Some(&waiting));
        let wait = self.recipe.acquire(Role::Lock, &waiting);
        Ok(Leadership { guard: limited(&self.recipe.path, timeout, &waiting, once, wait).await? })
    }

    /// Stands until it leads, runs `lead` and resigns. If the leadership is lost first, `lead` is dropped at the
    /// await where it stands, and the loss returned.
    ///
    /// Cancel-safe: dropped, it stands or leads no more.
    ///
    /// # Errors
    /// [`Error::Lost`]; else as [`Election::campaign`].
    pub async fn run<T>(&self, lead: impl AsyncFnOnce(&Leadership) -> T) -> Result<T, Error> {
        let leading = self.campaign().await?;
        let result = tokio::select! {
            biased;
            () = leading.lost() => None,
            result = lead(&leading) => Some(result),
        };
        match result {
            Some(result) => leading.resign().await.map(|()| result),
            None => Err(Error::Lost { path: self.recipe.path.to_string() }),
        }
    }

    /// Who leads, as the server shows it now.
    ///
    /// # Errors
    /// The server refuses to show it, or the connection broke.
    pub async fn leader(&self) -> Result<Option<Contender>, Error> {
        Ok(inspect::holders(&self.recipe.client, &self.recipe.path).await?.into_iter().next())
    }

    /// Who leads and who stands, in their order.
    ///
    /// # Errors
    /// As [`Election::leader`].
    pub async fn candidates(&self) -> Result<Vec<Contender>, Error> {
        match inspect::show(&self.recipe.client, &self.recipe.path).await {
            Err(Error::Session(zooky_client::Error::NoNode { .. })) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Follows who leads, without standing. It watches one node.
    pub fn observe(&self) -> LeaderObserver {
        LeaderObserver { head: Head::new(&self.recipe.client, self.recipe.path.clone()) }
    }
}

/// Follows who leads; see [`Election::observe`].
#[derive(Debug)]
pub struct LeaderObserver {
    head: Head,
}

impl LeaderObserver {
    /// Who leads: at once the first time, and then each time that somebody else does, that nobody does any more, or that the
    /// leader's data say something else. Leaders that came and went in between are not told of.
    ///
    /// It goes on through reconnects and new sessions; while no server answers, it waits. Cancel-safe: no change is
    /// missed by dropping the future.
    ///
    /// # Errors
    /// The server refuses to show it, or the client was closed.
    pub async fn changed(&mut self) -> Result<Option<Contender>, Error> {
        self.head.changed().await
    }
}

/// The leadership: a [`Guard`] under the election's words. Dropped, it resigns in the background.
#[must_use = "dropping it resigns"]
#[derive(Debug)]
pub struct Leadership {
    guard: Guard,
}

impl Leadership {
    /// The token to fence what the leader writes; see [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        self.guard.fencing_token()
    }

    /// Whether we lead, as of now.
    pub fn state(&self) -> GuardState {
        self.guard.state()
    }

    /// Whether the leadership is not lost, as of now.
    pub fn is_held(&self) -> bool {
        self.guard.is_held()
    }

    /// Until when we lead even if no server is ever heard of again; see [`Guard::deadline`].
    pub fn deadline(&self) -> BootInstant {
        self.guard.deadline()
    }

    /// Resolves when the leadership is lost. Cancel-safe.
    pub async fn lost(&self) {
        self.guard.lost().await;
    }

    /// The guard itself.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The guard itself, to be kept instead.
    pub fn into_guard(self) -> Guard {
        self.guard
    }

    /// Leads no more, and waits until the node is deleted.
    ///
    /// # Errors
    /// As [`Guard::release`].
    pub async fn resign(self) -> Result<(), Error> {
        self.guard.release().await
    }
}
