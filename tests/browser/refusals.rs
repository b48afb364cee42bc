//! Bad input: each is refused with its code and a hint, loads nothing, and leaves what was there usable.
//!
//! Each refusal has its acceptance: the same call goes through as soon as the one fault is gone.

use std::cell::Cell;

use serde_json::{Value, json};
use webimport_browser_tests::fixture::{HandMade, Repository};
use webimport_browser_tests::suite::Test;
use webimport_browser_tests::{Context, Fault, Page, Raised, RepositoryServer, Setup, Site, tests};
use webimport_core::time::UnixTime;

pub(crate) fn tests() -> Vec<Test> {
    tests![
        a_repository_without_a_root_pin,
        another_root_than_the_pinned_one,
        a_changed_first_root,
        changed_bytes,
        bodies_that_end_early,
        bodies_that_go_on,
        answers_404_and_500,
        html_pages_with_status_200,
        dropped_connections,
        http_to_a_host_that_is_not_loopback,
        unknown_names_versions_and_channels,
        old_metadata,
        expired_metadata,
        unsafe_paths,
        files_that_run_at_start_up,
        import_names_that_others_have,
        a_release_for_another_python,
        a_manifest_that_contradicts_itself,
    ]
}

/// What Python could see of a release: search path, mounts, loaded modules, and what the tests' names would import.
pub(crate) const WORLD: &str = r#"
import importlib, importlib.util, os, sys

def world():
    importlib.invalidate_caches()
    mounts = sorted(os.listdir("/webimport")) if os.path.isdir("/webimport") else []
    # The product may import its own and the standard library's modules at any time.
    known = sys.stdlib_module_names | {"webimport"}
    modules = sorted(name for name in sys.modules if name.partition(".")[0] not in known)
    found = [name for name in ("victim", "evil", "sitecustomize") if importlib.util.find_spec(name)]
    return [sys.path, mounts, modules, found, os.path.exists("/evil.py")]

def forget(*names):
    for module in list(sys.modules):
        if module.partition(".")[0] in names:
            del sys.modules[module]
"#;

/// A page with a repository that it trusts, from which `steady` has been loaded before.
struct Bench {
    repository: Repository,
    server: RepositoryServer,
    _site: Site,
    page: Page,
    published: Cell<u32>,
}

impl Bench {
    async fn new(context: &Context) -> Self {
        let repository = Repository::new();
        repository.publish(&HandMade::package("steady", "1.0"));
        let server = RepositoryServer::start(&repository.root()).await;
        let site = Site::start().await;
        let page = context
            .open(&site, &Setup::trusting(&server.url(), repository.pin()))
            .await;
        page.run(WORLD).await;
        let bench = Self {
            repository,
            server,
            _site: site,
            page,
            published: Cell::new(0),
        };
        bench
            .accepts(&bench.load("steady", ""), "steady", "1.0")
            .await;
        bench
    }

    /// A call for a release of this repository.
    fn load(&self, release: &str, options: &str) -> String {
        format!(
            "await loadRelease('{}/{release}'{options})",
            self.server.url()
        )
    }

    /// Publishes a new version of `victim` and gives the version.
    fn publish_victim(&self) -> String {
        self.published.set(self.published.get() + 1);
        let version = format!("{}.0", self.published.get());
        self.repository
            .publish(&HandMade::package("victim", &version));
        version
    }

    /// Runs a load that has to be refused, and looks at what it left behind.
    async fn refuses(&self, load: &str, codes: &[&str]) -> Raised {
        let raised = refuses(&self.page, load, codes).await;
        // What was cached before is still good, without any request.
        self.accepts(&self.load("steady", ", offline='only'"), "steady", "1.0")
            .await;
        raised
    }

    /// Runs a load that has to work, imports from it, and unloads it.
    async fn accepts(&self, load: &str, module: &str, version: &str) {
        accepts(&self.page, load, module, version).await;
    }

