//! A Pyodide folder that a JupyterLite site can run from without any other host.
//!
//! npm's package holds Pyodide's core and a lock file that names hundreds of packages, but none of their
//! files. JupyterLite's kernel needs a few of them, all pure Python: their wheels come from PyPI, in the
//! lock file's versions, and the lock file is written anew with just those.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::wheels::{normal, pinned, wheel};
use crate::digest::{fingerprint, sha256_hex};
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

const CORE: &[&str] = &[
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
];

/// What the kernel asks for by name; the lock file knows what those need.
const NEEDED: &[&str] = &["micropip", "packaging", "ipython", "jedi", "comm"];

/// Packages that the lock file does not name, with the one import name of each.
const UNLISTED: &[(&str, &str)] = &[("comm", "comm")];

/// Makes `target/tools/jupyterlite-pyodide`.
pub(crate) fn make(rooms: &Rooms) -> Result<()> {
    let core = rooms.node_modules().join("pyodide");
    let folder = rooms.jupyterlite_pyodide();
    let inputs: Vec<PathBuf> = vec![
        core.join("package.json"),
        core.join("pyodide-lock.json"),
        rooms.at("xtask/wheels.txt"),
    ];
    let stamp = Stamp::new(
        rooms.tools().join("jupyterlite-pyodide.stamp"),
        fingerprint(&inputs, "jupyterlite 1")?,
    );
    if stamp.is_current(&[
        &folder.join("pyodide-lock.json"),
        &folder.join("pyodide.asm.wasm"),
    ]) {
        return Ok(());
    }
    stamp.clear()?;
    step("making a Pyodide folder for JupyterLite", "", || {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty `{}`", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)?;
        for name in CORE {
            copy(&core.join(name), &folder)?;
        }
        let lock_file = core.join("pyodide-lock.json");
        let text = std::fs::read_to_string(&lock_file)
            .with_context(|| format!("cannot read `{}`", lock_file.display()))?;
        let mut lock: Value =
            serde_json::from_str(&text).context("Pyodide's lock file is no JSON")?;
        let packages = choose(&lock)?;
        let mut entries = BTreeMap::new();
        for (name, entry) in packages {
            entries.insert(name.clone(), fill(rooms, &name, entry, &folder)?);
        }
        lock["packages"] = json!(entries);
        std::fs::write(
            folder.join("pyodide-lock.json"),
            serde_json::to_string_pretty(&lock)?,
        )?;
        Ok(())
    })?;
    stamp.write()
}

/// The lock file's entries for what the kernel needs, directly or not; None for an unlisted package.
fn choose(lock: &Value) -> Result<BTreeMap<String, Option<Value>>> {
    let listed = lock["packages"]
        .as_object()
        .context("Pyodide's lock file has no `packages`")?;
    let listed: BTreeMap<String, &Value> = listed
        .iter()
        .map(|(name, entry)| (normal(name), entry))
        .collect();
    let mut chosen = BTreeMap::new();
    let mut wanted: BTreeSet<String> = NEEDED.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = wanted.pop_first() {
        if chosen.contains_key(&name) {
            continue;
        }
        let entry = listed.get(&name).copied();
        for needed in entry
            .and_then(|entry| entry["depends"].as_array())
            .into_iter()
            .flatten()
        {
            wanted.insert(normal(
                needed.as_str().context("a `depends` entry is no text")?,
            ));
        }
        chosen.insert(name, entry.cloned());
    }
    Ok(chosen)
}

/// Copies the package's wheel and describes it as the lock file does.
fn fill(rooms: &Rooms, name: &str, entry: Option<Value>, folder: &Path) -> Result<Value> {
    let file = wheel(rooms, name)?;
    copy(&file, folder)?;
    let pinned = pinned(rooms)?;
    let version = &pinned
        .iter()
        .find(|wheel| wheel.name == name)
        .with_context(|| format!("no pinned `{name}`"))?
        .version;
    let mut entry = match entry {
        Some(entry) if entry["version"] == json!(version) => entry,
        Some(entry) => bail!(
            "`xtask/wheels.txt` has `{name}` {version}, but Pyodide's lock file wants {}",
            entry["version"]
        ),
        None => {
            let (_, import) = UNLISTED
                .iter()
                .find(|(unlisted, _)| *unlisted == name)
                .with_context(|| {
                    format!("neither Pyodide's lock file nor this list knows `{name}`")
                })?;
            json!({
                "name": name, "version": version, "install_dir": "site", "package_type": "package",
                "imports": [import], "depends": [],
            })
        }
    };
    entry["file_name"] = json!(file.file_name().unwrap_or_default().to_string_lossy());
    entry["sha256"] = json!(sha256_hex(&std::fs::read(&file)?));
    entry["unvendored_tests"] = json!(false);
    Ok(entry)
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_name().context("a file has no name")?;
    std::fs::copy(file, folder.join(name))
        .with_context(|| format!("cannot copy `{}`", file.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_what_is_needed_and_what_that_needs_and_nothing_else() {
        let lock = json!({"packages": {
            "micropip": {"depends": ["packaging"]}, "packaging": {"depends": []}, "jedi": {"depends": ["parso"]},
            "parso": {"depends": []}, "ipython": {"depends": ["prompt_toolkit"]}, "numpy": {"depends": []},
        }});
        let chosen = choose(&lock).expect("chooses");
        let names: Vec<&str> = chosen.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "comm",
                "ipython",
                "jedi",
                "micropip",
                "packaging",
                "parso",
                "prompt-toolkit"
            ]
        );
        assert!(chosen["comm"].is_none());
        assert!(chosen["jedi"].is_some());
    }
}
