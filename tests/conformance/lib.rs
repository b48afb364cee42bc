//! The conformance client in WebAssembly, for Node: `client.mjs` does files and HTTP, this module the rest.
//!
//! The work is in `session.rs`, which belongs to the native client; here are the border to JavaScript and, with the
//! feature `suite`, RSA by `node:crypto` and messages in words. Nothing of it is shipped. Built without features,
//! the module holds the verifying core and no more, and refuses by code alone.

#![cfg(target_arch = "wasm32")]
// Clippy looks at the shared half's tests here, too, and those have the standard library's harness.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test fails by panicking")
)]

extern crate alloc;

#[cfg(not(test))]
#[path = "../../src/web/bare.rs"]
mod bare;
#[cfg(feature = "suite")]
mod rsa;
#[cfg(feature = "suite")]
#[path = "../../src/cli/src/bin/webimport-tuf-client/scheme.rs"]
mod scheme;
#[path = "../../src/cli/src/bin/webimport-tuf-client/session.rs"]
mod session;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use js_sys::{Array, Map, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};
use webimport_core::error::{Coded, Error};
use webimport_core::keys::ForeignScheme;
use webimport_core::limits::Limits;
use webimport_core::time::UnixTime;
use webimport_core::workflow::{Absence, MetadataFetch};

use session::{Files, Found, Session};

#[cfg(feature = "suite")]
const FOREIGN: Option<ForeignScheme> = Some(rsa::verifies);
#[cfg(not(feature = "suite"))]
const FOREIGN: Option<ForeignScheme> = None;

/// A refresh, and then searches for targets.
#[wasm_bindgen]
pub struct Client {
    session: Session,
}

#[wasm_bindgen]
impl Client {
    /// `files` are those of the metadata folder, from name to `Uint8Array`; `now` is in Unix seconds.
    ///
    /// # Errors
    /// A `root.json` that cannot be the trust anchor.
    #[wasm_bindgen(constructor)]
    pub fn new(files: &Map, now: i64) -> Result<Client, JsError> {
        let mut read = Files::new();
        for entry in files.entries() {
            let entry = entry.map_err(|_| JsError::new("expected a map of files"))?;
            let entry: Array = entry.unchecked_into();
            if let Some(name) = entry.get(0).as_string() {
                read.push((name, Uint8Array::new(&entry.get(1)).to_vec()));
            }
        }
        let session = Session::open(read, UnixTime(now), FOREIGN).map_err(refused)?;
        Ok(Self { session })
    }

    /// The next metadata file of the refresh; `undefined` once it is done.
    ///
    /// # Errors
    /// Any of the refresh.
    pub fn step(&mut self) -> Result<Option<Fetch>, JsError> {
        let next = self.session.next().map_err(refused)?;
        Ok(next.map(Fetch::from))
    }

    /// Takes the file that was asked for; `undefined` if it does not exist and need not.
    ///
    /// # Errors
    /// The rule that the file breaks.
    pub fn supply(&mut self, file: Option<Vec<u8>>) -> Result<(), JsError> {
        self.session.supply(file).map_err(refused)
    }

    /// Searches for a target: a [`Fetch`] of metadata that comes first, or the [`Target`].
    ///
    /// # Errors
    /// Any of the search.
    #[wasm_bindgen(js_name = lookUp)]
    pub fn look_up(&mut self, path: &str) -> Result<JsValue, JsError> {
        Ok(match self.session.look_up(path).map_err(refused)? {
            Found::Fetch(fetch) => Fetch::from(fetch).into(),
            Found::Target(target) => Target { target: *target }.into(),
        })
    }

    /// What is verified so far, from file name to `Uint8Array`, to be written whether or not the rest fails.
    pub fn files(&self) -> Map {
        let files = Map::new();
        for (name, bytes) in self.session.files() {
            files.set(&name.into(), &Uint8Array::from(bytes));
        }
        files
    }
}

/// A metadata file to fetch.
#[wasm_bindgen]
pub struct Fetch {
    fetch: MetadataFetch,
}

#[wasm_bindgen]
impl Fetch {
    /// Below the base URL of the metadata.
    #[wasm_bindgen(getter)]
    pub fn path(&self) -> String {
        let path = self.fetch.path.as_str();
        path.strip_prefix("metadata/").unwrap_or(path).to_owned()
    }

    /// In bytes.
    #[wasm_bindgen(getter)]
    pub fn limit(&self) -> u64 {
        self.fetch.limit
    }

    /// Whether it need not exist.
    #[wasm_bindgen(getter, js_name = mayBeAbsent)]
    pub fn may_be_absent(&self) -> bool {
        self.fetch.absence == Absence::Expected
    }
}

impl From<MetadataFetch> for Fetch {
    fn from(fetch: MetadataFetch) -> Self {
        Self { fetch }
    }
}

/// A file that signed metadata names.
#[wasm_bindgen]
pub struct Target {
    target: session::Target,
}

#[wasm_bindgen]
impl Target {
    /// Below the base URL of the targets.
    #[wasm_bindgen(getter, js_name = urlPath)]
    pub fn url_path(&self) -> String {
        self.target.url_path.clone()
    }

    /// In the folder of targets.
    #[wasm_bindgen(getter, js_name = fileName)]
    pub fn file_name(&self) -> String {
        self.target.file_name.clone()
    }

    /// Bytes to read at most.
    #[wasm_bindgen(getter)]
    pub fn limit(&self) -> u64 {
        self.target.length.min(Limits::default().object)
    }

    /// Throws unless these are the bytes that the metadata names.
    ///
    /// # Errors
    /// Another length or digest.
    pub fn check(&self, bytes: &[u8]) -> Result<(), JsError> {
        self.target
            .check(bytes)
            .map_err(|error| refused(error.into()))
    }
}

/// How long the files of a metadata folder may be, in bytes.
#[wasm_bindgen(js_name = fileLimit)]
pub fn file_limit() -> u64 {
    Limits::default().targets
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that `map_err` takes"
)]
fn refused(error: Error) -> JsError {
    if cfg!(feature = "suite") {
        let hint = error.hint();
        let code = error.code();
        JsError::new(&format!("{error}\nhint: {hint}\ncode: {code}"))
    } else {
        JsError::new(error.code())
    }
}
