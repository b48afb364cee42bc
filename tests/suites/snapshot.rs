//! Memory snapshots in real browsers: what a Pyodide that comes from one has, and that no wrong one is ever used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use webimport_browser_tests::fixture::{HandMade, Repository, wheels};
use webimport_browser_tests::repository_server::Fault;
use webimport_browser_tests::suite::{self, Test};
use webimport_browser_tests::{
    Block, Context, Page, Pyodide, Realm, RepositoryServer, Setup, Site, tests, tools,
};

fn main() {
    suite::run(&all())
}

fn all() -> Vec<Test> {
    tests![
        the_second_visit_comes_from_a_snapshot,
        the_second_visit_of_a_worker_comes_from_a_snapshot,
        pyodide_029_comes_from_a_snapshot_too,
        what_follows_is_as_on_any_page,
        nothing_random_and_nothing_of_the_builder_is_left,
        what_is_damaged_on_the_way_is_not_used,
        what_is_damaged_in_the_cache_is_not_used_and_fetched_again,
        a_snapshot_of_another_release_is_not_used,
        another_build_of_pyodide_starts_without,
        without_memory_or_storage_the_page_starts_without,
        two_at_once_have_nothing_in_common,
        a_tab_that_is_killed_while_it_writes_leaves_nothing_wrong,
        a_release_that_was_taken_back_is_not_run,
        what_no_pin_covers_is_not_used_where_all_has_to_be_pinned,
        another_release_that_fails_is_what_is_said,
        what_has_expired_names_no_snapshot,
        snapshots_make_room_for_what_is_needed,
        options_that_mean_nothing_are_refused,
        offline_and_pinned_pages_use_it_too,
        pyodide_alone_comes_from_a_snapshot_too,
        a_release_without_a_snapshot_is_loaded_into_that_of_pyodide,
    ]
}

/// networkx and rich with what it needs, each with a snapshot.
struct Made {
    repository: Repository,
    networkx: String,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let repository = Repository::new();
        let networkx = repository.release(&wheels(&["networkx"]), "networkx");
        repository.release(
            &wheels(&["rich", "pygments", "markdown-it-py", "mdurl"]),
            "rich",
        );
        repository.snapshot("networkx", Pyodide::V314, &[]);
        repository.snapshot("networkx", Pyodide::V029, &[]);
        Made {
            repository,
            networkx,
        }
    })
}

/// A repository on a server, and a site whose pages start by `boot`.
struct Shop {
    server: RepositoryServer,
    site: Site,
    pin: String,
}

impl Shop {
    async fn open() -> Self {
        Self::of(&made().repository).await
    }

    async fn of(repository: &Repository) -> Self {
        Self {
            server: RepositoryServer::start(&repository.root()).await,
            site: Site::start().await,
            pin: repository.pin().to_owned(),
        }
    }

    fn release(&self, name: &str) -> String {
        format!("{}/{name}", self.server.url())
    }

    fn setup(&self, realm: Realm) -> Setup {
        let config = json!({"repositories": {&self.server.url(): {"root": self.pin}}});
        let (blocks, config) = match realm {
            Realm::Page => (vec![Block::Inline(config.to_string())], None),
            Realm::Worker => (Vec::new(), Some(config)),
        };
        Setup {
            realm,
            blocks,
            config,
            boot: Some(json!({"releases": [self.release("networkx")]})),
            ..Setup::default()
        }
    }

    /// A page that has started, and how.
    async fn visit(&self, context: &Context, setup: &Setup) -> (Page, Value) {
        let page = context.open(&self.site, setup).await;
        let how = page.run("import js\njs.JSON.stringify(js.booted)").await;
        let how = serde_json::from_str(how.as_str().expect("text")).expect("JSON");
        (page, how)
    }

    /// A first visit, until the cache has the snapshot.
    async fn first_visit(&self, context: &Context, setup: &Setup) {
        let (page, how) = self.visit(context, setup).await;
        assert_eq!(
            (&how["from"], &how["reason"]["code"]),
            (&json!("plain"), &json!("resolve.no_snapshot")),
            "{how}"
        );
        page.kept_snapshots(1).await;
        page.leave().await;
    }
}

fn assert_from_snapshot(how: &Value) {
    assert_eq!(
        (&how["from"], &how["releases"]),
        (&json!("snapshot"), &json!(["networkx@3.7"])),
        "{how}"
    );
}

