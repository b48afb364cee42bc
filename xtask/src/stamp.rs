//! Stamp files: what an installed or built thing was made from, so that it is made again when that changes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file that holds one line, the fingerprint of a step's inputs.
#[derive(Debug)]
pub(crate) struct Stamp {
    path: PathBuf,
    wanted: String,
}

impl Stamp {
    /// A stamp at `path` that should say `wanted`.
    pub(crate) fn new(path: PathBuf, wanted: String) -> Self {
        Self { path, wanted }
    }

    /// Whether the step ran with these inputs and all its `outputs` are still there.
    pub(crate) fn is_current(&self, outputs: &[&Path]) -> bool {
        std::fs::read_to_string(&self.path).is_ok_and(|found| found == self.wanted)
            && outputs.iter().all(|output| output.exists())
    }

    /// Takes the stamp away before the step begins, so that one that stops half-way is run again.
    pub(crate) fn clear(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("cannot remove `{}`", self.path.display()))
            }
        }
    }

    /// Says that the step is done.
    pub(crate) fn write(&self) -> Result<()> {
        std::fs::write(&self.path, &self.wanted)
            .with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}