    /// A new version of `victim` is refused while its repository has this fault, and accepted when it has not.
    async fn refuses_while(&self, pattern: &str, fault: Fault, codes: &[&str]) {
        let version = self.publish_victim();
        // From a repository that was never seen before.
        let stranger = Repository::new();
        stranger.publish(&HandMade::package("victim", &format!("{version}.0")));
        let server = RepositoryServer::start(&stranger.root()).await;
        server.fault(pattern, fault.clone());
        let load = format!(
            "await loadRelease('{}/victim', root='{}')",
            server.url(),
            stranger.pin()
        );
        self.refuses(&load, codes).await;
        server.mend();
        self.accepts(&load, "victim", &format!("{version}.0")).await;

        // From a repository whose last state is known. Where its metadata cannot be had, that state stands for it, which
        // does not have the new version.
        let mut codes = codes.to_vec();
        if pattern.starts_with("metadata/") && codes.iter().any(|code| code.starts_with("fetch.")) {
            codes.extend(["resolve.unknown_name", "resolve.unknown_version"]);
        }
        self.server.fault(pattern, fault);
        let load = self.load(&format!("victim@{version}"), "");
        self.refuses(&load, &codes).await;
        self.server.mend();
        self.accepts(&load, "victim", &version).await;
    }
}

/// Runs a load that has to be refused, on a page that has run [`WORLD`].
pub(crate) async fn refuses(page: &Page, load: &str, codes: &[&str]) -> Raised {
    let before = page.run("world()").await;
    let raised = page.raises(load).await;
    assert!(
        codes.contains(&raised.code()),
        "expected one of {codes:?}, got {raised}\n--- cell\n{load}"
    );
    assert!(!raised.hint().trim().is_empty(), "no hint: {raised}");
    assert!(
        raised.bases.iter().any(|base| base == "WebImportError"),
        "{raised}: {:?}",
        raised.bases
    );
    assert!(
        raised.bases.iter().any(|base| base == "ImportError"),
        "{raised}: {:?}",
        raised.bases
    );
    assert!(
        !raised
            .bases
            .iter()
            .any(|base| base == "ModuleNotFoundError"),
        "{raised}"
    );
    assert_eq!(
        page.run("world()").await,
        before,
        "a refused load has left something\n--- cell\n{load}"
    );
    raised
}

async fn accepts(page: &Page, load: &str, module: &str, version: &str) {
    let cell = format!(
        "release = {load}\nimport {module}\nfound = [{module}.VALUE, {module}.__file__.startswith(release.path + '/')]\n\
         release.unload()\nforget('{module}')\nfound"
    );
    assert_eq!(
        page.run(&cell).await,
        json!([version, true]),
        "\n--- cell\n{cell}"
    );
}

async fn a_repository_without_a_root_pin(context: Context) {
    let bench = Bench::new(&context).await;
    let stranger = Repository::new();
    stranger.publish(&HandMade::package("victim", "1.0"));
    let server = RepositoryServer::start(&stranger.root()).await;
    let load = |options: &str| format!("await loadRelease('{}/victim'{options})", server.url());
    bench.refuses(&load(""), &["trust.no_root"]).await;
    bench
        .refuses(&load(", offline='only'"), &["trust.no_root"])
        .await;
    assert_eq!(
        server.requests(),
        [],
        "a repository that nobody trusts was asked"
    );
    let pinned = format!(", root='{}'", stranger.pin());
    bench.accepts(&load(&pinned), "victim", "1.0").await;
    // First-use trust is for those who ask for it by name, and for that repository from then on.
    bench
        .accepts(&load(", trust='first-use'"), "victim", "1.0")
        .await;
}

async fn another_root_than_the_pinned_one(context: Context) {
    let bench = Bench::new(&context).await;
    bench.publish_victim();
    let wrong = format!(", root='sha256:{}'", "0".repeat(64));
    bench
        .refuses(&bench.load("victim", &wrong), &["trust.root_mismatch"])
        .await;
    for malformed in ["sha256:12", "md5:00", ""] {
        bench
            .refuses(
                &bench.load("victim", &format!(", root='{malformed}'")),
                &["config.invalid"],
            )
            .await;
    }
    let right = format!(", root='{}'", bench.repository.pin());
    bench
        .accepts(&bench.load("victim", &right), "victim", "1.0")
        .await;
}

