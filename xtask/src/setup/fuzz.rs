//! What the fuzz targets are built with: cargo-fuzz, and a C++ compiler for libfuzzer.

use anyhow::{Context, Result, bail};

use super::browsers::apt_install;
use super::cargo_tools::CargoTool;
use crate::process::which;
use crate::progress::step;
use crate::rooms::Rooms;

/// Debian's package.
const PACKAGE: &str = "g++";

/// Builds cargo-fuzz, and installs a compiler where there is none.
pub(crate) fn install(rooms: &Rooms) -> Result<()> {
    CargoTool::CargoFuzz.install(rooms)?;
    if std::env::var_os("CXX").is_some() || which(&["c++"]).is_some() {
        return Ok(());
    }
    let by_hand = "hint: install a C++ compiler that is on PATH as `c++`, or that CXX names";
    if which(&["apt-get"]).is_none() {
        bail!("found no C++ compiler and no apt-get to install one from\n{by_hand}");
    }
    step(
        &format!("installing {PACKAGE} by apt-get"),
        "about 1 min",
        || apt_install(rooms, &[PACKAGE]),
    )
    .with_context(|| format!("cannot install {PACKAGE}\n{by_hand}"))
}
