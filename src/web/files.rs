//! The files of a loaded release that come after the load: sources behind bytecode, what a partial release brings as
//! it is imported, and what a whole one leaves for the time after the first import.
//!
//! An object is *given* once its bytes are with the mount, *held* while they wait here for a reader, and otherwise still
//! to be fetched. Everything that is given or held has been verified. Held bytes are there for readers that cannot wait,
//! as neither the cache nor the network answers those; what there is no room for is in the cache alone.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use js_sys::Uint8Array;
use serde::Serialize;
use wasm_bindgen_futures::spawn_local;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, FetchError, ResolveError};
use webimport_core::manifest::Manifest;
use webimport_core::map::Map;
use webimport_core::names::CacheTag;

use crate::concurrent::{Turns, Work, in_order};
use crate::fetch::Traffic;
use crate::objects::{Object, Objects, Origin, PARALLEL, Watch};

/// Bytes of one release that are held at most.
const ROOM: u64 = 128 * 1024 * 1024;

/// What the mount of one release can still ask for.
pub(crate) struct Files {
    manifest: Manifest,
    sha256: Sha256Digest,
    tag: CacheTag,
    objects: Objects,
    /// What follows the load, in this order.
    later: Vec<usize>,
    /// For each object of the release: whether it holds sources behind bytecode.
    sources: Vec<bool>,
    state: RefCell<State>,
    /// Held by what fetches without a reader waiting, so that nothing is fetched twice.
    background: Turns,
}

struct State {
    /// For each object of the release.
    given: Vec<bool>,
    held: Held,
}

/// Decoded bytes, by object.
pub(crate) struct Held {
    objects: Map<usize, Uint8Array>,
    /// Bytes that there is still room for.
    room: u64,
}

impl Held {
    pub(crate) fn with_room(room: u64) -> Self {
        Self {
            objects: Map::new(),
            room,
        }
    }

    /// Does nothing where there is no room.
    pub(crate) fn put(&mut self, index: usize, bytes: Uint8Array) {
        self.take(index);
        if let Some(room) = self.room.checked_sub(u64::from(bytes.length())) {
            self.room = room;
            self.objects.insert(index, bytes);
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Uint8Array> {
        self.objects.get(&index).cloned()
    }

    pub(crate) fn take(&mut self, index: usize) -> Option<Uint8Array> {
        let bytes = self.objects.remove(&index)?;
        self.room += u64::from(bytes.length());
        Some(bytes)
    }

    pub(crate) fn has(&self, index: usize) -> bool {
        self.objects.contains_key(&index)
    }
}

/// Decoded objects for the mount.
pub(crate) struct Supply {
    pub(crate) report: Report,
    pub(crate) objects: Vec<usize>,
    pub(crate) buffers: Vec<Uint8Array>,
}

/// What a supply cost.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Objects that came over the network.
    fetched: usize,
    /// Bytes over the network.
    bytes: u64,
    requests: u32,
    /// Objects that were in the cache.
    cached: usize,
}

impl Files {
    /// `given`: the objects that the load itself hands over.
    pub(crate) fn new(
        manifest: Manifest,
        sha256: Sha256Digest,
        tag: CacheTag,
        objects: Objects,
        given: &[usize],
        later: Vec<usize>,
    ) -> Self {
        let mut all = vec![false; manifest.objects.len()];
        for index in given {
            all[*index] = true;
        }
        let mut sources = vec![false; manifest.objects.len()];
        if manifest.has_bytecode(&tag) {
            for file in &manifest.files {
                sources[file.object] |= matches!(file.path.rsplit_once('.'), Some((_, "py")));
            }
        }
        Self {
            manifest,
            sha256,
            tag,
            objects,
            later,
            sources,
            state: RefCell::new(State {
                given: all,
                held: Held::with_room(ROOM),
            }),
            background: Turns::default(),
        }
    }

    /// What the modules (dotted names) and their imports need and the mount does not have; their sources follow.
    pub(crate) async fn fetch(&self, modules: &[String]) -> Result<Supply, Error> {
        let plan = self.manifest.plan(&self.tag, modules)?;
        let supply = self.supply(&plan.now).await?;
        self.remember(&supply.objects).await;
        Ok(supply)
    }

    /// Those of the objects that the mount does not have, until [`supplied`](Self::supplied) says that it does.
    pub(crate) async fn supply(&self, objects: &[usize]) -> Result<Supply, Error> {
        let wanted: Vec<usize> = {
            let state = self.state.borrow();
            let absent = objects.iter().copied().filter(|index| {
                let entry = self.manifest.objects.get(*index);
                entry.is_some_and(|entry| entry.is_for(&self.tag)) && !state.given[*index]
            });
            absent.collect()
        };
        let traffic = Traffic::default();
        let watch = Watch {
            traffic: &traffic,
            on_bytes: &|_| {},
            on_damage: &|_| {},
        };
        let mut work = wanted.iter().map(|index| -> Work<'_> {
            let work = self.decoded(*index, &watch);
            Box::pin(async { work.await.map(Some) })
        });
        let fetched: Vec<Object> = in_order(PARALLEL, &mut work)
            .await?
            .into_iter()
            .flatten()
            .collect();
        let count = fetched
            .iter()
            .filter(|object| object.origin == Origin::Network)
            .count();
        let report = Report {
            fetched: count,
            bytes: traffic.bytes.get(),
            requests: traffic.requests.get(),
            cached: fetched.len() - count,
        };
        Ok(Supply {
            report,
            objects: wanted,
            buffers: fetched.into_iter().map(|object| object.bytes).collect(),
        })
    }

