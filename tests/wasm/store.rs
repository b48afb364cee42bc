//! The cache in the browser's real IndexedDB. All tests of the module share one database, so each uses its own
//! records.

use std::rc::Rc;

use js_sys::Uint8Array;
use wasm_bindgen_test::wasm_bindgen_test;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::StoreError;
use webimport_core::limits::Limits;
use webimport_core::time::UnixTime;
use webimport_core::workflow::{CachedMetadata, Chain};

use crate::concurrent::both;
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
    let store = Rc::new(Store::new());
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
        // A role can have any name, also one that means something to JavaScript.
        targets: ["targets", "team/../a", "__proto__", ""]
            .map(|role| (role.to_owned(), format!("file of {role}").into_bytes()))
            .into(),
        whole: Some(Chain {
            timestamp: b"earlier timestamp".to_vec(),
            snapshot: b"earlier snapshot".to_vec(),
            targets: [("targets".to_owned(), b"earlier targets".to_vec())].into(),
        }),
        clock_floor: Some(UnixTime(1_893_456_000)),
    };
    let (limits, nothing) = (Limits::default(), CachedMetadata::default());
    Store::new()
        .put_metadata(pin, &first, &nothing, &limits)
        .await;
    assert_eq!(Store::new().metadata(pin, &Limits::default()).await, first);
    let second = CachedMetadata {
        roots: vec![b"root 1".to_vec()],
        clock_floor: first.clock_floor,
        ..CachedMetadata::default()
    };
    Store::new()
        .put_metadata(pin, &second, &first, &limits)
        .await;
    assert_eq!(Store::new().metadata(pin, &Limits::default()).await, second);
    let (other, _) = bytes("another root");
    assert_eq!(
        Store::new().metadata(other, &Limits::default()).await,
        CachedMetadata::default()
    );
}

