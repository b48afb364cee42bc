//! The product in a real notebook: a JupyterLite site that the test builds offline.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;
use webimport_browser_tests::fixture::published;
use webimport_browser_tests::suite::{self, Test};
use webimport_browser_tests::wheel::write_wheel;
use webimport_browser_tests::{Browser, Context, Page, RepositoryServer, Site, scratch, tools};

fn main() {
    suite::run(&[
        Test::new(
            "hosts::jupyterlite::the_kernel_installs_a_wheel_from_a_url",
            the_kernel_installs_a_wheel_from_a_url,
        )
        .only_in(&[Browser::Chromium]),
        Test::new(
            "hosts::jupyterlite::a_release_is_loaded_and_imported",
            a_release_is_loaded_and_imported,
        )
        .only_in(&[Browser::Chromium]),
    ])
}

/// The built site: JupyterLite with its Pyodide kernel, and a Pyodide folder that has what the kernel installs, so that
/// nothing outside loopback is asked.
fn built_site() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = scratch::folder("jupyterlite");
        let kernel = json!({"disablePyPIFallback": true});
        let settings = json!({
            "jupyter-lite-schema-version": 0,
            "jupyter-config-data": {"litePluginSettings": {"@jupyterlite/pyodide-kernel-extension:kernel": kernel}},
        });
        std::fs::write(root.join("jupyter-lite.json"), settings.to_string()).expect("the scratch folder is writable");
        std::fs::create_dir_all(root.join("files")).expect("the scratch folder is writable");
        let pyodide = root.join("static/pyodide");
        std::fs::create_dir_all(&pyodide).expect("the scratch folder is writable");
        for entry in std::fs::read_dir(tools::tool("jupyterlite-pyodide")).expect("a folder") {
            let entry = entry.expect("a folder entry");
            std::fs::copy(entry.path(), pyodide.join(entry.file_name())).expect("the scratch folder is writable");
        }
        let built = Command::new(tools::tool("venv/bin/jupyter"))
            .args(["lite", "build", "--lite-dir", ".", "--output-dir", "dist", "--contents", "files"])
            .current_dir(&root)
            .output()
            .expect("jupyter starts");
        assert!(built.status.success(), "{}\n{}", String::from_utf8_lossy(&built.stdout), String::from_utf8_lossy(&built.stderr));
        root.join("dist")
    })
}

/// Opens the REPL with one cell that runs by itself.
async fn repl(context: &Context, site: &Site, code: &str) -> Page {
    site.add_folder("/", built_site(), "");
    let query: Vec<String> = code.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let query = query.concat();
    context
        .visit(&format!(
            "{}/repl/index.html?kernel=python&execute=1&code={query}",
            site.origin()
        ))
        .await
}

/// Waits until the outputs have this text or an error. Output comes in pieces, so the text has to be whole.
async fn output(page: &Page, marker: &str) {
    let script = "const text = Array.from(document.querySelectorAll('.jp-OutputArea-output'), (node) => node.innerText).join('\\n');
                  return text.includes(args[0]) || text.includes('Traceback') || text.includes('Error') ? text : null";
    let text: String = page
        .wait_for("the cell's output", script, json!([marker]))
        .await;
    assert!(text.contains(marker), "{text}");
}

async fn the_kernel_installs_a_wheel_from_a_url(context: Context) {
    let wheel = write_wheel(
        &scratch::folder("wheel"),
        "greeting",
        "1.0",
        &[("greeting/__init__.py", "def greet(): return 'hello'\n")],
    );
    let site = Site::start().await;
    let name = wheel
        .file_name()
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    let url = site.add_file(
        &format!("/pypi/{name}"),
        std::fs::read(&wheel).expect("the wheel was written"),
    );
    let code = format!(
        "%pip install {url}\nimport greeting, sys\nprint('said', greeting.greet(), 'in', sys.platform)"
    );
    let page = repl(&context, &site, &code).await;
    output(&page, "said hello in emscripten").await;
}

async fn a_release_is_loaded_and_imported(context: Context) {
    let server = RepositoryServer::start(&published().repository.root()).await;
    let site = Site::start().await;
    let name = "webimport-0.1.0-py3-none-any.whl";
    let wheel = tools::built(&format!("dist/pypi/{name}"), "cargo xtask dist");
    let wheel = site.add_file(
        &format!("/pypi/{name}"),
        std::fs::read(wheel).expect("a file"),
    );
    let code = format!(
        "%pip install {wheel}\n\
         from webimport import loadRelease\n\
         release = await loadRelease('{}/networkx', root='{}')\n\
         import networkx\n\
         path = networkx.shortest_path(networkx.cycle_graph(9), 1, 6)\n\
         print('found', path, 'with', release.bytecode, 'from', release.storage)",
        server.url(),
        published().repository.pin()
    );
    let page = repl(&context, &site, &code).await;
    output(
        &page,
        "found [1, 0, 8, 7, 6] with cpython-314 from indexeddb",
    )
    .await;
    assert!(server.served("objects/*") > 0);

    // The next kernel finds it in the browser.
    server.stop().await;
    let page = repl(&context, &site, &code).await;
    output(
        &page,
        "found [1, 0, 8, 7, 6] with cpython-314 from indexeddb",
    )
    .await;
}