async fn a_changed_first_root(context: Context) {
    let bench = Bench::new(&context).await;
    let stranger = Repository::new();
    stranger.publish(&HandMade::package("victim", "1.0"));
    let server = RepositoryServer::start(&stranger.root()).await;
    let load = format!(
        "await loadRelease('{}/victim', root='{}')",
        server.url(),
        stranger.pin()
    );
    for fault in [
        Fault::FlipBit(200),
        Fault::FlipBit(-10),
        Fault::Append(b" ".to_vec()),
    ] {
        server.fault("metadata/1.root.json", fault);
        bench.refuses(&load, &["trust.root_mismatch"]).await;
    }
    server.fault("metadata/1.root.json", Fault::Status(404));
    bench.refuses(&load, &["fetch.not_found"]).await;
    server.fault("metadata/1.root.json", Fault::HtmlPage);
    bench
        .refuses(&load, &["trust.root_mismatch", "verify.malformed"])
        .await;
    server.mend();
    bench.accepts(&load, "victim", "1.0").await;
}

/// Each kind of file of a repository, with the codes for bytes that are not the announced ones.
const FILES: [(&str, &[&str]); 5] = [
    ("objects/*", &["verify.digest"]),
    ("targets/*", &["verify.digest"]),
    ("metadata/*.targets.json", &["verify.digest"]),
    ("metadata/*.snapshot.json", &["verify.digest"]),
    // Nothing announces the timestamp: its signature speaks, or its form.
    (
        "metadata/timestamp.json",
        &["verify.threshold", "verify.malformed"],
    ),
];

async fn changed_bytes(context: Context) {
    let bench = Bench::new(&context).await;
    for (pattern, codes) in FILES {
        for offset in [0_isize, 120, -3] {
            // The objects of these releases are short.
            let offset = if pattern == "objects/*" {
                offset.signum()
            } else {
                offset
            };
            bench
                .refuses_while(pattern, Fault::FlipBit(offset), codes)
                .await;
        }
    }
    // A key rotation that nobody signed.
    bench
        .refuses_while(
            "metadata/2.root.json",
            Fault::Replace(b"{}".to_vec()),
            &["fetch.not_found", "verify.malformed"],
        )
        .await;
}

async fn bodies_that_end_early(context: Context) {
    let bench = Bench::new(&context).await;
    for (pattern, _) in FILES {
        bench
            .refuses_while(
                pattern,
                Fault::Truncate(9),
                &["fetch.truncated", "fetch.network"],
            )
            .await;
    }
    for (pattern, _) in FILES {
        // As if the upload had been cut: the host announces the short length.
        let codes: &[&str] = if pattern.ends_with("timestamp.json") {
            &["verify.malformed"]
        } else {
            &["verify.length", "fetch.truncated"]
        };
        bench
            .refuses_while(pattern, Fault::Replace(b"{\"sig".to_vec()), codes)
            .await;
    }
}

async fn bodies_that_go_on(context: Context) {
    let bench = Bench::new(&context).await;
    for (pattern, _) in FILES {
        let codes: &[&str] = if pattern.ends_with("timestamp.json") {
            &["verify.malformed"]
        } else {
            &["verify.length", "verify.too_large"]
        };
        bench
            .refuses_while(pattern, Fault::Append(b"{}".to_vec()), codes)
            .await;
        bench
            .refuses_while(
                pattern,
                Fault::Append(vec![b' '; 4_000_000]),
                &["verify.length", "verify.too_large"],
            )
            .await;
    }
}

async fn answers_404_and_500(context: Context) {
    let bench = Bench::new(&context).await;
    for (pattern, _) in FILES {
        for (status, code) in [(404, "fetch.not_found"), (500, "fetch.status")] {
            bench
                .refuses_while(pattern, Fault::Status(status), &[code])
                .await;
        }
    }
}

