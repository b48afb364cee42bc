//! A release beside the same package as a package manager puts it on disk: what Python can see of both is the same,
//! good input and bad.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};
use webimport_browser_tests::fixture::{HandMade, Repository, wheels};
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::wheel::write_wheel;
use webimport_browser_tests::{
    Context, Page, Pyodide, Realm, RepositoryServer, Setup, Site, scratch, tests, tools,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_release_is_like_the_installed_package,
        a_partial_release_is_like_the_installed_package_in_a_worker,
        a_release_is_like_the_installed_package_on_pyodide_0_29,
        bytecode_for_two_interpreters_serves_both,
        without_source_tracebacks_say_so,
        what_pyodide_has_comes_from_its_lock_file,
        what_pyodide_cannot_fetch_is_named,
        what_is_nowhere_is_listed,
    ]
}

const FACTS: &str = include_str!("fidelity/facts.py");

/// More than a release may have to be fetched whole.
const MUCH: usize = 17 << 20;

struct Odd {
    repository: Repository,
    wheel: PathBuf,
}

/// The package `odd`, released whole, partial, for two interpreters, and without sources.
fn odd() -> &'static Odd {
    static MADE: OnceLock<Odd> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = scratch::folder("odd");
        let wheel = write_wheel(&folder, "odd", "1.0", &odd_files());
        let repository = Repository::new();
        repository.release(std::slice::from_ref(&wheel), "odd");
        repository.release(&wheels(&["jedi", "parso"]), "jedi");

        let modules = tools::tool("npm/node_modules");
        let both = [modules.join("pyodide"), modules.join("pyodide-0.29")];
        repository.release_for(std::slice::from_ref(&wheel), "odd-for-two", &both);

        let filler = (0..).flat_map(|number: u32| number.to_le_bytes());
        let filler = filler.take(MUCH).collect();
        let filling = [("filling.py", Vec::new()), ("filling.bin", filler)];
        let filling = write_wheel(&folder, "filling", "1.0", &filling);
        repository.release(&[wheel.clone(), filling], "odd-partial");

        let plain = write_wheel(&folder, "plain", "1.0", &[("plain.py", TESTED)]);
        repository.release_without_source(&[plain], "plain");
        Odd { repository, wheel }
    })
}

const TESTED: &str = r#""""What is taken apart."""

from dataclasses import dataclass

def add(left, right):
    total = left + right
    return total


@dataclass
class Point:
    """A place.

    >>> Point(1, 2).total()
    3
    >>> Point(1, 2)
    Point(x=1, y=3)
    """

    x: int
    y: int

    def total(self):
        return add(self.x, self.y)

RAN = __name__
"#;

