//! The files of a loaded release that come after the load: sources behind bytecode, what a partial release brings as
//! it is imported, and what a whole one leaves for the time after the first import; and the shards that list files.
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
use webimport_core::closure::{Plan, Planned};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, FetchError, ResolveError};
use webimport_core::manifest::{Manifest, ObjectEntry};
use webimport_core::map::{Map, sorted};
use webimport_core::names::CacheTag;
use webimport_core::trust::Verified;

use crate::concurrent::{Turns, Work, in_order};
use crate::fetch::Traffic;
use crate::objects::{Object, Objects, Origin, PARALLEL, Watch};
use crate::request::Request;
use crate::shards;

/// Bytes of one release that are held at most, and that a load brings because earlier visits came to use them.
pub(crate) const ROOM: u64 = 128 * 1024 * 1024;

/// What the mount of one release can still ask for.
pub(crate) struct Files {
    /// Grows by shards. Never borrowed over an `await`.
    manifest: RefCell<Verified<Manifest>>,
    sha256: Sha256Digest,
    tag: CacheTag,
    objects: Objects,
    /// What follows the load, in this order.
    later: Vec<usize>,
    state: RefCell<State>,
    /// Whether nothing was wrong with the cache when the release was loaded.
    is_kept: bool,
    /// Held by what fetches without a reader waiting, so that nothing is fetched twice.
    background: Turns,
}

struct State {
    /// For each object that is known.
    given: Vec<bool>,
    held: Held,
    /// How many files and shards the mount knows.
    listed: (usize, usize),
}

/// Files and folders for the mount.
#[derive(Default)]
pub(crate) struct Listing {
    /// A line each: no path holds a control character.
    pub(crate) paths: String,
    /// Three numbers for each path: object, offset and size in bytes.
    pub(crate) spans: Vec<u32>,
    /// Folders whose files are in shards, a line each.
    pub(crate) folders: String,
    /// The shard of each.
    pub(crate) shards: Vec<usize>,
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
    /// Refuses a release that this interpreter cannot have.
    pub(crate) fn admit(&self, request: &Request) -> Result<(), Error> {
        request.admit(&self.manifest.borrow())
    }

    /// `given`: the objects that the load itself hands over.
    pub(crate) fn new(
        manifest: Verified<Manifest>,
        sha256: Sha256Digest,
        tag: CacheTag,
        objects: Objects,
        given: &[usize],
        later: Vec<usize>,
    ) -> Self {
        let is_kept = objects.store.trouble().is_none();
        let mut all = vec![false; manifest.objects.len()];
        for index in given {
            all[*index] = true;
        }
        Self {
            manifest: RefCell::new(manifest),
            sha256,
            tag,
            objects,
            later,
            is_kept,
            state: RefCell::new(State {
                given: all,
                held: Held::with_room(ROOM),
                listed: (0, 0),
            }),
            background: Turns::default(),
        }
    }

    /// What is known of the files of the release and was not said before.
    pub(crate) fn listing(&self) -> Listing {
        let manifest = self.manifest.borrow();
        let (files, shards) = core::mem::replace(
            &mut self.state.borrow_mut().listed,
            (manifest.files.len(), manifest.shards.len()),
        );
        let mut listing = Listing::default();
        for file in manifest.files.iter().skip(files) {
            if manifest.objects[file.object].is_for(&self.tag) {
                listing.paths.push_str(&manifest.mounted_path(file));
                listing.paths.push('\n');
                // All three are below 4 GiB by the limits that the manifest was checked against.
                let span = [file.object as u64, file.offset, file.size];
                let span = span.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
                listing.spans.extend(span);
            }
        }
        for (index, entry) in manifest.shards.iter().enumerate().skip(shards) {
            listing.folders.push_str(&entry.folder);
            listing.folders.push('\n');
            listing.shards.push(index);
        }
        listing
    }

    /// What the modules (dotted names) and their imports need and the mount does not have; their sources follow.
    pub(crate) async fn fetch(&self, modules: &[String]) -> Result<Supply, Error> {
        let traffic = Traffic::default();
        let watch = Watch::silent(&traffic);
        let plan = self.plan(modules, &watch).await?;
        let supply = self.get(&plan.now, &watch).await?;
        // Whoever asked for them beforehand may be about to leave.
        self.objects.store.written().await;
        self.remember(&supply.objects).await;
        Ok(supply)
    }

