//! The cache: `IndexedDB`, or memory where the browser has none for this page.
//!
//! Nothing here is trusted. The readers hash every object and verify every metadata file again; a record that
//! does not pass is dropped. No transaction is held over anything but `IndexedDB`'s own requests: it would
//! commit by itself.
//!
//! | object store | key | value |
//! | --- | --- | --- |
//! | `objects` | digest, hex | the bytes of that digest, decoded where they were not transferred so, `Uint8Array` |
//! | `sizes` | digest, hex | their number, so that a sum needs no bytes |
//! | `metadata` | root pin, hex | all metadata files of one repository, one record: `{roots, timestamp, snapshot, targets, whole, clockFloor}` |
//! | `snapshots` | release name and Pyodide's version | the memory snapshot of that release, or of none: `[digest in hex, Blob]` of its decoded bytes; without the `Blob`, if there was no room |
//! | `visits` | manifest digest, hex | the digests of the objects and shards of a release that were used, those of the load itself where it brought the whole release, decoded, one behind the other, `Uint8Array` |
//! | `first_use` | repository URL | the root pin that was trusted on first use, hex |

mod database;

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, EventTarget, IdbDatabase};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::StoreError;
use webimport_core::limits::Limits;
use webimport_core::map::{Map, sorted};
use webimport_core::time::UnixTime;
use webimport_core::workflow::{CachedMetadata, Chain};

use self::database::Change;
use crate::bytes::{allocate, describe};
use crate::concurrent::{Pending, Turns};

const NAME: &str = "webimport";
const VERSION: u32 = 5;
const OBJECTS: &str = "objects";
const SIZES: &str = "sizes";
const METADATA: &str = "metadata";
const SNAPSHOTS: &str = "snapshots";
const VISITS: &str = "visits";
const FIRST_USE: &str = "first_use";
/// Roots that a record may hold: a rotation a week for eighty years.
const MAX_ROOTS: u32 = 4096;
/// Targets files that a record may hold: the top-level one, and those of delegated roles.
const MAX_TARGETS: usize = 1024;
/// Bytes that a record of visits may have: a million objects and shards, more than anybody uses.
const MAX_VISITS: u32 = 32_000_000;
/// Bytes that may be on their way to the database while whoever brings them goes on.
const MAX_PENDING: u64 = 64 * 1024 * 1024;
/// Bytes that may wait while somebody reads: what a page that is closed has to fetch once more.
const MAX_QUEUED: u64 = 16 * 1024 * 1024;
/// Bytes of a digest.
const DIGEST: usize = 32;
/// 9999-12-31T23:59:59Z, the last time that metadata can state.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The cache of one page.
pub(crate) struct Store {
    database: RefCell<Connection>,
    /// Taken while the database is being opened, so that a second reader waits for the first one's answer.
    opening: Turns,
    /// What the database has not taken yet, or could not take: that for the life of the page.
    memory: Memory,
    /// Objects that are to be written, with what they count in `pending`.
    queue: RefCell<Vec<(Sha256Digest, Uint8Array, u64)>>,
    /// How many there are for whom writing waits.
    readers: Cell<usize>,
    /// Of the queue, and of what is being written.
    pending: Pending,
    trouble: RefCell<Option<StoreError>>,
    /// The database has answered before.
    was_open: Cell<bool>,
}

enum Connection {
    NotTried,
    Open(IdbDatabase),
    Refused,
}

/// What became of changes.
enum Outcome {
    Committed,
    /// There is no database.
    Absent,
    /// The database did not take them; this is noted.
    Failed(StoreError),
}

impl Outcome {
    fn is_committed(&self) -> bool {
        matches!(self, Self::Committed)
    }
}

#[derive(Default)]
struct Memory {
    objects: RefCell<Map<Sha256Digest, Uint8Array>>,
    metadata: RefCell<Map<Sha256Digest, CachedMetadata>>,
    visits: RefCell<Map<Sha256Digest, Vec<Sha256Digest>>>,
    first_use: RefCell<Map<String, Sha256Digest>>,
}