fn assert_plain(how: &Value, code: &str) {
    assert_eq!(
        (&how["from"], &how["reason"]["code"]),
        (&json!("plain"), &json!(code)),
        "{how}"
    );
}

const USE: &str = "import sys
was_there = 'networkx' in sys.modules
import networkx
[was_there, networkx.shortest_path(networkx.path_graph(5), 0, 4)]";

/// What a page with networkx from a snapshot can do.
async fn works_with(page: &Page, shop: &Shop) {
    page.run(&format!("RELEASE = '{}'", shop.release("networkx")))
        .await;
    assert_eq!(page.run(USE).await, json!([true, [0, 1, 2, 3, 4]]));
    let cell = "import inspect, importlib, importlib.metadata, os
release = await loadRelease('networkx', version='3.7')
late = importlib.import_module('networkx.algorithms.threshold')
[inspect.getsource(networkx.shortest_path).startswith('@'), late.__file__.startswith(release.path),
 networkx.__file__.startswith(release.path), importlib.metadata.version('networkx'),
 'algorithms' in os.listdir(os.path.dirname(networkx.__file__))]";
    let cell = cell.replace("'networkx', version", "RELEASE, version");
    assert_eq!(
        page.run(&cell).await,
        json!([true, true, true, "3.7", true])
    );
    // Tracebacks have their lines.
    let cell = "import traceback
try: networkx.shortest_path(networkx.Graph(), 0, 1)
except Exception as error: lines = traceback.format_exception(error)
any('/webimport/networkx-' in line and len(line.splitlines()) > 1 for line in lines)";
    assert_eq!(page.run(cell).await, json!(true));
}

async fn second_visit(context: &Context, setup: impl Fn(&Shop) -> Setup) {
    let shop = Shop::open().await;
    let setup = setup(&shop);
    shop.first_visit(context, &setup).await;
    shop.server.forget_requests();
    let (page, how) = shop.visit(context, &setup).await;
    assert_from_snapshot(&how);
    assert_eq!(shop.server.served("objects/*"), 0);
    works_with(&page, &shop).await;
    let loads = page.loads().await;
    assert_eq!(loads.len(), 1, "{loads:?}");
    let progress = page.progress().await;
    assert_eq!(progress.last().expect("it is told")["phase"], "done");
    assert_eq!(
        (&loads[0]["name"], &loads[0]["repository"]),
        (&json!("networkx"), &json!(shop.server.url()))
    );
    // It goes as it would on any page.
    let gone = page
        .run("release.unload()\nimport sys\n[name for name in sys.modules if name.startswith('networkx')]")
        .await;
    assert_eq!(gone, json!([]));
    assert_eq!(
        page.run("release = await loadRelease(RELEASE)\nimport networkx\nnetworkx.__version__")
            .await,
        "3.7"
    );
}

async fn the_second_visit_comes_from_a_snapshot(context: Context) {
    second_visit(&context, |shop| shop.setup(Realm::Page)).await;
}

async fn the_second_visit_of_a_worker_comes_from_a_snapshot(context: Context) {
    second_visit(&context, |shop| shop.setup(Realm::Worker)).await;
}

async fn pyodide_029_comes_from_a_snapshot_too(context: Context) {
    second_visit(&context, |shop| Setup {
        pyodide: Pyodide::V029,
        ..shop.setup(Realm::Page)
    })
    .await;
}

async fn what_follows_is_as_on_any_page(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    let (page, how) = shop.visit(&context, &setup).await;
    assert_from_snapshot(&how);
    let rich = format!(
        "other = await loadRelease('{}')\nimport rich.table, rich\nrich.__file__.startswith(other.path)",
        shop.release("rich")
    );
    assert_eq!(page.run(&rich).await, json!(true));
    for (cell, expected) in [
        // Browser, network and event loop.
        ("import js\njs.document.title", json!("test page")),
        (
            "from pyodide.http import pyfetch\n(await pyfetch('/blank.html')).status",
            json!(200),
        ),
        (
            "import asyncio\nawait asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0.01, 2))",
            json!([1, 2]),
        ),
        (
            "from pyodide.ffi import can_run_sync, run_sync\nrun_sync(asyncio.sleep(0, 3)) if can_run_sync() else 3",
            json!(3),
        ),
        (
            "import pyodide_js\npyodide_js.version.startswith('314.')",
            json!(true),
        ),
        (
            "import webimport\n'networkx' in webimport.freeze()",
            json!(true),
        ),
        ("print('heard')", json!(null)),
    ] {
        assert_eq!(page.run(cell).await, expected, "{cell}");
    }
    assert_eq!(page.cell("print('heard')").await.printed, ["heard"]);
    // A page's own packages.
    let urls: Vec<String> = wheels(&["micropip", "packaging", "mdurl"])
        .iter()
        .map(|wheel| {
            let name = wheel.file_name().expect("a file").to_string_lossy();
            let bytes = std::fs::read(wheel).expect("a wheel can be read");
            shop.site.add_file(&format!("/{name}"), bytes)
        })
        .collect();
    let cell = format!(
        "from pyodide.ffi import to_js\n\
         await pyodide_js.loadPackage(to_js({:?}))\n\
         import micropip\n\
         await micropip.install('{}')\n\
         import mdurl\n\
         mdurl.encode('a b')",
        &urls[..2],
        urls[2]
    );
    assert_eq!(page.run(&cell).await, "a%20b");
}

