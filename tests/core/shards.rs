//! Manifests that list a part of a release, and shards that list the rest.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use webimport_core::closure::{Plan, Planned};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, ResolveError, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, Manifest, ObjectEntry};
use webimport_core::names::CacheTag;
use webimport_core::path::tables;
use webimport_core::shards::split;
use webimport_core::trust::Verified;

use crate::closure::{Draft, any_release, is_source};
use crate::sample::parse_bytes;

/// A release with shards as it is served.
struct Sharded {
    root: Manifest,
    /// By digest.
    shards: BTreeMap<Sha256Digest, Vec<u8>>,
}

impl Sharded {
    fn of(whole: Manifest, folders: &[String]) -> Self {
        let mut shards = BTreeMap::new();
        let root = split(whole, folders, |bytes| {
            let object = object_of(&bytes);
            shards.insert(object.sha256, bytes);
            Ok::<_, serde_json::Error>(object)
        });
        Self {
            root: root.unwrap(),
            shards,
        }
    }

    /// What a reader starts with.
    fn open(&self) -> Result<Verified<Manifest>, VerifyError> {
        parse_bytes(&self.root.to_bytes().unwrap())
    }

    fn add(&self, manifest: &mut Verified<Manifest>, index: usize) -> Result<(), VerifyError> {
        let bytes = &self.shards[&manifest.shards[index].object.sha256];
        manifest.add_shard(index, bytes, &Limits::default(), tables)
    }

    /// The plan, with no more shards than it needs.
    fn plan(
        &self,
        manifest: &mut Verified<Manifest>,
        tag: &CacheTag,
        modules: &[String],
    ) -> Result<Plan, ResolveError> {
        loop {
            match manifest.plan(tag, modules)? {
                Planned::Ready(plan) => return Ok(plan),
                Planned::Lacking(shards) => {
                    assert!(!shards.is_empty());
                    for index in shards {
                        assert!(!manifest.shards[index].is_known);
                        self.add(manifest, index).unwrap();
                    }
                }
            }
        }
    }

    fn open_whole(&self) -> Verified<Manifest> {
        let mut manifest = self.open().unwrap();
        while let Some(index) = manifest.unknown_shards().first().copied() {
            self.add(&mut manifest, index).unwrap();
        }
        manifest
    }
}

fn object_of(bytes: &[u8]) -> ObjectEntry {
    let sha256 = Sha256Digest::of(bytes);
    ObjectEntry {
        sha256,
        size: bytes.len() as u64,
        encoding: Encoding::Identity,
        decoded_size: bytes.len() as u64,
        decoded_sha256: sha256,
        tag: None,
    }
}

