//! Updates: a new release out of the cache, and whole where there is no update or a bad one.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::hand_signed::{HandSigned, TARGETS};
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::wheel::write_wheel;
use webimport_browser_tests::{
    Context, Fault, Page, RepositoryServer, Setup, Site, scratch, tests,
};
use webimport_core::digest::Sha256Digest;
use webimport_core::manifest::{Encoding, ObjectEntry};
use webimport_core::update::UpdateEntry;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        one_changed_module_costs_one_request_and_runs,
        an_update_that_is_not_there_is_done_without,
        an_update_that_was_changed_on_the_way_is_done_without_and_said,
        a_signed_update_that_makes_something_else_is_done_without_and_said,
        a_damaged_source_is_fetched_in_its_new_form,
        a_damaged_manifest_is_fetched_in_its_new_form,
        who_has_another_release_than_the_one_before_fetches_it_whole,
        modules_that_were_used_come_with_the_next_release,
    ]
}

const MODULES: usize = 40;

/// A module of 3 KB.
fn module(number: usize, value: &str) -> String {
    let mut text = format!("VALUE = {value:?}\n\n");
    for line in 0..60_usize {
        let filler = (number * 60 + line + 1).wrapping_mul(2_654_435_761) % 1_000_000_007;
        writeln!(text, "def function_{line}():\n    return {filler}\n").expect("memory");
    }
    text
}

/// A repository with one release `shop`, its server, and a page that has loaded all of it.
struct Shop {
    repository: Repository,
    server: RepositoryServer,
    site: Site,
    first: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Sources,
    Bytecode,
}

impl Shop {
    async fn visited(context: &Context, code: Code) -> Self {
        let repository = Repository::new();
        let first = release(&repository, "1.0", code);
        let server = RepositoryServer::start(&repository.root()).await;
        let site = Site::start().await;
        let shop = Self {
            repository,
            server,
            site,
            first,
        };
        let page = shop.page(context).await;
        let cell = shop.cell("", "");
        assert_eq!(
            page.run(&format!("{cell}\nawait release.prefetch()\nvalue"))
                .await,
            "1.0"
        );
        page.leave().await;
        shop.server.forget_requests();
        shop
    }

    async fn page(&self, context: &Context) -> Page {
        let setup = Setup::trusting(&self.server.url(), self.repository.pin());
        context.open(&self.site, &setup).await
    }

    /// A cell that loads a release, the one on the channel if no `selector` says otherwise, and uses the module that changes.
    fn cell(&self, selector: &str, options: &str) -> String {
        format!(
            "release = await loadRelease('{}/shop{selector}'{options})\nimport shop.m07\nvalue = shop.m07.VALUE\nvalue",
            self.server.url()
        )
    }

    /// The update of the release on the channel, as metadata name it.
    fn update(&self) -> Value {
        let metadata = self.repository.root().join("metadata");
        let read = |file: &str| -> Value {
            let bytes = std::fs::read(metadata.join(file)).expect("a metadata file");
            serde_json::from_slice(&bytes).expect("JSON")
        };
        let timestamp = read("timestamp.json");
        let version = &timestamp["signed"]["meta"]["snapshot.json"]["version"];
        let targets = read(&format!("{version}.targets.json"));
        let releases = targets["signed"]["targets"].as_object().expect("an object");
        let named = releases
            .values()
            .map(|it| &it["custom"]["webimport"]["updates"][0]);
        named
            .clone()
            .find(|it| it.is_object())
            .expect("an update")
            .clone()
    }

    fn update_path(&self) -> String {
        let update = self.update();
        let sha256 = update["sha256"].as_str().expect("a digest");
        format!("objects/{}/{sha256}", &sha256[..2])
    }
}

