//! The Python environment that runs the Python tests, python-tuf, the build backends and JupyterLite's site builder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::digest::fingerprint;
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// Interpreters by preference: the one that a person calls first.
const INTERPRETERS: &[&str] = &[
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "python",
];
const OLDEST_MINOR: u32 = 11;

/// Makes `target/tools/venv` with the packages of `requirements.txt`.
pub(crate) fn install(rooms: &Rooms) -> Result<()> {
    let venv = rooms.at("target/tools/venv");
    let requirements = rooms.at("xtask/requirements.txt");
    let stamp = Stamp::new(
        venv.join("installed"),
        fingerprint(std::slice::from_ref(&requirements), "venv 1")?,
    );
    // An environment whose interpreter was removed or replaced still has its files but does not run.
    if stamp.is_current(&[])
        && process::output(process::command(rooms, rooms.venv_bin("python")).arg("-V")).is_ok()
    {
        return Ok(());
    }
    let python = find(rooms)?;
    step(
        "making a Python environment with pytest, mypy, tuf and jupyterlite",
        "about 30 s",
        || {
            create(rooms, &python, &venv)?;
            process::quiet(
                rooms,
                "pip-install",
                process::command(rooms, rooms.venv_bin("python"))
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--disable-pip-version-check",
                        "--no-deps",
                        "-r",
                    ])
                    .arg(&requirements),
            )?;
            // With `--no-deps` a package that the list forgets is found here and not in a test.
            process::quiet(
                rooms,
                "pip-check",
                process::command(rooms, rooms.venv_bin("python")).args(["-m", "pip", "check"]),
            )
        },
    )?;
    stamp.write()
}

/// Makes a virtual environment.
pub(super) fn create(rooms: &Rooms, python: &Path, venv: &Path) -> Result<()> {
    let make = || {
        process::quiet(
            rooms,
            "venv",
            process::command(rooms, python)
                .args(["-m", "venv", "--clear"])
                .arg(venv),
        )
    };
    let Err(error) = make() else { return Ok(()) };
    // Debian's python3 comes without ensurepip, which is in a package of its own.
    let has_pip =
        process::output(process::command(rooms, python).args(["-c", "import ensurepip, venv"]))
            .is_ok();
    if has_pip || process::which(&["apt-get"]).is_none() {
        return Err(error);
    }
    super::browsers::apt_install(rooms, &["python3-venv"]).with_context(|| {
        format!(
            "{error:#}\nhint: install Python's `venv` module: on Debian the package python3-venv"
        )
    })?;
    make()
}

/// An interpreter that is new enough.
pub(super) fn find(rooms: &Rooms) -> Result<PathBuf> {
    let mut seen = Vec::new();
    for name in INTERPRETERS {
        let Some(path) = process::which(&[name]) else {
            continue;
        };
        let asked = process::output(
            process::command(rooms, &path)
                .args(["-c", "import sys; print(*sys.version_info[:2], sep='.')"]),
        );
        // A shim of a version manager may be on PATH for a version that is not installed.
        let Ok(version) = asked else { continue };
        if is_new_enough(&version) {
            return Ok(path);
        }
        seen.push(format!("{name} {version}"));
    }
    if seen.is_empty() {
        bail!("found no Python on PATH\nhint: install Python 3.{OLDEST_MINOR} or later");
    }
    bail!(
        "expected Python 3.{OLDEST_MINOR} or later, got {}",
        seen.join(", ")
    );
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(3)), Some(Ok(minor))) if minor >= OLDEST_MINOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_3_11_is_new_enough_and_3_10_is_not() {
        assert!(is_new_enough("3.11"));
        assert!(is_new_enough("3.14"));
        assert!(!is_new_enough("3.10"));
        assert!(!is_new_enough("2.7"));
        assert!(!is_new_enough(""));
    }
}
