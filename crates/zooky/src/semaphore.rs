//! The counting semaphore.

use std::time::Duration;

use bytes::Bytes;
use zooky_client::{
    Acl, Children, Create, CreateKind, CreateMode, Error as SessionError, ErrorCode, Hold, MultiOp,
    MultiResult, Pending, Session, Stat, State, Watch,
};

use crate::acquire::{Recipe, WaitingFor};
use crate::cleanup;
use crate::core::contender::OwnNode;
use crate::core::dialect::{Dialect, Kind, Role, Written};
use crate::core::leases::{KAZOO_MUTEX, Stored, only, stored};
use crate::deadlock;
use crate::doubt;
use crate::guard::Guard;
use crate::inspect::Contender;
use crate::limit::limited;
use crate::lock::settings;
use crate::{Client, Error, Owner, layout};

/// A number of leases that many clients share, first come first served: at most so many are out at any time.
///
/// The layout is that of kazoo's `Semaphore`, and both share the leases of one path: a lease is an ephemeral child of the
/// path, whose own data hold the number of leases; who wants one waits in the queue of a mutex at `<path>-__lock__`. All
/// clients must say the same number; one that says another is refused. Or the layout is that of Curator's
/// `InterProcessSemaphoreV2`, see [`Semaphore::dialect`].
///
/// Beyond both: a lease is only made while the mutex is ours, which the server checks in the same transaction; a lease is a
/// [`Guard`], with a deadline, a loss, and a fencing token (of the node of the lease itself; with several leases out it
/// tells the newer from the older, no more). A wait that is cancelled or timed out leaves no lease.
///
/// With [`refuse_deadlock`](Semaphore::refuse_deadlock) a waiter is refused once no lease can come back: everybody who has one
/// waits, in the end, for this waiter. While one of them may go on, none is. (In kazoo's layout only; in Curator's it is
/// [`Error::NoRoomForOwner`].)
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let server = zooky_server::Server::start(zooky_server::Config::new("127.0.0.1:0".parse()?, dir.path()))?;
/// # let hosts = server.addr().to_string();
/// # let client = zooky::Client::connect(&hosts).await?;
/// let downloads = zooky::Semaphore::new(&client, "/semaphores/downloads", 2)?;
/// let one = downloads.acquire().await?;
/// let two = downloads.acquire().await?;
/// assert!(downloads.try_acquire().await?.is_none());
/// assert_eq!(downloads.lease_holders().await?.len(), 2);
/// one.release().await?;
/// two.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Semaphore {
    recipe: Recipe,
    leases: u32,
}

/// Where the nodes of a semaphore are, below its path.
struct Layout {
    /// What a lease's node is called.
    lease: Kind,
    mode: CreateMode,
    /// From the path to the directory of the leases, and to that of the mutex.
    leases: &'static str,
    mutex: &'static str,
}

const KAZOO: Layout =
    Layout { lease: Kind::KazooLease, mode: CreateMode::EPHEMERAL, leases: "", mutex: KAZOO_MUTEX };
const CURATOR: Layout = Layout {
    lease: Kind::CuratorLease,
    mode: CreateMode::EPHEMERAL_SEQUENTIAL,
    leases: "/leases",
    mutex: "/locks",
};

impl Semaphore {
    /// A handle for the semaphore at `path` with so many leases. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Path`] if it is no path of a znode, or `/`, or below `/zookeeper`, or if there are no leases.
    pub fn new(client: &Client, path: &str, leases: u32) -> Result<Semaphore, Error> {
        let recipe = Recipe::new(client, path)?;
        if leases == 0 {
            let why = "a semaphore has one lease at least".to_owned();
            return Err(Error::Path { path: path.to_owned(), why });
        }
        Ok(Semaphore { recipe, leases })
    }

