//! What the TUF conformance suite needs: a Python environment with a checkout of it, and `faketime`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::browsers::apt_install;
use super::python;
use crate::digest::{fingerprint, sha256_hex};
use crate::process::{self, which};
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// Debian's package, and the program in it.
const FAKETIME: &str = "faketime";

/// Makes an environment for the checkout, and says where its Python is.
pub(crate) fn install(rooms: &Rooms, checkout: &Path) -> Result<PathBuf> {
    faketime(rooms)?;
    let path = checkout.to_string_lossy();
    let venv = rooms
        .tools()
        .join("conformance")
        .join(&sha256_hex(path.as_bytes())[..12]);
    let python = venv.join("bin/python");
    let stamp = Stamp::new(
        venv.join("installed"),
        fingerprint(&[checkout.join("pyproject.toml")], "conformance 1")?,
    );
    // An environment whose interpreter was removed or replaced still has its files but does not run.
    if stamp.is_current(&[]) && process::output(process::command(rooms, &python).arg("-V")).is_ok()
    {
        return Ok(python);
    }
    step(
        "making a Python environment with the conformance suite",
        "about 30 s",
        || {
            python::create(rooms, &python::find(rooms)?, &venv)?;
            process::quiet(
                rooms,
                "conformance-pip-install",
                process::command(rooms, &python)
                    .args(["-m", "pip", "install", "--quiet"])
                    .args(["--disable-pip-version-check", "-e"])
                    .arg(checkout),
            )
        },
    )?;
    stamp.write()?;
    Ok(python)
}

fn faketime(rooms: &Rooms) -> Result<()> {
    if which(&[FAKETIME]).is_some() {
        return Ok(());
    }
    let by_hand = "hint: install `faketime` so that it is on PATH; it comes with libfaketime";
    if which(&["apt-get"]).is_none() {
        bail!("found no `{FAKETIME}` and no apt-get to install it from\n{by_hand}");
    }
    step(
        &format!("installing {FAKETIME} by apt-get"),
        "about 10 s",
        || apt_install(rooms, &[FAKETIME]),
    )
    .with_context(|| format!("cannot install {FAKETIME}\n{by_hand}"))
}
