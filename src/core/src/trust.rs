//! What is believed: TUF metadata checked step by step (TUF 1.0, section 5).
//!
//! The order is the specification's: root, timestamp, snapshot, targets. Each step takes the bytes as
//! received and either replaces the trusted role or changes nothing. Expiry is judged against one reference
//! time, given at the start. Delegated targets are not followed.

use std::ops::Deref;

use crate::digest::{Expected, Sha256Digest};
use crate::error::{Error, ResolveError, TrustError, VerifyError};
use crate::keys::{KeyId, PublicKey};
use crate::metadata::{
    Envelope, MetaFile, Role, RoleKind, Root, Snapshot, TargetFile, Targets, Timestamp,
    parse_release_target, release_target,
};
use crate::names::{Channel, ReleaseName, Selector, Version};
use crate::time::UnixTime;

/// Something that this crate has checked against signed metadata or a pin. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// The checked value, as a plain one.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Whether expired metadata may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Refuse it (TUF 5.3.10, 5.4.4, 5.5.6, 5.6.5).
    Refuse,
    /// Use it, because the caller asked for stale metadata by name. Only ever for cached metadata.
    AcceptStale,
}

/// Whether a received timestamp took the place of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// It did.
    New,
    /// It has the same version, so the one before stays (TUF 5.4.3.1).
    Same,
}

/// A role and the keys that signed it.
#[derive(Debug, Clone)]
struct Signed<T> {
    role: T,
    signers: Vec<KeyId>,
}

/// The trusted metadata of one repository, as far as it has been walked.
#[derive(Debug, Clone)]
pub struct TrustedMetadata {
    now: UnixTime,
    expiry: Expiry,
    root: Root,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    targets: Option<Signed<Targets>>,
}

impl TrustedMetadata {
    /// Starts from `1.root.json`, whose digest is the pin.
    ///
    /// # Errors
    /// [`TrustError::RootMismatch`]; [`VerifyError`] if it is not version 1 of a root that a threshold of its
    /// own keys signed.
    pub fn from_pin(
        bytes: &[u8],
        pin: Sha256Digest,
        repository: &str,
        now: UnixTime,
        expiry: Expiry,
    ) -> Result<Self, Error> {
        let got = Sha256Digest::of(bytes);
        if got != pin {
            return Err(TrustError::RootMismatch {
                repository: repository.to_owned(),
                expected: pin,
                got,
            }
            .into());
        }
        let subject = "1.root.json";
        let envelope = Envelope::<Root>::parse(bytes, subject)?;
        check_root(&envelope.signed, subject)?;
        check_signatures(&envelope, &envelope.signed, subject)?;
        check_version(subject, 1, envelope.signed.common.version)?;
        Ok(Self {
            now,
            expiry,
            root: envelope.signed,
            timestamp: None,
            snapshot: None,
            targets: None,
        })
    }

    /// The version of the trusted root.
    pub fn root_version(&self) -> u64 {
        self.root.common.version
    }

