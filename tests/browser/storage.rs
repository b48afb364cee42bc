//! What is kept in the browser: healed, refused, shared between tabs, cut off in mid-write, or not there at all.

use serde_json::{Value, json};
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{Context, Fault, Logged, Page, RepositoryServer, Setup, Site, tests};
use webimport_core::digest::Sha256Digest;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_flipped_bit_is_healed_from_the_network,
        a_flipped_bit_is_refused_offline,
        a_pinned_release_with_a_flipped_bit_is_healed_too,
        two_tabs_load_the_same_release_at_once,
        a_tab_is_killed_while_objects_arrive,
        a_tab_is_killed_while_it_writes,
        a_refused_database_is_replaced_by_memory,
        a_full_database_is_replaced_by_memory,
        the_cache_says_what_it_has_and_clears_it,
    ]
}

/// A repository with one release `parts` of several objects.
struct Shop {
    repository: Repository,
    server: RepositoryServer,
    sha256: String,
}

const PARTS: usize = 12;
const PACKAGE: &str = "VALUE = '1.0'\n";

impl Shop {
    async fn open() -> Self {
        let repository = Repository::new();
        let mut release = HandMade::new("parts", "1.0")
            .separate()
            .file("parts/__init__.py", PACKAGE);
        for part in 1..PARTS {
            let filler = format!("# {part}\n").repeat(2_000);
            release = release.file(
                &format!("parts/part{part}.py"),
                format!("{filler}NUMBER = {part}\n"),
            );
        }
        let sha256 = repository.publish(&release);
        let server = RepositoryServer::start(&repository.root()).await;
        Self {
            repository,
            server,
            sha256,
        }
    }

    fn setup(&self) -> Setup {
        Setup::trusting(&self.server.url(), self.repository.pin())
    }

    /// A cell that loads the release, all of it at once, and imports that.
    fn use_all(&self, options: &str) -> String {
        format!(
            "import importlib\nnames = [f'parts.part{{part}}' for part in range(1, {PARTS})]\n\
             release = await loadRelease('{}/parts', modules=names{options})\n\
             sum(importlib.import_module(name).NUMBER for name in names)",
            self.server.url()
        )
    }
}

const SUM: usize = PARTS * (PARTS - 1) / 2;

/// Opens a page where the release loads.
async fn first_visit(context: &Context, site: &Site, shop: &Shop) -> Page {
    let page = context.open(site, &shop.setup()).await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
    page.kept().await;
    page
}

/// The objects of the release, as files of the repository.
fn object_digests(shop: &Shop) -> Vec<String> {
    let mut digests = Vec::new();
    for folder in std::fs::read_dir(shop.repository.root().join("objects")).expect("a folder") {
        for file in std::fs::read_dir(folder.expect("an entry").path()).expect("a folder") {
            digests.push(
                file.expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned(),
            );
        }
    }
    digests.sort();
    digests
}

async fn a_flipped_bit_is_healed_from_the_network(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = first_visit(&context, &site, &shop).await;
    let stored = page.stored_objects().await;
    let digests = object_digests(&shop);
    assert!(
        digests.iter().all(|digest| stored.contains(digest)),
        "{stored:?} lacks some of {digests:?}"
    );
    page.kill().await;

    let page = context
        .visit(&format!("{}/blank.html", site.origin()))
        .await;
    for (index, digest) in digests.iter().enumerate() {
        let last = page.stored_size(digest).await - 1;
        page.flip_stored_bit(digest, [0, last / 2, last][index % 3])
            .await;
    }
    shop.server.forget_requests();
    let page = context.open(&site, &shop.setup()).await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
    assert_eq!(
        shop.server.served("objects/*"),
        digests.len(),
        "each damaged object is fetched once"
    );
    let load = page.last_load().await;
    assert!(
        load["warnings"].to_string().contains("store.damaged"),
        "{load}"
    );

    // Healed: the next visit needs no object.
    shop.server.forget_requests();
    let page = context.open(&site, &shop.setup()).await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
    assert_eq!(shop.server.served("objects/*"), 0);
    assert_eq!(page.last_load().await["warnings"], json!([]));
}