fn tag() -> CacheTag {
    "cpython-314".parse().unwrap()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// The paths of the files in these objects. Those of shards are in another order than in a manifest of them all.
fn paths(manifest: &Manifest, objects: &[usize]) -> BTreeSet<String> {
    let files = manifest.files.iter();
    let files = files.filter(|file| objects.contains(&file.object));
    files.map(|file| file.path.clone()).collect()
}

/// Three teams, the libraries of one of them in shards of their own.
fn library() -> Draft {
    Draft::default()
        .file("acme-1.dist-info/METADATA")
        .file("acme-1.dist-info/RECORD")
        .module("acme/__init__.py", &[])
        .module("acme/a/__init__.py", &[])
        .module("acme/a/x/__init__.py", &["acme/a/x/one.py"])
        .module("acme/a/x/one.py", &["acme/b/two.py"])
        .file("acme/a/x/data/table.csv")
        .module("acme/a/y/__init__.py", &[])
        .module("acme/a/y/three.py", &["acme/a/x/__init__.py"])
        .module("acme/b/__init__.py", &[])
        .module("acme/b/two.py", &[])
        .module("acme/c/__init__.py", &[])
        .module("acme/c/four.py", &["acme/a/y/three.py", "acme/b/two.py"])
        .module("space/deep/__init__.py", &[])
        .module("space/deep/five.py", &[])
}

fn sharded() -> Sharded {
    Sharded::of(
        library().partial(),
        &texts(&[
            "acme/a",
            "acme/a/x",
            "acme/a/y",
            "acme/b",
            "acme/c",
            "space/deep",
        ]),
    )
}

/// A manifest with shards, and these.
pub(crate) fn files_of_a_release() -> (Value, Vec<Value>) {
    let sharded = sharded();
    let shards = sharded.shards.values();
    let shards = shards.map(|bytes| serde_json::from_slice(bytes).unwrap());
    (
        serde_json::to_value(&sharded.root).unwrap(),
        shards.collect(),
    )
}

/// The folders of the shards that are known.
fn known(manifest: &Manifest) -> Vec<&str> {
    let known = manifest.shards.iter().filter(|entry| entry.is_known);
    known.map(|entry| &*entry.folder).collect()
}

#[test]
fn a_plan_takes_the_shards_that_its_modules_are_in() {
    let sharded = sharded();
    let mut plans = Vec::new();
    for (module, shards) in [
        ("acme.b.two", &["acme/b"][..]),
        ("acme.a", &["acme/a"]),
        ("acme.a.x", &["acme/a", "acme/b", "acme/a/x"]),
        ("acme.a.x.one", &["acme/a", "acme/b", "acme/a/x"]),
        (
            "acme.c.four",
            &["acme/a", "acme/b", "acme/c", "acme/a/x", "acme/a/y"],
        ),
        // A namespace package stands for what is in it.
        ("space", &["space/deep"]),
        ("acme", &[]),
    ] {
        let mut manifest = sharded.open().unwrap();
        let plan = sharded
            .plan(&mut manifest, &tag(), &texts(&[module]))
            .unwrap();
        assert_eq!(known(&manifest), shards, "{module}");
        let whole = library().partial();
        let other = whole
            .plan(&tag(), &texts(&[module]))
            .unwrap()
            .ready()
            .unwrap();
        assert_eq!(
            paths(&manifest, &plan.now),
            paths(&whole, &other.now),
            "{module}"
        );
        assert_eq!(
            paths(&manifest, &plan.sources),
            paths(&whole, &other.sources),
            "{module}"
        );
        plans.push(plan.now.len());
    }
    assert!(plans.iter().all(|objects| *objects > 0));
}

#[test]
fn a_module_that_no_shard_can_have_is_unknown_and_one_that_a_shard_lacks_is_too() {
    let sharded = sharded();
    for (module, shards) in [
        ("acme.z", 0),
        ("acme.b.z", 1),
        ("acme.a.x.z", 2),
        ("space.z", 0),
        ("acme.b..two", 0),
    ] {
        let mut manifest = sharded.open().unwrap();
        let error = sharded
            .plan(&mut manifest, &tag(), &texts(&[module]))
            .unwrap_err();
        assert_eq!(error.code(), "resolve.unknown_module", "{module}");
        assert_eq!(known(&manifest).len(), shards, "{module}");
    }
}

#[test]
fn the_list_of_a_distributions_files_does_not_come_with_imports() {
    let manifest = library().partial();
    let plan = manifest
        .plan(&tag(), &texts(&["acme"]))
        .unwrap()
        .ready()
        .unwrap();
    let now = paths(&manifest, &plan.now);
    assert!(now.contains("acme-1.dist-info/METADATA"));
    assert!(!now.contains("acme-1.dist-info/RECORD"));
    // A whole release comes whole.
    let manifest = library().whole();
    let plan = manifest
        .plan(&tag(), &texts(&["acme"]))
        .unwrap()
        .ready()
        .unwrap();
    assert!(paths(&manifest, &plan.now).contains("acme-1.dist-info/RECORD"));
}

#[test]
fn what_is_known_of_all_shards_is_known_of_the_manifest() {
    let sharded = sharded();
    let manifest = sharded.open().unwrap();
    assert_eq!(manifest.tags(), ["cpython-314"]);
    assert!(manifest.has_bytecode(&tag()));
    assert_eq!(manifest.modules, ["acme", "space"]);
    assert_eq!(manifest.namespaces, ["space"]);
    let all = sharded.open_whole();
    let whole = library().partial();
    assert_eq!(all.files.len(), whole.files.len());
    assert_eq!(all.objects.len(), whole.objects.len());
    assert_eq!(all.check_elsewhere("release.json"), Ok(()));
}

#[test]
fn entry_modules_may_be_in_shards_and_have_to_be_there() {
    let mut sharded = sharded();
    for (entry, root, shard) in [
        (&["acme.b.two", "space"][..], true, true),
        (&["acme.b"], true, true),
        (&["acme.z"], false, true),
        (&["acme.b.z"], true, false),
    ] {
        sharded.root.entry = texts(entry);
        let manifest = sharded.open();
        assert_eq!(manifest.is_ok(), root, "{entry:?}");
        let Ok(mut manifest) = manifest else { continue };
        let index = manifest
            .shards
            .iter()
            .position(|it| it.folder == "acme/b")
            .unwrap();
        let before = manifest.clone();
        match sharded.add(&mut manifest, index) {
            Ok(()) => assert!(shard, "{entry:?}"),
            Err(error) => {
                assert!(
                    !shard && error.code() == "verify.malformed",
                    "{entry:?}: {error}"
                );
                assert_eq!(manifest, before);
            }
        }
    }
}

#[test]
fn indices_stay_and_a_shard_is_added_once() {
    let sharded = sharded();
    let mut manifest = sharded.open().unwrap();
    let (objects, shards) = (manifest.objects.clone(), manifest.shards.len());
    sharded.add(&mut manifest, 0).unwrap();
    assert_eq!(manifest.objects[..objects.len()], objects);
    assert_eq!(manifest.shards.len(), shards + 2);
    let once = manifest.clone();
    sharded.add(&mut manifest, 0).unwrap();
    assert_eq!(manifest, once);
    // Nothing is there under an index that no entry has.
    manifest
        .add_shard(1000, b"", &Limits::default(), tables)
        .unwrap();
    assert_eq!(manifest, once);
}

#[test]
fn empty_modules_of_all_lists_are_one_object() {
    let mut whole = library().partial();
    let empty = whole
        .files
        .iter()
        .position(|it| it.path == "acme/__init__.py")
        .unwrap();
    let empty = whole.files[empty].object;
    whole.objects[empty].size = 0;
    whole.objects[empty].decoded_size = 0;
    for path in [
        "acme/__init__.py",
        "acme/a/__init__.py",
        "acme/b/__init__.py",
    ] {
        let file = whole.files.iter_mut().find(|it| it.path == path).unwrap();
        (file.size, file.object) = (0, empty);
    }
    // Those of the others have no file any more.
    let used: BTreeSet<usize> = whole.files.iter().map(|file| file.object).collect();
    let objects = std::mem::take(&mut whole.objects);
    let kept = objects
        .into_iter()
        .enumerate()
        .filter(|(at, _)| used.contains(at));
    whole.objects = kept.map(|(_, object)| object).collect();
    let used: Vec<usize> = used.into_iter().collect();
    for file in &mut whole.files {
        file.object = used.binary_search(&file.object).unwrap();
    }
    let count = whole.objects.len();
    let sharded = Sharded::of(whole, &texts(&["acme/a", "acme/b"]));
    let all = sharded.open_whole();
    assert_eq!(all.objects.len(), count);
}

/// A manifest with one shard, `acme/b`, each as JSON to be changed.
struct Parts {
    root: Value,
    shard: Value,
}

impl Parts {
    fn new() -> Self {
        let sharded = Sharded::of(library().partial(), &texts(&["acme/b"]));
        let shard = sharded.shards.values().next().unwrap();
        Self {
            root: serde_json::to_value(&sharded.root).unwrap(),
            shard: serde_json::from_slice(shard).unwrap(),
        }
    }

    /// What comes of reading both, where the manifest names the shard as it is.
    fn read(&self, limits: &Limits) -> Result<(), VerifyError> {
        let bytes = serde_json::to_vec(&self.shard).unwrap();
        let mut root = self.root.clone();
        let object = serde_json::to_value(object_of(&bytes)).unwrap();
        for (key, value) in object.as_object().unwrap() {
            root["shards"][0][key] = value.clone();
        }
        let root = serde_json::to_vec(&root).unwrap();
        let mut manifest = Manifest::parse(
            &root,
            &crate::sample::expected(&root),
            &"mylib".parse().unwrap(),
            None,
            limits,
        )?;
        let before = manifest.clone();
        let added = manifest.add_shard(0, &bytes, limits, tables);
        if added.is_err() {
            assert_eq!(manifest, before, "nothing of a bad shard stays");
        }
        added
    }
}

#[track_caller]
fn assert_refused(change: impl Fn(&mut Parts), code: &str, reason: &str) {
    let mut parts = Parts::new();
    parts.read(&Limits::default()).unwrap();
    change(&mut parts);
    let error = parts
        .read(&Limits::default())
        .expect_err("expected a refusal");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(reason), "`{reason}` in: {error}");
}

