//! What a reader finds in a repository, step by step as `webimport-core` asks for it. Nothing is kept.

use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Error, FetchError, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::names::{PyodideVersion, ReleaseName, Selector};
use webimport_core::repository::{Located, LocatedRelease, Lookup, Repository};
use webimport_core::snapshot::{
    MAX_DESCRIPTION, MemorySnapshot, SnapshotRelease, parse_snapshot_target, snapshot_target,
};
use webimport_core::time::UnixTime;
use webimport_core::workflow::{Absence, CachedMetadata, Refresh, RootTrust, Step};

use crate::source::Source;

/// The repository as it is now, verified from the root pin down.
pub(crate) fn refreshed(
    source: &Source,
    pin: Sha256Digest,
    now: UnixTime,
    limits: &Limits,
) -> Result<Repository, Error> {
    let mut refresh = Refresh::new(
        RootTrust::Pin(pin),
        &source.to_string(),
        CachedMetadata::default(),
        now,
        limits.clone(),
    );
    while let Step::Fetch(fetch) = refresh.step()? {
        let file = match source.fetch(&fetch.path, fetch.limit) {
            Err(FetchError::NotFound { .. }) if fetch.absence == Absence::Expected => None,
            other => Some(other?),
        };
        refresh.supply(file)?;
    }
    refresh.finish()
}

/// The release that `selector` names.
pub(crate) fn release(
    source: &Source,
    repository: &mut Repository,
    name: &ReleaseName,
    selector: &Selector,
) -> Result<LocatedRelease, Error> {
    answer(
        repository,
        |repository| repository.release(name, selector),
        |path, limit| source.fetch(path, limit),
    )
}

/// Asks until there is an answer, with the roles in between brought by `fetch`.
pub(crate) fn answer<T>(
    repository: &mut Repository,
    mut ask: impl FnMut(&mut Repository) -> Result<Lookup<T>, Error>,
    mut fetch: impl FnMut(&str, u64) -> Result<Vec<u8>, FetchError>,
) -> Result<T, Error> {
    loop {
        match ask(repository)? {
            Lookup::Found(found) => return Ok(found),
            Lookup::Fetch(wanted) => repository.supply(fetch(&wanted.path, wanted.limit)?)?,
        }
    }
}

/// For which Pyodide the roles known so far name a snapshot of the release.
pub(crate) fn snapshots(repository: &Repository, release: &SnapshotRelease) -> Vec<PyodideVersion> {
    let named = repository.targets().filter_map(parse_snapshot_target);
    let own =
        named.filter(|(name, version, _)| *name == release.name && *version == release.version);
    let mut all: Vec<PyodideVersion> = own.map(|(_, _, pyodide)| pyodide).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The description of the release's snapshot for a Pyodide; `None` if no role that may name it does.
pub(crate) fn snapshot(
    repository: &mut Repository,
    release: &SnapshotRelease,
    pyodide: &PyodideVersion,
    mut fetch: impl FnMut(&str, u64) -> Result<Vec<u8>, FetchError>,
) -> Result<Option<MemorySnapshot>, Error> {
    let path = snapshot_target(&release.name, &release.version, pyodide);
    let located = answer(repository, |it| it.target(&path), &mut fetch)?;
    let Some(located) = located else {
        return Ok(None);
    };
    let expected = expected(&located)?;
    let limit = located.file.length.min(MAX_DESCRIPTION);
    let bytes = fetch(&expected.subject, limit)?;
    let sha256 = Sha256Digest::of(&bytes);
    let snapshot = MemorySnapshot::parse(&bytes, sha256, &expected, Some(release), pyodide)?;
    Ok(Some(snapshot.into_inner()))
}

/// What the bytes of a target must be; its subject is where they are.
fn expected(located: &Located) -> Result<Expected, VerifyError> {
    let subject = format!("targets/{}", located.consistent_path()?);
    let Some(sha256) = located.file.hashes.sha256 else {
        return Err(VerifyError::Malformed {
            subject,
            reason: "expected a SHA-256 digest".into(),
        });
    };
    Ok(Expected {
        subject,
        length: Some(located.file.length),
        sha256,
    })
}
