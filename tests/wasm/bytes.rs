//! Hashing and decompression by the browser, on real bytes.

use js_sys::Uint8Array;
use wasm_bindgen_test::wasm_bindgen_test;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, StoreError, VerifyError};
use webimport_core::manifest::{Encoding, ObjectEntry};

use crate::bytes::{allocate, check, decode, sha256};

/// `hello, gzip\n`, compressed by `gzip -n`.
pub(super) const GZIPPED: [u8; 32] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7,
    0x51, 0x48, 0xaf, 0xca, 0x2c, 0xe0, 0x02, 0x00, 0x86, 0x1f, 0x82, 0xa4, 0x0c, 0x00, 0x00, 0x00,
];
pub(super) const PLAIN: &[u8] = b"hello, gzip\n";

fn object(bytes: &[u8], encoding: Encoding, decoded_size: u64) -> ObjectEntry {
    ObjectEntry {
        sha256: Sha256Digest::of(bytes),
        size: bytes.len() as u64,
        encoding,
        decoded_size,
        decoded_sha256: Sha256Digest::of(PLAIN),
        tag: None,
    }
}

#[wasm_bindgen_test]
async fn the_browser_and_core_agree_on_digests() {
    for bytes in [vec![], b"abc".to_vec(), vec![7; 100_000]] {
        assert_eq!(
            sha256(&Uint8Array::from(bytes.as_slice())).await,
            Some(Sha256Digest::of(&bytes))
        );
    }
}

#[wasm_bindgen_test]
async fn an_object_passes_only_as_announced() {
    let entry = object(b"abc", Encoding::Identity, 3);
    assert_eq!(
        check(&entry.expected(), &Uint8Array::from(&b"abc"[..])).await,
        Ok(Sha256Digest::of(b"abc"))
    );
    let changed = check(&entry.expected(), &Uint8Array::from(&b"abd"[..])).await;
    assert!(matches!(
        changed,
        Err(Error::Verify(VerifyError::Digest { .. }))
    ));
    let longer = check(&entry.expected(), &Uint8Array::from(&b"abcd"[..])).await;
    assert!(matches!(
        longer,
        Err(Error::Verify(VerifyError::Length { .. }))
    ));
}

#[wasm_bindgen_test]
async fn gzip_is_undone_to_the_announced_size() {
    let bytes = Uint8Array::from(&GZIPPED[..]);
    let entry = object(&GZIPPED, Encoding::Gzip, PLAIN.len() as u64);
    assert_eq!(decode(&entry, bytes).await.unwrap().to_vec(), PLAIN);
}

#[wasm_bindgen_test]
async fn identity_is_handed_on_without_a_copy() {
    let bytes = Uint8Array::from(PLAIN);
    let decoded = decode(
        &object(PLAIN, Encoding::Identity, PLAIN.len() as u64),
        bytes.clone(),
    )
    .await
    .unwrap();
    assert!(js_sys::Object::is(&bytes.buffer(), &decoded.buffer()));
}

#[wasm_bindgen_test]
async fn rejects_more_and_fewer_bytes_than_announced() {
    let size = PLAIN.len() as u64;
    let bomb = decode(
        &object(&GZIPPED, Encoding::Gzip, size - 1),
        Uint8Array::from(&GZIPPED[..]),
    )
    .await;
    assert!(
        matches!(bomb, Err(Error::Verify(VerifyError::TooLarge { .. }))),
        "{bomb:?}"
    );
    let short = decode(
        &object(&GZIPPED, Encoding::Gzip, size + 1),
        Uint8Array::from(&GZIPPED[..]),
    )
    .await;
    assert!(
        matches!(short, Err(Error::Verify(VerifyError::Malformed { .. }))),
        "{short:?}"
    );
}

#[wasm_bindgen_test]
async fn rejects_what_is_not_gzip_or_ends_early() {
    for bytes in [&b"not gzip at all"[..], &GZIPPED[..20], b""] {
        let decoded = decode(
            &object(bytes, Encoding::Gzip, PLAIN.len() as u64),
            Uint8Array::from(bytes),
        )
        .await;
        assert!(
            matches!(decoded, Err(Error::Verify(VerifyError::Malformed { .. }))),
            "{decoded:?}"
        );
    }
}

#[wasm_bindgen_test]
fn memory_that_the_browser_refuses_is_an_error() {
    assert_eq!(allocate(8, "x").unwrap().length(), 8);
    for length in [u64::from(u32::MAX) + 1, u64::MAX] {
        assert!(
            matches!(allocate(length, "x"), Err(StoreError::Memory { .. })),
            "{length}"
        );
    }
    let global = js_sys::global();
    let original = js_sys::Reflect::get(&global, &"Uint8Array".into()).unwrap();
    let throwing =
        js_sys::Function::new_no_args("throw new RangeError('Array buffer allocation failed')");
    js_sys::Reflect::set(&global, &"Uint8Array".into(), &throwing).unwrap();
    let refused = allocate(8, "x").map(drop);
    js_sys::Reflect::set(&global, &"Uint8Array".into(), &original).unwrap();
    assert!(
        matches!(refused, Err(StoreError::Memory { bytes: 8, .. })),
        "{refused:?}"
    );
}
