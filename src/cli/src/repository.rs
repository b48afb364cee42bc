//! A repository on disk, the publisher's side: made once, then changed by publishing.
//!
//! The order of a change is objects, manifest, `N.targets.json`, `N.snapshot.json` and `timestamp.json` last
//! (TUF 1.0, 6.1 and 6.2), each written whole. Nothing names the new files until the timestamp does, so a
//! reader, and a kill at any moment, sees the old state or the new one. A file with a number or a digest in its
//! name is never given other bytes, also where nothing names it. What is on disk is verified before
//! it is built on, and what is to be written is verified before the first byte goes out.

mod snapshots;
mod updates;

pub use snapshots::{SnapshotPublication, SnapshotPublished};
pub use updates::UpdateSummary;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, Error as CoreError, TrustError, VerifyError};
use webimport_core::json::{Object, Value};
use webimport_core::keys::KeyId;
use webimport_core::limits::Limits;
use webimport_core::manifest::object_path;
use webimport_core::map::Map;
use webimport_core::metadata::{
    Common, Custom, CustomRelease, Envelope, Hashes, MetaFile, Other, Role, RoleKeys, RoleKind,
    Root, Snapshot, TargetFile, Targets, Timestamp, parse_release_target, release_target,
};
use webimport_core::names::{Channel, PyodideVersion, ReleaseName, Version};
use webimport_core::sign::{Algorithm, SignError, Signing};
use webimport_core::time::UnixTime;
use webimport_core::workflow::{Absence, CachedMetadata, Refresh, RootTrust, Step};

use crate::keyring::{Keyring, Needed};
use crate::keys::{self, KeyError, KeyFolder};
use crate::memory::{self, Mark, Marks, Memory, MemoryError};
use crate::observe::Observer;
use crate::storage::{self, Lock, StorageError};

/// The four roles, in the order in which they are listed to people.
pub(crate) const ROLES: [RoleKind; 4] = [
    RoleKind::Root,
    RoleKind::Targets,
    RoleKind::Snapshot,
    RoleKind::Timestamp,
];

/// The field of root metadata that holds lifetimes other than the default ones.
pub(crate) const LIFETIMES_FIELD: &str = "x-webimport-lifetimes";

/// For how many days new metadata of a role are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifetimes {
    /// Of `N.root.json`.
    pub root: u32,
    /// Of `N.targets.json`.
    pub targets: u32,
    /// Of `N.snapshot.json`.
    pub snapshot: u32,
    /// Of `timestamp.json`.
    pub timestamp: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            root: 365,
            targets: 365,
            snapshot: 30,
            timestamp: 30,
        }
    }
}

impl Lifetimes {
    /// Of one role.
    pub fn days(&self, role: RoleKind) -> u32 {
        match role {
            RoleKind::Root => self.root,
            RoleKind::Targets => self.targets,
            RoleKind::Snapshot => self.snapshot,
            RoleKind::Timestamp => self.timestamp,
        }
    }

    /// Changes the one of a role.
    pub fn set(&mut self, role: RoleKind, days: u32) {
        *match role {
            RoleKind::Root => &mut self.root,
            RoleKind::Targets => &mut self.targets,
            RoleKind::Snapshot => &mut self.snapshot,
            RoleKind::Timestamp => &mut self.timestamp,
        } = days;
    }

    /// What the root says, or the default.
    pub(crate) fn recorded(root: &Root) -> Self {
        root.other
            .get(LIFETIMES_FIELD)
            .and_then(Self::of)
            .unwrap_or_default()
    }

    /// What a field of that name says; `None` if it is not lifetimes.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        serde_json::from_str(&value.to_string()).ok()
    }

    pub(crate) fn record(self, root: &mut Root) {
        if self == Self::default() {
            root.other.remove(LIFETIMES_FIELD);
        } else {
            let days = |role: RoleKind| Value::from(u64::from(self.days(role)));
            let fields = ROLES.map(|role| (role.as_str().to_owned(), days(role)));
            let value = Value::Object(Object::from(fields));
            root.other.insert(LIFETIMES_FIELD.into(), value);
        }
    }
}

/// When something is published, and for how long it is valid.
#[derive(Debug, Clone)]
pub struct Validity {
    /// The time of publication.
    pub now: UnixTime,
    /// Counted from `now`. `None` for what the repository's root says; a new one gets the default.
    pub lifetimes: Option<Lifetimes>,
}

impl Validity {
    /// The repository's own lifetimes, counted from `now`.
    pub fn from(now: UnixTime) -> Self {
        Self {
            now,
            lifetimes: None,
        }
    }

