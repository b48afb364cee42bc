//! The steps of a load, in order: resolve, refresh the metadata, read the manifest, fetch the objects.
//!
//! Core says what to fetch and judges what came; this module fetches, keeps, and tries the next mirror. The
//! cache is read first and hashed like everything else. What a failed load has fetched and verified stays in
//! the cache; nothing of it reaches Python.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use js_sys::Uint8Array;
use serde::Serialize;
use wasm_bindgen_futures::spawn_local;
use webimport_core::closure::Plan;
use webimport_core::config::Config;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{
    Coded, Error, FetchError, ResolveError, StoreError, TrustError, VerifyError,
};
use webimport_core::keys::KeyId;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Distribution, Manifest, ObjectEntry};
use webimport_core::map::sorted;
use webimport_core::names::{CacheTag, Channel};
use webimport_core::repository::{Authority, LocatedRelease, Lookup, ReleaseTarget, Repository};
use webimport_core::resolve::{Offline, Resolution};
use webimport_core::time::UnixTime;
use webimport_core::trust::{Expiry, Verified};
use webimport_core::url::RepositoryUrl;
use webimport_core::workflow::{Absence, CachedMetadata, MetadataFetch, Refresh, RootTrust, Step};

use crate::bytes;
use crate::concurrent::{Work, both, in_order};
use crate::fetch::{Patience, Size, Traffic, fetch};
use crate::files::{Files, Listing, ROOM};
use crate::objects::{Object, Objects, Origin, PARALLEL, Watch};
use crate::request::Request;
use crate::shards;
use crate::store::Store;
use crate::unicode::platform;

/// A verified release, ready to be mounted.
pub(crate) struct Prepared {
    pub(crate) description: Description,
    pub(crate) listing: Listing,
    /// The objects that are there.
    pub(crate) given: Vec<usize>,
    /// Their bytes, decoded.
    pub(crate) buffers: Vec<Uint8Array>,
    /// For the others.
    pub(crate) files: Rc<Files>,
}

/// What the caller learns of a loaded release.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as JSON")]
pub(crate) struct Description {
    name: String,
    version: String,
    sha256: Sha256Digest,
    pub(crate) path: String,
    modules: Vec<String>,
    namespaces: Vec<String>,
    distributions: Vec<Distribution>,
    requires: Vec<String>,
    requires_python: Option<String>,
    /// Modules come as they are imported.
    partial: bool,
    /// Folders are looked into as they are imported from.
    sharded: bool,
    /// Modules may be imported whose bytes are still to come.
    incomplete: bool,
    /// Whether the release has its sources.
    source: bool,
    repository: String,
    bytecode: Option<CacheTag>,
    already: bool,
    trust: TrustDescription,
    network: Network,
    cache: Cache,
    storage: &'static str,
    offline: bool,
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
struct TrustDescription {
    how: &'static str,
    root: String,
    first_use: bool,
    /// The role that names the release.
    role: Option<String>,
    keyids: Vec<KeyId>,
    expires: Option<UnixTime>,
    expired: bool,
}

#[derive(Debug, Default, Serialize)]
struct Network {
    files: usize,
    bytes: u64,
    requests: u32,
}

#[derive(Debug, Default, Serialize)]
struct Cache {
    files: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Warning {
    code: &'static str,
    message: String,
    hint: String,
}

impl Warning {
    fn of(error: &impl Coded) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}

/// How far a load is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Progress<'a> {
    release: &'a str,
    phase: &'static str,
    bytes_done: u64,
    bytes_total: u64,
    files_done: usize,
    files_total: usize,
    cached: bool,
}

impl Progress<'_> {
    /// JSON text.
    pub(crate) fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

impl Prepared {
    /// JSON text.
    pub(crate) fn describe(&self) -> Option<String> {
        serde_json::to_string(&self.description).ok()
    }

