//! The memory of a page in Chromium.
//!
//! JavaScript's objects and `ArrayBuffer`s by the protocol of its developer tools: `performance.memory` leaves out the
//! buffers, and `performance.measureUserAgentSpecificMemory` is for isolated pages. Neither counts the linear memories of
//! WebAssembly modules, which grow and never shrink: [`PRELUDE`] keeps them at hand.

use serde_json::json;
use webimport_browser_tests::Page;

/// The page's first script.
pub(crate) const PRELUDE: &str = r#"
    globalThis.linearMemories = new Set();
    for (const name of ["instantiate", "instantiateStreaming"]) {
      const original = WebAssembly[name];
      WebAssembly[name] = async (...given) => {
        const made = await original(...given);
        for (const value of Object.values((made.instance ?? made).exports)) {
          if (value instanceof WebAssembly.Memory) linearMemories.add(value);
        }
        return made;
      };
    }"#;

/// Bytes after a garbage collection.
pub(crate) async fn of(page: &Page) -> f64 {
    page.devtools("HeapProfiler.collectGarbage", json!({}))
        .await;
    let usage = page.devtools("Runtime.getHeapUsage", json!({})).await;
    let used = |key: &str| usage[key].as_f64().expect("a number");
    let script = "return Array.from(linearMemories, ({ buffer }) => buffer.byteLength)";
    let linear: Vec<f64> = page.value(script, json!([])).await;
    assert!(
        linear.len() >= 2,
        "the memories of Pyodide and of webimport are among these: {linear:?}"
    );
    used("usedSize") + used("backingStorageSize") + linear.iter().sum::<f64>()
}
