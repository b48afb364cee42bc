//! Memory snapshots of Pyodide with webimport and nothing else, for pages that start by `boot`.
//!
//! Made by the script of `webimport snapshot`: the same site makes the same bytes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Map, Value, json};

use crate::digest::{fingerprint, sha256_hex};
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// Packages of npm whose snapshots are made.
const PYODIDES: [&str; 2] = ["pyodide", "pyodide-0.29"];

/// What `webimport.js` knows of them: a description, JSON text, for each version of Pyodide.
pub(crate) struct Snapshots {
    /// A JSON object.
    pub(crate) descriptions: String,
    /// The folder with `objects/`.
    pub(crate) folder: PathBuf,
}

/// Makes them of `target/site`, which has to be built, in `target/snapshots`.
pub(crate) fn make(rooms: &Rooms) -> Result<Snapshots> {
    let folder = rooms.at("target/snapshots");
    let list = folder.join("descriptions.json");
    let assets = rooms.at("src/cli/assets");
    let mut inputs: Vec<PathBuf> = ["webimport.js", "webimport.wasm"]
        .iter()
        .map(|name| rooms.site().join(name))
        .collect();
    inputs.extend(["snapshot.mjs", "snapshot.py"].map(|name| assets.join(name)));
    for package in PYODIDES {
        let package = rooms.node_modules().join(package);
        inputs.extend(["package.json", "pyodide.asm.wasm"].map(|name| package.join(name)));
    }
    let stamp = Stamp::new(folder.join("made"), fingerprint(&inputs, "snapshots 1")?);
    if !stamp.is_current(&[&list]) {
        stamp.clear()?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder).context("cannot empty `target/snapshots`")?;
        }
        std::fs::create_dir_all(&folder).context("cannot make `target/snapshots`")?;
        step(
            "making memory snapshots of Pyodide",
            "about 20 s",
            || -> Result<()> {
                let mut descriptions = Map::new();
                for package in PYODIDES {
                    let description = one(rooms, &rooms.node_modules().join(package), &folder)?;
                    let version = text(&description, "pyodide")?.to_owned();
                    descriptions.insert(version, description.to_string().into());
                }
                std::fs::write(&list, Value::Object(descriptions).to_string())
                    .with_context(|| format!("cannot write `{}`", list.display()))
            },
        )?;
        stamp.write()?;
    }
    let descriptions = std::fs::read_to_string(&list)
        .with_context(|| format!("cannot read `{}`", list.display()))?;
    Ok(Snapshots {
        descriptions,
        folder,
    })
}

/// Makes one, keeps its object in `folder`, and describes it.
fn one(rooms: &Rooms, pyodide: &Path, folder: &Path) -> Result<Value> {
    let (out, report) = (folder.join("memory"), folder.join("report.json"));
    let job = json!({
        "pyodide": pyodide,
        "webimport": rooms.site(),
        "version": env!("CARGO_PKG_VERSION"),
        "release": null,
        "imports": [],
        "out": out,
        "report": report,
    });
    let file = folder.join("job.json");
    std::fs::write(&file, job.to_string())
        .with_context(|| format!("cannot write `{}`", file.display()))?;
    process::quiet(
        rooms,
        "snapshot",
        process::command(rooms, "node")
            .arg(rooms.at("src/cli/assets/snapshot.mjs"))
            .arg(&file),
    )?;
    let report: Value = serde_json::from_slice(&read(&report)?).context("expected a report")?;
    if let Some(error) = report.get("error") {
        bail!("no snapshot of `{}`: {error}", pyodide.display());
    }
    let memory = read(&out)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&memory)?;
    let stored = encoder.finish()?;
    let sha256 = sha256_hex(&stored);
    let objects = folder.join("objects").join(&sha256[..2]);
    std::fs::create_dir_all(&objects)?;
    std::fs::write(objects.join(&sha256), &stored)?;
    let description = json!({
        "format": "webimport-snapshot/1",
        "pyodide": text(&report, "pyodide")?,
        "build": text(&report, "build")?,
        "wasm": sha256_hex(&read(&pyodide.join("pyodide.asm.wasm"))?),
        "stdlib": sha256_hex(&read(&pyodide.join("python_stdlib.zip"))?),
        "tag": text(&report, "tag")?,
        "webimport": text(&report, "webimport")?,
        "object": {
            "sha256": sha256,
            "size": stored.len(),
            "encoding": "gzip",
            "decoded_size": memory.len(),
            "decoded_sha256": sha256_hex(&memory),
        },
        "releases": [],
        "modules": [],
    });
    std::fs::remove_file(&out)?;
    Ok(description)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key]
        .as_str()
        .with_context(|| format!("expected `{key}` in {value}"))
}
