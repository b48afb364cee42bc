//! What `dist` makes, and what `webimport new` makes, used the way their readers would.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::site::STRICT_POLICY;
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{
    Context, Pyodide, Realm, RepositoryServer, Setup, Site, scratch, tests, tools,
};

pub(crate) fn tests() -> Vec<Test> {
    tests![
        the_npm_archive_works_with_pyodide_alone,
        a_script_tag_with_integrity_accepts_only_these_bytes,
        a_changed_wasm_module_is_refused,
        the_wheel_gives_load_release,
        the_wheel_uses_the_script_that_the_page_has,
        the_wheel_says_what_a_strict_page_has_to_allow,
        the_template_is_released_and_imported,
    ]
}

/// Unpacks what `npm pack` makes of `dist/npm`.
fn npm_package() -> PathBuf {
    let folder = scratch::folder("npm");
    let source = tools::built("dist/npm/package.json", "cargo xtask dist");
    let run = |command: &mut Command| {
        let output = command.output().expect("the program starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let source = source.parent().expect("in a folder");
    let name = run(Command::new("npm")
        .args(["pack", "--silent", "--pack-destination"])
        .arg(&folder)
        .current_dir(source));
    run(Command::new("tar")
        .args(["-xzf", &name])
        .current_dir(&folder));
    folder.join("package")
}

/// A repository with `mylib` 1.0, served.
async fn shop() -> (Repository, RepositoryServer) {
    let repository = Repository::new();
    repository.publish(&HandMade::package("mylib", "1.0"));
    let server = RepositoryServer::start(&repository.root()).await;
    (repository, server)
}

const USE: &str = "import mylib; mylib.VALUE";

async fn the_npm_archive_works_with_pyodide_alone(context: Context) {
    let (repository, server) = shop().await;
    let package = npm_package();
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(package.join("package.json")).expect("a file"))
            .expect("JSON");
    assert_eq!(
        (&manifest["name"], &manifest["type"]),
        (&json!("webimport"), &json!("module"))
    );
    for file in [
        "webimport.js",
        "webimport.wasm",
        "webimport.d.ts",
        "README.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ] {
        assert!(package.join(file).is_file(), "the archive lacks {file}");
    }
    let site = Site::start().await;
    site.add_folder("/package/", &package, "");
    for realm in [Realm::Page, Realm::Worker] {
        let setup = Setup {
            script: "/package/webimport.js".to_owned(),
            realm,
            ..Setup::default()
        };
        let page = context.open(&site, &setup).await;
        let load = format!(
            "await loadRelease('{}/mylib', root='{}')\n{USE}",
            server.url(),
            repository.pin()
        );
        assert_eq!(page.run(&load).await, "1.0", "{realm:?}");
    }
}

async fn a_script_tag_with_integrity_accepts_only_these_bytes(context: Context) {
    let site = Site::start().await;
    let package = tools::built("dist/npm", "cargo xtask dist");
    site.add_folder("/webimport/", &package, "");
    // The tag that the package's README shows.
    let readme = std::fs::read_to_string(package.join("README.md")).expect("a file");
    let (_, rest) = readme
        .split_once("integrity=\"")
        .expect("the README shows the script tag");
    let integrity = rest.split('"').next().map(str::to_owned);
    let setup = Setup {
        integrity,
        ..Setup::default()
    };
    context.open(&site, &setup).await;

    let script = std::fs::read(package.join("webimport.js")).expect("a file");
    let mut changed = script;
    changed.push(b'\n');
    site.add_file("/changed/webimport.js", changed);
    let setup = Setup {
        script: "/changed/webimport.js".to_owned(),
        ..setup
    };
    let page = context.visit(&site.add_page(&setup)).await;
    let raised = page
        .ready()
        .await
        .expect_err("the browser refuses other bytes");
    assert!(raised.message.contains("no global `webimport`"), "{raised}");
}

async fn a_changed_wasm_module_is_refused(context: Context) {
    let site = Site::start().await;
    for name in ["webimport.js", "webimport.wasm"] {
        let mut bytes = std::fs::read(tools::built(
            &format!("target/site/{name}"),
            "cargo xtask dist",
        ))
        .expect("a file");
        if name == "webimport.wasm" {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        site.add_file(&format!("/changed/{name}"), bytes);
    }
    let page = context
        .visit(&site.add_page(&Setup {
            script: "/changed/webimport.js".to_owned(),
            ..Setup::default()
        }))
        .await;
    let raised = page
        .ready()
        .await
        .expect_err("the script knows its module's digest");
    assert_eq!(raised.code(), "verify.digest", "{raised}");
    assert!(!raised.hint().is_empty(), "{raised}");
}

/// Adds the wheel of `dist/pypi` to the site, and says its URL.
fn add_wheel(site: &Site) -> String {
    let name = "webimport-0.1.0-py3-none-any.whl";
    let wheel = tools::built(&format!("dist/pypi/{name}"), "cargo xtask dist");
    site.add_file(
        &format!("/pypi/{name}"),
        std::fs::read(wheel).expect("a file"),
    )
}

/// What the wheel needs beside what Pyodide needs: it imports its own script from a Blob.
const WHEEL_POLICY: &str = "script-src 'self' blob: 'wasm-unsafe-eval' 'unsafe-eval'";

fn install(url: &str) -> String {
    format!(
        "import pyodide_js\nawait pyodide_js.loadPackage('{url}')\nfrom webimport import loadRelease\n"
    )
}

async fn the_wheel_gives_load_release(context: Context) {
    let (repository, server) = shop().await;
    let site = Site::start().await;
    let wheel = add_wheel(&site);
    for (pyodide, realm) in [
        (Pyodide::V314, Realm::Page),
        (Pyodide::V314, Realm::Worker),
        (Pyodide::V029, Realm::Page),
    ] {
        let setup = Setup {
            policy: WHEEL_POLICY.to_owned(),
            pyodide,
            realm,
            ..Setup::plain()
        };
        let page = context.open(&site, &setup).await;
        let load = format!(
            "await loadRelease('{}/mylib', root='{}')\n{USE}",
            server.url(),
            repository.pin()
        );
        assert_eq!(
            page.run(&format!("{}{load}", install(&wheel))).await,
            "1.0",
            "{pyodide:?} {realm:?}"
        );
        // Installed like any distribution.
        assert_eq!(
            page.run("import importlib.metadata; importlib.metadata.version('webimport')")
                .await,
            "0.1.0"
        );
    }
}

async fn the_wheel_uses_the_script_that_the_page_has(context: Context) {
    let (repository, server) = shop().await;
    let site = Site::start().await;
    let wheel = add_wheel(&site);
    // Nobody has called `attach`.
    let setup = Setup {
        attach: false,
        ..Setup::default()
    };
    let page = context.open(&site, &setup).await;
    let load = format!(
        "await loadRelease('{}/mylib', root='{}')\n{USE}",
        server.url(),
        repository.pin()
    );
    assert_eq!(page.run(&format!("{}{load}", install(&wheel))).await, "1.0");
}

async fn the_wheel_says_what_a_strict_page_has_to_allow(context: Context) {
    let (repository, server) = shop().await;
    let site = Site::start().await;
    let wheel = add_wheel(&site);
    let page = context
        .open(
            &site,
            &Setup {
                policy: STRICT_POLICY.to_owned(),
                ..Setup::plain()
            },
        )
        .await;
    let load = format!(
        "{}await loadRelease('{}/mylib', root='{}')",
        install(&wheel),
        server.url(),
        repository.pin()
    );
    let raised = page.raises(&load).await;
    assert_eq!(
        (raised.code(), raised.class.as_str()),
        ("host.csp", "HostError"),
        "{raised}"
    );
    assert!(raised.hint().contains("script tag"), "{raised}");
    assert_eq!(server.requests(), []);
}

async fn the_template_is_released_and_imported(context: Context) {
    let repository = tokio::task::spawn_blocking(|| {
        let repository = Repository::new();
        repository.release_template("night-sky");
        repository
    });
    let repository = repository.await.expect("the template is released");
    let server = RepositoryServer::start(&repository.root()).await;
    let site = Site::start().await;
    let page = context
        .open(&site, &Setup::trusting(&server.url(), repository.pin()))
        .await;
    let shown = page
        .run(&format!(
            "release = await loadRelease('{}/night-sky')\n\
             from importlib.metadata import version\n\
             from importlib.resources import files\n\
             from night_sky import convert\n\
             from night_sky.tables import conversion_table\n\
             [release.version, version('night-sky'), convert(212, 'fahrenheit', 'celsius') == 100,\n \
              'km' in files('night_sky').joinpath('units.csv').read_text(), len(conversion_table(1, 'km')) > 20]",
            server.url()
        ))
        .await;
    assert_eq!(shown, json!(["0.1.0", "0.1.0", true, true, true]));
    assert_eq!(page.last_load().await["bytecode"], "cpython-314");
}