    /// The trusted root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The next root (TUF 5.3.3 to 5.3.8). Its expiry is not looked at yet.
    ///
    /// # Errors
    /// [`VerifyError::Threshold`] unless both the trusted and the new root's keys sign it;
    /// [`VerifyError::Rollback`] or [`VerifyError::MixAndMatch`] unless its version is the next one.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let expected = self.root_version() + 1;
        let subject = format!("{expected}.root.json");
        let envelope = Envelope::<Root>::parse(bytes, &subject)?;
        check_root(&envelope.signed, &subject)?;
        // TUF 5.3.4, arbitrary software: by the old keys, and by the new ones.
        check_signatures(&envelope, &self.root, &subject)?;
        check_signatures(&envelope, &envelope.signed, &subject)?;
        // TUF 5.3.5, rollback: exactly the next version.
        let got = envelope.signed.common.version;
        if got < expected {
            return Err(VerifyError::Rollback {
                subject,
                trusted: expected,
                got,
            });
        }
        if got > expected {
            return Err(VerifyError::MixAndMatch {
                subject,
                expected,
                got,
            });
        }
        self.root = envelope.signed;
        Ok(())
    }

    /// No newer root exists: the trusted one must be valid now (TUF 5.3.10, freeze).
    ///
    /// # Errors
    /// [`VerifyError::Expired`].
    pub fn finish_root(&self) -> Result<(), VerifyError> {
        let subject = format!("{}.root.json", self.root_version());
        self.check_expiry(&self.root, &subject)
    }

    /// A timestamp from the cache, as the reference for rollback (TUF 5.4.3). One that the current root's keys
    /// do not sign is worthless, for example after a key was revoked, and false is returned.
    pub fn remember_timestamp(&mut self, bytes: &[u8]) -> bool {
        let subject = "timestamp.json";
        let remembered = Envelope::<Timestamp>::parse(bytes, subject).and_then(|envelope| {
            check_signatures(&envelope, &self.root, subject)?;
            snapshot_meta(&envelope.signed)?;
            Ok(envelope.signed)
        });
        match remembered {
            Ok(timestamp) => {
                self.timestamp = Some(timestamp);
                true
            }
            Err(_) => false,
        }
    }

    /// The timestamp as received (TUF 5.4). The same version as before changes nothing.
    ///
    /// # Errors
    /// [`VerifyError::Threshold`], [`VerifyError::Rollback`], [`VerifyError::Expired`],
    /// [`VerifyError::Malformed`].
    pub fn update_timestamp(&mut self, bytes: &[u8]) -> Result<Update, VerifyError> {
        let subject = "timestamp.json";
        let envelope = Envelope::<Timestamp>::parse(bytes, subject)?;
        check_signatures(&envelope, &self.root, subject)?;
        let new = envelope.signed;
        let new_snapshot = snapshot_meta(&new)?.version;
        if let Some(old) = &self.timestamp {
            // TUF 5.4.3.1, rollback.
            rollback(subject, old.common.version, new.common.version)?;
            // TUF 5.4.3.2, rollback of the snapshot.
            rollback("snapshot.json", snapshot_meta(old)?.version, new_snapshot)?;
            if old.common.version == new.common.version {
                self.check_expiry(old, subject)?;
                return Ok(Update::Same);
            }
        }
        // TUF 5.4.4, freeze. After rollback, so that an expired one is not remembered.
        self.check_expiry(&new, subject)?;
        self.timestamp = Some(new);
        Ok(Update::New)
    }

    /// The timestamp that was remembered has to do, because there is no network: it must be valid now.
    ///
    /// # Errors
    /// [`VerifyError::Expired`]; [`VerifyError::Malformed`] if there is none.
    pub fn use_remembered_timestamp(&self) -> Result<(), VerifyError> {
        let timestamp = self
            .timestamp
            .as_ref()
            .ok_or_else(|| missing(RoleKind::Timestamp))?;
        self.check_expiry(timestamp, "timestamp.json")
    }

    /// What the timestamp says of the snapshot.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] before there is a timestamp.
    pub fn snapshot_meta(&self) -> Result<&MetaFile, VerifyError> {
        snapshot_meta(
            self.timestamp
                .as_ref()
                .ok_or_else(|| missing(RoleKind::Timestamp))?,
        )
    }

    /// A snapshot from the cache, which need not be the current one any more: the reference for rollback
    /// (TUF 5.5.5). Worthless and dropped unless the current root's keys sign it.
    pub fn remember_snapshot(&mut self, bytes: &[u8]) {
        let subject = "snapshot.json";
        let remembered = Envelope::<Snapshot>::parse(bytes, subject).and_then(|envelope| {
            check_signatures(&envelope, &self.root, subject)?;
            Ok(envelope.signed)
        });
        if let Ok(snapshot) = remembered {
            self.snapshot = Some(snapshot);
        }
    }

    /// The snapshot that the timestamp names (TUF 5.5), from the network or the cache.
    ///
    /// # Errors
    /// [`VerifyError::Length`], [`VerifyError::Digest`], [`VerifyError::Threshold`],
    /// [`VerifyError::MixAndMatch`], [`VerifyError::Rollback`], [`VerifyError::Expired`].
    pub fn update_snapshot(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let meta = self.snapshot_meta()?;
        let subject = format!("{}.snapshot.json", meta.version);
        // TUF 5.5.2, mix and match by digest; 5.5.3; 5.5.4, by version.
        check_meta(meta, bytes, &subject)?;
        let envelope = Envelope::<Snapshot>::parse(bytes, &subject)?;
        check_signatures(&envelope, &self.root, &subject)?;
        check_version(&subject, meta.version, envelope.signed.common.version)?;
        let new = envelope.signed;
        targets_meta(&new)?;
        if let Some(old) = &self.snapshot {
            // TUF 5.5.5, rollback of any targets file, or its disappearance.
            for (file, old_meta) in &old.meta {
                let got = new.meta.get(file).map_or(0, |meta| meta.version);
                rollback(file, old_meta.version, got)?;
            }
        }
        self.check_expiry(&new, &subject)?;
        self.snapshot = Some(new);
        Ok(())
    }

    /// What the snapshot says of the top-level targets.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] before there is a snapshot.
    pub fn targets_meta(&self) -> Result<&MetaFile, VerifyError> {
        targets_meta(
            self.snapshot
                .as_ref()
                .ok_or_else(|| missing(RoleKind::Snapshot))?,
        )
    }

    /// The top-level targets that the snapshot names (TUF 5.6), from the network or the cache.
    ///
    /// # Errors
    /// As [`update_snapshot`](Self::update_snapshot).
    pub fn update_targets(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let meta = self.targets_meta()?;
        let subject = format!("{}.targets.json", meta.version);
        check_meta(meta, bytes, &subject)?;
        let envelope = Envelope::<Targets>::parse(bytes, &subject)?;
        let signers = check_signatures(&envelope, &self.root, &subject)?;
        check_version(&subject, meta.version, envelope.signed.common.version)?;
        self.check_expiry(&envelope.signed, &subject)?;
        self.targets = Some(Signed {
            role: envelope.signed,
            signers,
        });
        Ok(())
    }

    /// The whole chain is there.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] if a step was left out.
    pub fn into_repository(self) -> Result<Verified<Repository>, VerifyError> {
        let timestamp = self.timestamp.ok_or_else(|| missing(RoleKind::Timestamp))?;
        let snapshot = self.snapshot.ok_or_else(|| missing(RoleKind::Snapshot))?;
        let targets = self.targets.ok_or_else(|| missing(RoleKind::Targets))?;
        let expires = [
            self.root.common.expires,
            timestamp.common.expires,
            snapshot.common.expires,
            targets.role.common.expires,
        ]
        .into_iter()
        .min()
        .unwrap_or(self.now);
        Ok(Verified::new(Repository {
            targets: targets.role,
            signers: targets.signers,
            expires,
        }))
    }

    fn check_expiry<T: Role>(&self, role: &T, subject: &str) -> Result<(), VerifyError> {
        let expires = role.common().expires;
        if expires <= self.now && self.expiry == Expiry::Refuse {
            return Err(VerifyError::Expired {
                subject: subject.to_owned(),
                expires,
            });
        }
        Ok(())
    }
}

