//! The bounds of a request. `data:` URLs are real fetches without a server.

use std::cell::{Cell, RefCell};

use wasm_bindgen_test::wasm_bindgen_test;
use webimport_core::error::FetchError;

use crate::fetch::{Patience, Size, Traffic, fetch};

const TWELVE_BYTES: &str = "data:application/octet-stream,twelve-bytes";

async fn get(
    url: &str,
    size: Size,
    patience: Patience,
) -> (Result<Vec<u8>, FetchError>, Traffic, i64) {
    let (traffic, seen) = (Traffic::default(), Cell::new(0));
    let on_bytes = |length: i64| seen.set(seen.get() + length);
    let answer = fetch(url, size, patience, &traffic, &on_bytes).await;
    (answer.map(|bytes| bytes.to_vec()), traffic, seen.get())
}

#[wasm_bindgen_test]
async fn a_body_of_the_right_size_arrives_and_is_counted() {
    let (answer, traffic, seen) = get(TWELVE_BYTES, Size::Exactly(12), Patience::Short).await;
    assert_eq!(answer.unwrap(), b"twelve-bytes");
    assert_eq!(
        (traffic.requests.get(), traffic.bytes.get(), seen),
        (1, 12, 12)
    );
    assert!(
        get(TWELVE_BYTES, Size::AtMost(100), Patience::Short)
            .await
            .0
            .is_ok()
    );
}

#[wasm_bindgen_test]
async fn rejects_a_body_that_goes_on() {
    for size in [Size::Exactly(11), Size::AtMost(11)] {
        let (answer, _, seen) = get(TWELVE_BYTES, size, Patience::Full).await;
        assert!(
            matches!(answer, Err(FetchError::TooLarge { limit: 11, .. })),
            "{answer:?}"
        );
        assert_eq!(seen, 0, "progress takes lost bytes back");
    }
}

#[wasm_bindgen_test]
async fn rejects_a_body_that_ends_early() {
    let (answer, traffic, seen) = get(TWELVE_BYTES, Size::Exactly(13), Patience::Short).await;
    assert!(
        matches!(
            answer,
            Err(FetchError::Truncated {
                expected: 13,
                got: 12,
                ..
            })
        ),
        "{answer:?}"
    );
    assert_eq!((traffic.requests.get(), seen), (1, 0));
}

#[wasm_bindgen_test]
async fn tries_a_transient_failure_three_times_in_all() {
    // Nothing listens on the discard port, and browsers refuse to ask it.
    let (answer, traffic, _) = get("http://127.0.0.1:9/x", Size::AtMost(1), Patience::Full).await;
    assert!(
        matches!(answer, Err(FetchError::Network { .. })),
        "{answer:?}"
    );
    assert_eq!(traffic.requests.get(), 3);
    let (_, traffic, _) = get("http://127.0.0.1:9/x", Size::AtMost(1), Patience::Short).await;
    assert_eq!(traffic.requests.get(), 1);
}

#[wasm_bindgen_test]
async fn a_page_that_replaces_fetch_gets_an_error_not_a_crash() {
    let global = js_sys::global();
    let original = js_sys::Reflect::get(&global, &"fetch".into()).unwrap();
    let reasons = RefCell::new(Vec::new());
    for body in [
        "return Promise.reject('a text')",
        "return Promise.resolve({status: 200})",
        "throw null",
        "return 7",
        "const used = new Response('x'); used.body.getReader(); return Promise.resolve(used)",
    ] {
        let fake = js_sys::Function::new_no_args(body);
        js_sys::Reflect::set(&global, &"fetch".into(), &fake).unwrap();
        let (answer, _, _) =
            get("https://example.invalid/", Size::AtMost(1), Patience::Short).await;
        reasons.borrow_mut().push((body, answer));
    }
    js_sys::Reflect::set(&global, &"fetch".into(), &original).unwrap();
    for (body, answer) in reasons.take() {
        assert!(
            matches!(answer, Err(FetchError::Network { .. })),
            "{body}: {answer:?}"
        );
    }
}
