//! One process of the demo: waits for the lock, counts while it holds it, gives it back, and tells each step.

use super::ledger::Ledger;
use super::{Event, PATH};
use crate::cli::Globals;
use crate::config::Config;
use crate::exit::{self, Failure};
use crate::locks;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use zooky::{GuardState, RwLock};

/// Arguments: servers, session timeout in ms, how far to count, the pause in ms, the shared file.
pub(crate) fn main(args: &[OsString]) -> u8 {
    let text: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let [servers, timeout_ms, count, delay_ms, _] = text[..] else { return exit::USAGE };
    let (Ok(timeout_ms), Ok(count), Ok(delay_ms)) = (timeout_ms.parse(), count.parse(), delay_ms.parse())
    else {
        return exit::USAGE;
    };
    let session_timeout = Some(Duration::from_millis(timeout_ms));
    let globals = Globals { servers: Some(servers.to_string()), session_timeout, ..Globals::default() };
    // All else is where the demo itself has it from, who we are among it.
    let config = match Config::resolve(&globals) {
        Ok(config) => config,
        Err(failure) => return failure.report(),
    };
    end_with_parent();
    let work = async { work(&config, count, Duration::from_millis(delay_ms), Path::new(&args[4])).await };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime
        .map_err(|error| Failure::os("cannot start", error))
        .and_then(|runtime| runtime.block_on(work));
    match done {
        Ok(()) => exit::OK,
        Err(failure) => {
            let _ = tell(&Event::Failed(failure.line()));
            failure.report()
        }
    }
}

async fn work(config: &Config, count: u32, delay: Duration, ledger: &Path) -> Result<(), Failure> {
    let mut ledger = Ledger::open(ledger)?;
    let client = locks::connect(config).await?;
    let lock = RwLock::new(&client, PATH)?.with_acl(config.acl.clone());
    tell(&Event::Waiting)?;
    let guard = lock.write().await.map_err(|error| locks::failure(&error))?;
    let token = guard.fencing_token();
    tell(&Event::Holding(token.to_string()))?;
    let pid = std::process::id();
    ledger.write(token.as_u128(), pid, "enter")?;
    for number in 1..=count {
        if guard.state() == GuardState::Lost {
            return Err(Failure::new(exit::LOST, "the lock was lost"));
        }
        ledger.write(token.as_u128(), pid, &number.to_string())?;
        tell(&Event::Counted(number))?;
        tokio::time::sleep(delay).await;
    }
    ledger.write(token.as_u128(), pid, "leave")?;
    tell(&Event::Released)?;
    guard.release().await.map_err(|error| locks::failure(&error))?;
    locks::close(client).await;
    Ok(())
}

fn tell(event: &Event) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", event.line())?;
    Ok(out.flush()?)
}

/// Ends this process when the demo is gone: its end of our standard input closes then.
fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(i32::from(exit::UNAVAILABLE));
    });
}
