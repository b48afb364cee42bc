//! Releases that are loaded before there is a Pyodide: `webimport.prefetch`.

use serde_json::{Value, json};
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::repository_server::Fault;
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{
    Block, Context, Page, Pyodide, Realm, RepositoryServer, Setup, Site, tests,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_load_takes_over_what_was_prefetched,
        a_load_waits_for_what_is_being_prefetched,
        what_was_prefetched_is_taken_once_and_while_it_is_fresh,
        a_load_of_something_else_is_made_by_itself,
        a_prefetch_that_fails_keeps_no_load_from_anything,
        the_interpreter_has_its_say_when_a_load_takes_over,
        a_prefetch_is_for_one_python,
        a_config_that_only_python_reads_is_refused,
        hints_are_used,
    ]
}

struct Shop {
    repository: Repository,
    server: RepositoryServer,
    site: Site,
}

impl Shop {
    async fn open() -> Self {
        let repository = Repository::new();
        repository.publish(&shop("1.0"));
        let server = RepositoryServer::start(&repository.root()).await;
        Self {
            repository,
            server,
            site: Site::start().await,
        }
    }

    fn setup(&self, realm: Realm, options: Value) -> Setup {
        let config = json!({"repositories": {&self.server.url(): {"root": self.repository.pin()}}});
        let mut prefetch = vec![json!(format!("{}/shop", self.server.url())), options];
        let (blocks, attach) = match realm {
            Realm::Page => (vec![Block::Inline(config.to_string())], None),
            Realm::Worker => {
                // A worker has no document, and so no blocks.
                prefetch[1]["config"] = config.clone();
                (Vec::new(), Some(config))
            }
        };
        Setup {
            realm,
            blocks,
            config: attach,
            prefetch: Some(json!(prefetch)),
            ..Setup::default()
        }
    }

    /// A page on which Pyodide is up, and the prefetch over.
    async fn prefetched(&self, context: &Context, realm: Realm, options: Value) -> Page {
        let page = context.open(&self.site, &self.setup(realm, options)).await;
        page.run("import js; await js.prefetching").await;
        self.server.forget_requests();
        page
    }

    /// A cell that loads it.
    fn load(&self, options: &str) -> String {
        format!(
            "release = await loadRelease('{}/shop'{options})\n",
            self.server.url()
        )
    }
}

fn shop(version: &str) -> HandMade {
    HandMade::new("shop", version)
        .file("shop/__init__.py", format!("VERSION = '{version}'"))
        .file("shop/till.py", "OPEN = True")
}

const IMPORT: &str = "import shop.till\n[shop.VERSION, release.network['files'], release.trust['how'], release.warnings]";

async fn a_load_takes_over_what_was_prefetched(context: Context) {
    for realm in [Realm::Page, Realm::Worker] {
        let shop = Shop::open().await;
        let page = shop.prefetched(&context, realm, json!({})).await;
        let before = page.progress().await;
        assert_eq!(
            before.last().expect("it is told")["phase"],
            "mount",
            "{realm:?}"
        );
        let progress = "phases = []\n";
        let load = shop.load(
            ", progress=lambda it: phases.append((it.phase, it.files_done == it.files_total))",
        );
        let found = page.run(&format!("{progress}{load}{IMPORT}")).await;
        assert_eq!(found, json!(["1.0", 2, "chain", []]), "{realm:?}");
        assert_eq!(shop.server.requests(), [], "{realm:?}");
        assert_eq!(
            page.run("phases").await,
            json!([["mount", true], ["done", true]]),
            "{realm:?}"
        );
        page.leave().await;

        // It is in the cache like any other.
        shop.server.stop().await;
        let setup = Setup {
            prefetch: None,
            ..shop.setup(realm, json!({}))
        };
        let page = context.open(&shop.site, &setup).await;
        let found = page
            .run(&format!(
                "{}import shop.till\nshop.VERSION",
                shop.load(", offline='only'")
            ))
            .await;
        assert_eq!(found, "1.0", "{realm:?}");
    }
}

