//! The test room itself: what other tests take for granted.

use std::path::Path;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{
    Context, Fault, Pyodide, Realm, RepositoryServer, Setup, Site, tests,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        python_runs_on_the_page,
        python_runs_in_a_module_worker,
        python_0_29_runs_on_the_page,
        a_raised_exception_keeps_its_class_and_notes,
        each_fault_reaches_the_page,
        a_stopped_server_is_gone_and_comes_back,
        a_stored_bit_can_be_flipped,
        each_site_has_storage_of_its_own,
    ]
}

async fn python_runs(context: Context, setup: Setup, version: &str) {
    let site = Site::start().await;
    let page = context.open(&site, &setup).await;
    let cell = page
        .cell("import sys\nprint('hello')\n[sys.version.split()[0], {'a': 1}, None]")
        .await;
    assert!(
        cell.value[0]
            .as_str()
            .is_some_and(|found| found.starts_with(version)),
        "{cell:?}"
    );
    assert_eq!(
        (&cell.value[1], &cell.value[2]),
        (&json!({"a": 1}), &Value::Null)
    );
    assert_eq!(cell.printed, ["hello"]);
    assert_eq!(page.log().await, [""; 0]);
}

async fn python_runs_on_the_page(context: Context) {
    python_runs(context, Setup::plain(), "3.14").await;
}

async fn python_runs_in_a_module_worker(context: Context) {
    python_runs(
        context,
        Setup {
            realm: Realm::Worker,
            ..Setup::plain()
        },
        "3.14",
    )
    .await;
}

async fn python_0_29_runs_on_the_page(context: Context) {
    python_runs(
        context,
        Setup {
            pyodide: Pyodide::V029,
            ..Setup::plain()
        },
        "3.13",
    )
    .await;
}

async fn a_raised_exception_keeps_its_class_and_notes(context: Context) {
    let site = Site::start().await;
    for realm in [Realm::Page, Realm::Worker] {
        let page = context
            .open(
                &site,
                &Setup {
                    realm,
                    ..Setup::plain()
                },
            )
            .await;
        let raised = page
            .raises(
                "class Refused(ImportError): code = 'verify.digest'\n\
                 error = Refused('`a` is bad', name='a')\nerror.add_note('hint: ask')\nraise error",
            )
            .await;
        assert_eq!(
            (
                raised.class.as_str(),
                raised.code(),
                raised.message.as_str()
            ),
            ("Refused", "verify.digest", "`a` is bad")
        );
        assert_eq!(
            (raised.hint().as_str(), raised.name.as_deref()),
            ("hint: ask", Some("a"))
        );
        assert!(raised.bases.contains(&"ImportError".to_owned()));
    }
}

const BODY: &str = "0123456789";

async fn ten_bytes() -> RepositoryServer {
    let headers = [("access-control-allow-origin", "*")];
    let router = Router::new().route(
        "/objects/{name}",
        get(move || async move { (headers, BODY) }),
    );
    RepositoryServer::with_router(Path::new("/nowhere"), router).await
}

/// What `fetch` gives: the text with its status, or `failed`.
const FETCH: &str = "try { const response = await fetch(args[0]); return [response.status, await response.text()]; }
                     catch { return 'failed'; }";

