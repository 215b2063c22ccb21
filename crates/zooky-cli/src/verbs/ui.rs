//! `zooky ui`: the locks live on a page, for this machine only.

use crate::config::{Config, LOCKS, Servers, ZKTOOLS};
use crate::embedded::numbers::LockNumbers;
use crate::exit::{self, Failure, say};
use crate::locks;
use crate::srvr::reached_at;
use std::io::Write;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use zooky::session::ServerList;
use zooky_ui::{Follower, How, Page, Token, serve};

const TOKEN: &str = "\
The page can be read by everybody on this machine. Whoever frees a lock on it is asked for the token, which is printed \
once, at the start. TERM or INT ends it, with 0.";

/// Where the page is when nobody says anything.
pub(crate) const LISTEN: &str = "127.0.0.1:8421";

/// Show the locks live on a web page, for this machine only
#[derive(Debug, clap::Args)]
#[command(after_help = TOKEN)]
pub(crate) struct Args {
    /// Where the page is served, a loopback address; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = LISTEN)]
    listen: SocketAddr,
    /// Serve numbers for Prometheus too, at /metrics
    #[arg(long)]
    metrics: bool,
    /// Let nobody free a lock, token or not
    #[arg(long)]
    read_only: bool,
    /// Follow the locks by listing them again and again, as on servers before 3.6
    #[arg(long)]
    poll: bool,
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(until_stopped(config, args))
}

async fn until_stopped(config: &Config, args: &Args) -> Result<u8, Failure> {
    let catch = |kind| signal(kind).map_err(|error| Failure::os("cannot catch signals", error));
    let (mut term, mut int) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    tokio::select! {
        served = show(config, args) => served?,
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(exit::OK)
}

async fn show(config: &Config, args: &Args) -> Result<(), Failure> {
    let listener = listen(args.listen).await?;
    let client = locks::connect(config).await?;
    let how = if args.poll { How::Poll } else { How::Watch };
    let follower = Follower::start(client, roots(config), how);
    let mut page = Page::new(servers(config)?);
    page.tls = locks::tls(config)?;
    page.metrics = args.metrics;
    page.token = if args.read_only { None } else { Some(token()?) };
    announce(&listener, &page)?;
    serve(listener, &follower, page).await.map_err(|error| failure(&error))
}

/// Follows the locks of the server at `server`, which runs in this process, on a thread of its own, until the process ends:
/// serves the page at `at`, and keeps the `numbers`.
///
/// # Errors
/// The address is no loopback address, or taken.
pub(crate) fn beside(
    config: Config,
    server: SocketAddr,
    at: Option<SocketAddr>,
    numbers: Option<LockNumbers>,
) -> Result<(), Failure> {
    if at.is_none() && numbers.is_none() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::os("cannot follow the locks", error))?;
    let server = reached_at(server);
    let page = match at {
        Some(at) => {
            let listener = runtime.block_on(listen(at))?;
            let mut page = Page::new(vec![server.to_string()]);
            (page.metrics, page.token) = (true, Some(token()?));
            announce(&listener, &page)?;
            Some((listener, page))
        }
        None => None,
    };
    let config = Config { servers: Servers::Named(server.to_string()), tls: None, ..config };
    std::thread::spawn(move || {
        let followed = runtime.block_on(async {
            let client = locks::connect(&config).await?;
            let (keeper, expired) = numbers.map(LockNumbers::split).unzip();
            let follower = match expired {
                Some(expired) => Follower::beside_server(client, roots(&config), expired),
                None => Follower::start(client, roots(&config), How::Watch),
            };
            let keeping = async {
                match keeper {
                    Some(keeper) => keeper.keep(&follower).await,
                    None => std::future::pending().await,
                }
            };
            let serving = async {
                match page {
                    Some((listener, page)) => serve(listener, &follower, page).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                served = serving => served.map_err(|error| failure(&error)),
                () = keeping => Ok(()),
            }
        });
        if let Err(failure) = followed {
            say(format_args!("the locks are not followed any more: {}", failure.line()));
        }
    });
    Ok(())
}

/// The roots of the locks that the command looks at.
pub(crate) fn roots(config: &Config) -> Vec<String> {
    match &config.lock_root {
        Some(root) => vec![root.clone()],
        None => [LOCKS, ZKTOOLS].map(str::to_string).to_vec(),
    }
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, Failure> {
    if !addr.ip().to_canonical().is_loopback() {
        return Err(failure(&zooky_ui::ServeError::Exposed { addr }));
    }
    let bound = TcpListener::bind(addr).await;
    bound.map_err(|error| Failure::os(format_args!("cannot serve the page at {addr}"), error))
}

fn failure(error: &zooky_ui::ServeError) -> Failure {
    let code = match error {
        zooky_ui::ServeError::Exposed { .. } => exit::USAGE,
        _ => exit::OS,
    };
    Failure::new(code, error)
}

fn servers(config: &Config) -> Result<Vec<String>, Failure> {
    let (Servers::Named(servers) | Servers::Default(servers)) = &config.servers;
    let list: ServerList = servers.parse().map_err(|error| locks::failure(&zooky::Error::Servers(error)))?;
    Ok(list.servers().collect())
}

fn token() -> Result<Token, Failure> {
    Token::random().ok_or_else(|| Failure::new(exit::OS, "the system has no randomness for a token"))
}

/// Where it is, and the token: the result of the command, so on standard output.
fn announce(listener: &TcpListener, page: &Page) -> Result<(), Failure> {
    let at = listener.local_addr()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "page at http://{at}/")?;
    if page.metrics {
        writeln!(out, "metrics at http://{at}/metrics")?;
    }
    match &page.token {
        Some(token) => writeln!(out, "token to free locks: {token}")?,
        None => say("nobody can free a lock on it"),
    }
    Ok(out.flush()?)
}
