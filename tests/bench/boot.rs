//! From the opened page to an imported library: by `boot`, with and without a memory snapshot, and by what Pyodide has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use webimport_browser_tests::browser::Session;
use webimport_browser_tests::fixture::wheels;
use webimport_browser_tests::{Page, Setup, Site, tools};

use crate::loading::{Library, MICROPIP, Published};
use crate::numbers::{Spread, rounded};
use crate::server::{Link, Server};

/// `boot` of Pyodide with webimport and nothing else.
pub(crate) async fn measure(session: &Session, runs: u32) -> Value {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for run in 1..=runs {
        eprintln!("boot: run {run} of {runs}");
        let site = site().await;
        let setup = Setup {
            script: SCRIPT.to_owned(),
            boot: Some(json!({})),
            ..Setup::default()
        };
        for way in ["boot_plain", "boot_snapshot"] {
            let (page, took) = booted(session, &site, &setup).await;
            times.entry(way).or_default().push(took);
            if way == "boot_plain" {
                page.kept_snapshots(1).await;
            } else {
                assert_eq!(how(&page).await, "snapshot");
            }
            page.kill().await;
        }
    }
    numbers(&times, &[("boot_snapshot", "boot_plain")])
}

/// A library, until it is imported.
pub(crate) async fn measure_library(
    session: &Session,
    library: &Library,
    published: &Published,
    link: Link,
    runs: u32,
) -> Value {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for run in 1..=runs {
        eprintln!(
            "{} from the opened page, {link:?}: run {run} of {runs}",
            library.name
        );
        let all = [&*published.wheels, &*wheels(MICROPIP)].concat();
        let server = Server::start(published.repository.root(), all, link).await;
        let url = server.url();
        let site = site().await;
        let setup = Setup {
            script: SCRIPT.to_owned(),
            boot: Some(json!({"releases": [format!("{url}/{}", library.name)]})),
            ..Setup::trusting(&url, published.repository.pin())
        };
        for way in ["ready_today", "ready_first", "ready_snapshot"] {
            let (page, took) = if way == "ready_today" {
                today(session, &site, &server, library, published).await
            } else {
                let (page, took) = booted(session, &site, &setup).await;
                let script = "const began = performance.now();
                    const { error } = await harness.python(args[0]);
                    return error ? { error } : performance.now() - began";
                let imported: f64 = page.value(script, json!([library.import])).await;
                (page, took + imported)
            };
            times.entry(way).or_default().push(took);
            match way {
                "ready_first" => page.kept_snapshots(1).await,
                "ready_snapshot" => assert_eq!(how(&page).await, "snapshot"),
                _ => {}
            }
            page.kill().await;
        }
    }
    numbers(
        &times,
        &[
            ("ready_snapshot", "ready_today"),
            ("ready_first", "ready_today"),
        ],
    )
}

/// The package for npm, whose script has snapshots of Pyodide beside it.
const SCRIPT: &str = "/npm/webimport.js";

async fn site() -> Site {
    let site = Site::start().await;
    let package = tools::built("dist/npm", "cargo xtask dist");
    site.add_folder("/npm/", &package, "");
    site
}

fn numbers(times: &BTreeMap<&str, Vec<f64>>, ratios: &[(&str, &str)]) -> Value {
    let mut numbers = json!({});
    for (way, times) in times {
        Spread::of(times).put(&mut numbers, way);
    }
    for (one, other) in ratios {
        let ratio = Spread::of(&times[one]).median / Spread::of(&times[other]).median;
        numbers[format!("{one}_over_{other}")] = json!(rounded(ratio, 3));
    }
    numbers
}

/// A page that has called `boot`, and the milliseconds that this took.
async fn booted(session: &Session, site: &Site, setup: &Setup) -> (Page, f64) {
    let page = session.open().await;
    page.goto(&site.add_page(setup)).await;
    page.ready()
        .await
        .unwrap_or_else(|raised| panic!("the page did not start: {raised}"));
    let took = page.value("return booted.took", json!([])).await;
    (page, took)
}

async fn how(page: &Page) -> String {
    page.value("return booted.from", json!([])).await
}

/// Pyodide's own start, micropip, and the import, on one page.
async fn today(
    session: &Session,
    site: &Site,
    server: &Server,
    library: &Library,
    published: &Published,
) -> (Page, f64) {
    let urls = |files: &[PathBuf]| -> Vec<String> {
        files.iter().map(|file| server.wheel(file)).collect()
    };
    let orders = json!({
        "micropip": urls(&wheels(MICROPIP)),
        "code": format!(
            "import micropip\nawait micropip.install({:?}, deps=False)\n{}\nNone",
            urls(&published.wheels),
            library.import
        ),
    });
    site.add_file(
        "/today.js",
        format!(
            "const {{ micropip, code }} = {orders};
             const began = performance.now();
             const {{ loadPyodide }} = await import('/pyodide/pyodide.mjs');
             const pyodide = await loadPyodide();
             await pyodide.loadPackage(micropip);
             await pyodide.runPythonAsync(code);
             document.documentElement.dataset.took = performance.now() - began;"
        ),
    );
    let page_url = site.add_file(
        "/today.html",
        "<!doctype html><title>today</title><script type=\"module\" src=\"/today.js\"></script>",
    );
    let page = session.open().await;
    page.goto(&page_url).await;
    let took: String = page
        .wait_for(
            "the import",
            "return document.documentElement.dataset.took",
            json!([]),
        )
        .await;
    (page, took.parse().expect("a number"))
}