async fn html_pages_with_status_200(context: Context) {
    let bench = Bench::new(&context).await;
    for (pattern, _) in FILES {
        let codes: &[&str] = if pattern.ends_with("timestamp.json") {
            &["verify.malformed"]
        } else {
            &[
                "verify.length",
                "verify.too_large",
                "verify.digest",
                "fetch.truncated",
            ]
        };
        bench.refuses_while(pattern, Fault::HtmlPage, codes).await;
    }
    // A host with a catch-all page also answers for the root that does not exist.
    bench
        .refuses_while(
            "metadata/2.root.json",
            Fault::HtmlPage,
            &["verify.malformed"],
        )
        .await;
}

async fn dropped_connections(context: Context) {
    let bench = Bench::new(&context).await;
    for (pattern, _) in FILES {
        bench
            .refuses_while(pattern, Fault::HangUp, &["fetch.network"])
            .await;
    }
}

async fn http_to_a_host_that_is_not_loopback(context: Context) {
    let bench = Bench::new(&context).await;
    let root = bench.repository.pin();
    for host in [
        "code.example.org",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "192.168.0.1",
        "10.0.0.1:8000",
    ] {
        let load = format!("await loadRelease('http://{host}/repo/victim', root='{root}')");
        bench.refuses(&load, &["url.insecure"]).await;
    }
    for (config, code) in [
        (
            json!({"repositories": {"http://code.example.org": {"root": root}}}),
            "url.insecure",
        ),
        (
            json!({"repositories": {bench.server.url(): {"root": root, "mirrors": ["http://code.example.org"]}}}),
            "url.insecure",
        ),
        (
            json!({"releases": {"victim": {"repository": "http://code.example.org"}}}),
            "url.insecure",
        ),
    ] {
        let load = format!("import json, webimport\nwebimport.configure(json.loads('{config}'))");
        bench.refuses(&load, &[code]).await;
    }
    for url in [
        "ftp://code.example.org/victim",
        "file:///victim",
        "data:,victim",
        "javascript:victim",
        "https://",
        "https://h/a b",
        "//h/a",
    ] {
        bench
            .refuses(&format!("await loadRelease('{url}')"), &["url.invalid"])
            .await;
    }
}

async fn unknown_names_versions_and_channels(context: Context) {
    let bench = Bench::new(&context).await;
    let version = bench.publish_victim();
    for (release, code, known) in [
        ("nobody", "resolve.unknown_name", "victim"),
        ("victim@77.0", "resolve.unknown_version", version.as_str()),
        ("victim@nightly", "resolve.unknown_channel", "stable"),
    ] {
        let raised = bench.refuses(&bench.load(release, ""), &[code]).await;
        assert!(
            raised.hint().contains(known),
            "the hint names what there is: {raised}"
        );
    }
    bench
        .refuses(
            &bench.load("victim", ", version='77.0'"),
            &["resolve.unknown_version"],
        )
        .await;
    let other = format!(", sha256='{}'", "0".repeat(64));
    bench
        .refuses(&bench.load("victim", &other), &["resolve.pin_mismatch"])
        .await;
    bench
        .refuses("await loadRelease('nobody')", &["url.invalid"])
        .await;
    bench
        .accepts(&bench.load("victim@stable", ""), "victim", &version)
        .await;
    bench
        .accepts(
            &bench.load(&format!("victim@{version}"), ""),
            "victim",
            &version,
        )
        .await;
}

