//! A server in this process until a signal stops it: in the foreground for `zooky server`, or as the background
//! process of the embedded default.

use super::state::StateDir;
use crate::exit::{self, Failure, say};
use crate::proc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};
use rustix::stdio::dup2_stdout;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use zooky_server::log::LogError;
use zooky_server::{Config, Server, StartError};

/// The background process. Arguments: where to listen, the state directory. It says `ready ADDRESS` or `error WHY`
/// on standard output and closes that then.
pub(crate) fn main(args: &[OsString]) -> u8 {
    // Nobody waits for us: not the terminal, not cron, not whoever reads a pipe that we have inherited.
    proc::close_inherited();
    let _ = setsid();
    let _ = rustix::thread::set_name(c"zooky-server");
    let [listen, dir] = args else { return exit::USAGE };
    let Some(listen) = listen.to_str().and_then(|listen| listen.parse().ok()) else {
        return exit::USAGE;
    };
    let dir = StateDir::at(PathBuf::from(dir));
    let served = start(Config::new(listen, dir.data())).and_then(|(server, stop)| {
        dir.write_running(server.addr()).map_err(|error| Failure::os("cannot write the state", error))?;
        answer(&format!("ready {}\n", server.addr()));
        say(format_args!("serving at {}", server.addr()));
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

/// Starts a server, with the signals caught that shall stop it.
///
/// # Errors
/// The port is taken, the directory is not ours, the log is corrupt: the server's own words.
pub(crate) fn start(config: Config) -> Result<(Server, StopSignals), Failure> {
    let stop = StopSignals::catch()?;
    more_files();
    let server = Server::start(config).map_err(|error| failure(&error))?;
    Ok((server, stop))
}

/// As many open files as this process may have: each session takes one, and the usual limit is a thousand. The
/// original's virtual machine does so, too.
fn more_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, connections are refused later, with a warning that says why.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn failure(error: &StartError) -> Failure {
    let code = match error {
        StartError::NotOurs { .. } | StartError::Secret { .. } | StartError::Tls { .. } => exit::DATA,
        StartError::Log(LogError::Io { .. }) => exit::OS,
        StartError::Log(_) => exit::DATA,
        StartError::Timeouts { .. } | StartError::Exposed { .. } | StartError::ExposedMetrics { .. } => {
            exit::USAGE
        }
        _ => exit::OS,
    };
    Failure::new(code, error)
}

/// Serves until a signal comes or the server fails.
pub(crate) fn until_stopped(server: Server, mut stop: StopSignals) -> Result<(), Failure> {
    let stopper = server.stopper();
    std::thread::spawn(move || {
        stop.wait();
        stopper.stop();
    });
    server.wait().map_err(|error| Failure::new(exit::OS, error))
}

/// TERM, INT and HUP, caught from the start on.
pub(crate) struct StopSignals {
    runtime: tokio::runtime::Runtime,
    streams: [tokio::signal::unix::Signal; 3],
}

impl StopSignals {
    fn catch() -> Result<StopSignals, Failure> {
        let build = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let streams = {
                let _inside = runtime.enter();
                [
                    signal(SignalKind::terminate())?,
                    signal(SignalKind::interrupt())?,
                    signal(SignalKind::hangup())?,
                ]
            };
            Ok(StopSignals { runtime, streams })
        };
        build().map_err(|error: io::Error| Failure::os("cannot catch signals", error))
    }

    fn wait(&mut self) {
        let [term, int, hup] = &mut self.streams;
        self.runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
                _ = hup.recv() => {}
            }
        });
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