/// What the cache holds.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Info {
    storage: &'static str,
    objects: usize,
    bytes: u64,
    repositories: usize,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            database: RefCell::new(Connection::NotTried),
            opening: Turns::default(),
            memory: Memory::default(),
            queue: RefCell::default(),
            readers: Cell::new(0),
            pending: Pending::default(),
            trouble: RefCell::new(None),
            was_open: Cell::new(false),
        }
    }

    /// `indexeddb` or `memory`: where the next record goes.
    pub(crate) fn kind(&self) -> &'static str {
        if self.trouble.borrow().is_none() {
            "indexeddb"
        } else {
            "memory"
        }
    }

    /// Why the database is not, or not wholly, in use.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.trouble.borrow().clone()
    }

    /// The bytes stored under a digest, unchecked.
    pub(crate) async fn object(&self, sha256: Sha256Digest) -> Option<Uint8Array> {
        let kept = self.memory.objects.borrow().get(&sha256).cloned();
        if kept.is_some() {
            return kept;
        }
        let stored: Uint8Array = self
            .read(OBJECTS, Some(&sha256.to_string()))
            .await
            .ok()??
            .dyn_into()
            .ok()?;
        plain(stored)
    }

    /// Opens the database, so that the first load finds it open.
    pub(crate) async fn connect(&self) {
        self.open().await;
    }

    /// As [`put_object`](Self::put_object), but the bytes are there at once, and in the database when they have been
    /// [written](Self::written). Waits only where too many are on their way there, and then for these alone.
    pub(crate) async fn keep_object(self: &Rc<Self>, sha256: Sha256Digest, bytes: &Uint8Array) {
        if self.pending.bytes() > MAX_PENDING {
            self.write();
            self.put_object(sha256, bytes).await;
            return;
        }
        // One without bytes is on its way, too.
        let size = u64::from(bytes.length()) + 1;
        self.pending.add(size);
        let mut objects = self.memory.objects.borrow_mut();
        objects.insert(sha256, bytes.clone());
        drop(objects);
        self.queue.borrow_mut().push((sha256, bytes.clone(), size));
        let queued: u64 = self.queue.borrow().iter().map(|(.., size)| size).sum();
        if self.readers.get() == 0 || queued > MAX_QUEUED {
            self.write();
        }
    }

    /// Leaves some objects unwritten as long as what it returns is there: the database answers no reader while it writes.
    pub(crate) fn reading(self: &Rc<Self>) -> Reading {
        self.readers.set(self.readers.get() + 1);
        Reading(Rc::clone(self))
    }

    /// Waits until the database has all objects, or has refused them.
    pub(crate) async fn written(self: &Rc<Self>) {
        loop {
            self.write();
            if self.pending.bytes() == 0 {
                return;
            }
            self.pending.arrival().await;
        }
    }

    fn write(self: &Rc<Self>) {
        for (sha256, bytes, size) in self.queue.take() {
            let store = Rc::clone(self);
            spawn_local(async move {
                store.put_object(sha256, &bytes).await;
                store.pending.done(size);
            });
        }
    }

    /// Keeps verified bytes under their digest.
    pub(crate) async fn put_object(&self, sha256: Sha256Digest, bytes: &Uint8Array) {
        let key = JsValue::from(sha256.to_string());
        let size = JsValue::from(bytes.length());
        let changes = [
            (OBJECTS, &key, Change::Put(bytes)),
            (SIZES, &key, Change::Put(&size)),
        ];
        let stored = self.change(&changes).await.is_committed();
        let mut objects = self.memory.objects.borrow_mut();
        if stored {
            objects.remove(&sha256);
        } else {
            objects.insert(sha256, bytes.clone());
        }
    }

    /// The memory snapshot that is kept under a key, unchecked, if it is said to have this digest and at most so many bytes.
    /// It is in a `Blob`, which the database gives in a third of the time that bytes take.
    pub(crate) async fn snapshot(
        &self,
        key: &str,
        sha256: Sha256Digest,
        limit: u64,
    ) -> Option<Uint8Array> {
        let record = self.read(SNAPSHOTS, Some(key)).await.ok()??;
        let (digest, blob) = snapshot_of(&record)?;
        let blob = blob?;
        #[expect(clippy::cast_precision_loss, reason = "some hundred million")]
        if digest != sha256 || blob.size() > limit as f64 {
            return None;
        }
        let bytes = JsFuture::from(blob.array_buffer()).await.ok()?;
        Some(Uint8Array::new(&bytes))
    }

    /// Keeps a memory snapshot in place of what is there under its key. Where it finds no room, its digest alone is kept, and
    /// nothing is wrong.
    pub(crate) async fn put_snapshot(&self, key: &str, sha256: Sha256Digest, bytes: &Uint8Array) {
        let Some(database) = self.open().await else {
            return;
        };
        let digest = JsValue::from(sha256.to_string());
        let mut records = vec![Array::of1(&digest)];
        if let Ok(blob) = Blob::new_with_u8_array_sequence(&Array::of1(bytes)) {
            records.push(Array::of2(&digest, &blob));
        }
        let key = JsValue::from(key);
        while let Some(record) = records.pop() {
            let changes = [(SNAPSHOTS, &key, Change::Put(&record))];
            if database::change(&database, &changes).await == Ok(true) {
                return;
            }
        }
    }

    /// Whether it is of use to fetch a snapshot of this digest: there is a database, and it has not refused that one.
    pub(crate) async fn wants_snapshot(&self, key: &str, sha256: Sha256Digest) -> bool {
        if self.open().await.is_none() {
            return false;
        }
        let record = self.read(SNAPSHOTS, Some(key)).await.ok().flatten();
        record.and_then(|record| snapshot_of(&record)) != Some((sha256, None))
    }

    /// Forgets a memory snapshot.
    pub(crate) async fn drop_snapshot(&self, key: &str) {
        self.change(&[(SNAPSHOTS, &JsValue::from(key), Change::Delete)])
            .await;
    }

    /// Whether there is a memory snapshot under a key.
    pub(crate) async fn holds_snapshot(&self, key: &str) -> bool {
        let record = self.read(SNAPSHOTS, Some(key)).await.ok().flatten();
        let found = record.and_then(|record| snapshot_of(&record));
        found.is_some_and(|(_, blob)| blob.is_some())
    }

    /// The keys of all memory snapshots, with the digests that they should have; none for what is no record of ours.
    pub(crate) async fn snapshots(&self) -> Vec<(String, Option<Sha256Digest>)> {
        let mut found = Vec::new();
        for key in self.keys(SNAPSHOTS).await {
            let record = self.read(SNAPSHOTS, Some(&key)).await.ok().flatten();
            match record.and_then(|record| snapshot_of(&record)) {
                // Refused: there is nothing to check.
                Some((_, None)) => {}
                Some((digest, Some(_))) => found.push((key, Some(digest))),
                None => found.push((key, None)),
            }
        }
        found
    }

    /// Forgets a record that is not what its key says.
    pub(crate) async fn drop_object(&self, sha256: Sha256Digest) {
        self.memory.objects.borrow_mut().remove(&sha256);
        let key = JsValue::from(sha256.to_string());
        // What stays is dropped again when it is read.
        self.change(&[
            (OBJECTS, &key, Change::Delete),
            (SIZES, &key, Change::Delete),
        ])
        .await;
    }

    /// All metadata files kept for a root pin, unchecked but within the limits; empty where there are none.
    pub(crate) async fn metadata(&self, pin: Sha256Digest, limits: &Limits) -> CachedMetadata {
        if let Some(kept) = self.memory.metadata.borrow().get(&pin) {
            return kept.clone();
        }
        match self.read(METADATA, Some(&pin.to_string())).await {
            Ok(Some(record)) => from_record(&record, limits),
            // What cannot be read is noted as trouble, and fetched anew.
            Ok(None) | Err(_) => CachedMetadata::default(),
        }
    }

    /// The objects and shards that visits of a release have come to use, and of a whole release those that its load
    /// brought, by the digest of their decoded bytes, in order, unchecked.
    pub(crate) async fn visits(&self, release: Sha256Digest) -> Vec<Sha256Digest> {
        if let Some(kept) = self.memory.visits.borrow().get(&release) {
            return kept.clone();
        }
        // Nothing depends on it: a record that cannot be read makes later imports slower.
        let record = self
            .read(VISITS, Some(&release.to_string()))
            .await
            .ok()
            .flatten();
        record.map(visits_of).unwrap_or_default()
    }

    /// Adds to the [`visits`](Self::visits) of a release, those of other tabs included.
    pub(crate) async fn add_visits(&self, release: Sha256Digest, objects: &[Sha256Digest]) {
        let key = JsValue::from(release.to_string());
        let next = |current: Option<JsValue>| {
            let all = united(current.map(visits_of).unwrap_or_default(), objects);
            let record = all.iter().flat_map(Sha256Digest::as_bytes);
            let record: Vec<u8> = record.copied().collect();
            Some(Uint8Array::from(record.as_slice()).into())
        };
        let changes = [(VISITS, &key, Change::Update(&next))];
        if !self.change(&changes).await.is_committed() {
            let mut memory = self.memory.visits.borrow_mut();
            let all = memory.get_or_insert_with(release, Vec::new);
            *all = united(core::mem::take(all), objects);
        }
    }

    /// Replaces all metadata of a root pin, in one record and so in one transaction. `seen` is what the caller
    /// started from: if another load has stored something else since, whichever got further stays, so that no
    /// tab takes back what another one has learned (rollback).
    pub(crate) async fn put_metadata(
        &self,
        pin: Sha256Digest,
        metadata: &CachedMetadata,
        seen: &CachedMetadata,
        limits: &Limits,
    ) {
        let key = JsValue::from(pin.to_string());
        let next = |current: Option<JsValue>| {
            let current = current.map(|record| from_record(&record, limits));
            let next = further(current.as_ref(), metadata, seen);
            (current.as_ref() != Some(&next)).then(|| to_record(&next).into())
        };
        let changes = [(METADATA, &key, Change::Update(&next))];
        let stored = self.change(&changes).await.is_committed();
        let mut memory = self.memory.metadata.borrow_mut();
        if stored {
            memory.remove(&pin);
        } else {
            let next = further(memory.get(&pin), metadata, seen);
            memory.insert(pin, next);
        }
    }

    /// The root that was trusted on first use of a repository.
    ///
    /// # Errors
    /// [`StoreError`] if that cannot be told: it must not be taken for "never seen".
    pub(crate) async fn first_use(
        &self,
        repository: &str,
    ) -> Result<Option<Sha256Digest>, StoreError> {
        let kept = self.memory.first_use.borrow().get(repository).copied();
        if kept.is_some() {
            return Ok(kept);
        }
        match self.read(FIRST_USE, Some(repository)).await? {
            None => Ok(None),
            Some(value) => parse_pin(&value, repository).map(Some),
        }
    }

    /// Remembers the root of a first use, unless another load was first: then that one's is returned.
    ///
    /// # Errors
    /// [`StoreError`] if the database has been opened and does not answer.
    pub(crate) async fn put_first_use(
        &self,
        repository: &str,
        pin: Sha256Digest,
    ) -> Result<Sha256Digest, StoreError> {
        let key = JsValue::from(repository);
        let found = RefCell::new(None);
        let next = |current: Option<JsValue>| {
            let next = current.is_none().then(|| pin.to_string().into());
            found.replace(current);
            next
        };
        match self
            .change(&[(FIRST_USE, &key, Change::Update(&next))])
            .await
        {
            // Full, for example: it holds for as long as the page.
            Outcome::Absent | Outcome::Failed(StoreError::Quota { .. }) => {}
            Outcome::Failed(error) => return Err(error),
            Outcome::Committed => {
                return match found.take() {
                    Some(current) => parse_pin(&current, repository),
                    None => Ok(pin),
                };
            }
        }
        if let Some(current) = found.take() {
            return parse_pin(&current, repository);
        }
        Ok(*self
            .memory
            .first_use
            .borrow_mut()
            .get_or_insert_with(repository.to_owned(), || pin))
    }

    /// Counts what is there.
    pub(crate) async fn info(self: &Rc<Self>) -> Info {
        self.written().await;
        let mut objects: Map<String, u64> = Map::new();
        let mut repositories = self.keys(METADATA).await.len();
        for key in self.keys(SIZES).await {
            let size = self
                .read(SIZES, Some(&key))
                .await
                .ok()
                .flatten()
                .and_then(|size| size.as_f64())
                .unwrap_or(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "written from a u32"
            )]
            objects.insert(key, size as u64);
        }
        for (sha256, bytes) in &*self.memory.objects.borrow() {
            objects.insert(sha256.to_string(), u64::from(bytes.length()));
        }
        for key in self.keys(SNAPSHOTS).await {
            let record = self.read(SNAPSHOTS, Some(&key)).await.ok().flatten();
            let blob = record.and_then(|record| snapshot_of(&record)?.1);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a length"
            )]
            if let Some(blob) = blob {
                objects.insert(key, blob.size() as u64);
            }
        }
        repositories += self.memory.metadata.borrow().len();
        Info {
            storage: self.kind(),
            objects: objects.len(),
            bytes: objects.values().sum(),
            repositories,
        }
    }

    /// The digests of all objects.
    pub(crate) async fn objects(self: &Rc<Self>) -> Vec<Sha256Digest> {
        self.written().await;
        let mut all: Vec<_> = self
            .keys(OBJECTS)
            .await
            .iter()
            .filter_map(|key| key.parse().ok())
            .collect();
        all.extend(self.memory.objects.borrow().keys());
        all = sorted(all);
        all.dedup();
        all
    }

    /// Forgets everything but which roots were trusted on first use: forgetting those would let the next
    /// server in.
    pub(crate) async fn clear(self: &Rc<Self>) -> Result<(), StoreError> {
        self.written().await;
        self.memory.objects.borrow_mut().clear();
        self.memory.metadata.borrow_mut().clear();
        self.memory.visits.borrow_mut().clear();
        let none = JsValue::UNDEFINED;
        let stores = [OBJECTS, SIZES, SNAPSHOTS, METADATA, VISITS];
        let changes = stores.map(|store| (store, &none, Change::Clear));
        match self.change(&changes).await {
            Outcome::Committed => {
                // There is room again.
                self.trouble.borrow_mut().take();
                Ok(())
            }
            Outcome::Absent => Ok(()),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// One record, or all keys; `None` if there is none or if the database could not be opened at all.
    async fn read(&self, store: &str, key: Option<&str>) -> Result<Option<JsValue>, StoreError> {
        let key = key.map(JsValue::from);
        for last in [false, true] {
            let Some(database) = self.open().await else {
                // Never there: nothing was ever kept in it. Gone: nobody can tell what it holds.
                return match self.trouble() {
                    Some(error) if self.was_open.get() => Err(error),
                    _ => Ok(None),
                };
            };
            match database::read(&database, store, key.as_ref()).await {
                Ok(value) => return Ok(value),
                // Another tab may have closed the connection: once more with a new one.
                Err(error) if !last && self.reopen(&error) => {}
                Err(error) => return Err(self.note(&error)),
            }
        }
        Ok(None)
    }

    async fn keys(&self, store: &str) -> Vec<String> {
        let keys = self.read(store, None).await.ok().flatten();
        keys.and_then(|keys| keys.dyn_into::<Array>().ok())
            .unwrap_or_default()
            .iter()
            .filter_map(|key| key.as_string())
            .collect()
    }

    /// Makes changes in one transaction.
    async fn change(&self, changes: &[(&str, &JsValue, Change<'_>)]) -> Outcome {
        for last in [false, true] {
            let Some(database) = self.open().await else {
                return Outcome::Absent;
            };
            match database::change(&database, changes).await {
                // Another tab may have closed the connection: once more with a new one.
                Err(error) if !last && self.reopen(&error) => {}
                Err(error) if !last && is_quota(&error) && evict(&database).await => {}
                Ok(false) if !last && evict(&database).await => {}
                Err(error) => return Outcome::Failed(self.note(&error)),
                Ok(true) => {
                    // It answers again. A full one still takes small records: that is over when it was emptied.
                    self.trouble
                        .borrow_mut()
                        .take_if(|trouble| matches!(trouble, StoreError::Unavailable { .. }));
                    return Outcome::Committed;
                }
                Ok(false) => {
                    return Outcome::Failed(self.fail(StoreError::Quota {
                        reason: "the transaction was aborted".into(),
                    }));
                }
            }
        }
        Outcome::Absent
    }

    async fn open(&self) -> Option<IdbDatabase> {
        let _turn = self.opening.wait().await;
        // Whoever gives up while it is being opened leaves it for the next one to try.
        let connection = match self.database.replace(Connection::NotTried) {
            Connection::NotTried => match database::open(NAME, VERSION, upgrade).await {
                Ok(database) => {
                    self.was_open.set(true);
                    Connection::Open(database)
                }
                Err(error) => {
                    self.fail(StoreError::Unavailable {
                        reason: reason(&error),
                    });
                    Connection::Refused
                }
            },
            tried => tried,
        };
        let database = match &connection {
            Connection::Open(database) => Some(database.clone()),
            Connection::NotTried | Connection::Refused => None,
        };
        self.database.replace(connection);
        database
    }

    fn note(&self, error: &JsValue) -> StoreError {
        self.reopen(error);
        self.fail(translate(error))
    }

    /// Lets go of a connection that another tab has closed, so that the next access opens a new one. False if the
    /// error is of another kind.
    fn reopen(&self, error: &JsValue) -> bool {
        reason(error).starts_with("InvalidState")
            && self.opening.take().is_some_and(|_turn| {
                self.database.replace(Connection::NotTried);
                true
            })
    }

    fn fail(&self, error: StoreError) -> StoreError {
        *self.trouble.borrow_mut() = Some(error.clone());
        error
    }
}

/// See [`Store::reading`].
pub(crate) struct Reading(Rc<Store>);

impl Drop for Reading {
    fn drop(&mut self) {
        let Self(store) = self;
        store.readers.set(store.readers.get() - 1);
        if store.readers.get() == 0 {
            store.write();
        }
    }
}

fn upgrade(request: EventTarget) {
    // A failure here aborts the upgrade, and the open request reports it.
    if let Some(database) = database::upgraded(request) {
        // What is there already stays: an error, and no more.
        for store in [OBJECTS, SIZES, SNAPSHOTS, METADATA, VISITS, FIRST_USE] {
            let _ = database.create_object_store(store);
        }
    }
}

/// What is kept of what is stored now and what is to be stored. Who has seen what is stored may replace it; two
/// that do not know of each other are merged.
fn further(
    current: Option<&CachedMetadata>,
    new: &CachedMetadata,
    seen: &CachedMetadata,
) -> CachedMetadata {
    let Some(current) = current else {
        return new.clone();
    };
    let mut next = if current == seen {
        new.clone()
    } else {
        CachedMetadata::further(current, new)
    };
    for floor in [current.clock_floor, new.clock_floor].into_iter().flatten() {
        next.raise_floor(floor);
    }
    next
}

/// All metadata files as one value.
fn to_record(metadata: &CachedMetadata) -> Object {
    let record = Object::new();
    let roots: Array = metadata
        .roots
        .iter()
        .map(|root| Uint8Array::from(root.as_slice()))
        .collect();
    let set = |key: &str, value: &JsValue| {
        // Setting a property of a plain new object cannot fail.
        let _ = Reflect::set(&record, &key.into(), value);
    };
    set("roots", &roots);
    let files = [
        ("timestamp", &metadata.timestamp),
        ("snapshot", &metadata.snapshot),
    ];
    for (key, file) in files {
        if let Some(bytes) = file {
            set(key, &Uint8Array::from(bytes.as_slice()));
        }
    }
    set("targets", &to_pairs(&metadata.targets));
    if let Some(whole) = &metadata.whole {
        let chain = Object::new();
        for (key, value) in [
            (
                "timestamp",
                Uint8Array::from(whole.timestamp.as_slice()).into(),
            ),
            (
                "snapshot",
                Uint8Array::from(whole.snapshot.as_slice()).into(),
            ),
            ("targets", JsValue::from(to_pairs(&whole.targets))),
        ] {
            let _ = Reflect::set(&chain, &key.into(), &value);
        }
        set("whole", &chain);
    }
    if let Some(floor) = metadata.clock_floor {
        #[expect(clippy::cast_precision_loss, reason = "a year has four digits")]
        set("clockFloor", &JsValue::from(floor.0 as f64));
    }
    record
}

/// Pairs of name and bytes: a role can have a name that no property of an object should have.
fn to_pairs(targets: &Map<String, Vec<u8>>) -> Array {
    targets
        .iter()
        .map(|(role, file)| Array::of2(&role.into(), &Uint8Array::from(file.as_slice())))
        .collect()
}

fn from_pairs(pairs: JsValue, limits: &Limits) -> Option<Map<String, Vec<u8>>> {
    let pairs = pairs.dyn_into::<Array>().ok()?;
    let mut left = limits.targets + limits.delegated_bytes;
    let mut targets = Map::new();
    for pair in pairs.iter().take(MAX_TARGETS) {
        let Ok(pair) = pair.dyn_into::<Array>() else {
            continue;
        };
        if let Some(role) = pair.get(0).as_string()
            && let Some(bytes) = bounded(pair.get(1), limits.targets.min(left))
        {
            left -= bytes.len() as u64;
            targets.insert(role, bytes);
        }
    }
    Some(targets)
}

/// What a record of visits holds; empty if it is none of ours.
fn visits_of(record: JsValue) -> Vec<Sha256Digest> {
    let digests = |record: Uint8Array| {
        let bytes = record.to_vec();
        let (digests, _) = bytes.as_chunks::<DIGEST>();
        let digests = digests.iter().map(|raw| Sha256Digest::from_raw(*raw));
        united(digests.collect(), &[])
    };
    record
        .dyn_into::<Uint8Array>()
        .ok()
        .filter(|record| record.length() <= MAX_VISITS)
        .map(digests)
        .unwrap_or_default()
}

/// All of both, in order, each once.
fn united(mut visits: Vec<Sha256Digest>, more: &[Sha256Digest]) -> Vec<Sha256Digest> {
    visits.extend(more);
    let mut visits = sorted(visits);
    visits.dedup();
    visits
}

/// The bytes of a file, unless there are more than `limit`.
fn bounded(value: JsValue, limit: u64) -> Option<Vec<u8>> {
    let bytes = value.dyn_into::<Uint8Array>().ok()?;
    (u64::from(bytes.length()) <= limit).then(|| bytes.to_vec())
}

/// The files of a record; what is not as [`to_record`] made it, or is over the limits, is left out.
fn from_record(record: &JsValue, limits: &Limits) -> CachedMetadata {
    let file = |of: &JsValue, key: &str, limit| bounded(Reflect::get(of, &key.into()).ok()?, limit);
    let targets = |of: &JsValue| from_pairs(Reflect::get(of, &"targets".into()).ok()?, limits);
    let roots = Reflect::get(record, &"roots".into())
        .ok()
        .and_then(|roots| roots.dyn_into::<Array>().ok())
        .filter(|roots| roots.length() <= MAX_ROOTS)
        .and_then(|roots| {
            roots
                .iter()
                .map(|root| bounded(root, limits.root))
                .collect()
        })
        .unwrap_or_default();
    let whole = Reflect::get(record, &"whole".into())
        .ok()
        .filter(JsValue::is_object)
        .and_then(|chain| {
            Some(Chain {
                timestamp: file(&chain, "timestamp", limits.timestamp)?,
                snapshot: file(&chain, "snapshot", limits.snapshot)?,
                targets: targets(&chain)?,
            })
        });
    let clock_floor = Reflect::get(record, &"clockFloor".into())
        .ok()
        .and_then(|floor| floor.as_f64())
        .filter(|floor| (0.0..=LAST_SECOND).contains(floor));
    CachedMetadata {
        roots,
        timestamp: file(record, "timestamp", limits.timestamp),
        snapshot: file(record, "snapshot", limits.snapshot),
        targets: targets(record).unwrap_or_default(),
        whole,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is in the range of whole seconds"
        )]
        clock_floor: clock_floor.map(|floor| UnixTime(floor as i64)),
    }
}

/// Bytes in a buffer of their own and of a fixed length. A record need not be one that this module wrote, and a
/// view of a buffer that can change its size is hashed by one part of the platform and refused by another.
fn plain(bytes: Uint8Array) -> Option<Uint8Array> {
    let buffer = bytes.buffer();
    let resizable = Reflect::get(&buffer, &"resizable".into()).is_ok_and(|it| it.is_truthy());
    if !resizable && buffer.byte_length() == bytes.length() {
        return Some(bytes);
    }
    let copy = allocate(u64::from(bytes.length()), "a record").ok()?;
    copy.set(&bytes, 0);
    Some(copy)
}

fn parse_pin(value: &JsValue, repository: &str) -> Result<Sha256Digest, StoreError> {
    value
        .as_string()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::Damaged {
            subject: format!("the root trusted for {repository}"),
        })
}

