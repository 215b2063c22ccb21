//! The settings of `zooky server`: one table for flags, environment and `zoo.cfg`.
//!
//! Every setting has a flag, an environment variable (`ZOOKY_` and its name in capitals) and, where Apache
//! ZooKeeper knows it, a key of `zoo.cfg`. The flag counts before the environment, that before the file, and
//! that before the default.

mod table;
mod values;
mod zoo_cfg;

use crate::exit::{self, Failure};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use table::{SETTINGS, Setting};
use zooky_server::Config;

/// What `--listen` is when nobody says anything.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 2181);
/// The environment variables' common beginning.
const PREFIX: &str = "ZOOKY_";

/// The settings that stand on the command line, as text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    file: Option<PathBuf>,
    given: Vec<(&'static Setting, OsString)>,
}

/// What came of flags, environment and file.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// What the server is told.
    pub(crate) config: Config,
    /// Lines for the user about what is in the file and has no effect.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Puts all sources together. `env` looks up an environment variable.
    ///
    /// # Errors
    /// A value that makes no sense, with where it stands; a file that cannot be read or is an ensemble's; no
    /// data directory.
    pub(crate) fn resolve(&self, env: impl Fn(&str) -> Option<OsString>) -> Result<Resolved, Failure> {
        self.resolve_with(PathBuf::new(), env)
    }

    /// The same with a data directory for when nobody names one.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub(crate) fn resolve_with(
        &self,
        data_dir: PathBuf,
        env: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Resolved, Failure> {
        let mut config = Config::new(LISTEN.into(), data_dir);
        let mut warnings = Vec::new();
        // One that is empty counts as not set, as cron's do.
        let env = |name: &str| env(&variable(name)).filter(|value| !value.is_empty());
        if let Some(file) = self.file.clone().or_else(|| env("server-config").map(PathBuf::from)) {
            warnings = read(&file).and_then(|text| {
                zoo_cfg::apply(&text, &mut config)
                    .map_err(|error| usage(format!("{}: {error}", file.display())))
            })?;
            for warning in &mut warnings {
                *warning = format!("{}: {warning}", file.display());
            }
        }
        for setting in SETTINGS {
            if let Some(value) = env(setting.name) {
                let named = |error| usage(format!("{}: {error}", variable(setting.name)));
                setting.apply(&mut config, &value).map_err(named)?;
            }
        }
        for (setting, value) in &self.given {
            let named = |error| usage(format!("--{}: {error}", setting.name));
            setting.apply(&mut config, value).map_err(named)?;
        }
        if config.data_dir.as_os_str().is_empty() {
            let ways = "--data-dir DIR, ZOOKY_DATA_DIR, or dataDir in the file of --config";
            return Err(usage(format!("no data directory is named; use {ways}")));
        }
        if let Some(tls) = &config.tls
            && (tls.cert.as_os_str().is_empty() || tls.key.as_os_str().is_empty())
        {
            return Err(usage("TLS needs both --tls-cert FILE and --tls-key FILE".to_string()));
        }
        Ok(Resolved { config, warnings })
    }
}

impl Settings {
    /// The command line that gives these settings again.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let named = |name: &str, value: &OsStr| {
            let mut arg = OsString::from(format!("--{name}="));
            arg.push(value);
            arg
        };
        let file = self.file.iter().map(|file| named("config", file.as_os_str()));
        file.chain(self.given.iter().map(|(setting, value)| named(setting.name, value))).collect()
    }
}

/// The environment variable of a setting.
fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}

fn usage(message: String) -> Failure {
    Failure::new(exit::USAGE, message)
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::new(exit::USAGE, format!("cannot read the settings in {}: {error}", file.display()))
    })
}

fn argument(setting: &'static Setting) -> Arg {
    let help = format!("{} [env: {}]", setting.help, variable(setting.name));
    let arg = Arg::new(setting.name).long(setting.name).help(help).help_heading(setting.group.title());
    let arg = arg.value_parser(clap::value_parser!(OsString)).action(ArgAction::Set);
    if setting.value.is_empty() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
    } else {
        arg.value_name(setting.value).allow_hyphen_values(true)
    }
}

impl clap::Args for Settings {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config").long("config").value_name("FILE");
        let help = "Read the settings in FILE, a zoo.cfg of one server; flags and environment count more \
                    [env: ZOOKY_SERVER_CONFIG]";
        let file = file.value_parser(clap::value_parser!(PathBuf)).help(help);
        command.arg(file).args(SETTINGS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Settings::augment_args(command)
    }
}

impl clap::FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Settings, clap::Error> {
        let mut settings = Settings::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        let value = |s: &'static Setting| matches.get_one::<OsString>(s.name).cloned().map(|v| (s, v));
        self.given = SETTINGS.iter().filter_map(value).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
