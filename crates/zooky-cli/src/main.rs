//! The program `zooky`; all of it is in the library beside this file.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use zooky_cli::{Invocation, main_from};

fn main() -> ExitCode {
    ExitCode::from(main_from(Invocation::this_program(), std::env::args_os()))
}
