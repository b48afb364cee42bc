//! The test runner: sets up and builds what a suite needs, runs it, and counts.
//!
//! A suite that fails does not stop the next one. What the runners print is passed on as it comes; the
//! numbers in the table are read from it.

mod conformance;
mod counts;
mod fuzz;
#[cfg(test)]
mod named;
mod suites;

use std::path::PathBuf;

use self::counts::Counts;
use self::suites::{Checkouts, Suite};
use crate::Outcome;
use crate::progress::note;
use crate::rooms::Rooms;

/// `cargo xtask test [SUITE…]`, `--suite DIR` for the suite `conformance`, `--cpython DIR` for `importlib`, `--rich DIR`
/// for `packages`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Outcome {
    let mut chosen = Vec::new();
    let mut checkouts = Checkouts::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let checkout = match argument.as_str() {
            "--suite" => Some(&mut checkouts.tuf),
            "--cpython" => Some(&mut checkouts.cpython),
            "--rich" => Some(&mut checkouts.rich),
            _ => None,
        };
        if let Some(checkout) = checkout {
            let Some(folder) = arguments.next() else {
                return Outcome::Usage(format!("expected a folder after `{argument}`"));
            };
            *checkout = Some(PathBuf::from(folder));
            continue;
        }
        match Suite::NAMED
            .into_iter()
            .find(|suite| suite.name() == argument)
        {
            Some(suite) if chosen.contains(&suite) => {}
            Some(suite) => chosen.push(suite),
            None => {
                let names: Vec<&str> = Suite::NAMED.iter().map(|suite| suite.name()).collect();
                return Outcome::Usage(format!(
                    "unknown suite `{argument}`, expected one of: {}",
                    names.join(" ")
                ));
            }
        }
    }
    if checkouts.tuf.is_some() != chosen.contains(&Suite::Conformance) {
        return Outcome::Usage(
            "expected `conformance --suite DIR`, with a checkout of the TUF conformance suite"
                .to_owned(),
        );
    }
    if checkouts.cpython.is_some() && !chosen.contains(&Suite::Importlib) {
        return Outcome::Usage(
            "expected `importlib --cpython DIR`, with a checkout of CPython 3.14".to_owned(),
        );
    }
    if checkouts.rich.is_some() && !chosen.contains(&Suite::Packages) {
        return Outcome::Usage(
            "expected `packages --rich DIR`, with a checkout of rich".to_owned(),
        );
    }
    if chosen.is_empty() {
        chosen.extend(Suite::ALL);
    }
    let mut results = Vec::new();
    for suite in chosen {
        note(&format!("\n── {}", suite.name()));
        let start = std::time::Instant::now();
        let mut counts = Counts::default();
        match suite.run(rooms, &checkouts, &mut counts) {
            // A suite in which nothing ran has not shown that anything works.
            Ok(()) if counts == Counts::default() => {
                note(&format!("error: suite `{}` ran no test", suite.name()));
                counts.failed = 1;
            }
            Ok(()) => {}
            Err(error) => {
                note(&format!("error: suite `{}`: {error:#}", suite.name()));
                counts.failed = counts.failed.max(1);
            }
        }
        results.push((suite, counts, start.elapsed()));
    }
    let mut total = Counts::default();
    println!(
        "\n{:<11} {:>7} {:>7} {:>8} {:>8}",
        "suite", "passed", "failed", "skipped", "seconds"
    );
    for (suite, counts, elapsed) in &results {
        println!(
            "{:<11} {:>7} {:>7} {:>8} {:>8.1}",
            suite.name(),
            counts.passed,
            counts.failed,
            counts.skipped,
            elapsed.as_secs_f64()
        );
        total.add(*counts);
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 {
        Outcome::Done
    } else {
        Outcome::Failed
    }
}
