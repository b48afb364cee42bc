//! Where things are: the rooms of the repository and the folders under `target`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders that the tasks read and write. Every path is absolute.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    /// The repository's top folder.
    pub(crate) top: PathBuf,
}

impl Rooms {
    /// Finds the repository from this crate's own place in it.
    pub(crate) fn find() -> Result<Self> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the xtask crate has no parent folder")?;
        let top = top.canonicalize().with_context(|| {
            format!(
                "`{}` is gone; run `cargo xtask` inside the repository",
                top.display()
            )
        })?;
        Ok(Self { top })
    }

    /// A path given with `/`, below the top folder.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.top.join(path)
    }

    /// What set-up installed, apart from the browsers.
    pub(crate) fn tools(&self) -> PathBuf {
        self.at("target/tools")
    }

    /// Binaries that `cargo install` built.
    pub(crate) fn tools_bin(&self) -> PathBuf {
        self.at("target/tools/bin")
    }

    /// The npm packages of `www/package-lock.json`.
    pub(crate) fn node_modules(&self) -> PathBuf {
        self.at("target/tools/npm/node_modules")
    }

    /// A command that an npm package brings.
    pub(crate) fn npm_bin(&self, name: &str) -> PathBuf {
        self.node_modules().join(".bin").join(name)
    }

    /// A command of the Python environment.
    pub(crate) fn venv_bin(&self, name: &str) -> PathBuf {
        self.at("target/tools/venv/bin").join(name)
    }

    /// The wheels of `wheels.txt`.
    pub(crate) fn wheels(&self) -> PathBuf {
        self.at("target/tools/wheels")
    }

    /// npm's Pyodide with the wheels that JupyterLite's kernel needs.
    pub(crate) fn jupyterlite_pyodide(&self) -> PathBuf {
        self.at("target/tools/jupyterlite-pyodide")
    }

    /// wasm-pack's output, and the generated module with the Python sources.
    pub(crate) fn web(&self) -> PathBuf {
        self.at("target/web")
    }

    /// What a page needs: `webimport.js`, `webimport.wasm`, `webimport.d.ts`.
    pub(crate) fn site(&self) -> PathBuf {
        self.at("target/site")
    }
}
