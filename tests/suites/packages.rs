//! Packages' own tests, on the package as pip installs it, on its release, and on its release out of a memory snapshot, in
//! the same Pyodide: each test has to end the same way. And packages that are compiled for Pyodide.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::json;
use webimport_browser_tests::browser::Browser;
use webimport_browser_tests::fixture::{Repository, wheels};
use webimport_browser_tests::suite::{self, Test};
use webimport_browser_tests::upstream::{
    Expected, Outcomes, Verdict, files, is_python, outcomes, prepare, sdist, unpacked,
};
use webimport_browser_tests::wheel::write_wheel;
use webimport_browser_tests::{
    Context, Page, Pyodide, Realm, RepositoryServer, Setup, Site, scratch,
};

/// How long the tests of one package may take, twice.
const DEADLINE: Duration = Duration::from_mins(15);

/// What pytest needs, and is itself.
const PYTEST: &[&str] = &["pytest", "pluggy", "iniconfig", "packaging", "pygments"];

/// A package under test.
#[derive(Debug, Clone, Copy)]
struct Package {
    /// Its release, and its wheel in `xtask/wheels.txt`.
    name: &'static str,
    /// What is imported.
    import: &'static str,
    /// Wheels that its tests need beside it.
    beside: &'static [&'static str],
    /// Where its tests are.
    tests: Tests,
    /// Of pytest.
    arguments: &'static [&'static str],
    /// In which they run: what browsers differ in is tested elsewhere, and each of these takes minutes.
    browser: Browser,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tests {
    Wheel,
    SourceDistribution,
    /// In the folder that this variable names.
    Checkout(&'static str),
}

const PACKAGES: [Package; 6] = [
    Package {
        name: "attrs",
        import: "attr",
        beside: &["hypothesis", "sortedcontainers"],
        tests: Tests::SourceDistribution,
        arguments: &["tests"],
        browser: Browser::Chromium,
    },
    Package {
        name: "click",
        import: "click",
        beside: &[],
        tests: Tests::SourceDistribution,
        arguments: &["tests"],
        browser: Browser::Firefox,
    },
    Package {
        name: "jinja2",
        import: "jinja2",
        beside: &[],
        tests: Tests::SourceDistribution,
        // These need trio, which Pyodide has no event loop for.
        arguments: &[
            "tests",
            "--ignore=tests/test_async.py",
            "--ignore=tests/test_async_filters.py",
        ],
        browser: Browser::Chromium,
    },
    Package {
        name: "more-itertools",
        import: "more_itertools",
        beside: &[],
        tests: Tests::SourceDistribution,
        // Arithmetic that takes as long as all others together.
        arguments: &[
            "tests",
            "--deselect=tests/test_recipes.py::PrimeFunctionTests",
            "--deselect=tests/test_recipes.py::PolynomialFromRootsTests::test_large",
            "--deselect=tests/test_more.py::ExtractTests::test_all_orderings",
            "--deselect=tests/test_more.py::DiscreteFourierTransformTests::test_roundtrip",
        ],
        browser: Browser::Chromium,
    },
    Package {
        name: "networkx",
        import: "networkx",
        beside: &[],
        tests: Tests::Wheel,
        arguments: &[
            "--pyargs",
            "networkx.readwrite",
            "networkx.utils",
            "networkx.generators.tests.test_atlas",
            "networkx.classes.tests.test_function",
            "-k",
            "not round_trip and not very_large",
        ],
        browser: Browser::Firefox,
    },
    Package {
        name: "rich",
        import: "rich",
        beside: &["attrs"],
        tests: Tests::Checkout("WEBIMPORT_RICH"),
        arguments: &["tests", "--continue-on-collection-errors"],
        browser: Browser::Chromium,
    },
];

fn main() {
    let mut tests: Vec<Test> = PACKAGES
        .into_iter()
        .filter(|package| match package.tests {
            Tests::Checkout(variable) => std::env::var_os(variable).is_some(),
            Tests::Wheel | Tests::SourceDistribution => true,
        })
        .map(|package| {
            let name = format!("packages::{}", package.name);
            Test::new(name, move |context| compare(context, package))
                .only_in(&[package.browser])
                .within(DEADLINE)
        })
        .collect();
    tests.extend([
        Test::new("packages::compiled_packages_work_on_the_page", |context| {
            compiled_packages_work(context, Realm::Page)
        }),
        Test::new(
            "packages::compiled_packages_work_in_a_module_worker",
            |context| compiled_packages_work(context, Realm::Worker),
        ),
    ]);
    suite::run(&tests)
}

/// The wheels that make a release.
fn contents(package: Package) -> Vec<PathBuf> {
    let mut found = wheels(&[package.name]);
    match package.name {
        "jinja2" => found.push(markupsafe().to_owned()),
        "rich" => found.extend(wheels(&["markdown-it-py", "mdurl"])),
        _ => {}
    }
    found
}

/// What jinja2 needs. Its wheels are compiled, for others than Pyodide 314; without that it is plain Python.
fn markupsafe() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let sources = unpacked("markupsafe").join("src/markupsafe");
        let files = files(&sources, "markupsafe/", &is_python);
        write_wheel(&scratch::folder("wheel"), "markupsafe", "3.0.4", &files)
    })
}

