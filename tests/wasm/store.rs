//! The cache in the browser's real IndexedDB. All tests of the module share one database, so each uses its own
//! records.

use js_sys::Uint8Array;
use wasm_bindgen_test::wasm_bindgen_test;
use webimport_core::digest::Sha256Digest;
use webimport_core::limits::Limits;
use webimport_core::workflow::CachedMetadata;

use crate::store::Store;

fn bytes(text: &str) -> (Sha256Digest, Uint8Array) {
    (
        Sha256Digest::of(text.as_bytes()),
        Uint8Array::from(text.as_bytes()),
    )
}

#[wasm_bindgen_test]
async fn an_object_is_there_for_the_next_page() {
    let (sha256, object) = bytes("kept object");
    Store::new().put_object(sha256, &object).await;
    let store = Store::new();
    assert_eq!(store.object(sha256).await.unwrap().to_vec(), b"kept object");
    assert!(store.objects().await.contains(&sha256));
    assert_eq!(store.kind(), "indexeddb");
    assert_eq!(store.trouble(), None);
}

#[wasm_bindgen_test]
async fn a_dropped_object_is_gone() {
    let (sha256, object) = bytes("dropped object");
    let store = Store::new();
    store.put_object(sha256, &object).await;
    store.drop_object(sha256).await;
    assert!(store.object(sha256).await.is_none());
    assert!(Store::new().object(sha256).await.is_none());
}

#[wasm_bindgen_test]
async fn metadata_is_replaced_as_a_whole() {
    let (pin, _) = bytes("a root");
    let first = CachedMetadata {
        roots: vec![b"root 1".to_vec(), b"root 2".to_vec()],
        timestamp: Some(b"timestamp".to_vec()),
        snapshot: Some(b"snapshot".to_vec()),
        targets: Some(b"targets".to_vec()),
    };
    Store::new().put_metadata(pin, &first).await;
    assert_eq!(Store::new().metadata(pin, &Limits::default()).await, first);
    let second = CachedMetadata {
        roots: vec![b"root 1".to_vec()],
        ..CachedMetadata::default()
    };
    Store::new().put_metadata(pin, &second).await;
    assert_eq!(Store::new().metadata(pin, &Limits::default()).await, second);
    let (other, _) = bytes("another root");
    assert_eq!(
        Store::new().metadata(other, &Limits::default()).await,
        CachedMetadata::default()
    );
}

#[wasm_bindgen_test]
async fn first_use_is_remembered_per_repository() {
    let (pin, _) = bytes("first root");
    Store::new()
        .put_first_use("https://first.example.org", pin)
        .await;
    assert_eq!(
        Store::new().first_use("https://first.example.org").await,
        Some(pin)
    );
    assert_eq!(
        Store::new().first_use("https://second.example.org").await,
        None
    );
}

#[wasm_bindgen_test]
async fn two_readers_share_one_opening() {
    let (sha256, object) = bytes("opened once");
    Store::new().put_object(sha256, &object).await;
    let store = Store::new();
    let (a, b) = futures_util::future::join(store.object(sha256), store.object(sha256)).await;
    assert!(a.is_some() && b.is_some());
}