/// TUF 5.4.3 and 5.5.5: an old, once valid state is offered again.
async fn old_metadata(context: Context) {
    let bench = Bench::new(&context).await;
    let old = std::fs::read(bench.repository.root().join("metadata/timestamp.json"))
        .expect("the repository has one");
    let version = bench.publish_victim();
    bench
        .accepts(&bench.load("victim", ""), "victim", &version)
        .await;
    bench.publish_victim();
    bench
        .server
        .fault("metadata/timestamp.json", Fault::Replace(old));
    bench
        .refuses(&bench.load("victim@2.0", ""), &["verify.rollback"])
        .await;
    bench.server.mend();
    bench
        .accepts(&bench.load("victim@2.0", ""), "victim", "2.0")
        .await;
    // Files of two states, mixed: the new timestamp with an old snapshot.
    let old = std::fs::read(bench.repository.root().join("metadata/2.snapshot.json"))
        .expect("the second state has one");
    bench
        .refuses_while(
            "metadata/*.snapshot.json",
            Fault::Replace(old),
            &["verify.digest", "verify.length"],
        )
        .await;
}

/// TUF 5.4.4: a state that nobody signs any more.
async fn expired_metadata(context: Context) {
    let bench = Bench::new(&context).await;
    let expired = Repository::signed_at(UnixTime(1_600_000_000));
    expired.publish(&HandMade::package("victim", "1.0"));
    let server = RepositoryServer::start(&expired.root()).await;
    let load = format!(
        "await loadRelease('{}/victim', root='{}')",
        server.url(),
        expired.pin()
    );
    bench.refuses(&load, &["verify.expired"]).await;
}

async fn unsafe_paths(context: Context) {
    let bench = Bench::new(&context).await;
    let cases: [&[&str]; 17] = [
        &["../evil.py"],
        &["victim/../../evil.py"],
        &["victim/.."],
        &["./evil.py"],
        &["/evil.py"],
        &["//evil.py"],
        &["victim//evil.py"],
        &["victim/evil.py/"],
        &["..\\evil.py"],
        &["victim\\evil.py"],
        &["C:/evil.py"],
        &["victim/evil\0.py"],
        &["victim/evil\n.py"],
        &["victim/Evil.py", "victim/evil.py"],
        &["Victim/evil.py"],
        // The same letter, composed and not; and two that many systems take for one.
        &["victim/e\u{301}vil.py"],
        &["victim/ﬁle.py", "victim/file.py"],
    ];
    for (number, paths) in cases.iter().enumerate() {
        let version = format!("{number}.0");
        let mut release = HandMade::package("victim", &version).claims(&["victim"]);
        for path in *paths {
            release = release.file(path, "VALUE = 'evil'\n");
        }
        bench.repository.publish(&release);
        let raised = bench
            .refuses(
                &bench.load(&format!("victim@{version}"), ""),
                &["verify.path"],
            )
            .await;
        assert!(
            !raised.message.contains('\0'),
            "the message is printable: {raised}"
        );
    }
    // A file that is a folder of another one.
    let release = HandMade::package("victim", "50.0")
        .file("victim/evil.py", "")
        .file("victim/evil.py/evil.py", "");
    bench.repository.publish(&release);
    bench
        .refuses(&bench.load("victim@50.0", ""), &["verify.path"])
        .await;
    let release = HandMade::package("victim", "51.0")
        .file("victim/évil.py", "")
        .file("victim/sub/__init__.py", "");
    bench.repository.publish(&release);
    bench
        .accepts(&bench.load("victim@51.0", ""), "victim", "51.0")
        .await;
}

async fn files_that_run_at_start_up(context: Context) {
    let bench = Bench::new(&context).await;
    let cases = [
        "evil.pth",
        "evil.PTH",
        "sitecustomize.py",
        "usercustomize.py",
        "sitecustomize/__init__.py",
        "SiteCustomize.py",
    ];
    for (number, path) in cases.iter().enumerate() {
        let version = format!("{number}.0");
        let release = HandMade::package("victim", &version)
            .claims(&["victim"])
            .file(path, "import os\n");
        bench.repository.publish(&release);
        bench
            .refuses(
                &bench.load(&format!("victim@{version}"), ""),
                &["verify.unsafe_file"],
            )
            .await;
    }
    let release = HandMade::package("victim", "50.0")
        .file("victim/sitecustomize.py", "")
        .file("victim/a.pth", "import os\n");
    bench.repository.publish(&release);
    bench
        .accepts(&bench.load("victim@50.0", ""), "victim", "50.0")
        .await;
}

