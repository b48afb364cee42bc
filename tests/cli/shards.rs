//! Large releases, whose manifests are divided into shards.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;

use webimport_cli::release::Released;
use webimport_core::closure::Planned;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::Coded as _;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Manifest, ObjectEntry};
use webimport_core::path::tables;
use webimport_core::shards::FORMAT;
use webimport_core::trust::Verified;

use support::{TestRepository, WheelBuilder};

/// Bytes of a module: those of 180 packages are more than readers fetch at once.
const FILLING: usize = 10 * 1024;

/// A release of packages `big.pNN` with ten modules each, the first of which import each other's.
fn big(packages: usize, changed: bool) -> WheelBuilder {
    let filling = "# A line of a comment, as there are many.\n".repeat(FILLING / 42);
    let mut wheel = WheelBuilder::new("big", "1.0").file("big/__init__.py", "");
    for package in 0..packages {
        wheel = wheel.file(&format!("big/p{package:03}/__init__.py"), "");
        for module in 0..10 {
            let mut text = format!("# {package} {module}\n{filling}");
            if package == 7 && module == 0 {
                text.insert_str(0, "from big.p100 import m3\nfrom . import m1\n");
            }
            if changed && package == 7 && module == 1 {
                text.push_str("CHANGED = True\n");
            }
            wheel = wheel.file(&format!("big/p{package:03}/m{module}.py"), text);
        }
    }
    wheel
}

struct Published {
    repository: TestRepository,
    released: Released,
}

impl Published {
    fn of(packages: usize, changed: bool) -> Self {
        let repository = TestRepository::new();
        let released = repository.release(&[big(packages, changed)]).unwrap();
        Self {
            repository,
            released,
        }
    }

    fn manifest(&self) -> Verified<Manifest> {
        let Released {
            name,
            version,
            sha256,
            ..
        } = &self.released;
        let path = format!("targets/{name}/{version}/{sha256}.release.json");
        let bytes = fs::read(self.repository.root().join(path)).unwrap();
        let expected = Expected {
            subject: "release.json".into(),
            length: None,
            sha256: *sha256,
        };
        Manifest::parse(&bytes, &expected, name, None, &Limits::default()).unwrap()
    }

    fn decoded(&self, object: &ObjectEntry) -> Vec<u8> {
        use std::io::Read as _;

        let stored = fs::read(self.repository.root().join(object.path())).unwrap();
        let mut decoded = Vec::new();
        flate2::read::GzDecoder::new(&*stored)
            .read_to_end(&mut decoded)
            .unwrap();
        decoded
    }

    fn add(&self, manifest: &mut Verified<Manifest>, index: usize) {
        let bytes = self.decoded(&manifest.shards[index].object);
        manifest
            .add_shard(index, &bytes, &Limits::default(), tables)
            .unwrap();
    }
}

#[test]
fn the_manifest_of_a_large_release_is_divided_and_that_of_a_smaller_one_is_not() {
    let small = Published::of(180, false);
    assert!(small.released.partial);
    assert_eq!(
        (small.released.shards, small.manifest().shards.len()),
        (0, 0)
    );

    let large = Published::of(200, false);
    let mut manifest = large.manifest();
    assert!(large.released.shards > 150, "{}", large.released.shards);
    assert_eq!(manifest.shards.len(), large.released.shards);
    assert!(manifest.files.len() + manifest.shards.len() <= 256);
    assert_eq!(manifest.modules, ["big"]);
    let first = large.decoded(&manifest.shards[0].object);
    assert!(first.starts_with(format!("{{\"format\":\"{FORMAT}\"").as_bytes()));

    // An import across shards takes both, and no other.
    let tag = "cpython-314".parse().unwrap();
    let modules = ["big.p007.m0".to_owned()];
    let mut taken = BTreeSet::new();
    let plan = loop {
        match manifest.plan(&tag, &modules).unwrap() {
            Planned::Ready(plan) => break plan,
            Planned::Lacking(shards) => {
                for index in shards {
                    taken.insert(manifest.shards[index].folder.clone());
                    large.add(&mut manifest, index);
                }
            }
        }
    };
    assert_eq!(
        taken,
        BTreeSet::from(["big/p007".into(), "big/p100".into()])
    );
    let files = manifest.files.iter();
    let now: BTreeSet<&str> = files
        .filter(|file| plan.now.contains(&file.object))
        .map(|file| &*file.path)
        .collect();
    for path in [
        "big/p007/m0.py",
        "big/p007/m1.py",
        "big/p100/m3.py",
        "big-1.0.dist-info/METADATA",
    ] {
        assert!(now.contains(path), "{path} in {now:?}");
    }
    for path in [
        "big/p007/m2.py",
        "big/p100/m2.py",
        "big-1.0.dist-info/RECORD",
    ] {
        assert!(!now.contains(path), "{path} in {now:?}");
    }
}

#[test]
fn a_change_changes_its_shard_and_those_around_it() {
    let folders = |changed| {
        let published = Published::of(200, changed);
        let manifest = published.manifest();
        let entries = manifest.shards.iter();
        let entries = entries.map(|entry| (entry.folder.clone(), entry.object.sha256));
        entries.collect::<BTreeSet<(String, Sha256Digest)>>()
    };
    let (before, after) = (folders(false), folders(true));
    let changed: Vec<&str> = after
        .difference(&before)
        .map(|(folder, _)| &**folder)
        .collect();
    assert_eq!(changed, ["big/p007"]);
    assert_eq!(before.len(), after.len());
}

#[test]
fn a_release_in_shards_is_verified_whole_and_a_bad_shard_is_found() {
    let published = Published::of(200, false);
    let verify = || {
        published
            .repository
            .verify("big")
            .map_err(|error| error.code())
    };
    let verified = verify().unwrap();
    let Released {
        files,
        objects,
        shards,
        bytes,
        decoded_bytes,
        ..
    } = published.released;
    assert_eq!(verified.files, files);
    assert_eq!((verified.objects, verified.shards), (objects, shards));
    assert_eq!(
        (verified.bytes, verified.decoded_bytes),
        (bytes, decoded_bytes)
    );
    let manifest = published.manifest();
    let root = published.repository.root();
    let [one, other] = [5, 6].map(|index| root.join(manifest.shards[index].object.path()));
    let bytes = fs::read(&one).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&one, flipped).unwrap();
    assert_eq!(verify().unwrap_err(), "verify.digest");
    fs::copy(&other, &one).unwrap();
    assert!(matches!(
        verify().unwrap_err(),
        "verify.digest" | "verify.length"
    ));
    fs::remove_file(&one).unwrap();
    assert_eq!(verify().unwrap_err(), "fetch.not_found");
    fs::write(&one, bytes).unwrap();
    assert!(verify().is_ok());
}