    pub(crate) fn lifetimes(&self, root: &Root) -> Lifetimes {
        self.lifetimes.unwrap_or_else(|| Lifetimes::recorded(root))
    }

    pub(crate) fn common(&self, root: &Root, role: RoleKind, version: u64) -> Common {
        let days = self.lifetimes(root).days(role);
        Common::new(role, version, self.now.plus_days(days))
    }
}

/// What a new repository is like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Of its keys.
    pub algorithm: Algorithm,
    /// Root keys to make.
    pub root_keys: u32,
    /// How many of them have to sign a new root.
    pub root_threshold: u64,
    /// What encrypts the root keys.
    pub passphrase: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            root_keys: 1,
            root_threshold: 1,
            passphrase: None,
        }
    }
}

/// The repository cannot be made, read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// There is one already.
    #[error("`{}` is a repository already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has no repository.
    #[error("`{}` is not a repository: it has no `metadata/1.root.json`", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// Its metadata do not verify, so nothing is built on them.
    #[error("the metadata in `{}` cannot be trusted: {source}", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The rule that is broken.
        source: Box<CoreError>,
    },
    /// Nobody could sign for the role any more.
    #[error("the role `{role}` would need {threshold} of {keys} keys")]
    Lockout {
        /// The role.
        role: &'static str,
        /// Signatures needed.
        threshold: u64,
        /// Keys that it would have.
        keys: u64,
    },
    /// The role has no such key, or several.
    #[error("the role `{role}` has {} key `{keyid}`", if *several { "more than one" } else { "no" })]
    UnknownKey {
        /// The role.
        role: &'static str,
        /// The id as given, or the start of one.
        keyid: String,
        /// Whether there are several.
        several: bool,
    },
    /// It has to be said which key is meant.
    #[error("the role `{role}` has {keys} keys")]
    WhichKey {
        /// The role.
        role: &'static str,
        /// How many.
        keys: usize,
    },
    /// The role has the key.
    #[error("the role `{role}` has the key `{keyid}` already")]
    SameKey {
        /// The role.
        role: &'static str,
        /// The key.
        keyid: KeyId,
    },
    /// The file is not the next root of this repository.
    #[error("`{}` is not the next root of this repository: {reason}", path.display())]
    Draft {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Readers would refuse the list of releases.
    #[error("`{file}` would have {size} bytes, readers accept {limit}")]
    Full {
        /// The metadata file.
        file: String,
        /// In bytes.
        size: u64,
        /// In bytes.
        limit: u64,
    },
    /// The version is there with other content.
    #[error("`{name}` {version} is published already, as sha256 {published}; this one is {new}")]
    Published {
        /// The release's name.
        name: ReleaseName,
        /// Its version.
        version: Version,
        /// The digest of the manifest that is there.
        published: String,
        /// The manifest that was to be published.
        new: Sha256Digest,
    },
    /// No such memory snapshot is there to be removed.
    #[error("`{name}` {version} has no memory snapshot{}", pyodide.as_ref().map(|it| format!(" for Pyodide {it}")).unwrap_or_default())]
    NoSnapshot {
        /// The release's name.
        name: ReleaseName,
        /// Its version.
        version: Version,
        /// Which Pyodide it was to be for, if not any.
        pyodide: Option<PyodideVersion>,
        /// For which ones there are some.
        there: Vec<PyodideVersion>,
    },
    /// Reading, writing, locking.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What is remembered of it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Something has no JSON form.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<serde_json::Error> for RepositoryError {
    fn from(error: serde_json::Error) -> Self {
        Self::Sign(error.into())
    }
}

