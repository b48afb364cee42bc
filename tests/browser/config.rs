//! Config: where it comes from, which layer wins, what it refuses.

use serde_json::json;
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{Block, Context, Page, RepositoryServer, Setup, Site, tests};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        the_layer_nearest_to_the_call_wins,
        pages_give_their_config_by_source_too,
        a_page_config_that_cannot_be_read_is_refused,
        frozen_refuses_what_is_not_pinned,
        freeze_pins_what_is_loaded,
        names_and_channels_come_from_the_config,
        unknown_keys_and_wrong_values_are_refused,
        javascript_has_the_same_functions,
    ]
}

/// A repository with two versions of `mylib`: 1.0 is `stable`, 2.0 is `next`.
struct Shop {
    repository: Repository,
    server: RepositoryServer,
}

impl Shop {
    async fn open() -> Self {
        let repository = Repository::new();
        repository.publish(&HandMade::package("mylib", "1.0"));
        repository.publish(&HandMade::package("mylib", "2.0").channel("next"));
        let server = RepositoryServer::start(&repository.root()).await;
        Self { repository, server }
    }

    fn url(&self) -> String {
        self.server.url()
    }

    /// TOML that trusts the repository by this root pin.
    fn toml(&self, root: &str) -> String {
        format!("[repositories.\"{}\"]\nroot = \"{root}\"\n", self.url())
    }

    fn block(&self, root: &str) -> Block {
        Block::Inline(json!({"repositories": {self.url(): {"root": root}}}).to_string())
    }

    fn load(&self, options: &str) -> String {
        used(&format!("'{}/mylib'{options}", self.url()))
    }
}

/// A cell that loads, imports, unloads, and gives the version that was imported.
fn used(arguments: &str) -> String {
    format!(
        "release = await loadRelease({arguments})\nimport mylib\nversion = mylib.VALUE\nrelease.unload()\nversion"
    )
}

fn wrong_pin() -> String {
    format!("sha256:{}", "0".repeat(64))
}

async fn write_toml(page: &Page, text: &str) {
    page.run(&format!(
        "with open('webimport.toml', 'w') as file: file.write({})\nNone",
        json!(text)
    ))
    .await;
}

async fn refused(page: &Page, cell: &str, code: &str) {
    let raised = page.raises(cell).await;
    assert_eq!(raised.code(), code, "{raised}\n--- cell\n{cell}");
    assert!(!raised.hint().is_empty(), "{raised}");
}

async fn the_layer_nearest_to_the_call_wins(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let (wrong, right) = (wrong_pin(), shop.repository.pin().to_owned());
    let page = context
        .open(
            &site,
            &Setup {
                blocks: vec![shop.block(&wrong)],
                ..Setup::default()
            },
        )
        .await;
    refused(&page, &shop.load(""), "trust.root_mismatch").await;
    // The call's option over the page.
    assert_eq!(
        page.run(&shop.load(&format!(", root='{right}'"))).await,
        "1.0"
    );
    // The notebook's file over the page.
    write_toml(&page, &shop.toml(&right)).await;
    assert_eq!(page.run(&shop.load("")).await, "1.0");
    // `configure` over the notebook.
    let configure = |root: &str| {
        format!(
            "import webimport\nwebimport.configure({{'repositories': {{'{}': {{'root': '{root}'}}}}}})",
            shop.url()
        )
    };
    page.run(&configure(&wrong)).await;
    refused(&page, &shop.load(""), "trust.root_mismatch").await;
    // The call's option over `configure`.
    assert_eq!(
        page.run(&shop.load(&format!(", root='{right}'"))).await,
        "1.0"
    );
    page.run(&configure(&right)).await;
    write_toml(&page, &shop.toml(&wrong)).await;
    assert_eq!(page.run(&shop.load("")).await, "1.0");
    // A script block over the file, where `configure` is silent.
    page.run("webimport.configure({})").await;
    refused(&page, &shop.load(""), "trust.root_mismatch").await;
    let table = shop
        .toml(&right)
        .replace("[repositories", "[tool.webimport.repositories");
    let lines: Vec<String> = table.lines().map(|line| format!("# {line}")).collect();
    let script = format!("# /// script\n{}\n# ///\n", lines.join("\n"));
    page.run(&format!(
        "webimport.configure_from_script({})",
        json!(script)
    ))
    .await;
    assert_eq!(page.run(&shop.load("")).await, "1.0");
}

