//! The page's own server: test pages, the built `webimport.js`, Pyodide, and files that a test adds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::http_server::{HttpServer, Reply};
use crate::tools;

/// The policy under which Pyodide and `webimport.js` have to work.
pub const STRICT_POLICY: &str = "script-src 'self' 'wasm-unsafe-eval'";

/// A Pyodide release, as npm's package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pyodide {
    /// 314, Python 3.14.
    V314,
    /// 0.29, Python 3.13.
    V029,
}

impl Pyodide {
    /// Its folder on a site, and among npm's packages.
    pub fn folder(self) -> &'static str {
        match self {
            Self::V314 => "pyodide",
            Self::V029 => "pyodide-0.29",
        }
    }
}

/// The thread that Pyodide runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    /// The page's main thread; `webimport.js` comes by script tag.
    Page,
    /// A module worker, which imports `webimport.js`.
    Worker,
}

/// A `<script type="application/webimport+json">` block.
#[derive(Debug, Clone)]
pub enum Block {
    /// The text between the tags.
    Inline(String),
    /// The URL in `src`.
    Source(String),
}

/// What a test page is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which Pyodide.
    pub pyodide: Pyodide,
    /// Which thread.
    pub realm: Realm,
    /// Whether `webimport.js` is on the page, or the page has Pyodide alone.
    pub webimport: bool,
    /// Whether the page attaches `webimport.js` to its Pyodide.
    pub attach: bool,
    /// The second argument of `attach`.
    pub config: Option<Value>,
    /// The options of `boot`, but for where Pyodide is and `config`: Pyodide comes by it, and the global `booted` says how.
    pub boot: Option<Value>,
    /// The arguments of `prefetch`, which is called before Pyodide starts; its promise is the global `prefetching`.
    pub prefetch: Option<Value>,
    /// Config blocks.
    pub blocks: Vec<Block>,
    /// A classic script that runs in the page, and in the worker, before anything else.
    pub prelude: Option<String>,
    /// The `Content-Security-Policy` of the page and of its worker; empty for none.
    pub policy: String,
    /// The URL of `webimport.js`.
    pub script: String,
    /// The `integrity` attribute of its script tag.
    pub integrity: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            pyodide: Pyodide::V314,
            realm: Realm::Page,
            webimport: true,
            attach: true,
            config: None,
            boot: None,
            prefetch: None,
            blocks: Vec::new(),
            prelude: None,
            policy: STRICT_POLICY.to_owned(),
            script: "/webimport/webimport.js".to_owned(),
            integrity: None,
        }
    }
}

impl Setup {
    /// A page with Pyodide and nothing else.
    pub fn plain() -> Self {
        Self {
            webimport: false,
            ..Self::default()
        }
    }

    /// A page whose config block pins the root of one repository.
    pub fn trusting(repository: &str, root: &str) -> Self {
        let config = json!({"repositories": {repository: {"root": root}}});
        Self {
            blocks: vec![Block::Inline(config.to_string())],
            ..Self::default()
        }
    }
}

#[derive(Clone)]
struct Held {
    media_type: &'static str,
    policy: String,
    bytes: Arc<Vec<u8>>,
}

struct Folder {
    prefix: String,
    on_disk: PathBuf,
    policy: String,
}

#[derive(Default)]
struct Content {
    files: HashMap<String, Held>,
    folders: Vec<Folder>,
}

/// A server of pages, with an origin, and therefore a storage, of its own.
pub struct Site {
    server: HttpServer,
    content: Arc<Mutex<Content>>,
    pages: AtomicU32,
}

impl Site {
    /// Serves `/pyodide/`, `/pyodide-0.29/` and, where it is built, `/webimport/`.
    pub async fn start() -> Self {
        let modules = tools::tool("npm/node_modules");
        let mut content = Content::default();
        for version in [Pyodide::V314, Pyodide::V029] {
            let (prefix, folder) = (
                format!("/{}/", version.folder()),
                modules.join(version.folder()),
            );
            content.folders.push(Folder {
                prefix,
                on_disk: folder,
                policy: String::new(),
            });
        }
        let folder = tools::workspace().join("target/site");
        content.folders.push(Folder {
            prefix: "/webimport/".to_owned(),
            on_disk: folder,
            policy: String::new(),
        });
        for (path, text) in [
            ("/harness/log.js", include_str!("page/log.js")),
            ("/harness/main.js", include_str!("page/main.js")),
            ("/harness/realm.js", include_str!("page/realm.js")),
        ] {
            content
                .files
                .insert(path.to_owned(), held(path, text.as_bytes().to_vec(), ""));
        }
        let blank = "<!doctype html><title>blank</title>";
        content.files.insert(
            "/blank.html".to_owned(),
            held("/blank.html", blank.as_bytes().to_vec(), ""),
        );
        let content = Arc::new(Mutex::new(content));
        let inner = Arc::clone(&content);
        let server = HttpServer::start(move |request| {
            let reply = answer(&inner, &request);
            async move { Reply::Answer(reply) }
        })
        .await;
        Self {
            server,
            content,
            pages: AtomicU32::new(0),
        }
    }