async fn a_load_waits_for_what_is_being_prefetched(context: Context) {
    let shop = Shop::open().await;
    shop.server.fault("objects/*", Fault::Hold);
    let page = context
        .open(&shop.site, &shop.setup(Realm::Page, json!({})))
        .await;
    let started = page
        .start_python(&format!("{}{IMPORT}", shop.load("")))
        .await;
    shop.server
        .wait_for_requests("the object", |log| {
            log.iter().any(|it| it.path.starts_with("objects/"))
        })
        .await;
    // Whatever the load would ask for, it would have asked for before an answer comes to the cell behind it.
    page.run("1").await;
    shop.server.mend();
    shop.server.release_held();
    let found = page.finish_python(started).await;
    let found = found.unwrap_or_else(|raised| panic!("{raised}"));
    assert_eq!(found, json!(["1.0", 2, "chain", []]));
    assert_eq!(shop.server.served("metadata/timestamp.json"), 1);
    assert_eq!(shop.server.served("objects/*"), 1);
}

async fn what_was_prefetched_is_taken_once_and_while_it_is_fresh(context: Context) {
    let shop = Shop::open().await;
    let setup = Setup {
        prelude: Some(
            "window.later = 0; const now = Date.now; Date.now = () => now() + window.later;"
                .to_owned(),
        ),
        ..shop.setup(Realm::Page, json!({}))
    };
    let page = context.open(&shop.site, &setup).await;
    page.run("import js; await js.prefetching").await;
    page.run(&shop.load("")).await;
    shop.server.forget_requests();
    page.run(&format!("release.unload()\n{}", shop.load("")))
        .await;
    assert_eq!(shop.server.served("metadata/timestamp.json"), 1, "once");

    shop.repository.publish(&self::shop("1.1"));
    let page = context.open(&shop.site, &setup).await;
    page.run("import js; await js.prefetching").await;
    shop.repository.publish(&self::shop("1.2"));
    page.run("js.window.later = 90_000").await;
    assert_eq!(
        page.run(&format!("{}release.version", shop.load(""))).await,
        "1.1"
    );
    page.leave().await;

    let page = context.open(&shop.site, &setup).await;
    page.run("import js; await js.prefetching").await;
    shop.repository.publish(&self::shop("1.3"));
    page.run("js.window.later = 121_000").await;
    assert_eq!(
        page.run(&format!("{}release.version", shop.load(""))).await,
        "1.3"
    );
}

async fn a_load_of_something_else_is_made_by_itself(context: Context) {
    let shop = Shop::open().await;
    shop.repository.publish(&self::shop("0.9").channel("old"));
    let page = shop.prefetched(&context, Realm::Page, json!({})).await;
    let given = |options: &str| {
        let load = shop.load(options);
        format!("{load}version = release.version\nrelease.unload()\nversion")
    };
    assert_eq!(page.run(&given(", version='0.9'")).await, "0.9");
    // A config that has come in between says what is meant, too.
    page.run("import webimport\nwebimport.configure({'releases': {'shop': {'version': '0.9'}}})")
        .await;
    assert_eq!(page.run(&given("")).await, "0.9");
    page.run("webimport.configure({'frozen': True})").await;
    let raised = page.raises(&given("")).await;
    assert_eq!(raised.code(), "resolve.not_pinned", "{raised}");
    // It is there still, for who asks for it.
    page.run("webimport.configure({})").await;
    shop.server.forget_requests();
    assert_eq!(page.run(&given("")).await, "1.0");
    assert_eq!(shop.server.requests(), []);
}

async fn a_prefetch_that_fails_keeps_no_load_from_anything(context: Context) {
    for (path, fault, code) in [
        (
            "metadata/timestamp.json",
            Fault::Status(500),
            "fetch.status",
        ),
        (
            "metadata/timestamp.json",
            Fault::FlipBit(100),
            "verify.threshold",
        ),
        ("targets/*", Fault::FlipBit(100), "verify.digest"),
        ("objects/*", Fault::FlipBit(5), "verify.digest"),
    ] {
        let shop = Shop::open().await;
        shop.server.fault(path, fault);
        let page = context
            .open(&shop.site, &shop.setup(Realm::Page, json!({})))
            .await;
        let error: Value = page
            .value(
                "return prefetching.then(() => null, ({ code, hint }) => [code, Boolean(hint)])",
                json!([]),
            )
            .await;
        assert_eq!(error, json!([code, true]), "{path}");
        shop.server.mend();
        let found = page.run(&format!("{}{IMPORT}", shop.load(""))).await;
        assert_eq!(found, json!(["1.0", 2, "chain", []]), "{path}");
    }
}

