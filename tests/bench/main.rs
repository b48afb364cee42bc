//! What loading costs: webimport beside its peers in one run, on one machine, in real browsers, each measurement in a
//! fresh page.
//!
//! Times are for reading and for ratios within one run. Bytes and requests are the same in every run.

mod loading;
mod numbers;
mod peers;
mod server;
mod size;
mod update;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::{Map, Value, json};
use webimport_browser_tests::browser::{Browser, Browsers};
use webimport_browser_tests::scratch;

use crate::loading::Library;
use crate::server::Link;

#[derive(Parser)]
#[command(about = "Measures webimport beside its peers in real browsers")]
struct Arguments {
    /// Writes one JSON object to standard output; the table then goes to standard error.
    #[arg(long)]
    json: bool,
    /// Measures this alone.
    #[arg(long, value_parser = ["networkx", "rich", "slow", "update", "size"])]
    only: Option<String>,
    /// How often each time is taken.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// One browser, in place of both.
    #[arg(long, value_parser = ["chromium", "firefox"])]
    browser: Option<String>,
    /// The built module, script and Python package.
    #[arg(long, default_value = "target/site")]
    site: PathBuf,
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
        let work = std::panic::AssertUnwindSafe(measure(&arguments, &browsers));
        let measured = futures_util::FutureExt::catch_unwind(work).await;
        browsers.end().await;
        measured
    });
    scratch::remove_all();
    let Ok(measured) = measured else {
        return ExitCode::FAILURE;
    };
    let table = numbers::table(&measured);
    if arguments.json {
        eprintln!("{table}");
        println!("{}", Value::Object(measured));
    } else {
        println!("{table}");
    }
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments, browsers: &Browsers) -> Map<String, Value> {
    let mut found = Map::new();
    let libraries = [Library::networkx(), Library::rich()];
    for browser in [Browser::Chromium, Browser::Firefox] {
        let name = browser.to_string();
        if arguments.browser.as_ref().is_some_and(|it| *it != name) {
            continue;
        }
        let session = browsers.session(browser).await;
        let mut in_browser = Map::new();
        for library in &libraries {
            if arguments.wants(library.name) {
                let numbers = loading::measure(&session, library, Link::Loopback, arguments.runs);
                in_browser.insert(library.name.to_owned(), numbers.await);
            }
            if arguments.wants("slow") {
                let numbers = loading::measure(&session, library, Link::Slow, arguments.runs).await;
                let slow = in_browser.entry("slow").or_insert_with(|| json!({}));
                slow[library.name] = numbers;
            }
        }
        if arguments.wants("update") {
            in_browser.insert("update".to_owned(), update::measure(&session).await);
        }
        browsers.give_back(browser, session).await;
        match browser {
            Browser::Chromium => found.append(&mut in_browser),
            Browser::Firefox if in_browser.is_empty() => {}
            Browser::Firefox => {
                found.insert(name, Value::Object(in_browser));
            }
        }
    }
    if arguments.wants("size") {
        found.insert("size".to_owned(), size::measure(&arguments.site));
    }
    found
}
