//! What `run` and `hold` are asked to take, and the taking of it.

use super::holding::Holding;
use super::waiting;
use crate::cli;
use crate::exit::{self, Failure, say};
use std::time::Duration;
use tokio::sync::watch;
use zooky::{Acl, Client, Dialect, Error, MultiLock, Owner, Part, RwLock, Semaphore};

/// How the lock is wanted.
#[derive(Debug, clap::Args)]
pub(crate) struct Want {
    /// Share the lock with others that share it (a read lock)
    #[arg(short, long, visible_alias = "read", conflicts_with = "exclusive")]
    pub(crate) shared: bool,
    /// Share the lock with nobody (a write lock); the default
    #[arg(short = 'x', short_alias = 'e', long, visible_alias = "write")]
    exclusive: bool,
    /// Take one of N leases of the semaphore NAME; everybody must say the same N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with_all = ["shared", "exclusive", "lock_delay"])]
    semaphore: Option<u32>,
    #[command(flatten)]
    pub(crate) patience: Patience,
    /// Let go when somebody asks for the lock (`zooky revoke`)
    #[arg(long)]
    pub(crate) revocable: bool,
    /// Should we vanish, keep the lock closed for SECONDS more to all that have this option
    #[arg(long, value_name = "SECONDS", value_parser = cli::seconds)]
    lock_delay: Option<Duration>,
    /// Share a queue with the clients of another library: theirs and ours exclude each other
    #[arg(long, value_enum, value_name = "LIBRARY")]
    dialect: Option<Speech>,
}

/// How long is waited, and what comes of not getting it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Patience {
    /// Fail at once if the lock is not free
    #[arg(short, long, visible_alias = "nb")]
    pub(crate) nonblock: bool,
    /// Fail if the lock is not free within this many seconds; fractions are allowed, 0 is --nonblock
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", value_parser = cli::seconds)]
    pub(crate) wait: Option<Duration>,
    /// The exit code for failing by --nonblock or --wait
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = exit::NO)]
    pub(crate) conflict_exit_code: u8,
}

impl Patience {
    /// The time limit: none for ever, zero to try once.
    pub(crate) fn limit(&self) -> Option<Duration> {
        if self.nonblock { Some(Duration::ZERO) } else { self.wait }
    }
}

/// The dialects that zooky writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Speech {
    Kazoo,
    Curator,
    Zktools,
}

impl From<Speech> for Dialect {
    fn from(speech: Speech) -> Dialect {
        match speech {
            Speech::Kazoo => Dialect::Kazoo,
            Speech::Curator => Dialect::Curator,
            Speech::Zktools => Dialect::Zktools,
        }
    }
}

/// The library's handle for it.
enum Recipe {
    One { lock: RwLock, shared: bool },
    Lease(Semaphore),
    Many(MultiLock),
}

impl Recipe {
    async fn take(&self, limit: Option<Duration>) -> Result<Option<Holding>, Error> {
        let taken = match (self, limit) {
            (one, Some(Duration::ZERO)) => return one.take_now().await,
            (Recipe::One { lock, shared: false }, None) => lock.write().await.map(Holding::One),
            (Recipe::One { lock, shared: true }, None) => lock.read().await.map(Holding::One),
            (Recipe::One { lock, shared: false }, Some(limit)) => {
                lock.write_timeout(limit).await.map(Holding::One)
            }
            (Recipe::One { lock, shared: true }, Some(limit)) => {
                lock.read_timeout(limit).await.map(Holding::One)
            }
            (Recipe::Lease(leases), None) => leases.acquire().await.map(Holding::One),
            (Recipe::Lease(leases), Some(limit)) => leases.acquire_timeout(limit).await.map(Holding::One),
            (Recipe::Many(locks), None) => locks.acquire().await.map(Holding::Many),
            (Recipe::Many(locks), Some(limit)) => locks.acquire_timeout(limit).await.map(Holding::Many),
        };
        match taken {
            Err(Error::Timeout { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    async fn take_now(&self) -> Result<Option<Holding>, Error> {
        Ok(match self {
            Recipe::One { lock, shared: false } => lock.try_write().await?.map(Holding::One),
            Recipe::One { lock, shared: true } => lock.try_read().await?.map(Holding::One),
            Recipe::Lease(leases) => leases.try_acquire().await?.map(Holding::One),
            Recipe::Many(locks) => locks.try_acquire().await?.map(Holding::Many),
        })
    }
}

impl Want {
    /// Whether the options and the names fit together, before anything is started.
    ///
    /// # Errors
    /// What clap cannot tell: options that are for one lock only, and bad paths.
    pub(crate) fn check(&self, paths: &[String]) -> Result<(), Failure> {
        if paths.len() > 1 {
            for (given, option) in
                [(self.semaphore.is_some(), "--semaphore"), (self.lock_delay.is_some(), "--lock-delay")]
            {
                if given {
                    return Err(Failure::new(exit::USAGE, format!("{option} is for one NAME only")));
                }
            }
        }
        Ok(paths.iter().try_for_each(|path| zooky::check_lock_path(path))?)
    }

    /// Takes it. None if others hold it and the user does not want to wait longer for it, or if it was asked for while we
    /// waited and the user wants to let go then.
    ///
    /// Dropped, it leaves no place in a queue behind.
    pub(crate) async fn take(
        &self,
        client: &Client,
        acl: &[Acl],
        paths: &[String],
        owner: Owner,
    ) -> Result<Option<Holding>, Failure> {
        let (tell, waits) = watch::channel(waiting::Waits::new(&paths[0]));
        let (ask, mut asked) = watch::channel(false);
        let recipe = self.recipe(client, acl, paths, owner, tell, ask)?;
        // Every way of taking it is in this future: too much to be moved about.
        let taking = Box::pin(recipe.take(self.patience.limit()));
        tokio::select! {
            taken = taking => Ok(taken?),
            () = waiting::tell(client, waits) => Ok(None),
            Ok(_) = asked.wait_for(|asked| *asked) => {
                say(format_args!("somebody asked for {} while we waited; not waiting any longer", paths[0]));
                Ok(None)
            }
        }
    }

    fn recipe(
        &self,
        client: &Client,
        acl: &[Acl],
        paths: &[String],
        owner: Owner,
        tell: watch::Sender<waiting::Waits>,
        ask: watch::Sender<bool>,
    ) -> Result<Recipe, Error> {
        let on_wait = move |other: &zooky::inspect::Contender| waiting::Waits::note(&tell, other);
        let dialect = self.dialect.map_or(Dialect::Kazoo, Dialect::from);
        if let Some(leases) = self.semaphore {
            let leases = Semaphore::new(client, &paths[0], leases)?.dialect(dialect)?;
            return Ok(Recipe::Lease(leases.with_owner(owner).with_acl(acl).on_wait(on_wait)));
        }
        if paths.len() > 1 {
            let part = |path: &String| if self.shared { Part::read(path) } else { Part::write(path) };
            let locks = MultiLock::new(client, paths.iter().map(part))?.dialect(dialect)?;
            return Ok(Recipe::Many(locks.with_owner(owner).with_acl(acl).on_wait(on_wait)));
        }
        let lock = RwLock::new(client, &paths[0])?.dialect(dialect)?.with_owner(owner).with_acl(acl);
        let mut lock = lock.on_wait(on_wait);
        if let Some(delay) = self.lock_delay {
            lock = lock.lock_delay(delay);
        }
        if self.revocable {
            lock = lock.on_revoked(move || _ = ask.send(true));
        }
        Ok(Recipe::One { lock, shared: self.shared })
    }
}