async fn nothing_random_and_nothing_of_the_builder_is_left(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    let cell = "import random, secrets, uuid, tempfile, os, sys, time, json
import js
json.dumps([[random.random(), secrets.token_hex(), str(uuid.uuid4()), tempfile.mktemp()],
 [dict(os.environ), sys.argv, os.getcwd(), sys.path[:4], sys.executable, abs(time.time() - js.Date.now() / 1000) < 5]])";
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (page, how) = shop.visit(&context, &setup).await;
        assert_from_snapshot(&how);
        let found: [Value; 2] = parsed(&page.run(cell).await);
        seen.push(found);
    }
    let plain = Setup {
        boot: None,
        ..shop.setup(Realm::Page)
    };
    let page = context.open(&shop.site, &plain).await;
    let [_, ordinary]: [Value; 2] = parsed(&page.run(cell).await);
    let of_page = |page: usize| seen[page][0].as_array().expect("a list");
    for (one, other) in of_page(0).iter().zip(of_page(1)) {
        assert_ne!(one, other);
    }
    assert_eq!(seen[0][1], seen[1][1]);
    assert_eq!(seen[0][1], ordinary);
}

fn parsed<T: serde::de::DeserializeOwned>(text: &Value) -> T {
    serde_json::from_str(text.as_str().expect("text")).expect("JSON")
}

/// Where in the repository the object of a snapshot is.
fn object(repository: &Repository, name: &str, version: &str) -> String {
    let folder = repository
        .root()
        .join("targets")
        .join(name)
        .join(version)
        .join("snapshot");
    let file = std::fs::read_dir(folder)
        .expect("there are snapshots")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().contains(".314."))
        .expect("a snapshot of Pyodide 314");
    let description: Value =
        serde_json::from_slice(&std::fs::read(file).expect("a description")).expect("JSON");
    let sha256 = description["object"]["sha256"].as_str().expect("a digest");
    format!("objects/{}/{sha256}", &sha256[..2])
}

async fn what_is_damaged_on_the_way_is_not_used(context: Context) {
    let path = object(&made().repository, "networkx", "3.7");
    for fault in [
        Fault::FlipBit(100_000),
        Fault::Replace(vec![0; 10]),
        Fault::Status(404),
    ] {
        let shop = Shop::open().await;
        let setup = shop.setup(Realm::Page);
        shop.server.fault(&path, fault);
        let (page, how) = shop.visit(&context, &setup).await;
        assert_plain(&how, "resolve.no_snapshot");
        shop.server
            .wait_for_requests("the snapshot", |log| log.iter().any(|it| it.path == path))
            .await;
        shop.server.mend();
        page.leave().await;
        let (page, how) = shop.visit(&context, &setup).await;
        assert_plain(&how, "resolve.no_snapshot");
        assert_eq!(page.run(USE).await[1], json!([0, 1, 2, 3, 4]));
        page.kept_snapshots(1).await;
    }
}

