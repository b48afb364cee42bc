//! The WebAssembly module and its JavaScript side, by wasm-pack.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::digest::fingerprint;
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// Runs `wasm-pack build` into `target/web`.
pub(crate) fn build(rooms: &Rooms) -> Result<()> {
    let rustc = process::output(process::command(rooms, "rustc").arg("--version"))?;
    let inputs: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock", ".cargo", "src/core", "src/web"]
        .iter()
        .map(|path| rooms.at(path))
        .collect();
    let web = rooms.web();
    let stamp = Stamp::new(
        web.join("built"),
        fingerprint(&inputs, &format!("wasm 3 {rustc}"))?,
    );
    if stamp.is_current(&[&web.join("webimport.js"), &web.join("webimport_bg.wasm")]) {
        return Ok(());
    }
    std::fs::create_dir_all(&web)?;
    stamp.clear()?;
    step("building the WebAssembly module", "about 1 min", || {
        process::quiet(
            rooms,
            "wasm-pack-build",
            process::command(rooms, "wasm-pack")
                .args([
                    "build",
                    "--target",
                    "web",
                    "--release",
                    "--mode",
                    "no-install",
                    "--no-pack",
                ])
                .args(["--out-name", "webimport", "--out-dir"])
                .arg(&web)
                .arg(&rooms.top)
                // Named, because the workspace builds other members by default.
                .args(["--", "--package", "webimport", "--config"])
                .arg(remap_paths(rooms)?)
                // For size: what is downloaded counts more here than what is computed.
                .args(["--config", "profile.release.opt-level=\"z\""])
                .args(["--config", "profile.release.lto=true"])
                .args(["--config", "profile.release.codegen-units=1"]),
        )
    })?;
    stamp.write()
}

/// A cargo setting under which panic messages name source files without this machine's folders: what is
/// published should neither tell them nor differ by them.
fn remap_paths(rooms: &Rooms) -> Result<String> {
    let cargo_home = match std::env::var_os("CARGO_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => {
            PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?)
                .join(".cargo")
        }
    };
    let flags = [
        format!("--remap-path-prefix={}=cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=webimport", rooms.top.display()),
    ];
    Ok(format!(
        "target.wasm32-unknown-unknown.rustflags={}",
        serde_json::to_string(&flags)?
    ))
}