    /// In the layout of `dialect`: kazoo's (the default), or Curator's `InterProcessSemaphoreV2`. There a lease is a child of
    /// `<path>/leases`, and the mutex is at `<path>/locks`.
    ///
    /// **Curator's layout has no place for the number of leases**: nobody notices if clients say different numbers, and those with
    /// the larger one take more. It has none for the [`Owner`] either. And whoever waits makes no node in `leases` before it has
    /// a lease, where Curator's own clients make theirs first and then wait: the order of grants is that of the mutex with both.
    ///
    /// # Errors
    /// [`Error::NoSuchRecipe`]: zktools has no semaphore. [`Error::NotWritten`]: zooky reads this dialect, but does not write it.
    pub fn dialect(mut self, dialect: Dialect) -> Result<Semaphore, Error> {
        self.recipe.dialect = match Written::of(dialect).ok_or(Error::NotWritten { dialect })? {
            Written::Zktools => return Err(Error::NoSuchRecipe { dialect, recipe: "semaphore" }),
            written => written,
        };
        Ok(self)
    }

    settings!(but_dialect);

    /// How many leases there are, as this handle was told.
    pub fn max_leases(&self) -> u32 {
        self.leases
    }

    /// Waits for a lease, for ever; over as many sessions as it takes.
    ///
    /// Cancel-safe: dropped at any point, it leaves no lease behind.
    ///
    /// # Errors
    /// [`Error::LeasesDiffer`] and [`Error::NoSemaphore`]: the path is used with another number of leases, or for something
    /// else. [`Error::Deadlock`], if that is [refused](Semaphore::refuse_deadlock). The directories of the semaphore or its
    /// mutex hold what does not belong there. The server refuses the requests.
    pub async fn acquire(&self) -> Result<Guard, Error> {
        self.wait(&WaitingFor::default()).await
    }