#[test]
fn rejects_other_bytes_than_the_entry_names() {
    let sharded = sharded();
    let mut manifest = sharded.open().unwrap();
    let bytes = sharded.shards[&manifest.shards[1].object.sha256].clone();
    let limits = Limits::default();
    let add = |manifest: &mut Verified<Manifest>, bytes: &[u8]| {
        manifest
            .add_shard(1, bytes, &limits, tables)
            .map_err(|error| error.code())
    };
    let mut flipped = bytes.clone();
    flipped[20] ^= 1;
    assert_eq!(add(&mut manifest, &flipped), Err("verify.digest"));
    assert_eq!(add(&mut manifest, &bytes[1..]), Err("verify.length"));
    // Another shard of the same release.
    let other = &sharded.shards[&manifest.shards[0].object.sha256];
    assert!(add(&mut manifest, other).is_err());
    assert_eq!(add(&mut manifest, &bytes), Ok(()));
}

#[test]
fn rejects_a_shard_under_another_folder_than_its_own() {
    assert_refused(
        |it| it.shard["folder"] = json!("acme/d"),
        "verify.malformed",
        "expected the folder",
    );
    assert_refused(
        |it| it.shard["folder"] = json!("acme"),
        "verify.malformed",
        "expected the folder",
    );
    assert_refused(
        |it| it.shard["format"] = json!("webimport-shard/2"),
        "verify.malformed",
        "expected the format",
    );
}

