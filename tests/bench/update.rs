//! A release of which one module has changed: what a reader of the earlier one transfers.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use webimport_browser_tests::browser::Session;
use webimport_browser_tests::fixture::wheels;
use webimport_browser_tests::wheel::write_wheel;
use webimport_browser_tests::{Setup, Site, scratch};

use crate::compressed::gzip;
use crate::loading::{Published, timed};
use crate::numbers::rounded;
use crate::peers;
use crate::server::{Link, Server};

const CHANGED: &str = "networkx/classes/graph.py";
const VERSION: &str = "3.7.1";

/// Time, bytes and requests from the earlier release of networkx in the cache to the later one imported, which is
/// published after the first visit.
pub(crate) async fn measure(session: &Session, published: &Published) -> Value {
    let server = Server::start(published.repository.root(), Vec::new(), Link::Loopback).await;
    let site = Site::start().await;
    let setup = Setup::trusting(&server.url(), published.repository.pin());
    let page = session.open().await;
    page.goto(&site.add_page(&setup)).await;
    page.run(&format!(
        "release = await loadRelease('{}/networkx')\nawait release.prefetch()\nassert release.version == '3.7'",
        server.url()
    ))
    .await;
    page.kill().await;

    // Now, so that the metadata are news, too.
    let sha256 = published
        .repository
        .release(&[changed(&wheels(&["networkx"])[0])], "networkx");
    let bytecode = peers::bytecode(&published.repository, "networkx", VERSION, &sha256);
    let own = u64::try_from(gzip(&bytecode[CHANGED])).expect("small");

    let page = session.open().await;
    page.goto(&site.add_page(&setup)).await;
    page.run("None").await;
    server.forget();
    let cell = format!(
        "release = await loadRelease('{}/networkx')\nimport networkx\nassert release.version == '{VERSION}'",
        server.url()
    );
    let timed = timed(&page, &cell).await;
    let transferred = server.transferred(timed.ended).await;
    page.run("await release.prefetch()").await;
    let in_all = server.transferred(f64::INFINITY).await;
    page.kill().await;
    json!({
        "ms": rounded(timed.took, 1),
        "bytes": transferred.bytes,
        "requests": transferred.requests,
        "bytes_in_all": in_all.bytes,
        "changed_module_bytes": own,
        "bytes_beyond_module": transferred.bytes.saturating_sub(own),
    })
}

fn changed(wheel: &Path) -> PathBuf {
    let files: Vec<(String, Vec<u8>)> = peers::contents(wheel)
        .into_iter()
        .filter(|(path, _)| !path.contains(".dist-info/"))
        .map(|(path, mut bytes)| {
            if path == CHANGED {
                bytes.extend_from_slice(b"\nCHANGED = True\n");
            }
            (path, bytes)
        })
        .collect();
    write_wheel(&scratch::folder("changed"), "networkx", VERSION, &files)
}