async fn a_flipped_bit_is_refused_offline(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = first_visit(&context, &site, &shop).await;
    // What every import of the release needs.
    let digest = Sha256Digest::of(PACKAGE.as_bytes()).to_string();
    page.flip_stored_bit(&digest, 3).await;
    page.kill().await;
    shop.server.stop().await;

    let page = context.open(&site, &shop.setup()).await;
    for options in ["", ", offline='only'"] {
        let raised = page.raises(&shop.use_all(options)).await;
        assert!(
            ["resolve.offline", "fetch.network"].contains(&raised.code()),
            "{raised}"
        );
        assert!(!raised.hint().is_empty(), "{raised}");
        assert_eq!(
            page.run("import importlib.util; importlib.util.find_spec('parts') is None")
                .await,
            true
        );
    }
    // The server is back, and so is the object.
    shop.server.start_again().await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
}

async fn a_pinned_release_with_a_flipped_bit_is_healed_too(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = first_visit(&context, &site, &shop).await;
    // The manifest is stored by its digest like every object.
    let digests = [object_digests(&shop).remove(0), shop.sha256.clone()];
    for digest in &digests {
        page.flip_stored_bit(digest, 5).await;
    }
    page.kill().await;
    shop.server.forget_requests();
    let page = context.open(&site, &shop.setup()).await;
    let pinned = format!(", sha256='{}'", shop.sha256);
    assert_eq!(page.run(&shop.use_all(&pinned)).await, SUM);
    assert_eq!(shop.server.served("objects/*"), 1);
    assert_eq!(shop.server.served("targets/*"), 1);
}

async fn two_tabs_load_the_same_release_at_once(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let tabs = [
        context.open(&site, &shop.setup()).await,
        context.open(&site, &shop.setup()).await,
    ];
    // Both are under way before either can be done. Only the manifest is held: browsers open six connections to a host.
    shop.server.fault("targets/*", Fault::Hold);
    let started = [
        tabs[0].start_python(&shop.use_all("")).await,
        tabs[1].start_python(&shop.use_all("")).await,
    ];
    let both = |log: &[Logged]| {
        log.iter()
            .filter(|logged| logged.path.starts_with("targets/"))
            .count()
            == 2
    };
    shop.server
        .wait_for_requests("both tabs to ask for the manifest", both)
        .await;
    shop.server.mend();
    shop.server.release_held();
    for (tab, started) in tabs.iter().zip(started) {
        assert_eq!(
            tab.finish_python(started)
                .await
                .unwrap_or_else(|raised| panic!("{raised}")),
            SUM
        );
    }
    let asked = shop
        .server
        .requests()
        .iter()
        .filter(|logged| logged.path.starts_with("objects/"))
        .count();
    assert!(
        (PARTS..=2 * PARTS).contains(&asked),
        "{PARTS} objects were fetched {asked} times"
    );
    let verified: Value = tabs[0]
        .value("return webimport.cache.verify()", json!([]))
        .await;
    assert_eq!(verified["dropped"], json!([]));

    shop.server.stop().await;
    let page = context.open(&site, &shop.setup()).await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
}

async fn a_tab_is_killed_while_objects_arrive(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = context.open(&site, &shop.setup()).await;
    // One object stops half-way, the others arrive.
    let slow = object_digests(&shop).remove(0);
    shop.server
        .fault(&format!("objects/*/{slow}"), Fault::Stall(100));
    let started = page.start_python(&shop.use_all("")).await;
    shop.server
        .wait_for_requests("all objects", |log| {
            log.iter()
                .filter(|logged| logged.path.starts_with("objects/") && logged.status == 200)
                .count()
                >= 4
        })
        .await;
    drop(started);
    page.kill().await;
    shop.server.release_held();
    shop.server.mend();

    let page = context.open(&site, &shop.setup()).await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
    let verified: Value = page
        .value("return webimport.cache.verify()", json!([]))
        .await;
    assert_eq!(
        verified["dropped"],
        json!([]),
        "nothing half-written was kept"
    );
}

/// Tells in `window.puts` how many records were handed to the database.
const COUNT_PUTS: &str = "window.puts = 0;
    const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = function (...record) { window.puts++; return put.apply(this, record); };";

async fn a_tab_is_killed_while_it_writes(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    // After the first record, after some, and after all but perhaps the last.
    for wanted in [1, 4, PARTS] {
        let page = context
            .open(
                &site,
                &Setup {
                    prelude: Some(COUNT_PUTS.to_owned()),
                    ..shop.setup()
                },
            )
            .await;
        let _: Value = page.value("await webimport.cache.clear()", json!([])).await;
        let started = page.start_python(&shop.use_all("")).await;
        let _: bool = page
            .wait_for(
                "records to be written",
                "return window.puts >= args[0]",
                json!([wanted]),
            )
            .await;
        drop(started);
        page.kill().await;
        let page = context.open(&site, &shop.setup()).await;
        assert_eq!(
            page.run(&shop.use_all("")).await,
            SUM,
            "killed after {wanted} records"
        );
        let verified: Value = page
            .value("return webimport.cache.verify()", json!([]))
            .await;
        assert_eq!(
            verified["dropped"],
            json!([]),
            "killed after {wanted} records"
        );
        page.kill().await;
    }
}