#[test]
fn rejects_files_outside_of_the_folder() {
    for path in ["../x.py", "../b/x.py", "/x.py", "", "a/../../x.py"] {
        assert_refused(
            |it| it.shard["files"][0]["path"] = json!(path),
            "verify.path",
            "",
        );
    }
    for folder in ["../x", "/acme/b", "acme/../b/x"] {
        assert_refused(
            |it| it.root["shards"][0]["folder"] = json!(folder),
            "verify.path",
            "",
        );
    }
}

#[test]
fn rejects_files_of_a_folder_that_is_a_shard() {
    let with = |parts: &mut Parts, path: &str| {
        let digest = Sha256Digest::of(b"").to_string();
        let objects = parts.root["objects"].as_array_mut().unwrap();
        objects
            .push(json!({"sha256": digest, "size": 0, "encoding": "identity", "decoded_size": 0}));
        let object = objects.len() - 1;
        let files = parts.root["files"].as_array_mut().unwrap();
        let at = files.partition_point(|file| file["path"].as_str().unwrap() < path);
        files.insert(
            at,
            json!({"path": path, "size": 0, "sha256": digest, "object": object}),
        );
    };
    let mut parts = Parts::new();
    with(&mut parts, "acme/b2.txt");
    parts.read(&Limits::default()).unwrap();
    for path in [
        "acme/b/x.txt",
        "acme/b/deep/x.txt",
        "acme/b",
        "acme/B/x.txt",
        "acme\u{ff0f}b/x.txt",
    ] {
        assert_refused(|it| with(it, path), "verify.path", "");
    }
}