fn odd_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut large = b"START = 1\nDATA = (\n".to_vec();
    while large.len() < 5 << 20 {
        large.extend_from_slice(
            b"    b'0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'\n",
        );
    }
    large.extend_from_slice(b")\nSIZE = len(DATA)\n");
    let texts: &[(&str, &str)] = &[
        (
            "odd/__init__.py",
            "\"\"\"A package.\"\"\"\n\nVERSION = '1.0'\n",
        ),
        (
            "odd/__main__.py",
            "import sys\n\nprint(__name__, __package__, sys.argv[0])\nRAN = True\n",
        ),
        ("odd/tested.py", TESTED),
        ("odd/data.txt", "naïve\n"),
        ("odd/py.typed", ""),
        (
            "odd/typed.py",
            "def fetch(*args): ...\n\nVALUE = make()  # noqa\n",
        ),
        (
            "odd/typed.pyi",
            "VALUE: dict[str, int]\n\ndef fetch(url: str, *, retries: int = 3) -> bytes:\n    \"\"\"From the stub.\"\"\"\n",
        ),
        ("odd/syntax_error.py", "A = 1\ndef broken(:\n    pass\n"),
        (
            "odd/raises.py",
            "def inner():\n    raise LookupError('on purpose') from ValueError('cause')\n\nA = 1\ninner()\n",
        ),
        ("odd/bom.py", "\u{feff}TEXT = 'é'\n"),
        ("odd/bad_encoding.py", "# coding: no-such-encoding\nA = 1\n"),
        ("odd/null_byte.py", "A = 1\n\0\n"),
        ("odd/line_ends.py", "A = 1\r\nTEXT = '''x\r\ny'''\r\n"),
        ("odd/empty.py", ""),
        ("odd/class.py", "VALUE = 'a keyword'\n"),
        (
            "odd/circle_one.py",
            "from . import circle_two\n\nVALUE = 1\n\ndef other():\n    return circle_two.VALUE\n",
        ),
        (
            "odd/circle_two.py",
            "from . import circle_one\n\nVALUE = 2\n",
        ),
        ("odd/circle_bad.py", "from .circle_worse import VALUE\n"),
        ("odd/circle_worse.py", "from .circle_bad import VALUE\n"),
        (
            "odd/no_data.py",
            "import os\n\nwith open(os.path.join(os.path.dirname(__file__), 'absent.txt')) as file:\n    TEXT = file.read()\n",
        ),
        ("odd/needs_absent.py", "import nowhere_at_all\n"),
        (
            "odd/needs_absent_sibling.py",
            "from .nowhere import thing\n",
        ),
        ("odd/needs_absent_name.py", "from . import nowhere\n"),
        ("odd/beyond.py", "from ... import thing\n"),
        ("odd/exits.py", "import sys\n\nsys.exit('enough')\n"),
        (
            "odd/writer/__init__.py",
            "import os\n\nwith open(os.path.join(os.path.dirname(__file__), 'cache.txt'), 'w') as file:\n    file.write('x')\n",
        ),
        (
            "odd/replaced.py",
            "import sys, types\n\nsys.modules[__name__] = types.SimpleNamespace(LEFT=1)\n",
        ),
        (
            "odd/counted.py",
            "STATE = globals().get('STATE', 0) + 1\nif globals().get('fail'):\n    raise RuntimeError(STATE)\n",
        ),
        ("odd/deep/__init__.py", "\"\"\"Deep.\"\"\"\n"),
        ("odd/deep/bytes.bin", "\u{1}\u{2}"),
        (
            "odd/deep/er.py",
            "from .. import VERSION\nfrom ..tested import add\n\nSUM = add(1, 2)\n",
        ),
        (
            "odd_space/part/__init__.py",
            "VALUE = 'a namespace package'\n",
        ),
        ("odd_single.py", "\"\"\"Alone.\"\"\"\n\nVALUE = 1\n"),
        (
            "odd-1.0.dist-info/entry_points.txt",
            "[odd.tools]\nsum = odd.tested:add\n",
        ),
    ];
    let mut files: Vec<(&str, Vec<u8>)> = texts
        .iter()
        .map(|&(path, text)| (path, text.as_bytes().to_vec()))
        .collect();
    files.push((
        "odd/latin.py",
        b"# -*- coding: latin-1 -*-\nTEXT = '\xe9'\n".to_vec(),
    ));
    files.push(("odd/bad_utf8.py", b"TEXT = '\xe9'\n".to_vec()));
    files.push(("odd/large.py", large));
    files
}

/// What a page needs to load from the repository.
fn setup(server: &RepositoryServer, pyodide: Pyodide, realm: Realm) -> Setup {
    Setup {
        pyodide,
        realm,
        config: Some(json!({"repositories": {server.url(): {"root": odd().repository.pin()}}})),
        ..Setup::default()
    }
}

/// Loads a release of `odd`, takes it apart, does the same with the installed package, and says what differs.
async fn differences(page: &Page, site: &Site, url: &str, release: &str) -> Value {
    let wheel = std::fs::read(&odd().wheel).expect("it was just written");
    let wheel = site.add_file("/odd-1.0-py3-none-any.whl", wheel);
    page.run(FACTS).await;
    page.run(&format!(
        "await loadRelease('{url}/jedi')\n\
         release = await loadRelease('{url}/{release}', modules=['odd', 'odd_single', 'odd_space'])\n\
         released = collect()\n\
         release.unload()\n\
         left = [name for name in sys.modules if name.partition('.')[0].startswith('odd')]\n\
         await install('{wheel}')\n\
         installed = collect()"
    ))
    .await;
    let unforeseen = page
        .run("[release.partial, left, {name: seen for name, seen in installed.items() if 'raised' in seen}]")
        .await;
    let partial = release == "odd-partial";
    assert_eq!(
        unforeseen,
        json!([partial, [], {}]),
        "the facts themselves hold"
    );
    page.run("difference(released, installed)").await
}