/// A repository with the release of these wheels alone.
fn repository(name: &'static str, wheels: &[PathBuf]) -> &'static Repository {
    static MADE: Mutex<BTreeMap<&str, &'static OnceLock<Repository>>> = Mutex::new(BTreeMap::new());
    let cell = *MADE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(name)
        .or_insert_with(|| Box::leak(Box::default()));
    cell.get_or_init(|| {
        let repository = Repository::new();
        repository.release(wheels, name);
        repository
    })
}

/// The same, and a memory snapshot of the release.
fn with_snapshot(name: &'static str, wheels: &[PathBuf]) -> &'static Repository {
    static MADE: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let repository = repository(name, wheels);
    let is_new = MADE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name);
    if is_new {
        repository.snapshot(name, Pyodide::V314, &[]);
    }
    repository
}

async fn compare(context: Context, package: Package) {
    let installed = installed(&context, package).await;
    let released = released(&context, package).await;
    let restored = restored(&context, package).await;
    let (suite, browser) = (package.import, context.browser());
    let expected = Expected::of(suite);
    Verdict::compare(&released, &installed, &expected).report(suite, browser);
    let suite = format!("{suite} from a snapshot");
    Verdict::compare(&restored, &installed, &expected).report(&suite, browser);
}

/// The outcomes with the package in site-packages, in a page without webimport.
async fn installed(context: &Context, package: Package) -> Outcomes {
    let setup = Setup {
        realm: Realm::Worker,
        ..Setup::plain()
    };
    let site = Site::start().await;
    let page = context.open(&site, &setup).await;
    test(&page, &site, package, &contents(package), "", "/lib/").await
}

/// The outcomes with the package's release.
async fn released(context: &Context, package: Package) -> Outcomes {
    let repository = repository(package.name, &contents(package));
    let server = RepositoryServer::start(&repository.root()).await;
    let url = server.url();
    let setup = Setup {
        realm: Realm::Worker,
        config: Some(json!({"repositories": {&url: {"root": repository.pin()}}})),
        ..Setup::default()
    };
    let load = format!("await loadRelease('{url}/{}')", package.name);
    let site = Site::start().await;
    let page = context.open(&site, &setup).await;
    test(&page, &site, package, &[], &load, "/webimport/").await
}

/// The outcomes with the package's release in a Pyodide that comes from a memory snapshot of it.
async fn restored(context: &Context, package: Package) -> Outcomes {
    let repository = with_snapshot(package.name, &contents(package));
    let server = RepositoryServer::start(&repository.root()).await;
    let url = server.url();
    let setup = Setup {
        realm: Realm::Worker,
        config: Some(json!({"repositories": {&url: {"root": repository.pin()}}})),
        boot: Some(json!({"releases": [format!("{url}/{}", package.name)]})),
        ..Setup::default()
    };
    let site = Site::start().await;
    let first = context.open(&site, &setup).await;
    first.kept_snapshots(1).await;
    first.leave().await;
    let page = context.open(&site, &setup).await;
    assert_eq!(
        page.run("import js\njs.booted.to_py()['from']").await,
        "snapshot"
    );
    test(&page, &site, package, &[], "", "/webimport/").await
}

/// The tests of a checkout, as a source distribution would have them.
fn archive(checkout: &OsStr) -> PathBuf {
    let file = scratch::folder("checkout").join("tests.tar.gz");
    let status = Command::new("tar")
        .arg("-czf")
        .arg(&file)
        .arg("-C")
        .arg(checkout)
        .args(["--transform", "s,^,checkout/,", "tests", "pyproject.toml"])
        .status();
    assert!(
        status.expect("tar starts").success(),
        "{} has no tests",
        checkout.display()
    );
    file
}

async fn test(
    page: &Page,
    site: &Site,
    package: Package,
    installed: &[PathBuf],
    load: &str,
    root: &str,
) -> Outcomes {
    prepare(page).await;
    let add = |file: &Path| {
        let name = file.file_name().expect("a file").to_string_lossy();
        let bytes = std::fs::read(file).expect("a file of the set-up");
        site.add_file(&format!("/files/{name}"), bytes)
    };
    let mut all = wheels(&[PYTEST, package.beside].concat());
    all.extend_from_slice(installed);
    let urls: Vec<String> = all.iter().map(|file| add(file)).collect();
    page.run(&format!(
        "import pytests\nawait pytests.install(*{urls:?})\n{load}\nNone"
    ))
    .await;
    let archive = match package.tests {
        Tests::Wheel => None,
        Tests::SourceDistribution => Some(sdist(package.name)),
        Tests::Checkout(variable) => Some(archive(&std::env::var_os(variable).expect("it is set"))),
    };
    if let Some(archive) = archive {
        let url = add(&archive);
        page.run(&format!("await pytests.unpack('{url}')")).await;
    }
    let arguments = package.arguments;
    let cell = format!(
        "pytests.run('{}', '{root}', *{arguments:?})",
        package.import
    );
    let found = outcomes(page, &cell).await;
    page.clone().kill().await;
    found
}

/// One small and one large library: Chromium compiles no more than 8 MiB at once on a main thread.
async fn compiled_packages_work(context: Context, realm: Realm) {
    let msgspec = "import msgspec\n\
                   class Planet(msgspec.Struct):\n    \
                       name: str\n    \
                       moons: int\n\
                   planet = msgspec.json.decode(b'{\"name\": \"Mars\", \"moons\": 2}', type=Planet)\n\
                   [planet.name, planet.moons + 1]";
    let arro3 = "import os, arro3.core._core as core\n\
                 from arro3.core import Array, DataType\n\
                 column = Array([1, 2, None], type=DataType.int64())\n\
                 [column.null_count, len(column), os.path.getsize(core.__file__) > 8 * 1024 * 1024]";
    for (name, cell, expected) in [
        ("msgspec", msgspec, json!(["Mars", 3])),
        ("arro3-core", arro3, json!([1, 3, true])),
    ] {
        let repository = repository(name, &wheels(&[name]));
        let server = RepositoryServer::start(&repository.root()).await;
        let site = Site::start().await;
        let url = server.url();
        let setup = Setup {
            realm,
            config: Some(json!({"repositories": {&url: {"root": repository.pin()}}})),
            ..Setup::default()
        };
        let page = context.open(&site, &setup).await;
        page.run(&format!("await loadRelease('{url}/{name}')"))
            .await;
        assert_eq!(page.run(cell).await, expected, "{name}");
        page.kill().await;
    }
}