    /// As [`shards::plan`].
    async fn plan(&self, modules: &[String], watch: &Watch<'_>) -> Result<Plan, Error> {
        loop {
            let planned = self.manifest.borrow().plan(&self.tag, modules)?;
            match planned {
                Planned::Ready(plan) => {
                    shards::check(&self.manifest.borrow(), &plan)?;
                    return Ok(plan);
                }
                Planned::Lacking(shards) => {
                    let used = self.bring(&shards, watch).await?;
                    self.objects.store.add_visits(self.sha256, &used).await;
                }
            }
        }
    }

    /// Adds shards that were unknown. Their digests.
    async fn bring(&self, shards: &[usize], watch: &Watch<'_>) -> Result<Vec<Sha256Digest>, Error> {
        let entries = shards::entries(&self.manifest.borrow(), shards)?;
        let fetched = self.objects.all(&entries, watch).await?;
        for (index, object) in shards.iter().zip(&fetched) {
            self.add(*index, &object.bytes)?;
        }
        Ok(entries.iter().map(|entry| entry.decoded_sha256).collect())
    }

    fn add(&self, shard: usize, bytes: &Uint8Array) -> Result<(), Error> {
        let mut manifest = self.manifest.borrow_mut();
        shards::add(&mut manifest, shard, bytes)?;
        let given = &mut self.state.borrow_mut().given;
        given.resize(manifest.objects.len(), false);
        Ok(())
    }

    /// Gets the shards around these paths and at them.
    pub(crate) async fn reveal(&self, paths: &[String]) -> Result<(), Error> {
        let traffic = Traffic::default();
        let watch = Watch::silent(&traffic);
        loop {
            let unknown: Vec<usize> = {
                let manifest = self.manifest.borrow();
                let unknown = paths
                    .iter()
                    .filter_map(|path| manifest.unknown_around(path));
                let mut unknown = sorted(unknown.collect());
                unknown.dedup();
                unknown
            };
            if unknown.is_empty() {
                return Ok(());
            }
            let used = self.bring(&unknown, &watch).await?;
            self.objects.store.add_visits(self.sha256, &used).await;
        }
    }

    /// Whether a path is in a shard that is not known, or is one.
    pub(crate) fn hides(&self, path: &str) -> bool {
        self.manifest.borrow().unknown_around(path).is_some()
    }

    /// Makes one shard known at once, over the network while the page waits.
    pub(crate) fn reveal_now(self: &Rc<Self>, shard: usize) -> Result<(), Error> {
        let unknown = {
            let manifest = self.manifest.borrow();
            let entry = manifest.shards.get(shard).filter(|entry| !entry.is_known);
            entry.map(|entry| entry.object.clone())
        };
        let Some(entry) = unknown else {
            return Ok(());
        };
        let bytes = self.objects.get_now(&entry)?;
        self.add(shard, &bytes)?;
        let this = Rc::clone(self);
        spawn_local(async move {
            let (store, digest) = (&this.objects.store, entry.decoded_sha256);
            store.keep_object(digest, &bytes).await;
            store.add_visits(this.sha256, &[digest]).await;
        });
        Ok(())
    }

    /// Those of the objects that the mount does not have, until [`supplied`](Self::supplied) says that it does.
    pub(crate) async fn supply(&self, objects: &[usize]) -> Result<Supply, Error> {
        let traffic = Traffic::default();
        let watch = Watch::silent(&traffic);
        self.get(objects, &watch).await
    }