/// What a reader is told: the folder of a release cannot be written to.
fn assert_only_writing_differs(found: &Value) {
    let found = found.as_object().expect("facts by name");
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, ["odd.writer"], "{}", json!(found));
    let released = &found["odd.writer"][0]["value"];
    assert_eq!(
        (&released["raised"], &released["left"]),
        (&json!("PermissionError"), &json!([false, false])),
        "{released}"
    );
}

async fn is_like_the_installed_package(
    context: &Context,
    pyodide: Pyodide,
    realm: Realm,
    release: &str,
) {
    let server = RepositoryServer::start(&odd().repository.root()).await;
    let site = Site::start().await;
    let page = context.open(&site, &setup(&server, pyodide, realm)).await;
    let found = differences(&page, &site, &server.url(), release).await;
    assert_only_writing_differs(&found);
}

async fn a_release_is_like_the_installed_package(context: Context) {
    is_like_the_installed_package(&context, Pyodide::V314, Realm::Page, "odd").await;
}

async fn a_partial_release_is_like_the_installed_package_in_a_worker(context: Context) {
    is_like_the_installed_package(&context, Pyodide::V314, Realm::Worker, "odd-partial").await;
}

async fn a_release_is_like_the_installed_package_on_pyodide_0_29(context: Context) {
    is_like_the_installed_package(&context, Pyodide::V029, Realm::Page, "odd").await;
}

async fn bytecode_for_two_interpreters_serves_both(context: Context) {
    let server = RepositoryServer::start(&odd().repository.root()).await;
    let site = Site::start().await;
    for (pyodide, tag) in [
        (Pyodide::V314, "cpython-314"),
        (Pyodide::V029, "cpython-313"),
    ] {
        let page = context
            .open(&site, &setup(&server, pyodide, Realm::Page))
            .await;
        let cell = format!(
            "release = await loadRelease('{}/odd-for-two')\n\
             import odd.tested, inspect\n\
             [odd.tested.add(1, 2), odd.tested.__cached__.endswith('{tag}.pyc'), [str(it) for it in release.warnings],\n\
             inspect.getsource(odd.tested.add).startswith('def add')]",
            server.url()
        );
        assert_eq!(page.run(&cell).await, json!([3, true, [], true]), "{tag}");
        assert_eq!(page.last_load().await["bytecode"], tag);
        page.kill().await;
    }
}

async fn without_source_tracebacks_say_so(context: Context) {
    let server = RepositoryServer::start(&odd().repository.root()).await;
    let site = Site::start().await;
    let page = context
        .open(&site, &setup(&server, Pyodide::V314, Realm::Page))
        .await;
    let found = page
        .run(&format!(
            "release = await loadRelease('{}/plain')\n\
             import inspect, plain, traceback\n\
             try: plain.add(1, None)\n\
             except TypeError as error: lines = traceback.format_exception(error)\n\
             try: inspect.getsource(plain.add)\n\
             except OSError as error: refused = str(error)\n\
             [release.source, plain.add(1, 2), [line for line in lines if 'no source' in line], refused]",
            server.url()
        ))
        .await;
    assert_eq!(
        found,
        json!([
            false,
            3,
            ["  File \"<no source>/plain.py\", line 6, in add\n"],
            "could not get source code"
        ])
    );
    // Its bytecode is for another interpreter.
    let page = context
        .open(&site, &setup(&server, Pyodide::V029, Realm::Page))
        .await;
    let raised = page
        .raises(&format!("await loadRelease('{}/plain')", server.url()))
        .await;
    assert_eq!(raised.code(), "resolve.bytecode", "{raised}");
}