async fn what_is_damaged_in_the_cache_is_not_used_and_fetched_again(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    for change in [
        // A bit, all behind the first bytes, and something else altogether.
        "bytes[20_000_000] ^= 1; return new Blob([bytes])",
        "return new Blob([bytes.subarray(0, 5_000_000)])",
        "return new Blob([])",
        "return 'text'",
    ] {
        let page = context
            .visit(&format!("{}/blank.html", shop.site.origin()))
            .await;
        let _: bool = page
            .value(
                &format!(
                    "const database = await new Promise((resolve) => {{
                       const request = indexedDB.open('webimport');
                       request.onsuccess = () => resolve(request.result);
                     }});
                     const done = (request) => new Promise((resolve, reject) => {{
                       request.onsuccess = () => resolve(request.result);
                       request.onerror = () => reject(request.error);
                     }});
                     const store = () => database.transaction('snapshots', 'readwrite').objectStore('snapshots');
                     const [key] = await done(store().getAllKeys());
                     const [digest, blob] = await done(store().get(key));
                     const bytes = new Uint8Array(await blob.arrayBuffer());
                     const changed = (() => {{ {change} }})();
                     const changing = store();
                     changing.put([digest, changed], key);
                     await new Promise((resolve) => {{ changing.transaction.oncomplete = resolve; }});
                     database.close();
                     return true;"
                ),
                json!([]),
            )
            .await;
        page.kill().await;
        let (page, how) = shop.visit(&context, &setup).await;
        assert_plain(&how, "resolve.no_snapshot");
        assert_eq!(page.run(USE).await, json!([false, [0, 1, 2, 3, 4]]));
        page.kept_snapshots(1).await;
        page.leave().await;
        let (page, how) = shop.visit(&context, &setup).await;
        assert_from_snapshot(&how);
        page.kill().await;
    }
}

async fn a_snapshot_of_another_release_is_not_used(context: Context) {
    let repository = Repository::new();
    repository.release(&wheels(&["mdurl"]), "mdurl");
    repository.snapshot("mdurl", Pyodide::V314, &[]);
    let shop = Shop::of(&repository).await;
    let mdurl = |pyodide| Setup {
        pyodide,
        boot: Some(json!({"releases": [shop.release("mdurl")]})),
        ..shop.setup(Realm::Page)
    };
    shop.first_visit(&context, &mdurl(Pyodide::V314)).await;
    let (page, how) = shop.visit(&context, &mdurl(Pyodide::V314)).await;
    assert_eq!(how["from"], "snapshot", "{how}");
    page.kill().await;
    // Another Pyodide, of which there is none.
    let (page, how) = shop.visit(&context, &mdurl(Pyodide::V029)).await;
    assert_plain(&how, "resolve.no_snapshot");
    assert_eq!(page.run("import mdurl\nmdurl.encode('a b')").await, "a%20b");
    page.kill().await;
    // The channel moves to a release that has none: that is what is loaded.
    let next = HandMade::new("mdurl", "99.0").file("mdurl/__init__.py", "NEW = True");
    repository.publish(&next);
    let (page, how) = shop.visit(&context, &mdurl(Pyodide::V314)).await;
    assert_plain(&how, "resolve.no_snapshot");
    assert_eq!(page.run("import mdurl\nmdurl.NEW").await, json!(true));
    // No visit begins with the old one in vain again.
    page.kept_snapshots(0).await;
}

async fn another_build_of_pyodide_starts_without(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    let original = tools::tool("npm/node_modules/pyodide");
    let wasm = std::fs::read(original.join("pyodide.asm.wasm")).expect("Pyodide is there");
    // A section that means nothing: one byte of a name.
    let other = [wasm, vec![0, 2, 1, b'x']].concat();
    shop.site.add_folder("/pyodide-other/", &original, "");
    shop.site.add_file("/pyodide-other/pyodide.asm.wasm", other);
    let elsewhere = Setup {
        boot: Some(json!({
            "releases": [shop.release("networkx")],
            "indexURL": format!("{}/pyodide-other/", shop.site.origin()),
        })),
        ..setup
    };
    let (page, how) = shop.visit(&context, &elsewhere).await;
    assert_plain(&how, "host.snapshot");
    assert_eq!(page.run(USE).await, json!([false, [0, 1, 2, 3, 4]]));
}

