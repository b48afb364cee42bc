//! The bench: builds what is measured, and lets `tests/bench` measure it.

use std::process::Command;

use anyhow::Result;

use crate::build::Profile;
use crate::rooms::Rooms;
use crate::setup::{self, Part};
use crate::{Outcome, build, dist, process};

/// `cargo xtask bench [--json] [--only NAME] [--runs N] [--browser NAME] [--large]`, or `bench --short [--json]`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Result<Outcome> {
    // Its standard output may be for another program.
    Ok(if program(rooms, arguments)?.status()?.success() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Builds what these arguments need, and gives the command that measures. With `--short` it ends with counts in the
/// form that [`test`](crate::test) reads.
pub(crate) fn program(rooms: &Rooms, arguments: &[String]) -> Result<Command> {
    let mut parts = build::PARTS.to_vec();
    parts.extend([Part::Geckodriver, Part::Browsers, Part::Venv, Part::Wheels]);
    setup::install(rooms, &parts)?;
    build::site(rooms)?;
    let mut bench = process::cargo(rooms);
    process::with_publishing_tools(rooms, &mut bench)
        .args(["run", "--quiet", "-p", "webimport-browser-tests"])
        .args(["--bin", "bench", "--"])
        .args(arguments);
    // What takes minutes to build is built for who measures it; bytes are the same from any build.
    let short = arguments.iter().any(|argument| argument == "--short");
    let profile = if short {
        Profile::Debug
    } else {
        Profile::Release
    };
    if measures(arguments, "scale") {
        let webimport = build::command_line(rooms, profile)?;
        bench.arg("--webimport").arg(webimport);
    }
    if measures(arguments, "boot") && !short {
        dist::packages(rooms)?;
        build::command_line(rooms, Profile::Debug)?;
    }
    if measures(arguments, "verify") && !short {
        let core = build::verifying_core(rooms)?.with_file_name("core.js");
        bench.arg("--core").arg(core);
    }
    Ok(bench)
}

/// Whether a bench is among those that are asked for. What is mistyped is the bench's business.
fn measures(arguments: &[String], name: &str) -> bool {
    let mut only = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--only=") {
            Some(value) => only = Some(value),
            None if argument == "--only" => only = arguments.next().map(String::as_str),
            None => {}
        }
    }
    only.is_none_or(|only| only == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bench_alone_needs_what_it_measures() {
        let of = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        assert!(measures(&of("--json --runs 1"), "scale"));
        assert!(measures(&of("--only scale --json"), "scale"));
        assert!(measures(&of("--only=scale"), "scale"));
        assert!(!measures(&of("--runs 1 --only size"), "scale"));
    }
}
