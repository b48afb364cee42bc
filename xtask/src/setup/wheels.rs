//! Wheels from PyPI, pinned by hash in `wheels.txt`, in `target/tools/wheels`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::digest::{fingerprint, sha256_hex};
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// One line of `wheels.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// The project's name in its normal form: lower case, with `-`.
    pub(crate) name: String,
    pub(crate) version: String,
    sha256: String,
}

/// Downloads the wheels, checked against their hashes by pip.
pub(crate) fn install(rooms: &Rooms) -> Result<()> {
    let list = rooms.at("xtask/wheels.txt");
    let folder = rooms.wheels();
    let stamp = Stamp::new(
        folder.join("downloaded"),
        fingerprint(std::slice::from_ref(&list), "wheels 2")?,
    );
    let pinned = pinned(rooms)?;
    if stamp.is_current(&[]) && pinned.iter().all(|wheel| path(rooms, wheel).is_some()) {
        return Ok(());
    }
    step(
        &format!("downloading {} wheels from PyPI", pinned.len()),
        "12 MB",
        || {
            if folder.exists() {
                std::fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot empty `{}`", folder.display()))?;
            }
            std::fs::create_dir_all(&folder)?;
            process::quiet(
                rooms,
                "pip-download",
                process::command(rooms, rooms.venv_bin("python"))
                    .args([
                        "-m",
                        "pip",
                        "download",
                        "--quiet",
                        "--disable-pip-version-check",
                    ])
                    .args(["--require-hashes", "--no-deps", "--only-binary", ":all:"])
                    // They are for Pyodide's Python and not for the one that runs pip.
                    .args(["--python-version", "3.14", "--implementation", "cp"])
                    .args(["--platform", "pyemscripten_2026_0_wasm32"])
                    .args(["--platform", "any"])
                    .args(["--abi", "cp314", "--abi", "none"])
                    .arg("--dest")
                    .arg(&folder)
                    .arg("--requirement")
                    .arg(&list),
            )
        },
    )?;
    for wheel in &pinned {
        if path(rooms, wheel).is_none() {
            bail!(
                "pip downloaded no wheel of `{}` {}",
                wheel.name,
                wheel.version
            );
        }
    }
    stamp.write()
}

/// The downloaded wheel of a project, its bytes checked once more against `wheels.txt`.
pub(crate) fn wheel(rooms: &Rooms, name: &str) -> Result<PathBuf> {
    let pinned = pinned(rooms)?;
    let wheel = pinned
        .iter()
        .find(|wheel| wheel.name == name)
        .with_context(|| format!("`xtask/wheels.txt` has no `{name}`"))?;
    let path = path(rooms, wheel).with_context(|| {
        format!(
            "the wheel of `{name}` {} is not in target/tools/wheels",
            wheel.version
        )
    })?;
    let found = sha256_hex(&std::fs::read(&path)?);
    if found != wheel.sha256 {
        bail!(
            "`{}` has changed: expected sha256 {}, got {found}",
            path.display(),
            wheel.sha256
        );
    }
    Ok(path)
}

/// The wheels that `wheels.txt` names.
pub(crate) fn pinned(rooms: &Rooms) -> Result<Vec<Pinned>> {
    read(&rooms.at("xtask/wheels.txt"))
}

/// The lines of `wheels.txt`, or of another list in its form.
pub(super) fn read(list: &Path) -> Result<Vec<Pinned>> {
    let text = std::fs::read_to_string(list)
        .with_context(|| format!("cannot read `{}`", list.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Pinned>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (requirement, sha256) = line
                .split_once(" --hash=sha256:")
                .with_context(|| format!("`{line}` has no ` --hash=sha256:`"))?;
            let (name, version) = requirement
                .split_once("==")
                .with_context(|| format!("`{line}` has no `==`"))?;
            Ok(Pinned {
                name: normal(name),
                version: version.to_owned(),
                sha256: sha256.to_owned(),
            })
        })
        .collect()
}

fn path(rooms: &Rooms, wheel: &Pinned) -> Option<PathBuf> {
    std::fs::read_dir(rooms.wheels())
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut fields = name.split('-');
            name.ends_with(".whl")
                && fields
                    .next()
                    .is_some_and(|project| normal(project) == wheel.name)
                && fields.next() == Some(wheel.version.as_str())
        })
}

/// A project's name in the form in which two names are compared (PEP 503).
pub(crate) fn normal(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '-' | '_' | '.') {
            if !text.ends_with('-') {
                text.push('-');
            }
        } else {
            text.extend(character.to_lowercase());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_pinned_wheel_and_refuses_one_without_hash() {
        let wheels =
            parse("# a comment\n\nMarkdown_It.Py==4.3.0 --hash=sha256:abc\n").expect("parses");
        let expected = Pinned {
            name: "markdown-it-py".to_owned(),
            version: "4.3.0".to_owned(),
            sha256: "abc".to_owned(),
        };
        assert_eq!(wheels, [expected]);
        assert!(parse("rich==15.0.0").is_err());
    }
}