async fn without_memory_or_storage_the_page_starts_without(context: Context) {
    let shop = Shop::open().await;
    let full = "const put = IDBObjectStore.prototype.put;
        IDBObjectStore.prototype.put = function (value, ...key) {
          if (this.name === 'snapshots') throw new DOMException('no room', 'QuotaExceededError');
          return put.call(this, value, ...key);
        };";
    let setup = shop.setup(Realm::Page);
    let without_room = Setup {
        prelude: Some(full.to_owned()),
        ..setup.clone()
    };
    let path = object(&made().repository, "networkx", "3.7");
    let (page, how) = shop.visit(&context, &without_room).await;
    assert_plain(&how, "resolve.no_snapshot");
    shop.server
        .wait_for_requests("the snapshot", |log| log.iter().any(|it| it.path == path))
        .await;
    let storage = page
        .run(&format!(
            "release = await loadRelease('{}')\nrelease.storage",
            shop.release("networkx")
        ))
        .await;
    assert_eq!(storage, "indexeddb", "nothing is wrong with the cache");
    page.leave().await;
    shop.first_visit(&context, &setup).await;
    // Once: the page that starts without goes on growing as it imports.
    let grow = "const grow = WebAssembly.Memory.prototype.grow;
        let refused = false;
        WebAssembly.Memory.prototype.grow = function (pages) {
          if (refused) return grow.call(this, pages);
          refused = true;
          throw new RangeError('no memory');
        };";
    let without_memory = Setup {
        prelude: Some(grow.to_owned()),
        ..setup.clone()
    };
    let (page, how) = shop.visit(&context, &without_memory).await;
    assert_eq!(how["from"], "plain", "{how}");
    assert_eq!(page.run(USE).await, json!([false, [0, 1, 2, 3, 4]]));
    page.kill().await;
    let (_, how) = shop.visit(&context, &setup).await;
    assert_from_snapshot(&how);
}

