//! The command line: arguments in, text or JSON out, an exit code.
//!
//! Results go to standard output; progress, notes and errors to standard error. With `--json` exactly one JSON
//! object goes to standard output, an error too, and nothing else is said. Exit codes: 0 done, 1 refused or
//! failed, 2 not a valid command line.

mod console;
mod doctor;
mod init;
mod keys;
mod new;
mod release;
mod renew;
mod serve;
mod signing;
mod snapshot;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use webimport_core::error::Coded;

use console::{Console, Format};

/// Build, sign, serve and check releases of Python code for browser notebooks.
#[derive(Debug, Parser)]
#[command(name = "webimport", version, arg_required_else_help = true)]
struct Arguments {
    /// Write one JSON object to standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::Arguments),
    Init(init::Arguments),
    Release(Box<release::Arguments>),
    Snapshot(Box<snapshot::Arguments>),
    Renew(renew::Arguments),
    Keys(Box<keys::Arguments>),
    Serve(serve::Arguments),
    Verify(verify::Arguments),
    Doctor(doctor::Arguments),
}

/// Why a command did not do what it was asked to.
type Failure = Box<dyn Coded>;

/// Runs the command line `arguments`, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            return console::usage(
                &error,
                arguments.iter().any(|argument| argument == "--json"),
            );
        }
    };
    let console = Console::new(if parsed.json {
        Format::Json
    } else {
        Format::Text
    });
    let success = |()| ExitCode::SUCCESS;
    let done = match parsed.command {
        Command::New(arguments) => new::run(arguments, &console).map(success),
        Command::Init(arguments) => init::run(arguments, &console).map(success),
        Command::Release(arguments) => release::run(*arguments, &console).map(success),
        Command::Snapshot(arguments) => snapshot::run(*arguments, &console).map(success),
        Command::Renew(arguments) => renew::run(arguments, &console),
        Command::Keys(arguments) => keys::run(*arguments, &console).map(success),
        Command::Serve(arguments) => serve::run(arguments, &console).map(success),
        Command::Verify(arguments) => verify::run(arguments, &console).map(success),
        Command::Doctor(arguments) => doctor::run(arguments, &console),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            console.failure(&*failure);
            // What the parser cannot know.
            if failure.code().starts_with("usage.") {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The one place that reads the clock.
#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
