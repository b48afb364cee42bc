//! The shards of a release manifest: fetched like objects, and added to what is known of the release.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use js_sys::Uint8Array;
use webimport_core::closure::{Plan, Planned};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Manifest, ObjectEntry};
use webimport_core::names::CacheTag;
use webimport_core::trust::Verified;

use crate::objects::{Objects, Watch};
use crate::unicode::platform;

/// What is to be fetched for modules (dotted names), and the shards on the way to it.
pub(crate) async fn plan(
    manifest: &mut Verified<Manifest>,
    tag: &CacheTag,
    modules: &[String],
    objects: &Objects,
    watch: &Watch<'_>,
) -> Result<Plan, Error> {
    loop {
        match manifest.plan(tag, modules)? {
            Planned::Ready(plan) => {
                check(manifest, &plan)?;
                return Ok(plan);
            }
            Planned::Lacking(shards) => {
                let entries = entries(manifest, &shards)?;
                let fetched = objects.all(&entries, watch).await?;
                for (index, object) in shards.iter().zip(&fetched) {
                    add(manifest, *index, &object.bytes)?;
                }
            }
        }
    }
}

/// Of a release without shards this was checked with the manifest.
pub(crate) fn check(manifest: &Manifest, plan: &Plan) -> Result<(), VerifyError> {
    let limit = Limits::default().release_decoded;
    let sizes = plan
        .now
        .iter()
        .map(|index| manifest.objects[*index].decoded_size);
    if sizes.fold(0, u64::saturating_add) > limit {
        let subject = format!("what is asked for of {}", manifest.name);
        return Err(VerifyError::TooLarge { subject, limit });
    }
    Ok(())
}

/// Adds those that earlier visits came to use, by the digests of their bytes, as far as the cache has them.
pub(crate) async fn add_visited(
    manifest: &mut Verified<Manifest>,
    visited: &[Sha256Digest],
    cached: &Objects,
    watch: &Watch<'_>,
) {
    let mut first = 0;
    // More are listed in those that are added.
    while first < manifest.shards.len() {
        let mut shards: Vec<usize> = (first..manifest.shards.len()).collect();
        first = manifest.shards.len();
        shards.retain(|index| {
            let entry = &manifest.shards[*index];
            !entry.is_known && visited.binary_search(&entry.object.decoded_sha256).is_ok()
        });
        let Ok(entries) = entries(manifest, &shards) else {
            return;
        };
        let found = cached.those_there(&entries, watch).await;
        for (index, object) in shards.iter().zip(found) {
            if let Some(object) = object {
                // One that is refused is refused again where it is needed.
                let _ = add(manifest, *index, &object.bytes);
            }
        }
    }
}

/// The objects of shards, if there is room to know them all.
pub(crate) fn entries(
    manifest: &Manifest,
    shards: &[usize],
) -> Result<Vec<ObjectEntry>, VerifyError> {
    manifest.check_room(shards, &Limits::default())?;
    let entries = shards
        .iter()
        .filter_map(|index| manifest.shards.get(*index));
    Ok(entries.map(|entry| entry.object.clone()).collect())
}

/// Adds a shard by its decoded bytes.
pub(crate) fn add(
    manifest: &mut Verified<Manifest>,
    index: usize,
    bytes: &Uint8Array,
) -> Result<(), VerifyError> {
    manifest.add_shard(index, &bytes.to_vec(), &Limits::default(), platform)
}