async fn each_fault_reaches_the_page(context: Context) {
    let site = Site::start().await;
    let page = context
        .visit(&format!("{}/blank.html", site.origin()))
        .await;
    let server = ten_bytes().await;
    let url = format!("{}/objects/a", server.url());
    let cases = [
        (None, json!([200, BODY])),
        (
            Some(Fault::Status(500)),
            json!([500, "answered with 500 on purpose"]),
        ),
        (
            Some(Fault::Append(b"ab".to_vec())),
            json!([200, "0123456789ab"]),
        ),
        (Some(Fault::FlipBit(-1)), json!([200, "0123456788"])),
        (
            Some(Fault::Replace(b"other".to_vec())),
            json!([200, "other"]),
        ),
        (Some(Fault::Truncate(4)), json!("failed")),
        (Some(Fault::HangUp), json!("failed")),
    ];
    for (fault, expected) in cases {
        server.mend();
        if let Some(fault) = fault.clone() {
            server.fault("objects/*", fault);
        }
        assert_eq!(
            page.value::<Value>(FETCH, json!([url])).await,
            expected,
            "{fault:?}"
        );
    }
    server.forget_requests();
    for fault in [Fault::Hold, Fault::Stall(4)] {
        server.fault("objects/*", fault.clone());
        let asked = server.requests().len();
        let _: Value = page
            .value(
                "window.pending = fetch(args[0]).then((response) => response.text())",
                json!([url]),
            )
            .await;
        server
            .wait_for_requests("the held request", |log| log.len() > asked)
            .await;
        let state: Value = page
            .value(
                "return Promise.race([pending, Promise.resolve('pending')])",
                json!([]),
            )
            .await;
        assert_eq!(state, "pending", "{fault:?}");
        server.release_held();
        assert_eq!(
            page.value::<String>("return pending", json!([])).await,
            BODY,
            "{fault:?}"
        );
    }
    assert_eq!(server.requests().len(), 2);
    assert_eq!(server.requests()[0].path, "objects/a");
    // What has no end goes on until nobody reads it any more.
    for fault in [Fault::Endless, Fault::Drip] {
        server.forget_requests();
        server.fault("objects/*", fault.clone());
        let got: u64 = page
            .value(READ_AND_CANCEL, json!([url, BODY.len() + 1]))
            .await;
        assert!(got > BODY.len() as u64, "{fault:?}");
        server
            .wait_for_requests("the end of the connection", |log| {
                log.iter().any(|logged| logged.cut_off)
            })
            .await;
    }
}

/// Reads at least so many bytes, cancels the rest and gives their number.
const READ_AND_CANCEL: &str = "const abort = new AbortController();
    const reader = (await fetch(args[0], { signal: abort.signal })).body.getReader();
    let got = 0;
    while (got < args[1]) {
      const { done, value } = await reader.read();
      if (done) break;
      got += value.length;
    }
    abort.abort();
    return got;";

async fn a_stopped_server_is_gone_and_comes_back(context: Context) {
    let site = Site::start().await;
    let page = context
        .visit(&format!("{}/blank.html", site.origin()))
        .await;
    let server = ten_bytes().await;
    let url = format!("{}/objects/a", server.url());
    for _ in 0..2 {
        assert_eq!(
            page.value::<Value>(FETCH, json!([url])).await,
            json!([200, BODY])
        );
        server.stop().await;
        assert_eq!(page.value::<Value>(FETCH, json!([url])).await, "failed");
        server.start_again().await;
    }
}

/// Makes the database as the product lays it out, with one record.
const STORE: &str = r#"
    await new Promise((resolve, reject) => {
      const request = indexedDB.open("webimport", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("objects");
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const transaction = request.result.transaction("objects", "readwrite");
        transaction.objectStore("objects").put(new Uint8Array([7, 8, 9]), "ab");
        transaction.oncomplete = () => { request.result.close(); resolve(); };
      };
    })"#;

async fn a_stored_bit_can_be_flipped(context: Context) {
    let site = Site::start().await;
    let page = context
        .visit(&format!("{}/blank.html", site.origin()))
        .await;
    let _: Value = page.value(STORE, json!([])).await;
    assert_eq!(page.stored_objects().await, ["ab"]);
    assert_eq!(page.stored_size("ab").await, 3);
    page.flip_stored_bit("ab", 1).await;
    page.reload().await;
    let bytes: Vec<u8> = page
        .value(
            "const open = indexedDB.open('webimport');
             const database = await new Promise((resolve) => { open.onsuccess = () => resolve(open.result); });
             const get = database.transaction('objects').objectStore('objects').get('ab');
             const bytes = await new Promise((resolve) => { get.onsuccess = () => resolve(get.result); });
             database.close(); return Array.from(bytes)",
            json!([]),
        )
        .await;
    assert_eq!(bytes, [7, 9, 9]);
}

async fn each_site_has_storage_of_its_own(context: Context) {
    for _ in 0..2 {
        let site = Site::start().await;
        let page = context
            .visit(&format!("{}/blank.html", site.origin()))
            .await;
        let databases: Vec<Value> = page.value("return indexedDB.databases()", json!([])).await;
        assert_eq!(databases, [Value::Null; 0]);
        let _: Value = page.value(STORE, json!([])).await;
    }
}