impl Coded for RepositoryError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. }
            | Self::Missing { .. }
            | Self::Damaged { .. }
            | Self::Full { .. }
            | Self::Sign(_) => "publish.repository",
            Self::Lockout { .. } => "publish.lockout",
            Self::UnknownKey { .. } | Self::WhichKey { .. } | Self::SameKey { .. } => {
                "publish.key_id"
            }
            Self::Draft { .. } => "publish.draft",
            Self::Published { .. } => "publish.exists",
            Self::NoSnapshot { .. } => "publish.snapshot",
            Self::Storage(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Memory(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Exists { .. } => "publish into it with `webimport release`, or give another folder".into(),
            Self::Missing { path } => {
                format!("make one with `webimport init {} --keys KEYS`", path.display())
            }
            Self::Damaged { .. } => "restore the `metadata` folder from what was uploaded last".into(),
            Self::Lockout { .. } => {
                "give it more keys first, or a lower threshold: nobody could sign any more"
                    .into()
            }
            Self::UnknownKey { .. } | Self::WhichKey { .. } | Self::SameKey { .. } => {
                "`webimport keys list` shows the keys; the start of a key id is enough if no other one starts so".into()
            }
            Self::Draft { .. } => {
                "make the change again with `webimport keys … --out FILE` and let it be signed again".into()
            }
            Self::Full { .. } => "publish new releases into a new repository".into(),
            Self::Published { .. } => {
                "a published version never changes, and bytecode is part of it; give the new content a new \
                 version, or make the same content with the same build tools and interpreter"
                    .into()
            }
            Self::NoSnapshot { there, .. } if there.is_empty() => {
                "there is nothing to take back: pages start without one".into()
            }
            Self::NoSnapshot { there, .. } => {
                let there: Vec<&str> = there.iter().map(PyodideVersion::as_str).collect();
                format!("there are those for Pyodide {}", there.join(", "))
            }
            Self::Storage(error) => error.hint(),
            Self::Key(error) => error.hint(),
            Self::Memory(error) => error.hint(),
            Self::Sign(_) => "report this as a bug".into(),
        }
    }
}

/// Makes a repository in the folder `root` and new keys in `keys`, and returns the root pin: the digest of
/// `1.root.json`.
///
/// # Errors
/// [`RepositoryError::Exists`], [`RepositoryError::Key`] for keys that exist or would be inside the
/// repository or around it, [`RepositoryError::Lockout`], [`RepositoryError::Storage`].
pub fn init(
    root: &Path,
    keys: &KeyFolder,
    setup: &Setup,
    validity: &Validity,
    observer: &dyn Observer,
) -> Result<Sha256Digest, RepositoryError> {
    let metadata = root.join("metadata");
    let mut root_role = Root {
        common: Common::new(RoleKind::Root, 1, validity.now),
        consistent_snapshot: true,
        keys: Map::new(),
        roles: Map::new(),
        other: Other::new(),
    };
    validity
        .lifetimes
        .unwrap_or_default()
        .record(&mut root_role);
    root_role.common = validity.common(&root_role, RoleKind::Root, 1);
    let mut ring = Keyring::from(keys.clone());
    let mut made = Vec::new();
    for kind in ROLES {
        let is_root = kind == RoleKind::Root;
        let mut role = RoleKeys {
            keyids: Vec::new(),
            threshold: if is_root { setup.root_threshold } else { 1 },
            other: Other::new(),
        };
        for _ in 0..if is_root { setup.root_keys } else { 1 } {
            let key = keys::new_key(setup.algorithm)?;
            role.keyids.push(key.public().id());
            root_role.keys.insert(key.public().id(), key.public());
            ring = ring.with(key.clone());
            made.push((kind, key));
        }
        root_role.roles.insert(kind.as_str().to_owned(), role);
    }
    check_thresholds(&root_role)?;

    refuse_existing(root, &metadata)?;
    keys.refuse_existing()?;
    keys.refuse_overlap(root)?;
    fs::create_dir_all(root).map_err(StorageError::io("make", root))?;
    // Again: only of a folder that exists is it known whether another spelling leads to it too.
    keys.refuse_overlap(root)?;
    for (kind, key) in made {
        let passphrase = setup.passphrase.as_deref();
        keys.write(
            &keys.free_file(kind),
            &key,
            passphrase.filter(|_| kind == RoleKind::Root),
        )?;
    }
    let _lock = Lock::take(root)?;

    let mut signing = Signing::new(&root_role)?;
    ring.sign(&mut signing, &Needed::by(RoleKind::Root, &root_role))?;
    let bytes = signing.to_bytes()?;
    let targets = Targets {
        common: validity.common(&root_role, RoleKind::Targets, 1),
        targets: Map::new(),
        delegations: None,
        other: Other::new(),
    };
    let snapshot = Snapshot {
        common: validity.common(&root_role, RoleKind::Snapshot, 1),
        meta: Map::new(),
        other: Other::new(),
    };
    let timestamp = Timestamp {
        common: validity.common(&root_role, RoleKind::Timestamp, 1),
        meta: Map::new(),
        other: Other::new(),
    };
    let unsigned = Unsigned {
        targets: Some(targets),
        snapshot: Some(snapshot),
        timestamp,
    };
    let files = unsigned.sign(&ring, &root_role, None)?;
    let first = Mark::of(1, &bytes);
    let marks = Marks {
        root: first,
        targets: first,
        snapshot: first,
        timestamp: first,
    }
    .with(&files);
    for (file, bytes) in &files {
        storage::write_below(root, &format!("metadata/{file}"), bytes, observer)?;
    }
    let pin = Sha256Digest::of(&bytes);
    Memory::new(keys, pin).end(marks)?;
    // Last, since it makes the folder a repository.
    storage::write_below(root, "metadata/1.root.json", &bytes, observer)?;
    Ok(pin)
}

