//! The suites: what each needs, and what it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::counts::Counts;
use super::{conformance, fuzz};
use crate::progress::note;
use crate::rooms::Rooms;
use crate::setup::{self, Browsers, Part};
use crate::{bench, build, digest, dist, process};

/// Bytes of the verifying core in WebAssembly after gzip. It may shrink.
const CORE_LIMIT: usize = 60 * 1024;

/// What a person has fetched, because this repository does not hold it.
#[derive(Debug, Default)]
pub(crate) struct Checkouts {
    /// The TUF conformance suite.
    pub(crate) tuf: Option<PathBuf>,
    /// CPython 3.14.
    pub(crate) cpython: Option<PathBuf>,
    /// rich, whose source distribution has no tests.
    pub(crate) rich: Option<PathBuf>,
}

/// A group of tests with a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// Formatting, lints, licences, types, and this program's own tests.
    Checks,
    /// The verifier, resolver and formats.
    Core,
    /// The command line.
    Cli,
    /// Other TUF implementations: their clients and their repositories.
    Interop,
    /// The fuzz targets, for a moment each.
    Fuzz,
    /// The Python package, on plain CPython.
    Python,
    /// The WebAssembly module's own tests, in both browsers.
    Wasm,
    /// The whole path, in both browsers.
    Browser,
    /// Notebook hosts.
    Hosts,
    /// Other people's tests of importers, on releases.
    Importlib,
    /// Packages' own tests, on their releases.
    Packages,
    /// Memory snapshots, in both browsers.
    Snapshot,
    /// Bytes and requests beside their limits.
    Limits,
    /// The TUF conformance suite, on a checkout of it.
    Conformance,
}

impl Suite {
    /// Those that need nothing but this repository.
    pub(crate) const ALL: [Self; 13] = [
        Self::Checks,
        Self::Core,
        Self::Cli,
        Self::Interop,
        Self::Fuzz,
        Self::Python,
        Self::Wasm,
        Self::Browser,
        Self::Hosts,
        Self::Importlib,
        Self::Packages,
        Self::Snapshot,
        Self::Limits,
    ];

    /// Those that can be named.
    pub(crate) const NAMED: [Self; 14] = [
        Self::Checks,
        Self::Core,
        Self::Cli,
        Self::Interop,
        Self::Fuzz,
        Self::Python,
        Self::Wasm,
        Self::Browser,
        Self::Hosts,
        Self::Importlib,
        Self::Packages,
        Self::Snapshot,
        Self::Limits,
        Self::Conformance,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Core => "core",
            Self::Cli => "cli",
            Self::Interop => "interop",
            Self::Fuzz => "fuzz",
            Self::Python => "python",
            Self::Wasm => "wasm",
            Self::Browser => "browser",
            Self::Hosts => "hosts",
            Self::Importlib => "importlib",
            Self::Packages => "packages",
            Self::Snapshot => "snapshot",
            Self::Limits => "limits",
            Self::Conformance => "conformance",
        }
    }

    fn parts(self) -> &'static [Part] {
        match self {
            Self::Checks => &[
                Part::WasmTarget,
                Part::WasmTools,
                Part::Deny,
                Part::Npm,
                Part::Venv,
            ],
            // The bench sets itself up.
            Self::Core | Self::Limits => &[],
            Self::Cli => &[Part::WasmTarget, Part::WasmTools, Part::Npm, Part::Venv],
            Self::Interop => &[Part::Venv],
            Self::Fuzz => &[Part::Fuzz],
            Self::Python => &[Part::Venv, Part::Npm],
            Self::Wasm => &[
                Part::WasmTarget,
                Part::WasmTools,
                Part::Geckodriver,
                Part::Browsers,
            ],
            Self::Browser | Self::Snapshot => &[
                Part::WasmTarget,
                Part::WasmTools,
                Part::Geckodriver,
                Part::Npm,
                Part::Browsers,
                Part::Venv,
                Part::Wheels,
            ],
            Self::Hosts => &Part::ALL,
            Self::Importlib | Self::Packages => &[
                Part::WasmTarget,
                Part::WasmTools,
                Part::Geckodriver,
                Part::Npm,
                Part::Browsers,
                Part::Venv,
                Part::Wheels,
                Part::Sdists,
            ],
            Self::Conformance => &[Part::WasmTarget, Part::WasmTools, Part::Npm],
        }
    }

    /// Runs the suite and adds its results to `counts`. The checkouts are for the ones that have to or can have one.
    pub(crate) fn run(
        self,
        rooms: &Rooms,
        checkouts: &Checkouts,
        counts: &mut Counts,
    ) -> Result<()> {
        setup::install(rooms, self.parts())?;
        match self {
            Self::Checks => checks(rooms, counts),
            Self::Core => cargo_test(rooms, counts, &["-p", "webimport-core"]),
            Self::Cli => {
                // Memory snapshots have it inside.
                build::site(rooms)?;
                cargo_test(rooms, counts, &["-p", "webimport-cli"])
            }
            Self::Interop => cargo_test(rooms, counts, &["-p", "webimport-interop-tests"]),
            Self::Fuzz => fuzz::run(rooms, counts),
            Self::Python => python(rooms, counts),
            Self::Wasm => wasm(rooms, counts),
            Self::Browser => browser(rooms, counts),
            Self::Hosts => browser_target(rooms, counts, "hosts", None),
            Self::Importlib => {
                let checkout = checkouts.cpython.as_deref();
                let checkout = checkout.map(|folder| ("WEBIMPORT_CPYTHON", folder));
                browser_target(rooms, counts, "importlib", checkout)
            }
            Self::Packages => {
                let checkout = checkouts.rich.as_deref();
                let checkout = checkout.map(|folder| ("WEBIMPORT_RICH", folder));
                browser_target(rooms, counts, "packages", checkout)
            }
            Self::Snapshot => browser_target(rooms, counts, "snapshot", None),
            Self::Limits => {
                let short = ["--short".to_owned()];
                run(&mut bench::program(rooms, &short)?, counts)
            }
            Self::Conformance => {
                let checkout = checkouts.tuf.as_deref().context("expected `--suite DIR`")?;
                conformance::run(rooms, checkout, counts)
            }
        }
    }
}

