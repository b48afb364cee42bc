//! The updates of a release that is published: from the release that its channel named before.
//!
//! They save readers bytes and nothing depends on them. So a release before that is not whole in the folder is no
//! reason to fail: then there is none from it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::VerifyError;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Manifest, ObjectEntry, object_path};
use webimport_core::metadata::{TargetFile, Targets, parse_release_target, release_target};
use webimport_core::names::{ReleaseName, Version};
use webimport_core::trust::Verified;
use webimport_core::update::{MAX_UPDATES, UpdateEntry};

use super::{Publication, Repository, State};
use crate::keyring::Keyring;
use crate::shards;
use crate::update::{Made, Release, make};
use crate::verify::decoded;

/// An update that readers of an earlier release fetch in place of the objects that have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpdateSummary {
    /// The earlier release.
    pub from: Version,
    /// Bytes as stored.
    pub bytes: u64,
}

/// What metadata are to say of a release's updates, and the files that are not there.
#[derive(Default)]
pub(super) struct Updates {
    pub(super) entries: Vec<UpdateEntry>,
    pub(super) files: Vec<(String, Vec<u8>)>,
}

impl Repository {
    /// Those that the release has, whose files are made again where they are lost; and one from the release that the
    /// channel names so far. `targets` is the state before.
    pub(super) fn updates(&self, publication: &Publication, targets: &Targets) -> Updates {
        let limits = Limits::default();
        let path = release_target(&publication.name, &publication.version);
        let mut entries = match targets.targets.get(&path) {
            Some(file) => file.updates().to_vec(),
            None => Vec::new(),
        };
        let former = targets.targets.iter().find(|(other, file)| {
            **other != path
                && file.channels().contains(&publication.channel)
                && parse_release_target(other).is_some_and(|(name, _)| name == publication.name)
        });
        let former = former.and_then(|(_, file)| file.hashes.sha256);
        let former = former.filter(|from| entries.iter().all(|entry| entry.from != *from));
        let lost = entries.iter().filter(|entry| !self.has(entry, &limits));
        let froms: Vec<Sha256Digest> = lost.map(|entry| entry.from).chain(former).collect();

        let mut files = Vec::new();
        for made in self.make(publication, targets, &froms, &limits) {
            if Some(made.entry.from) == former {
                entries.push(made.entry);
            } else if !entries.contains(&made.entry) {
                // Another version of this program makes other bytes than those that are signed.
                continue;
            }
            files.push((object_path(made.sha256), made.bytes));
        }
        let surplus = entries.len().saturating_sub(MAX_UPDATES);
        entries.drain(..surplus);
        Updates { entries, files }
    }

    /// Those of a published release, in the order in which they were made: from which version, in how many bytes as
    /// stored. One whose version is gone saves nobody anything. None, if what is published cannot be read again.
    pub(crate) fn published_updates(
        &self,
        publication: &Publication,
        keys: &Keyring,
    ) -> Vec<UpdateSummary> {
        let Ok(State { targets, .. }) = self.remembered(keys) else {
            return Vec::new();
        };
        let limits = Limits::default();
        let Publication { name, version, .. } = publication;
        let release = targets.targets.get(&release_target(name, version));
        let entries = release.map(TargetFile::updates).unwrap_or_default();
        let summary = |entry: &UpdateEntry| {
            Some(UpdateSummary {
                from: version_of(&targets, name, entry.from)?,
                bytes: entry.object(&limits).ok()?.size,
            })
        };
        entries.iter().filter_map(summary).collect()
    }

    /// Whether the file is there as it should be.
    fn has(&self, entry: &UpdateEntry, limits: &Limits) -> bool {
        let object = entry.object(limits);
        object.is_ok_and(|object| self.stored(object).is_some())
    }

    /// The updates from the releases whose manifests have these digests.
    fn make(
        &self,
        publication: &Publication,
        targets: &Targets,
        froms: &[Sha256Digest],
        limits: &Limits,
    ) -> Vec<Made> {
        if froms.is_empty() {
            return Vec::new();
        }
        let Publication {
            name,
            version,
            manifest: bytes,
            objects,
            ..
        } = publication;
        let expected = Expected {
            subject: "release.json".into(),
            length: None,
            sha256: Sha256Digest::of(bytes),
        };
        let object = |entry: &ObjectEntry| {
            let given = objects.get(&entry.sha256).cloned();
            decoded(entry, given.or_else(|| self.stored(entry))?).ok()
        };
        let manifest = Manifest::parse(bytes, &expected, name, Some(version), limits);
        let Some(manifest) = manifest.ok().and_then(|it| whole(it, limits, &object)) else {
            return Vec::new();
        };
        let new = Release {
            bytes,
            manifest: &manifest,
            object: &object,
        };
        let mut all = Vec::new();
        for from in froms {
            let Some((bytes, manifest)) = self.earlier(targets, name, *from, limits) else {
                continue;
            };
            let old = Release {
                bytes: &bytes,
                manifest: &manifest,
                object: &|entry| self.decoded(entry),
            };
            // Without memory for it there is none.
            all.extend(make(&old, &new, limits).ok().flatten());
        }
        all
    }

    /// The manifest of an earlier release, as bytes and as read.
    fn earlier(
        &self,
        targets: &Targets,
        name: &ReleaseName,
        from: Sha256Digest,
        limits: &Limits,
    ) -> Option<(Vec<u8>, Verified<Manifest>)> {
        let version = version_of(targets, name, from)?;
        let path = format!("targets/{name}/{version}/{from}.release.json");
        let bytes = read(&self.root.join(&path), limits.manifest)?;
        let expected = Expected {
            subject: path,
            length: None,
            sha256: from,
        };
        let manifest = Manifest::parse(&bytes, &expected, name, Some(&version), limits).ok()?;
        let manifest = whole(manifest, limits, &|entry| self.decoded(entry))?;
        Some((bytes, manifest))
    }

    fn decoded(&self, entry: &ObjectEntry) -> Option<Vec<u8>> {
        decoded(entry, self.stored(entry)?).ok()
    }

    /// An object as stored, if it is what its entry says.
    fn stored(&self, entry: &ObjectEntry) -> Option<Vec<u8>> {
        let bytes = read(&self.root.join(entry.path()), entry.size)?;
        entry.expected().check_bytes(&bytes).ok()?;
        Some(bytes)
    }
}

/// The version of the release whose manifest has the digest.
fn version_of(targets: &Targets, name: &ReleaseName, sha256: Sha256Digest) -> Option<Version> {
    targets.targets.iter().find_map(|(path, file)| {
        let (own, version) = parse_release_target(path)?;
        (own == *name && file.hashes.sha256 == Some(sha256)).then_some(version)
    })
}

/// A file that has no more bytes than it should: somebody else may have put it there.
fn read(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).ok()?.take(limit.saturating_add(1));
    file.read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= limit).then_some(bytes)
}

/// The manifest with all of its shards, whose bytes `object` gives.
fn whole(
    mut manifest: Verified<Manifest>,
    limits: &Limits,
    object: &dyn Fn(&ObjectEntry) -> Option<Vec<u8>>,
) -> Option<Verified<Manifest>> {
    let added = shards::add_all(&mut manifest, limits, |entry| {
        object(entry).ok_or_else(|| VerifyError::Malformed {
            subject: entry.path(),
            reason: "it is not there".into(),
        })
    });
    added.is_ok().then_some(manifest)
}
