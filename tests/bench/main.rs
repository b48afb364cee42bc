//! What loading costs: webimport beside its peers in one run, on one machine, in real browsers, each measurement in a
//! fresh page.
//!
//! Times are for reading and for ratios within one run. Bytes and requests are the same in every run, so that some of
//! them have [`limits`], which `--short` compares them with.
//!
//! The keys of the JSON object, at the top those of Chromium. Times are milliseconds where nothing else is said; each
//! median `X` has its smallest and its largest value beside it, `X_range`. The benches that run in a browser are under
//! `firefox` once more.
//!
//! | key | what it is |
//! | --- | --- |
//! | `networkx`, `rich` | loading and importing one library |
//! | `….cold`, `warm`, `pinned`, `offline` | by webimport: with an empty cache; with a full one; with a full one and a pin; the same as `warm` without a server |
//! | `….ahead` | by webimport: as `warm`, on a page that has called `prefetch` before it started Pyodide |
//! | `….micropip` | by micropip, from the wheels |
//! | `….load_package`, `load_package_pyc` | by Pyodide's `loadPackage`, from the wheels; from wheels with bytecode in place of sources |
//! | `….limit` | importing alone, the files of wheels with bytecode being in the file system |
//! | `….X_load` | of `X`, what loading takes, before the import |
//! | `….X_bytes`, `X_requests` | what `X` asks for until the import is done: bodies, and requests without preflights |
//! | `….X_over_Y` | ratio of medians |
//! | `….wheel_bytes`, `cold_bytes_over_wheels` | the wheels, and the ratio of what `cold` transfers to them |
//! | `slow.networkx`, `slow.rich` | the same over 20 Mbit/s and 40 ms |
//! | `boot` | from the opened page on |
//! | `boot.boot_plain`, `boot_snapshot` | `boot` of Pyodide and webimport alone: with an empty cache; from a memory snapshot |
//! | `boot.NAME.ready_first`, `ready_snapshot` | `boot` with that release, and its import: with an empty cache; from its memory snapshot |
//! | `boot.NAME.ready_today` | Pyodide's start, micropip, the import |
//! | `boot.slow_NAME` | the same over 20 Mbit/s and 40 ms |
//! | `update` | networkx with one changed module, when the release before is in the cache |
//! | `update.ms` | until it is imported |
//! | `update.bytes`, `requests` | what is asked for until then |
//! | `update.bytes_in_all` | with what follows an import by itself, such as sources |
//! | `update.changed_module_bytes`, `bytes_beyond_module` | that module's bytecode after gzip, and what is transferred besides |
//! | `scale.N` | a release of N modules: 100, 10000, 100000, with `--large` also 1000000 |
//! | `scale.N.first_import` | loading and importing one package of ten modules, with an empty cache |
//! | `scale.N.first_import_bytes`, `first_import_requests` | what that transfers |
//! | `scale.N.metadata_gzip` | of it the files below `metadata/` and `targets/`, each compressed |
//! | `scale.N.heap` | bytes of the page's memory afterwards, see [`heap`]; in Chromium alone |
//! | `scale.N.refused` | why there are no figures: what the builder said, or the reader |
//! | `scale.first_import_N_over_100` | ratio of medians |
//! | `scale.heap_N_beyond_100` | difference of medians, in bytes |
//! | `scale.builder.N.seconds`, `peak_memory` | what the native `webimport release` takes: once, in bytes of resident memory |
//! | `scale.builder.N.again` | the same for the next release, with one changed module |
//! | `scale.builder.N.refused` | what it said instead |
//! | `size.wasm`, `javascript`, `python` | what a page downloads first, in bytes: `raw`, `gzip`, `brotli` |
//! | `size.script` | JavaScript and Python in one file, as they are downloaded |
//! | `verify.subtle_mb_per_s` | millions of bytes a second that `crypto.subtle` hashes |
//! | `verify.wasm_mb_per_s` | the same for the core in WebAssembly, see [`verify`] |
//! | `verify.refreshes_per_s` | how often a second the core verifies root, timestamp, snapshot and targets |

mod boot;
mod builder;
mod compressed;
mod heap;
mod limits;
mod loading;
mod numbers;
mod peers;
mod project;
mod scale;
mod server;
mod size;
mod update;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Map, Value, json};
use webimport_browser_tests::browser::{Browser, Browsers, Session};
use webimport_browser_tests::scratch;

use crate::loading::Library;
use crate::numbers::add;
use crate::scale::{Builds, Releases};
use crate::server::Link;

const BENCHES: [&str; 8] = [
    "networkx", "rich", "slow", "boot", "update", "scale", "size", "verify",
];