fn checks(rooms: &Rooms, counts: &mut Counts) -> Result<()> {
    let mut check = |name: &str, command: &mut Command| -> Result<()> {
        note(&format!("{name}…"));
        let passed = process::stream(command, |_| {})?;
        if !passed {
            note(&format!("error: {name} failed"));
        }
        counts.add(Counts::of(passed));
        Ok(())
    };
    check(
        "cargo fmt",
        process::cargo(rooms).args(["fmt", "--all", "--check"]),
    )?;
    check(
        "cargo fmt of the fuzz targets",
        process::cargo(rooms).args(["fmt", "--check", "--manifest-path", "tests/fuzz/Cargo.toml"]),
    )?;
    check(
        "clippy",
        process::cargo(rooms).args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    // Apart: the second has no standard library, which the first would bring it.
    for (name, package) in [
        ("clippy for WebAssembly", ["-p", "webimport"].as_slice()),
        (
            "clippy for the conformance client in WebAssembly",
            &["-p", "webimport-conformance", "--features", "suite"],
        ),
        (
            "clippy for the verifying core",
            &["-p", "webimport-conformance"],
        ),
    ] {
        check(
            name,
            process::cargo(rooms)
                .args(["clippy", "--quiet", "--all-targets"])
                .args(["--target", "wasm32-unknown-unknown"])
                .args(package)
                .args(["--", "-D", "warnings"]),
        )?;
    }
    check(
        "cargo-deny",
        process::command(rooms, "cargo-deny").args([
            "--workspace",
            "--log-level",
            "error",
            "check",
            "licenses",
            "bans",
            "sources",
        ]),
    )?;
    check(
        "mypy",
        process::command(rooms, rooms.venv_bin("python"))
            .args(["-m", "mypy", "--config-file"])
            .arg(rooms.at("src/python/pyproject.toml"))
            .arg("--cache-dir")
            .arg(rooms.tools().join("mypy"))
            .arg(rooms.at("src/python/webimport")),
    )?;
    advisories(rooms, counts)?;
    verifying_core(rooms, counts);
    if let Err(error) = build::site(rooms) {
        note(&format!("error: {error:#}"));
        counts.failed += 1;
    } else {
        let passed = build::check_types(rooms);
        if let Err(error) = &passed {
            note(&format!("error: {error:#}"));
        }
        counts.add(Counts::of(passed.is_ok()));
    }
    run(
        process::cargo(rooms).args(["test", "--quiet", "-p", "xtask"]),
        counts,
    )
}

/// What every page has to load before anything is verified is bounded.
fn verifying_core(rooms: &Rooms, counts: &mut Counts) {
    note("size of the verifying core…");
    let size =
        build::verifying_core(rooms).and_then(|module| digest::gzip_len(&std::fs::read(module)?));
    match size {
        Ok(size) => {
            note(&format!(
                "the verifying core has {size} bytes after gzip, of {CORE_LIMIT} at most"
            ));
            counts.add(Counts::of(size <= CORE_LIMIT));
        }
        Err(error) => {
            note(&format!("error: {error:#}"));
            counts.failed += 1;
        }
    }
}

/// Advisories come from a database that is fetched; where it cannot be had, that is said and not counted
/// as a failure, because it tells nothing about this code.
fn advisories(rooms: &Rooms, counts: &mut Counts) -> Result<()> {
    note("advisories…");
    let mut out_of_reach = false;
    let passed = process::stream(
        process::command(rooms, "cargo-deny").args([
            "--workspace",
            "--log-level",
            "error",
            "check",
            "advisories",
        ]),
        |line| {
            out_of_reach |= line.contains("failed to fetch advisory database");
        },
    )?;
    if !passed && out_of_reach {
        note("the advisory database is out of reach: advisories were not checked");
        counts.skipped += 1;
    } else {
        counts.add(Counts::of(passed));
    }
    Ok(())
}

fn cargo_test(rooms: &Rooms, counts: &mut Counts, arguments: &[&str]) -> Result<()> {
    run(
        process::with_publishing_tools(rooms, &mut process::cargo(rooms))
            .args(["test", "--no-fail-fast"])
            .args(arguments),
        counts,
    )
}

fn python(rooms: &Rooms, counts: &mut Counts) -> Result<()> {
    run(
        process::command(rooms, rooms.venv_bin("python"))
            .args(["-m", "pytest", "-p", "no:cacheprovider", "tests/python"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONPATH", rooms.at("src/python")),
        counts,
    )?;
    // The mount and the package in real Pyodide.
    let folder = rooms.at("tests/python");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot read `{}`", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    run(
        process::command(rooms, "node")
            .args(["--test", "--test-reporter=spec"])
            .args(files),
        counts,
    )
}

fn wasm(rooms: &Rooms, counts: &mut Counts) -> Result<()> {
    let browsers = Browsers::find(rooms)?;
    let sessions: [(&str, &str, &PathBuf, Value); 2] = [
        (
            "--chrome",
            "--chromedriver",
            &browsers.chromedriver,
            json!({"goog:chromeOptions": {
                "binary": browsers.chromium,
                "args": [
                    "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
                    "disable-component-update", "disable-sync",
                ],
            }}),
        ),
        (
            "--firefox",
            "--geckodriver",
            &browsers.geckodriver,
            json!({"moz:firefoxOptions": {"binary": browsers.firefox, "args": ["-headless"]}}),
        ),
    ];
    let mut failure = None;
    for (browser, option, driver, capabilities) in sessions {
        note(&format!("wasm-pack test {browser}…"));
        let file = rooms.tools().join(format!("webdriver{browser}.json"));
        std::fs::write(&file, capabilities.to_string())
            .with_context(|| format!("cannot write `{}`", file.display()))?;
        let ran = run(
            process::command(rooms, "wasm-pack")
                .args(["test", "--headless", browser, option])
                .arg(driver)
                .args(["--mode", "no-install"])
                .arg(&rooms.top)
                .args(["-p", "webimport"])
                .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", &file)
                .env("WASM_BINDGEN_TEST_TIMEOUT", "300"),
            counts,
        );
        // The other browser still has something to say.
        failure = failure.or(ran.err());
    }
    failure.map_or(Ok(()), Err)
}

fn browser(rooms: &Rooms, counts: &mut Counts) -> Result<()> {
    prepare_browser_tests(rooms)?;
    let targets = test_targets(rooms)?;
    let mut arguments = vec!["-p", "webimport-browser-tests", "--lib"];
    // Those are suites of their own.
    let others = ["hosts", "importlib", "packages", "snapshot"];
    for target in targets
        .iter()
        .filter(|target| !others.contains(&target.as_str()))
    {
        arguments.extend(["--test", target]);
    }
    cargo_test(rooms, counts, &arguments)
}

/// One of the browser crate's integration tests, with a checkout, if there is one, in this variable.
fn browser_target(
    rooms: &Rooms,
    counts: &mut Counts,
    target: &str,
    checkout: Option<(&str, &Path)>,
) -> Result<()> {
    prepare_browser_tests(rooms)?;
    let mut command = process::cargo(rooms);
    process::with_publishing_tools(rooms, &mut command)
        .args(["test", "--no-fail-fast"])
        .args(["-p", "webimport-browser-tests", "--test", target]);
    if let Some((variable, folder)) = checkout {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("cannot find `{}`", folder.display()))?;
        command.env(variable, folder);
    }
    run(&mut command, counts)
}

/// The tests use the site, what `dist` makes of it, and the command line.
fn prepare_browser_tests(rooms: &Rooms) -> Result<()> {
    build::site(rooms)?;
    dist::packages(rooms)?;
    build::command_line(rooms, build::Profile::Debug).map(|_| ())
}

/// The names of the browser crate's integration tests.
fn test_targets(rooms: &Rooms) -> Result<Vec<String>> {
    let text = process::output(process::cargo(rooms).args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
    ]))?;
    let metadata: Value =
        serde_json::from_str(&text).context("`cargo metadata` printed no JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("`cargo metadata` names no packages")?;
    let package = packages
        .iter()
        .find(|package| package["name"] == "webimport-browser-tests")
        .context("the workspace has no crate `webimport-browser-tests`")?;
    let targets = package["targets"].as_array().into_iter().flatten();
    Ok(targets
        .filter(|target| target["kind"] == json!(["test"]))
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect())
}

/// Runs a test runner and reads its counts. One that fails without naming a failed test counts as one.
pub(super) fn run(command: &mut Command, counts: &mut Counts) -> Result<()> {
    let mut found = Counts::default();
    let passed = process::stream(command, |line| found.read(line))?;
    if !passed && found.failed == 0 {
        let program = Path::new(command.get_program())
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        note(&format!(
            "error: `{program}` failed before it could count its tests"
        ));
        found.failed = 1;
    }
    counts.add(found);
    Ok(())
}
