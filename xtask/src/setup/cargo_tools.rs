//! Tools from crates.io, built by `cargo install` into `target/tools/bin`.
//!
//! A tool that is there in the right version is recognised by what it says, not by a stamp, so that one
//! which a cache brought back is taken as it is.

use anyhow::{Context, Result};

use crate::process;
use crate::progress::{note, step};
use crate::rooms::Rooms;

/// A program that crates.io has as source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CargoTool {
    /// Builds the WebAssembly module.
    WasmPack,
    /// Makes the module's JavaScript side; its version has to be that of the `wasm-bindgen` crate.
    WasmBindgen,
    /// Drives Firefox.
    Geckodriver,
    /// Checks licences, sources and advisories.
    CargoDeny,
    /// Builds the fuzz targets.
    CargoFuzz,
}

impl CargoTool {
    fn package(self) -> &'static str {
        match self {
            Self::WasmPack => "wasm-pack",
            Self::WasmBindgen => "wasm-bindgen-cli",
            Self::Geckodriver => "geckodriver",
            Self::CargoDeny => "cargo-deny",
            Self::CargoFuzz => "cargo-fuzz",
        }
    }

    fn binary(self) -> &'static str {
        match self {
            Self::WasmBindgen => "wasm-bindgen",
            _ => self.package(),
        }
    }

    /// How long the build takes on two cores.
    fn about(self) -> &'static str {
        match self {
            Self::CargoFuzz => "about 20 s",
            _ => "about 1 min",
        }
    }

    fn version(self, rooms: &Rooms) -> Result<String> {
        match self {
            Self::WasmPack => Ok("0.15.1".to_owned()),
            Self::Geckodriver => Ok("0.37.1".to_owned()),
            Self::CargoDeny => Ok("0.20.2".to_owned()),
            Self::CargoFuzz => Ok("0.13.2".to_owned()),
            Self::WasmBindgen => {
                let lock = rooms.at("Cargo.lock");
                let text = std::fs::read_to_string(&lock)
                    .with_context(|| format!("cannot read `{}`", lock.display()))?;
                locked_version(&text, "wasm-bindgen")
                    .context("`Cargo.lock` holds no `wasm-bindgen`")
            }
        }
    }

    /// Builds the tool unless the right version is there.
    pub(crate) fn install(self, rooms: &Rooms) -> Result<()> {
        let version = self.version(rooms)?;
        if self.is_installed(rooms, &version) {
            return Ok(());
        }
        let package = self.package();
        step(
            &format!("installing {package} {version}"),
            self.about(),
            || {
                let locked = self.cargo_install(rooms, &version, &["--locked"]);
                match locked {
                    Ok(()) => Ok(()),
                    // A lock file may name a crate version that the index in use does not have (yet).
                    Err(_) => self.cargo_install(rooms, &version, &[]),
                }
            },
        )?;
        if !self.is_installed(rooms, &version) {
            let found = self
                .installed(rooms)
                .unwrap_or_else(|| "nothing that runs".to_owned());
            note(&format!(
                "expected {} {version} in target/tools/bin, got {found}",
                self.binary()
            ));
            anyhow::bail!("`{package}` {version} was built but does not run");
        }
        Ok(())
    }

    fn cargo_install(self, rooms: &Rooms, version: &str, options: &[&str]) -> Result<()> {
        let package = self.package();
        let mut install = process::cargo(rooms);
        install
            // What they do here takes seconds either way; their build takes half the time.
            .args(["install", "--debug", "--force", "--version", version])
            .args(options)
            .arg("--root")
            .arg(rooms.tools())
            .arg("--target-dir")
            .arg(rooms.tools().join("build"))
            .arg(package)
            // The repository's own build settings are not for other people's programs.
            .current_dir(std::env::temp_dir());
        process::quiet(rooms, package, &mut install)
    }

    fn is_installed(self, rooms: &Rooms, version: &str) -> bool {
        self.installed(rooms).is_some_and(|found| found == version)
    }

    /// The version that the binary says: `wasm-pack 0.15.1`, and more lines for some.
    fn installed(self, rooms: &Rooms) -> Option<String> {
        let binary = rooms.tools_bin().join(self.binary());
        if !binary.is_file() {
            return None;
        }
        let said = process::output(process::command(rooms, binary).arg("--version")).ok()?;
        said.lines()
            .next()?
            .split_whitespace()
            .nth(1)
            .map(str::to_owned)
    }
}

/// The version of a package in a `Cargo.lock`.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines.next()?;
    Some(
        lines
            .next()?
            .strip_prefix("version = \"")?
            .strip_suffix('"')?
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_locked_version_of_the_package_of_exactly_that_name() {
        let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"0.2.1\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(
            locked_version(lock, "wasm-bindgen").as_deref(),
            Some("0.2.130")
        );
        assert_eq!(locked_version(lock, "wasm-bindgen-shared"), None);
    }
}