/// A release that loads although nothing can be kept, and says so.
async fn works_from_memory(context: &Context, prelude: &str, code: &str) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let setup = Setup {
        prelude: Some(prelude.to_owned()),
        ..shop.setup()
    };
    let page = context.open(&site, &setup).await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
    let load = page.last_load().await;
    assert_eq!(load["storage"], "memory", "{load}");
    let warnings = load["warnings"].as_array().expect("a list");
    let warning = warnings
        .iter()
        .find(|warning| warning["code"] == code)
        .unwrap_or_else(|| panic!("no {code} in {load}"));
    assert!(
        warning["hint"]
            .as_str()
            .is_some_and(|hint| !hint.is_empty()),
        "{warning}"
    );
    // From memory means that this page fetches nothing twice.
    shop.server.forget_requests();
    page.run("release.unload()").await;
    assert_eq!(page.run(&shop.use_all("")).await, SUM);
    assert_eq!(shop.server.served("objects/*"), 0);
    let info: Value = page.value("return webimport.cache.info()", json!([])).await;
    assert_eq!(info["storage"], "memory");

    // And where nothing was kept, checking is as strict as ever.
    let digest = object_digests(&shop).remove(0);
    shop.server
        .fault(&format!("objects/*/{digest}"), Fault::FlipBit(4));
    let page = context.open(&site, &setup).await;
    assert_eq!(page.raises(&shop.use_all("")).await.code(), "verify.digest");
}

async fn a_refused_database_is_replaced_by_memory(context: Context) {
    for prelude in [
        "IDBFactory.prototype.open = () => { throw new DOMException('refused on purpose', 'SecurityError'); };",
        "Object.defineProperty(globalThis, 'indexedDB', { get() { throw new DOMException('refused on purpose', 'SecurityError'); } });",
        "Object.defineProperty(globalThis, 'indexedDB', { value: undefined });",
        // The way of a private window: a request that fails later.
        "const open = IDBFactory.prototype.open;
         IDBFactory.prototype.open = function (name) {
           const request = open.call(this, name, 99);
           request.addEventListener('upgradeneeded', () => request.transaction.abort());
           return request;
         };",
    ] {
        works_from_memory(&context, prelude, "store.unavailable").await;
    }
}

async fn a_full_database_is_replaced_by_memory(context: Context) {
    for prelude in [
        "IDBObjectStore.prototype.put = () => { throw new DOMException('full on purpose', 'QuotaExceededError'); };",
        // The usual way: the transaction is aborted after its last record, when it is to be written.
        "const put = IDBObjectStore.prototype.put;
         IDBObjectStore.prototype.put = function (...record) {
           const request = put.apply(this, record);
           if (this.name !== 'objects') request.addEventListener('success', () => this.transaction.abort());
           return request;
         };",
    ] {
        works_from_memory(&context, prelude, "store.quota").await;
    }
}

async fn the_cache_says_what_it_has_and_clears_it(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = first_visit(&context, &site, &shop).await;
    let info: Value = page.value("return webimport.cache.info()", json!([])).await;
    assert_eq!(
        (&info["storage"], &info["repositories"]),
        (&json!("indexeddb"), &json!(1)),
        "{info}"
    );
    assert!(
        info["objects"].as_u64() >= Some(PARTS as u64) && info["bytes"].as_u64() > Some(50_000),
        "{info}"
    );
    assert_eq!(
        page.run(
            "import webimport\nmodule_cache = await webimport.cache.info()\ndict(module_cache)"
        )
        .await,
        info
    );

    let digest = object_digests(&shop).remove(0);
    page.flip_stored_bit(&digest, 0).await;
    let verified: Value = page
        .value("return webimport.cache.verify()", json!([]))
        .await;
    assert_eq!(verified["dropped"], json!([digest]));
    assert!(!page.stored_objects().await.contains(&digest));

    let _: Value = page
        .value("return webimport.cache.clear()", json!([]))
        .await;
    assert_eq!(page.stored_objects().await, [""; 0]);
    // What is loaded stays usable, and the next visit fetches anew.
    assert_eq!(page.run("import parts; parts.VALUE").await, "1.0");
    shop.server.forget_requests();
    first_visit(&context, &site, &shop).await;
    assert_eq!(shop.server.served("objects/*"), PARTS);
}
