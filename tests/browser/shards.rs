//! Releases whose manifest is divided into shards.

use std::collections::BTreeSet;

use serde_json::json;
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::repository_server::Fault;
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{Context, Realm, RepositoryServer, Setup, Site, tests};

use crate::partial::{big, can_suspend, objects_asked_for};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_load_fetches_the_shards_around_what_it_needs_and_no_other,
        the_whole_tree_can_be_listed,
        imports_look_into_folders_that_were_unknown,
        what_a_cell_imports_is_prefetched_by_looking_into_its_folders_alone,
        a_second_visit_needs_no_server_for_what_the_first_one_looked_into,
        after_a_prefetch_of_everything_no_folder_needs_the_network,
        a_lost_shard_keeps_a_prefetch_of_everything_from_nothing_else,
        a_bad_shard_is_refused_before_anything_of_it_is_imported,
        a_shard_that_is_signed_and_wrong_is_refused,
    ]
}

/// A release `lib` in shards: `lib.a.x`, `lib.a.y` and `lib.b`.
fn lib() -> HandMade {
    HandMade::new("lib", "1.0")
        .file("lib/__init__.py", "")
        .file("lib/a/__init__.py", "A = 1")
        .file("lib/a/x/__init__.py", "from . import one\nX = one.ONE")
        .file("lib/a/x/one.py", "ONE = 1")
        .file("lib/a/x/data/table.csv", "1,2")
        .file("lib/a/y/__init__.py", "Y = 2")
        .file("lib/b/__init__.py", "B = 3")
        .file("lib/b/two.py", "TWO = 2")
        .file("lib/b/deep/more.py", "MORE = 4")
        .file(
            "lib-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: lib\nVersion: 1.0\n\n",
        )
        .file("lib-1.0.dist-info/RECORD", "lib/__init__.py,,\n")
        .separate()
        .set("partial", json!(true))
        .set("entry", json!(["lib"]))
        .shards(&["lib/a", "lib/a/x", "lib/a/y", "lib/b"])
}

/// It, on a server.
struct Lib {
    repository: Repository,
    server: RepositoryServer,
    sha256: String,
}

