//! The TUF conformance suite on a checkout of it, for the native client and for the one in WebAssembly.
//!
//! The suite is not part of this repository. It counts a test that a client's `.xfails` file names as passed, so
//! there must be none.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::counts::Counts;
use super::suites::run as run_counted;
use crate::progress::note;
use crate::rooms::Rooms;
use crate::setup;
use crate::{build, process};

/// The folder inside the checkout that has the tests.
const TESTS: &str = "tuf_conformance";

/// Builds both clients and lets the suite at `checkout` test each.
pub(crate) fn run(rooms: &Rooms, checkout: &Path, counts: &mut Counts) -> Result<()> {
    let checkout = checkout
        .canonicalize()
        .with_context(|| format!("cannot find `{}`", checkout.display()))?;
    if !checkout.join(TESTS).is_dir() {
        bail!(
            "`{}` has no folder `{TESTS}`\nhint: clone github.com/theupdateframework/tuf-conformance and name its folder",
            checkout.display()
        );
    }
    let python = setup::conformance(rooms, &checkout)?;
    build::conformance_module(rooms)?;
    let native = build::conformance_client(rooms)?;
    let script = rooms.at("tests/conformance/client.mjs");
    for (name, client) in [("native", native), ("WebAssembly in Node", script)] {
        note(&format!("the client is {name}: {}", client.display()));
        let client = client
            .to_str()
            .filter(|path| !path.contains(' '))
            .with_context(|| {
                format!(
                    "the suite splits a command at its blanks, and there is one in `{}`",
                    client.display()
                )
            })?;
        let xfails = format!("{client}.xfails");
        if Path::new(&xfails).exists() {
            bail!("`{xfails}` names tests that are expected to fail, and none is");
        }
        run_counted(
            process::command(rooms, &python)
                .args(["-m", "pytest", "-p", "no:cacheprovider", TESTS])
                .args(["--entrypoint", client])
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .current_dir(&checkout),
            counts,
        )?;
    }
    Ok(())
}