async fn pages_give_their_config_by_source_too(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let right = shop.repository.pin().to_owned();
    site.add_file("/pins.toml", shop.toml(&right));
    site.add_file(
        "/pins.json",
        json!({"repositories": {shop.url(): {"root": right}}}).to_string(),
    );
    for source in ["/pins.toml", "/pins.json", "../pins.toml"] {
        let setup = Setup {
            blocks: vec![Block::Source(source.to_owned())],
            ..Setup::default()
        };
        let page = context.open(&site, &setup).await;
        assert_eq!(page.run(&shop.load("")).await, "1.0", "{source}");
    }
    // Several blocks make one config; what `attach` is given goes over them.
    let setup = Setup {
        blocks: vec![
            shop.block(&wrong_pin()),
            Block::Inline("{\"releases\": {\"mylib\": {\"channel\": \"next\"}}}".to_owned()),
        ],
        config: Some(json!({"repositories": {shop.url(): {"root": right}}})),
        ..Setup::default()
    };
    let page = context.open(&site, &setup).await;
    assert_eq!(page.run(&shop.load("")).await, "2.0");
}

async fn a_page_config_that_cannot_be_read_is_refused(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let right = format!(", root='{}'", shop.repository.pin());
    site.add_file("/broken.toml", "frozen = maybe");
    for (block, code) in [
        (Block::Source("/absent.json".to_owned()), "config.source"),
        (Block::Source("/broken.toml".to_owned()), "config.invalid"),
        (
            Block::Inline("{\"frozen\": tru".to_owned()),
            "config.invalid",
        ),
        (Block::Inline("[]".to_owned()), "config.invalid"),
        (
            Block::Inline("{\"frozen\": true, \"frozen\": false}".to_owned()),
            "config.invalid",
        ),
        (
            Block::Inline("{\"frosen\": true}".to_owned()),
            "config.unknown_key",
        ),
    ] {
        let setup = Setup {
            blocks: vec![block.clone()],
            ..Setup::default()
        };
        let page = context.visit(&site.add_page(&setup)).await;
        // Either `attach` refuses it, or the first load.
        let raised = match page.ready().await {
            Err(raised) => raised,
            Ok(()) => page.raises(&shop.load(&right)).await,
        };
        assert_eq!(raised.code(), code, "{block:?}: {raised}");
        page.kill().await;
    }
    assert_eq!(
        shop.server.requests(),
        [],
        "nothing is asked for without the page's config"
    );
}

async fn frozen_refuses_what_is_not_pinned(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = context
        .open(&site, &Setup::trusting(&shop.url(), shop.repository.pin()))
        .await;
    let release = page
        .run(&format!(
            "release = await loadRelease('{}/mylib')\nrelease.unload()\nrelease.sha256",
            shop.url()
        ))
        .await;
    let sha256 = release.as_str().expect("a digest");
    write_toml(&page, "frozen = true\n").await;
    refused(&page, &shop.load(""), "resolve.not_pinned").await;
    refused(&page, &shop.load(", version='1.0'"), "resolve.not_pinned").await;
    assert_eq!(
        page.run(&shop.load(&format!(", sha256='{sha256}'"))).await,
        "1.0"
    );
    write_toml(
        &page,
        &format!("frozen = true\n[releases.mylib]\nsha256 = \"{sha256}\"\n"),
    )
    .await;
    assert_eq!(page.run(&shop.load("")).await, "1.0");
    refused(&page, &shop.load(", version='2.0'"), "resolve.pin_mismatch").await;
}

async fn freeze_pins_what_is_loaded(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = context
        .open(&site, &Setup::trusting(&shop.url(), shop.repository.pin()))
        .await;
    page.run(&format!("await loadRelease('{}/mylib@next')", shop.url()))
        .await;
    let frozen = page.run("import webimport\nwebimport.freeze()").await;
    let frozen = frozen.as_str().expect("text").to_owned();
    let from_javascript: String = page.value("return webimport.freeze()", json!([])).await;
    assert_eq!(from_javascript, frozen);
    page.leave().await;

    // A page that has nothing but that text loads the same, by its bare name, without asking anybody.
    shop.server.stop().await;
    shop.server.forget_requests();
    site.add_file("/frozen.toml", frozen.clone());
    let page = context
        .open(
            &site,
            &Setup {
                blocks: vec![Block::Source("/frozen.toml".to_owned())],
                ..Setup::default()
            },
        )
        .await;
    assert_eq!(page.run(&used("'mylib'")).await, "2.0", "{frozen}");
    let page = context.open(&site, &Setup::default()).await;
    write_toml(&page, &frozen).await;
    assert_eq!(page.run(&used("'mylib'")).await, "2.0", "{frozen}");
}

