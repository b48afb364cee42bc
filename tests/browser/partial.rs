//! What comes after a load: sources behind bytecode, and the modules of a partial release.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::OnceLock;

use serde_json::json;
use webimport_browser_tests::fixture::{HandMade, Repository, published};
use webimport_browser_tests::repository_server::Fault;
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::wheel::write_wheel;
use webimport_browser_tests::{
    Block, Context, Page, Realm, RepositoryServer, Setup, Site, scratch, tests,
};
use webimport_core::digest::Sha256Digest;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_deep_module_of_ten_thousand_comes_with_its_closure_alone,
        a_deep_module_of_ten_thousand_comes_with_its_closure_alone_in_a_worker,
        later_imports_bring_what_they_need_and_the_next_visit_remembers,
        a_partial_release_is_whole_offline_after_a_prefetch,
        after_a_prefetch_of_everything_nothing_needs_the_network,
        what_an_earlier_visit_used_and_the_cache_lost_is_not_waited_for,
        a_file_that_came_damaged_once_is_read_when_the_server_is_mended,
        a_file_with_a_byte_order_mark_is_read_as_it_is_in_a_worker,
        a_module_that_cannot_be_had_is_an_import_error_and_can_be_had_later,
        sources_are_not_waited_for,
        a_source_that_is_read_at_once_is_there_at_once,
    ]
}

const PACKAGES: usize = 100;
const MODULES: usize = 99;

/// A release of 10,000 modules: `big.pNN.mNN`.
pub(crate) struct Big {
    pub(crate) repository: Repository,
    /// By file, what is fetched for it.
    places: BTreeMap<String, BTreeSet<String>>,
    sha256: String,
}

pub(crate) fn big() -> &'static Big {
    static MADE: OnceLock<Big> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut files = vec![("big/__init__.py".to_owned(), String::new())];
        for package in 0..PACKAGES {
            files.push((format!("big/p{package:02}/__init__.py"), String::new()));
            for module in 0..MODULES {
                files.push((
                    format!("big/p{package:02}/m{module:02}.py"),
                    text(package, module),
                ));
            }
        }
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (&**path, &**text))
            .collect();
        let wheel = write_wheel(&scratch::folder("big"), "big", "1.0", &files);
        let repository = Repository::new();
        let sha256 = repository.release_sources(&[wheel], "big");
        let places = repository.places("big", "1.0", &sha256);
        Big {
            repository,
            places,
            sha256,
        }
    })
}

/// A module of 2 KB: `p07.m42` imports two others, `p20.m07` one; the others import nothing.
fn text(package: usize, module: usize) -> String {
    let mut text = match (package, module) {
        (7, 42) => {
            "from ..p90 import m01\nfrom . import m03\nVALUE = m01.VALUE + m03.VALUE\n".to_owned()
        }
        (20, 7) => "import big.p90.m02\nVALUE = big.p90.m02.VALUE\n".to_owned(),
        (_, module) => format!("VALUE = {module}\n"),
    };
    for line in 0..40 {
        writeln!(
            text,
            "# {package:02} {module:02} {line:02} {}",
            "filling ".repeat(5)
        )
        .expect("writing to a string works");
    }
    text
}

impl Big {
    /// The paths, in the repository, of the objects and shards that hold these files and what always comes.
    pub(crate) fn objects(&self, files: &[&str]) -> BTreeSet<String> {
        let always = ["big-1.0.dist-info/METADATA", "big-1.0.dist-info/WHEEL"];
        let wanted = files.iter().chain(&always);
        let wanted = wanted.flat_map(|path| self.places[*path].iter().cloned());
        wanted.collect()
    }

    pub(crate) fn setup(&self, server: &RepositoryServer, realm: Realm) -> Setup {
        let url = server.url();
        let config = json!({
            "repositories": {&url: {"root": self.repository.pin()}},
            "releases": {"big": {"repository": &url}},
        });
        match realm {
            Realm::Page => Setup {
                blocks: vec![Block::Inline(config.to_string())],
                ..Setup::default()
            },
            Realm::Worker => Setup {
                realm,
                config: Some(config),
                ..Setup::default()
            },
        }
    }
}

const CLOSURE: [&str; 6] = [
    "big/__init__.py",
    "big/p07/__init__.py",
    "big/p07/m03.py",
    "big/p07/m42.py",
    "big/p90/__init__.py",
    "big/p90/m01.py",
];

pub(crate) fn objects_asked_for(server: &RepositoryServer) -> BTreeSet<String> {
    let requests = server.requests().into_iter();
    requests
        .map(|request| request.path)
        .filter(|path| path.starts_with("objects/"))
        .collect()
}