impl Lib {
    async fn open(release: &HandMade) -> Self {
        let repository = Repository::new();
        let sha256 = repository.publish(release);
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

    fn load(&self) -> String {
        format!("release = await loadRelease('{}/lib')\n", self.server.url())
    }

    /// What is fetched for these files.
    fn objects(&self, files: &[&str]) -> BTreeSet<String> {
        let places = self.repository.places("lib", "1.0", &self.sha256);
        let wanted = files.iter().flat_map(|path| places[*path].clone());
        wanted.collect()
    }

    /// The shard that is around both files, and around nothing else that is.
    fn shard(&self, one: &str, other: &str) -> String {
        let (one, other) = (self.objects(&[one]), self.objects(&[other]));
        let mut both = one.intersection(&other);
        both.next().expect("a shard around both").clone()
    }
}

const ALWAYS: [&str; 2] = ["lib/__init__.py", "lib-1.0.dist-info/METADATA"];

async fn a_load_fetches_the_shards_around_what_it_needs_and_no_other(context: Context) {
    for realm in [Realm::Page, Realm::Worker] {
        let (site, lib) = (Site::start().await, Lib::open(&lib()).await);
        let page = context.open(&site, &lib.setup(realm)).await;
        let found = page
            .run(&format!(
                "release = await loadRelease('{}/lib', modules=['lib.a.x'])\n\
                 import lib.a.x, importlib.metadata, importlib.resources\n\
                 table = importlib.resources.files('lib.a.x').joinpath('data/table.csv').read_text()\n\
                 [lib.a.x.X, lib.a.A, importlib.metadata.version('lib'), table, release.modules]",
                lib.server.url()
            ))
            .await;
        assert_eq!(found, json!([1, 1, "1.0", "1,2", ["lib"]]), "{realm:?}");
        let expected = [
            &ALWAYS[..],
            &[
                "lib/a/__init__.py",
                "lib/a/x/__init__.py",
                "lib/a/x/one.py",
                "lib/a/x/data/table.csv",
            ],
        ];
        assert_eq!(
            objects_asked_for(&lib.server),
            lib.objects(&expected.concat()),
            "{realm:?}"
        );
        // The list of the distribution's files comes when it is read.
        let found = page
            .run("[str(path) for path in importlib.metadata.files('lib')]")
            .await;
        assert_eq!(found, json!(["lib/__init__.py"]), "{realm:?}");
        page.kill().await;
    }
}

async fn the_whole_tree_can_be_listed(context: Context) {
    let server = RepositoryServer::start(&big().repository.root()).await;
    let site = Site::start().await;
    for realm in [Realm::Page, Realm::Worker] {
        let page = context.open(&site, &big().setup(&server, realm)).await;
        let found = page
            .run(
                "release = await loadRelease('big', modules=['big.p07.m42'])\n\
                 import big, os, pkgutil\n\
                 listed = len(os.listdir(os.path.join(release.path, 'big')))\n\
                 modules = list(pkgutil.iter_modules(big.__path__, 'big.'))\n\
                 files = sum(len(files) for _, _, files in os.walk(os.path.join(release.path, 'big')))\n\
                 [listed, len(modules), all(module.ispkg for module in modules), files]",
            )
            .await;
        assert_eq!(found, json!([101, 100, true, 10_001]), "{realm:?}");
        page.kill().await;
    }
}

async fn imports_look_into_folders_that_were_unknown(context: Context) {
    for realm in [Realm::Page, Realm::Worker] {
        let (site, lib) = (Site::start().await, Lib::open(&lib()).await);
        let page = context.open(&site, &lib.setup(realm)).await;
        page.run(&format!("{}import importlib, lib", lib.load()))
            .await;
        assert_eq!(
            objects_asked_for(&lib.server),
            lib.objects(&ALWAYS),
            "{realm:?}"
        );
        let import = "importlib.import_module('lib.a.x').X";
        if realm == Realm::Worker || can_suspend(&page).await {
            assert_eq!(page.run(import).await, 1, "{realm:?}");
            // A namespace package in a shard, and what is nowhere.
            assert_eq!(
                page.run("importlib.import_module('lib.b.deep.more').MORE")
                    .await,
                4
            );
            let raised = page.raises("importlib.import_module('lib.b.none')").await;
            assert_eq!(raised.class, "ModuleNotFoundError", "{raised}");
        } else {
            let raised = page.raises(import).await;
            assert_eq!(
                (&*raised.class, raised.code()),
                ("ResolveError", "resolve.not_fetched"),
                "{raised}"
            );
            assert_eq!(
                page.run(&format!("await release.prefetch('lib.a.x')\n{import}"))
                    .await,
                1
            );
        }
        // What is nowhere in the lists that are there is looked for nowhere else.
        lib.server.forget_requests();
        let raised = page.raises("importlib.import_module('lib.none')").await;
        assert_eq!(raised.class, "ModuleNotFoundError", "{raised}");
        assert_eq!(objects_asked_for(&lib.server), BTreeSet::new(), "{realm:?}");
        page.kill().await;
    }
}

async fn what_a_cell_imports_is_prefetched_by_looking_into_its_folders_alone(context: Context) {
    let (site, lib) = (Site::start().await, Lib::open(&lib()).await);
    let page = context.open(&site, &lib.setup(Realm::Page)).await;
    page.run(&lib.load()).await;
    page.run("import webimport\nawait webimport.prefetch_imports('from lib.b import two, none')")
        .await;
    let expected = [&ALWAYS[..], &["lib/b/__init__.py", "lib/b/two.py"]];
    assert_eq!(
        objects_asked_for(&lib.server),
        lib.objects(&expected.concat())
    );
    assert_eq!(
        page.run("import importlib\nimportlib.import_module('lib.b.two').TWO")
            .await,
        2
    );
}

async fn a_second_visit_needs_no_server_for_what_the_first_one_looked_into(context: Context) {
    for realm in [Realm::Page, Realm::Worker] {
        let (site, lib) = (Site::start().await, Lib::open(&lib()).await);
        let page = context.open(&site, &lib.setup(realm)).await;
        page.run(&format!(
            "{}await release.prefetch('lib.a.x')\nimport lib.a.x",
            lib.load()
        ))
        .await;
        page.leave().await;
        lib.server.stop().await;
        let page = context.open(&site, &lib.setup(realm)).await;
        let found = page
            .run(&format!(
                "{}import importlib, os\n\
                 [importlib.import_module('lib.a.x').X, sorted(os.listdir(os.path.join(release.path, 'lib/a')))]",
                lib.load()
            ))
            .await;
        assert_eq!(found, json!([1, ["__init__.py", "x", "y"]]), "{realm:?}");
        // What the first visit did not look into is not there.
        let raised = page
            .raises("os.listdir(os.path.join(release.path, 'lib/b'))")
            .await;
        assert_eq!(raised.class, "OSError", "{realm:?}: {raised}");
        page.kill().await;
    }
}

async fn after_a_prefetch_of_everything_no_folder_needs_the_network(context: Context) {
    for realm in [Realm::Page, Realm::Worker] {
        let (site, lib) = (Site::start().await, Lib::open(&lib()).await);
        let page = context.open(&site, &lib.setup(realm)).await;
        page.run(&format!("{}await release.prefetch()", lib.load()))
            .await;
        lib.server.stop().await;
        let found = page
            .run(
                "import importlib, os\n\
                 names = [('lib.a.x', 'X'), ('lib.a.y', 'Y'), ('lib.b.deep.more', 'MORE')]\n\
                 record = open(os.path.join(release.path, 'lib-1.0.dist-info', 'RECORD')).read()\n\
                 [getattr(importlib.import_module(name), value) for name, value in names] + [len(record)]",
            )
            .await;
        assert_eq!(found, json!([1, 2, 4, 18]), "{realm:?}");
        page.kill().await;
    }
}

async fn a_lost_shard_keeps_a_prefetch_of_everything_from_nothing_else(context: Context) {
    let (site, lib) = (Site::start().await, Lib::open(&lib()).await);
    // Around `lib.a.x` and `lib.a.y`.
    let lost = lib.shard("lib/a/__init__.py", "lib/a/x/one.py");
    lib.server.fault(&lost, Fault::Status(404));
    let page = context.open(&site, &lib.setup(Realm::Page)).await;
    page.run(&lib.load()).await;
    let raised = page.raises("await release.prefetch()").await;
    assert_eq!(raised.code(), "fetch.not_found", "{raised}");
    lib.server.stop().await;
    assert_eq!(
        page.run("import lib.b.deep.more\nlib.b.deep.more.MORE")
            .await,
        4
    );
    page.kill().await;
}

async fn a_bad_shard_is_refused_before_anything_of_it_is_imported(context: Context) {
    let (site, lib) = (Site::start().await, Lib::open(&lib()).await);
    let shard = lib.shard("lib/b/two.py", "lib/b/__init__.py");
    let other = lib.shard("lib/a/__init__.py", "lib/a/x/one.py");
    let other = std::fs::read(lib.repository.root().join(other)).expect("a shard");
    let page = context.open(&site, &lib.setup(Realm::Page)).await;
    let load = format!(
        "release = await loadRelease('{}/lib', modules=['lib.b.two'])\n",
        lib.server.url()
    );
    for (what, fault, codes) in [
        ("damaged", Fault::FlipBit(20), &["verify.digest"][..]),
        ("missing", Fault::Status(404), &["fetch.not_found"]),
        // A shorter one.
        ("another", Fault::Replace(other), &["fetch.truncated"]),
        (
            "longer",
            Fault::Append(b" ".to_vec()),
            &["verify.length", "verify.too_large"],
        ),
        (
            "endless",
            Fault::Endless,
            &["verify.length", "verify.too_large"],
        ),
    ] {
        lib.server.fault(&shard, fault);
        let raised = page.raises(&load).await;
        assert!(codes.contains(&raised.code()), "{what}: {raised}");
        let raised = page
            .raises("import importlib\nimportlib.import_module('lib')")
            .await;
        assert_eq!(raised.class, "ModuleNotFoundError", "{what}: {raised}");
        lib.server.mend();
    }
    assert_eq!(
        page.run(&format!("{load}import lib.b.two\nlib.b.two.TWO"))
            .await,
        2
    );
    page.kill().await;
}

async fn a_shard_that_is_signed_and_wrong_is_refused(context: Context) {
    let outside = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("JSON");
        text.replace("\"two.py\"", "\"../two.py\"").into_bytes()
    };
    let elsewhere = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("JSON");
        text.replace("\"folder\":\"lib/b\"", "\"folder\":\"lib\"")
            .into_bytes()
    };
    for (release, code) in [
        (lib().spoil_shards(outside), "verify.path"),
        (lib().spoil_shards(elsewhere), "verify.malformed"),
        (lib().spoil_shards(|_| b"{}".to_vec()), "verify.malformed"),
    ] {
        let (site, lib) = (Site::start().await, Lib::open(&release).await);
        let page = context.open(&site, &lib.setup(Realm::Page)).await;
        let load = format!(
            "release = await loadRelease('{}/lib', modules=['lib.b.two'])\n",
            lib.server.url()
        );
        let raised = page.raises(&load).await;
        assert_eq!(raised.code(), code, "{raised}");
        page.kill().await;
    }
}
