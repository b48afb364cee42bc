//! From a script tag to a verified import, on real packages.

use serde_json::{Value, json};
use webimport_browser_tests::fixture::published;
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{
    Block, Context, Page, Pyodide, Realm, RepositoryServer, Setup, Site, scratch, tests,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        real_packages_import_on_the_page,
        real_packages_import_in_a_module_worker,
        real_packages_import_on_pyodide_0_29,
        real_packages_import_in_a_module_worker_on_pyodide_0_29,
        a_second_visit_needs_no_server,
        a_pinned_release_loads_without_a_request,
        progress_goes_from_metadata_to_done,
        an_unloaded_release_leaves_nothing,
    ]
}

/// Pins the repository's root and gives both names their repository.
fn config(url: &str) -> Value {
    let place = json!({"repository": url});
    json!({
        "repositories": {url: {"root": published().repository.pin()}},
        "releases": {"rich": place, "networkx": place},
    })
}

fn setup(url: &str, realm: Realm) -> Setup {
    let config = config(url);
    match realm {
        Realm::Page => Setup {
            blocks: vec![Block::Inline(config.to_string())],
            ..Setup::default()
        },
        // A worker has no document: its config comes with `attach`.
        Realm::Worker => Setup {
            realm,
            config: Some(config),
            ..Setup::default()
        },
    }
}

async fn rich_prints_a_table(page: &Page) {
    let cell = page
        .cell(
            "await loadRelease('rich')\n\
             from rich.console import Console\n\
             from rich.table import Table\n\
             table = Table('planet', 'moons')\n\
             table.add_row('Mars', '2')\n\
             table.add_row('Jupiter', '95')\n\
             Console(width=40, color_system=None, force_terminal=True).print(table)",
        )
        .await;
    assert!(cell.error.is_none(), "{}", cell.error.expect("it is there"));
    let printed = cell.printed.join("\n");
    assert!(
        printed.contains("┃ planet  ┃ moons ┃") && printed.contains("│ Jupiter │ 95    │"),
        "{printed}"
    );
}

async fn networkx_finds_a_path(page: &Page) {
    let found = page
        .run(
            "await loadRelease('networkx')\n\
             import networkx\n\
             networkx.shortest_path(networkx.cycle_graph(9), 1, 6)",
        )
        .await;
    assert_eq!(found, json!([1, 0, 8, 7, 6]));
}

async fn real_packages_import(context: Context, pyodide: Pyodide, realm: Realm) {
    let server = RepositoryServer::start(&published().repository.root()).await;
    let site = Site::start().await;
    let page = context
        .open(
            &site,
            &Setup {
                pyodide,
                ..setup(&server.url(), realm)
            },
        )
        .await;
    rich_prints_a_table(&page).await;
    networkx_finds_a_path(&page).await;

    let loads = page.loads().await;
    assert_eq!(loads.len(), 2, "{loads:?}");
    for load in &loads {
        assert_eq!(load["storage"], "indexeddb", "{load}");
        let warnings: Vec<&str> = load["warnings"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|warning| warning["code"].as_str())
            .collect();
        if pyodide == Pyodide::V314 {
            assert_eq!(load["bytecode"], "cpython-314", "{load}");
            assert_eq!(warnings, [""; 0]);
        } else {
            assert_eq!(load["bytecode"], Value::Null, "{load}");
            assert_eq!(warnings, ["resolve.bytecode"]);
        }
        assert_eq!(
            (&load["trust"]["how"], &load["trust"]["root"]),
            (&json!("chain"), &json!(published().repository.pin())),
            "{load}"
        );
        assert!(
            load["network"]["files"].as_u64() > Some(0)
                && load["network"]["bytes"].as_u64() > Some(0),
            "{load}"
        );
        assert_eq!(load["cache"]["files"], 0, "{load}");
    }
    assert_eq!(
        loads[0]["distributions"].as_array().map(Vec::len),
        Some(4),
        "{}",
        loads[0]
    );

    the_files_are_really_there(&page, &loads).await;
    the_files_cannot_be_changed(&page).await;
    assert_eq!(page.log().await, [""; 0]);
}

