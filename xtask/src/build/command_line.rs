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
    let mut command = process::cargo(rooms);
    command.args([
        "build",
        "-p",
        "webimport-cli",
        "--bin",
        "webimport",
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
        bail!("the command line does not build");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo named no executable of `webimport-cli`")
}