    async fn decoded(&self, index: usize, watch: &Watch<'_>) -> Result<Object, Error> {
        let held = self.state.borrow().held.get(index);
        match held {
            Some(bytes) => Ok(Object {
                bytes,
                origin: Origin::Cache,
            }),
            None => self.objects.get(&self.manifest.objects[index], watch).await,
        }
    }

    /// The mount has what [`fetch`](Self::fetch) or [`supply`](Self::supply) brought.
    pub(crate) fn supplied(&self, objects: &[usize]) {
        let mut state = self.state.borrow_mut();
        for index in objects {
            if let Some(given) = state.given.get_mut(*index) {
                *given = true;
            }
            state.held.take(*index);
        }
    }

    /// Whether [`read`](Self::read) gives an object without the network.
    pub(crate) fn holds(&self, index: usize) -> bool {
        self.state.borrow().held.has(index)
    }

    /// Gets what the load left out, and holds it.
    pub(crate) async fn follow(&self) -> Result<(), Error> {
        self.hold(&self.later).await
    }

    /// As [`follow`](Self::follow), for what [`fetch`](Self::fetch) left out.
    pub(crate) async fn follow_modules(&self, modules: &[String]) -> Result<(), Error> {
        let plan = self.manifest.plan(&self.tag, modules)?;
        self.hold(&plan.sources).await
    }

    /// Gets everything that the release has for this interpreter into the cache, and holds what there is room for.
    pub(crate) async fn complete(&self) -> Result<(), Error> {
        let objects = &self.manifest.objects;
        let all: Vec<usize> = (0..objects.len())
            .filter(|index| objects[*index].is_for(&self.tag))
            .collect();
        self.hold(&all).await
    }

    /// Gets objects that nobody waits for, each by itself: one that cannot be had keeps none of the others away.
    /// The first error is returned at the end.
    async fn hold(&self, objects: &[usize]) -> Result<(), Error> {
        let _turn = self.background.wait().await;
        let traffic = Traffic::default();
        let watch = Watch {
            traffic: &traffic,
            on_bytes: &|_| {},
            on_damage: &|_| {},
        };
        let wanted = self.absent(objects);
        let cached = self.objects.cached();
        // Requests in a row that nobody answered. After some, what is left comes from the cache or not at all:
        // thousands of objects would take hours to time out.
        let silence = Cell::new(0);
        let left = RefCell::new(wanted.iter());
        let first_error = RefCell::new(None);
        let next = || left.borrow_mut().next().copied();
        let mut workers = (0..PARALLEL).map(|_| -> Work<'_> {
            Box::pin(async {
                while let Some(index) = next() {
                    let source = if silence.get() < PARALLEL {
                        &self.objects
                    } else {
                        &cached
                    };
                    match source.get(&self.manifest.objects[index], &watch).await {
                        Ok(object) => {
                            if object.origin == Origin::Network {
                                silence.set(0);
                            }
                            let mut state = self.state.borrow_mut();
                            // Somebody may have read it in the meantime.
                            if !state.given[index] {
                                state.held.put(index, object.bytes);
                            }
                        }
                        Err(error) => {
                            if matches!(
                                error,
                                Error::Fetch(
                                    FetchError::Network { .. } | FetchError::Timeout { .. }
                                )
                            ) {
                                silence.set(silence.get() + 1);
                            }
                            first_error.borrow_mut().get_or_insert(error);
                        }
                    }
                }
                Ok(None)
            })
        });
        in_order(PARALLEL, &mut workers).await?;
        first_error.take().map_or(Ok(()), Err)
    }

    /// The decoded bytes of one object that the mount does not have, at once: from what is held, else over the
    /// network while the page waits.
    pub(crate) fn read(self: &Rc<Self>, index: usize) -> Result<Uint8Array, Error> {
        let entry = self
            .manifest
            .objects
            .get(index)
            .filter(|entry| entry.is_for(&self.tag))
            .ok_or_else(|| ResolveError::Offline {
                subject: format!("object {index} of {}", self.manifest.name),
            })?;
        let held = self.state.borrow_mut().held.take(index);
        let is_held = held.is_some();
        let bytes = match held {
            Some(bytes) => bytes,
            None => self.objects.get_now(entry)?,
        };
        let (this, kept, sha256) = (Rc::clone(self), bytes.clone(), entry.decoded_sha256);
        spawn_local(async move {
            if !is_held {
                this.objects.store.put_object(sha256, &kept).await;
            }
            // Sources follow each load by themselves.
            if !this.sources[index] {
                this.remember(&[index]).await;
            }
        });
        self.state.borrow_mut().given[index] = true;
        Ok(bytes)
    }

    /// Those that are neither given nor held.
    fn absent(&self, objects: &[usize]) -> Vec<usize> {
        let state = self.state.borrow();
        objects
            .iter()
            .filter(|index| !state.given[**index] && !state.held.has(**index))
            .copied()
            .collect()
    }

    /// So that the next load of this release brings these objects, too.
    async fn remember(&self, objects: &[usize]) {
        if !objects.is_empty() {
            // Below 2^32 by the limits that the manifest was checked against.
            let objects: Vec<u32> = objects
                .iter()
                .filter_map(|index| u32::try_from(*index).ok())
                .collect();
            self.objects.store.add_visits(self.sha256, &objects).await;
        }
    }
}
