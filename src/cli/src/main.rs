//! The command `webimport`.

use std::process::ExitCode;

fn main() -> ExitCode {
    webimport_cli::cli::run(std::env::args_os())
}
