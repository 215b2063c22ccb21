//! One file per verb: a struct `Args` whose comment is the verb's help, and a function `main`. A new verb is its file and
//! two lines here, in the order of `zooky --help`.

mod bench;
mod clean;
mod completions;
mod deadlocks;
pub(crate) mod demo;
mod doctor;
mod elect;
mod hold;
mod list;
mod man;
mod node;
mod remove;
mod revoke;
mod run;
mod server;
mod show;
mod top;
mod tree;
pub(crate) mod ui;
mod wait;

pub(crate) use run::without_separator;

use crate::config::Config;
use crate::exit::Failure;

/// Makes the verbs' enum and finds a verb's `main`.
macro_rules! verbs {
    ($($name:ident($module:ident),)*) => {
        /// The verbs. (Their help is that of their `Args`.)
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Verb {
            $($name($module::Args),)*
        }

        impl Verb {
            /// Does its work; the exit code.
            pub(crate) fn main(&self, config: &Config) -> Result<u8, Failure> {
                match self {
                    $(Verb::$name(args) => $module::main(config, args),)*
                }
            }
        }
    };
}

verbs! {
    Run(run),
    Hold(hold),
    Wait(wait),
    Elect(elect),
    List(list),
    Show(show),
    Tree(tree),
    Deadlocks(deadlocks),
    Revoke(revoke),
    Remove(remove),
    Clean(clean),
    Node(node),
    Doctor(doctor),
    Top(top),
    Ui(ui),
    Server(server),
    Demo(demo),
    Bench(bench),
    Completions(completions),
    Man(man),
}

/// The verb that scripts start again and again, by itself: see `Cli::read`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Often {
    Run(run::Args),
}