    /// Whether a load for this request would give the same.
    pub(crate) fn fits(&self, request: &Request) -> bool {
        let Description {
            sha256,
            partial,
            incomplete,
            ..
        } = &self.description;
        let comes_in_time = request.waits || *partial || !incomplete;
        comes_in_time && !request.loaded.contains(sha256)
    }
}

/// Everything that a load needs and does not change.
pub(crate) struct Driver {
    pub(crate) store: Rc<Store>,
    config: Config,
    pub(crate) limits: Limits,
    /// When the load began.
    pub(crate) now: UnixTime,
}

/// The release that a load is about, and how it is known.
struct Found {
    target: ReleaseTarget,
    manifest: Verified<Manifest>,
    trust: TrustDescription,
    offline: bool,
}

/// Records that are read before it is known that they are needed: a whole release has fewer objects.
const EARLY: usize = 16;

/// What the cache has of the release that it would load if no server could be asked, verified as anything else: most
/// likely the one that the server names.
struct Ahead {
    target: ReleaseTarget,
    manifest: Verified<Manifest>,
    /// For this load; none where the release is there already.
    plan: Option<Plan>,
    /// Decoded, by index.
    objects: Vec<(usize, Uint8Array)>,
}

/// The release that signed metadata names.
struct Answer {
    /// The digest of the first root.
    pin: Sha256Digest,
    target: ReleaseTarget,
    authority: Authority,
    /// The authority has expired, by a time that is known to have passed.
    expired: bool,
    standing: Standing,
}

/// What came of asking one server.
struct Attempt {
    /// What is to be stored, whatever the answer.
    verified: Option<(Sha256Digest, CachedMetadata)>,
    answer: Result<Answer, Error>,
}

/// How current the metadata of a load is.
enum Standing {
    /// The server has just said so.
    Current,
    /// The caller wants no request.
    Asked,
    /// No server answered: what was verified before, and why.
    Fallback(FetchError),
}

/// An object that a load gets.
struct Wanted {
    index: usize,
    /// Whether the load waits for it, and fails without it. One that an earlier visit came to use is only
    /// welcome: it comes from the cache, or after the load.
    is_needed: bool,
}

impl Wanted {
    fn needed(index: usize) -> Self {
        Self {
            index,
            is_needed: true,
        }
    }

    fn welcome(index: usize) -> Self {
        Self {
            index,
            is_needed: false,
        }
    }
}

/// What of the wanted objects did not come. `given` has them in the same order.
fn welcome_but_lost(wanted: &[Wanted], given: &[usize]) -> Vec<usize> {
    let mut given = given.iter().peekable();
    let lost = wanted
        .iter()
        .filter(|it| given.next_if(|index| **index == it.index).is_none());
    lost.map(|it| it.index).collect()
}

/// One load under way.
struct Load<'a> {
    driver: &'a Driver,
    resolution: Resolution,
    offline: Option<Offline>,
    /// Whether files are fetched before it is known that they are needed.
    speculative: bool,
    objects: Objects,
    traffic: Traffic,
    tag: CacheTag,
    /// What the caller asks for.
    modules: Vec<String>,
    /// Manifest digests of the releases that the interpreter has mounted.
    loaded: Vec<Sha256Digest>,
    /// What earlier visits of a release came to use.
    visited: RefCell<Option<(Sha256Digest, Vec<Sha256Digest>)>>,
    /// What was read while the server was asked.
    ahead: RefCell<Option<Ahead>>,
    /// Of the release that the server has named, what of that is its plan, and its objects.
    planned: RefCell<Option<Plan>>,
    ready: RefCell<Vec<(usize, Uint8Array)>>,
    warnings: RefCell<Vec<Warning>>,
    on_progress: &'a dyn Fn(&Progress<'_>),
    /// What progress calls the release: as it is asked for, then by its version.
    label: RefCell<String>,
}

impl Driver {
    pub(crate) fn new(store: Rc<Store>, config: Config, now: UnixTime) -> Self {
        Self {
            store,
            config,
            limits: Limits::default(),
            now,
        }
    }

    /// What a request asks for.
    pub(crate) fn resolve(&self, request: &Request) -> Result<Resolution, Error> {
        Resolution::of(&request.url, &request.options, &self.config)
    }

    /// Whether the config refuses what is not pinned.
    pub(crate) fn is_frozen(&self) -> bool {
        self.config.frozen == Some(true)
    }

    /// Loads a release up to the point where Python can have it.
    pub(crate) async fn load(
        &self,
        request: Request,
        on_progress: &dyn Fn(&Progress<'_>),
    ) -> Result<Prepared, Error> {
        self.begin(&request, on_progress)?.run(request).await
    }

    /// Asks the server for the metadata that a request needs, and keeps them.
    pub(crate) async fn refresh(&self, request: &Request) -> Result<(), Error> {
        self.begin(request, &|_| {})?.resolve().await.map(drop)
    }

    fn begin<'a>(
        &'a self,
        request: &Request,
        on_progress: &'a dyn Fn(&Progress<'_>),
    ) -> Result<Load<'a>, Error> {
        let resolution = self.resolve(request)?;
        let label = match (&resolution.selector, resolution.sha256) {
            (Some(selector), _) => format!("{}@{selector}", resolution.name),
            (None, Some(_)) => resolution.name.to_string(),
            (None, None) => format!("{}@{}", resolution.name, Channel::stable()),
        };
        Ok(Load {
            label: RefCell::new(label),
            driver: self,
            offline: request.options.offline,
            speculative: request.options.speculative,
            objects: Objects {
                store: Rc::clone(&self.store),
                bases: resolution.bases.clone(),
                offline: request.options.offline.is_some(),
                updating: Rc::default(),
                early: Rc::default(),
            },
            resolution,
            traffic: Traffic::default(),
            tag: request.python.tag.clone(),
            modules: request.options.modules.clone().unwrap_or_default(),
            loaded: request.loaded.clone(),
            visited: RefCell::default(),
            ahead: RefCell::default(),
            planned: RefCell::default(),
            ready: RefCell::default(),
            warnings: RefCell::default(),
            on_progress,
        })
    }
}

