//! The bench: builds what is measured, and lets `tests/bench` measure it.

use anyhow::Result;

use crate::rooms::Rooms;
use crate::setup::{self, Part};
use crate::{Outcome, build, process};

/// `cargo xtask bench [--json] [--only NAME] [--runs N] [--browser NAME]`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Result<Outcome> {
    let mut parts = build::PARTS.to_vec();
    parts.extend([Part::Geckodriver, Part::Browsers, Part::Venv, Part::Wheels]);
    setup::install(rooms, &parts)?;
    build::site(rooms)?;
    let mut bench = process::cargo(rooms);
    process::with_publishing_tools(rooms, &mut bench)
        .args(["run", "--quiet", "-p", "webimport-browser-tests"])
        .args(["--bin", "bench", "--"])
        .args(arguments);
    // Its standard output may be for another program.
    Ok(if bench.status()?.success() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}