#[derive(Parser)]
#[command(about = "Measures webimport beside its peers in real browsers")]
struct Arguments {
    /// Writes one JSON object to standard output; the table then goes to standard error.
    #[arg(long)]
    json: bool,
    /// Measures this alone.
    #[arg(long, value_parser = BENCHES)]
    only: Option<String>,
    /// How often each time is taken.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// One browser, in place of both.
    #[arg(long, value_parser = ["chromium", "firefox"])]
    browser: Option<String>,
    /// Measures `scale` with a million modules, too.
    #[arg(long)]
    large: bool,
    /// Measures bytes and requests alone, in Chromium, and fails if one is above its limit.
    #[arg(long, conflicts_with_all = ["only", "runs", "browser", "large"])]
    short: bool,
    /// The built module, script and Python package.
    #[arg(long, default_value = "target/site")]
    site: PathBuf,
    /// The native program, as people run it.
    #[arg(long, default_value = "target/release/webimport")]
    webimport: PathBuf,
    /// The verifying core for Node.
    #[arg(long, default_value = "target/verifying-core/core.js")]
    core: PathBuf,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let browsers = Browsers::default();
    let measured = runtime.block_on(async {
        // Caught, so that the browsers are ended also when a measurement fails.
        let work = std::panic::AssertUnwindSafe(async {
            if arguments.short {
                short(&arguments, &browsers).await
            } else {
                full(&arguments, &browsers).await
            }
        });
        let measured = futures_util::FutureExt::catch_unwind(work).await;
        browsers.end().await;
        measured
    });
    scratch::remove_all();
    let Ok(measured) = measured else {
        return ExitCode::FAILURE;
    };
    let mut text = numbers::table(&measured);
    let mut holds = true;
    if arguments.short {
        let report = limits::compare(&measured);
        text = format!("{text}\n{}", report.text);
        holds = report.holds;
    }
    if arguments.json {
        eprintln!("{text}");
        println!("{}", Value::Object(measured));
    } else {
        println!("{text}");
    }
    if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All benches that are wanted.
async fn full(arguments: &Arguments, browsers: &Browsers) -> Map<String, Value> {
    let mut found = Map::new();
    let releases = if arguments.wants("scale") {
        let mut sizes = scale::SIZES.to_vec();
        sizes.extend(arguments.large.then_some(scale::LARGE));
        let releases = Releases::make(&arguments.webimport, &sizes, Builds::Twice).await;
        add(&mut found, "scale", releases.builder());
        Some(releases)
    } else {
        None
    };
    for browser in [Browser::Chromium, Browser::Firefox] {
        let name = browser.to_string();
        if arguments.browser.as_ref().is_some_and(|it| *it != name) {
            continue;
        }
        let session = browsers.session(browser).await;
        let measured = in_browser(arguments, &session, browser, releases.as_ref()).await;
        browsers.give_back(browser, session).await;
        match browser {
            Browser::Chromium => {
                for (bench, numbers) in measured {
                    add(&mut found, &bench, numbers);
                }
            }
            Browser::Firefox if measured.is_empty() => {}
            Browser::Firefox => {
                found.insert(name, Value::Object(measured));
            }
        }
    }
    if arguments.wants("verify") {
        let numbers = verify::by_core(&arguments.core, arguments.runs).await;
        add(&mut found, "verify", numbers);
    }
    if arguments.wants("size") {
        add(&mut found, "size", size::measure(&arguments.site));
    }
    found
}

async fn in_browser(
    arguments: &Arguments,
    session: &Session,
    browser: Browser,
    releases: Option<&Releases>,
) -> Map<String, Value> {
    let mut found = Map::new();
    for library in [Library::networkx(), Library::rich()] {
        if arguments.wants(library.name) {
            let numbers = loading::measure(session, &library, Link::Loopback, arguments.runs).await;
            add(&mut found, library.name, numbers);
        }
        if arguments.wants("slow") {
            let numbers = loading::measure(session, &library, Link::Slow, arguments.runs).await;
            add(&mut found, "slow", json!({library.name: numbers}));
        }
    }
    if arguments.wants("boot") {
        add(
            &mut found,
            "boot",
            boot::measure(session, arguments.runs).await,
        );
        for library in [Library::networkx(), Library::rich()] {
            let published = library.publish();
            published.snapshot(&library);
            for link in [Link::Loopback, Link::Slow] {
                let numbers =
                    boot::measure_library(session, &library, &published, link, arguments.runs)
                        .await;
                let numbers = json!({library.name: numbers});
                let numbers = match link {
                    Link::Loopback => numbers,
                    Link::Slow => json!({format!("slow_{}", library.name): numbers[library.name]}),
                };
                add(&mut found, "boot", numbers);
            }
        }
    }
    if arguments.wants("update") {
        let published = Library::networkx().publish();
        add(
            &mut found,
            "update",
            update::measure(session, &published).await,
        );
    }
    if let Some(releases) = releases {
        let numbers = scale::measure(session, browser, releases, arguments.runs).await;
        add(&mut found, "scale", numbers);
    }
    if arguments.wants("verify") {
        let numbers = verify::by_browser(session, arguments.runs).await;
        add(&mut found, "verify", numbers);
    }
    found
}

/// What has a limit.
async fn short(arguments: &Arguments, browsers: &Browsers) -> Map<String, Value> {
    let mut found = Map::new();
    add(&mut found, "size", size::measure_module(&arguments.site));
    let session = browsers.session(Browser::Chromium).await;
    for library in [Library::networkx(), Library::rich()] {
        let published = library.publish();
        let numbers = loading::measure_bytes(&session, &library, &published).await;
        add(&mut found, library.name, numbers);
        if library.name == "networkx" {
            add(
                &mut found,
                "update",
                update::measure(&session, &published).await,
            );
        }
    }
    let releases = Releases::make(&arguments.webimport, &scale::SHORT, Builds::Once).await;
    let numbers = scale::measure(&session, Browser::Chromium, &releases, 1).await;
    add(&mut found, "scale", numbers);
    browsers.give_back(Browser::Chromium, session).await;
    found
}
