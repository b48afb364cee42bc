//! Tests of the module inside real browsers: `cargo xtask test wasm`.

#![expect(clippy::unwrap_used, reason = "a test that fails")]

mod bytes;
mod client;
mod fetch;
mod files;
mod gzip;
mod store;
mod unicode;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