/// Whether Python can be suspended in the middle of an import.
pub(crate) async fn can_suspend(page: &Page) -> bool {
    page.run("from pyodide.ffi import can_run_sync\ncan_run_sync()")
        .await
        == json!(true)
}

async fn imports_a_deep_module(context: Context, realm: Realm) {
    let server = RepositoryServer::start(&big().repository.root()).await;
    let site = Site::start().await;
    let page = context.open(&site, &big().setup(&server, realm)).await;
    let found = page
        .run(
            "release = await loadRelease('big', modules=['big.p07.m42'])\n\
             import big.p07.m42, importlib.metadata, inspect\n\
             [release.partial, release.sha256, big.p07.m42.VALUE, importlib.metadata.version('big'),\n\
             inspect.getsource(big.p07.m42).startswith('from ..p90')]",
        )
        .await;
    assert_eq!(found, json!([true, big().sha256, 4, "1.0", true]));
    assert_eq!(objects_asked_for(&server), big().objects(&CLOSURE));
}

async fn a_deep_module_of_ten_thousand_comes_with_its_closure_alone(context: Context) {
    imports_a_deep_module(context, Realm::Page).await;
}

async fn a_deep_module_of_ten_thousand_comes_with_its_closure_alone_in_a_worker(context: Context) {
    imports_a_deep_module(context, Realm::Worker).await;
}

async fn later_imports_bring_what_they_need_and_the_next_visit_remembers(context: Context) {
    let server = RepositoryServer::start(&big().repository.root()).await;
    let site = Site::start().await;
    let mut closure = CLOSURE.to_vec();
    closure.extend(["big/p20/__init__.py", "big/p20/m07.py", "big/p90/m02.py"]);
    for realm in [Realm::Page, Realm::Worker] {
        let page = context.open(&site, &big().setup(&server, realm)).await;
        page.run("import webimport; await webimport.cache.clear()")
            .await;
        server.forget_requests();
        page.run("release = await loadRelease('big', modules=['big.p07.m42'])")
            .await;
        let suspends = can_suspend(&page).await;
        if realm == Realm::Worker || suspends {
            assert_eq!(page.run("import big.p20.m07\nbig.p20.m07.VALUE").await, 2);
        } else {
            let raised = page.raises("import big.p20.m07").await;
            assert_eq!(raised.class, "ResolveError", "{raised}");
            let found = page
                .run("await release.prefetch('big.p20.m07')\nimport big.p20.m07\nbig.p20.m07.VALUE")
                .await;
            assert_eq!(found, 2);
        }
        assert_eq!(
            objects_asked_for(&server),
            big().objects(&closure),
            "{realm:?}"
        );
        page.run("await release.prefetch('big.p20.m07')").await;
        page.leave().await;

        // The same set at once, from the cache.
        let page = context.open(&site, &big().setup(&server, realm)).await;
        server.forget_requests();
        let found = page
            .run("release = await loadRelease('big', modules=['big.p07.m42'])\nimport big.p20.m07\nrelease.network['files']")
            .await;
        assert_eq!(found, 0, "{realm:?}");
        assert_eq!(objects_asked_for(&server), BTreeSet::new(), "{realm:?}");
        page.kill().await;
    }
}

async fn a_partial_release_is_whole_offline_after_a_prefetch(context: Context) {
    let repository = Repository::new();
    let small = HandMade::new("small", "1.0")
        .file("small/__init__.py", "")
        .file("small/first.py", "VALUE = 1")
        .file("small/second.py", "VALUE = 2")
        .file("small/data.txt", "data")
        .separate()
        .set("partial", json!(true))
        .set("entry", json!(["small.first"]));
    repository.publish(&small);
    let server = RepositoryServer::start(&repository.root()).await;
    let site = Site::start().await;
    let url = server.url();
    let setup = Setup {
        config: Some(json!({"repositories": {&url: {"root": repository.pin()}}})),
        ..Setup::default()
    };
    let load = format!("release = await loadRelease('{url}/small')");
    let page = context.open(&site, &setup).await;
    let found = page
        .run(&format!(
            "{load}\nimport small.first\n[small.first.VALUE, release.network['files']]"
        ))
        .await;
    assert_eq!(
        found,
        json!([1, 2]),
        "the entry and its package's data; the package itself is empty, and asked of nobody"
    );
    page.run("await release.prefetch()").await;
    page.leave().await;
    server.stop().await;
    let page = context.open(&site, &setup).await;
    let found = page
        .run(&format!(
            "{load}\nawait release.prefetch('small.second')\nimport small.second\nsmall.second.VALUE"
        ))
        .await;
    assert_eq!(found, 2);
}