/// Fails if a role would need more signatures than it has keys (TUF 4.3), or none.
pub(crate) fn check_thresholds(root: &Root) -> Result<(), RepositoryError> {
    for kind in ROLES {
        let role = kind.as_str();
        let (keys, threshold) = root
            .roles
            .get(role)
            .map_or((0, 1), |it| (it.keyids.len() as u64, it.threshold));
        if threshold == 0 || threshold > keys {
            return Err(RepositoryError::Lockout {
                role,
                threshold,
                keys,
            });
        }
    }
    Ok(())
}

/// Fails if the folder has metadata, other than what an `init` that was killed may have left.
fn refuse_existing(root: &Path, metadata: &Path) -> Result<(), RepositoryError> {
    let entries = match fs::read_dir(metadata) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StorageError::io("read", metadata)(error).into()),
    };
    for entry in entries {
        let name = entry
            .map_err(StorageError::io("read", metadata))?
            .file_name();
        let name = name.to_string_lossy();
        if !["1.targets.json", "1.snapshot.json", "timestamp.json"].contains(&&*name)
            && !name.starts_with(storage::TEMPORARY_PREFIX)
        {
            return Err(RepositoryError::Exists {
                path: root.to_owned(),
            });
        }
    }
    Ok(())
}

/// A repository that exists.
#[derive(Debug, Clone)]
pub struct Repository {
    root: PathBuf,
}

/// A release that is ready to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The release's name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The channel that is to name it.
    pub channel: Channel,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The objects' bytes as stored, by digest.
    pub objects: BTreeMap<Sha256Digest, Vec<u8>>,
}

/// What publishing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Published {
    /// The release is new.
    New,
    /// The release was there; the channel names it now.
    ChannelMoved,
    /// The release was there and so named; its metadata were signed again, as half their time was over.
    Renewed,
    /// Nothing.
    Nothing,
}

impl Repository {
    /// The repository in the folder `root`.
    ///
    /// # Errors
    /// [`RepositoryError::Missing`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RepositoryError> {
        let root = root.into();
        if !root.join("metadata/1.root.json").is_file() {
            return Err(RepositoryError::Missing { path: root });
        }
        Ok(Self { root })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Fails unless `keys` can sign releases for this repository. Worth knowing before a long build.
    ///
    /// # Errors
    /// [`RepositoryError::Key`], [`RepositoryError::Damaged`], [`RepositoryError::Memory`].
    pub fn check_keys(&self, keys: &Keyring) -> Result<(), RepositoryError> {
        keys.refuse_overlap(&self.root)?;
        let root = self.remembered(keys)?.root;
        for role in [RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp] {
            keys.check(&Needed::by(role, &root))?;
        }
        Ok(())
    }

