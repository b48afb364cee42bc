//! The test runner: sets up and builds what a suite needs, runs it, and counts.
//!
//! A suite that fails does not stop the next one. What the runners print is passed on as it comes; the
//! numbers in the table are read from it.

mod counts;
mod suites;

use self::counts::Counts;
use self::suites::Suite;
use crate::Outcome;
use crate::progress::note;
use crate::rooms::Rooms;

/// `cargo xtask test [SUITE…]`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Outcome {
    let mut chosen = Vec::new();
    for argument in arguments {
        match Suite::ALL
            .into_iter()
            .find(|suite| suite.name() == argument)
        {
            Some(suite) if chosen.contains(&suite) => {}
            Some(suite) => chosen.push(suite),
            None => {
                let names: Vec<&str> = Suite::ALL.iter().map(|suite| suite.name()).collect();
                return Outcome::Usage(format!(
                    "unknown suite `{argument}`, expected one of: {}",
                    names.join(" ")
                ));
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(Suite::ALL);
    }
    let mut results = Vec::new();
    for suite in chosen {
        note(&format!("\n── {}", suite.name()));
        let start = std::time::Instant::now();
        let mut counts = Counts::default();
        match suite.run(rooms, &mut counts) {
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
        "\n{:<10} {:>7} {:>7} {:>8} {:>8}",
        "suite", "passed", "failed", "skipped", "seconds"
    );
    for (suite, counts, elapsed) in &results {
        println!(
            "{:<10} {:>7} {:>7} {:>8} {:>8.1}",
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
