//! `zooky doctor`: looks at everything that a lock needs, and says what is wrong.

mod checks;
mod servers;

use crate::config::Config;
use crate::exit::{self, Failure};
use crate::json;
use crate::table::{Cell, Colour, Table};
use serde::Serialize;

/// Check the configuration, the servers, the clock and the rights, and say what is wrong
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
It takes a lock of its own (zooky-doctor-…) where locks live and removes it again. It starts no server.

A setting's flag counts before its environment variable, that before the file (ZOOKY_CONFIG, else \
~/.config/zooky/config.toml), that before the default.

Exit codes: 0 nothing is wrong (there may be warnings); 1 something is; 69 no server lets us in; 78 the configuration makes no sense.";

/// `zooky doctor --json`.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    settings: Vec<Setting>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Setting {
    name: &'static str,
    value: String,
    from: String,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    state: State,
    says: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Worth knowing; locks work.
    Warning,
    Wrong,
}

impl Check {
    fn new(name: impl Into<String>, state: State, says: impl Into<String>) -> Check {
        Check { name: name.into(), state, says: says.into() }
    }

    fn ok(name: impl Into<String>, says: impl Into<String>) -> Check {
        Check::new(name, State::Ok, says)
    }

    fn wrong(name: impl Into<String>, says: impl Into<String>) -> Check {
        Check::new(name, State::Wrong, says)
    }
}

/// Runs the verb.
pub(crate) fn main(config: &Config, args: &Args) -> Result<u8, Failure> {
    crate::block_on(examine(config, args))
}

async fn examine(config: &Config, args: &Args) -> Result<u8, Failure> {
    let mut checks = servers::check(config).await;
    let mut inside = false;
    if servers::may_connect(config, &checks) {
        let (more, let_in) = checks::check(config).await;
        checks.extend(more);
        inside = let_in;
    }
    let worst = checks.iter().map(|check| check.state).max();
    let settings = config.settings.iter().map(|setting| Setting {
        name: setting.name,
        value: setting.value.clone(),
        from: setting.source.to_string(),
    });
    let report = Report { ok: worst < Some(State::Wrong), settings: settings.collect(), checks };
    if args.json {
        json::print(&report)?;
    } else {
        report.print()?;
    }
    Ok(match (inside, report.ok) {
        (false, _) => exit::UNAVAILABLE,
        (true, true) => exit::OK,
        (true, false) => exit::NO,
    })
}

impl Report {
    fn print(&self) -> Result<(), Failure> {
        let mut settings = Table::new(["SETTING", "VALUE", "FROM"]);
        for Setting { name, value, from } in &self.settings {
            settings.row([*name, value, from]);
        }
        settings.print()?;
        println()?;
        let mut checks = Table::new(["CHECK", "STATE", "WHAT IT SAYS"]);
        for Check { name, state, says } in &self.checks {
            let state = match state {
                State::Ok => Colour::Good.cell("ok"),
                State::Warning => Colour::Busy.cell("warning"),
                State::Wrong => Colour::Bad.cell("WRONG"),
            };
            checks.row([Cell::from(name.as_str()), state, says.as_str().into()]);
        }
        Ok(checks.print()?)
    }
}

fn println() -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout().lock())
}
