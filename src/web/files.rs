//! The files of a loaded release that come after the load: sources behind bytecode, and what a partial release
//! brings as it is imported.
//!
//! An object is *given* once its decoded bytes are with the mount, *held* while its stored bytes wait here for
//! a reader, and otherwise still to be fetched. Everything that is given or held has been verified.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::lock::Mutex;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use js_sys::Uint8Array;
use serde::Serialize;
use wasm_bindgen_futures::spawn_local;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, ResolveError};
use webimport_core::manifest::Manifest;
use webimport_core::names::CacheTag;

use crate::bytes;
use crate::fetch::Traffic;
use crate::objects::{Objects, Origin, PARALLEL, Watch};

/// What the mount of one release can still ask for.
pub(crate) struct Files {
    manifest: Manifest,
    sha256: Sha256Digest,
    tag: CacheTag,
    objects: Objects,
    /// Sources that follow the load.
    later: Vec<usize>,
    state: RefCell<State>,
    /// Held by what fetches without a reader waiting, so that nothing is fetched twice.
    background: Mutex<()>,
}

struct State {
    /// For each object of the release.
    given: Vec<bool>,
    held: BTreeMap<usize, Uint8Array>,
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
        Self {
            manifest,
            sha256,
            tag,
            objects,
            later,
            state: RefCell::new(State {
                given: all,
                held: BTreeMap::new(),
            }),
            background: Mutex::new(()),
        }
    }

    /// What the modules (dotted names) and their imports need and the mount does not have; their sources follow.
    pub(crate) async fn fetch(&self, modules: &[String]) -> Result<Supply, Error> {
        let plan = self.manifest.plan(&self.tag, modules)?;
        // What is held is a source, which a reader gets when it asks.
        let wanted = self.absent(&plan.now);
        let traffic = Traffic::default();
        let watch = Watch {
            traffic: &traffic,
            on_bytes: &|_| {},
            on_damage: &|_| {},
        };
        let fetched: Vec<_> = stream::iter(&wanted)
            .map(|index| {
                self.objects
                    .get_decoded(&self.manifest.objects[*index], &watch)
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
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
        self.remember(&wanted).await;
        {
            let mut state = self.state.borrow_mut();
            for index in &wanted {
                state.given[*index] = true;
            }
        }
        let supply = Supply {
            report,
            objects: wanted,
            buffers: fetched.into_iter().map(|object| object.bytes).collect(),
        };
        Ok(supply)
    }

    /// Gets the sources that the load left out, and holds them.
    pub(crate) async fn follow(&self) -> Result<(), Error> {
        self.hold(&self.later).await
    }

    /// As [`follow`](Self::follow), for what [`fetch`](Self::fetch) left out.
    pub(crate) async fn follow_modules(&self, modules: &[String]) -> Result<(), Error> {
        let plan = self.manifest.plan(&self.tag, modules)?;
        self.hold(&plan.later).await
    }

    /// Gets everything that the release has for this interpreter into the cache.
    pub(crate) async fn complete(&self) -> Result<(), Error> {
        self.follow().await?;
        let _turn = self.background.lock().await;
        let objects = &self.manifest.objects;
        let all: Vec<usize> = (0..objects.len())
            .filter(|index| objects[*index].is_for(&self.tag))
            .collect();
        let traffic = Traffic::default();
        let watch = Watch {
            traffic: &traffic,
            on_bytes: &|_| {},
            on_damage: &|_| {},
        };
        stream::iter(self.absent(&all))
            .map(|index| self.objects.get(&objects[index], &watch))
            .buffer_unordered(PARALLEL)
            .try_for_each(async |_| Ok(()))
            .await
    }

    async fn hold(&self, objects: &[usize]) -> Result<(), Error> {
        let _turn = self.background.lock().await;
        let traffic = Traffic::default();
        let watch = Watch {
            traffic: &traffic,
            on_bytes: &|_| {},
            on_damage: &|_| {},
        };
        let wanted = self.absent(objects);
        let mut fetched = stream::iter(&wanted)
            .map(async |index| {
                let object = self.objects.get(&self.manifest.objects[*index], &watch);
                Ok::<_, Error>((*index, object.await?))
            })
            .buffer_unordered(PARALLEL);
        while let Some((index, object)) = fetched.try_next().await? {
            let mut state = self.state.borrow_mut();
            // Somebody may have read it in the meantime.
            if !state.given[index] {
                state.held.insert(index, object.bytes);
            }
        }
        Ok(())
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
        let held = self.state.borrow_mut().held.remove(&index);
        let stored = if let Some(stored) = held {
            stored
        } else {
            let stored = self.objects.get_now(entry)?;
            let (this, bytes, sha256) = (Rc::clone(self), stored.clone(), entry.sha256);
            spawn_local(async move {
                this.objects.store.put_object(sha256, &bytes).await;
                this.remember(&[index]).await;
            });
            stored
        };
        let decoded = bytes::decode_now(entry, &stored)?;
        self.state.borrow_mut().given[index] = true;
        Ok(decoded)
    }

    fn absent(&self, objects: &[usize]) -> Vec<usize> {
        let state = self.state.borrow();
        objects
            .iter()
            .filter(|index| !state.given[**index] && !state.held.contains_key(index))
            .copied()
            .collect()
    }

    /// So that the next load of this release brings these objects, too.
    async fn remember(&self, objects: &[usize]) {
        if self.manifest.partial && !objects.is_empty() {
            // Below 2^32 by the limits that the manifest was checked against.
            let objects: Vec<u32> = objects
                .iter()
                .filter_map(|index| u32::try_from(*index).ok())
                .collect();
            self.objects.store.add_visits(self.sha256, &objects).await;
        }
    }
}