#[wasm_bindgen_test]
async fn a_slow_load_does_not_take_back_what_another_one_has_learned() {
    let (pin, _) = bytes("a contested root");
    let limits = Limits::default();
    let at = |version: u32| CachedMetadata {
        roots: vec![b"root".to_vec()],
        timestamp: Some(format!(r#"{{"signed": {{"version": {version}}}}}"#).into_bytes()),
        ..CachedMetadata::default()
    };
    let (slow, quick) = (Store::new(), Store::new());
    let seen = slow.metadata(pin, &limits).await;
    quick.put_metadata(pin, &at(3), &seen, &limits).await;
    slow.put_metadata(pin, &at(2), &seen, &limits).await;
    assert_eq!(Store::new().metadata(pin, &limits).await, at(3));
    // One that has seen it may: what it started from was refused, for example as another key's.
    slow.put_metadata(pin, &at(1), &at(3), &limits).await;
    assert_eq!(Store::new().metadata(pin, &limits).await, at(1));
}

#[wasm_bindgen_test]
async fn time_that_has_passed_for_one_load_has_passed_for_all() {
    let (pin, _) = bytes("a root and a clock");
    let limits = Limits::default();
    let at = |version: u32, floor: i64| CachedMetadata {
        roots: vec![b"root".to_vec()],
        timestamp: Some(format!(r#"{{"signed": {{"version": {version}}}}}"#).into_bytes()),
        clock_floor: Some(UnixTime(floor)),
        ..CachedMetadata::default()
    };
    let nothing = CachedMetadata::default();
    let store = Store::new();
    for (version, floor, kept) in [
        (2, 1_000, at(2, 1_000)),
        // Further, and earlier by its clock.
        (3, 500, at(3, 1_000)),
        // Not as far, and later.
        (2, 2_000, at(3, 2_000)),
    ] {
        store
            .put_metadata(pin, &at(version, floor), &nothing, &limits)
            .await;
        assert_eq!(Store::new().metadata(pin, &limits).await, kept);
    }
}

/// Puts what a JavaScript expression gives in place of the metadata of a root pin.
async fn put_record(pin: Sha256Digest, expression: &str) {
    // The database is there once something was asked of it.
    Store::new().metadata(pin, &Limits::default()).await;
    let put = js_sys::Function::new_no_args(&format!(
        "return new Promise((resolve, reject) => {{
           const opening = indexedDB.open('webimport');
           opening.onerror = () => reject(opening.error);
           opening.onsuccess = () => {{
             const database = opening.result;
             const transaction = database.transaction('metadata', 'readwrite');
             transaction.objectStore('metadata').put({expression}, '{pin}');
             transaction.onabort = () => reject(transaction.error);
             transaction.oncomplete = () => {{ database.close(); resolve(); }};
           }};
         }})"
    ));
    let done: js_sys::Promise = put.call0(&wasm_bindgen::JsValue::UNDEFINED).unwrap().into();
    wasm_bindgen_futures::JsFuture::from(done).await.unwrap();
}

#[wasm_bindgen_test]
async fn of_a_record_in_another_form_the_rest_is_used() {
    let (pin, _) = bytes("a root with odd records");
    let limits = Limits::default();
    let sound = CachedMetadata {
        roots: vec![b"r".to_vec()],
        timestamp: Some(b"t".to_vec()),
        snapshot: Some(b"s".to_vec()),
        targets: [("a".to_owned(), b"x".to_vec())].into(),
        whole: Some(Chain {
            timestamp: b"t".to_vec(),
            snapshot: b"s".to_vec(),
            targets: [("a".to_owned(), b"y".to_vec())].into(),
        }),
        clock_floor: Some(UnixTime(7)),
    };
    let without = |change: &dyn Fn(&mut CachedMetadata)| {
        let mut rest = sound.clone();
        change(&mut rest);
        rest
    };
    let (no_targets, no_whole, no_floor, no_roots, no_timestamp) = (
        without(&|it| it.targets.clear()),
        without(&|it| it.whole = None),
        without(&|it| it.clock_floor = None),
        without(&|it| it.roots.clear()),
        without(&|it| it.timestamp = None),
    );
    for (change, expected) in [
        ("", &sound),
        ("record.more = 1", &sound),
        // The targets of before there were delegated roles.
        ("record.targets = bytes('x')", &no_targets),
        ("record.targets = {a: bytes('x')}", &no_targets),
        (
            "record.targets.push(7, [], ['b'], ['c', 'x'], [8, bytes('x')])",
            &sound,
        ),
        (
            "record.targets.push(['b', new Uint8Array(9 * 1024 * 1024)])",
            &sound,
        ),
        (
            "record.targets = Array(1025).fill(['a', bytes('x')])",
            &sound,
        ),
        (
            "record.targets = [...Array(1024).fill(7), ['a', bytes('x')]]",
            &no_targets,
        ),
        (
            "record.targets.push(...Array(30).fill(['a', new Uint8Array(8 * 1024 * 1024)]), ['a', bytes('x')])",
            &sound,
        ),
        ("delete record.whole", &no_whole),
        ("record.whole = 'x'", &no_whole),
        ("record.whole.timestamp = new Uint8Array(17000)", &no_whole),
        ("delete record.whole.targets", &no_whole),
        ("delete record.clockFloor", &no_floor),
        ("record.clockFloor = 'soon'", &no_floor),
        ("record.clockFloor = NaN", &no_floor),
        ("record.clockFloor = -1", &no_floor),
        ("record.clockFloor = Infinity", &no_floor),
        ("record.clockFloor = 253402300800", &no_floor),
        ("record.clockFloor = 7.9", &sound),
        ("record.roots = Array(4097).fill(bytes('r'))", &no_roots),
        ("record.roots.push(7)", &no_roots),
        ("record.timestamp = 't'", &no_timestamp),
        ("record.timestamp = new Uint8Array(17000)", &no_timestamp),
        ("record = null", &CachedMetadata::default()),
        ("record = 'text'", &CachedMetadata::default()),
    ] {
        let expression = format!(
            "(() => {{
               const bytes = (text) => new TextEncoder().encode(text);
               let record = {{
                 roots: [bytes('r')], timestamp: bytes('t'), snapshot: bytes('s'),
                 targets: [['a', bytes('x')]], clockFloor: 7,
                 whole: {{timestamp: bytes('t'), snapshot: bytes('s'), targets: [['a', bytes('y')]]}},
               }};
               {change};
               return record;
             }})()"
        );
        put_record(pin, &expression).await;
        let read = Store::new().metadata(pin, &limits).await;
        assert_eq!(read, *expected, "{change}");
    }
}

