//! Publishing a memory snapshot beside the release that it was made for: a target of its own, which changes as often as a
//! snapshot is made again, and goes when it is taken back.

use serde::Serialize;
use webimport_core::digest::Sha256Digest;
use webimport_core::manifest::object_path;
use webimport_core::metadata::{Hashes, Other, RoleKind, TargetFile};
use webimport_core::names::{PyodideVersion, ReleaseName, Version};
use webimport_core::snapshot::{parse_snapshot_target, snapshot_target};

use super::{Repository, RepositoryError, Update, Validity};
use crate::keyring::Keyring;
use crate::observe::Observer;
use crate::storage;

/// A memory snapshot that is ready to be published.
#[derive(Debug, Clone)]
pub struct SnapshotPublication {
    /// The release that it was made for.
    pub name: ReleaseName,
    /// The release's version.
    pub version: Version,
    /// Which Pyodide it is of.
    pub pyodide: PyodideVersion,
    /// The description's bytes.
    pub description: Vec<u8>,
    /// The snapshot's bytes as stored.
    pub object: Vec<u8>,
}

/// What publishing a snapshot changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotPublished {
    /// There was none of this release for this Pyodide.
    New,
    /// There was another one.
    Replaced,
    /// It was there; its metadata were signed again, as half their time was over.
    Renewed,
    /// Nothing.
    Nothing,
}

impl Repository {
    /// Publishes a memory snapshot, in place of the one of the same release for the same Pyodide. What replaced ones
    /// consist of stays on the disk: readers may be at it.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_snapshot(
        &self,
        publication: &SnapshotPublication,
        keys: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<SnapshotPublished, RepositoryError> {
        let (_lock, state) = self.lock(keys)?;
        let SnapshotPublication {
            name,
            version,
            pyodide,
            description,
            object,
        } = publication;
        let sha256 = Sha256Digest::of(description);
        let path = snapshot_target(name, version, pyodide);
        let mut targets = state.targets.clone();
        let change = match targets.targets.get(&path) {
            None => SnapshotPublished::New,
            Some(before) if before.hashes.sha256 != Some(sha256) => SnapshotPublished::Replaced,
            Some(_) if state.is_half_over(validity) => SnapshotPublished::Renewed,
            Some(_) => SnapshotPublished::Nothing,
        };
        let write_content = || -> Result<(), RepositoryError> {
            let object = (object_path(Sha256Digest::of(object)), &**object);
            storage::write_missing_below(&self.root, &[object], observer)?;
            let description_path =
                format!("targets/{name}/{version}/snapshot/{sha256}.{pyodide}.json");
            let description = (description_path, &**description);
            Ok(storage::write_missing_below(
                &self.root,
                &[description],
                observer,
            )?)
        };
        if change == SnapshotPublished::Nothing {
            // Publishing again mends what was lost or damaged.
            write_content()?;
            state.remember()?;
            return Ok(change);
        }
        let file = TargetFile {
            length: description.len() as u64,
            hashes: Hashes::sha256(sha256),
            custom: None,
            other: Other::new(),
        };
        targets.targets.insert(path, file);
        let update = Update {
            root: None,
            lowest: Some(RoleKind::Targets),
            targets,
        };
        self.commit_after(&state, update, keys, validity, observer, write_content)?;
        Ok(change)
    }

    /// Takes the memory snapshots of a release out of the metadata: the one for `pyodide`, or all. Says for which ones they
    /// were. What they consist of stays on the disk: readers may be at it.
    ///
    /// # Errors
    /// [`RepositoryError::NoSnapshot`] if there is none, and as [`publish`](Self::publish).
    pub fn remove_snapshots(
        &self,
        name: &ReleaseName,
        version: &Version,
        pyodide: Option<&PyodideVersion>,
        keys: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<Vec<PyodideVersion>, RepositoryError> {
        let (_lock, state) = self.lock(keys)?;
        let mut targets = state.targets.clone();
        let all = targets.targets.keys().filter_map(|path| {
            let (of, at, pyodide) = parse_snapshot_target(path)?;
            (of == *name && at == *version).then_some(pyodide)
        });
        let (removed, there): (Vec<_>, Vec<_>) =
            all.partition(|it| pyodide.is_none_or(|pyodide| it == pyodide));
        if removed.is_empty() {
            return Err(RepositoryError::NoSnapshot {
                name: name.clone(),
                version: version.clone(),
                pyodide: pyodide.cloned(),
                there,
            });
        }
        for pyodide in &removed {
            let path = snapshot_target(name, version, pyodide);
            targets.targets.remove(&path);
        }
        let update = Update {
            root: None,
            lowest: Some(RoleKind::Targets),
            targets,
        };
        self.commit(&state, update, keys, validity, observer)?;
        Ok(removed)
    }
}