/// A partial release `small` on a server; its entry is `small.first`, and each file is an object of its own.
struct Small {
    repository: Repository,
    server: RepositoryServer,
    sha256: String,
}

const SECOND: &str = "VALUE = 2";
const MARKED: &[u8] = b"\xef\xbb\xbfmarked";

impl Small {
    async fn open() -> Self {
        let repository = Repository::new();
        let small = HandMade::new("small", "1.0")
            .file("small/__init__.py", "")
            .file("small/first.py", "VALUE = 1")
            .file("small/second.py", SECOND)
            .file("small/more/__init__.py", "from . import third")
            .file("small/more/third.py", "VALUE = 3")
            .file("small/more/marked.txt", MARKED)
            .separate()
            .set("partial", json!(true))
            .set("entry", json!(["small.first"]));
        let sha256 = repository.publish(&small);
        let server = RepositoryServer::start(&repository.root()).await;
        Self {
            repository,
            server,
            sha256,
        }
    }

    fn setup(&self, realm: Realm) -> Setup {
        let config = json!({"repositories": {&self.server.url(): {"root": self.repository.pin()}}});
        Setup {
            realm,
            config: Some(config),
            ..Setup::default()
        }
    }

    /// A cell that loads it; without a request, where the cache has what it needs.
    fn load(&self) -> String {
        format!(
            "release = await loadRelease('{}/small', sha256='{}')\n",
            self.server.url(),
            self.sha256
        )
    }
}

async fn after_a_prefetch_of_everything_nothing_needs_the_network(context: Context) {
    for realm in [Realm::Page, Realm::Worker] {
        let (site, small) = (Site::start().await, Small::open().await);
        let page = context.open(&site, &small.setup(realm)).await;
        // Imports of which the cell says nothing: those that it names are fetched before it runs.
        page.run(&format!("{}await release.prefetch()", small.load()))
            .await;
        small.server.stop().await;
        let found = page
            .run(
                "marked = open(release.path + '/small/more/marked.txt', 'rb').read()\n\
                 import importlib\n\
                 names = ['small.first', 'small.second', 'small.more.third']\n\
                 [importlib.import_module(name).VALUE for name in names] + [list(marked)]",
            )
            .await;
        assert_eq!(found, json!([1, 2, 3, MARKED]), "{realm:?}");
        page.kill().await;
    }
}

async fn what_an_earlier_visit_used_and_the_cache_lost_is_not_waited_for(context: Context) {
    let (site, small) = (Site::start().await, Small::open().await);
    let setup = small.setup(Realm::Page);
    let page = context.open(&site, &setup).await;
    page.run(&format!(
        "{}await release.prefetch('small.second')",
        small.load()
    ))
    .await;
    let second = Sha256Digest::of(SECOND.as_bytes()).to_string();
    page.flip_stored_bit(&second, 0).await;
    page.kill().await;

    small.server.fault("objects/*", Fault::Hold);
    small.server.forget_requests();
    let page = context.open(&site, &setup).await;
    let found = page
        .run(&format!(
            "{}import small.first\n[small.first.VALUE, release.network['requests']]",
            small.load()
        ))
        .await;
    assert_eq!(found, json!([1, 0]));
    // It comes in the background.
    small
        .server
        .wait_for_requests("the object that was lost", |log| {
            log.iter().any(|logged| logged.path.ends_with(&second))
        })
        .await;
    small.server.mend();
    small.server.release_held();
    page.run("await release.prefetch()").await;
    assert!(page.stored_objects().await.contains(&second));
}

async fn a_file_that_came_damaged_once_is_read_when_the_server_is_mended(context: Context) {
    let (site, small) = (Site::start().await, Small::open().await);
    for realm in [Realm::Page, Realm::Worker] {
        let page = context.open(&site, &small.setup(realm)).await;
        page.run(&format!(
            "import webimport; await webimport.cache.clear()\n{}",
            small.load()
        ))
        .await;
        // The answer may be kept for a year, and is: by the HTTP cache, which a synchronous request goes through.
        small.server.fault("objects/*", Fault::FlipBit(0));
        let read = "open(release.path + '/small/second.py').read()";
        let raised = page.raises(read).await;
        assert_eq!(raised.class, "OSError", "{realm:?}: {raised}");
        small.server.mend();
        assert_eq!(page.run(read).await, SECOND, "{realm:?}");
        page.kill().await;
    }
}

