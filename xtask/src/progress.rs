//! Progress on stderr: one line for each step that takes time.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;

/// Says what is being done, does it, and adds the seconds that it took.
///
/// `about` is what a person should expect, such as `about 2 min`, or empty. The line is written in two
/// parts, so `work` should write nothing itself.
pub(crate) fn step<T>(what: &str, about: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if about.is_empty() {
        eprint!("{what}… ");
    } else {
        eprint!("{what} ({about})… ");
    }
    // A progress line that cannot be shown is no reason to stop.
    let _ = std::io::stderr().flush();
    let start = Instant::now();
    let result = work();
    match &result {
        Ok(_) => eprintln!("{:.1} s", start.elapsed().as_secs_f64()),
        Err(_) => eprintln!("failed after {:.1} s", start.elapsed().as_secs_f64()),
    }
    result
}

/// A plain line on stderr.
pub(crate) fn note(line: &str) {
    eprintln!("{line}");
}
