//! Memory snapshots, from the cache or the network, verified either way.
//!
//! A snapshot is believed on the word of the metadata that were verified last for its repository: a page that asks for one
//! has just loaded the release. One that is wrong in any way is not there: the page starts without it.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use js_sys::Uint8Array;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Error, StoreError, VerifyError};
use webimport_core::names::PyodideVersion;
use webimport_core::repository::{Located, Lookup};
use webimport_core::resolve::Offline;
use webimport_core::snapshot::{
    HEADER, MAX_DESCRIPTION, MemorySnapshot, SnapshotRelease, snapshot_target,
};
use webimport_core::trust::Expiry;
use webimport_core::url::RepositoryUrl;
use webimport_core::workflow::{Refresh, RootTrust};

use crate::bytes;
use crate::driver::Driver;
use crate::fetch::Traffic;
use crate::objects::{Objects, Watch};
use crate::request::Request;

/// A verified snapshot.
pub(crate) struct Snapshot {
    /// What describes it: JSON text.
    pub(crate) description: String,
    /// Its bytes, decoded.
    pub(crate) bytes: Uint8Array,
}

/// The snapshot of the release that the request pins by its digest; none if there is none, or, unless it may be fetched,
/// if the cache does not have it. A config that is frozen allows none, as no pin covers it.
///
/// # Errors
/// What the metadata, the description or the bytes are refused for; the network's.
pub(crate) async fn of_release(
    driver: &Driver,
    request: &Request,
    pyodide: &PyodideVersion,
    may_fetch: bool,
) -> Result<Option<Snapshot>, Error> {
    let resolution = driver.resolve(request)?;
    if driver.is_frozen() {
        return Ok(None);
    }
    let may_fetch = may_fetch && request.options.offline.is_none();
    if may_fetch {
        // A release that is pinned loads without metadata, so that those of the cache may be old.
        driver.refresh(request).await?;
    }
    let Driver {
        store, limits, now, ..
    } = driver;
    let repository = resolution.repository.as_str();
    let pin = match resolution.root {
        RootTrust::Pin(pin) => Some(pin),
        RootTrust::FirstUse => store.first_use(repository).await?,
    };
    let Some(pin) = pin else { return Ok(None) };
    let cached = store.metadata(pin, limits).await;
    let root = RootTrust::Pin(pin);
    let expiry = match request.options.offline {
        Some(Offline::Stale) => Expiry::AcceptStale,
        Some(Offline::Only) | None => Expiry::Refuse,
    };
    let mut refresh = Refresh::new(root, repository, cached, *now, limits.clone());
    let mut repository = refresh.offline(expiry)?;
    let Lookup::Found((target, _)) = resolution.find(&mut repository)? else {
        return Ok(None);
    };
    let key = key(target.name.as_str(), pyodide.as_str());
    let release = SnapshotRelease {
        name: target.name,
        version: target.version,
        sha256: target.sha256,
    };
    let path = snapshot_target(&release.name, &release.version, pyodide);
    let Lookup::Found(Some(located)) = repository.target(&path)? else {
        // What is kept is of another release. Each visit would begin with it in vain.
        store.drop_snapshot(&key).await;
        return Ok(None);
    };
    let objects = Objects {
        store: Rc::clone(store),
        bases: resolution.bases,
        offline: !may_fetch,
        updating: Rc::default(),
        early: Rc::default(),
    };
    let Some((text, expected)) = describe(&objects, &located).await? else {
        return Ok(None);
    };
    let sha256 = expected.sha256;
    let parsed = MemorySnapshot::parse(&text, sha256, &expected, Some(&release), pyodide)?;
    let bytes = get(&objects, &key, &parsed).await?;
    Ok(bytes.map(|bytes| Snapshot {
        // JSON is UTF-8.
        description: String::from_utf8(text).unwrap_or_default(),
        bytes,
    }))
}

