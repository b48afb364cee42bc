//! Loading and importing one library: by webimport, by what Pyodide has, and without any loading at all.

use std::path::PathBuf;

use serde_json::{Value, json};
use webimport_browser_tests::browser::Session;
use webimport_browser_tests::fixture::{Repository, wheels};
use webimport_browser_tests::{Page, Pyodide, Raised, Setup, Site};

use crate::numbers::{Spread, rounded};
use crate::peers;
use crate::server::{Link, Server, Transferred};

/// What is loaded, and what is imported of it.
pub(crate) struct Library {
    pub(crate) name: &'static str,
    wheels: &'static [&'static str],
    version: &'static str,
    /// The cell that is timed, after the loading.
    pub(crate) import: &'static str,
}

impl Library {
    pub(crate) fn networkx() -> Self {
        Self {
            name: "networkx",
            wheels: &["networkx"],
            version: "3.7",
            import: "import networkx",
        }
    }

    pub(crate) fn rich() -> Self {
        Self {
            name: "rich",
            wheels: &["rich", "pygments", "markdown-it-py", "mdurl"],
            version: "15.0.0",
            // What needs its dependencies; `import rich` alone loads next to nothing.
            import: "import rich.console, rich.table, rich.markdown, rich.syntax",
        }
    }

    /// What that imports.
    fn modules(&self) -> impl Iterator<Item = &'static str> {
        let names = self.import.trim_start_matches("import ");
        names.split(", ")
    }

    /// Released, and as wheels with sources and with bytecode.
    pub(crate) fn publish(&self) -> Published {
        let repository = Repository::new();
        let wheels = wheels(self.wheels);
        let sha256 = repository.release(&wheels, self.name);
        let bytecode = peers::bytecode(&repository, self.name, self.version, &sha256);
        let compiled = wheels
            .iter()
            .map(|wheel| peers::compiled(wheel, &bytecode))
            .collect();
        Published {
            repository,
            sha256,
            wheels,
            compiled,
        }
    }
}

pub(crate) struct Published {
    pub(crate) repository: Repository,
    pub(crate) sha256: String,
    pub(crate) wheels: Vec<PathBuf>,
    compiled: Vec<PathBuf>,
}

impl Published {
    /// Has the publisher make a memory snapshot of it.
    pub(crate) fn snapshot(&self, library: &Library) {
        let imports: Vec<&str> = library.modules().collect();
        self.repository
            .snapshot(library.name, Pyodide::V314, &imports);
    }
}

/// What micropip is made of.
pub(crate) const MICROPIP: &[&str] = &["micropip", "packaging"];

/// What a time was taken of, in the order in which one run takes them.
const WAYS: [&str; 9] = [
    "micropip",
    "cold",
    "load_package",
    "warm",
    "load_package_pyc",
    "pinned",
    "limit",
    "ahead",
    "offline",
];

/// Ratios that the documentation speaks of.
const RATIOS: [(&str, &str); 7] = [
    ("warm", "limit"),
    ("ahead", "limit"),
    ("pinned", "limit"),
    ("offline", "limit"),
    ("warm", "micropip"),
    ("cold", "load_package_pyc"),
    ("cold", "micropip"),
];

/// All ways, interleaved, so that what else the machine does falls on all of them.
pub(crate) async fn measure(session: &Session, library: &Library, link: Link, runs: u32) -> Value {
    let published = library.publish();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); WAYS.len()];
    let mut loads: Vec<Vec<f64>> = vec![Vec::new(); WAYS.len()];
    let mut transfers = vec![Transferred::default(); WAYS.len()];
    for run in 1..=runs {
        eprintln!("{}, {link:?}: run {run} of {runs}", library.name);
        let bench = Bench::start(session, library, &published, link).await;
        for (index, way) in WAYS.iter().enumerate() {
            let (cell, transferred) = bench.time(way).await;
            times[index].push(cell.took);
            loads[index].push(cell.loaded);
            transfers[index] = transferred;
        }
    }
    let mut numbers = json!({});
    let mut medians = std::collections::BTreeMap::new();
    for (index, way) in WAYS.iter().enumerate() {
        let spread = Spread::of(&times[index]);
        medians.insert(*way, spread.median);
        spread.put(&mut numbers, way);
        let transferred = &transfers[index];
        if *way != "limit" {
            Spread::of(&loads[index]).put(&mut numbers, &format!("{way}_load"));
        }
        // What is ahead of the page's start is not counted.
        if !matches!(*way, "limit" | "ahead" | "offline") {
            numbers[format!("{way}_bytes")] = json!(transferred.bytes);
            numbers[format!("{way}_requests")] = json!(transferred.requests);
        }
    }
    for (one, other) in RATIOS {
        numbers[format!("{one}_over_{other}")] = json!(rounded(medians[one] / medians[other], 3));
    }
    let cold = &numbers["cold_bytes"];
    let cold = cold.as_u64().expect("a count");
    over_wheels(&mut numbers, cold, &published);
    numbers
}

/// What a first visit transfers; nothing is timed.
pub(crate) async fn measure_bytes(
    session: &Session,
    library: &Library,
    published: &Published,
) -> Value {
    let bench = Bench::start(session, library, published, Link::Loopback).await;
    let (_, transferred) = bench.time("cold").await;
    let mut numbers = json!({
        "cold_bytes": transferred.bytes,
        "cold_requests": transferred.requests,
    });
    over_wheels(&mut numbers, transferred.bytes, published);
    numbers
}