/// A Pyodide whose lock file has msgspec, which depends on these there, and its wheel beside it.
fn add_to_lock_file(site: &Site, depends: &[&str]) {
    let wheel = wheels(&["msgspec"]).remove(0);
    let pyodide = tools::tool("npm/node_modules/pyodide");
    let lock = std::fs::read(pyodide.join("pyodide-lock.json")).expect("npm's package has one");
    let mut lock: Value = serde_json::from_slice(&lock).expect("JSON");
    let bytes = std::fs::read(&wheel).expect("a wheel");
    let file = wheel.file_name().expect("a name").to_string_lossy();
    lock["packages"]["msgspec"] = json!({
        "name": "msgspec", "version": "0.22.0", "file_name": file, "install_dir": "site",
        "sha256": webimport_core::digest::Sha256Digest::of(&bytes).to_string(),
        "package_type": "package", "imports": ["msgspec"], "depends": depends, "unvendored_tests": false,
    });
    for name in depends {
        lock["packages"][*name] = json!({
            "name": name, "version": "1.0", "file_name": format!("{name}-1.0-py3-none-any.whl"), "install_dir": "site",
            "sha256": "0".repeat(64), "package_type": "package", "imports": [name], "depends": [],
            "unvendored_tests": false,
        });
    }
    site.add_file("/pyodide/pyodide-lock.json", lock.to_string());
    site.add_file(&format!("/pyodide/{file}"), bytes);
}

/// A repository with a release that requires msgspec, and what else is given.
async fn needy(requires: &[&str]) -> (Repository, RepositoryServer) {
    let repository = Repository::new();
    let mut all = vec!["msgspec>=0.20"];
    all.extend(requires);
    let release = HandMade::new("needy", "1.0")
        .file(
            "needy.py",
            "import msgspec\n\nTEXT = msgspec.json.encode({'a': 1}).decode()\n",
        )
        .set("requires", json!(all));
    repository.publish(&release);
    let server = RepositoryServer::start(&repository.root()).await;
    (repository, server)
}

async fn what_pyodide_has_comes_from_its_lock_file(context: Context) {
    let (repository, server) = needy(&["tomli; python_version < '3.11'"]).await;
    for realm in [Realm::Page, Realm::Worker] {
        let site = Site::start().await;
        add_to_lock_file(&site, &[]);
        let setup = Setup {
            realm,
            config: Some(json!({"repositories": {server.url(): {"root": repository.pin()}}})),
            ..Setup::default()
        };
        let page = context.open(&site, &setup).await;
        let found = page
            .run(&format!(
                "import sys\n\
                 await loadRelease('{}/needy')\n\
                 there = 'msgspec' in sys.modules\n\
                 import needy\n\
                 [there, needy.TEXT]",
                server.url()
            ))
            .await;
        assert_eq!(found, json!([false, "{\"a\":1}"]), "{realm:?}");
    }
}

async fn what_pyodide_cannot_fetch_is_named(context: Context) {
    let (repository, server) = needy(&[]).await;
    let site = Site::start().await;
    // Pyodide loads what needs it all the same, and says so to its log alone.
    add_to_lock_file(&site, &["absent-wheel"]);
    let setup = Setup::trusting(&server.url(), repository.pin());
    let page = context.open(&site, &setup).await;
    let raised = page
        .raises(&format!("await loadRelease('{}/needy')", server.url()))
        .await;
    assert_eq!(raised.code(), "fetch.package", "{raised}");
    assert!(raised.message.contains("absent-wheel"), "{raised}");
    let left = page
        .run("import importlib.util\nimportlib.util.find_spec('needy')")
        .await;
    assert_eq!(left, Value::Null);
}

async fn what_is_nowhere_is_listed(context: Context) {
    let (repository, server) = needy(&["nowhere-at-all>=2", "also_nowhere"]).await;
    let site = Site::start().await;
    add_to_lock_file(&site, &[]);
    let setup = Setup::trusting(&server.url(), repository.pin());
    let page = context.open(&site, &setup).await;
    let raised = page
        .raises(&format!("await loadRelease('{}/needy')", server.url()))
        .await;
    assert_eq!(raised.code(), "resolve.requires", "{raised}");
    assert!(
        raised.message.contains("`nowhere-at-all>=2`")
            && raised.message.contains("`also_nowhere`")
            && !raised.message.contains("msgspec"),
        "{raised}"
    );
    let left = page
        .run("import importlib.util\n[importlib.util.find_spec(name) for name in ('needy', 'msgspec')]")
        .await;
    assert_eq!(left, json!([null, null]));
}