#[test]
fn rejects_shards_that_overlap_or_are_listed_twice() {
    let with = |parts: &mut Parts, folder: &str| {
        let mut entry = parts.root["shards"][0].clone();
        entry["folder"] = json!(folder);
        parts.root["shards"].as_array_mut().unwrap().push(entry);
    };
    let mut parts = Parts::new();
    with(&mut parts, "acme/d");
    parts.read(&Limits::default()).unwrap();
    assert_refused(|it| with(it, "acme/b"), "verify.malformed", "out of order");
    assert_refused(|it| with(it, "acme/a"), "verify.malformed", "out of order");
    assert_refused(
        |it| with(it, "acme/b/c"),
        "verify.path",
        "in a shard of its own",
    );
    assert_refused(
        |it| with(it, "acme/b\u{ff0f}c"),
        "verify.path",
        "stands for a slash",
    );
    assert_refused(
        |it| with(it, "z/b/__pycache__"),
        "verify.malformed",
        "can be no shard",
    );
    assert_refused(|it| with(it, "b"), "verify.malformed", "can be no shard");
    // A folder of two, beside files of a third that differs by case alone.
    assert_refused(|it| with(it, "acme/C"), "verify.malformed", "out of order");
    assert_refused(|it| with(it, "space/DEEP"), "verify.path", "by case");
}

#[test]
fn rejects_data_of_packages_outside_of_the_shard() {
    let mut whole = library()
        .file("acme/data/table.csv")
        .file("acme/b/more/table.csv")
        .partial();
    whole.entry = Vec::new();
    let read = |folder: &str| {
        let sharded = Sharded::of(whole.clone(), &texts(&[folder]));
        let mut manifest = sharded.open().unwrap();
        sharded
            .add(&mut manifest, 0)
            .map_err(|error| error.to_string())
    };
    read("acme/b").unwrap();
    let error = read("acme/data").unwrap_err();
    assert!(error.contains("a package outside of the shard"), "{error}");
    // Its package is around the shard.
    let error = read("acme/b/more").unwrap_err();
    assert!(error.contains("a package outside of the shard"), "{error}");
}

#[test]
fn rejects_shards_of_a_whole_release_and_bytecode_of_unstated_tags() {
    assert_refused(
        |it| it.root["partial"] = json!(false),
        "verify.malformed",
        "partial",
    );
    assert_refused(
        |it| it.root["tags"] = json!(["cpython-313"]),
        "verify.malformed",
        "not among the tags",
    );
    assert_refused(
        |it| it.root["tags"] = json!(["cpython-314", "cpython-313"]),
        "verify.malformed",
        "out of order",
    );
    assert_refused(
        |it| it.root["tags"] = json!(["CPython"]),
        "verify.malformed",
        "",
    );
    let mut parts = Parts::new();
    parts.root["tags"] = json!(["cpython-314", "cpython-315"]);
    // A source is then no longer behind the bytecode of every tag, which is no fault.
    parts.read(&Limits::default()).unwrap();
}

#[test]
fn rejects_fields_of_another_form() {
    for change in [
        (|it| it["files"] = json!({})) as fn(&mut Value),
        |it| it["files"] = json!(null),
        |it| it["objects"][0]["size"] = json!(-1),
        |it| it["shards"] = json!([{"folder": "x"}]),
        |it| it["shards"] = json!("x"),
        |it| drop(it.as_object_mut().unwrap().remove("folder")),
        |it| it["files"][0]["object"] = json!(99),
        |it| it["files"][0]["imports_elsewhere"] = json!([1]),
        |it| *it = json!([]),
    ] {
        assert_refused(|it| change(&mut it.shard), "verify.malformed", "");
    }
    assert_refused(
        |it| {
            it.shard["files"] = json!([]);
            it.shard["objects"] = json!([]);
        },
        "verify.malformed",
        "lists nothing",
    );
    assert_refused(
        |it| it.root["shards"][0]["tag"] = json!("cpython-314"),
        "verify.malformed",
        "has a tag",
    );
}

