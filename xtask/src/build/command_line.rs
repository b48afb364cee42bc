//! The command line, `webimport`, as a native program.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::progress::note;
use crate::rooms::Rooms;

/// How it is compiled.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    /// For tests.
    Debug,
    /// For people.
    Release,
}

/// Builds the program and says where it is. Cargo itself knows whether there is something to do.
pub(crate) fn build(rooms: &Rooms, profile: Profile) -> Result<PathBuf> {
    note("building the command line…");
    program(rooms, profile, "webimport")
}

/// The same for the client of the conformance suite, as people would build it.
pub(crate) fn conformance_client(rooms: &Rooms) -> Result<PathBuf> {
    note("building the conformance client…");
    program(rooms, Profile::Release, "webimport-tuf-client")
}

fn program(rooms: &Rooms, profile: Profile, name: &str) -> Result<PathBuf> {
    let mut command = process::cargo(rooms);
    command.args([
        "build",
        "-p",
        "webimport-cli",
        "--bin",
        name,
        "--message-format",
        "json-render-diagnostics",
    ]);
    if matches!(profile, Profile::Release) {
        command.arg("--release");
    }
    // Compiler messages go to stderr as they come; stdout has one JSON object a line.
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("`{name}` does not build");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .with_context(|| format!("cargo named no executable `{name}`"))
}
