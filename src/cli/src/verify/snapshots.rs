//! The memory snapshots of a release: whether each is what its description says.

use serde::Serialize;
use webimport_core::error::{Error, VerifyError};
use webimport_core::names::{CacheTag, PyodideVersion};
use webimport_core::repository::Repository;
use webimport_core::snapshot::{MemorySnapshot, SnapshotRelease};

use super::decoded;
use crate::lookup;
use crate::observe::{Event, Observer, Unit};
use crate::source::Source;

/// A memory snapshot of the release.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotSummary {
    /// Which Pyodide it is for.
    pub pyodide: PyodideVersion,
    /// Of its Python.
    pub tag: CacheTag,
    /// The version of webimport in it.
    pub webimport: String,
    /// As transferred, in bytes.
    pub bytes: u64,
    /// After decompression, in bytes.
    pub decoded_bytes: u64,
    /// Modules that have been imported in it.
    pub modules: usize,
}

/// Checks description, object and header of each.
pub(super) fn check(
    source: &Source,
    repository: &mut Repository,
    release: &SnapshotRelease,
    observer: &dyn Observer,
) -> Result<Vec<SnapshotSummary>, Error> {
    let mut snapshots = Vec::new();
    for pyodide in lookup::snapshots(repository, release) {
        let fetch = |path: &str, limit| source.fetch(path, limit);
        snapshots.extend(lookup::snapshot(repository, release, &pyodide, fetch)?);
    }
    if snapshots.is_empty() {
        return Ok(Vec::new());
    }
    observer.event(Event::Stage {
        title: "checking memory snapshots",
        unit: Unit::Bytes,
        total: snapshots.iter().map(|it| it.object.size).sum(),
    });
    let mut done = 0;
    let mut checked = Vec::new();
    for snapshot in snapshots {
        let object = &snapshot.object;
        check_object(&snapshot, source.fetch(&object.path(), object.size)?)?;
        done += object.size;
        observer.event(Event::Progress(done));
        checked.push(SnapshotSummary {
            bytes: object.size,
            decoded_bytes: object.decoded_size,
            modules: snapshot.modules.len(),
            pyodide: snapshot.pyodide,
            tag: snapshot.tag,
            webimport: snapshot.webimport,
        });
    }
    Ok(checked)
}

fn check_object(snapshot: &MemorySnapshot, bytes: Vec<u8>) -> Result<(), VerifyError> {
    snapshot.header(&decoded(&snapshot.object, bytes)?)?;
    Ok(())
}