    /// `http://127.0.0.1:PORT`, without a final slash.
    pub fn origin(&self) -> String {
        self.server.origin()
    }

    /// Stops the server; pages that are open stay open.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Serves these bytes at this path, and says the URL.
    pub fn add_file(&self, path: &str, bytes: impl Into<Vec<u8>>) -> String {
        self.insert(path, bytes.into(), "");
        format!("{}{path}", self.origin())
    }

    /// Serves this folder below this path, which starts and ends with a slash, under a policy, which may be empty. Of
    /// several folders below one path the one that was added last counts, file by file.
    pub fn add_folder(&self, path: &str, folder: &Path, policy: &str) {
        let added = Folder {
            prefix: path.to_owned(),
            on_disk: folder.to_path_buf(),
            policy: policy.to_owned(),
        };
        self.lock().folders.insert(0, added);
    }

    /// Makes a test page and says its URL.
    pub fn add_page(&self, setup: &Setup) -> String {
        let number = self.pages.fetch_add(1, Ordering::Relaxed);
        let prelude = setup.prelude.as_ref().map(|text| {
            let path = format!("/{number}/prelude.js");
            self.insert(&path, text.clone().into_bytes(), "");
            path
        });
        let orders = json!({
            "pyodide": format!("/{}/", setup.pyodide.folder()),
            "script": setup.webimport.then_some(&setup.script),
            "attach": setup.attach,
            "config": setup.config,
            "boot": setup.boot,
            "prefetch": setup.prefetch,
            "worker": (setup.realm == Realm::Worker).then(|| format!("/{number}/worker.js")),
        });
        let mut tags = vec![
            r#"<!doctype html><meta charset="utf-8"><title>test page</title><link rel="icon" href="data:,">"#.to_owned(),
            r#"<script src="/harness/log.js"></script>"#.to_owned(),
        ];
        tags.extend(
            prelude
                .as_ref()
                .map(|path| format!(r#"<script src="{path}"></script>"#)),
        );
        tags.extend(setup.blocks.iter().map(|block| match block {
            Block::Inline(text) => {
                format!(r#"<script type="application/webimport+json">{text}</script>"#)
            }
            Block::Source(url) => {
                format!(r#"<script type="application/webimport+json" src="{url}"></script>"#)
            }
        }));
        if setup.webimport && setup.realm == Realm::Page {
            let integrity = setup
                .integrity
                .as_ref()
                .map_or_else(String::new, |hash| format!(r#" integrity="{hash}""#));
            tags.push(format!(
                r#"<script type="module" src="{}"{integrity}></script>"#,
                setup.script
            ));
        }
        tags.push(format!(
            r#"<script type="application/json" id="orders">{orders}</script>"#
        ));
        tags.push(r#"<script type="module" src="/harness/main.js"></script>"#.to_owned());
        // The worker's policy comes with its own script, not with the page.
        let imports = prelude.map_or_else(String::new, |path| format!("import \"{path}\";\n"));
        let worker = format!("{imports}{}", include_str!("page/worker.js"));
        self.insert(
            &format!("/{number}/worker.js"),
            worker.into_bytes(),
            &setup.policy,
        );
        let path = format!("/{number}/index.html");
        self.insert(&path, tags.join("\n").into_bytes(), &setup.policy);
        format!("{}{path}", self.origin())
    }

    fn insert(&self, path: &str, bytes: Vec<u8>, policy: &str) {
        self.lock()
            .files
            .insert(path.to_owned(), held(path, bytes, policy));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held(path: &str, bytes: Vec<u8>, policy: &str) -> Held {
    Held {
        media_type: media_type(path),
        policy: policy.to_owned(),
        bytes: Arc::new(bytes),
    }
}

fn answer(content: &Mutex<Content>, request: &Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    let found = {
        let content = content.lock().unwrap_or_else(PoisonError::into_inner);
        content.files.get(path).cloned().or_else(|| {
            content.folders.iter().find_map(
                |Folder {
                     prefix,
                     on_disk,
                     policy,
                 }| {
                    let relative = path.strip_prefix(prefix.as_str())?;
                    let relative = if relative.is_empty() || relative.ends_with('/') {
                        format!("{relative}index.html")
                    } else {
                        relative.to_owned()
                    };
                    let bytes = (!relative.contains(".."))
                        .then(|| std::fs::read(on_disk.join(&relative)).ok())??;
                    Some(held(&relative, bytes, policy))
                },
            )
        })
    };
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(file) = found {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
        if !file.policy.is_empty() {
            let policy = HeaderValue::from_str(&file.policy).expect("a policy is a header value");
            headers.insert("content-security-policy", policy);
        }
        *response.body_mut() = Body::from(file.bytes.to_vec());
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Body::from(format!("no `{path}` on the test site"));
    }
    response
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "ipynb" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "toml" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
