//! Puts `pkg-template` into the binary, for `webimport new`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What tests and builds of the template leave behind.
const LEFT_OUT: [&str; 6] = [
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "build",
    "dist",
];

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let template = here.join("../../pkg-template").canonicalize()?;
    println!("cargo::rerun-if-changed={}", template.display());

    let mut files = Vec::new();
    collect(&template, &template, &mut files)?;
    files.sort();
    let mut source = String::from("&[\n");
    for path in &files {
        let full = template.join(path);
        println!("cargo::rerun-if-changed={}", full.display());
        writeln!(
            source,
            "    ({path:?}, include_str!({:?})),",
            full.display().to_string()
        )
        .map_err(io::Error::other)?;
    }
    source.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(out.join("template.rs"), source)
}

fn collect(folder: &Path, root: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if LEFT_OUT.contains(&&*name) || name.ends_with(".egg-info") {
            continue;
        }
        if path.is_dir() {
            collect(&path, root, files)?;
        } else {
            let relative = path.strip_prefix(root).map_err(io::Error::other)?;
            files.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}