/// The snapshot without a release that `description` tells of, which is this module's own, and so is `base`, its folder.
///
/// # Errors
/// As [`of_release`].
pub(crate) async fn of_pyodide(
    driver: &Driver,
    base: RepositoryUrl,
    description: &str,
    pyodide: &PyodideVersion,
    may_fetch: bool,
) -> Result<Option<Snapshot>, Error> {
    let sha256 = Sha256Digest::of(description.as_bytes());
    let expected = Expected {
        subject: format!("the snapshot of Pyodide {pyodide}"),
        length: None,
        sha256,
    };
    let text = description.as_bytes();
    let parsed = MemorySnapshot::parse(text, sha256, &expected, None, pyodide)?;
    let objects = Objects {
        store: Rc::clone(&driver.store),
        bases: vec![base],
        offline: !may_fetch,
        updating: Rc::default(),
        early: Rc::default(),
    };
    let key = key("", pyodide.as_str());
    let bytes = get(&objects, &key, &parsed).await?;
    Ok(bytes.map(|bytes| Snapshot {
        description: description.to_owned(),
        bytes,
    }))
}

/// Under which the cache keeps a snapshot: the one of a name and a Pyodide that came last.
pub(crate) fn key(name: &str, pyodide: &str) -> String {
    format!("{name} {pyodide}")
}

/// The bytes of a description, as signed metadata state them; none if the cache lacks them and they may not be fetched.
async fn describe(
    objects: &Objects,
    located: &Located,
) -> Result<Option<(Vec<u8>, Expected)>, Error> {
    let Some(sha256) = located.file.hashes.sha256 else {
        return Ok(None);
    };
    let expected = Expected {
        subject: located.path.clone(),
        length: Some(located.file.length),
        sha256,
    };
    if located.file.length > MAX_DESCRIPTION {
        return Err(VerifyError::TooLarge {
            subject: expected.subject,
            limit: MAX_DESCRIPTION,
        }
        .into());
    }
    let traffic = Traffic::default();
    let watch = Watch::silent(&traffic);
    let bytes = if let Some(bytes) = objects.look(&expected, &watch).await? {
        bytes
    } else if objects.offline {
        return Ok(None);
    } else {
        let path: String = ["targets/", &located.consistent_path()?].concat();
        let bytes = objects.file(&path, &expected, &watch).await?;
        objects.store.keep_object(sha256, &bytes).await;
        bytes
    };
    Ok(Some((bytes.to_vec(), expected)))
}

async fn get(
    objects: &Objects,
    key: &str,
    description: &MemorySnapshot,
) -> Result<Option<Uint8Array>, Error> {
    let (entry, store) = (&description.object, &objects.store);
    let sha256 = entry.decoded_sha256;
    if description.webimport != env!("CARGO_PKG_VERSION") {
        store.drop_snapshot(key).await;
        return Ok(None);
    }
    if let Some(bytes) = store.snapshot(key, sha256, entry.decoded_size).await {
        match bytes::check(&entry.expected_decoded(), &bytes).await {
            Ok(_) => return begun(description, bytes).map(Some),
            // The record may well be sound.
            Err(Error::Store(error @ StoreError::Memory { .. })) => return Err(error.into()),
            Err(_) => {}
        }
    }
    if objects.offline {
        // What is kept is damaged, or another one. Each visit would begin with it in vain.
        store.drop_snapshot(key).await;
        return Ok(None);
    }
    if !store.wants_snapshot(key, sha256).await {
        return Ok(None);
    }
    let traffic = Traffic::default();
    let bytes = objects.download(entry, &Watch::silent(&traffic)).await?;
    store.put_snapshot(key, sha256, &bytes).await;
    begun(description, bytes).map(Some)
}

/// Bytes that begin as a snapshot does, of which Pyodide checks next to nothing.
fn begun(description: &MemorySnapshot, bytes: Uint8Array) -> Result<Uint8Array, Error> {
    #[expect(clippy::cast_possible_truncation, reason = "48")]
    let header = bytes.subarray(0, HEADER as u32).to_vec();
    description.header(&header)?;
    Ok(bytes)
}