async fn names_and_channels_come_from_the_config(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = context
        .open(&site, &Setup::trusting(&shop.url(), shop.repository.pin()))
        .await;
    refused(&page, &used("'mylib'"), "url.invalid").await;
    for (entry, version) in [
        ("", "1.0"),
        ("channel = \"next\"", "2.0"),
        ("version = \"2.0\"", "2.0"),
        ("version = \"1.0\"", "1.0"),
    ] {
        write_toml(
            &page,
            &format!(
                "[releases.mylib]\nrepository = \"{}\"\n{entry}\n",
                shop.url()
            ),
        )
        .await;
        assert_eq!(page.run(&used("'mylib'")).await, version, "{entry}");
    }
    // The call says it nearer than the config.
    assert_eq!(page.run(&used("'mylib@next'")).await, "2.0");
    assert_eq!(page.run(&used("'mylib', version='2.0'")).await, "2.0");
    // The file is read from wherever the notebook is now.
    page.run("import os\nos.makedirs('/home/elsewhere')\nos.chdir('/home/elsewhere')")
        .await;
    refused(&page, &used("'mylib'"), "url.invalid").await;
}

async fn unknown_keys_and_wrong_values_are_refused(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = context
        .open(&site, &Setup::trusting(&shop.url(), shop.repository.pin()))
        .await;
    let url = shop.url();
    for (toml, code) in [
        ("frosen = true".to_owned(), "config.unknown_key"),
        ("frozen = \"yes\"".to_owned(), "config.invalid"),
        (
            "[releases.mylib]\nsha265 = \"00\"".to_owned(),
            "config.unknown_key",
        ),
        (
            "[releases.mylib]\nsha256 = \"00\"".to_owned(),
            "config.invalid",
        ),
        (
            "[releases.mylib]\nversion = 1.0".to_owned(),
            "config.invalid",
        ),
        (
            "[releases.mylib]\nversion = \"1.0\"\nchannel = \"next\"".to_owned(),
            "config.invalid",
        ),
        (
            "[releases.\"My Lib\"]\nversion = \"1.0\"".to_owned(),
            "config.invalid",
        ),
        (
            format!("[repositories.\"{url}\"]\nroot = \"{}\"", "0".repeat(64)),
            "config.invalid",
        ),
        (
            format!("[repositories.\"{url}\"]\nmirrors = \"{url}\""),
            "config.invalid",
        ),
        ("[repositories.\"not a url\"]".to_owned(), "url.invalid"),
        ("frozen = ".to_owned(), "config.invalid"),
    ] {
        write_toml(&page, &toml).await;
        refused(&page, &shop.load(""), code).await;
        write_toml(&page, "").await;
        assert_eq!(page.run(&shop.load("")).await, "1.0", "after {toml}");
    }
}

async fn javascript_has_the_same_functions(context: Context) {
    let (site, shop) = (Site::start().await, Shop::open().await);
    let page = context
        .open(&site, &Setup::trusting(&shop.url(), shop.repository.pin()))
        .await;
    let url = format!("{}/mylib", shop.url());
    let loaded: Vec<String> = page
        .value(
            "const release = await webimport.loadRelease(args[0]);
             const value = pyodide.runPython('import mylib; mylib.VALUE');
             const { name, version, path, modules } = release;
             release.unload();
             return [name, version, value, modules.join(), path.startsWith('/webimport/mylib-1.0-') ? 'mounted' : path];",
            json!([url]),
        )
        .await;
    assert_eq!(loaded, ["mylib", "1.0", "1.0", "mylib", "mounted"]);
    let refused = page
        .js(
            "await webimport.loadRelease(args[0])",
            json!([format!("{url}@9.9")]),
        )
        .await
        .expect_err("there is no 9.9");
    assert_eq!(
        (refused.class.as_str(), refused.code()),
        ("WebImportError", "resolve.unknown_version")
    );
    assert!(!refused.hint().is_empty());
    let real: bool = page
        .value("try { await webimport.loadRelease('x') } catch (error) { return error instanceof window.Error }", json!([]))
        .await;
    assert!(real);
    let refused = page
        .js("webimport.configure({frosen: true})", json!([]))
        .await
        .expect_err("there is no such key");
    assert_eq!(refused.code(), "config.unknown_key");
}