impl Load<'_> {
    async fn run(self, request: Request) -> Result<Prepared, Error> {
        let _reading = self.driver.store.reading();
        let mut found = self.find().await?;
        self.name(&found.target);
        let manifest = &found.manifest;
        manifest.check_modules(&self.modules)?;
        // A release that is there already has its names itself.
        let already = self.loaded.contains(&found.target.sha256);
        if !already {
            request.admit(manifest)?;
        }

        let tag = &self.tag;
        let plan = self.plan(&mut found, request.waits).await?;
        let (mut network, mut cache) = (Network::default(), Cache::default());
        let (mut given, mut buffers) = (Vec::new(), Vec::new());
        let mut lost = Vec::new();
        if !already {
            let wanted = self.wanted(&mut found, &plan).await;
            let manifest = &found.manifest;
            let counts = manifest.files_per_object();
            for (index, object) in self.objects(manifest, &wanted, &counts).await? {
                let files = counts[index];
                match object.origin {
                    Origin::Network => network.files += files,
                    Origin::Cache => {
                        cache.files += files;
                        cache.bytes += manifest.objects[index].size;
                    }
                }
                given.push(index);
                buffers.push(object.bytes);
            }
            lost = welcome_but_lost(&wanted, &given);
            self.note(&found, &given);
            self.warn_of_foreign_bytecode(manifest, tag);
        }
        // What was read in vain.
        self.objects.early.borrow_mut().clear();
        network.bytes = self.traffic.bytes.get();
        network.requests = self.traffic.requests.get();
        self.warn_of_trouble();

        let Found {
            target,
            manifest,
            trust,
            offline,
        } = found;
        let mut is_open = vec![true; manifest.objects.len()];
        for index in &given {
            is_open[*index] = false;
        }
        let incomplete = manifest.partial || plan.others.iter().any(|index| is_open[*index]);
        // What earlier visits came to use comes first.
        let mut later = [lost, plan.others, plan.sources].concat();
        later.retain(|index| core::mem::take(&mut is_open[*index]));
        let description = Description {
            path: manifest.mount_path(target.sha256),
            bytecode: manifest.has_bytecode(tag).then(|| tag.clone()),
            name: manifest.name.to_string(),
            version: manifest.version.to_string(),
            sha256: target.sha256,
            modules: manifest.modules.clone(),
            namespaces: manifest.namespaces.clone(),
            distributions: manifest.distributions.clone(),
            requires: manifest.requires.clone(),
            requires_python: manifest.requires_python.clone(),
            partial: manifest.partial,
            sharded: !manifest.shards.is_empty(),
            incomplete,
            source: manifest.source,
            repository: self.resolution.repository.to_string(),
            already,
            trust,
            network,
            cache,
            storage: self.driver.store.kind(),
            offline,
            warnings: self.warnings.take(),
        };
        let files = Files::new(
            manifest,
            target.sha256,
            tag.clone(),
            self.objects,
            &given,
            later,
        );
        Ok(Prepared {
            description,
            listing: if already {
                Listing::default()
            } else {
                files.listing()
            },
            given,
            buffers,
            files: Rc::new(files),
        })
    }

    /// What to fetch, and when, by whether an import `waits` for bytes that are still to come. Shards on the way are added.
    async fn plan(&self, found: &mut Found, waits: bool) -> Result<Plan, Error> {
        let on_damage = |error| self.warn(&error);
        let watch = self.watch(&|_| {}, &on_damage);
        let (manifest, modules) = (&mut found.manifest, &self.modules);
        let planned = self.planned.take();
        let mut plan = match planned {
            Some(plan) => plan,
            None => shards::plan(manifest, &self.tag, modules, &self.objects, &watch).await?,
        };
        if !waits {
            plan.now = sorted([plan.now, plan.others].concat());
            plan.others = Vec::new();
        }
        Ok(plan)
    }

    /// The objects of the plan, and those that earlier visits came to use. Shards of earlier visits are added.
    async fn wanted(&self, found: &mut Found, plan: &Plan) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = plan.now.iter().copied().map(Wanted::needed).collect();
        let Found {
            target, manifest, ..
        } = found;
        if manifest.partial || !plan.others.is_empty() {
            let visited = self.visits(target.sha256).await;
            let on_damage = |error| self.warn(&error);
            let watch = self.watch(&|_| {}, &on_damage);
            shards::add_visited(manifest, &visited, &self.objects.cached(), &watch).await;
            let mut room = ROOM;
            for (index, entry) in manifest.objects.iter().enumerate() {
                if entry.is_for(&self.tag)
                    && visited.binary_search(&entry.decoded_sha256).is_ok()
                    && plan.now.binary_search(&index).is_err()
                    && let Some(rest) = room.checked_sub(entry.decoded_size)
                {
                    room = rest;
                    wanted.push(Wanted::welcome(index));
                }
            }
        }
        wanted
    }

    /// As [`Store::visits`]; the database is asked once.
    async fn visits(&self, release: Sha256Digest) -> Vec<Sha256Digest> {
        let known = self.visited.borrow().clone();
        if let Some((own, visited)) = known
            && own == release
        {
            return visited;
        }
        let visited = self.driver.store.visits(release).await;
        self.visited.replace(Some((release, visited.clone())));
        visited
    }

    /// Begins to read what the last load of a whole release brought, as the next one is likely to bring it, too.
    async fn hurry(&self, release: Sha256Digest) {
        if self.loaded.contains(&release) {
            return;
        }
        let visited = self.visits(release).await;
        if visited.len() <= EARLY {
            for sha256 in visited {
                self.objects.hurry(sha256);
            }
        }
    }

    /// Has the next load [`hurry`](Self::hurry). Nobody waits for it.
    fn note(&self, found: &Found, given: &[usize]) {
        let (manifest, release) = (&found.manifest, found.target.sha256);
        let given = given.iter();
        let given = given.map(|index| manifest.objects[*index].decoded_sha256);
        let given: Vec<Sha256Digest> = given.collect();
        let is_noted = match &*self.visited.borrow() {
            Some((own, visited)) if *own == release => {
                given.iter().all(|it| visited.binary_search(it).is_ok())
            }
            _ => false,
        };
        if !manifest.partial && !is_noted {
            let store = Rc::clone(&self.driver.store);
            spawn_local(async move { store.add_visits(release, &given).await });
        }
    }

    /// What went wrong and did not keep the release from loading.
    fn warn_of_trouble(&self) {
        if let Some(trouble) = self.driver.store.trouble() {
            self.warn(&trouble);
        }
        match self.objects.updating.trouble() {
            // An update saves bytes. Without one there is nothing wrong.
            None | Some(Error::Fetch(FetchError::NotFound { .. })) => {}
            Some(trouble) => self.warn(&trouble),
        }
    }

    fn warn_of_foreign_bytecode(&self, manifest: &Manifest, tag: &CacheTag) {
        let known = manifest.tags();
        if manifest.has_bytecode(tag) || known.is_empty() {
            return;
        }
        let (name, version) = (&manifest.name, &manifest.version);
        self.warnings.borrow_mut().push(Warning {
            code: "resolve.bytecode",
            message: format!(
                "`{name}` {version} has no bytecode for {tag}, so that each import compiles source, which is slow"
            ),
            hint: format!("it has bytecode for {}", known.join(", ")),
        });
    }

    /// The release: by its pin alone if the cache has it, else through the repository's metadata.
    async fn find(&self) -> Result<Found, Error> {
        if let Some(found) = self.find_pinned().await? {
            return Ok(found);
        }
        self.progress("metadata", 0, 0, 0, 0, false);
        let Answer {
            pin,
            target,
            authority,
            expired,
            standing,
        } = self.resolve().await?;
        if let Standing::Fallback(unreachable) = &standing {
            self.warn(unreachable);
        }
        let offline = !matches!(standing, Standing::Current);
        if expired {
            // Only ever on request, and never in silence.
            self.warn(&VerifyError::Expired {
                subject: format!("the metadata of {}", self.resolution.repository),
                expires: authority.expires,
            });
        }
        self.name(&target);
        self.progress("manifest", 0, target.length, 0, 0, offline);
        let manifest = match (self.manifest(&target, offline).await, standing) {
            (Ok(manifest), _) => manifest,
            // Nobody asked to be offline: what is wrong is that the server was not reached.
            (
                Err(Error::Resolve(ResolveError::Offline { .. })),
                Standing::Fallback(unreachable),
            ) => {
                return Err(unreachable.into());
            }
            (Err(error), _) => return Err(error),
        };
        let trust = TrustDescription {
            how: "chain",
            root: format!("sha256:{pin}"),
            first_use: self.resolution.root == RootTrust::FirstUse,
            role: Some(authority.role),
            keyids: authority.signers,
            expires: Some(authority.expires),
            expired,
        };
        Ok(Found {
            target,
            manifest,
            trust,
            offline,
        })
    }

    /// A release whose manifest is pinned and cached needs no metadata: the pin says more than a signature
    /// could. No request is made.
    async fn find_pinned(&self) -> Result<Option<Found>, Error> {
        let (Some(sha256), RootTrust::Pin(root)) = (self.resolution.sha256, self.resolution.root)
        else {
            return Ok(None);
        };
        let Resolution { name, .. } = &self.resolution;
        let subject = format!("the manifest of {name}");
        let expected = Expected {
            subject: subject.clone(),
            length: None,
            sha256,
        };
        let Some((bytes, digest)) = self.kept(&expected).await else {
            return Ok(None);
        };
        let limits = &self.driver.limits;
        let manifest =
            Manifest::parse_with(&bytes, digest, &expected, name, None, limits, platform)?;
        if !self.resolution.is_answered_by(&manifest.version) {
            return Ok(None);
        }
        let target = ReleaseTarget {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            path: subject,
            length: bytes.len() as u64,
            sha256,
            updates: Vec::new(),
        };
        let trust = TrustDescription {
            how: "pin",
            root: format!("sha256:{root}"),
            first_use: false,
            role: None,
            keyids: Vec::new(),
            expires: None,
            expired: false,
        };
        Ok(Some(Found {
            target,
            manifest,
            trust,
            offline: self.offline.is_some(),
        }))
    }

    /// The release by the repository's state now, or as it was last verified if no server answers.
    async fn resolve(&self) -> Result<Answer, Error> {
        let Driver {
            store, limits, now, ..
        } = self.driver;
        let repository = self.resolution.repository.as_str();
        let known = match self.resolution.root {
            RootTrust::Pin(pin) => Some(pin),
            RootTrust::FirstUse => store.first_use(repository).await?,
        };
        let cached = match known {
            Some(pin) => store.metadata(pin, limits).await,
            None => CachedMetadata::default(),
        };
        let root = known.map_or(RootTrust::FirstUse, RootTrust::Pin);
        let mut refresh = Refresh::new(root, repository, cached.clone(), *now, limits.clone());

        let asked = match self.offline {
            Some(Offline::Only) => Some(Expiry::Refuse),
            Some(Offline::Stale) => Some(Expiry::AcceptStale),
            None => None,
        };
        if let Some(expiry) = asked {
            return self
                .offline(&mut refresh, expiry, &cached, Standing::Asked)
                .await;
        }
        // On the refresh itself, so that the time by which this was judged is kept even if no server answers.
        let newest = refresh.offline(Expiry::Refuse);
        let patience = match newest {
            Ok(_) => Patience::Short,
            Err(_) => Patience::Full,
        };
        let online = self.resolve_online(refresh, known, &cached, patience);
        let Ok(mut newest) = newest else {
            return online.await;
        };
        let (answer, ahead) = both(Box::pin(online), Box::pin(self.read_ahead(&mut newest))).await;
        *self.ahead.borrow_mut() = ahead;
        answer
    }

    /// Reads what the cache has of the release that the newest known metadata name.
    async fn read_ahead(&self, newest: &mut Repository) -> Option<Ahead> {
        let Ok(Lookup::Found((target, _))) = self.resolution.find(newest) else {
            return None;
        };
        let mut manifest = self.cached_manifest(&target).await?.ok()?;
        let on_damage = |error| self.warn(&error);
        let watch = self.watch(&|_| {}, &on_damage);
        let cached = self.objects.cached();
        let mut plan = None;
        let mut objects = Vec::new();
        if !self.loaded.contains(&target.sha256) {
            let ready = shards::plan(&mut manifest, &self.tag, &self.modules, &cached, &watch);
            let ready = ready.await.ok()?;
            let entries = ready
                .now
                .iter()
                .map(|index| manifest.objects[*index].clone());
            let entries: Vec<ObjectEntry> = entries.collect();
            // What is not there is fetched later.
            let found = cached.those_there(&entries, &watch).await;
            let found = ready.now.iter().zip(found);
            objects = found
                .filter_map(|(index, object)| Some((*index, object?.bytes)))
                .collect();
            plan = Some(ready);
        }
        Some(Ahead {
            target,
            manifest,
            plan,
            objects,
        })
    }

    /// As [`resolve`](Self::resolve), by what the servers say.
    async fn resolve_online(
        &self,
        mut refresh: Refresh,
        known: Option<Sha256Digest>,
        cached: &CachedMetadata,
        patience: Patience,
    ) -> Result<Answer, Error> {
        let Driver {
            store, limits, now, ..
        } = self.driver;
        let repository = self.resolution.repository.as_str();
        let root = known.map_or(RootTrust::FirstUse, RootTrust::Pin);
        let start = |cached| Refresh::new(root, repository, cached, *now, limits.clone());
        let mut first_error = None;
        for base in &self.resolution.bases {
            let attempt = self.resolve_from(base, refresh.clone(), patience).await;
            if let Some((pin, verified)) = attempt.verified {
                if known.is_none() {
                    self.settle_first_use(pin).await?;
                }
                // Whether or not the rest succeeded: a key that was seen to be revoked stays revoked.
                store.put_metadata(pin, &verified, cached, limits).await;
                if known.is_some() {
                    refresh = start(verified);
                }
            }
            match attempt.answer {
                // What verified metadata says is final: no other mirror can say otherwise.
                answer @ (Ok(_) | Err(Error::Resolve(_))) => return answer,
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        // The repository's own answer decides. If it cannot be reached, what was verified before stands until
        // it expires; if it sends what does not verify, that is not the time to look away.
        match first_error {
            Some(Error::Fetch(unreachable)) if unreachable.is_absence() => {
                let standing = Standing::Fallback(unreachable.clone());
                match self
                    .offline(&mut refresh, Expiry::Refuse, cached, standing)
                    .await
                {
                    // It may well be there by now: that the server was not reached is what is wrong.
                    Err(Error::Resolve(_)) => Err(unreachable.into()),
                    answer => answer,
                }
            }
            Some(error) => Err(error),
            None => Err(ResolveError::Offline {
                subject: repository.to_owned(),
            }
            .into()),
        }
    }

    /// The release by what is cached alone.
    async fn offline(
        &self,
        refresh: &mut Refresh,
        expiry: Expiry,
        cached: &CachedMetadata,
        standing: Standing,
    ) -> Result<Answer, Error> {
        let Driver { store, limits, .. } = self.driver;
        let newest = refresh.offline(expiry);
        // That time went on, or that something has expired, is to be remembered.
        if let Some((pin, verified)) = refresh.verified() {
            store.put_metadata(pin, verified, cached, limits).await;
        }
        let mut repository = newest?;
        let found = match self.resolution.find(&mut repository) {
            // The newest chain has not been asked for this role yet; the one before may have been.
            Err(error @ Error::Resolve(ResolveError::Offline { .. })) => {
                repository = refresh.offline_whole(expiry).map_err(|_| error)?;
                self.resolution.find(&mut repository)?
            }
            found => found?,
        };
        match found {
            Lookup::Found((target, authority)) => Ok(Answer {
                pin: repository.pin(),
                target,
                expired: self.has_passed(authority.expires, &repository),
                authority,
                standing,
            }),
            Lookup::Fetch(fetch) => Err(ResolveError::Offline {
                subject: fetch.path,
            }
            .into()),
        }
    }

    /// Two loads may both have been the first: the one that was remembered first decides.
    async fn settle_first_use(&self, got: Sha256Digest) -> Result<(), Error> {
        let repository = self.resolution.repository.as_str();
        let expected = self.driver.store.put_first_use(repository, got).await?;
        if expected == got {
            return Ok(());
        }
        Err(TrustError::RootMismatch {
            repository: repository.to_owned(),
            expected,
            got,
        }
        .into())
    }

    /// The release by what one server says.
    async fn resolve_from(
        &self,
        base: &RepositoryUrl,
        mut refresh: Refresh,
        patience: Patience,
    ) -> Attempt {
        let failed = |refresh: &Refresh, error| Attempt {
            verified: refresh.verified().map(|(pin, it)| (pin, it.clone())),
            answer: Err(error),
        };
        if let Err(error) = self.refresh_from(base, &mut refresh, patience).await {
            return failed(&refresh, error);
        }
        let mut repository = match refresh.clone().finish() {
            Ok(repository) => repository,
            Err(error) => return failed(&refresh, error),
        };
        let answer = self.search_from(base, &mut repository, patience).await;
        let pin = repository.pin();
        Attempt {
            verified: repository
                .changed()
                .then(|| (pin, repository.verified().clone())),
            answer: answer.map(|(target, authority)| Answer {
                pin,
                target,
                expired: self.has_passed(authority.expires, &repository),
                authority,
                standing: Standing::Current,
            }),
        }
    }

    /// Whether a time has passed: by this device's clock, or by what is known of an earlier one.
    fn has_passed(&self, time: UnixTime, repository: &Repository) -> bool {
        let now = self.driver.now;
        let floor = repository.verified().clock_floor;
        time <= floor.map_or(now, |floor| floor.max(now))
    }

    async fn refresh_from(
        &self,
        base: &RepositoryUrl,
        refresh: &mut Refresh,
        patience: Patience,
    ) -> Result<(), Error> {
        // What was fetched before its turn.
        let mut early: Option<(MetadataFetch, Result<Uint8Array, FetchError>)> = None;
        while let Step::Fetch(step) = refresh.step()? {
            let next = refresh
                .speculate()
                .filter(|_| self.speculative && early.is_none());
            let answer = match (early.take_if(|(fetch, _)| *fetch == step), next) {
                (Some((_, answer)), _) => answer,
                (None, Some(next)) => {
                    let (answer, ahead) = both(
                        Box::pin(self.fetch_metadata(base, &step, patience)),
                        Box::pin(self.fetch_metadata(base, &next, patience)),
                    )
                    .await;
                    early = Some((next, ahead));
                    answer
                }
                (None, None) => self.fetch_metadata(base, &step, patience).await,
            };
            let file = match (answer, step.absence) {
                (Ok(bytes), _) => Some(bytes.to_vec()),
                (Err(FetchError::NotFound { .. }), Absence::Expected) => None,
                (Err(error), _) => return Err(error.into()),
            };
            refresh.supply(file)?;
        }
        Ok(())
    }

    /// Searches a refreshed repository, and fetches the delegated roles that this needs.
    async fn search_from(
        &self,
        base: &RepositoryUrl,
        repository: &mut Repository,
        patience: Patience,
    ) -> Result<LocatedRelease, Error> {
        loop {
            match self.resolution.find(repository)? {
                Lookup::Found(found) => return Ok(found),
                Lookup::Fetch(fetch) => {
                    let bytes = self.fetch_metadata(base, &fetch, patience).await?;
                    repository.supply(bytes.to_vec())?;
                }
            }
        }
    }

    async fn fetch_metadata(
        &self,
        base: &RepositoryUrl,
        file: &MetadataFetch,
        patience: Patience,
    ) -> Result<Uint8Array, FetchError> {
        let url = base.join(&file.path);
        let size = Size::AtMost(file.limit);
        fetch(&url, size, patience, &self.traffic, &|_| {}).await
    }

    async fn manifest(
        &self,
        target: &ReleaseTarget,
        offline: bool,
    ) -> Result<Verified<Manifest>, Error> {
        let Driver { store, limits, .. } = self.driver;
        if let Some(ahead) = self
            .ahead
            .borrow_mut()
            .take_if(|ahead| ahead.target == *target)
        {
            *self.planned.borrow_mut() = ahead.plan;
            *self.ready.borrow_mut() = ahead.objects;
            return Ok(ahead.manifest);
        }
        if let Some(manifest) = self.cached_manifest(target).await {
            return Ok(manifest?);
        }
        if offline {
            let subject = format!("{} {}", target.name, target.version);
            return Err(ResolveError::Offline { subject }.into());
        }
        if let Some(manifest) = self.updated_manifest(target).await {
            return Ok(manifest);
        }
        let size = if target.length > limits.manifest {
            Size::AtMost(limits.manifest)
        } else {
            Size::Exactly(target.length)
        };
        let manifest = RefCell::new(None);
        let watch = self.watch(&|_| {}, &|_| {});
        let check = async |bytes: &Uint8Array| {
            let digest = bytes::check(&target.expected(), bytes).await?;
            *manifest.borrow_mut() = Some(self.parse(target, &bytes.to_vec(), digest)?);
            Ok(())
        };
        let bytes = self
            .objects
            .fetch(&target.path, size, &watch, check)
            .await?;
        store.keep_object(target.sha256, &bytes).await;
        manifest.into_inner().ok_or_else(|| {
            ResolveError::Offline {
                subject: target.path.clone(),
            }
            .into()
        })
    }

    /// The manifest, if an update makes it out of one that the cache has.
    async fn updated_manifest(&self, target: &ReleaseTarget) -> Option<Verified<Manifest>> {
        let Driver { store, limits, .. } = self.driver;
        if target.length > limits.manifest {
            return None;
        }
        let on_damage = |error| self.warn(&error);
        let watch = self.watch(&|_| {}, &on_damage);
        for entry in &target.updates {
            if store.object(entry.from).await.is_none() {
                continue;
            }
            self.objects.update(entry, limits, &watch).await;
            let bytes = self.objects.make(&target.expected(), &watch).await?;
            let manifest = self.parse(target, &bytes.to_vec(), target.sha256).ok()?;
            store.keep_object(target.sha256, &bytes).await;
            self.carry_visits(entry.from, target).await;
            return Some(manifest);
        }
        None
    }

    /// What visits of the earlier release came to use, those of the later one are likely to use, too: what did not
    /// change has the same digest, the rest is made of it.
    async fn carry_visits(&self, from: Sha256Digest, target: &ReleaseTarget) {
        let store = &self.driver.store;
        let mut used = store.visits(from).await;
        used.extend(self.objects.updating.made_of(&used));
        if !used.is_empty() {
            store.add_visits(target.sha256, &used).await;
        }
        // Before, there were none.
        self.visited.take();
    }

    /// The manifest, if the cache has it.
    async fn cached_manifest(
        &self,
        target: &ReleaseTarget,
    ) -> Option<Result<Verified<Manifest>, VerifyError>> {
        let (bytes, digest) = self.kept(&target.expected()).await?;
        Some(self.parse(target, &bytes, digest))
    }

    fn parse(
        &self,
        target: &ReleaseTarget,
        bytes: &[u8],
        digest: Sha256Digest,
    ) -> Result<Verified<Manifest>, VerifyError> {
        let ReleaseTarget { name, version, .. } = target;
        let (expected, limits) = (target.expected(), &self.driver.limits);
        let version = Some(version);
        Manifest::parse_with(bytes, digest, &expected, name, version, limits, platform)
    }

    /// The bytes of a manifest and their digest, if the cache has them; dropped if they are not what they are stored as.
    async fn kept(&self, expected: &Expected) -> Option<(Vec<u8>, Sha256Digest)> {
        let (cached, ()) = both(
            Box::pin(self.driver.store.object(expected.sha256)),
            Box::pin(self.hurry(expected.sha256)),
        )
        .await;
        let cached = cached?;
        if u64::from(cached.length()) <= self.driver.limits.manifest
            && let Ok(digest) = bytes::check(expected, &cached).await
        {
            return Some((cached.to_vec(), digest));
        }
        self.driver.store.drop_object(expected.sha256).await;
        self.warn(&StoreError::Damaged {
            subject: expected.subject.clone(),
        });
        None
    }

    /// All wanted objects, decoded, in order; those that are only welcome, if the cache has them.
    async fn objects(
        &self,
        manifest: &Manifest,
        wanted: &[Wanted],
        files: &[usize],
    ) -> Result<Vec<(usize, Object)>, Error> {
        let sizes = wanted.iter().map(|it| manifest.objects[it.index].size);
        let bytes_total = sizes.sum();
        let files_total = wanted.iter().map(|it| files[it.index]).sum();
        let (bytes_done, files_done, cached) = (Cell::new(0_u64), Cell::new(0), Cell::new(true));
        let report = || {
            self.progress(
                "objects",
                bytes_done.get(),
                bytes_total,
                files_done.get(),
                files_total,
                cached.get(),
            );
        };
        let on_bytes = |length: i64| {
            cached.set(false);
            bytes_done.set(bytes_done.get().saturating_add_signed(length));
            report();
        };
        let on_damage = |error| self.warn(&error);
        let watch = self.watch(&on_bytes, &on_damage);
        let cached_objects = self.objects.cached();
        report();
        let mut work = wanted
            .iter()
            .map(|Wanted { index, is_needed }| -> Work<'_> {
                let entry = &manifest.objects[*index];
                let (watch, bytes_done, files_done) = (&watch, &bytes_done, &files_done);
                let report = &report;
                let source = if *is_needed {
                    &self.objects
                } else {
                    &cached_objects
                };
                let ready = {
                    let mut ready = self.ready.borrow_mut();
                    let at = ready.iter().position(|(own, _)| own == index);
                    at.map(|at| ready.swap_remove(at).1)
                };
                Box::pin(async move {
                    let object = match ready {
                        Some(bytes) => Object {
                            bytes,
                            origin: Origin::Cache,
                        },
                        None => match source.get(entry, watch).await {
                            Err(_) if !is_needed => return Ok(None),
                            object => object?,
                        },
                    };
                    if object.origin == Origin::Cache {
                        bytes_done.set(bytes_done.get() + entry.size);
                    }
                    files_done.set(files_done.get() + files[*index]);
                    report();
                    Ok(Some(object))
                })
            });
        let objects = in_order(PARALLEL, &mut work).await?;
        self.progress(
            "mount",
            bytes_done.get(),
            bytes_total,
            files_total,
            files_total,
            cached.get(),
        );
        let objects = wanted.iter().zip(objects);
        Ok(objects
            .filter_map(|(wanted, object)| Some((wanted.index, object?)))
            .collect())
    }

    /// What is told while something is fetched.
    fn watch<'a>(
        &'a self,
        on_bytes: &'a dyn Fn(i64),
        on_damage: &'a dyn Fn(StoreError),
    ) -> Watch<'a> {
        Watch {
            traffic: &self.traffic,
            on_bytes,
            on_damage,
        }
    }

    fn name(&self, target: &ReleaseTarget) {
        self.label
            .replace(format!("{}@{}", target.name, target.version));
    }

    fn warn(&self, error: &impl Coded) {
        self.warnings.borrow_mut().push(Warning::of(error));
    }

    fn progress(
        &self,
        phase: &'static str,
        bytes_done: u64,
        bytes_total: u64,
        files_done: usize,
        files_total: usize,
        cached: bool,
    ) {
        (self.on_progress)(&Progress {
            release: &self.label.borrow(),
            phase,
            bytes_done,
            bytes_total,
            files_done,
            files_total,
            cached,
        });
    }
}