fn translate(error: &JsValue) -> StoreError {
    let reason = reason(error);
    if is_quota(error) {
        StoreError::Quota { reason }
    } else {
        StoreError::Unavailable { reason }
    }
}

fn is_quota(error: &JsValue) -> bool {
    reason(error).to_ascii_lowercase().contains("quota")
}

/// Makes room: memory snapshots, without which a page starts as well, are the first to go. False if there are none.
async fn evict(database: &IdbDatabase) -> bool {
    let keys = database::read(database, SNAPSHOTS, None).await;
    let is_there = keys.is_ok_and(|keys| {
        keys.and_then(|keys| keys.dyn_into::<Array>().ok())
            .is_some_and(|keys| keys.length() > 0)
    });
    let clear = [(SNAPSHOTS, &JsValue::UNDEFINED, Change::Clear)];
    is_there && database::change(database, &clear).await.is_ok()
}

/// What a record of a memory snapshot holds: without bytes, if the database refused them. None if it is none of ours.
fn snapshot_of(record: &JsValue) -> Option<(Sha256Digest, Option<Blob>)> {
    let record = record.dyn_ref::<Array>()?;
    let digest = record.get(0).as_string()?.parse().ok()?;
    let blob = record.get(1);
    if blob.is_undefined() {
        return Some((digest, None));
    }
    Some((digest, Some(blob.dyn_into().ok()?)))
}

/// The kind of error, and what it says.
fn reason(error: &JsValue) -> String {
    let name = Reflect::get(error, &"name".into()).ok();
    let name = name.and_then(|name| name.as_string());
    format!("{}: {}", name.unwrap_or_default(), describe(error))
}
