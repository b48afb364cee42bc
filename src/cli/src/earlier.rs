//! Objects of an earlier release, for the next one to take again.
//!
//! What did not change is neither compressed nor written a second time. Which object holds which bytes is read in a
//! manifest that the signed metadata name. Not even that is believed: an object is taken if it is on disk with its own
//! digest and decodes to the very bytes that are to be packed. So a release is the same whether an earlier one is
//! there or not, as long as the same compressor made both.

use std::collections::HashMap;
use std::path::Path;

use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, Manifest, ObjectEntry};
use webimport_core::metadata::TargetFile;
use webimport_core::names::{ReleaseName, Version};

use crate::source::Source;
use crate::verify::decode;

/// The objects that may be taken.
#[derive(Default)]
pub(crate) struct Earlier(Option<Release>);

struct Release {
    repository: Source,
    /// By the digest of what they decode to.
    objects: HashMap<Sha256Digest, ObjectEntry>,
}

impl Earlier {
    /// Those of a release in the repository's folder `root`, as `target` names it. None if its manifest is lost or
    /// damaged, which is for readers to complain about.
    pub(crate) fn of(
        root: &Path,
        name: &ReleaseName,
        version: &Version,
        target: &TargetFile,
    ) -> Self {
        let read = || {
            let repository = Source::Folder(root.to_owned());
            let sha256 = target.hashes.sha256?;
            let expected = Expected {
                subject: format!("targets/{name}/{version}/{sha256}.release.json"),
                length: Some(target.length),
                sha256,
            };
            let limits = Limits::default();
            let bytes = repository.fetch(&expected.subject, limits.manifest).ok()?;
            let manifest = Manifest::parse(&bytes, &expected, name, Some(version), &limits).ok()?;
            let objects = manifest.into_inner().objects.into_iter();
            Some(Release {
                repository,
                objects: objects
                    .map(|object| (object.decoded_sha256, object))
                    .collect(),
            })
        };
        Self(read())
    }

    /// The object that decodes to these bytes, if there is one. Readers need what begins with a byte order mark in an
    /// object that is encoded.
    pub(crate) fn find(
        &self,
        decoded: &[u8],
        decoded_sha256: Sha256Digest,
        is_marked: bool,
    ) -> Option<&ObjectEntry> {
        let release = self.0.as_ref()?;
        let object = release.objects.get(&decoded_sha256)?;
        if is_marked && object.encoding == Encoding::Identity {
            return None;
        }
        let bytes = release.repository.fetch(&object.path(), object.size).ok()?;
        object.expected().check_bytes(&bytes).ok()?;
        (decode(object, bytes).ok()? == decoded).then_some(object)
    }
}
