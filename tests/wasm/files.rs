//! What comes after a load. Nothing answers here but the cache, so that what is there was held.

use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen_test::wasm_bindgen_test;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::limits::Limits;
use webimport_core::manifest::Manifest;
use webimport_core::names::ReleaseName;
use webimport_core::trust::Verified;

use crate::files::{Files, Held};
use crate::objects::Objects;
use crate::store::Store;
use crate::unicode::platform;

/// A partial release `late` with a module for each of these contents: `late/m00.py` and so on.
fn manifest(contents: &[String]) -> Verified<Manifest> {
    let digest = |content: &String| Sha256Digest::of(content.as_bytes());
    let objects: Vec<_> = contents
        .iter()
        .map(|content| {
            let (sha256, size) = (digest(content), content.len());
            serde_json::json!({"sha256": sha256, "size": size, "encoding": "identity", "decoded_size": size})
        })
        .collect();
    let files: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(index, content)| {
            let path = format!("late/m{index:02}.py");
            serde_json::json!({"path": path, "size": content.len(), "sha256": digest(content), "object": index})
        })
        .collect();
    let manifest = serde_json::json!({
        "format": "webimport-release/1", "name": "late", "version": "1.0", "modules": ["late"],
        "namespaces": ["late"], "partial": true, "objects": objects, "files": files,
    });
    let bytes = manifest.to_string().into_bytes();
    let signed = Expected {
        subject: "release.json".into(),
        length: None,
        sha256: Sha256Digest::of(&bytes),
    };
    let name = "late".parse().unwrap();
    parsed(&bytes, &signed, &name)
}

fn parsed(bytes: &[u8], signed: &Expected, name: &ReleaseName) -> Verified<Manifest> {
    let (sha256, limits) = (Sha256Digest::of(bytes), Limits::default());
    Manifest::parse_with(bytes, sha256, signed, name, None, &limits, platform).unwrap()
}

/// The files of such a release of which nothing was loaded. The cache has the contents but for those in `lost`.
async fn files(contents: &[String], lost: &[usize], later: &[usize]) -> (Rc<Files>, Rc<Store>) {
    let store = Rc::new(Store::new());
    for (index, content) in contents.iter().enumerate() {
        let sha256 = Sha256Digest::of(content.as_bytes());
        if lost.contains(&index) {
            store.drop_object(sha256).await;
        } else {
            let bytes = Uint8Array::from(content.as_bytes());
            store.put_object(sha256, &bytes).await;
        }
    }
    let objects = Objects {
        store: Rc::clone(&store),
        bases: Vec::new(),
        offline: false,
        updating: Rc::default(),
        early: Rc::default(),
    };
    let sha256 = Sha256Digest::of(contents.concat().as_bytes());
    let tag = "cpython-314".parse().unwrap();
    let files = Files::new(
        manifest(contents),
        sha256,
        tag,
        objects,
        &[],
        later.to_vec(),
    );
    (Rc::new(files), store)
}

fn contents(test: &str) -> Vec<String> {
    (0..20).map(|index| format!("# {test} {index}\n")).collect()
}

#[wasm_bindgen_test]
async fn after_everything_was_fetched_each_file_is_there_at_once() {
    let contents = contents("everything");
    let (files, store) = files(&contents, &[], &[]).await;
    assert!(!files.holds(3) && files.read(3).is_err());
    files.complete().await.unwrap();
    for content in &contents {
        store
            .drop_object(Sha256Digest::of(content.as_bytes()))
            .await;
    }
    for (index, content) in contents.iter().enumerate() {
        assert!(files.holds(index));
        let read = files.read(index).unwrap();
        assert_eq!(read.to_vec(), content.as_bytes());
        assert!(!files.holds(index));
    }
}

#[wasm_bindgen_test]
async fn what_is_held_is_handed_over_and_counts_as_missing_until_it_was() {
    let contents = contents("handed over");
    let (files, _) = files(&contents, &[], &[]).await;
    files.complete().await.unwrap();
    let modules = ["late.m04".to_owned()];
    for _ in 0..2 {
        let supply = files.fetch(&modules).await.unwrap();
        assert_eq!(supply.objects, [4]);
        assert_eq!(supply.buffers[0].to_vec(), contents[4].as_bytes());
        assert!(files.holds(4));
    }
    files.supplied(&[4]);
    assert!(!files.holds(4));
    assert!(files.fetch(&modules).await.unwrap().objects.is_empty());
    let others = files.supply(&[4, 5, 99]).await.unwrap();
    assert_eq!(others.objects, [5]);
}

#[wasm_bindgen_test]
async fn an_object_that_cannot_be_had_keeps_no_other_one_away() {
    let contents = contents("lost");
    let all: Vec<usize> = (0..contents.len()).collect();
    let (files, _) = files(&contents, &[0, 7], &all).await;
    let lost = files.follow().await.unwrap_err();
    let first = Sha256Digest::of(contents[0].as_bytes()).to_string();
    assert!(lost.to_string().contains(&first), "{lost}");
    let held: Vec<usize> = all
        .iter()
        .copied()
        .filter(|index| files.holds(*index))
        .collect();
    let rest: Vec<usize> = all.into_iter().filter(|it| ![0, 7].contains(it)).collect();
    assert_eq!(held, rest);
    assert!(files.complete().await.is_err());
}

