//! A repository on disk, the publisher's side: made once, then changed by publishing.
//!
//! The order of a change is objects, manifest, `N.targets.json`, `N.snapshot.json` and `timestamp.json` last
//! (TUF 1.0, 6.1 and 6.2), each written whole. Nothing names the new files until the timestamp does, so a
//! reader, and a kill at any moment, sees the old state or the new one. A file with a number or a digest in its
//! name is never given other bytes, also where nothing names it. What is on disk is verified before
//! it is built on, and what is to be written is verified before the first byte goes out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, Error as CoreError, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::object_path;
use webimport_core::metadata::{
    Common, Custom, CustomRelease, Envelope, Hashes, MetaFile, Other, Role, RoleKeys, RoleKind,
    Root, Snapshot, TargetFile, Targets, Timestamp, parse_release_target, release_target,
};
use webimport_core::names::{Channel, ReleaseName, Version};
use webimport_core::sign::{SigningKey, sign_role};
use webimport_core::time::UnixTime;
use webimport_core::trust::{Expiry, TrustedMetadata};

use crate::keys::{KeyError, KeyFolder, ROLES};
use crate::observe::Observer;
use crate::storage::{self, Lock, StorageError};

/// For how many days new metadata of a role are valid.
#[derive(Debug, Clone)]
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
    fn days(&self, role: RoleKind) -> u32 {
        match role {
            RoleKind::Root => self.root,
            RoleKind::Targets => self.targets,
            RoleKind::Snapshot => self.snapshot,
            RoleKind::Timestamp => self.timestamp,
        }
    }
}

/// When something is published, and for how long it is valid.
#[derive(Debug, Clone)]
pub struct Validity {
    /// The time of publication.
    pub now: UnixTime,
    /// Counted from `now`.
    pub lifetimes: Lifetimes,
}

impl Validity {
    /// The default lifetimes, counted from `now`.
    pub fn from(now: UnixTime) -> Self {
        Self {
            now,
            lifetimes: Lifetimes::default(),
        }
    }

    fn common(&self, role: RoleKind, version: u64) -> Common {
        Common::new(role, version, self.now.plus_days(self.lifetimes.days(role)))
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
    /// The key is not one that the repository's root names for the role.
    #[error("`{}` is not a key of the role `{role}` in this repository", path.display())]
    WrongKey {
        /// The key.
        path: PathBuf,
        /// The role.
        role: &'static str,
    },
    /// The role asks for more signatures than the one key that is there can give.
    #[error("the role `{role}` needs {threshold} signatures, one key is here")]
    Threshold {
        /// The role.
        role: &'static str,
        /// Signatures needed.
        threshold: u64,
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
        /// The manifest that is there.
        published: Sha256Digest,
        /// The manifest that was to be published.
        new: Sha256Digest,
    },
    /// Reading, writing, locking.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Something has no JSON form.
    #[error("cannot write metadata: {0}")]
    Json(#[from] serde_json::Error),
}

impl Coded for RepositoryError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. }
            | Self::Missing { .. }
            | Self::Damaged { .. }
            | Self::Full { .. }
            | Self::Json(_) => "publish.repository",
            Self::WrongKey { .. } | Self::Threshold { .. } => "publish.key",
            Self::Published { .. } => "publish.exists",
            Self::Storage(error) => error.code(),
            Self::Key(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Exists { .. } => "publish into it with `webimport release`, or give another folder".into(),
            Self::Missing { path } => {
                format!("make one with `webimport init {} --keys KEYS`", path.display())
            }
            Self::Damaged { .. } => "restore the `metadata` folder from what was uploaded last".into(),
            Self::WrongKey { .. } => "give the folder that was made with this repository with --keys".into(),
            Self::Threshold { .. } => "sign with a tool that holds all keys of the role".into(),
            Self::Full { .. } => "publish new releases into a new repository".into(),
            Self::Published { .. } => {
                "a published version never changes, and bytecode is part of it; give the new content a new \
                 version, or make the same content with the same build tools and interpreter"
                    .into()
            }
            Self::Storage(error) => error.hint(),
            Self::Key(error) => error.hint(),
            Self::Json(_) => "report this as a bug".into(),
        }
    }
}

