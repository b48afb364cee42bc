//! Manifests whose digest is right, as those of a hostile publisher are: an accepted one gives a reader no path
//! outside its folder, no range outside its object, and no import name that its files do not imply. The same holds of one
//! to which shards were added.
//!
//! An input is a manifest and its shards, with a NUL between them. The manifest's entries are made to name the shards that
//! follow, in this order, as no change of either would fit the other.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde_json::Value;
use webimport_core::closure::Planned;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::VerifyError;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, ImportNames, Manifest};
use webimport_core::names::{CacheTag, ReleaseName};
use webimport_core::path::tables;
use webimport_core::trust::Verified;
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let mut parts = data.split(|byte| *byte == 0);
    let root = parts.next().unwrap_or_default();
    let shards: Vec<&[u8]> = parts.collect();
    let mut manifest = match parse(&naming(root, &shards)) {
        Ok(manifest) => manifest,
        Err(error) => return refused(&error),
    };
    holds(&manifest);
    let again = manifest.to_bytes().expect("a manifest can be written");
    assert_eq!(parse(&again).as_ref(), Ok(&manifest));
    for (index, shard) in shards.into_iter().enumerate() {
        let before = manifest.clone();
        if let Err(error) = manifest.add_shard(index, shard, &Limits::default(), tables) {
            assert_eq!(manifest, before);
            return refused(&error);
        }
        holds(&manifest);
    }
    let _ = manifest.check_elsewhere("release.json");
    Outcome::Accepted
}

/// A manifest whose first entries name these shards.
fn naming(root: &[u8], shards: &[&[u8]]) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(root) else {
        return root.to_vec();
    };
    let listed = value.get_mut("shards").and_then(Value::as_array_mut);
    let Some(entries) = listed.filter(|_| !shards.is_empty()) else {
        return root.to_vec();
    };
    for (entry, shard) in entries.iter_mut().zip(shards) {
        let Some(entry) = entry.as_object_mut() else {
            continue;
        };
        entry.insert("sha256".into(), Sha256Digest::of(shard).to_string().into());
        entry.insert("size".into(), shard.len().into());
        entry.insert("decoded_size".into(), shard.len().into());
        entry.insert("encoding".into(), "identity".into());
    }
    serde_json::to_vec(&value).expect("JSON can be written")
}

fn holds(manifest: &Manifest) {
    let limits = Limits::default();
    assert_eq!(manifest.name, name());
    let has_shards = !manifest.shards.is_empty();
    assert!(has_shards || manifest.files.len().max(manifest.objects.len()) <= limits.files);
    assert!(manifest.requires.len() <= limits.requirements);
    assert!(
        manifest
            .requires
            .iter()
            .all(|it| it.len() <= limits.requirement)
    );

    let (mut total, mut decoded) = (0, 0);
    for object in &manifest.objects {
        assert!(object.size <= limits.object && object.decoded_size <= limits.object_decoded);
        assert!(object.encoding == Encoding::Gzip || object.size == object.decoded_size);
        total += object.size;
        decoded += object.decoded_size;
    }
    assert!(has_shards || (total <= limits.release && decoded <= limits.release_decoded));

    let mut ends: BTreeMap<usize, u64> = BTreeMap::new();
    for file in &manifest.files {
        is_inside(&file.path);
        is_inside(&manifest.mounted_path(file));
        let end = ends.entry(file.object).or_default();
        assert_eq!(file.offset, *end, "{}", file.path);
        *end += file.size;
    }
    for (index, object) in manifest.objects.iter().enumerate() {
        let end = ends.get(&index).copied().unwrap_or_default();
        assert_eq!(end, object.decoded_size, "{}", object.path());
    }
    are_apart(manifest);

    let names = ImportNames::in_files(&manifest.files, manifest.source);
    let is_whole = manifest.unknown_shards().is_empty();
    assert!(
        !is_whole
            || (&names.modules, &names.namespaces) == (&manifest.modules, &manifest.namespaces)
    );
    assert_eq!(manifest.check_modules(&manifest.modules), Ok(()));
    needs_all_its_files(manifest);
    // Whatever the text is, it is a refusal or none.
    let _ = manifest.check_python("3.14.2");
}

fn parse(bytes: &[u8]) -> Result<Verified<Manifest>, VerifyError> {
    let expected = Expected {
        subject: "release.json".into(),
        length: Some(bytes.len() as u64),
        sha256: Sha256Digest::of(bytes),
    };
    Manifest::parse(bytes, &expected, &name(), None, &Limits::default())
}

fn name() -> ReleaseName {
    "mylib".parse().expect("a release name")
}

/// Below the mount for a reader on any system, and not a file that Python runs at start-up.
fn is_inside(path: &str) {
    let joined = Path::new("/mount").join(path);
    let below = joined.strip_prefix("/mount").expect("below the mount");
    assert!(
        below
            .components()
            .all(|part| matches!(part, Component::Normal(_))),
        "{path}"
    );
    let mut parts = path.split(['/', '\\']);
    assert!(parts.all(|part| !matches!(part, "" | "." | "..")), "{path}");
    assert!(!path.contains(['\\', ':', '\0']), "{path}");
    let lower = path.to_lowercase();
    let is_pth = lower.rsplit('.').next() == Some("pth") && lower.contains('.');
    assert!(lower.contains('/') || !is_pth, "{path}");
    assert!(
        !lower.starts_with("sitecustomize.") && !lower.starts_with("sitecustomize/"),
        "{path}"
    );
}

/// No two paths are one file, or a file and its folder, where case does not count.
fn are_apart(manifest: &Manifest) {
    let mut folded: Vec<String> = manifest
        .files
        .iter()
        .map(|file| file.path.to_lowercase())
        .collect();
    folded.sort_unstable();
    assert!(folded.windows(2).all(|pair| pair[0] != pair[1]));
    for path in &folded {
        for (at, _) in path.match_indices('/') {
            assert!(
                folded
                    .binary_search_by(|it| it.as_str().cmp(&path[..at]))
                    .is_err(),
                "{path}"
            );
        }
    }
}

/// A plan for a whole release holds every file but the bytecode of others. What may follow is no bytecode, and
/// nothing is planned twice.
fn needs_all_its_files(manifest: &Manifest) {
    let tag: CacheTag = "cpython-314".parse().expect("a cache tag");
    let plan = match manifest.plan(&tag, &[]) {
        Ok(Planned::Ready(plan)) => plan,
        Ok(Planned::Lacking(shards)) => {
            assert!(!shards.is_empty());
            assert!(shards.iter().all(|index| !manifest.shards[*index].is_known));
            return;
        }
        Err(_) => {
            assert!(!manifest.source && !manifest.has_bytecode(&tag));
            return;
        }
    };
    assert!(!manifest.partial || plan.others.is_empty());
    let all = [plan.now, plan.others, plan.sources.clone()].concat();
    let planned: BTreeSet<usize> = all.iter().copied().collect();
    assert_eq!(planned.len(), all.len());
    for file in &manifest.files {
        let object = &manifest.objects[file.object];
        let is_for = object.is_for(&tag);
        assert!(is_for || !planned.contains(&file.object), "{}", file.path);
        assert!(
            !plan.sources.contains(&file.object) || object.tag.is_none(),
            "{}",
            file.path
        );
        if !manifest.partial {
            assert!(!is_for || planned.contains(&file.object), "{}", file.path);
        }
    }
    let counted: usize = manifest.files_per_object().iter().sum();
    assert_eq!(counted, manifest.files.len());
}
