//! The objects of a release: from the cache, else from the repository or a mirror, verified either way.
//!
//! What comes out of here is what the manifest names: decoded bytes, whose length and digest were checked. So are those
//! of the bytes as transferred, before anything is decoded. The cache has decoded bytes, as a second visit should wait for
//! no decompression.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use core::cell::RefCell;

use js_sys::{Date, Promise, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Error, FetchError, ResolveError, StoreError};
use webimport_core::manifest::ObjectEntry;
use webimport_core::map::Map;
use webimport_core::url::RepositoryUrl;

use crate::bytes;
use crate::concurrent::{Work, in_order};
use crate::fetch::{Patience, Size, Traffic, fetch, fetch_now};
use crate::store::Store;
use crate::update::Updating;

/// Objects that are fetched at once. Browsers open six connections to a host over HTTP/1.1.
pub(crate) const PARALLEL: usize = 6;

/// Where objects come from.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) store: Rc<Store>,
    /// In the order in which they are asked.
    pub(crate) bases: Vec<RepositoryUrl>,
    /// Whether the cache alone may answer.
    pub(crate) offline: bool,
    pub(crate) updating: Rc<Updating>,
    /// Records that are being read before it is known whether they are needed, unchecked.
    pub(crate) early: Rc<RefCell<Map<Sha256Digest, Promise>>>,
}

/// A verified object, decoded.
pub(crate) struct Object {
    pub(crate) bytes: Uint8Array,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Network,
    Cache,
}

/// What a fetch tells while it runs.
pub(crate) struct Watch<'a> {
    pub(crate) traffic: &'a Traffic,
    /// Bytes as they arrive; negative for those of a try that failed.
    pub(crate) on_bytes: &'a dyn Fn(i64),
    /// A record of the cache that had to go.
    pub(crate) on_damage: &'a dyn Fn(StoreError),
}

impl<'a> Watch<'a> {
    /// Counts what is fetched, and tells nobody.
    pub(crate) fn silent(traffic: &'a Traffic) -> Self {
        Self {
            traffic,
            on_bytes: &|_| {},
            on_damage: &|_| {},
        }
    }
}

impl Objects {
    /// The same from the cache alone.
    pub(crate) fn cached(&self) -> Self {
        Self {
            offline: true,
            ..self.clone()
        }
    }

    /// One object, decoded. What came over the network, or was made by an update, goes to the cache.
    pub(crate) async fn get(
        &self,
        entry: &ObjectEntry,
        watch: &Watch<'_>,
    ) -> Result<Object, Error> {
        let expected = entry.expected_decoded();
        let (bytes, origin) = if let Some(nothing) = nothing(&expected) {
            return Ok(Object {
                bytes: nothing?,
                origin: Origin::Cache,
            });
        } else if let Some(bytes) = self.look(&expected, watch).await? {
            return Ok(Object {
                bytes,
                origin: Origin::Cache,
            });
        } else if let Some(bytes) = self.make(&expected, watch).await {
            (bytes, Origin::Cache)
        } else {
            (self.download(entry, watch).await?, Origin::Network)
        };
        self.store.keep_object(entry.decoded_sha256, &bytes).await;
        Ok(Object { bytes, origin })
    }

    /// One object over the network, decoded.
    pub(crate) async fn download(
        &self,
        entry: &ObjectEntry,
        watch: &Watch<'_>,
    ) -> Result<Uint8Array, Error> {
        let stored = self.file(&entry.path(), &entry.expected(), watch).await?;
        let bytes = bytes::decode(entry, stored).await?;
        // Or the cache would give it up each time.
        bytes::check(&entry.expected_decoded(), &bytes).await?;
        Ok(bytes)
    }

    /// A file over the network that has to be `expected`, whose length is known.
    pub(crate) async fn file(
        &self,
        path: &str,
        expected: &Expected,
        watch: &Watch<'_>,
    ) -> Result<Uint8Array, Error> {
        self.online(path)?;
        let size = Size::Exactly(expected.length.unwrap_or_default());
        let check = async |bytes: &Uint8Array| {
            bytes::check(expected, bytes).await?;
            Ok(())
        };
        self.fetch(path, size, watch, check).await
    }

