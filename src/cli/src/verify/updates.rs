//! The updates of a release: whether each makes, out of the release that it is from, what it says.

use std::collections::{BTreeMap, BTreeSet};

use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Error, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Manifest, ObjectEntry};
use webimport_core::names::Version;
use webimport_core::repository::{ReleaseTarget, Repository};
use webimport_core::update::{UpdateEntry, Whole};

use super::{UpdateSummary, decoded};
use crate::shards;
use crate::source::Source;

/// What is needed to check them.
pub(super) struct Updates<'a> {
    pub(super) source: &'a Source,
    pub(super) repository: &'a Repository,
    pub(super) target: &'a ReleaseTarget,
    pub(super) manifest: &'a Manifest,
    pub(super) limits: &'a Limits,
}

impl Updates<'_> {
    pub(super) fn check(&self) -> Result<Vec<UpdateSummary>, Error> {
        self.target
            .updates
            .iter()
            .map(|it| self.update(it))
            .collect()
    }

    fn update(&self, entry: &UpdateEntry) -> Result<UpdateSummary, Error> {
        let object = entry.object(self.limits)?;
        let decoded = self.object(object)?;
        let subject = object.path();
        let update = Whole::parse(&decoded, &subject, self.limits)?;
        let earlier = self.earlier(entry.from);
        if let Some((_, path)) = &earlier {
            self.outputs(&update, &subject, entry.from, path)?;
        }
        Ok(UpdateSummary {
            from: entry.from,
            version: earlier.map(|(version, _)| version),
            bytes: object.size,
        })
    }

    /// Compares everything that the update makes with what is expected by digest.
    fn outputs(
        &self,
        update: &Whole<'_>,
        subject: &str,
        from: Sha256Digest,
        path: &str,
    ) -> Result<(), Error> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        let bytes = self.source.fetch(path, self.limits.manifest)?;
        let expected = Expected {
            subject: path.to_owned(),
            length: None,
            sha256: from,
        };
        let name = &self.target.name;
        let mut old = Manifest::parse(&bytes, &expected, name, None, self.limits)?;
        shards::add_all(&mut old, self.limits, |entry| self.object(entry))?;
        let objects = by_content(&old);
        let mut sources = BTreeMap::from([(from, bytes)]);
        let named: BTreeSet<Sha256Digest> =
            update.update.sources.iter().map(|it| it.sha256).collect();
        for sha256 in named {
            if let Some(object) = objects.get(&sha256) {
                sources.insert(sha256, self.object(object)?);
            }
        }
        let objects = by_content(self.manifest);
        for sha256 in update.update.outputs.keys() {
            let expected = match objects.get(sha256) {
                Some(object) => object.expected_decoded(),
                None if *sha256 == self.target.sha256 => self.target.expected(),
                None => {
                    let reason = format!("it makes {sha256}, which is nothing of the release");
                    return Err(malformed(reason).into());
                }
            };
            update
                .make(&expected, |source| {
                    sources.get(&source.sha256).map(Vec::as_slice)
                })?
                .ok_or_else(|| {
                    malformed(format!(
                        "it makes {sha256} out of what is nothing of the release that it is from"
                    ))
                })?;
        }
        Ok(())
    }

    fn object(&self, entry: &ObjectEntry) -> Result<Vec<u8>, Error> {
        let bytes = self.source.fetch(&entry.path(), entry.size)?;
        Ok(decoded(entry, bytes)?)
    }

    /// The version of the release that an update is from, and its manifest's path, if it is still there.
    fn earlier(&self, from: Sha256Digest) -> Option<(Version, String)> {
        let name = &self.target.name;
        let mut releases = self.repository.releases();
        releases.find_map(|(own, version, file)| {
            (own == *name && file.hashes.sha256 == Some(from)).then(|| {
                let path = format!("targets/{name}/{version}/{from}.release.json");
                (version, path)
            })
        })
    }
}

/// The objects of a release and its shards, by the digest of their decoded bytes.
fn by_content(manifest: &Manifest) -> BTreeMap<Sha256Digest, &ObjectEntry> {
    let shards = manifest.shards.iter().map(|shard| &shard.object);
    let all = manifest.objects.iter().chain(shards);
    all.map(|object| (object.decoded_sha256, object)).collect()
}
