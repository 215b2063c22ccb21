//! A server in this process until a signal stops it: in the foreground for `zooky server`, or as the background
//! process of the embedded default.

use super::numbers::LockNumbers;
use super::state::StateDir;
use crate::cli::Globals;
use crate::exit::{self, Failure, say};
use crate::settings::Settings;
use crate::verbs::ui;
use crate::{hidden, proc};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};
use rustix::stdio::dup2_stdout;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use zooky_server::log::LogError;
use zooky_server::{Config, Server, StartError};

/// The background process. It says `ready ADDRESS` or `error WHY` on standard output and closes that then.
pub(crate) fn main(args: &[OsString]) -> u8 {
    // Nobody waits for us: not the terminal, not cron, not whoever reads a pipe that we have inherited.
    proc::close_inherited();
    let _ = setsid();
    let _ = rustix::thread::set_name(c"zooky-server");
    let args = [OsString::from(hidden::SERVE)].into_iter().chain(args.iter().cloned());
    let Ok(Background { state, default_at, settings }) = Background::try_parse_from(args) else {
        return exit::USAGE;
    };
    let dir = StateDir::at(state);
    let served = dir.config(default_at, &settings).and_then(|mut config| {
        let data = config.data_dir.clone();
        let numbers = LockNumbers::among(&mut config, false);
        let (server, stop) = start(config)?;
        dir.write_running(server.addr(), data)
            .map_err(|error| Failure::os("cannot write the state", error))?;
        answer(&format!("ready {}\n", server.addr()));
        say(format_args!("serving at {}", server.addr()));
        // As its users have it: who we are, and where locks live. Without these numbers it serves all the same.
        let config =
            numbers.is_some().then(|| crate::config::Config::resolve(&Globals::default())).transpose();
        let followed = config.and_then(|config| match config {
            Some(config) => ui::beside(config, server.addr(), None, numbers),
            None => Ok(()),
        });
        if let Err(failure) = followed {
            say(failure.line());
        }
        until_stopped(server, stop)
    });
    dir.forget_running();
    match served {
        Ok(()) => {
            say("stopped");
            exit::OK
        }
        Err(failure) => {
            answer(&format!("error {}\n", failure.line()));
            failure.report()
        }
    }
}

/// The background process's own command line.
#[derive(Debug, clap::Parser)]
struct Background {
    /// The state directory.
    state: PathBuf,
    /// The embedded default: nothing but this address and the state directory's data counts.
    #[arg(long)]
    default_at: Option<SocketAddr>,
    #[command(flatten)]
    settings: Settings,
}

/// What makes a background process that is the embedded default.
pub(super) fn default_args(dir: &StateDir, listen: SocketAddr) -> Vec<OsString> {
    vec![dir.path().into(), "--default-at".into(), listen.to_string().into()]
}

impl StateDir {
    /// What the background server is to be told. Its paths are made absolute and the working directory is left: it must not keep a file
    /// system from being unmounted.
    fn config(&self, default_at: Option<SocketAddr>, settings: &Settings) -> Result<Config, Failure> {
        let mut config = match default_at {
            Some(listen) => Config::new(listen, self.data()),
            None => settings.resolve_with(self.data(), |name| std::env::var_os(name))?.config,
        };
        let tls = config
            .tls
            .iter_mut()
            .flat_map(|tls| [&mut tls.cert, &mut tls.key].into_iter().chain(&mut tls.client_ca));
        for path in tls.chain([&mut config.data_dir]) {
            let absolute = std::path::absolute(&path);
            *path = absolute.map_err(|error| Failure::os("cannot tell the working directory", error))?;
        }
        std::env::set_current_dir("/")
            .map_err(|error| Failure::os("cannot leave the working directory", error))?;
        Ok(config)
    }
}

/// Starts a server, with the signals caught by which it is told something.
///
/// # Errors
/// The port is taken, the directory is not ours, the log is corrupt: the server's own words.
pub(crate) fn start(config: Config) -> Result<(Server, Signals), Failure> {
    let signals = Signals::catch()?;
    more_files();
    let server = Server::start(config).map_err(|error| failure(&error))?;
    Ok((server, signals))
}

/// As many open files as this process may have: each session takes one, and the usual limit is a thousand. The
/// original's virtual machine does so, too.
fn more_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, connections are refused later, with a warning that says why.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// The server's own words and the code for them.
pub(crate) fn failure(error: &StartError) -> Failure {
    let code = match error {
        StartError::NotOurs { .. }
        | StartError::NoData { .. }
        | StartError::Secret { .. }
        | StartError::Tls { .. } => exit::DATA,
        StartError::Log(LogError::Io { .. }) => exit::OS,
        StartError::Log(_) => exit::DATA,
        StartError::Timeouts { .. } | StartError::Exposed { .. } | StartError::ExposedMetrics { .. } => {
            exit::USAGE
        }
        _ => exit::OS,
    };
    Failure::new(code, error)
}

/// Serves until a signal comes or the server fails; USR1 has it take a snapshot.
pub(crate) fn until_stopped(server: Server, mut signals: Signals) -> Result<(), Failure> {
    let stopper = server.stopper();
    std::thread::spawn(move || {
        while signals.next() == Asked::Snapshot {
            stopper.take_snapshot();
        }
        stopper.stop();
    });
    server.wait().map_err(|error| Failure::new(exit::OS, error))
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Snapshot,
}

/// TERM, INT and HUP, which stop the server, and USR1; caught from the start on.
pub(crate) struct Signals {
    runtime: tokio::runtime::Runtime,
    streams: [tokio::signal::unix::Signal; 4],
}

impl Signals {
    fn catch() -> Result<Signals, Failure> {
        let build = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let streams = {
                let _inside = runtime.enter();
                [
                    signal(SignalKind::terminate())?,
                    signal(SignalKind::interrupt())?,
                    signal(SignalKind::hangup())?,
                    signal(SignalKind::user_defined1())?,
                ]
            };
            Ok(Signals { runtime, streams })
        };
        build().map_err(|error: io::Error| Failure::os("cannot catch signals", error))
    }

    fn next(&mut self) -> Asked {
        let [term, int, hup, usr1] = &mut self.streams;
        self.runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => Asked::Stop,
                _ = int.recv() => Asked::Stop,
                _ = hup.recv() => Asked::Stop,
                _ = usr1.recv() => Asked::Snapshot,
            }
        })
    }
}

/// Tells the command that started us, and lets go of the pipe to it.
fn answer(line: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(&null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_background_process_understands_its_command_line() {
        Background::command().debug_assert();
        let dir = StateDir::at("/state".into());
        let listen = SocketAddr::from(([127, 0, 0, 1], 2181));
        let args = [OsString::from(hidden::SERVE)].into_iter().chain(default_args(&dir, listen));
        let background = Background::try_parse_from(args).unwrap();
        assert_eq!((background.state, background.default_at), ("/state".into(), Some(listen)));
    }
}
