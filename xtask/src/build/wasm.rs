//! The WebAssembly modules and their JavaScript sides, by wasm-pack: the one that is shipped, and what tests make
//! of the same core.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::digest::fingerprint;
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// What a module is built from, how, and where to.
struct Module<'a> {
    /// For the progress line and the log.
    title: &'a str,
    about: &'a str,
    log: &'a str,
    package: &'a str,
    /// The package's folder, inside the repository.
    folder: &'a str,
    /// What it is built from, besides `src/core`.
    sources: &'a [&'a str],
    /// wasm-bindgen's name for the platform.
    target: &'a str,
    features: &'a [&'a str],
    name: &'a str,
    out: PathBuf,
}

/// The module that is shipped, into `target/web`.
pub(crate) fn build(rooms: &Rooms) -> Result<()> {
    let module = Module {
        title: "building the WebAssembly module",
        about: "about 1 min",
        log: "wasm-pack-build",
        package: "webimport",
        folder: ".",
        sources: &["src/web"],
        target: "web",
        features: &["--features", "bare"],
        name: "webimport",
        out: rooms.web(),
    };
    module.build(rooms)
}

/// The conformance client's module, for Node, into `target/conformance`.
pub(crate) fn conformance(rooms: &Rooms) -> Result<()> {
    let module = Module {
        title: "building the conformance client's module",
        log: "wasm-pack-build-conformance",
        features: &["--features", "suite"],
        name: "client",
        out: rooms.at("target/conformance"),
        ..verifier(rooms)
    };
    module.build(rooms)
}

/// A module that holds the verifying core and no more; says where it is.
pub(crate) fn verifying_core(rooms: &Rooms) -> Result<PathBuf> {
    let module = verifier(rooms);
    module.build(rooms)?;
    Ok(module.binary())
}

fn verifier(rooms: &Rooms) -> Module<'static> {
    Module {
        title: "building the verifying core alone",
        about: "about 30 s",
        log: "wasm-pack-build-core",
        package: "webimport-conformance",
        folder: "tests/conformance",
        sources: &[
            "tests/conformance",
            "src/cli/src/bin/webimport-tuf-client",
            "src/web/bare.rs",
        ],
        target: "nodejs",
        features: &[],
        name: "core",
        out: rooms.at("target/verifying-core"),
    }
}

impl Module<'_> {
    fn binary(&self) -> PathBuf {
        self.out.join(format!("{}_bg.wasm", self.name))
    }

    /// Runs `wasm-pack build`.
    fn build(&self, rooms: &Rooms) -> Result<()> {
        let rustc = process::output(process::command(rooms, "rustc").arg("--version"))?;
        let inputs: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock", ".cargo", "src/core"]
            .iter()
            .chain(self.sources)
            .map(|path| rooms.at(path))
            .collect();
        let stamp = Stamp::new(
            self.out.join("built"),
            fingerprint(&inputs, &format!("wasm 4 {rustc}"))?,
        );
        let script = self.out.join(format!("{}.js", self.name));
        if stamp.is_current(&[&script, &self.binary()]) {
            return Ok(());
        }
        std::fs::create_dir_all(&self.out)?;
        stamp.clear()?;
        step(self.title, self.about, || {
            process::quiet(
                rooms,
                self.log,
                process::command(rooms, "wasm-pack")
                    .args(["build", "--target", self.target, "--release"])
                    .args(["--mode", "no-install", "--no-pack"])
                    .args(["--out-name", self.name, "--out-dir"])
                    .arg(&self.out)
                    .arg(rooms.at(self.folder))
                    // Named, because the workspace builds other members by default.
                    .args(["--", "--package", self.package])
                    .args(self.features)
                    .arg("--config")
                    .arg(flags(rooms)?)
                    // For size: what is downloaded counts more here than what is computed.
                    .args(["--config", "profile.release.opt-level=\"z\""])
                    .args(["--config", "profile.release.lto=true"])
                    .args(["--config", "profile.release.codegen-units=1"]),
            )
        })?;
        stamp.write()
    }
}

/// A cargo setting under which panic messages name source files without this machine's folders: what is
/// published should neither tell them nor differ by them. SHA-2 is in its compact form: the browser hashes
/// objects, so what is left here is metadata and manifests.
fn flags(rooms: &Rooms) -> Result<String> {
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
        "--cfg=sha2_backend_soft=\"compact\"".to_owned(),
    ];
    Ok(format!(
        "target.wasm32-unknown-unknown.rustflags={}",
        serde_json::to_string(&flags)?
    ))
}
