//! The WebAssembly target of the Rust toolchain.

use anyhow::{Result, bail};

use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;

const TARGET: &str = "wasm32-unknown-unknown";

/// Adds the target by rustup, unless the toolchain's sysroot holds it already, from wherever it came.
pub(crate) fn install(rooms: &Rooms) -> Result<()> {
    if has_standard_library(rooms)? {
        return Ok(());
    }
    let added = step(
        &format!("adding the Rust target {TARGET}"),
        "about 10 s",
        || {
            process::quiet(
                rooms,
                "rustup",
                process::command(rooms, "rustup").args(["target", "add", TARGET]),
            )
        },
    );
    if let Err(error) = added {
        bail!(
            "{error:#}\nhint: the README says how to add {TARGET} by hand where rustup cannot download it"
        );
    }
    if !has_standard_library(rooms)? {
        bail!(
            "rustup added {TARGET} to another toolchain than the one that runs this\n\
             hint: run `rustup show`, and `rustup target add {TARGET} --toolchain NAME` for the one that cargo uses"
        );
    }
    Ok(())
}

fn has_standard_library(rooms: &Rooms) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let folder = process::output(process::command(rooms, rustc).args([
        "--print",
        "target-libdir",
        "--target",
        TARGET,
    ]))?;
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(false);
    };
    Ok(entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    }))
}
