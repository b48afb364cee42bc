//! What the facade asks for, as JSON text. It is read field by field, like everything else that comes from outside.

use alloc::string::String;
use alloc::vec::Vec;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, Fault};
use webimport_core::fields::{self, Fields};
use webimport_core::json::{self, Value};
use webimport_core::manifest::Manifest;
use webimport_core::map::Map;
use webimport_core::names::CacheTag;
use webimport_core::resolve::Options;

/// What a call of `loadRelease` asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) options: Options,
    pub(crate) python: Python,
    /// Top-level import names that something has, and who.
    pub(crate) occupied: Map<String, String>,
    /// Namespace packages of loaded releases, and whose: shared with namespace packages alone.
    pub(crate) namespaces: Map<String, String>,
    /// Manifest digests of the releases that this interpreter has mounted.
    pub(crate) loaded: Vec<Sha256Digest>,
    /// Whether an import can wait for bytes that are still to come.
    pub(crate) waits: bool,
}

#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) tag: CacheTag,
    /// None before there is a Python: what depends on it is decided when it takes the release over.
    pub(crate) version: Option<String>,
}

impl Request {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let mut fields = Fields::of(json::read(text.as_bytes())?)?;
        let mut python = Fields::of(fields.required("python")?)?;
        Ok(Self {
            url: fields.text("url")?,
            options: match fields.optional("options") {
                Some(options) => Options::read(options)?,
                None => Options::default(),
            },
            python: Python {
                tag: python.parsed("tag")?,
                version: python.optional("version").map(fields::text).transpose()?,
            },
            occupied: owners(fields.optional("occupied"))?,
            namespaces: owners(fields.optional("namespaces"))?,
            loaded: match fields.optional("loaded") {
                Some(digests) => {
                    let digests = fields::texts(digests)?.into_iter();
                    digests
                        .map(|digest| fields::parsed(&digest))
                        .collect::<Result<_, _>>()?
                }
                None => Vec::new(),
            },
            waits: match fields.optional("waits") {
                Some(waits) => fields::truth(&waits)?,
                None => false,
            },
        })
    }

    /// Refuses a release that this interpreter cannot have.
    pub(crate) fn admit(&self, manifest: &Manifest) -> Result<(), Error> {
        if let Some(version) = &self.python.version {
            manifest.check_python(version)?;
        }
        let allowed = &self.options.allow_shadow;
        manifest.check_shadowing(&self.occupied, allowed)?;
        manifest.check_namespaces(&self.namespaces, allowed)?;
        Ok(())
    }
}

fn owners(value: Option<Value>) -> Result<Map<String, String>, Fault> {
    match value {
        Some(value) => fields::map(fields::object(value)?, fields::text),
        None => Ok(Map::new()),
    }
}