/// Releases a version in which one module says which one it is.
fn release(repository: &Repository, version: &str, code: Code) -> String {
    let mut files = vec![("shop/__init__.py".to_owned(), String::new())];
    for number in 0..MODULES {
        let value = if number == 7 { version } else { "same" };
        files.push((format!("shop/m{number:02}.py"), module(number, value)));
    }
    let wheel = write_wheel(&scratch::folder("shop"), "shop", version, &files);
    match code {
        Code::Sources => repository.release_sources(&[wheel], "shop"),
        Code::Bytecode => repository.release(&[wheel], "shop"),
    }
}

fn codes(load: &Value) -> Vec<&str> {
    let warnings = load["warnings"].as_array().expect("a list").iter();
    warnings
        .map(|it| it["code"].as_str().expect("a code"))
        .collect()
}

async fn one_changed_module_costs_one_request_and_runs(context: Context) {
    let shop = Shop::visited(&context, Code::Bytecode).await;
    release(&shop.repository, "1.1", Code::Bytecode);
    let page = shop.page(&context).await;
    let source = "import inspect\nawait release.prefetch()\n[value, release.version, 'VALUE = \"1.1\"' in inspect.getsource(shop.m07)]";
    let cell = format!("{}\n{source}", shop.cell("", ""));
    assert_eq!(page.run(&cell).await, json!(["1.1", "1.1", true]));
    let paths: Vec<String> = shop
        .server
        .requests()
        .into_iter()
        .map(|it| it.path)
        .collect();
    let expected = [
        "metadata/2.root.json",
        "metadata/timestamp.json",
        "metadata/3.snapshot.json",
        "metadata/3.targets.json",
        &shop.update_path(),
    ];
    assert_eq!(paths.len(), expected.len(), "{paths:?}");
    assert!(
        expected
            .iter()
            .all(|it| paths.iter().any(|path| path == it)),
        "{paths:?}"
    );
    let load = page.last_load().await;
    assert_eq!(
        (&load["network"]["files"], codes(&load)),
        (&json!(0), vec![])
    );
    page.leave().await;

    // What was made is kept.
    shop.server.forget_requests();
    let page = shop.page(&context).await;
    assert_eq!(page.run(&cell).await, json!(["1.1", "1.1", true]));
    assert_eq!(
        (
            shop.server.served("objects/*"),
            shop.server.served("targets/*")
        ),
        (0, 0)
    );
    page.leave().await;
    shop.server.stop().await;
    let page = shop.page(&context).await;
    let offline = format!("{}\n{source}", shop.cell("", ", offline='only'"));
    assert_eq!(page.run(&offline).await, json!(["1.1", "1.1", true]));
}

async fn an_update_that_is_not_there_is_done_without(context: Context) {
    let shop = Shop::visited(&context, Code::Sources).await;
    release(&shop.repository, "1.1", Code::Sources);
    std::fs::remove_file(shop.repository.root().join(shop.update_path())).expect("it was there");
    let page = shop.page(&context).await;
    assert_eq!(page.run(&shop.cell("", "")).await, "1.1");
    assert_eq!(shop.server.served("targets/*"), 1);
    assert_eq!(codes(&page.last_load().await), Vec::<&str>::new());
}

async fn an_update_that_was_changed_on_the_way_is_done_without_and_said(context: Context) {
    let shop = Shop::visited(&context, Code::Sources).await;
    release(&shop.repository, "1.1", Code::Sources);
    for (fault, code) in [
        (Fault::FlipBit(30), "verify.digest"),
        (Fault::Replace(vec![0; 10]), "fetch.truncated"),
        (Fault::Endless, "verify.too_large"),
    ] {
        let page = shop.page(&context).await;
        let forget = "import webimport; await webimport.cache.clear()";
        page.run(&format!("{forget}\n{}", shop.cell("@1.0", "")))
            .await;
        page.leave().await;
        shop.server.fault(&shop.update_path(), fault.clone());
        shop.server.forget_requests();
        let page = shop.page(&context).await;
        assert_eq!(page.run(&shop.cell("", "")).await, "1.1");
        assert_eq!(shop.server.served("targets/*"), 1, "{fault:?}");
        assert_eq!(codes(&page.last_load().await), [code], "{fault:?}");
        shop.server.mend();
        page.kill().await;
    }
}