/// Everything that reads a module's files works as with an installed package.
async fn the_files_are_really_there(page: &Page, loads: &[Value]) {
    let facts = page
        .run(
            "import importlib.metadata, importlib.resources, inspect, pkgutil, sys, traceback\n\
             import networkx, rich.table\n\
             try: networkx.shortest_path(networkx.Graph(), 0, 1)\n\
             except Exception as error: lines = traceback.format_exception(error)\n\
             frame = [line for line in lines if '/webimport/networkx-' in line][0]\n\
             {\n\
             'source': inspect.getsource(rich.table.Table).startswith('class Table'),\n\
             'open': open(rich.table.__file__).read() == inspect.getsource(rich.table),\n\
             'versions': [importlib.metadata.version(name) for name in ('rich', 'pygments', 'networkx')],\n\
             'resource': importlib.resources.files('networkx').joinpath('__init__.py').is_file(),\n\
             'submodules': len([module for module in pkgutil.iter_modules(networkx.__path__)]) > 5,\n\
             'frame_shows_source': len(frame.splitlines()) > 1,\n\
             'last_on_the_path': [entry.split('-')[0] for entry in sys.path][-2:],\n\
             }",
        )
        .await;
    let versions = facts["versions"].clone();
    let expected: Vec<&Value> = loads
        .iter()
        .flat_map(|load| load["distributions"].as_array().expect("a list"))
        .collect();
    for (name, version) in ["rich", "pygments", "networkx"]
        .iter()
        .zip(versions.as_array().expect("a list"))
    {
        assert!(
            expected
                .iter()
                .any(
                    |it| it["name"].as_str().map(str::to_lowercase).as_deref() == Some(name)
                        && it["version"] == *version
                ),
            "{name} {version}: {loads:?}"
        );
    }
    assert_eq!(
        facts,
        json!({"source": true, "open": true, "versions": versions, "resource": true, "submodules": true, "frame_shows_source": true,
               "last_on_the_path": ["/webimport/rich", "/webimport/networkx"]}),
    );
}

async fn the_files_cannot_be_changed(page: &Page) {
    let refused = page
        .run(
            "import os, shutil\n\
             root, file = os.path.dirname(networkx.__file__), networkx.__file__\n\
             def attempt(act):\n    \
                 try: act()\n    \
                 except OSError as error: return type(error).__name__\n    \
                 return 'done'\n\
             [attempt(act) for act in (\n    \
                 lambda: open(file, 'w'), lambda: open(file, 'a'), lambda: open(file, 'r+'), lambda: open(root + '/new.py', 'w'),\n    \
                 lambda: os.remove(file), lambda: os.rename(file, file + 'x'), lambda: os.mkdir(root + '/new'),\n    \
                 lambda: os.rmdir(root + '/utils'), lambda: os.chmod(file, 0o777), lambda: os.truncate(file, 0),\n    \
                 lambda: os.symlink('/etc', root + '/link'), lambda: os.utime(file))]",
        )
        .await;
    assert_eq!(refused, json!(vec!["PermissionError"; 12]));
    assert_eq!(
        page.run("open(file).read() == inspect.getsource(networkx)")
            .await,
        true
    );
}

async fn real_packages_import_on_the_page(context: Context) {
    real_packages_import(context, Pyodide::V314, Realm::Page).await;
}

async fn real_packages_import_in_a_module_worker(context: Context) {
    real_packages_import(context, Pyodide::V314, Realm::Worker).await;
}

async fn real_packages_import_on_pyodide_0_29(context: Context) {
    real_packages_import(context, Pyodide::V029, Realm::Page).await;
}

async fn real_packages_import_in_a_module_worker_on_pyodide_0_29(context: Context) {
    real_packages_import(context, Pyodide::V029, Realm::Worker).await;
}

async fn a_second_visit_needs_no_server(context: Context) {
    let server = RepositoryServer::start(&published().repository.root()).await;
    let site = Site::start().await;
    let url = site.add_page(&setup(&server.url(), Realm::Page));
    let profile = scratch::folder("profile");
    for visit in ["first", "second"] {
        // The browser is started anew, so that nothing but its profile is left of the first visit.
        let session = context.browser_with_profile(&profile).await;
        let page = session.open().await;
        context.remember(&page);
        page.goto(&url).await;
        page.ready()
            .await
            .unwrap_or_else(|raised| panic!("{visit} visit: {raised}"));
        rich_prints_a_table(&page).await;
        networkx_finds_a_path(&page).await;
        for load in page.loads().await {
            assert_eq!(load["offline"], visit == "second", "{load}");
            let source = if visit == "first" { "network" } else { "cache" };
            let other = if visit == "first" { "cache" } else { "network" };
            assert!(load[source]["files"].as_u64() > Some(0), "{visit}: {load}");
            assert_eq!(
                (&load[other]["files"], &load[other]["bytes"]),
                (&json!(0), &json!(0)),
                "{visit}: {load}"
            );
        }
        session.close().await;
        server.stop().await;
    }
}

