//! `zooky hold`: keeps a lock until it is told to let go, for scripts that do their work themselves.

use crate::config::Config;
use crate::exit::{self, Failure, say};
use crate::locks;
use crate::run::command::killed_by;
use crate::run::holding::Holding;
use crate::run::signals::Signals;
use crate::run::want::Want;
use std::io::Write;
use tokio::sync::oneshot;
use zooky::{Client, Owner};

/// Hold a lock until a signal comes; its fencing token is printed once it is held
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    want: Want,
    /// Let go also when standard input ends, as a coprocess's does with its shell
    #[arg(long)]
    until_eof: bool,
    /// The lock: NAME is /locks/NAME, a path is itself. Several are taken as one: all or nothing
    #[arg(required = true, num_args = 1.., value_name = "NAME")]
    names: Vec<String>,
}

const HELP: &str = "\
In a script:

  coproc LOCK { zooky hold --until-eof nightly; }
  read -r token <&\"${LOCK[0]}\" || exit        # it is held from here on
  ./work --fencing-token \"$token\"
  kill \"$LOCK_PID\"; wait \"$LOCK_PID\"

The tokens are a line each, in the order of the NAMEs. **Nothing stops the script when the lock is lost**: hold then ends \
with 70; hand the token to whatever you write to, or use `zooky run`, which ends its command in time.

Exit codes: 0 let go after TERM, INT, HUP, the end of standard input or (--revocable) a request; 1 (or -E's) if the lock \
was not free in time; 128 + the signal that came before the lock was held; 70 the lock was lost; 64, 65, 69 as `zooky run`.";

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(hold(config, args))
}

async fn hold(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let paths: Vec<String> = args.names.iter().map(|name| config.lock_path(name)).collect();
    args.want.check(&paths)?;
    let client = tokio::select! {
        client = locks::connect(config) => client?,
        signal = signals.end() => return Ok(killed_by(signal)),
    };
    let ended = take_and_keep(&client, config, args, &paths, &mut signals).await;
    locks::close(client).await;
    ended
}

async fn take_and_keep(
    client: &Client,
    config: &Config,
    args: &Args,
    paths: &[String],
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let mut ended = Ended::watch(args.until_eof);
    let owner = Owner::this_process().deaf(!args.want.revocable);
    let holding = tokio::select! {
        holding = args.want.take(client, &config.acl, paths, owner) => holding?,
        signal = signals.end() => return Ok(killed_by(signal)),
        () = ended.input() => return Ok(args.want.patience.conflict_exit_code),
    };
    let Some(holding) = holding else { return Ok(args.want.patience.conflict_exit_code) };
    let lost = match tell(&holding, paths) {
        Ok(()) => keep(&holding, args, signals, &mut ended).await,
        Err(failure) => {
            // Nobody reads the token, or it cannot be written: let go before saying so.
            let _ = holding.release().await;
            return Err(failure);
        }
    };
    if lost {
        say(format_args!("the lock {} is lost", holding.name()));
        return Ok(exit::LOST);
    }
    holding.release().await?;
    Ok(exit::OK)
}

/// Until there is a reason to let go; true if the lock was lost.
async fn keep(holding: &Holding, args: &Args, signals: &mut Signals, ended: &mut Ended) -> bool {
    tokio::select! {
        biased;
        () = holding.lost() => true,
        _ = signals.end() => false,
        () = ended.input() => false,
        () = holding.revoked(), if args.want.revocable => {
            say(format_args!("{}; letting go", holding.asker()));
            false
        }
    }
}

/// One write: whoever reads a line has all of them at hand.
fn tell(holding: &Holding, paths: &[String]) -> Result<(), Failure> {
    let lines: String = paths.iter().map(|path| holding.token(path).unwrap_or_default() + "\n").collect();
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    Ok(out.flush()?)
}

/// The end of standard input, if it is of interest.
struct Ended(Option<oneshot::Receiver<()>>);

impl Ended {
    fn watch(wanted: bool) -> Ended {
        Ended(wanted.then(|| {
            let (tell, told) = oneshot::channel();
            std::thread::spawn(move || {
                // What it says does not matter; that it cannot be read is as good as its end.
                let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                let _ = tell.send(());
            });
            told
        }))
    }

    async fn input(&mut self) {
        match &mut self.0 {
            Some(told) => _ = told.await,
            None => std::future::pending().await,
        }
    }
}