    /// `watch` has seen what it took to know which objects these are.
    async fn get(&self, objects: &[usize], watch: &Watch<'_>) -> Result<Supply, Error> {
        let wanted: Vec<usize> = {
            let state = self.state.borrow();
            let absent = objects
                .iter()
                .copied()
                .filter(|index| self.entry(*index).is_some() && !state.given[*index]);
            absent.collect()
        };
        let mut work = wanted.iter().map(|index| -> Work<'_> {
            let work = self.decoded(*index, watch);
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
            bytes: watch.traffic.bytes.get(),
            requests: watch.traffic.requests.get(),
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
        if let Some(bytes) = held {
            return Ok(Object {
                bytes,
                origin: Origin::Cache,
            });
        }
        let entry = self.entry(index).ok_or_else(|| self.missing(index))?;
        self.objects.get(&entry, watch).await
    }

    /// What is known of an object, if this interpreter has a use for it.
    fn entry(&self, index: usize) -> Option<ObjectEntry> {
        let manifest = self.manifest.borrow();
        let entry = manifest.objects.get(index)?;
        entry.is_for(&self.tag).then(|| entry.clone())
    }

    fn missing(&self, index: usize) -> Error {
        ResolveError::Offline {
            subject: format!("object {index} of {}", self.manifest.borrow().name),
        }
        .into()
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

    /// Gets what the load left out, and holds it. An error says, too, that the cache has refused what the load brought.
    pub(crate) async fn follow(&self) -> Result<(), Error> {
        let held = self.hold(&self.later).await;
        self.kept().await.and(held)
    }

    /// Waits until the cache has what was brought. An error, if it refused some of it and nobody knows yet.
    async fn kept(&self) -> Result<(), Error> {
        self.objects.store.written().await;
        match self.objects.store.trouble() {
            Some(trouble) if self.is_kept => Err(trouble.into()),
            _ => Ok(()),
        }
    }

    /// As [`follow`](Self::follow), for what [`fetch`](Self::fetch) left out.
    pub(crate) async fn follow_modules(&self, modules: &[String]) -> Result<(), Error> {
        let traffic = Traffic::default();
        let watch = Watch::silent(&traffic);
        let plan = self.plan(modules, &watch).await?;
        self.hold(&plan.sources).await
    }

    /// Gets everything that the release has for this interpreter into the cache, and holds what there is room for.
    pub(crate) async fn complete(&self) -> Result<(), Error> {
        let traffic = Traffic::default();
        let watch = Watch::silent(&traffic);
        let listed = self.list_all(&watch).await;
        let all: Vec<usize> = (0..self.manifest.borrow().objects.len())
            .filter(|index| self.entry(*index).is_some())
            .collect();
        let held = self.hold(&all).await;
        listed.and(held).and(self.kept().await)
    }

    /// Adds all shards. One that cannot be had keeps none of the others away.
    async fn list_all(&self, watch: &Watch<'_>) -> Result<(), Error> {
        loop {
            let unknown = self.manifest.borrow().unknown_shards();
            let Some(first) = unknown.first() else {
                return Ok(());
            };
            let entries = shards::entries(&self.manifest.borrow(), &unknown)?;
            let found = self.objects.those_there(&entries, watch).await;
            let mut is_more_known = false;
            for (index, object) in unknown.iter().zip(found) {
                let added = object.map(|object| self.add(*index, &object.bytes));
                is_more_known |= matches!(added, Some(Ok(())));
            }
            if !is_more_known {
                // For the reason.
                return self.bring(&[*first], watch).await.map(|_| ());
            }
        }
    }

    /// Gets objects that nobody waits for, each by itself: one that cannot be had keeps none of the others away.
    /// The first error is returned at the end.
    async fn hold(&self, objects: &[usize]) -> Result<(), Error> {
        let _turn = self.background.wait().await;
        let traffic = Traffic::default();
        let watch = Watch::silent(&traffic);
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
                    let object = match self.entry(index) {
                        Some(entry) => source.get(&entry, &watch).await,
                        None => Err(self.missing(index)),
                    };
                    match object {
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
        let entry = self.entry(index).ok_or_else(|| self.missing(index))?;
        let held = self.state.borrow_mut().held.take(index);
        let is_held = held.is_some();
        let bytes = match held {
            Some(bytes) => bytes,
            None => self.objects.get_now(&entry)?,
        };
        let (this, kept, sha256) = (Rc::clone(self), bytes.clone(), entry.decoded_sha256);
        spawn_local(async move {
            if !is_held {
                this.objects.store.keep_object(sha256, &kept).await;
            }
            // Sources follow each load by themselves.
            if !this.holds_sources(index) {
                this.remember(&[index]).await;
            }
        });
        self.state.borrow_mut().given[index] = true;
        Ok(bytes)
    }

    /// Whether an object holds sources behind bytecode.
    fn holds_sources(&self, index: usize) -> bool {
        let manifest = self.manifest.borrow();
        let mut files = manifest.files.iter().filter(|file| file.object == index);
        manifest.has_bytecode(&self.tag)
            && files.any(|file| matches!(file.path.rsplit_once('.'), Some((_, "py"))))
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
            let entries = objects.iter().filter_map(|index| self.entry(*index));
            let digests: Vec<Sha256Digest> = entries.map(|entry| entry.decoded_sha256).collect();
            self.objects.store.add_visits(self.sha256, &digests).await;
        }
    }
}
