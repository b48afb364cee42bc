//! The demo page's own cells, in each browser, on the first visit and without a server.

use serde_json::json;
use webimport_browser_tests::demo::{Demo, ReleaseShown};
use webimport_browser_tests::fixture::{Repository, wheels};
use webimport_browser_tests::site::STRICT_POLICY;
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{Context, Pyodide, RepositoryServer, Site, tests, tools};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        the_demo_page_shows_what_it_says,
        a_cell_that_fails_shows_code_and_hint,
        the_page_starts_from_a_signed_snapshot,
    ]
}

/// The demo page as `cargo xtask demo` lays it out.
async fn serve(server: &RepositoryServer, root: &str) -> (Site, String) {
    let site = Site::start().await;
    site.add_folder(
        "/demo/pyodide/",
        &tools::tool("npm/node_modules/pyodide"),
        "",
    );
    site.add_folder(
        "/demo/",
        &tools::built("target/site", "cargo xtask test browser"),
        "",
    );
    site.add_folder(
        "/demo/",
        &tools::workspace().join("www/demo"),
        STRICT_POLICY,
    );
    let place = json!({"repository": server.url()});
    let config = json!({
        "repositories": {server.url(): {"root": root}},
        "releases": {"rich": place, "networkx": place, "my-package": place},
    });
    site.add_file("/demo/config.json", config.to_string());
    let url = format!("{}/demo/", site.origin());
    (site, url)
}

fn repository() -> Repository {
    let repository = Repository::new();
    repository.release(
        &wheels(&["rich", "pygments", "markdown-it-py", "mdurl"]),
        "rich",
    );
    repository.release(&wheels(&["networkx"]), "networkx");
    repository.release_template("my-package");
    repository
}

async fn open(context: &Context, url: &str) -> Demo {
    let tab = context.tab().await;
    Demo::open(tab, url)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn the_demo_page_shows_what_it_says(context: Context) {
    let repository = tokio::task::spawn_blocking(repository)
        .await
        .expect("the repository is made");
    let server = RepositoryServer::start(&repository.root()).await;
    let (_site, url) = serve(&server, repository.pin()).await;
    for visit in ["first", "second"] {
        let demo = open(&context, &url).await;
        let mut kinds = Vec::new();
        for cell in demo.cells().await {
            let shown = demo.run(&cell).await;
            kinds.extend(shown.kinds.clone());
            assert!(shown.is_as_meant(), "{visit} visit: {shown:#?}");
            match cell.as_str() {
                "rich" => assert!(
                    shown.output.contains("markdown-it-py") && shown.output.contains('┃'),
                    "{shown:#?}"
                ),
                "networkx" => assert!(shown.output.contains("Napoleon → "), "{shown:#?}"),
                "my-package" => assert!(shown.output.contains("102 °F is 38.9 °C"), "{shown:#?}"),
                "freeze" => assert!(
                    shown.output.contains("networkx") && shown.output.contains("sha256 = "),
                    "{shown:#?}"
                ),
                _ => {}
            }
        }
        for kind in ["stdout", "html", "traceback"] {
            assert!(
                kinds.contains(&kind.to_owned()),
                "no cell shows {kind}: {kinds:?}"
            );
        }
        let releases = demo.releases().await;
        let names: Vec<&str> = releases
            .iter()
            .map(|release| release.release.as_str())
            .collect();
        assert_eq!(names, ["rich", "networkx", "my-package"]);
        for ReleaseShown {
            release,
            network_files,
            cache_files,
            text,
            ..
        } in &releases
        {
            let (from_network, other) = if visit == "first" {
                (network_files, cache_files)
            } else {
                (cache_files, network_files)
            };
            assert!(
                from_network.parse::<u32>().is_ok_and(|files| files > 0) && other == "0",
                "{visit}: {release}\n{text}"
            );
            assert!(
                text.contains("Signed by") && text.contains("Root pin"),
                "{text}"
            );
        }
        assert!(
            demo.cache().await.contains("IndexedDB"),
            "{}",
            demo.cache().await
        );
        server.stop().await;
    }
}

async fn a_cell_that_fails_shows_code_and_hint(context: Context) {
    let repository = Repository::new();
    let server = RepositoryServer::start(&repository.root()).await;
    let (_site, url) = serve(&server, repository.pin()).await;
    let demo = open(&context, &url).await;
    let shown = demo.run("networkx").await;
    assert_eq!(
        (shown.state.as_str(), shown.kinds.last().map(String::as_str)),
        ("error", Some("traceback"))
    );
    assert!(
        shown.output.contains("resolve.unknown_name") && shown.output.contains("ResolveError"),
        "{shown:#?}"
    );
    assert_eq!(demo.releases().await.len(), 0);
}

async fn the_page_starts_from_a_signed_snapshot(context: Context) {
    let repository = tokio::task::spawn_blocking(|| {
        let repository = Repository::new();
        repository.release(&wheels(&["networkx"]), "networkx");
        repository.snapshot("networkx", Pyodide::V314, &[]);
        repository
    })
    .await
    .expect("the repository is made");
    let server = RepositoryServer::start(&repository.root()).await;
    let (_site, url) = serve(&server, repository.pin()).await;
    let url = format!("{url}?start=networkx");
    let demo = open(&context, &url).await;
    assert!(!demo.status().await.contains("snapshot"));
    demo.page().kept_snapshots(1).await;
    let demo = open(&context, &url).await;
    let status = demo.status().await;
    assert!(
        status.contains(" ms, from a signed snapshot"),
        "expected a start from a snapshot, got: {status}"
    );
    let shown = demo.run("networkx").await;
    assert!(shown.output.contains("Napoleon → "), "{shown:#?}");
}
