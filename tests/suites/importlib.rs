//! Other people's tests of importers: those of PyPI's `importlib_resources` and `importlib_metadata`, and CPython's own
//! where there is a checkout of it.
//!
//! The packages and their tests are releases themselves. The trees that the tests make become mounts, by the fixtures in
//! `python/`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use webimport_browser_tests::fixture::{Repository, wheels};
use webimport_browser_tests::suite::{self, Test};
use webimport_browser_tests::upstream::{
    Expected, Outcomes, Verdict, files, give_mount, is_python, outcomes, prepare, unpacked,
};
use webimport_browser_tests::wheel::write_wheel;
use webimport_browser_tests::{
    Context, Page, Realm, RepositoryServer, Setup, Site, scratch, tools,
};

fn main() {
    let mut tests = vec![
        Test::new("importlib::importlib_resources", importlib_resources).within(DEADLINE),
        Test::new("importlib::importlib_metadata", importlib_metadata).within(DEADLINE),
    ];
    if checkout().is_some() {
        tests.push(Test::new("importlib::cpython", cpython).within(DEADLINE));
    }
    suite::run(&tests)
}

/// How long one suite may take: the first that runs publishes the releases.
const DEADLINE: Duration = Duration::from_mins(15);

/// What both suites are made of, released by the publisher.
fn repository() -> &'static Repository {
    static MADE: OnceLock<Repository> = OnceLock::new();
    MADE.get_or_init(|| {
        let repository = Repository::new();
        // Its tests are in its wheel.
        repository.release(&wheels(&["importlib-resources"]), "importlib-resources");
        repository.release(
            &wheels(&["importlib-metadata", "lazy-importer"]),
            "importlib-metadata",
        );
        let folder = unpacked("importlib-metadata");
        let tests = files(&folder.join("tests"), "tests/", &|_| true);
        release_files(&repository, "importlib-metadata-tests", &tests);
        let mut tools = wheels(&[
            "jaraco-collections",
            "jaraco-context",
            "jaraco-functools",
            "jaraco-test",
            "jaraco-text",
            "more-itertools",
            "packaging",
            "pyfakefs",
            "zipp",
        ]);
        // In its place, an empty one: jaraco.text requires it for a command line that nobody calls.
        let nothing: [(&str, &str); 0] = [];
        let typer = write_wheel(&scratch::folder("wheel"), "typer-slim", "0.24.0", &nothing);
        tools.push(typer);
        repository.release(&tools, "suite-tools");
        release_files(&repository, "test-support", &test_support());
        repository
    })
}

fn release_files(repository: &Repository, name: &str, files: &[(String, Vec<u8>)]) {
    let wheel = write_wheel(&scratch::folder("wheel"), name, "1.0", files);
    repository.release(&[wheel], name);
}

