//! The border to JavaScript.
//!
//! Structured values cross as JSON text, bytes as `Uint8Array`. A failure is thrown as a plain object
//! `{code, message, hint}`, of which the facade makes an `Error`.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array, Uint32Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{future_to_promise, spawn_local};
use webimport_core::config::{self, Config, Layer, Loaded};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, ConfigError, Error, Fault};
use webimport_core::fields::{self, Fields};
use webimport_core::json;
use webimport_core::limits::Limits;
use webimport_core::snapshot::MAX_DECODED;

use crate::bytes;
use crate::driver::{Driver, Progress};
use crate::files;
use crate::prefetch::{Prefetches, tell};
use crate::request::Request;
use crate::snapshot;
use crate::store::Store;
use crate::timer::now;

/// One page's or worker's client: configuration and cache.
#[wasm_bindgen]
pub struct Client {
    store: Rc<Store>,
    /// From far to near: page, notebook, call.
    layers: RefCell<[Config; 3]>,
    prefetches: Prefetches,
}

/// A verified release, ready to be mounted.
#[wasm_bindgen(getter_with_clone)]
pub struct Prepared {
    /// JSON text.
    #[wasm_bindgen(readonly)]
    pub description: String,
    /// The directory of the mount.
    #[wasm_bindgen(readonly)]
    pub path: String,
    /// Relative file paths, a line each.
    #[wasm_bindgen(readonly)]
    pub paths: String,
    /// For each path: object, offset and size in bytes.
    #[wasm_bindgen(readonly)]
    pub spans: Uint32Array,
    /// Folders whose files are in shards, a line each.
    #[wasm_bindgen(readonly)]
    pub folders: String,
    /// The shard of each folder.
    #[wasm_bindgen(readonly)]
    pub shards: Uint32Array,
    /// The objects that are there.
    #[wasm_bindgen(readonly)]
    pub objects: Uint32Array,
    /// Their bytes, decoded: `Uint8Array[]`.
    #[wasm_bindgen(readonly)]
    pub buffers: Array,
    /// For the other objects; lives until its own `free`.
    #[wasm_bindgen(readonly)]
    pub files: Files,
}

/// A verified memory snapshot.
#[wasm_bindgen(getter_with_clone)]
pub struct Snapshot {
    /// JSON text.
    #[wasm_bindgen(readonly)]
    pub description: String,
    /// Its bytes, decoded.
    #[wasm_bindgen(readonly)]
    pub bytes: Uint8Array,
}

/// What of a release comes after its load.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Files(Rc<files::Files>);

/// Files that became known after the load.
#[wasm_bindgen(getter_with_clone)]
pub struct Listing {
    /// Relative file paths, a line each.
    #[wasm_bindgen(readonly)]
    pub paths: String,
    /// For each path: object, offset and size in bytes.
    #[wasm_bindgen(readonly)]
    pub spans: Uint32Array,
    /// Folders whose files are in shards, a line each.
    #[wasm_bindgen(readonly)]
    pub folders: String,
    /// The shard of each folder.
    #[wasm_bindgen(readonly)]
    pub shards: Uint32Array,
}

/// Objects that came after the load.
#[wasm_bindgen(getter_with_clone)]
pub struct Supply {
    /// JSON text: `{fetched, bytes, requests, cached}`.
    #[wasm_bindgen(readonly)]
    pub report: String,
    /// Which objects.
    #[wasm_bindgen(readonly)]
    pub objects: Uint32Array,
    /// Their bytes, decoded: `Uint8Array[]`.
    #[wasm_bindgen(readonly)]
    pub buffers: Array,
}

// The promises own what they need, so that JavaScript may free the object while one is under way.
#[wasm_bindgen]
impl Files {
    /// What `modules` (dotted names) and their imports need and was not handed over yet: a promise of [`Supply`].
    pub fn fetch(&self, modules: Vec<String>) -> Promise {
        let files = Rc::clone(&self.0);
        future_to_promise(async move { supply(files.fetch(&modules).await) })
    }

    /// Those of these objects that were not handed over yet: a promise of [`Supply`].
    pub fn give(&self, objects: Vec<usize>) -> Promise {
        let files = Rc::clone(&self.0);
        future_to_promise(async move { supply(files.supply(&objects).await) })
    }

