//! What checking costs: hashing by the browser, hashing by the core in WebAssembly, and the metadata of a refresh.
//!
//! What is shipped has no export for this and needs none: the core alone, which `cargo xtask` builds of the same code
//! with the same settings to look at its size, runs in Node, whose engine is Chromium's. It hashes as it does where a
//! browser does not, so the time includes the copy into its memory.

use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use webimport_browser_tests::browser::Session;
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::{Site, tools};

use crate::numbers::Spread;

/// Bytes that are hashed at once.
const LENGTH: usize = 8 * 1024 * 1024;

/// Bytes in a megabyte, as rates count them.
const MEGABYTE: f64 = 1e6;

/// Megabytes a second by `crypto.subtle`.
pub(crate) async fn by_browser(session: &Session, runs: u32) -> Value {
    let script = "const [length, runs, times] = [...args, 8];
                  const bytes = new Uint8Array(length).map((_, index) => index);
                  const rates = [];
                  for (let run = 0; run < runs; run++) {
                    const began = performance.now();
                    for (let time = 0; time < times; time++) await crypto.subtle.digest('SHA-256', bytes);
                    rates.push((length * times) / ((performance.now() - began) / 1000));
                  }
                  return rates";
    let site = Site::start().await;
    let page = session.open().await;
    page.goto(&format!("{}/blank.html", site.origin())).await;
    let rates: Vec<f64> = page.value(script, json!([LENGTH, runs])).await;
    page.kill().await;
    let mut numbers = json!({});
    megabytes(&rates).put(&mut numbers, "subtle_mb_per_s");
    numbers
}

/// Megabytes and refreshes a second by the core, which is this module for Node.
pub(crate) async fn by_core(core: &Path, runs: u32) -> Value {
    #[derive(Deserialize)]
    struct Measured {
        hashing: Vec<f64>,
        refreshes: Vec<f64>,
    }
    let repository = Repository::new();
    let large = HandMade::package("large", "1.0").set("padding", json!("x".repeat(LENGTH)));
    repository.publish(&large);
    let output = Command::new(tools::program("node"))
        .arg(tools::workspace().join("tests/bench/verify.mjs"))
        .arg(core)
        .arg(repository.root())
        .arg("large/1.0/release.json")
        .arg(runs.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("node starts");
    assert!(output.status.success(), "node failed: {}", output.status);
    let measured: Measured = serde_json::from_slice(&output.stdout).expect("rates");
    let mut numbers = json!({});
    megabytes(&measured.hashing).put(&mut numbers, "wasm_mb_per_s");
    Spread::of(&measured.refreshes).put(&mut numbers, "refreshes_per_s");
    numbers
}

fn megabytes(rates: &[f64]) -> Spread {
    let rates: Vec<f64> = rates.iter().map(|rate| rate / MEGABYTE).collect();
    Spread::of(&rates)
}