/// Makes a repository in the folder `root` and new keys in `keys`, and returns the root pin: the digest of
/// `1.root.json`.
///
/// # Errors
/// [`RepositoryError::Exists`], [`RepositoryError::Key`] for keys that exist or would be inside the
/// repository or around it, [`RepositoryError::Storage`].
pub fn init(
    root: &Path,
    keys: &KeyFolder,
    validity: &Validity,
    observer: &dyn Observer,
) -> Result<Sha256Digest, RepositoryError> {
    let metadata = root.join("metadata");
    refuse_existing(root, &metadata)?;
    keys.refuse_existing()?;
    keys.refuse_overlap(root)?;
    fs::create_dir_all(root).map_err(StorageError::io("make", root))?;
    // Again: only of a folder that exists is it known whether another spelling leads to it too.
    keys.refuse_overlap(root)?;
    keys.generate()?;
    let _lock = Lock::take(root)?;

    let mut root_role = Root {
        common: validity.common(RoleKind::Root, 1),
        consistent_snapshot: true,
        keys: BTreeMap::new(),
        roles: BTreeMap::new(),
        other: Other::new(),
    };
    for kind in ROLES {
        let key = keys.load(kind)?.public();
        let role = RoleKeys {
            keyids: vec![key.id()],
            threshold: 1,
            other: Other::new(),
        };
        root_role.roles.insert(kind.as_str().to_owned(), role);
        root_role.keys.insert(key.id(), key);
    }
    let bytes = sign_role(&root_role, &[keys.load(RoleKind::Root)?])?;
    let targets = Targets {
        common: validity.common(RoleKind::Targets, 1),
        targets: BTreeMap::new(),
        other: Other::new(),
    };
    let snapshot = Snapshot {
        common: validity.common(RoleKind::Snapshot, 1),
        meta: BTreeMap::new(),
        other: Other::new(),
    };
    let timestamp = Timestamp {
        common: validity.common(RoleKind::Timestamp, 1),
        meta: BTreeMap::new(),
        other: Other::new(),
    };
    let signed = sign_state(
        &targets,
        snapshot,
        timestamp,
        &Signers::load(keys, &root_role)?,
    )?;
    signed.write(&metadata, observer)?;
    // Last, since it makes the folder a repository.
    storage::write(&metadata.join("1.root.json"), &bytes, observer)?;
    Ok(Sha256Digest::of(&bytes))
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

    /// The root pin of what is on disk: right for the publisher, who made it; a reader gets it from them.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn pin(&self) -> Result<Sha256Digest, RepositoryError> {
        Ok(Sha256Digest::of(&self.read("1.root.json")?))
    }

    /// Fails unless `keys` can sign for this repository. Worth knowing before a long build.
    ///
    /// # Errors
    /// [`RepositoryError::Key`], [`RepositoryError::WrongKey`], [`RepositoryError::Threshold`],
    /// [`RepositoryError::Damaged`].
    pub fn check_keys(&self, keys: &KeyFolder) -> Result<(), RepositoryError> {
        keys.refuse_overlap(&self.root)?;
        Signers::load(keys, &self.state()?.root).map(drop)
    }

    /// Publishes a release and lets its channel name it.
    ///
    /// # Errors
    /// [`RepositoryError::Published`] if the version is there with another manifest, and any other.
    pub fn publish(
        &self,
        publication: &Publication,
        keys: &KeyFolder,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<Published, RepositoryError> {
        keys.refuse_overlap(&self.root)?;
        let _lock = Lock::take(&self.root)?;
        for folder in ["metadata", "targets", "objects"] {
            storage::sweep(&self.root.join(folder))?;
        }
        let state = self.state()?;
        let signers = Signers::load(keys, &state.root)?;
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
            && before.hashes.sha256 != sha256
        {
            return Err(RepositoryError::Published {
                name: name.clone(),
                version: version.clone(),
                published: before.hashes.sha256,
                new: sha256,
            });
        }
        let change = match before {
            None => Published::New,
            Some(before) if !before.channels().contains(channel) => Published::ChannelMoved,
            Some(_) if state.is_half_over(validity) => Published::Renewed,
            Some(_) => Published::Nothing,
        };

        // Also where the release was there: publishing again mends what was lost or damaged.
        for (sha256, bytes) in objects {
            self.write_content(&object_path(*sha256), bytes, observer)?;
        }
        self.write_content(
            &format!("targets/{name}/{version}/{sha256}.release.json"),
            manifest,
            observer,
        )?;
        if change == Published::Nothing {
            return Ok(change);
        }

        targets
            .targets
            .entry(path.clone())
            .or_insert_with(|| TargetFile {
                length: manifest.len() as u64,
                hashes: Hashes::sha256(sha256),
                custom: None,
                other: Other::new(),
            });
        move_channel(&mut targets, name, &path, channel);
        targets.common = validity.common(RoleKind::Targets, targets.common.version + 1);
        let mut snapshot = state.snapshot;
        snapshot.common = validity.common(RoleKind::Snapshot, snapshot.common.version + 1);
        let mut timestamp = state.timestamp;
        timestamp.common = validity.common(RoleKind::Timestamp, timestamp.common.version + 1);
        let signed = loop {
            let signed = sign_state(&targets, snapshot.clone(), timestamp.clone(), &signers)?;
            match self.taken(&signed)? {
                None => break signed,
                Some(Taken::Targets) => targets.common.version += 1,
                Some(Taken::Snapshot) => snapshot.common.version += 1,
            }
        };

        signed.check_sizes(&Limits::default())?;
        // What readers will do, before they can.
        let mut trusted = state.trusted;
        signed
            .check(&mut trusted)
            .map_err(|error| self.damaged(error))?;
        signed.write(&self.root.join("metadata"), observer)?;
        Ok(change)
    }

    /// Which of the two numbered files is there with other bytes. A publisher that was interrupted left it;
    /// nothing names it, but servers and caches may have it and keep it for ever. So it stays as it is and the
    /// new state takes a later number: TUF asks that versions of targets and snapshot grow, not that they follow
    /// one another (TUF 5.4.3.2 and 5.5.5, rollback; only root may not skip, 5.3.5).
    fn taken(&self, signed: &SignedState) -> Result<Option<Taken>, StorageError> {
        for (taken, role, (version, bytes)) in [
            (Taken::Targets, RoleKind::Targets, &signed.targets),
            (Taken::Snapshot, RoleKind::Snapshot, &signed.snapshot),
        ] {
            match self.read(&format!("{version}.{}.json", role.as_str())) {
                Ok(there) if there != *bytes => return Ok(Some(taken)),
                Ok(_) => {}
                Err(StorageError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Writes a content-addressed file unless it is there.
    fn write_content(
        &self,
        path: &str,
        bytes: &[u8],
        observer: &dyn Observer,
    ) -> Result<(), RepositoryError> {
        let path = self.root.join(path);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        Ok(storage::write(&path, bytes, observer)?)
    }

    fn damaged(&self, error: impl Into<CoreError>) -> RepositoryError {
        RepositoryError::Damaged {
            path: self.root.clone(),
            source: Box::new(error.into()),
        }
    }

    fn read(&self, file: &str) -> Result<Vec<u8>, StorageError> {
        let path = self.root.join("metadata").join(file);
        fs::read(&path).map_err(StorageError::io("read", &path))
    }

    /// Reads and verifies the metadata on disk, expired or not: a publisher must be able to renew them.
    fn state(&self) -> Result<State, RepositoryError> {
        let first = self.read("1.root.json")?;
        let name = self.root.display().to_string();
        let mut trusted = TrustedMetadata::from_pin(
            &first,
            Sha256Digest::of(&first),
            &name,
            UnixTime(0),
            Expiry::AcceptStale,
        )
        .map_err(|error| self.damaged(error))?;
        let damaged = |error: VerifyError| self.damaged(error);
        loop {
            match self.read(&format!("{}.root.json", trusted.root_version() + 1)) {
                Ok(next) => trusted.update_root(&next).map_err(damaged)?,
                Err(StorageError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let root = trusted.root().clone();
        let timestamp = self.read("timestamp.json")?;
        trusted.update_timestamp(&timestamp).map_err(damaged)?;
        let version = trusted.snapshot_meta().map_err(damaged)?.version;
        let snapshot = self.read(&format!("{version}.snapshot.json"))?;
        trusted.update_snapshot(&snapshot).map_err(damaged)?;
        let version = trusted.targets_meta().map_err(damaged)?.version;
        let targets = self.read(&format!("{version}.targets.json"))?;
        trusted.update_targets(&targets).map_err(damaged)?;
        Ok(State {
            root,
            targets: role(&targets).map_err(damaged)?,
            snapshot: role(&snapshot).map_err(damaged)?,
            timestamp: role(&timestamp).map_err(damaged)?,
            trusted,
        })
    }
}

/// The role inside bytes that were verified.
fn role<T: Role>(bytes: &[u8]) -> Result<T, VerifyError> {
    Envelope::parse(bytes, T::KIND.as_str()).map(|envelope| envelope.signed)
}

/// The channel names this release and no other one of its name.
fn move_channel(targets: &mut Targets, name: &ReleaseName, path: &str, channel: &Channel) {
    for (other_path, file) in &mut targets.targets {
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
    }
}

/// The verified state of a repository.
struct State {
    root: Root,
    targets: Targets,
    snapshot: Snapshot,
    timestamp: Timestamp,
    trusted: TrustedMetadata,
}

impl State {
    /// Whether less than half the lifetime of a role that publishing signs is left.
    fn is_half_over(&self, validity: &Validity) -> bool {
        [
            (RoleKind::Targets, &self.targets.common),
            (RoleKind::Snapshot, &self.snapshot.common),
            (RoleKind::Timestamp, &self.timestamp.common),
        ]
        .into_iter()
        .any(|(role, common)| {
            common.expires < validity.now.plus_days(validity.lifetimes.days(role) / 2)
        })
    }
}

/// The keys that publishing needs. The root key is not among them and may be kept elsewhere.
struct Signers {
    targets: SigningKey,
    snapshot: SigningKey,
    timestamp: SigningKey,
}

impl Signers {
    fn load(keys: &KeyFolder, root: &Root) -> Result<Self, RepositoryError> {
        let load = |kind: RoleKind| {
            let key = keys.load(kind)?;
            let role = kind.as_str();
            match root.roles.get(role) {
                Some(of_role) if of_role.threshold > 1 => Err(RepositoryError::Threshold {
                    role,
                    threshold: of_role.threshold,
                }),
                Some(of_role) if of_role.keyids.contains(&key.public().id()) => Ok(key),
                _ => Err(RepositoryError::WrongKey {
                    path: keys.file(kind),
                    role,
                }),
            }
        };
        Ok(Self {
            targets: load(RoleKind::Targets)?,
            snapshot: load(RoleKind::Snapshot)?,
            timestamp: load(RoleKind::Timestamp)?,
        })
    }
}

/// A numbered metadata file whose name another one has.
enum Taken {
    Targets,
    Snapshot,
}

/// The three files of a new state.
struct SignedState {
    targets: (u64, Vec<u8>),
    snapshot: (u64, Vec<u8>),
    timestamp: Vec<u8>,
}

/// Signs from the bottom up, as each role names the bytes of the one below.
fn sign_state(
    targets: &Targets,
    mut snapshot: Snapshot,
    mut timestamp: Timestamp,
    signers: &Signers,
) -> Result<SignedState, serde_json::Error> {
    let targets = (
        targets.common.version,
        sign_role(targets, std::slice::from_ref(&signers.targets))?,
    );
    snapshot
        .meta
        .insert("targets.json".into(), MetaFile::of(targets.0, &targets.1));
    let snapshot = (
        snapshot.common.version,
        sign_role(&snapshot, std::slice::from_ref(&signers.snapshot))?,
    );
    timestamp.meta.insert(
        "snapshot.json".into(),
        MetaFile::of(snapshot.0, &snapshot.1),
    );
    let timestamp = sign_role(&timestamp, std::slice::from_ref(&signers.timestamp))?;
    Ok(SignedState {
        targets,
        snapshot,
        timestamp,
    })
}

impl SignedState {
    fn check_sizes(&self, limits: &Limits) -> Result<(), RepositoryError> {
        let (version, bytes) = &self.targets;
        let size = bytes.len() as u64;
        if size > limits.targets {
            let file = format!("{version}.targets.json");
            return Err(RepositoryError::Full {
                file,
                size,
                limit: limits.targets,
            });
        }
        Ok(())
    }

    fn check(&self, trusted: &mut TrustedMetadata) -> Result<(), VerifyError> {
        trusted.update_timestamp(&self.timestamp)?;
        trusted.update_snapshot(&self.snapshot.1)?;
        trusted.update_targets(&self.targets.1)
    }

    fn write(&self, metadata: &Path, observer: &dyn Observer) -> Result<(), StorageError> {
        let (version, bytes) = &self.targets;
        storage::write(
            &metadata.join(format!("{version}.targets.json")),
            bytes,
            observer,
        )?;
        let (version, bytes) = &self.snapshot;
        storage::write(
            &metadata.join(format!("{version}.snapshot.json")),
            bytes,
            observer,
        )?;
        storage::write(&metadata.join("timestamp.json"), &self.timestamp, observer)
    }
}