/// An update from one release to another, with the parts of their manifests and objects as a stranger would like them.
fn update(from: &HandMade, header: &Value, literals: &[u8]) -> (UpdateEntry, Vec<u8>) {
    let header = header.to_string().into_bytes();
    let length = u32::try_from(header.len()).expect("small").to_le_bytes();
    let decoded = [&length[..], &header, literals].concat();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&decoded).expect("memory");
    let file = encoder.finish().expect("memory");
    let object = ObjectEntry {
        sha256: Sha256Digest::of(&file),
        size: file.len() as u64,
        encoding: Encoding::Gzip,
        decoded_size: decoded.len() as u64,
        decoded_sha256: Sha256Digest::of(&decoded),
        tag: None,
    };
    (
        UpdateEntry::new(Sha256Digest::of(&from.bytes().0), object),
        file,
    )
}

async fn a_signed_update_that_makes_something_else_is_done_without_and_said(context: Context) {
    let old = HandMade::package("shop", "1.0");
    let new = HandMade::package("shop", "1.1");
    let (manifest, objects) = new.bytes();
    let (digest, object) = objects.first_key_value().expect("one object");
    let evil = String::from_utf8(object.clone())
        .expect("Python")
        .replace("1.1", "6.6")
        .into_bytes();
    let output = |sha256: &Sha256Digest, offset: usize, size: usize| json!({"sha256": sha256, "size": size, "parts": [0, offset, size]});
    let header = |manifest_at: usize| {
        json!({
            "format": "webimport-update/1",
            "sources": [],
            "outputs": [
                output(&Sha256Digest::of(&manifest), manifest_at, manifest.len()),
                output(digest, 0, evil.len()),
            ],
        })
    };
    let right = [&evil[..], &manifest].concat();
    let site = Site::start().await;
    for (what, header, literals, code) in [
        ("an object", header(evil.len()), &right, "verify.digest"),
        (
            "the manifest",
            header(evil.len() - 1),
            &right,
            "verify.digest",
        ),
        (
            "no update",
            json!({"format": "webimport-update/1"}),
            &right,
            "verify.malformed",
        ),
    ] {
        let mut repository = HandSigned::new();
        repository.add(TARGETS, &old);
        repository.publish();
        let server = repository.serve().await;
        let setup = Setup::trusting(&server.url(), &repository.pin());
        let cell = format!(
            "release = await loadRelease('{}/shop')\nimport shop\nshop.VALUE",
            server.url()
        );
        let page = context.open(&site, &setup).await;
        page.run("import webimport; await webimport.cache.clear()")
            .await;
        assert_eq!(page.run(&cell).await, "1.0");
        page.leave().await;
        repository.add(TARGETS, &new);
        let (entry, file) = update(&old, &header, literals);
        repository.add_update(TARGETS, &new, entry, file);
        repository.publish();
        let page = context.open(&site, &setup).await;
        assert_eq!(page.run(&cell).await, "1.1", "{what}");
        assert_eq!(codes(&page.last_load().await), [code], "{what}");
        page.kill().await;
    }
}

/// Loads the new release after `damage` was done to what is stored of the old one.
async fn damaged(context: &Context, digest: impl Fn(&Shop) -> String) -> (Shop, Value) {
    let shop = Shop::visited(context, Code::Sources).await;
    let page = context
        .visit(&format!("{}/blank.html", shop.site.origin()))
        .await;
    page.flip_stored_bit(&digest(&shop), 100).await;
    page.kill().await;
    release(&shop.repository, "1.1", Code::Sources);
    let page = shop.page(context).await;
    assert_eq!(page.run(&shop.cell("", "")).await, "1.1");
    let load = page.last_load().await;
    page.kill().await;
    (shop, load)
}

