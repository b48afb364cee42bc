//! The Python package as a TypeScript module, which the page's script imports as `webimport:python`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::digest::files_below;
use crate::rooms::Rooms;

/// Where the generated module is.
pub(crate) fn path(rooms: &Rooms) -> PathBuf {
    rooms.web().join("python.ts")
}

/// Writes `target/web/python.ts`, whose default export maps `webimport/….py` to its text.
///
/// The file is left alone when it would not change, so that nothing after it is made anew.
pub(crate) fn generate(rooms: &Rooms) -> Result<()> {
    let text = module(&sources(&rooms.at("src/python"))?)?;
    let path = path(rooms);
    if std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    std::fs::create_dir_all(rooms.web())?;
    std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))
}

fn sources(room: &Path) -> Result<BTreeMap<String, String>> {
    let mut sources = BTreeMap::new();
    for file in files_below(&room.join("webimport"))? {
        if file.extension().is_none_or(|extension| extension != "py") {
            continue;
        }
        let name = file
            .strip_prefix(room)?
            .to_str()
            .context("a Python source's name is not UTF-8")?;
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        sources.insert(name.to_owned(), text);
    }
    if !sources.contains_key("webimport/__init__.py") {
        bail!("`src/python/webimport/__init__.py` is missing");
    }
    Ok(sources)
}

fn module(sources: &BTreeMap<String, String>) -> Result<String> {
    Ok(format!(
        "// Generated from src/python by `cargo xtask build`.\n\
         const files: Readonly<Record<string, string>> = {};\n\
         export default files;\n",
        serde_json::to_string_pretty(sources)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_become_a_record_with_quoted_text() {
        let sources = BTreeMap::from([(
            "webimport/__init__.py".to_owned(),
            "x = \"a\\n\"\n".to_owned(),
        )]);
        let text = module(&sources).expect("generates");
        assert!(
            text.contains("\"webimport/__init__.py\": \"x = \\\"a\\\\n\\\"\\n\""),
            "{text}"
        );
    }
}
