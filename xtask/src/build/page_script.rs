//! The page's script: one ES module with the facade, the glue, the mount and the Python package inside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::python_module;
use crate::digest::{fingerprint, sha256_hex};
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// Bundles `www/public/index.ts` into `target/site/webimport.js` and copies the module beside it.
///
/// The module's SHA-256 is baked into the script, so that the `integrity` of the script covers both.
pub(crate) fn bundle(rooms: &Rooms) -> Result<()> {
    let (web, site) = (rooms.web(), rooms.site());
    let python = python_module::path(rooms);
    let module = web.join("webimport_bg.wasm");
    let inputs: Vec<PathBuf> = vec![
        rooms.at("www/public"),
        rooms.at("www/internal"),
        rooms.at("www/tsconfig.json"),
        rooms.at("www/package-lock.json"),
        python,
        web.join("webimport.js"),
        module.clone(),
    ];
    let (script, wasm) = (site.join("webimport.js"), site.join("webimport.wasm"));
    let stamp = Stamp::new(web.join("bundled"), fingerprint(&inputs, "bundle 2")?);
    if stamp.is_current(&[&script, &wasm]) {
        return Ok(());
    }
    stamp.clear()?;
    step("bundling the page's script", "", || {
        let bytes = read(&module)?;
        run(rooms, &bytes, "{}", &script)?;
        std::fs::write(&wasm, bytes).with_context(|| format!("cannot write `{}`", wasm.display()))
    })?;
    stamp.write()
}

/// Bundles the same with what describes memory snapshots of Pyodide that are beside it, a JSON object.
pub(crate) fn bundle_with(rooms: &Rooms, snapshots: &str, script: &Path) -> Result<()> {
    let module = read(&rooms.site().join("webimport.wasm"))?;
    run(rooms, &module, snapshots, script)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn run(rooms: &Rooms, module: &[u8], snapshots: &str, script: &Path) -> Result<()> {
    process::quiet(
        rooms,
        "esbuild",
        process::command(rooms, rooms.npm_bin("esbuild"))
            .arg(rooms.at("www/public/index.ts"))
            .args([
                "--bundle",
                "--format=esm",
                "--platform=browser",
                "--target=es2022",
                "--minify",
            ])
            .args([
                "--charset=utf8",
                "--legal-comments=none",
                "--log-level=warning",
            ])
            .arg(format!(
                "--define:__WASM_SHA256__=\"{}\"",
                sha256_hex(module)
            ))
            .arg(format!("--define:__SNAPSHOTS__={snapshots}"))
            .arg(format!(
                "--alias:webimport:python={}",
                python_module::path(rooms).display()
            ))
            .arg(format!("--outfile={}", script.display())),
    )
}