#[test]
fn limits_are_refused_above_and_not_at_their_value() {
    let parts = Parts::new();
    let length = serde_json::to_vec(&parts.shard).unwrap().len() as u64;
    let files = parts.shard["files"].as_array().unwrap().len();
    let root = parts.root["files"].as_array().unwrap().len();
    let default = Limits::default;
    let at = [
        Limits {
            shard: length,
            ..default()
        },
        Limits {
            shards: length,
            ..default()
        },
        Limits {
            files: files.max(root),
            ..default()
        },
    ];
    for limits in at {
        parts.read(&limits).unwrap();
    }
    let above = [
        Limits {
            shard: length - 1,
            ..default()
        },
        Limits {
            shards: length - 1,
            ..default()
        },
    ];
    for limits in above {
        assert_eq!(parts.read(&limits).unwrap_err().code(), "verify.too_large");
    }
}

#[test]
fn shards_are_as_deep_as_paths_may_be() {
    let path = |depth: usize| {
        (0..depth)
            .map(|at| format!("f{at}/"))
            .collect::<Vec<_>>()
            .concat()
    };
    let deepest = format!("{}x.py", path(31));
    let folders: Vec<String> = (2..=31)
        .map(|depth| path(depth).trim_end_matches('/').to_owned())
        .collect();
    let sharded = Sharded::of(
        Draft::default()
            .module("f0/__init__.py", &[])
            .file(&deepest)
            .partial(),
        &folders,
    );
    let mut manifest = sharded.open().unwrap();
    let module = deepest.trim_end_matches(".py").replace('/', ".");
    let plan = sharded.plan(&mut manifest, &tag(), &[module]).unwrap();
    assert_eq!(manifest.shards.len(), 30);
    assert!(paths(&manifest, &plan.now).contains(&deepest));
}

#[test]
fn imports_lead_to_other_lists_by_path() {
    let sharded = sharded();
    let all = sharded.open_whole();
    let four = all
        .files
        .iter()
        .find(|file| file.path == "acme/c/four.py")
        .unwrap();
    assert_eq!(
        four.imports_elsewhere,
        ["acme/a/y/three.py", "acme/b/two.py"]
    );
    let own = |paths: Value| {
        move |it: &mut Parts| {
            let files = it.shard["files"].as_array_mut().unwrap();
            let two = files
                .iter_mut()
                .find(|file| file["path"] == "two.py")
                .unwrap();
            two["imports_elsewhere"] = paths.clone();
        }
    };
    let mut parts = Parts::new();
    own(json!(["acme/a/__init__.py", "acme/c/four.py"]))(&mut parts);
    parts.read(&Limits::default()).unwrap();
    for (paths, code) in [
        (
            json!(["acme/c/four.py", "acme/a/__init__.py"]),
            "verify.malformed",
        ),
        (
            json!(["acme/c/four.py", "acme/c/four.py"]),
            "verify.malformed",
        ),
        // Of the same list.
        (json!(["acme/b/__init__.py"]), "verify.malformed"),
        (json!(["../x.py"]), "verify.path"),
    ] {
        assert_refused(own(paths), code, "");
    }
}

#[test]
fn an_import_that_leads_nowhere_is_a_publishers_mistake_and_stops_no_reader() {
    let mut sharded = sharded();
    for file in &mut sharded.root.files {
        if file.path == "acme/__init__.py" {
            file.imports_elsewhere = texts(&["acme/b/nowhere.py"]);
        }
    }
    let mut manifest = sharded.open().unwrap();
    assert_eq!(
        manifest.check_elsewhere("release.json"),
        Ok(()),
        "it may be in the shard"
    );
    let plan = sharded
        .plan(&mut manifest, &tag(), &texts(&["acme"]))
        .unwrap();
    assert!(!plan.now.is_empty());
    let error = manifest.check_elsewhere("release.json").unwrap_err();
    assert!(error.to_string().contains("acme/b/nowhere.py"), "{error}");
}