    /// The mount has these objects: they count as handed over from now on.
    pub fn supplied(&self, objects: &[usize]) {
        self.0.supplied(objects);
    }

    /// Gets what the load left for later, or, after [`fetch`](Self::fetch), the sources of `modules`;
    /// [`read`](Self::read) then has them.
    pub fn follow(&self, modules: Option<Vec<String>>) -> Promise {
        let files = Rc::clone(&self.0);
        future_to_promise(async move {
            match modules {
                None => files.follow().await,
                Some(modules) => files.follow_modules(&modules).await,
            }
            .map_err(|error| failure(&error))?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Gets everything that the release has for this interpreter into the cache; [`read`](Self::read) then has what
    /// there is room for.
    pub fn complete(&self) -> Promise {
        let files = Rc::clone(&self.0);
        future_to_promise(async move {
            files.complete().await.map_err(|error| failure(&error))?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// What is known of the files of the release and was not said before.
    pub fn listing(&self) -> Listing {
        let listing = self.0.listing();
        Listing {
            paths: listing.paths,
            spans: Uint32Array::from(listing.spans.as_slice()),
            folders: listing.folders,
            shards: indices(&listing.shards),
        }
    }

    /// Whether a path is in a shard that is not known, or is one.
    pub fn hides(&self, path: &str) -> bool {
        self.0.hides(path)
    }

    /// Gets the shards around these paths and at them; [`listing`](Self::listing) then has their files.
    pub fn reveal(&self, paths: Vec<String>) -> Promise {
        let files = Rc::clone(&self.0);
        future_to_promise(async move {
            let revealed = files.reveal(&paths).await;
            revealed.map_err(|error| failure(&error))?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// As [`reveal`](Self::reveal), for one shard and at once.
    #[wasm_bindgen(js_name = revealNow)]
    pub fn reveal_now(&self, shard: usize) -> Result<(), JsValue> {
        self.0.reveal_now(shard).map_err(|error| failure(&error))
    }

    /// Whether [`read`](Self::read) gives an object without the network.
    pub fn holds(&self, object: usize) -> bool {
        self.0.holds(object)
    }

    /// The decoded bytes of an object that was not handed over yet, at once.
    pub fn read(&self, object: usize) -> Result<Uint8Array, JsValue> {
        self.0.read(object).map_err(|error| failure(&error))
    }
}

fn supply(supply: Result<files::Supply, Error>) -> Result<JsValue, JsValue> {
    let supply = supply.map_err(|error| failure(&error))?;
    let supply = Supply {
        report: text(&supply.report)?,
        objects: indices(&supply.objects),
        buffers: supply.buffers.iter().map(Uint8Array::clone).collect(),
    };
    Ok(supply.into())
}

fn indices(objects: &[usize]) -> Uint32Array {
    // Below 2^32 by the limits of a manifest.
    let objects: Vec<u32> = objects
        .iter()
        .map(|index| u32::try_from(*index).unwrap_or(u32::MAX))
        .collect();
    Uint32Array::from(objects.as_slice())
}

fn failure(error: &impl Coded) -> JsValue {
    thrown(error.code(), &error.to_string(), &error.hint())
}

fn thrown(code: &str, message: &str, hint: &str) -> JsValue {
    let failure = Object::new();
    for (key, value) in [("code", code), ("message", message), ("hint", hint)] {
        // Setting a property of a plain new object cannot fail.
        let _ = Reflect::set(&failure, &key.into(), &value.into());
    }
    failure.into()
}

fn described(
    found: Result<Option<snapshot::Snapshot>, Error>,
) -> Result<Option<Snapshot>, JsValue> {
    let Some(found) = found.map_err(|error| failure(&error))? else {
        return Ok(None);
    };
    Ok(Some(Snapshot {
        description: found.description,
        bytes: found.bytes,
    }))
}

/// The page's config: JSON texts, the last one the strongest.
fn page_config(layers: &[String]) -> Result<Config, JsValue> {
    let mut merged = Config::default();
    for layer in layers {
        let layer = Config::parse(layer, Layer::Page).map_err(|error| failure(&error))?;
        merged = merged.overlaid(&layer);
    }
    Ok(merged)
}

fn parse(request: &str) -> Result<Request, JsValue> {
    Request::parse(request).map_err(|error| {
        failure(&ConfigError::Invalid {
            key: "options".into(),
            layer: "call".into(),
            reason: error.to_string(),
        })
    })
}

/// The facade speaks to this module, not people: what does not parse here is a fault of this project.
fn bug(error: &dyn fmt::Display) -> JsValue {
    thrown(
        "internal.bug",
        &format!("the module was called wrongly: {error}"),
        "please report this with the call that led to it",
    )
}

fn text<T: Serialize>(value: &T) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|error| bug(&error))
}

/// An entry of what [`Client::freeze`] takes.
fn loaded_release(mut entry: Fields) -> Result<Loaded, Fault> {
    Ok(Loaded {
        name: entry.parsed("name")?,
        version: entry.parsed("version")?,
        sha256: entry.parsed("sha256")?,
        repository: entry.parsed("repository")?,
        root: config::parse_root_pin(&entry.text("root")?)
            .ok_or_else(|| Fault::new(format_args!("expected a root pin in `root`")))?,
    })
}

#[wasm_bindgen]
impl Client {
    /// Opens the cache, as a load is likely to follow.
    #[wasm_bindgen(constructor)]
    #[expect(
        clippy::new_without_default,
        reason = "the constructor is JavaScript's"
    )]
    pub fn new() -> Self {
        let store = Rc::new(Store::new());
        let opening = Rc::clone(&store);
        spawn_local(async move { opening.connect().await });
        Self {
            store,
            layers: RefCell::default(),
            prefetches: Prefetches::default(),
        }
    }

    /// Replaces the configuration of `layer` (`page`, `notebook` or `call`) by JSON text.
    pub fn configure(&self, layer: &str, text: &str) -> Result<(), JsValue> {
        let layer = Layer::from_name(layer).ok_or_else(|| {
            failure(&ConfigError::Invalid {
                key: "layer".into(),
                layer: "call".into(),
                reason: format!("expected page, notebook or call, got `{layer}`"),
            })
        })?;
        let config = Config::parse(text, layer).map_err(|error| failure(&error))?;
        self.layers.borrow_mut()[layer as usize] = config;
        Ok(())
    }

    /// Loads a release for a [`load`](Self::load) of the same that is to come, by the page's config alone: JSON texts, the
    /// last one the strongest. What it describes is JSON text; none if that load has it already.
    pub async fn prefetch(
        &self,
        request: String,
        config: Vec<String>,
        on_progress: Option<Function>,
    ) -> Result<Option<String>, JsValue> {
        let request = parse(&request)?;
        let driver = self.driver(page_config(&config)?);
        let prefetched = self.prefetches.prefetch(&driver, request, on_progress);
        prefetched.await.map_err(|error| failure(&error))
    }

    /// The memory snapshot for a version of Pyodide of the release that `request` pins by its digest: a promise of
    /// [`Snapshot`], or of nothing if there is none, or, unless `fetch`, if the cache does not have it.
    pub async fn snapshot(
        &self,
        request: String,
        config: Vec<String>,
        pyodide: String,
        fetch: bool,
    ) -> Result<Option<Snapshot>, JsValue> {
        let request = parse(&request)?;
        let driver = self.driver(page_config(&config)?);
        let pyodide = pyodide.parse().map_err(|error| bug(&error))?;
        let found = snapshot::of_release(&driver, &request, &pyodide, fetch).await;
        described(found)
    }

    /// The same of Pyodide alone, by the description that this module's own script has, and its folder.
    #[wasm_bindgen(js_name = plainSnapshot)]
    pub async fn plain_snapshot(
        &self,
        folder: String,
        description: String,
        pyodide: String,
        fetch: bool,
    ) -> Result<Option<Snapshot>, JsValue> {
        let driver = self.driver(Config::default());
        let folder = folder.parse().map_err(|error| failure(&error))?;
        let pyodide = pyodide.parse().map_err(|error| bug(&error))?;
        described(snapshot::of_pyodide(&driver, folder, &description, &pyodide, fetch).await)
    }

    /// Loads a release up to the point where it can be mounted. `on_progress` gets JSON text. `config`, as for
    /// [`prefetch`](Self::prefetch), goes in place of the configuration.
    pub async fn load(
        &self,
        request: String,
        on_progress: Option<Function>,
        config: Option<Vec<String>>,
    ) -> Result<Prepared, JsValue> {
        let request = parse(&request)?;
        let driver = self.driver(match config {
            Some(layers) => page_config(&layers)?,
            None => self.merged(),
        });
        let listener = on_progress.as_ref();
        let report = |progress: &Progress<'_>| {
            if let Some(text) = progress.to_text() {
                tell(listener, &text);
            }
        };
        let taken = self.prefetches.take(&driver, &request, listener).await;
        let prepared = match taken.map_err(|error| failure(&error))? {
            Some(prepared) => prepared,
            None => driver
                .load(request, &report)
                .await
                .map_err(|error| failure(&error))?,
        };
        Ok(Prepared {
            description: text(&prepared.description)?,
            path: prepared.description.path,
            paths: prepared.listing.paths,
            spans: Uint32Array::from(prepared.listing.spans.as_slice()),
            folders: prepared.listing.folders,
            shards: indices(&prepared.listing.shards),
            objects: indices(&prepared.given),
            buffers: prepared.buffers.iter().map(Uint8Array::clone).collect(),
            files: Files(prepared.files),
        })
    }

    /// Whether the cache has a memory snapshot of any release of that name, or, of "", of Pyodide alone.
    #[wasm_bindgen(js_name = holdsSnapshot)]
    pub async fn holds_snapshot(&self, name: String, pyodide: String) -> bool {
        self.store
            .holds_snapshot(&snapshot::key(&name, &pyodide))
            .await
    }

    /// The TOML text that pins what `loaded` lists: JSON text, `[{name, version, sha256, repository, root}]`.
    pub fn freeze(&self, loaded: &str) -> Result<String, JsValue> {
        let loaded = json::read(loaded.as_bytes())
            .and_then(|loaded| fields::items(loaded, loaded_release))
            .map_err(|error| bug(&error))?;
        config::freeze(&loaded, &self.merged()).map_err(|error| failure(&error))
    }

    /// What the cache holds: JSON text `{storage, objects, bytes, repositories}`.
    #[wasm_bindgen(js_name = cacheInfo)]
    pub async fn cache_info(&self) -> Result<String, JsValue> {
        text(&self.store.info().await)
    }

    /// Empties the cache.
    #[wasm_bindgen(js_name = cacheClear)]
    pub async fn cache_clear(&self) -> Result<(), JsValue> {
        self.store.clear().await.map_err(|error| failure(&error))
    }

    /// Hashes every object and drops what is damaged: JSON text `{checked, dropped}`.
    #[wasm_bindgen(js_name = cacheVerify)]
    pub async fn cache_verify(&self) -> Result<String, JsValue> {
        #[derive(Serialize)]
        struct Report {
            checked: usize,
            dropped: Vec<Sha256Digest>,
        }
        let mut report = Report {
            checked: 0,
            dropped: Vec::new(),
        };
        for sha256 in self.store.objects().await {
            report.checked += 1;
            let limit = Limits::default().object_decoded;
            let intact = match self.store.object(sha256).await {
                Some(stored) if u64::from(stored.length()) <= limit => {
                    bytes::sha256(&stored).await == Some(sha256)
                }
                _ => false,
            };
            if !intact {
                self.store.drop_object(sha256).await;
                report.dropped.push(sha256);
            }
        }
        for (key, sha256) in self.store.snapshots().await {
            report.checked += 1;
            let stored = match sha256 {
                Some(sha256) => self.store.snapshot(&key, sha256, MAX_DECODED).await,
                None => None,
            };
            let got = match &stored {
                Some(stored) => bytes::sha256(stored).await,
                None => None,
            };
            if got.is_none() || got != sha256 {
                self.store.drop_snapshot(&key).await;
                report.dropped.extend(sha256);
            }
        }
        text(&report)
    }

    fn driver(&self, config: Config) -> Driver {
        Driver::new(Rc::clone(&self.store), config, now())
    }

    fn merged(&self) -> Config {
        let [page, notebook, call] = &*self.layers.borrow();
        page.clone().overlaid(notebook).overlaid(call)
    }
}