#[wasm_bindgen_test]
async fn the_root_of_a_first_use_is_the_first_one() {
    let ((first, _), (second, _)) = (bytes("first root"), bytes("second root"));
    let url = "https://first.example.org";
    assert_eq!(Store::new().first_use(url).await, Ok(None));
    assert_eq!(Store::new().put_first_use(url, first).await, Ok(first));
    assert_eq!(Store::new().first_use(url).await, Ok(Some(first)));
    assert_eq!(Store::new().put_first_use(url, second).await, Ok(first));
    assert_eq!(Store::new().first_use(url).await, Ok(Some(first)));
    assert_eq!(
        Store::new().first_use("https://second.example.org").await,
        Ok(None)
    );
}

#[wasm_bindgen_test]
async fn a_first_use_that_cannot_be_read_is_not_taken_for_none() {
    let url = "https://unreadable.example.org";
    let store = Store::new();
    assert_eq!(store.first_use(url).await, Ok(None));
    let patched = js_sys::Function::new_no_args(
        "const original = IDBObjectStore.prototype.get; \
         IDBObjectStore.prototype.get = () => { throw new DOMException('no', 'UnknownError') }; \
         return () => { IDBObjectStore.prototype.get = original }",
    );
    let undo: js_sys::Function = patched
        .call0(&wasm_bindgen::JsValue::UNDEFINED)
        .unwrap()
        .into();
    let (read, kept) = (
        store.first_use(url).await,
        store.put_first_use(url, bytes("x").0).await,
    );
    undo.call0(&wasm_bindgen::JsValue::UNDEFINED).unwrap();
    assert!(read.is_err() && kept.is_err(), "{read:?} {kept:?}");
    assert_eq!(Store::new().first_use(url).await, Ok(None));
}

#[wasm_bindgen_test]
async fn a_record_in_a_resizable_buffer_comes_out_as_a_plain_one() {
    let make = js_sys::Function::new_no_args(
        "const bytes = new Uint8Array(new ArrayBuffer(6, {maxByteLength: 64})); \
         bytes.set([114, 101, 115, 105, 122, 101]); return bytes",
    );
    let resizable: Uint8Array = make
        .call0(&wasm_bindgen::JsValue::UNDEFINED)
        .unwrap()
        .into();
    let sha256 = Sha256Digest::of(b"resize");
    Store::new().put_object(sha256, &resizable).await;
    let stored = Store::new().object(sha256).await.unwrap();
    assert_eq!(stored.to_vec(), b"resize");
    assert!(
        js_sys::Reflect::get(&stored.buffer(), &"resizable".into())
            .unwrap()
            .is_falsy()
    );
}

#[wasm_bindgen_test]
async fn two_readers_share_one_opening() {
    let (sha256, object) = bytes("opened once");
    Store::new().put_object(sha256, &object).await;
    let store = Store::new();
    let (a, b) = both(
        Box::pin(store.object(sha256)),
        Box::pin(store.object(sha256)),
    )
    .await;
    assert!(a.is_some() && b.is_some());
}

/// Runs JavaScript and gives back what undoes it, as it says.
fn patch(script: &str) -> js_sys::Function {
    js_sys::Function::new_no_args(script)
        .call0(&wasm_bindgen::JsValue::UNDEFINED)
        .unwrap()
        .into()
}

/// Has the database refuse every record.
fn refuse_records(reason: &str) -> js_sys::Function {
    patch(&format!(
        "const original = IDBObjectStore.prototype.put; \
         IDBObjectStore.prototype.put = () => {{ throw new DOMException('no', '{reason}') }}; \
         return () => {{ IDBObjectStore.prototype.put = original }}"
    ))
}

/// Puts an object while the database refuses every record.
async fn put_while_it_fails(store: &Store, content: &str, reason: &str) {
    let undo = refuse_records(reason);
    let (sha256, object) = bytes(content);
    store.put_object(sha256, &object).await;
    undo.call0(&wasm_bindgen::JsValue::UNDEFINED).unwrap();
    assert_eq!(store.kind(), "memory", "{reason}");
}