    /// Takes a lease if one is free at this moment and nobody waits. It looks before it creates anything. As with kazoo
    /// it may also say `None` while another client is just taking a lease.
    ///
    /// Cancel-safe like [`Semaphore::acquire`].
    ///
    /// # Errors
    /// As [`Semaphore::acquire`], and when the session is lost meanwhile.
    pub async fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        self.once(None).await
    }

    /// Waits for a lease, up to `timeout`; zero tries once.
    ///
    /// Cancel-safe like [`Semaphore::acquire`].
    ///
    /// # Errors
    /// [`Error::Timeout`] with one who has a lease or waits before us; else as [`Semaphore::acquire`].
    pub async fn acquire_timeout(&self, timeout: Duration) -> Result<Guard, Error> {
        let waiting = WaitingFor::default();
        limited(&self.recipe.path, timeout, &waiting, self.once(Some(&waiting)), self.wait(&waiting)).await
    }

    /// Who has the leases that are out, as the server shows it now.
    ///
    /// # Errors
    /// The server refuses to show it, or the connection broke.
    pub async fn lease_holders(&self) -> Result<Vec<Contender>, Error> {
        let session = self.recipe.client.session().await?;
        let directory = self.directory();
        let names = match session.children(&directory).await {
            Ok(children) => children.names,
            Err(SessionError::NoNode { .. }) => return Ok(Vec::new()),
            Err(fault) => return Err(fault.into()),
        };
        let mut holders = Vec::with_capacity(names.len());
        for name in names {
            match session.get(&format!("{directory}/{name}")).await {
                Ok((data, stat)) => {
                    holders.extend(Contender::read(&directory, &name, data, stat, Some(true)));
                }
                Err(SessionError::NoNode { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        holders.sort_by_key(|holder| holder.stat.czxid);
        Ok(holders)
    }

    fn layout(&self) -> &'static Layout {
        if self.recipe.dialect == Written::Curator { &CURATOR } else { &KAZOO }
    }

    /// Where the leases are.
    fn directory(&self) -> String {
        format!("{}{}", self.recipe.path, self.layout().leases)
    }

    /// The mutex under which leases are taken.
    fn mutex(&self) -> Recipe {
        Recipe { path: format!("{}{}", self.recipe.path, self.layout().mutex).into(), ..self.recipe.clone() }
    }

    async fn wait(&self, waiting: &WaitingFor) -> Result<Guard, Error> {
        let mutex = self.mutex();
        loop {
            let turn = mutex.acquire(Role::Lock, waiting).await?;
            // By the mutex it is seen to wait: for the holders of the leases, now.
            let node = self.recipe.deadlocks_below.as_ref().map(|_| turn.path().to_owned());
            let bid = Bid::new(self, turn).wait(waiting);
            match deadlock::unless_stuck(&self.recipe, node, bid).await {
                Ok(Some(lease)) => return Ok(lease),
                Ok(None) => tracing::warn!(path = %self.path(), "the semaphore's mutex was lost; again"),
                // If it was the client that was closed, the next turn says so.
                Err(Error::Session(SessionError::SessionLost | SessionError::Closed)) => {
                    tracing::warn!(path = %self.path(), "the session was lost while waiting; again");
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn once(&self, report: Option<&WaitingFor>) -> Result<Option<Guard>, Error> {
        let session = self.recipe.client.session().await?;
        match session.children(&self.directory()).await {
            Ok(children) => {
                if let Some(holder) = self.full(&children.names)? {
                    self.report(&session, holder, report).await;
                    return Ok(None);
                }
            }
            Err(SessionError::NoNode { .. } | SessionError::ConnectionLoss { .. }) => {}
            Err(fault) => return Err(fault.into()),
        }
        match self.mutex().try_acquire(Role::Lock, report).await? {
            Some(turn) => Bid::new(self, turn).once(report).await,
            None => Ok(None),
        }
    }

    /// One of the holders, if all leases are out.
    fn full<'a>(&self, children: &'a [String]) -> Result<Option<&'a String>, Error> {
        let lease = self.layout().lease;
        match only(lease, children, self.recipe.allow_foreign) {
            Ok(leases) if leases.len() >= self.leases as usize => Ok(leases.first().copied()),
            Ok(_) => Ok(None),
            Err(refusal) => {
                let found_in = Recipe { path: self.directory().into(), ..self.recipe.clone() };
                Err(found_in.refused(lease, refusal))
            }
        }
    }

    /// Tells who has a lease, if that is asked for and can be seen.
    async fn report(&self, session: &Session, lease: &str, report: Option<&WaitingFor>) {
        let Some(report) = report else { return };
        if report.is(lease) {
            return;
        }
        let directory = self.directory();
        if let Ok((data, stat)) = session.get(&format!("{directory}/{lease}")).await
            && let Some(contender) = Contender::read(&directory, lease, data, stat, None)
        {
            if let Some(on_wait) = &self.recipe.on_wait {
                on_wait(&contender);
            }
            report.set(contender);
        }
    }
}

/// Our turn to take a lease. Dropped without one, it leaves none behind.
struct Bid<'a> {
    semaphore: &'a Semaphore,
    /// The mutex. Released when the bid is over, whichever way.
    turn: Guard,
    session: Session,
    hold: Option<Hold>,
    /// What the lease's node is called, up to the server's number if it gets one.
    lease: String,
    /// A create was sent, and the lease may exist.
    may_exist: bool,
}

/// By what a path is known to be such a semaphore's.
enum Fits {
    /// Its data: the number of leases.
    Number(Pending<(Bytes, Stat)>),
    /// Its children: the directories of the leases and of the mutex.
    Beside(Pending<Children>),
}

/// What a look at the semaphore showed.
enum Look {
    /// There is a lease to be had.
    Free,
    /// One of the holders; the watch tells when to look again.
    Full(String, Watch),
    /// Look again.
    Changed,
}

/// What came of a create.
enum Made {
    Lease(Guard),
    TurnLost,
    Changed,
}

impl Bid<'_> {
    fn new(semaphore: &Semaphore, turn: Guard) -> Bid<'_> {
        let session = turn.session().clone();
        let lease = semaphore.layout().lease.prefix(semaphore.recipe.client.unique());
        let hold = Some(session.hold());
        Bid { semaphore, turn, session, hold, lease, may_exist: false }
    }

    /// Until there is a lease; `None` if the mutex was lost before.
    async fn wait(mut self, waiting: &WaitingFor) -> Result<Option<Guard>, Error> {
        loop {
            // From before the request: a reconnect after it must not go unseen.
            let states = self.session.watch_state();
            match self.look().await? {
                Look::Changed => {}
                Look::Free => match self.make().await? {
                    Made::Lease(lease) => return Ok(Some(lease)),
                    Made::TurnLost => return Ok(None),
                    Made::Changed => {}
                },
                Look::Full(holder, watch) => {
                    self.semaphore.report(&self.session, &holder, Some(waiting)).await;
                    let lease = format!("{}/{holder}", self.semaphore.directory());
                    tokio::select! {
                        biased;
                        () = self.turn.lost() => return Ok(None),
                        changed = changed(watch, states) => changed?,
                        () = doubt::shown_in_vain(&self.session, &lease) => {}
                    }
                }
            }
        }
    }

    /// One look; `None` if there is no lease now.
    async fn once(mut self, report: Option<&WaitingFor>) -> Result<Option<Guard>, Error> {
        loop {
            match self.look().await? {
                Look::Changed => {}
                Look::Free => match self.make().await? {
                    Made::Lease(lease) => return Ok(Some(lease)),
                    Made::TurnLost => return Ok(None),
                    Made::Changed => {}
                },
                Look::Full(holder, _) => {
                    self.semaphore.report(&self.session, &holder, report).await;
                    return Ok(None);
                }
            }
        }
    }

    /// Looks whether the path is such a semaphore's, and counts the leases that are out.
    async fn look(&self) -> Result<Look, Error> {
        let (semaphore, path) = (self.semaphore, &self.semaphore.recipe.path);
        let flight = self.session.flight();
        let fits = match semaphore.recipe.dialect {
            Written::Curator => Fits::Beside(self.session.children(path)),
            _ => Fits::Number(self.session.get(path)),
        };
        let listed = self.session.children_watch(&semaphore.directory());
        drop(flight);
        // Whatever does not belong there is refused before anything is written.
        let (seen, missing) = match listed.await {
            Ok((children, watch)) => match semaphore.full(&children.names)? {
                Some(holder) => (Look::Full(holder.clone(), watch), false),
                None => (Look::Free, false),
            },
            Err(SessionError::NoNode { .. }) => (Look::Changed, true),
            Err(SessionError::ConnectionLoss { .. }) => (Look::Changed, false),
            Err(fault) => return Err(fault.into()),
        };
        if !self.fits(fits).await? {
            return Ok(Look::Changed);
        }
        if missing {
            self.make_directory().await?;
        }
        Ok(seen)
    }

    /// Whether the path is what it should be; if not, that may have been mended, and is to be looked at again.
    async fn fits(&self, what: Fits) -> Result<bool, Error> {
        let recipe = &self.semaphore.recipe;
        let fault = match what {
            Fits::Number(number) => match number.await {
                Ok((data, stat)) => return self.agree(&data, &stat).await,
                Err(fault) => fault,
            },
            // Nobody else's leases are here: they would be counted apart.
            Fits::Beside(children) => match children.await {
                Ok(children) => {
                    let refused = |refusal| recipe.refused(Kind::CuratorLease, refusal);
                    only(Kind::CuratorSemaphore, &children.names, recipe.allow_foreign).map_err(refused)?;
                    return Ok(true);
                }
                Err(fault) => fault,
            },
        };
        match fault {
            SessionError::NoNode { .. } => self.make_directory().await?,
            SessionError::ConnectionLoss { .. } => {}
            fault => return Err(fault.into()),
        }
        Ok(false)
    }

    /// Whether the stored number is ours; if none is stored yet, stores it.
    async fn agree(&self, data: &[u8], stat: &Stat) -> Result<bool, Error> {
        let Semaphore { recipe, leases: ours } = self.semaphore;
        let path = recipe.path.to_string();
        match stored(data) {
            Stored::Limit(stored) if stored == u64::from(*ours) => Ok(true),
            Stored::Limit(stored) => Err(Error::LeasesDiffer { path, ours: *ours, stored }),
            Stored::Other(data) => Err(Error::NoSemaphore { path, data }),
            Stored::Nothing => match self.session.set(&path, ours.to_string(), stat.version).await {
                Ok(_)
                | Err(
                    SessionError::BadVersion { .. }
                    | SessionError::NoNode { .. }
                    | SessionError::ConnectionLoss { .. },
                ) => Ok(false),
                Err(fault) => Err(fault.into()),
            },
        }
    }

    /// Creates the semaphore's node with the number of leases, and its parents; in Curator's layout the directory of the leases.
    async fn make_directory(&self) -> Result<(), Error> {
        let Semaphore { recipe, leases } = self.semaphore;
        let (session, acl) = (&self.session, &recipe.acl);
        if recipe.dialect == Written::Curator {
            let directory = self.semaphore.directory();
            layout::make_directory(session, &directory, Written::Curator, Role::Lock, acl).await?;
        } else {
            let data = |last: bool| if last { leases.to_string() } else { String::new() };
            layout::make(session, &recipe.path, CreateMode::PERSISTENT, data, acl).await?;
        }
        Ok(())
    }

    /// Makes the lease, if the mutex is still ours at that moment: both in one transaction.
    async fn make(&mut self) -> Result<Made, Error> {
        let recipe = &self.semaphore.recipe;
        let path = format!("{}/{}", self.semaphore.directory(), self.lease);
        let lease = Create {
            kind: CreateKind::Create2,
            path: path.clone(),
            data: Some(recipe.data().await.into()),
            acl: recipe.acl.to_vec(),
            mode: self.semaphore.layout().mode,
        };
        let turn = MultiOp::Check { path: self.turn.path().to_owned(), version: -1 };
        self.may_exist = true;
        match self.session.multi(vec![turn, MultiOp::Create(lease)]).await {
            Ok(results) => match &results[..] {
                [_, MultiResult::Create2(path, stat, _)] => return self.grant(path, stat),
                [_, MultiResult::Create(_)] => {}
                [MultiResult::Error(ErrorCode::NO_NODE), ..] => {
                    self.may_exist = false;
                    return Ok(Made::TurnLost);
                }
                [_, MultiResult::Error(code)] => {
                    self.may_exist = false;
                    return match *code {
                        ErrorCode::NO_NODE => Ok(Made::Changed),
                        ErrorCode::NO_AUTH => Err(SessionError::NoAuth { path }.into()),
                        ErrorCode::INVALID_ACL => Err(SessionError::InvalidAcl { path }.into()),
                        code => Err(SessionError::Server { code, path }.into()),
                    };
                }
                _ => return Ok(Made::Changed),
            },
            Err(SessionError::ConnectionLoss { .. }) => {}
            Err(fault) => {
                self.may_exist = fault.is_ambiguous();
                return Err(fault.into());
            }
        }
        match self.find().await?.filter(|(_, stat)| stat.ephemeral_owner == self.session.id()) {
            Some((name, stat)) => self.grant(&name, &stat),
            None => {
                self.may_exist = false;
                Ok(Made::Changed)
            }
        }
    }

    /// Looks for the lease after everything this session has sent before.
    async fn find(&self) -> Result<Option<(String, Stat)>, Error> {
        loop {
            match cleanup::find(&self.session, &self.semaphore.directory(), &self.lease).await {
                Ok(found) => return Ok(found),
                Err(SessionError::ConnectionLoss { .. }) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// With the lease's node, by its name or its path.
    fn grant(&mut self, node: &str, stat: &Stat) -> Result<Made, Error> {
        // The clock is read once more, as for a lock.
        match self.hold.take() {
            Some(hold) if self.session.state() != State::Lost => {
                self.may_exist = false;
                let name = node.rsplit('/').next().unwrap_or_default();
                // From the semaphore's path on: that is where the holder looks out for strangers.
                let directory = self.semaphore.layout().leases.trim_start_matches('/');
                let name = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
                let node = OwnNode { name, czxid: stat.czxid };
                Ok(Made::Lease(Guard::new(
                    &self.semaphore.recipe,
                    crate::core::dialect::Role::Lock,
                    self.session.clone(),
                    hold,
                    &node,
                )))
            }
            _ => Err(SessionError::SessionLost.into()),
        }
    }
}

impl Drop for Bid<'_> {
    fn drop(&mut self) {
        if self.may_exist {
            let directory = self.semaphore.directory().into();
            let task = cleanup::abandon(self.session.clone(), directory, self.lease.clone(), None);
            self.semaphore.recipe.client.runtime().spawn(task);
        }
    }
}

/// Until the watch fires or the session has reconnected.
async fn changed(watch: Watch, mut states: zooky_client::StateWatch) -> Result<(), Error> {
    tokio::pin!(watch);
    loop {
        tokio::select! {
            event = &mut watch => return match event {
                Err(fault) if fault.is_final() => Err(fault.into()),
                _ => Ok(()),
            },
            state = states.changed() => match state {
                State::Suspended => {}
                State::Connected => return Ok(()),
                State::Lost => return Err(SessionError::SessionLost.into()),
            },
        }
    }
}