async fn the_interpreter_has_its_say_when_a_load_takes_over(context: Context) {
    let shop = Shop::open().await;
    let takes_json = self::shop("1.1").file("json/__init__.py", "MINE = True");
    shop.repository.publish(&takes_json);
    let page = shop.prefetched(&context, Realm::Page, json!({})).await;
    let raised = page.raises(&shop.load("")).await;
    assert_eq!(raised.code(), "resolve.shadow", "{raised}");
    assert_eq!(
        page.run("import json\n[hasattr(json, 'MINE'), 'shop' in __import__('sys').modules]")
            .await,
        json!([false, false])
    );

    let needs = self::shop("1.2").set("requires_python", json!(">=3.99"));
    shop.repository.publish(&needs);
    let page = shop.prefetched(&context, Realm::Page, json!({})).await;
    let raised = page.raises(&shop.load("")).await;
    assert_eq!(raised.code(), "resolve.python", "{raised}");
}

async fn a_prefetch_is_for_one_python(context: Context) {
    let shop = Shop::open().await;
    let setup = |python: &str| Setup {
        pyodide: Pyodide::V029,
        ..shop.setup(Realm::Page, json!({"python": python}))
    };
    for (python, asks) in [("3.14", 1), ("3.13", 0)] {
        let page = context.open(&shop.site, &setup(python)).await;
        page.run("import js; await js.prefetching").await;
        shop.server.forget_requests();
        assert_eq!(
            page.run(&format!("{}import shop\nshop.VERSION", shop.load("")))
                .await,
            "1.0"
        );
        assert_eq!(
            shop.server.served("metadata/timestamp.json"),
            asks,
            "{python}"
        );
    }
    let page = context.open(&shop.site, &setup("314")).await;
    let error: Value = page
        .value("return prefetching.catch(({ code }) => code)", json!([]))
        .await;
    assert_eq!(error, "config.invalid");
}

async fn a_config_that_only_python_reads_is_refused(context: Context) {
    let shop = Shop::open().await;
    let url = shop.server.url();
    let toml = format!(
        "[repositories.\"{url}\"]\nroot = \"{}\"\n",
        shop.repository.pin()
    );
    shop.site.add_file("/page.toml", toml);
    let setup = Setup {
        blocks: vec![Block::Source("/page.toml".to_owned())],
        ..shop.setup(Realm::Page, json!({}))
    };
    let page = context.open(&shop.site, &setup).await;
    let error: Value = page
        .value("return prefetching.catch(({ code }) => code)", json!([]))
        .await;
    assert_eq!(error, "config.source");
    assert_eq!(shop.server.requests(), []);
    let found = page.run(&format!("{}{IMPORT}", shop.load(""))).await;
    assert_eq!(found, json!(["1.0", 2, "chain", []]));
}

/// What the README recommends for the head of a page.
async fn hints_are_used(context: Context) {
    let site = Site::start().await;
    let hints = r#"<!doctype html><meta charset="utf-8"><title>hints</title><link rel="icon" href="data:,">
        <link rel="modulepreload" href="/webimport/webimport.js">
        <link rel="preload" href="/webimport/webimport.wasm" as="fetch" crossorigin>
        <link rel="modulepreload" href="/pyodide/pyodide.mjs">
        <link rel="preload" href="/pyodide/pyodide.asm.wasm" as="fetch" crossorigin>
        <script type="module" src="/webimport/webimport.js"></script>
        <script type="module" src="/page.js"></script>"#;
    site.add_file("/hints.html", hints);
    site.add_file(
        "/page.js",
        "import { loadPyodide } from '/pyodide/pyodide.mjs';
         globalThis.ready = loadPyodide().then((pyodide) => webimport.attach(pyodide)).then(() => true);",
    );
    let page = context
        .visit(&format!("{}/hints.html", site.origin()))
        .await;
    let ready: bool = page.value("return ready", json!([])).await;
    assert!(ready);
    for name in [
        "webimport.js",
        "webimport.wasm",
        "pyodide.mjs",
        "pyodide.asm.wasm",
    ] {
        let asked: u32 = page
            .value(
                "return performance.getEntriesByType('resource').filter((it) => it.name.endsWith(`/${args[0]}`)).length",
                json!([name]),
            )
            .await;
        assert_eq!(asked, 1, "{name}");
    }
}