#[wasm_bindgen_test]
fn no_more_is_held_than_there_is_room_for() {
    let of = |length| Uint8Array::new_with_length(length);
    let mut held = Held::with_room(10);
    held.put(0, of(6));
    held.put(1, of(5));
    held.put(2, of(4));
    assert_eq!([0, 1, 2].map(|index| held.has(index)), [true, false, true]);
    // What goes makes room.
    assert_eq!(held.take(0).map(|bytes| bytes.length()), Some(6));
    held.put(1, of(5));
    held.put(1, of(6));
    held.put(3, of(0));
    assert_eq!(
        [0, 1, 2, 3].map(|index| held.has(index)),
        [false, true, true, true]
    );
    held.put(4, of(1));
    assert!(!held.has(4));
}

/// Those of a release whose only package is in a shard, `wide/deep`, and the shard's digest. The cache has the shard and
/// the module in it.
async fn in_a_shard(test: &str) -> (Rc<Files>, Rc<Store>, Sha256Digest) {
    let content = format!("# {test}\n");
    let digest = Sha256Digest::of(content.as_bytes());
    let object = serde_json::json!(
        {"sha256": digest, "size": content.len(), "encoding": "identity", "decoded_size": content.len()});
    let shard = serde_json::json!({
        "format": "webimport-shard/1", "folder": "wide/deep", "objects": [object],
        "files": [{"path": "m.py", "size": content.len(), "sha256": digest, "object": 0}],
    });
    let shard = shard.to_string();
    let listed = Sha256Digest::of(shard.as_bytes());
    let manifest = serde_json::json!({
        "format": "webimport-release/1", "name": "wide", "version": "1.0", "modules": ["wide"], "namespaces": ["wide"],
        "partial": true, "objects": [], "files": [],
        "shards": [{
            "folder": "wide/deep", "sha256": listed, "size": shard.len(), "encoding": "identity",
            "decoded_size": shard.len(),
        }],
    });
    let bytes = manifest.to_string().into_bytes();
    let sha256 = Sha256Digest::of(&bytes);
    let signed = Expected {
        subject: "release.json".into(),
        length: None,
        sha256,
    };
    let name = "wide".parse().unwrap();
    let manifest = parsed(&bytes, &signed, &name);
    let store = Rc::new(Store::new());
    for bytes in [content.as_bytes(), shard.as_bytes()] {
        let sha256 = Sha256Digest::of(bytes);
        store.put_object(sha256, &Uint8Array::from(bytes)).await;
    }
    let objects = Objects {
        store: Rc::clone(&store),
        bases: Vec::new(),
        offline: false,
        updating: Rc::default(),
        early: Rc::default(),
    };
    let tag = "cpython-314".parse().unwrap();
    let files = Files::new(manifest, sha256, tag, objects, &[], Vec::new());
    (Rc::new(files), store, sha256)
}

#[wasm_bindgen_test]
async fn what_a_shard_lists_is_said_once_it_is_known() {
    let (files, store, release) = in_a_shard("revealed").await;
    let listing = files.listing();
    assert_eq!((&*listing.paths, &*listing.folders), ("", "wide/deep\n"));
    assert!(files.hides("wide/deep") && files.hides("wide/deep/m.py") && !files.hides("wide"));
    assert!(files.listing().folders.is_empty(), "it is said once");
    files.reveal(&["wide/deep".to_owned()]).await.unwrap();
    assert!(!files.hides("wide/deep/m.py"));
    let listing = files.listing();
    assert_eq!(listing.paths, "wide/deep/m.py\n");
    assert_eq!(listing.spans[..2], [0, 0]);
    // The next visit has it at once.
    assert_eq!(store.visits(release).await.len(), 1);
    let supply = files.fetch(&["wide.deep.m".to_owned()]).await.unwrap();
    assert_eq!(supply.objects, [0]);
    assert_eq!(store.visits(release).await.len(), 2);
}

#[wasm_bindgen_test]
async fn everything_of_a_release_is_what_its_shards_list() {
    let (files, store, release) = in_a_shard("complete").await;
    files.complete().await.unwrap();
    assert!(files.holds(0) && !files.hides("wide/deep"));
    // Nobody has used it.
    assert!(store.visits(release).await.is_empty());
}

#[wasm_bindgen_test]
async fn a_shard_that_the_cache_lost_cannot_be_had_without_a_server() {
    let (files, store, _) = in_a_shard("lost").await;
    for sha256 in store.objects().await {
        store.drop_object(sha256).await;
    }
    assert!(files.reveal(&["wide/deep".to_owned()]).await.is_err());
    assert!(files.reveal_now(0).is_err());
    assert!(files.hides("wide/deep"));
    // There is no other.
    assert!(files.reveal_now(7).is_ok());
}