async fn a_damaged_source_is_fetched_in_its_new_form(context: Context) {
    // The object with the module that changes.
    let digest = |shop: &Shop| {
        let manifest = shop.repository.manifest("shop", "1.0", &shop.first);
        let files = manifest["files"].as_array().expect("a list");
        let file = files
            .iter()
            .find(|it| it["path"] == "shop/m07.py")
            .expect("the module");
        let index = usize::try_from(file["object"].as_u64().expect("an index")).expect("small");
        let digest = &manifest["objects"][index]["decoded_sha256"];
        digest.as_str().expect("a digest").to_owned()
    };
    let (shop, load) = damaged(&context, digest).await;
    assert_eq!(codes(&load), ["store.damaged"]);
    assert_eq!(shop.server.served("targets/*"), 0, "the manifest was made");
    assert_eq!(
        shop.server.served("objects/*"),
        2,
        "the update and the object"
    );
}

async fn a_damaged_manifest_is_fetched_in_its_new_form(context: Context) {
    let (shop, load) = damaged(&context, |shop| shop.first.clone()).await;
    assert!(codes(&load).contains(&"store.damaged"), "{load}");
    assert_eq!(shop.server.served("targets/*"), 1);
    assert_eq!(
        shop.server.served("objects/*"),
        1,
        "the update makes the objects all the same"
    );
}

async fn who_has_another_release_than_the_one_before_fetches_it_whole(context: Context) {
    let shop = Shop::visited(&context, Code::Sources).await;
    release(&shop.repository, "1.1", Code::Sources);
    release(&shop.repository, "1.2", Code::Sources);
    let page = shop.page(&context).await;
    assert_eq!(page.run(&shop.cell("", "")).await, "1.2");
    assert_eq!(shop.server.served("targets/*"), 1);
    let update = shop.update_path();
    assert_eq!(shop.server.served(&update), 0);
    assert_eq!(codes(&page.last_load().await), Vec::<&str>::new());
}

async fn modules_that_were_used_come_with_the_next_release(context: Context) {
    let repository = Repository::new();
    let big = |version: &str, extra: Option<&str>| {
        let mut release = HandMade::new("big", version)
            .separate()
            .file("big/__init__.py", "")
            .set("partial", json!(true))
            .set("entry", json!(["big"]));
        for number in 0..MODULES {
            let value = if number == 7 { version } else { "same" };
            release = release.file(&format!("big/m{number:02}.py"), module(number, value));
        }
        // So that objects have other numbers than before.
        if let Some(path) = extra {
            release = release.file(path, "VALUE = 'new'\n");
        }
        repository.publish(&release)
    };
    big("1.0", None);
    let server = RepositoryServer::start(&repository.root()).await;
    let site = Site::start().await;
    let setup = Setup::trusting(&server.url(), repository.pin());
    let load = format!("release = await loadRelease('{}/big')", server.url());
    let page = context.open(&site, &setup).await;
    page.run(&format!(
        "{load}\nawait release.prefetch('big.m07', 'big.m08')"
    ))
    .await;
    page.leave().await;

    big("1.1", Some("big/added.py"));
    server.forget_requests();
    let page = context.open(&site, &setup).await;
    // Without a request, also where Python cannot wait for one.
    let used = "import big.m07, big.m08\n[big.m07.VALUE, big.m08.VALUE]";
    assert_eq!(
        page.run(&format!("{load}\n{used}")).await,
        json!(["1.1", "same"])
    );
    assert_eq!(
        (server.served("targets/*"), server.served("objects/*")),
        (0, 1)
    );
    page.leave().await;

    server.forget_requests();
    let page = context.open(&site, &setup).await;
    assert_eq!(
        page.run(&format!("{load}\n{used}")).await,
        json!(["1.1", "same"])
    );
    assert_eq!(
        (server.served("targets/*"), server.served("objects/*")),
        (0, 0)
    );
}