async fn two_at_once_have_nothing_in_common(context: Context) {
    let shop = Shop::open().await;
    for (pyodide, count) in [(Pyodide::V314, 1), (Pyodide::V029, 2)] {
        let setup = Setup {
            pyodide,
            ..shop.setup(Realm::Page)
        };
        let (page, _) = shop.visit(&context, &setup).await;
        page.kept_snapshots(count).await;
        page.leave().await;
        let (page, how) = shop.visit(&context, &setup).await;
        assert_from_snapshot(&how);
        // Nothing of that is left on the page: another Pyodide starts as ever.
        shop.site.add_file(
            "/ordinary.js",
            format!(
                "const {{ loadPyodide }} = await import('/{folder}/pyodide.mjs');
                 const pyodide = await loadPyodide({{ indexURL: new URL('/{folder}/', location.origin).href }});
                 document.documentElement.dataset.has = pyodide.runPython(\"import sys; 'networkx' in sys.modules\")",
                folder = pyodide.folder()
            ),
        );
        // By a script of the page: one of the driver's has objects of another world.
        let has: String = page
            .wait_for(
                "another Pyodide",
                "if (!document.querySelector('script[src=\"/ordinary.js\"]')) {
                   document.head.append(Object.assign(document.createElement('script'), { type: 'module', src: '/ordinary.js' }));
                 }
                 return document.documentElement.dataset.has",
                json!([]),
            )
            .await;
        assert_eq!(has, "false");
        let both: Value = page
            .value(
                "const boot = () => webimport.boot({ indexURL: args[0], releases: [args[1]] });
                 const both = await Promise.all([boot(), boot()]);
                 both[0].pyodide.runPython('import networkx; networkx.mark = 1');
                 return both.map(({ from, pyodide }) => [from, pyodide.runPython(\"import networkx; hasattr(networkx, 'mark')\")]);",
                json!([format!("/{}/", pyodide.folder()), shop.release("networkx")]),
            )
            .await;
        assert_eq!(both, json!([["snapshot", true], ["snapshot", false]]));
        page.kill().await;
    }
}

async fn offline_and_pinned_pages_use_it_too(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    let pinned = Setup {
        boot: Some(
            json!({"releases": [{"url": shop.release("networkx"), "sha256": made().networkx}]}),
        ),
        ..setup.clone()
    };
    shop.server.forget_requests();
    let (page, how) = shop.visit(&context, &pinned).await;
    assert_from_snapshot(&how);
    assert_eq!(shop.server.requests(), []);
    page.kill().await;
    shop.server.stop().await;
    let (page, how) = shop.visit(&context, &setup).await;
    assert_from_snapshot(&how);
    assert_eq!(page.run(USE).await, json!([true, [0, 1, 2, 3, 4]]));
}

/// The package for npm, whose script has snapshots of Pyodide beside it.
fn with_package(shop: &Shop, setup: Setup, releases: &Value) -> Setup {
    let package = tools::built("dist/npm", "cargo xtask dist");
    shop.site.add_folder("/npm/", &package, "");
    Setup {
        script: "/npm/webimport.js".to_owned(),
        boot: Some(json!({"releases": releases})),
        ..setup
    }
}

async fn pyodide_alone_comes_from_a_snapshot_too(context: Context) {
    for (realm, pyodide) in [
        (Realm::Page, Pyodide::V314),
        (Realm::Worker, Pyodide::V314),
        (Realm::Page, Pyodide::V029),
    ] {
        let shop = Shop::open().await;
        let setup = Setup {
            pyodide,
            ..shop.setup(realm)
        };
        let setup = with_package(&shop, setup, &json!([]));
        shop.first_visit(&context, &setup).await;
        let (page, how) = shop.visit(&context, &setup).await;
        assert_eq!(
            (&how["from"], &how["releases"]),
            (&json!("snapshot"), &json!([])),
            "{realm:?}: {how}"
        );
        let load = format!(
            "release = await loadRelease('{}')\n{USE}",
            shop.release("networkx")
        );
        assert_eq!(
            page.run(&load).await,
            json!([false, [0, 1, 2, 3, 4]]),
            "{realm:?}"
        );
        page.kill().await;
    }
}

async fn a_release_without_a_snapshot_is_loaded_into_that_of_pyodide(context: Context) {
    let shop = Shop::open().await;
    let setup = with_package(
        &shop,
        shop.setup(Realm::Page),
        &json!([shop.release("rich")]),
    );
    // No snapshot of it: that of Pyodide is fetched.
    shop.first_visit(&context, &setup).await;
    let (page, how) = shop.visit(&context, &setup).await;
    assert_eq!(how["from"], "snapshot", "{how}");
    let cell = "import rich.table\n'/webimport/rich-' in rich.table.__file__";
    assert_eq!(page.run(cell).await, json!(true));
    page.leave().await;
    // One that has its own gets that for the next visit.
    let setup = with_package(
        &shop,
        shop.setup(Realm::Page),
        &json!([shop.release("networkx")]),
    );
    let (page, how) = shop.visit(&context, &setup).await;
    assert_eq!(how["from"], "snapshot", "{how}");
    assert_eq!(page.run(USE).await, json!([false, [0, 1, 2, 3, 4]]));
    page.kept_snapshots(2).await;
    page.leave().await;
    let (page, how) = shop.visit(&context, &setup).await;
    assert_from_snapshot(&how);
    assert_eq!(page.run(USE).await, json!([true, [0, 1, 2, 3, 4]]));
}

/// A record is written whole or not at all.
async fn a_tab_that_is_killed_while_it_writes_leaves_nothing_wrong(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    // A transaction goes on for as long as it has requests: this one has no end.
    let endless = "const put = IDBObjectStore.prototype.put;
        IDBObjectStore.prototype.put = function (value, ...key) {
          const request = put.call(this, value, ...key);
          if (this.name === 'snapshots') {
            const again = () => { window.reached = true; this.get('nothing').onsuccess = again; };
            this.get('nothing').onsuccess = again;
          }
          return request;
        };";
    let killed = Setup {
        prelude: Some(endless.to_owned()),
        ..setup.clone()
    };
    let (page, how) = shop.visit(&context, &killed).await;
    assert_plain(&how, "resolve.no_snapshot");
    let _: bool = page
        .wait_for("the record", "return window.reached", json!([]))
        .await;
    page.kill().await;
    shop.first_visit(&context, &setup).await;
    let (page, how) = shop.visit(&context, &setup).await;
    assert_from_snapshot(&how);
    works_with(&page, &shop).await;
}

/// The publisher's folder goes on without the release: what the cache has of it is not started from.
async fn a_release_that_was_taken_back_is_not_run(context: Context) {
    let repository = Repository::new();
    repository.release(&wheels(&["mdurl"]), "mdurl");
    let before = [repository.root(), repository.keys()].map(|folder| copied(&folder));
    repository.release(&wheels(&["iniconfig"]), "iniconfig");
    repository.snapshot("iniconfig", Pyodide::V314, &[]);
    let shop = Shop::of(&repository).await;
    let setup = Setup {
        boot: Some(json!({"releases": [shop.release("iniconfig")]})),
        ..shop.setup(Realm::Page)
    };
    shop.first_visit(&context, &setup).await;
    let (page, how) = shop.visit(&context, &setup).await;
    assert_eq!(how["from"], "snapshot", "{how}");
    page.kill().await;

    for (folder, before) in [repository.root(), repository.keys()].iter().zip(before) {
        std::fs::remove_dir_all(folder).expect("a folder");
        std::fs::rename(before, folder).expect("a folder");
    }
    // Beyond the versions of metadata that the reader has seen.
    for name in ["zipp", "packaging", "pluggy"] {
        repository.release_sources(&wheels(&[name]), name);
    }
    let page = context.visit(&shop.site.add_page(&setup)).await;
    let raised = page.ready().await.expect_err("the release is not there");
    assert_eq!(raised.code(), "resolve.unknown_name", "{raised}");
}

/// A copy of a folder, beside it.
fn copied(folder: &Path) -> PathBuf {
    let copy = folder.with_extension("before");
    let status = Command::new("cp").arg("-a").arg(folder).arg(&copy).status();
    assert!(status.expect("cp starts").success());
    copy
}

async fn what_no_pin_covers_is_not_used_where_all_has_to_be_pinned(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    let release = json!({"url": shop.release("networkx"), "sha256": made().networkx});
    let frozen = Setup {
        boot: Some(json!({"releases": [release], "config": {"frozen": true}})),
        ..setup
    };
    let (page, how) = shop.visit(&context, &frozen).await;
    assert_plain(&how, "resolve.no_snapshot");
    assert_eq!(page.run(USE).await, json!([false, [0, 1, 2, 3, 4]]));
}

async fn another_release_that_fails_is_what_is_said(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    let two = Setup {
        boot: Some(json!({"releases": [shop.release("networkx"), shop.release("nothing")]})),
        ..setup
    };
    let page = context.visit(&shop.site.add_page(&two)).await;
    let raised = page.ready().await.expect_err("one release is not there");
    assert_eq!(raised.code(), "resolve.unknown_name", "{raised}");
    // It was no reason to start once more.
    assert_eq!(page.loads().await.len(), 1);
}

async fn snapshots_make_room_for_what_is_needed(context: Context) {
    let shop = Shop::open().await;
    let full = "const put = IDBObjectStore.prototype.put;
        IDBObjectStore.prototype.put = function (value, ...key) {
          if (this.name === 'objects' && window.full) {
            window.full = false;
            throw new DOMException('no room', 'QuotaExceededError');
          }
          return put.call(this, value, ...key);
        };";
    let setup = Setup {
        prelude: Some(full.to_owned()),
        ..shop.setup(Realm::Page)
    };
    shop.first_visit(&context, &setup).await;
    let (page, how) = shop.visit(&context, &setup).await;
    assert_from_snapshot(&how);
    let load = format!(
        "js.window.full = True\nother = await loadRelease('{}')\nawait other.prefetch()\nother.storage",
        shop.release("rich")
    );
    assert_eq!(page.run(&load).await, "indexeddb");
    page.kept_snapshots(0).await;
}

async fn options_that_mean_nothing_are_refused(context: Context) {
    let shop = Shop::open().await;
    let refused = [
        (json!({"release": "x"}), "config.unknown_key"),
        (
            json!({"releases": shop.release("networkx")}),
            "config.invalid",
        ),
        (
            json!({"releases": [{"name": "networkx"}]}),
            "config.invalid",
        ),
        (json!({"indexURL": "/nowhere/"}), "host.pyodide"),
    ];
    for (options, code) in refused {
        let setup = Setup {
            boot: Some(options.clone()),
            ..shop.setup(Realm::Page)
        };
        let page = context.visit(&shop.site.add_page(&setup)).await;
        let raised = page.ready().await.expect_err("it is refused");
        assert_eq!(raised.code(), code, "{options}: {raised}");
    }
}

async fn what_has_expired_names_no_snapshot(context: Context) {
    let shop = Shop::open().await;
    let setup = shop.setup(Realm::Page);
    shop.first_visit(&context, &setup).await;
    let release = json!({"url": shop.release("networkx"), "sha256": made().networkx});
    let pinned = Setup {
        boot: Some(json!({"releases": [release]})),
        // Timestamps are good for thirty days.
        prelude: Some("const now = Date.now; Date.now = () => now() + 40 * 86_400_000;".to_owned()),
        ..setup
    };
    let (page, how) = shop.visit(&context, &pinned).await;
    assert_plain(&how, "verify.expired");
    assert_eq!(page.run(USE).await, json!([false, [0, 1, 2, 3, 4]]));
}