#[wasm_bindgen_test]
async fn what_is_being_written_is_there_at_once_and_then_in_the_database() {
    let store = Rc::new(Store::new());
    let (sha256, object) = bytes("kept in passing");
    store.keep_object(sha256, &object).await;
    assert!(store.object(sha256).await.is_some());
    store.written().await;
    let next = Store::new();
    assert_eq!(
        next.object(sha256).await.unwrap().to_vec(),
        b"kept in passing"
    );

    // While somebody reads, nothing is written, unless somebody waits for it.
    let (read, object) = bytes("kept while something is read");
    let reading = store.reading();
    store.keep_object(read, &object).await;
    assert!(Store::new().object(read).await.is_none());
    drop(reading);
    store.written().await;
    assert!(Store::new().object(read).await.is_some());

    // However much comes at once, and whoever reads: nobody waits for a reader.
    let reading = store.reading();
    let large: Vec<_> = (0..30_u32)
        .map(|index| {
            let bytes = Uint8Array::new_with_length(4 * 1024 * 1024);
            bytes.set_index(0, u8::try_from(index).unwrap());
            (Sha256Digest::of(&index.to_be_bytes()), bytes)
        })
        .collect();
    let keep = |part: usize| {
        let (store, large) = (&store, &large);
        Box::pin(async move {
            for (sha256, bytes) in large.iter().skip(part * 15).take(15) {
                store.keep_object(*sha256, bytes).await;
            }
        })
    };
    both(keep(0), keep(1)).await;
    drop(reading);
    store.written().await;
    let next = Store::new();
    for (sha256, _) in &large {
        assert!(next.object(*sha256).await.is_some());
        next.drop_object(*sha256).await;
    }

    // What counts or empties waits for it.
    let (later, object) = bytes("kept in passing, and counted");
    store.keep_object(later, &object).await;
    assert!(store.objects().await.contains(&later));
    assert!(Store::new().object(later).await.is_some());
}

#[wasm_bindgen_test]
async fn what_cannot_be_written_in_passing_is_noted_and_kept_for_this_page() {
    let store = Rc::new(Store::new());
    let undo = refuse_records("QuotaExceededError");
    let (sha256, object) = bytes("kept in vain");
    store.keep_object(sha256, &object).await;
    assert_eq!(store.trouble(), None, "nobody has waited for it");
    store.written().await;
    undo.call0(&wasm_bindgen::JsValue::UNDEFINED).unwrap();
    assert!(matches!(store.trouble(), Some(StoreError::Quota { .. })));
    assert!(store.object(sha256).await.is_some());
    assert!(Store::new().object(sha256).await.is_none());
}

#[wasm_bindgen_test]
async fn a_database_that_answers_again_is_in_use_again() {
    let store = Store::new();
    put_while_it_fails(&store, "put in vain", "UnknownError").await;
    let (sha256, object) = bytes("put after a failure");
    store.put_object(sha256, &object).await;
    assert_eq!((store.kind(), store.trouble()), ("indexeddb", None));
    assert!(Store::new().object(sha256).await.is_some());
}

#[wasm_bindgen_test]
async fn a_full_database_is_full_until_it_was_emptied_though_small_records_fit() {
    let store = Store::new();
    put_while_it_fails(&store, "put where it is full", "QuotaExceededError").await;
    let visited = bytes("a visited object").0;
    store
        .add_visits(bytes("a visited release").0, &[visited])
        .await;
    assert_eq!(store.kind(), "memory");
}

#[wasm_bindgen_test]
async fn a_record_goes_to_the_database_though_another_tab_closed_the_connection() {
    let store = Store::new();
    let (first, object) = bytes("before the connection is closed");
    store.put_object(first, &object).await;
    // As for another tab that wants to delete the database.
    let undo = patch(
        "const original = IDBDatabase.prototype.transaction; \
         const undo = () => { IDBDatabase.prototype.transaction = original }; \
         IDBDatabase.prototype.transaction = function (...request) { \
         this.close(); undo(); return original.apply(this, request) }; \
         return undo",
    );
    let (second, object) = bytes("after the connection was closed");
    store.put_object(second, &object).await;
    undo.call0(&wasm_bindgen::JsValue::UNDEFINED).unwrap();
    assert_eq!((store.kind(), store.trouble()), ("indexeddb", None));
    for sha256 in [first, second] {
        assert!(Store::new().object(sha256).await.is_some());
    }
}
