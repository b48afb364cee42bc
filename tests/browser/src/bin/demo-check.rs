//! Opens the demo page in headless Chromium, runs its cells in order, and says what they showed and what was
//! transferred. Exits with 0 if every cell ended as it is meant to, else with 1.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use webimport_browser_tests::browser::{Browser, Browsers};
use webimport_browser_tests::demo::{CellShown, Demo};
use webimport_browser_tests::scratch;

#[derive(Parser)]
#[command(about = "Runs the demo page's cells in headless Chromium")]
struct Arguments {
    /// The page's URL.
    url: String,
    /// Where to keep a picture of the page after the last cell, PNG.
    #[arg(long)]
    screenshot: Option<PathBuf>,
}

/// Lines of a cell's output that are shown.
const LINES: usize = 24;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let passed = runtime.block_on(async {
        let browsers = Browsers::default();
        // In a task of its own, so that the browser is ended also when the check panics.
        let session = browsers.session(Browser::Chromium).await;
        let page = session.open().await;
        let checked = tokio::spawn(check(page, arguments)).await;
        session.close().await;
        checked.unwrap_or(false)
    });
    scratch::remove_all();
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn check(page: webimport_browser_tests::Page, arguments: Arguments) -> bool {
    let demo = match Demo::open(page, &arguments.url).await {
        Ok(demo) => demo,
        Err(error) => {
            eprintln!("error: {error}");
            return false;
        }
    };
    let mut failed = Vec::new();
    let cells = demo.cells().await;
    for cell in &cells {
        let shown = demo.run(cell).await;
        print_cell(&shown);
        if !shown.is_as_meant() {
            failed.push(shown.cell);
        }
    }
    println!("loaded");
    let releases = demo.releases().await;
    for release in &releases {
        println!(
            "  {} {}: network {} files, {} bytes; cache {} files, {} bytes",
            release.release,
            release.version,
            release.network_files,
            release.network_bytes,
            release.cache_files,
            release.cache_bytes
        );
    }
    println!("kept\n  {}", demo.cache().await);
    if let Some(file) = arguments.screenshot {
        std::fs::write(&file, demo.page().screenshot().await)
            .unwrap_or_else(|error| panic!("cannot write `{}`: {error}", file.display()));
    }
    if !failed.is_empty() {
        eprintln!("error: not as meant: {}", failed.join(", "));
    }
    if cells.is_empty() || releases.is_empty() {
        eprintln!(
            "error: {} cells ran and {} releases were loaded",
            cells.len(),
            releases.len()
        );
    }
    failed.is_empty() && !cells.is_empty() && !releases.is_empty()
}

fn print_cell(shown: &CellShown) {
    println!("{}: {}", shown.cell, shown.note);
    for line in shown.output.lines().take(LINES) {
        println!("  {line}");
    }
    let more = shown.output.lines().count().saturating_sub(LINES);
    if more > 0 {
        println!("  … {more} more lines");
    }
    println!();
}
