//! One file per verb: a struct `Args` whose comment is the verb's help, and a function `main`. A new verb is its file and
//! two lines here, in the order of `zooky --help`.

pub(crate) mod demo;
mod list;
mod run;
mod server;
mod show;
mod top;
pub(crate) mod ui;

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
    Demo(demo),
    List(list),
    Show(show),
    Top(top),
    Ui(ui),
    Server(server),
}
