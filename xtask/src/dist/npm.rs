//! The npm package `webimport`: the script, its types, its WebAssembly module, and memory snapshots of Pyodide, which the
//! script knows by their digests.

use anyhow::{Context, Result};

use super::{copy, empty, script_tag, version};
use crate::build::{page_script, snapshots};
use crate::digest::files_below;
use crate::rooms::Rooms;

/// A template and not made by `json!`: the order of keys in `exports` has a meaning.
const PACKAGE: &str = include_str!("npm-package.json");
const README: &str = include_str!("npm-readme.md");

/// Fills `dist/npm`.
pub(super) fn make(rooms: &Rooms) -> Result<()> {
    let folder = rooms.at("dist/npm");
    empty(&folder)?;
    for name in ["webimport.wasm", "webimport.d.ts"] {
        copy(&rooms.site().join(name), &folder.join(name))?;
    }
    let snapshots = snapshots::make(rooms)?;
    page_script::bundle_with(rooms, &snapshots.descriptions, &folder.join("webimport.js"))?;
    let objects = files_below(&snapshots.folder.join("objects"))?;
    for object in objects {
        let name = object.strip_prefix(&snapshots.folder)?;
        let target = folder.join(name);
        std::fs::create_dir_all(target.parent().context("an object is in a folder")?)?;
        copy(&object, &target)?;
    }
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&rooms.at(name), &folder.join(name))?;
    }
    let script = std::fs::read(folder.join("webimport.js"))?;
    for (name, template) in [("package.json", PACKAGE), ("README.md", README)] {
        let text = template
            .replace("{{version}}", version())
            .replace("{{script_tag}}", &script_tag(&script));
        std::fs::write(folder.join(name), text)
            .with_context(|| format!("cannot write `dist/npm/{name}`"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_json_and_names_files_that_are_put_there() {
        let package: serde_json::Value =
            serde_json::from_str(&PACKAGE.replace("{{version}}", version())).expect("is JSON");
        assert_eq!(package["version"], version());
        assert_eq!(package["exports"]["."]["default"], "./webimport.js");
    }
}