async fn a_file_with_a_byte_order_mark_is_read_as_it_is_in_a_worker(context: Context) {
    let (site, small) = (Site::start().await, Small::open().await);
    let page = context.open(&site, &small.setup(Realm::Worker)).await;
    let found = page
        .run(&format!(
            "{}list(open(release.path + '/small/more/marked.txt', 'rb').read())",
            small.load()
        ))
        .await;
    assert_eq!(found, json!(MARKED));
}

async fn a_module_that_cannot_be_had_is_an_import_error_and_can_be_had_later(context: Context) {
    let server = RepositoryServer::start(&big().repository.root()).await;
    let site = Site::start().await;
    let page = context
        .open(&site, &big().setup(&server, Realm::Worker))
        .await;
    page.run("release = await loadRelease('big', modules=['big.p07.m42'])")
        .await;
    for (fault, code) in [
        (Fault::FlipBit(0), "verify.digest"),
        (Fault::Status(404), "fetch.not_found"),
    ] {
        server.fault("objects/*", fault);
        let found = page
            .run(
                "import sys\n\
                 try: import big.p33.m33\n\
                 except ModuleNotFoundError: raise\n\
                 except ImportError as error: found = error.code\n\
                 [found, 'big.p33.m33' in sys.modules]",
            )
            .await;
        assert_eq!(found, json!([code, false]));
        server.mend();
    }
    assert_eq!(page.run("import big.p33.m33\nbig.p33.m33.VALUE").await, 33);
}

async fn sources_are_not_waited_for(context: Context) {
    let published = published();
    let server = RepositoryServer::start(&published.repository.root()).await;
    let site = Site::start().await;
    let manifest = published
        .repository
        .manifest("networkx", NETWORKX, &published.networkx);
    let sources: Vec<String> = manifest["files"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|file| {
            file["path"]
                .as_str()
                .is_some_and(|path| path.ends_with("/graph.py"))
        })
        .filter_map(|file| {
            let object = usize::try_from(file["object"].as_u64()?).ok()?;
            Some(manifest["objects"][object]["sha256"].as_str()?.to_owned())
        })
        .collect();
    assert!(!sources.is_empty());
    for sha256 in &sources {
        server.fault(&format!("objects/*/{sha256}"), Fault::Hold);
    }
    let url = server.url();
    let setup = Setup {
        blocks: vec![Block::Inline(
            json!({"repositories": {&url: {"root": published.repository.pin()}}}).to_string(),
        )],
        ..Setup::default()
    };
    let page = context.open(&site, &setup).await;
    let found = page
        .run(&format!(
            "release = await loadRelease('{url}/networkx')\n\
             import networkx\n\
             networkx.shortest_path(networkx.cycle_graph(9), 1, 6)"
        ))
        .await;
    assert_eq!(found, json!([1, 0, 8, 7, 6]));
    server
        .wait_for_requests("the sources", |requests| {
            sources
                .iter()
                .all(|sha256| requests.iter().any(|it| it.path.ends_with(sha256)))
        })
        .await;
    server.release_held();
    let found = page
        .run(
            "await release.prefetch()\n\
             import inspect, networkx.classes.graph as graph\n\
             [inspect.getsource(graph.Graph).startswith('class Graph'), len(open(graph.__file__).read()) > 1000]",
        )
        .await;
    assert_eq!(found, json!([true, true]));
}

/// The version of networkx that the set-up downloads.
const NETWORKX: &str = "3.7";

async fn a_source_that_is_read_at_once_is_there_at_once(context: Context) {
    let published = published();
    let server = RepositoryServer::start(&published.repository.root()).await;
    let site = Site::start().await;
    let url = server.url();
    for realm in [Realm::Page, Realm::Worker] {
        let setup = Setup {
            realm,
            config: Some(json!({"repositories": {&url: {"root": published.repository.pin()}}})),
            ..Setup::default()
        };
        let page = context.open(&site, &setup).await;
        let found = page
            .run(&format!(
                "release = await loadRelease('{url}/networkx')\n\
                 import networkx, traceback\n\
                 try: networkx.shortest_path(networkx.Graph(), 0, 1)\n\
                 except Exception as error: lines = traceback.format_exception(error)\n\
                 frame = [line for line in lines if '/webimport/networkx-' in line][-1]\n\
                 len(frame.splitlines()) > 1"
            ))
            .await;
        assert_eq!(found, json!(true), "{realm:?}");
        page.kill().await;
    }
}