async fn a_pinned_release_loads_without_a_request(context: Context) {
    let server = RepositoryServer::start(&published().repository.root()).await;
    let site = Site::start().await;
    for realm in [Realm::Page, Realm::Worker] {
        let page = context.open(&site, &setup(&server.url(), realm)).await;
        networkx_finds_a_path(&page).await;
        // The sources, too, which nobody waited for.
        page.run("release = await loadRelease('networkx'); await release.prefetch()")
            .await;
        page.leave().await;
        server.forget_requests();

        let page = context.open(&site, &setup(&server.url(), realm)).await;
        let pin = &published().networkx;
        let cell = format!(
            "release = await loadRelease('networkx', sha256='{pin}')\nimport networkx\nrelease.sha256"
        );
        assert_eq!(page.run(&cell).await, json!(pin));
        assert_eq!(server.requests(), []);
        let load = page.last_load().await;
        assert_eq!(
            (&load["network"]["requests"], &load["network"]["files"]),
            (&json!(0), &json!(0)),
            "{load}"
        );
        // Without the pin the same page asks whether the channel has moved.
        page.run("release.unload(); await loadRelease('networkx')")
            .await;
        assert!(!server.requests().is_empty());
    }
}

async fn progress_goes_from_metadata_to_done(context: Context) {
    let server = RepositoryServer::start(&published().repository.root()).await;
    let site = Site::start().await;
    for (visit, cached) in [("first", false), ("second", true)] {
        let page = context
            .open(&site, &setup(&server.url(), Realm::Page))
            .await;
        let seen = page
            .run(
                "seen = []\n\
                 await loadRelease('networkx', progress=lambda progress: seen.append(progress.phase))\n\
                 seen",
            )
            .await;
        let events = page.progress().await;
        let phases: Vec<&str> = events
            .iter()
            .filter_map(|event| event["phase"].as_str())
            .collect();
        let order = ["metadata", "manifest", "objects", "mount", "done"];
        let positions: Vec<usize> = phases
            .iter()
            .filter_map(|phase| order.iter().position(|it| it == phase))
            .collect();
        assert!(
            positions.is_sorted() && positions.len() == phases.len(),
            "{visit}: {phases:?}"
        );
        assert_eq!(
            (phases.first(), phases.last()),
            (Some(&"metadata"), Some(&"done")),
            "{visit}: {phases:?}"
        );
        let of_objects: Vec<&Value> = events
            .iter()
            .filter(|event| event["phase"] == "objects")
            .collect();
        assert!(
            of_objects.is_sorted_by_key(|event| event["bytesDone"].as_u64()),
            "{visit}: {of_objects:?}"
        );
        let last = events.last().expect("there are events");
        assert!(
            last["bytesTotal"].as_u64() > Some(100_000) && last["filesTotal"].as_u64() > Some(200),
            "{last}"
        );
        assert_eq!(
            (&last["bytesDone"], &last["filesDone"]),
            (&last["bytesTotal"], &last["filesTotal"]),
            "{visit}: {last}"
        );
        assert_eq!(last["cached"], cached, "{visit}: {last}");
        assert!(
            last["release"]
                .as_str()
                .is_some_and(|release| release.starts_with("networkx@")),
            "{last}"
        );
        assert_eq!(
            seen,
            json!(phases),
            "{visit}: the callback sees what the events say"
        );
        page.leave().await;
    }
}

async fn an_unloaded_release_leaves_nothing(context: Context) {
    let server = RepositoryServer::start(&published().repository.root()).await;
    let site = Site::start().await;
    let page = context
        .open(&site, &setup(&server.url(), Realm::Page))
        .await;
    let state = "import os, sys\n\
                 [[entry for entry in sys.path if 'webimport' in entry], os.path.isdir('/webimport') and os.listdir('/webimport'),\n\
                 [name for name in sys.modules if name.startswith('networkx')]]";
    networkx_finds_a_path(&page).await;
    page.run("release = await loadRelease('networkx')\nrelease.unload()\nrelease.unload()")
        .await;
    let left = page.run(state).await;
    assert_eq!((&left[0], &left[2]), (&json!([]), &json!([])));
    assert!(left[1] == json!([]) || left[1] == json!(false), "{left}");
    assert_eq!(
        page.raises("import networkx").await.class,
        "ModuleNotFoundError"
    );
    networkx_finds_a_path(&page).await;
}