/// CPython's `test.support`, which the suites use and Pyodide leaves out: that of the Python that runs the tools.
fn test_support() -> Vec<(String, Vec<u8>)> {
    let output = Command::new(tools::tool("venv/bin/python"))
        .args(["-c", "import test.support as it; print(it.__path__[0])"])
        .output()
        .expect("Python starts");
    assert!(
        output.status.success(),
        "this Python has no `test.support`; install its tests, or another Python, and run `cargo xtask setup`\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let mut found = files(&folder, "test/support/", &is_python);
    found.push(("test/__init__.py".to_owned(), Vec::new()));
    found
}

/// A page with these releases.
async fn page(
    context: &Context,
    site: &Site,
    repository: &Repository,
    server: &RepositoryServer,
    releases: &[&str],
) -> Page {
    // In a worker, as a browser waits a minute at most for a page that is busy.
    let setup = Setup {
        realm: Realm::Worker,
        config: Some(json!({"repositories": {server.url(): {"root": repository.pin()}}})),
        policy: String::new(),
        ..Setup::default()
    };
    let page = context.open(site, &setup).await;
    prepare(&page).await;
    give_mount(site, &page).await;
    for release in releases {
        page.run(&format!("await loadRelease('{}/{release}')", server.url()))
            .await;
    }
    page
}

/// Runs a suite of PyPI, which the module `NAME_suite` has set up, one module of tests after another.
async fn run(context: Context, name: &str, releases: &[&str]) {
    let server = RepositoryServer::start(&repository().root()).await;
    let site = Site::start().await;
    let page = page(&context, &site, repository(), &server, releases).await;
    let modules = page
        .run(&format!(
            "import unittests\nfrom {name}_suite import PACKAGES\nunittests.modules(PACKAGES)"
        ))
        .await;
    let found = run_modules(&page, &modules).await;
    Verdict::of(&found, &Expected::of(name)).report(name, context.browser());
}

/// Runs these modules' tests.
async fn run_modules(page: &Page, modules: &Value) -> Outcomes {
    let mut found = Outcomes::new();
    for name in modules.as_array().expect("a list of modules") {
        found.extend(outcomes(page, &format!("unittests.run({name})")).await);
    }
    found
}

async fn importlib_resources(context: Context) {
    let releases = ["test-support", "suite-tools", "importlib-resources"];
    run(context, "importlib_resources", &releases).await;
}

async fn importlib_metadata(context: Context) {
    let releases = [
        "test-support",
        "suite-tools",
        "importlib-metadata",
        "importlib-metadata-tests",
    ];
    run(context, "importlib_metadata", &releases).await;
}

/// The checkout of CPython 3.14 that there may be.
fn checkout() -> Option<PathBuf> {
    std::env::var_os("WEBIMPORT_CPYTHON").map(PathBuf::from)
}

/// CPython's package `test`, or as much of it as the tests of `cpython_suite.MODULES` use.
fn cpython_tests() -> Vec<(String, Vec<u8>)> {
    let folder = checkout().expect("a checkout").join("Lib/test");
    assert!(
        folder.join("test_importlib").is_dir(),
        "`{}` has no tests of importlib",
        folder.display()
    );
    // What is no Python on purpose, and data of other tests.
    let bad = |path: &str| path.contains("badsyntax") || path.contains("bad_coding");
    let with_data = ["test/test_importlib/", "test/test_inspect/"];
    files(&folder, "test/", &|path| {
        !bad(path) && (is_python(path) || with_data.iter().any(|start| path.starts_with(start)))
    })
}

/// CPython's own tests, whose package `test` Pyodide leaves out: on its release, with what they make behind webimport,
/// and on its files in site-packages, with what they make on the file system.
async fn cpython(context: Context) {
    static MADE: OnceLock<Repository> = OnceLock::new();
    let repository = MADE.get_or_init(|| {
        let repository = Repository::new();
        release_files(&repository, "cpython-tests", &cpython_tests());
        repository
    });
    let server = RepositoryServer::start(&repository.root()).await;
    let site = Site::start().await;
    let start = "import cpython_suite, unittests\n";

    let plain = page(&context, &site, repository, &server, &[]).await;
    let folder = "import io, site, zipfile\n\
                  from pyodide.http import pyfetch\n";
    let archive = write_wheel(
        &scratch::folder("wheel"),
        "cpython-tests",
        "1.0",
        &cpython_tests(),
    );
    let url = site.add_file("/tests.whl", std::fs::read(archive).expect("a wheel"));
    let modules = plain
        .run(&format!(
            "{folder}archive = zipfile.ZipFile(io.BytesIO(await (await pyfetch('{url}')).bytes()))\n\
             archive.extractall(site.getsitepackages()[0])\n{start}cpython_suite.MODULES"
        ))
        .await;
    let without = run_modules(&plain, &modules).await;
    plain.kill().await;

    let page = page(&context, &site, repository, &server, &["cpython-tests"]).await;
    page.run(&format!("{start}cpython_suite.on_releases()"))
        .await;
    let with = run_modules(&page, &modules).await;
    let verdict = Verdict::compare(&with, &without, &Expected::of("cpython"));
    verdict.report("cpython", context.browser());
}