/// What a repository offers now, by signed metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    targets: Targets,
    signers: Vec<KeyId>,
    expires: UnixTime,
}

/// A release as the targets metadata names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseTarget {
    /// Its name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The manifest's path inside the repository, with the digest in the file name.
    pub path: String,
    /// The manifest's length, in bytes.
    pub length: u64,
    /// The manifest's digest.
    pub sha256: Sha256Digest,
}

impl ReleaseTarget {
    fn new(name: ReleaseName, version: Version, length: u64, sha256: Sha256Digest) -> Self {
        let path = format!("targets/{name}/{version}/{sha256}.release.json");
        Self {
            name,
            version,
            path,
            length,
            sha256,
        }
    }

    /// What the manifest's bytes must be.
    pub fn expected(&self) -> Expected {
        Expected {
            subject: self.path.clone(),
            length: Some(self.length),
            sha256: self.sha256,
        }
    }
}

impl Repository {
    /// The keys whose valid signatures the targets metadata has.
    pub fn signers(&self) -> &[KeyId] {
        &self.signers
    }

    /// When the first of the four roles expires.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Every release, by name and version as text.
    pub fn releases(&self) -> impl Iterator<Item = (ReleaseName, Version, &TargetFile)> {
        self.targets.targets.iter().filter_map(|(path, file)| {
            let (name, version) = parse_release_target(path)?;
            Some((name, version, file))
        })
    }