    /// Objects as [`get`](Self::get) gives them, in this order, some at once; else the first error in that order.
    pub(crate) async fn all(
        &self,
        entries: &[ObjectEntry],
        watch: &Watch<'_>,
    ) -> Result<Vec<Object>, Error> {
        let mut work = entries.iter().map(|entry| -> Work<'_> {
            let work = self.get(entry, watch);
            Box::pin(async { work.await.map(Some) })
        });
        let brought = in_order(PARALLEL, &mut work).await?;
        Ok(brought.into_iter().flatten().collect())
    }

    /// The same, without those that are not to be had.
    pub(crate) async fn those_there(
        &self,
        entries: &[ObjectEntry],
        watch: &Watch<'_>,
    ) -> Vec<Option<Object>> {
        let mut work = entries.iter().map(|entry| -> Work<'_> {
            let work = self.get(entry, watch);
            Box::pin(async { Ok(work.await.ok()) })
        });
        in_order(PARALLEL, &mut work).await.unwrap_or_default()
    }

    /// Begins to read a record, as [`look`](Self::look) is likely to ask for it.
    pub(crate) fn hurry(&self, sha256: Sha256Digest) {
        let store = Rc::clone(&self.store);
        let read = async move { Ok(store.object(sha256).await.into()) };
        let mut early = self.early.borrow_mut();
        early.insert(sha256, future_to_promise(read));
    }

    /// The bytes stored under a digest, unchecked.
    async fn stored(&self, sha256: Sha256Digest) -> Option<Uint8Array> {
        let early = self.early.borrow_mut().remove(&sha256);
        match early {
            Some(read) => JsFuture::from(read).await.ok()?.dyn_into().ok(),
            None => self.store.object(sha256).await,
        }
    }

    /// What the cache has of these bytes, verified.
    pub(crate) async fn look(
        &self,
        expected: &Expected,
        watch: &Watch<'_>,
    ) -> Result<Option<Uint8Array>, Error> {
        let Some(bytes) = self.stored(expected.sha256).await else {
            return Ok(None);
        };
        match bytes::check(expected, &bytes).await {
            Ok(_) => return Ok(Some(bytes)),
            // The record may well be sound; fetching it once more would not help.
            Err(Error::Store(error @ StoreError::Memory { .. })) => return Err(error.into()),
            Err(_) => {}
        }
        self.store.drop_object(expected.sha256).await;
        (watch.on_damage)(StoreError::Damaged {
            subject: expected.subject.clone(),
        });
        Ok(None)
    }

    /// One object over the network, decoded, while everything else of the page waits: for a reader that cannot.
    pub(crate) fn get_now(&self, entry: &ObjectEntry) -> Result<Uint8Array, Error> {
        if let Some(nothing) = nothing(&entry.expected_decoded()) {
            return nothing;
        }
        let path = entry.path();
        self.online(&path)?;
        let mut first_error = None;
        for base in &self.bases {
            let url = base.join(&path);
            // The answer may come from the HTTP cache, which can keep a bad one for a year. A request like this
            // has no way around it but another URL: a header would need a preflight.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole milliseconds since 1970, without the code that writes floats"
            )]
            let again = format!("{url}?again={}", Date::now() as u64);
            for url in [url, again] {
                let fetched = fetch_now(&url, Size::Exactly(entry.size));
                let checked = fetched.map_err(Error::from).and_then(|stored| {
                    entry.expected().check_bytes(&stored)?;
                    let decoded = bytes::decode_now(entry, stored)?;
                    entry.expected_decoded().check_bytes(&decoded)?;
                    Ok(decoded)
                });
                match checked {
                    // Not a view: this module's memory moves when it grows.
                    Ok(bytes) => return Ok(Uint8Array::from(bytes.as_slice())),
                    Err(error) => {
                        let is_answer = !matches!(error, Error::Fetch(FetchError::Network { .. }));
                        first_error.get_or_insert(error);
                        if !is_answer {
                            break;
                        }
                    }
                }
            }
        }
        Err(first_error.unwrap_or_else(|| missing(&path)))
    }

    /// A content-addressed file from the first base that has the right bytes. The first base's error is the
    /// one that is reported.
    pub(crate) async fn fetch(
        &self,
        path: &str,
        size: Size,
        watch: &Watch<'_>,
        check: impl AsyncFn(&Uint8Array) -> Result<(), Error>,
    ) -> Result<Uint8Array, Error> {
        let Watch {
            traffic, on_bytes, ..
        } = watch;
        let mut first_error = None;
        for base in &self.bases {
            let url = base.join(path);
            let error = match fetch(&url, size, Patience::Full, traffic, on_bytes).await {
                Ok(bytes) => match check(&bytes).await {
                    Ok(()) => return Ok(bytes),
                    Err(error) => {
                        on_bytes(-i64::from(bytes.length()));
                        error
                    }
                },
                Err(error) => error.into(),
            };
            first_error.get_or_insert(error);
        }
        Err(first_error.unwrap_or_else(|| missing(path)))
    }

    fn online(&self, path: &str) -> Result<(), Error> {
        if self.offline {
            return Err(missing(path));
        }
        Ok(())
    }
}

/// What has no bytes, as empty modules have none, nobody is asked for.
fn nothing(expected: &Expected) -> Option<Result<Uint8Array, Error>> {
    (expected.length == Some(0)).then(|| {
        expected.check_bytes(&[])?;
        Ok(Uint8Array::new_with_length(0))
    })
}

fn missing(path: &str) -> Error {
    ResolveError::Offline {
        subject: path.to_owned(),
    }
    .into()
}
