//! Dist: what is published, in `dist/npm`, `dist/pypi` and `dist/bin`.

mod npm;
mod pypi;

use std::path::Path;

use anyhow::{Context, Result};

use crate::digest::{gzip_len, integrity};
use crate::progress::{note, step};
use crate::rooms::Rooms;
use crate::setup::{self, Part};
use crate::{Outcome, build};

/// `cargo xtask dist`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Result<Outcome> {
    if let Some(argument) = arguments.first() {
        return Ok(Outcome::Usage(format!(
            "`dist` takes no argument, got `{argument}`"
        )));
    }
    let mut parts = build::PARTS.to_vec();
    parts.push(Part::Venv);
    setup::install(rooms, &parts)?;
    build::site(rooms)?;
    packages(rooms)?;
    let program = build::command_line(rooms, build::Profile::Release)?;
    let bin = rooms.at("dist/bin");
    empty(&bin)?;
    copy(&program, &bin.join("webimport"))?;
    report(rooms)?;
    Ok(Outcome::Done)
}

/// Fills `dist/npm` and `dist/pypi` from `target/site`, which has to be built.
pub(crate) fn packages(rooms: &Rooms) -> Result<()> {
    step("making the npm package", "", || npm::make(rooms))?;
    step("making the wheel", "", || pypi::make(rooms))
}

/// The attributes of the script tag for what was built last.
fn script_tag(script: &[u8]) -> String {
    format!(
        r#"<script type="module" src="webimport.js" integrity="{}"></script>"#,
        integrity(script)
    )
}

fn report(rooms: &Rooms) -> Result<()> {
    note("");
    println!("{:<58} {:>9} {:>9}", "", "bytes", "gzip");
    let mut files: Vec<_> = ["npm", "pypi", "bin"]
        .iter()
        .map(|name| crate::digest::files_below(&rooms.at("dist").join(name)))
        .collect::<Result<Vec<_>>>()?
        .concat();
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file)?;
        let name = file
            .strip_prefix(&rooms.top)
            .unwrap_or(&file)
            .display()
            .to_string();
        println!("{name:<58} {:>9} {:>9}", bytes.len(), gzip_len(&bytes)?);
    }
    println!(
        "\n{}",
        script_tag(&std::fs::read(rooms.at("dist/npm/webimport.js"))?)
    );
    Ok(())
}

/// The version of all packages, from the workspace.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to)
        .map(|_| ())
        .with_context(|| format!("cannot copy `{}`", from.display()))
}