    /// The release that `selector` names now.
    ///
    /// # Errors
    /// [`ResolveError::UnknownName`], [`ResolveError::UnknownVersion`], [`ResolveError::UnknownChannel`]
    /// (also for a channel that names two releases); `repository` is for the message.
    pub fn find(
        &self,
        name: &ReleaseName,
        selector: &Selector,
        repository: &str,
    ) -> Result<ReleaseTarget, ResolveError> {
        let found = match selector {
            Selector::Version(version) => self
                .targets
                .targets
                .get(&release_target(name, version))
                .map(|file| (version.clone(), file)),
            Selector::Channel(channel) => {
                let mut named = self
                    .releases()
                    .filter(|(other, _, file)| other == name && file.channels().contains(channel));
                match (named.next(), named.next()) {
                    (Some((_, version, file)), None) => Some((version, file)),
                    _ => None,
                }
            }
        };
        match found {
            Some((version, file)) => Ok(ReleaseTarget::new(
                name.clone(),
                version,
                file.length,
                file.hashes.sha256,
            )),
            None => Err(self.unknown(name, selector, repository)),
        }
    }

    /// The release of that name whose manifest has the digest `sha256`, whatever its version.
    pub fn find_digest(&self, name: &ReleaseName, sha256: Sha256Digest) -> Option<ReleaseTarget> {
        self.releases()
            .find(|(other, _, file)| other == name && file.hashes.sha256 == sha256)
            .map(|(name, version, file)| ReleaseTarget::new(name, version, file.length, sha256))
    }

    fn unknown(&self, name: &ReleaseName, selector: &Selector, repository: &str) -> ResolveError {
        let of_name: Vec<_> = self
            .releases()
            .filter(|(other, _, _)| other == name)
            .collect();
        if of_name.is_empty() {
            let mut known: Vec<String> = self
                .releases()
                .map(|(name, _, _)| name.to_string())
                .collect();
            known.dedup();
            return ResolveError::UnknownName {
                repository: repository.to_owned(),
                name: name.to_string(),
                known,
            };
        }
        match selector {
            Selector::Version(version) => ResolveError::UnknownVersion {
                name: name.to_string(),
                version: version.to_string(),
                known: of_name
                    .iter()
                    .map(|(_, version, _)| version.to_string())
                    .collect(),
            },
            Selector::Channel(channel) => {
                let mut known: Vec<String> = of_name
                    .iter()
                    .flat_map(|(_, _, file)| file.channels())
                    .map(Channel::to_string)
                    .collect();
                known.sort();
                known.dedup();
                ResolveError::UnknownChannel {
                    name: name.to_string(),
                    channel: channel.to_string(),
                    known,
                }
            }
        }
    }
}

