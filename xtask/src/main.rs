//! `cargo xtask`: the project's only set-up, and its build, dist, test runner and demo.
//!
//! Everything that it installs or downloads goes under `target/tools`; browsers alone come from the
//! system's packages. It decides nothing about the product: versions of tools are pinned in `setup`,
//! in `www/package-lock.json`, `requirements.txt` and `wheels.txt`, and read from `Cargo.lock`.

mod bench;
mod build;
mod demo;
mod digest;
mod dist;
mod process;
mod progress;
mod rooms;
mod setup;
mod stamp;
mod test;

use std::process::ExitCode;

use rooms::Rooms;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup [PART…]                 install what is missing under target/tools (all parts, or those named)
  build                         the WebAssembly module and the page's script, into target/site
  dist                          dist/npm, dist/pypi and dist/bin
  test [SUITE…]                 all suites, or those named
  test conformance --suite DIR  the TUF conformance suite, of which DIR is a checkout
  test importlib --cpython DIR  with CPython's own tests, of which DIR is a checkout
  test packages --rich DIR      with the tests of rich, of which DIR is a checkout
  bench [--json] [--only NAME] [--runs N] [--browser NAME] [--large]
                                times, bytes and requests beside other ways of loading
  bench --short [--json]        bytes and requests alone, and whether they are within their limits
  demo [--port PORT]            the demo page on loopback
  demo --check [--screenshot FILE]
                                the same, with its cells run in a headless browser";

/// How a command that started ended: what it did may have worked or not, and a mistyped command line is
/// neither.
enum Outcome {
    Done,
    Failed,
    Usage(String),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = Rooms::find().and_then(|rooms| match arguments.split_first() {
        Some((command, rest)) => match command.as_str() {
            "setup" => setup::command(&rooms, rest),
            "build" => build::command(&rooms, rest),
            "dist" => dist::command(&rooms, rest),
            "test" => Ok(test::command(&rooms, rest)),
            "bench" => bench::command(&rooms, rest),
            "demo" => demo::command(&rooms, rest),
            "help" | "--help" | "-h" => {
                println!("{USAGE}");
                Ok(Outcome::Done)
            }
            other => Ok(Outcome::Usage(format!(
                "unknown command `{other}`\n{USAGE}"
            ))),
        },
        None => Ok(Outcome::Usage(USAGE.to_owned())),
    });
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Usage(message)) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