async fn import_names_that_others_have(context: Context) {
    let bench = Bench::new(&context).await;
    // The standard library, Pyodide's own packages, webimport itself.
    for (number, module) in ["json", "sys", "_pyodide", "pyodide", "webimport", "js"]
        .iter()
        .enumerate()
    {
        let version = format!("{number}.0");
        let release = HandMade::package("victim", &version)
            .file(&format!("{module}/__init__.py"), "VALUE = 'evil'\n");
        bench.repository.publish(&release);
        let raised = bench
            .refuses(
                &bench.load(&format!("victim@{version}"), ""),
                &["resolve.shadow"],
            )
            .await;
        assert!(raised.message.contains(&format!("`{module}`")), "{raised}");
    }
    // Another loaded release.
    bench
        .repository
        .publish(&HandMade::package("owner", "1.0").file("shared.py", "VALUE = 'owner'\n"));
    bench
        .repository
        .publish(&HandMade::package("victim", "50.0").file("shared.py", "VALUE = 'victim'\n"));
    let owner = bench.load("owner", "");
    bench.page.run(&format!("owner = {owner}")).await;
    let load = bench.load("victim@50.0", "");
    bench.refuses(&load, &["resolve.shadow"]).await;
    assert_eq!(bench.page.run("import shared; shared.VALUE").await, "owner");
    // What the caller allows by name goes, and what has the name keeps it.
    bench
        .refuses(
            &bench.load("victim@50.0", ", allow_shadow=['other']"),
            &["resolve.shadow"],
        )
        .await;
    bench
        .accepts(
            &bench.load("victim@50.0", ", allow_shadow=['shared']"),
            "victim",
            "50.0",
        )
        .await;
    bench
        .page
        .run("owner.unload(); forget('shared', 'owner')")
        .await;
    bench.accepts(&load, "victim", "50.0").await;
    // A claim that its files do not bear out, in either direction.
    bench
        .repository
        .publish(&HandMade::package("victim", "60.0").claims(&["evil", "victim"]));
    bench
        .refuses(&bench.load("victim@60.0", ""), &["verify.malformed"])
        .await;
    bench.repository.publish(
        &HandMade::package("victim", "61.0")
            .file("json.py", "")
            .claims(&["victim"]),
    );
    bench
        .refuses(&bench.load("victim@61.0", ""), &["verify.malformed"])
        .await;
}

async fn a_release_for_another_python(context: Context) {
    let bench = Bench::new(&context).await;
    bench
        .repository
        .publish(&HandMade::package("victim", "1.0").set("requires_python", json!(">=4")));
    bench
        .refuses(&bench.load("victim@1.0", ""), &["resolve.python"])
        .await;
    bench
        .repository
        .publish(&HandMade::package("victim", "2.0").set("requires_python", json!(">=3.11")));
    bench
        .accepts(&bench.load("victim@2.0", ""), "victim", "2.0")
        .await;
}

async fn a_manifest_that_contradicts_itself(context: Context) {
    let bench = Bench::new(&context).await;
    let cases: [(&str, Value); 7] = [
        ("format", json!("webimport-release/2")),
        ("name", json!("other")),
        ("version", json!("99.0")),
        ("objects", json!([])),
        (
            "files",
            json!([{"path": "victim/__init__.py", "size": 9, "sha256": "00", "object": 0}]),
        ),
        (
            "files",
            json!([{"path": "victim/__init__.py", "size": 99, "sha256": "0".repeat(64), "object": 0}]),
        ),
        ("namespaces", json!(["victim"])),
    ];
    for (number, (key, value)) in cases.into_iter().enumerate() {
        let version = format!("{number}.0");
        bench
            .repository
            .publish(&HandMade::package("victim", &version).set(key, value));
        bench
            .refuses(
                &bench.load(&format!("victim@{version}"), ""),
                &["verify.malformed"],
            )
            .await;
    }
}