/// TUF 5.3.4 and the like: distinct keys of the role, each with a valid signature, reach the threshold.
fn check_signatures<T: Role>(
    envelope: &Envelope<T>,
    root: &Root,
    subject: &str,
) -> Result<Vec<KeyId>, VerifyError> {
    let name = T::KIND.as_str();
    let role = root.roles.get(name).ok_or_else(|| VerifyError::Malformed {
        subject: format!("{}.root.json", root.common.version),
        reason: format!("expected the role `{name}`"),
    })?;
    // `Envelope::parse` refuses a key id that signs twice. One key under two key ids, which a field that nobody
    // knows is enough for, counts once, too.
    let mut signers: Vec<KeyId> = Vec::new();
    let mut counted: Vec<&PublicKey> = Vec::new();
    for (id, signature) in &envelope.signatures {
        if !role.keyids.contains(id) {
            continue;
        }
        if let Some(key) = root.keys.get(id)
            && !counted.iter().any(|other| other.is_same_key(key))
            && key.verifies(&envelope.canonical, signature)
        {
            counted.push(key);
            signers.push(*id);
        }
    }
    let valid = signers.len() as u64;
    if valid < role.threshold {
        return Err(VerifyError::Threshold {
            subject: subject.to_owned(),
            role: name.to_owned(),
            needed: role.threshold,
            valid,
        });
    }
    Ok(signers)
}

/// What a root must be before its keys are used.
fn check_root(root: &Root, subject: &str) -> Result<(), VerifyError> {
    let malformed = |reason: String| {
        Err(VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        })
    };
    if !root.consistent_snapshot {
        return malformed("expected consistent_snapshot true, got false".into());
    }
    for (id, key) in &root.keys {
        // A key under another's id could count twice.
        if key.id() != *id {
            return malformed(format!("the key id `{id}` is not the digest of its key"));
        }
    }
    for kind in [
        RoleKind::Root,
        RoleKind::Timestamp,
        RoleKind::Snapshot,
        RoleKind::Targets,
    ] {
        let name = kind.as_str();
        let Some(role) = root.roles.get(name) else {
            return malformed(format!("expected the role `{name}`"));
        };
        if role.threshold == 0 {
            return malformed(format!(
                "expected a threshold of at least 1 for `{name}`, got 0"
            ));
        }
        let mut ids = role.keyids.clone();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != role.keyids.len() {
            return malformed(format!("the role `{name}` lists a key id twice"));
        }
    }
    Ok(())
}

fn check_meta(meta: &MetaFile, bytes: &[u8], subject: &str) -> Result<(), VerifyError> {
    let got = bytes.len() as u64;
    if let Some(expected) = meta.length
        && expected != got
    {
        return Err(VerifyError::Length {
            subject: subject.to_owned(),
            expected,
            got,
        });
    }
    if let Some(hashes) = &meta.hashes {
        Expected {
            subject: subject.to_owned(),
            length: None,
            sha256: hashes.sha256,
        }
        .check_bytes(bytes)?;
    }
    Ok(())
}

fn check_version(subject: &str, expected: u64, got: u64) -> Result<(), VerifyError> {
    if expected == got {
        Ok(())
    } else {
        Err(VerifyError::MixAndMatch {
            subject: subject.to_owned(),
            expected,
            got,
        })
    }
}

fn rollback(subject: &str, trusted: u64, got: u64) -> Result<(), VerifyError> {
    if got < trusted {
        return Err(VerifyError::Rollback {
            subject: subject.to_owned(),
            trusted,
            got,
        });
    }
    Ok(())
}

fn snapshot_meta(timestamp: &Timestamp) -> Result<&MetaFile, VerifyError> {
    timestamp
        .meta
        .get("snapshot.json")
        .ok_or_else(|| VerifyError::Malformed {
            subject: "timestamp.json".into(),
            reason: "expected `snapshot.json` in `meta`".into(),
        })
}

fn targets_meta(snapshot: &Snapshot) -> Result<&MetaFile, VerifyError> {
    snapshot
        .meta
        .get("targets.json")
        .ok_or_else(|| VerifyError::Malformed {
            subject: "snapshot.json".into(),
            reason: "expected `targets.json` in `meta`".into(),
        })
}

fn missing(kind: RoleKind) -> VerifyError {
    VerifyError::Malformed {
        subject: format!("{}.json", kind.as_str()),
        reason: "it is used before it was verified".into(),
    }
}