    /// Publishes a release and lets its channel name it.
    ///
    /// # Errors
    /// [`RepositoryError::Published`] if the version is there with another manifest, and any other.
    pub fn publish(
        &self,
        publication: &Publication,
        keys: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<Published, RepositoryError> {
        let (_lock, state) = self.lock(keys)?;
        let Publication {
            name,
            version,
            channel,
            manifest,
            objects,
        } = publication;
        let sha256 = Sha256Digest::of(manifest);

        let mut targets = state.targets.clone();
        let path = release_target(name, version);
        let before = targets.targets.get(&path);
        if let Some(before) = before
            && let published = before.hashes.sha256
            && published != Some(sha256)
        {
            return Err(RepositoryError::Published {
                name: name.clone(),
                version: version.clone(),
                published: published.map_or_else(|| "unknown".into(), |it| it.to_string()),
                new: sha256,
            });
        }
        let change = match before {
            None => Published::New,
            Some(before) if !before.channels().contains(channel) => Published::ChannelMoved,
            Some(_) if state.is_half_over(validity) => Published::Renewed,
            Some(_) => Published::Nothing,
        };

        let updates = self.updates(publication, &state.targets);
        let write_content = || -> Result<(), RepositoryError> {
            let objects = objects.iter();
            let objects = objects.map(|(sha256, bytes)| (object_path(*sha256), &**bytes));
            let updates = updates.files.iter();
            let updates = updates.map(|(path, bytes)| (path.clone(), &**bytes));
            let content: Vec<(String, &[u8])> = objects.chain(updates).collect();
            storage::write_missing_below(&self.root, &content, observer)?;
            let manifest_path = format!("targets/{name}/{version}/{sha256}.release.json");
            let manifest = [(manifest_path, &**manifest)];
            Ok(storage::write_missing_below(
                &self.root, &manifest, observer,
            )?)
        };
        if change == Published::Nothing {
            // Publishing again mends what was lost or damaged.
            write_content()?;
            state.remember()?;
            return Ok(change);
        }

        targets
            .targets
            .get_or_insert_with(path.clone(), || TargetFile {
                length: manifest.len() as u64,
                hashes: Hashes::sha256(sha256),
                custom: None,
                other: Other::new(),
            });
        move_channel(&mut targets, name, &path, channel);
        let custom = targets
            .targets
            .get_mut(&path)
            .and_then(|file| file.custom.as_mut());
        if let Some(release) = custom.and_then(|custom| custom.webimport.as_mut()) {
            release.updates.clone_from(&updates.entries);
        }
        let update = Update {
            root: None,
            lowest: Some(RoleKind::Targets),
            targets,
        };
        self.commit_after(&state, update, keys, validity, observer, write_content)?;
        Ok(change)
    }

    /// Takes the right to write, and what is there.
    pub(crate) fn lock(&self, keys: &Keyring) -> Result<(Lock, State), RepositoryError> {
        keys.refuse_overlap(&self.root)?;
        let lock = Lock::take(&self.root)?;
        for folder in ["metadata", "targets", "objects"] {
            storage::sweep(&self.root.join(folder))?;
        }
        Ok((lock, self.remembered(keys)?))
    }

    /// The state that whoever has these keys may sign on: what is on disk, if it is what they remember.
    pub(crate) fn remembered(&self, keys: &Keyring) -> Result<State, RepositoryError> {
        self.state(Memory::of(keys)?.ok_or(MemoryError::NoPin)?)
    }

    /// As [`remembered`](Self::remembered), for a look alone: who remembers nothing takes what is on disk.
    pub(crate) fn shown(&self, keys: &Keyring) -> Result<State, RepositoryError> {
        let memory = match Memory::of(keys)? {
            Some(memory) => memory,
            None => Memory::only(Sha256Digest::of(&self.read("1.root.json")?)),
        };
        self.state(memory)
    }

    /// Signs and writes a new state. Everything is signed and read as readers will, before the first byte goes
    /// out.
    pub(crate) fn commit(
        &self,
        state: &State,
        update: Update,
        keys: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<(), RepositoryError> {
        self.commit_after(state, update, keys, validity, observer, || Ok(()))
    }

    /// As [`commit`](Self::commit), with something to do when all is signed and nothing is written.
    pub(crate) fn commit_after(
        &self,
        state: &State,
        update: Update,
        keys: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
        first: impl FnOnce() -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let root = update.root.as_ref().map_or(&state.root, |(root, _)| root);
        // Where the root changes: whoever still has the old one can read on, if the old keys sign too.
        let former = update.root.as_ref().map(|_| &state.root);
        let mut files = Vec::new();
        if let Some(lowest) = update.lowest {
            let mut unsigned = state.next(root, lowest, update.targets, validity);
            files = loop {
                let files = unsigned.sign(keys, root, former)?;
                match self.taken(&files)? {
                    None => break files,
                    Some(role) => unsigned.skip(role),
                }
            };
        }
        check_sizes(&files, &Limits::default())?;
        let mut new: BTreeMap<String, Vec<u8>> = files
            .iter()
            .map(|(file, bytes)| (format!("metadata/{file}"), bytes.clone()))
            .collect();

        // A reader who has all roots but the new one: those of the moment before the root is written.
        let pin = state.memory.pin();
        let before = self.walk(pin, state.kept.clone(), &new, state.kept.roots.len());
        let mut root_file = None;
        if let Some((root, bytes)) = &update.root {
            let file = format!("{}.root.json", root.common.version);
            new.insert(format!("metadata/{file}"), bytes.clone());
            root_file = Some((file, bytes));
        }
        // Readers who were here before, and those who come for the first time.
        for cached in [state.kept.clone(), CachedMetadata::default()] {
            self.walk(pin, cached, &new, usize::MAX).outcome?;
        }
        let mut marks = state.marks.with(&files);
        if let Some((root, bytes)) = &update.root {
            marks.root = Mark::of(root.common.version, bytes);
        }

        first()?;
        state.memory.begin(state.marks, marks)?;
        let write = |file: &str, bytes: &[u8]| {
            storage::write_below(&self.root, &format!("metadata/{file}"), bytes, observer)
        };
        // Last, as what is written before is valid by the old root too. Where the old keys could not sign any
        // more, the first: readers have to wait either way, and `state` understands what a kill leaves.
        let last = before.outcome.is_ok();
        if let Some((file, bytes)) = root_file.as_ref().filter(|_| !last) {
            write(file, bytes)?;
        }
        for (file, bytes) in &files {
            write(file, bytes)?;
        }
        if let Some((file, bytes)) = root_file.as_ref().filter(|_| last) {
            write(file, bytes)?;
        }
        Ok(state.memory.end(marks)?)
    }

    /// Which numbered file is there with other bytes. A publisher that was interrupted left it;
    /// nothing names it, but servers and caches may have it and keep it for ever. So it stays as it is and the
    /// new state takes a later number: TUF asks that versions of targets and snapshot grow, not that they follow
    /// one another (TUF 5.4.3.2 and 5.5.5, rollback; only root may not skip, 5.3.5).
    fn taken(&self, files: &[(String, Vec<u8>)]) -> Result<Option<RoleKind>, StorageError> {
        for (file, bytes) in files {
            let Some((_, role)) = file.split_once('.').filter(|_| file != TIMESTAMP) else {
                continue;
            };
            match self.read(file) {
                Ok(there) if there != *bytes => {
                    return Ok(RoleKind::of(role.trim_end_matches(".json")));
                }
                Ok(_) => {}
                Err(StorageError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn damaged(&self, error: impl Into<CoreError>) -> RepositoryError {
        match error.into() {
            CoreError::Trust(TrustError::RootMismatch { .. }) => {
                memory::other_root(&self.root).into()
            }
            source => RepositoryError::Damaged {
                path: self.root.clone(),
                source: Box::new(source),
            },
        }
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, StorageError> {
        let path = self.root.join("metadata").join(file);
        fs::read(&path).map_err(StorageError::io("read", &path))
    }

    /// Reads and verifies the metadata on disk, expired or not: a publisher must be able to renew them.
    fn state(&self, memory: Memory) -> Result<State, RepositoryError> {
        let pin = memory.pin();
        let nothing = CachedMetadata::default;
        let whole = self.walk(pin, nothing(), &BTreeMap::new(), usize::MAX);
        if !whole.roots.is_empty() {
            memory.check_roots(&self.root, &whole.roots)?;
        }
        let (kept, behind) = match whole.outcome {
            Ok(kept) => (kept, false),
            // A publisher was interrupted who replaced a key that could not sign any more: the rest is still
            // what the root before it says. Whoever publishes next signs it anew, if it is what they remember.
            Err(error) if whole.roots.len() > 1 => {
                let before = whole.roots.len() - 1;
                let walk = self.walk(pin, nothing(), &BTreeMap::new(), before);
                let mut kept = walk.outcome.map_err(|_| error)?;
                kept.roots = whole.roots;
                (kept, true)
            }
            Err(error) => return Err(error),
        };
        let missing = || {
            self.damaged(VerifyError::Malformed {
                subject: "metadata".into(),
                reason: "a role is missing".into(),
            })
        };
        let damaged = |error: VerifyError| self.damaged(error);
        let root_file = kept.roots.last().ok_or_else(missing)?;
        let targets = kept
            .targets
            .get(RoleKind::Targets.as_str())
            .ok_or_else(missing)?;
        let snapshot = kept.snapshot.as_ref().ok_or_else(missing)?;
        let timestamp = kept.timestamp.as_ref().ok_or_else(missing)?;
        let root: Root = role(root_file).map_err(damaged)?;
        let targets_role: Targets = role(targets).map_err(damaged)?;
        let snapshot_role: Snapshot = role(snapshot).map_err(damaged)?;
        let timestamp_role: Timestamp = role(timestamp).map_err(damaged)?;
        let marks = Marks {
            root: Mark::of(root.common.version, root_file),
            targets: Mark::of(targets_role.common.version, targets),
            snapshot: Mark::of(snapshot_role.common.version, snapshot),
            timestamp: Mark::of(timestamp_role.common.version, timestamp),
        };
        let state = State {
            root,
            targets: targets_role,
            snapshot: snapshot_role,
            timestamp: timestamp_role,
            behind,
            kept,
            marks,
            memory,
        };
        state.memory.check(&self.root, &state)?;
        Ok(state)
    }

    /// Reads the repository as a reader does who has `cached`, with `new` files in place of those on disk, and
    /// with no more than `roots` roots there. As if nothing ever expired.
    fn walk(
        &self,
        pin: Sha256Digest,
        cached: CachedMetadata,
        new: &BTreeMap<String, Vec<u8>>,
        roots: usize,
    ) -> Walk {
        let mut walk = Walk {
            roots: Vec::new(),
            outcome: Err(RepositoryError::Missing {
                path: self.root.clone(),
            }),
        };
        let limits = Limits {
            root_rotations: u32::MAX,
            ..Limits::default()
        };
        let label = self.root.display().to_string();
        let mut refresh = Refresh::new(
            RootTrust::Pin(pin),
            &label,
            CachedMetadata {
                clock_floor: None,
                ..cached
            },
            UnixTime(0),
            limits,
        );
        let step = |refresh: &mut Refresh| {
            loop {
                let Step::Fetch(fetch) = refresh.step().map_err(|error| self.damaged(error))?
                else {
                    return Ok(());
                };
                let hidden = (roots.saturating_add(1) as u64).to_string();
                let is_hidden = fetch.path == format!("metadata/{hidden}.root.json");
                let bytes = match new.get(&fetch.path) {
                    _ if is_hidden => None,
                    Some(bytes) => Some(bytes.clone()),
                    None => {
                        let path = self.root.join(&fetch.path);
                        match fs::read(&path) {
                            Ok(bytes) => Some(bytes),
                            Err(error)
                                if error.kind() == io::ErrorKind::NotFound
                                    && fetch.absence == Absence::Expected =>
                            {
                                None
                            }
                            Err(error) => {
                                return Err(StorageError::io("read", &path)(error).into());
                            }
                        }
                    }
                };
                refresh.supply(bytes).map_err(|error| self.damaged(error))?;
            }
        };
        let stepped = step(&mut refresh);
        if let Some((_, kept)) = refresh.verified() {
            walk.roots.clone_from(&kept.roots);
        }
        walk.outcome = stepped.and_then(|()| {
            let repository = refresh.finish().map_err(|error| self.damaged(error))?;
            Ok(repository.verified().clone())
        });
        walk
    }
}

/// What a reader found.
struct Walk {
    /// The roots that were verified, also if the rest was not.
    roots: Vec<Vec<u8>>,
    outcome: Result<CachedMetadata, RepositoryError>,
}

/// What is to be written.
pub(crate) struct Update {
    /// A new root, and its file.
    pub(crate) root: Option<(Root, Vec<u8>)>,
    /// The role that is signed anew, and with it those that name it. `None` for no other role than root.
    pub(crate) lowest: Option<RoleKind>,
    /// Written only if they are the lowest.
    pub(crate) targets: Targets,
}

/// The file whose name has no version.
const TIMESTAMP: &str = "timestamp.json";

/// The role inside bytes that were verified.
fn role<T: Role>(bytes: &[u8]) -> Result<T, VerifyError> {
    Envelope::parse(bytes, T::KIND.as_str()).map(|envelope| envelope.signed)
}

/// The channel names this release and no other one of its name. Of a release that no channel names any more the updates
/// are forgotten: who asks for one of many old versions has seldom the one before it.
fn move_channel(targets: &mut Targets, name: &ReleaseName, path: &str, channel: &Channel) {
    for (other_path, file) in targets.targets.iter_mut() {
        if parse_release_target(other_path).is_none_or(|(other, _)| other != *name) {
            continue;
        }
        let custom = file.custom.get_or_insert_with(Custom::default);
        let release = custom.webimport.get_or_insert_with(CustomRelease::default);
        release.channels.retain(|other| other != channel);
        if other_path == path {
            release.channels.push(channel.clone());
            release.channels.sort();
        }
        if release.channels.is_empty() {
            release.updates.clear();
        }
    }
}

impl Marks {
    /// With new files in place of some.
    fn with(mut self, files: &[(String, Vec<u8>)]) -> Self {
        for (file, bytes) in files {
            let kinds = [RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp];
            let kind = kinds.into_iter().find(|kind| {
                let name = kind.as_str();
                file.trim_end_matches(".json").ends_with(name)
            });
            if let (Some(kind), Some(version)) = (kind, version(bytes)) {
                *self.get_mut(kind) = Mark::of(version, bytes);
            }
        }
        self
    }
}

/// The version in bytes that were just signed.
fn version(bytes: &[u8]) -> Option<u64> {
    let file: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    file.get("signed")?.get("version")?.as_u64()
}

/// The verified state of a repository.
pub(crate) struct State {
    pub(crate) root: Root,
    pub(crate) targets: Targets,
    pub(crate) snapshot: Snapshot,
    pub(crate) timestamp: Timestamp,
    /// Only the root before this one vouches for the other three.
    pub(crate) behind: bool,
    /// The files.
    pub(crate) kept: CachedMetadata,
    /// What they are, for the memory.
    pub(crate) marks: Marks,
    /// What it was compared with.
    pub(crate) memory: Memory,
}

impl State {
    /// Nothing is to be done: what is there is what was published.
    pub(crate) fn remember(&self) -> Result<(), MemoryError> {
        if self.behind {
            return Ok(());
        }
        self.memory.end(self.marks)
    }

    /// Whether less than half the lifetime of a role that publishing signs is left.
    fn is_half_over(&self, validity: &Validity) -> bool {
        let lifetimes = validity.lifetimes(&self.root);
        self.behind
            || [RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp]
                .into_iter()
                .any(|role| {
                    self.common(role).expires < validity.now.plus_days(lifetimes.days(role) / 2)
                })
    }

    /// What all roles have in common, of one role.
    pub(crate) fn common(&self, role: RoleKind) -> &Common {
        match role {
            RoleKind::Root => &self.root.common,
            RoleKind::Targets => &self.targets.common,
            RoleKind::Snapshot => &self.snapshot.common,
            RoleKind::Timestamp => &self.timestamp.common,
        }
    }

    /// The next versions of `lowest` and of what names it.
    fn next(
        &self,
        root: &Root,
        lowest: RoleKind,
        mut targets: Targets,
        validity: &Validity,
    ) -> Unsigned {
        let common = |role| validity.common(root, role, self.common(role).version + 1);
        targets.common = common(RoleKind::Targets);
        let snapshot = Snapshot {
            common: common(RoleKind::Snapshot),
            ..self.snapshot.clone()
        };
        let timestamp = Timestamp {
            common: common(RoleKind::Timestamp),
            ..self.timestamp.clone()
        };
        let is_due = |role| match role {
            RoleKind::Targets => lowest == RoleKind::Targets,
            _ => lowest != RoleKind::Timestamp,
        };
        Unsigned {
            targets: is_due(RoleKind::Targets).then_some(targets),
            snapshot: is_due(RoleKind::Snapshot).then_some(snapshot),
            timestamp,
        }
    }
}

/// The roles of a new state that are signed anew.
struct Unsigned {
    targets: Option<Targets>,
    snapshot: Option<Snapshot>,
    timestamp: Timestamp,
}

impl Unsigned {
    /// Takes a later version of a role.
    fn skip(&mut self, role: RoleKind) {
        match (role, &mut self.targets, &mut self.snapshot) {
            (RoleKind::Targets, Some(targets), _) => targets.common.version += 1,
            (_, _, Some(snapshot)) => snapshot.common.version += 1,
            _ => {}
        }
    }

    /// Signs from the bottom up, as each role names the bytes of the one below. The files, in the order in which
    /// they are written.
    fn sign(
        &self,
        keys: &Keyring,
        root: &Root,
        former: Option<&Root>,
    ) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
        let sign = |kind, mut signing: Signing| -> Result<Vec<u8>, RepositoryError> {
            let mut needed = Needed::by(kind, root);
            if let Some(former) = former {
                needed = needed.and_if_possible_by(former);
            }
            keys.sign(&mut signing, &needed)?;
            Ok(signing.to_bytes()?)
        };
        let mut files = Vec::new();
        let (mut snapshot, mut timestamp) = (self.snapshot.clone(), self.timestamp.clone());
        if let Some(targets) = &self.targets {
            let bytes = sign(RoleKind::Targets, Signing::new(targets)?)?;
            let version = targets.common.version;
            if let Some(snapshot) = &mut snapshot {
                let meta = MetaFile::of(version, &bytes);
                snapshot.meta.insert("targets.json".into(), meta);
            }
            files.push((format!("{version}.targets.json"), bytes));
        }
        if let Some(snapshot) = &snapshot {
            let bytes = sign(RoleKind::Snapshot, Signing::new(snapshot)?)?;
            let version = snapshot.common.version;
            let meta = MetaFile::of(version, &bytes);
            timestamp.meta.insert("snapshot.json".into(), meta);
            files.push((format!("{version}.snapshot.json"), bytes));
        }
        let bytes = sign(RoleKind::Timestamp, Signing::new(&timestamp)?)?;
        files.push((TIMESTAMP.into(), bytes));
        Ok(files)
    }
}

fn check_sizes(files: &[(String, Vec<u8>)], limits: &Limits) -> Result<(), RepositoryError> {
    for (file, bytes) in files {
        let size = bytes.len() as u64;
        if file.ends_with(".targets.json") && size > limits.targets {
            return Err(RepositoryError::Full {
                file: file.clone(),
                size,
                limit: limits.targets,
            });
        }
    }
    Ok(())
}