fn over_wheels(numbers: &mut Value, cold: u64, published: &Published) {
    let of_wheels = size(&published.wheels);
    numbers["wheel_bytes"] = json!(of_wheels);
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let ratio = cold as f64 / of_wheels as f64;
    numbers["cold_bytes_over_wheels"] = json!(rounded(ratio, 3));
}

fn size(files: &[PathBuf]) -> u64 {
    let length = |file: &PathBuf| std::fs::metadata(file).expect("a wheel").len();
    files.iter().map(length).sum()
}

/// One run: an origin of its own, so that storage is empty at first.
struct Bench<'a> {
    session: &'a Session,
    library: &'a Library,
    published: &'a Published,
    server: Server,
    site: Site,
}

impl<'a> Bench<'a> {
    async fn start(
        session: &'a Session,
        library: &'a Library,
        published: &'a Published,
        link: Link,
    ) -> Self {
        let all = [&*published.wheels, &*published.compiled, &*wheels(MICROPIP)].concat();
        let server = Server::start(published.repository.root(), all, link).await;
        let site = Site::start().await;
        Self {
            session,
            library,
            published,
            server,
            site,
        }
    }

    async fn time(&self, way: &str) -> (Timed, Transferred) {
        let url = self.server.url();
        let Library { name, import, .. } = self.library;
        let list = |wheels: &[PathBuf]| -> Vec<String> {
            wheels.iter().map(|it| self.server.wheel(it)).collect()
        };
        let urls = |wheels: &[PathBuf]| format!("{:?}", list(wheels));
        let packages = |wheels: &[PathBuf]| {
            format!(
                "import pyodide_js\nfrom pyodide.ffi import to_js\n\
                 await pyodide_js.loadPackage(to_js({}))",
                urls(wheels)
            )
        };
        let load = format!("release = await loadRelease('{url}/{name}')");
        let pin = &self.published.sha256;
        let (before, loading) = match way {
            "micropip" => (
                format!("{}\nimport micropip", packages(&wheels(MICROPIP))),
                format!(
                    "await micropip.install({}, deps=False)",
                    urls(&self.published.wheels)
                ),
            ),
            "load_package" => (String::new(), packages(&self.published.wheels)),
            "load_package_pyc" => (String::new(), packages(&self.published.compiled)),
            "limit" => (String::new(), String::new()),
            "pinned" => (
                String::new(),
                format!("release = await loadRelease('{url}/{name}', sha256='{pin}')"),
            ),
            _ => (String::new(), load),
        };
        let is_ours = matches!(way, "cold" | "warm" | "pinned" | "ahead" | "offline");
        let setup = if is_ours {
            let prefetch = json!([format!("{url}/{name}")]);
            Setup {
                prefetch: (way == "ahead").then_some(prefetch),
                ..Setup::trusting(&url, self.published.repository.pin())
            }
        } else {
            Setup::plain()
        };
        let page = self.session.open().await;
        page.goto(&self.site.add_page(&setup)).await;
        page.ready()
            .await
            .unwrap_or_else(|raised| panic!("the page did not start: {raised}"));
        if way == "limit" {
            let wheels = json!([list(&self.published.compiled)]);
            let _: Value = page.value(include_str!("unpack.js"), wheels).await;
        } else {
            page.run(&format!("{before}\nNone")).await;
        }
        if way == "offline" {
            self.server.stop().await;
        }
        self.server.forget();
        let timed = timed(&page, &format!("{loading}\n{LOADED}\n{import}")).await;
        let transferred = self.server.transferred(timed.ended).await;
        if way == "cold" {
            // What has not come yet is in storage for the ways that follow.
            page.run("await release.prefetch()").await;
        }
        if way == "offline" {
            self.server.start_again().await;
        }
        page.kill().await;
        (timed, transferred)
    }
}

/// What a cell can say between loading and importing.
const LOADED: &str = "import js\njs.loaded = js.performance.now()";

/// A cell that was run, by the page's clock.
pub(crate) struct Timed {
    /// Milliseconds that it took.
    pub(crate) took: f64,
    /// Of these, those before [`LOADED`], if that is in it.
    loaded: f64,
    /// When it ended, in milliseconds since 1970. What is asked for later is nothing that it waited for.
    pub(crate) ended: f64,
}

/// Runs a cell.
pub(crate) async fn timed(page: &Page, cell: &str) -> Timed {
    try_timed(page, cell)
        .await
        .unwrap_or_else(|raised| panic!("the cell raised {raised}\n--- cell\n{cell}"))
}

/// As [`timed`], of a cell that may raise.
pub(crate) async fn try_timed(page: &Page, cell: &str) -> Result<Timed, Raised> {
    let script = "globalThis.loaded = undefined;
                  const began = performance.now();
                  const { error } = await harness.python(args[0]);
                  const took = performance.now() - began;
                  const loaded = (globalThis.loaded ?? began) - began;
                  return { took, loaded, ended: performance.timeOrigin + began + took, error: error ?? null }";
    let mut timed: Value = page.value(script, json!([cell])).await;
    match timed["error"].take() {
        Value::Null => {
            let number = |key: &str| timed[key].as_f64().expect("a number");
            Ok(Timed {
                took: number("took"),
                loaded: number("loaded"),
                ended: number("ended"),
            })
        }
        raised => Err(serde_json::from_value(raised).expect("an error has its fixed form")),
    }
}