/// Folders of a release that can be shards.
fn possible(whole: &Manifest) -> Vec<String> {
    let folders: BTreeSet<&str> = whole
        .files
        .iter()
        .flat_map(|file| file.path.match_indices('/').map(|(at, _)| &file.path[..at]))
        .collect();
    let regular = |folder: &str| {
        let init = format!("{folder}/__init__.py");
        whole.files.iter().any(|file| file.path == init)
    };
    let is_possible = |folder: &&&str| {
        let has_own_data = whole.files.iter().any(|file| {
            let path = &file.path;
            let ends = path.match_indices('/').map(|(at, _)| &path[..at]);
            let mut inside = ends
                .filter(|it| it.len() >= folder.len() && path.starts_with(&format!("{folder}/")));
            path.starts_with(&format!("{folder}/"))
                && !is_source(path)
                && !path.contains("__pycache__")
                && !inside.any(regular)
        });
        folder.contains('/') && !folder.contains("__pycache__") && !has_own_data
    };
    folders
        .iter()
        .filter(is_possible)
        .map(ToString::to_string)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_release_in_shards_has_the_plans_of_the_same_release_in_one_list(
        (draft, starts) in any_release(),
        chosen in prop::collection::vec(any::<bool>(), 8),
        which in 0..4_usize,
        old in any::<bool>(),
    ) {
        let mut whole = draft.partial();
        // Modules, the packages around them, what there is, and all.
        let starts: Vec<String> = match which {
            0 => starts,
            1 => starts.iter().map(|it| it.rsplit_once('.').map_or(it.as_str(), |(it, _)| it).to_owned()).collect(),
            2 => starts.into_iter().chain(["a.b.none".to_owned()]).collect(),
            _ => Vec::new(),
        };
        if !chosen[0] && which == 0 {
            whole.entry = starts.clone();
            whole.entry.sort();
            whole.entry.dedup();
        }
        whole.validate("release.json", &Limits::default()).unwrap();
        let folders: Vec<String> = possible(&whole)
            .into_iter()
            .zip(&chosen)
            .filter_map(|(folder, chosen)| chosen.then_some(folder))
            .collect();
        let sharded = Sharded::of(whole.clone(), &folders);
        let tag: CacheTag = if old { "cpython-313" } else { "cpython-314" }.parse().unwrap();
        let mut manifest = sharded.open().unwrap();
        let one = whole.plan(&tag, &starts).map(|planned| planned.ready().unwrap());
        let other = sharded.plan(&mut manifest, &tag, &starts);
        match (one, other) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(paths(&whole, &one.now), paths(&manifest, &other.now));
                prop_assert_eq!(paths(&whole, &one.sources), paths(&manifest, &other.sources));
            }
            (one, other) => prop_assert_eq!(one.map(drop), other.map(drop)),
        }
        let all = sharded.open_whole();
        prop_assert_eq!(all.check_elsewhere("release.json"), Ok(()));
        let mut files: Vec<_> = all.files.iter().map(|file| &file.path).collect();
        files.sort();
        let expected: Vec<_> = whole.files.iter().map(|file| &file.path).collect();
        prop_assert_eq!(files, expected);
    }
}

#[test]
fn shards_that_a_reader_could_not_know_all_at_once_are_refused_before_they_are_fetched() {
    let sharded = Sharded::of(library().partial(), &texts(&["acme/a", "acme/b"]));
    let manifest = sharded.open().unwrap();
    let sizes = manifest
        .shards
        .iter()
        .map(|entry| entry.object.decoded_size);
    let both = Limits {
        shards: sizes.sum(),
        ..Limits::default()
    };
    manifest.check_room(&[0, 1], &both).unwrap();
    let less = Limits {
        shards: both.shards - 1,
        ..both
    };
    manifest.check_room(&[0], &less).unwrap();
    let refused = manifest.check_room(&[0, 1], &less).unwrap_err();
    assert_eq!(refused.code(), "verify.too_large");
}
