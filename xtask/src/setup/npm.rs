//! npm packages: the Pyodide versions under test, the tools that bundle the page's script, and the Node that makes memory
//! snapshots.
//!
//! That Node is there for two kinds of machine. On others, and where `npm` is, another one has to be.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::digest::fingerprint;
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

const OLDEST_NODE: u32 = 20;

/// Runs `npm ci` in `target/tools/npm` for `www/package.json` and its lock file.
pub(crate) fn install(rooms: &Rooms) -> Result<()> {
    let folder = rooms.at("target/tools/npm");
    let lists: Vec<PathBuf> = ["package.json", "package-lock.json"]
        .iter()
        .map(|name| rooms.at("www").join(name))
        .collect();
    let stamp = Stamp::new(folder.join("installed"), fingerprint(&lists, "npm 1")?);
    if stamp.is_current(&[
        &rooms.npm_bin("esbuild"),
        &rooms.node_modules().join("pyodide/pyodide.mjs"),
    ]) {
        return Ok(());
    }
    check_node(rooms)?;
    std::fs::create_dir_all(&folder)?;
    stamp.clear()?;
    for list in &lists {
        let name = list.file_name().context("a package list has no name")?;
        std::fs::copy(list, folder.join(name))
            .with_context(|| format!("cannot copy `{}`", list.display()))?;
    }
    step(
        "installing pyodide, binaryen, esbuild, typescript and Node 24 by npm",
        "about 10 s",
        || {
            process::quiet(
                rooms,
                "npm",
                own(process::command(rooms, "npm"))
                    .args([
                        "ci",
                        "--ignore-scripts",
                        "--no-audit",
                        "--no-fund",
                        "--no-update-notifier",
                    ])
                    .current_dir(&folder),
            )
        },
    )?;
    stamp.write()
}

/// With the Node that was there before: npm takes away what it has installed before it installs anew.
fn own(mut command: Command) -> Command {
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn check_node(rooms: &Rooms) -> Result<()> {
    let said = process::output(own(process::command(rooms, "node")).arg("--version"))
        .context("Node is not there\nhint: install Node 20 or later, https://nodejs.org")?;
    let major = said
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        bail!("expected Node {OLDEST_NODE} or later, got `{said}`");
    }
    Ok(())
}
