//! What is believed: TUF metadata checked step by step (TUF 1.0, section 5).
//!
//! The order is the specification's: root, timestamp, snapshot, targets. Each step takes the bytes as
//! received and either replaces the trusted role or changes nothing. Expiry is judged against one reference
//! time, given at the start. Delegated roles are followed in [`crate::repository`].

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Deref;

use crate::delegations::{Delegations, check_keys};
use crate::digest::Sha256Digest;
use crate::error::{Error, Fault, TrustError, VerifyError, malformed};
use crate::keys::{ForeignScheme, KeyId, PublicKey};
use crate::map::Map;
use crate::metadata::{
    Common, Envelope, MetaFile, Role, RoleKeys, RoleKind, Root, Sealed, Snapshot, Targets,
    Timestamp, versioned,
};
use crate::time::UnixTime;

/// Something that this crate has checked against signed metadata or a pin. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// For what is checked before it is added.
    pub(crate) fn as_mut(&mut self) -> &mut T {
        &mut self.0
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

/// What a new root did to the keys that sign the timestamp and the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlineKeys {
    /// All that signed before still do.
    Kept,
    /// One was taken away. It may have signed version numbers that nobody should be held to (TUF 5.3.11).
    TakenAway,
}

/// How metadata is judged.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The reference time for expiry.
    pub now: UnixTime,
    /// What becomes of expired metadata.
    pub expiry: Expiry,
    /// Whether files that are not there can be had.
    pub network: Network,
    /// A signature scheme that the host adds.
    pub foreign: Option<ForeignScheme>,
}

/// Whether there is a server to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// What is missing is fetched.
    Online,
    /// What is missing is missing.
    Offline,
}

/// A role and the keys that signed it.
#[derive(Debug, Clone)]
pub(crate) struct Signed<T> {
    pub(crate) role: T,
    pub(crate) signers: Vec<KeyId>,
}

/// The trusted metadata of one repository, as far as it has been walked.
#[derive(Debug, Clone)]
pub struct TrustedMetadata {
    policy: Policy,
    root: Root,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    targets: Option<Signed<Targets>>,
}

impl TrustedMetadata {
    /// Starts from a root whose digest is the pin.
    ///
    /// # Errors
    /// [`TrustError::RootMismatch`]; [`VerifyError`] if it is not a root that a threshold of its own keys
    /// signed.
    pub fn from_pin(
        bytes: &[u8],
        pin: Sha256Digest,
        repository: &str,
        policy: Policy,
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
        root_authority(&envelope.signed, RoleKind::Root)?.check(
            &envelope.signatures,
            &envelope.canonical,
            policy.foreign,
            subject,
        )?;
        Ok(Self {
            policy,
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
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<OnlineKeys, VerifyError> {
        let expected = self.root_version() + 1;
        let subject = versioned(expected, "root");
        // TUF 5.3.4, arbitrary software: by the old keys, and by the new ones.
        let (envelope, _) = self.by_root::<Root>(bytes, &subject)?;
        check_root(&envelope.signed, &subject)?;
        let own = root_authority(&envelope.signed, RoleKind::Root)?;
        own.check(
            &envelope.signatures,
            &envelope.canonical,
            self.policy.foreign,
            &subject,
        )?;
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
        let keys = online_keys(&self.root, &envelope.signed);
        self.root = envelope.signed;
        Ok(keys)
    }

    /// No newer root exists: the trusted one must be valid now (TUF 5.3.10, freeze).
    ///
    /// # Errors
    /// [`VerifyError::Expired`].
    pub fn finish_root(&self) -> Result<(), VerifyError> {
        let subject = versioned(self.root_version(), "root");
        self.check_expiry(&self.root.common, &subject)
    }

    /// A timestamp from the cache, as the reference for rollback (TUF 5.4.3). One that the current root's keys
    /// do not sign is worthless, for example after a key was revoked, and false is returned.
    pub fn remember_timestamp(&mut self, bytes: &[u8]) -> bool {
        let subject = "timestamp.json";
        let remembered = self
            .by_root::<Timestamp>(bytes, subject)
            .and_then(|(envelope, _)| {
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
        let (envelope, _) = self.by_root::<Timestamp>(bytes, subject)?;
        let new = envelope.signed;
        let new_snapshot = snapshot_meta(&new)?.version;
        if let Some(old) = &self.timestamp {
            // TUF 5.4.3.1, rollback.
            rollback(subject, old.common.version, new.common.version)?;
            // TUF 5.4.3.2, rollback of the snapshot.
            rollback("snapshot.json", snapshot_meta(old)?.version, new_snapshot)?;
            if old.common.version == new.common.version {
                self.check_expiry(&old.common, subject)?;
                return Ok(Update::Same);
            }
        }
        // TUF 5.4.4, freeze. After rollback, so that an expired one is not remembered.
        self.check_expiry(&new.common, subject)?;
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
        self.check_expiry(&timestamp.common, "timestamp.json")
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
        if let Ok((envelope, _)) = self.by_root::<Snapshot>(bytes, subject) {
            self.snapshot = Some(envelope.signed);
        }
    }

    /// The snapshot that the timestamp names (TUF 5.5), from the network or the cache.
    ///
    /// # Errors
    /// [`VerifyError::Length`], [`VerifyError::Digest`], [`VerifyError::Threshold`],
    /// [`VerifyError::MixAndMatch`], [`VerifyError::Rollback`], [`VerifyError::Expired`].
    pub fn update_snapshot(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        let meta = self.snapshot_meta()?;
        let subject = versioned(meta.version, "snapshot");
        let authority = root_authority(&self.root, RoleKind::Snapshot)?;
        let new = self
            .open::<Snapshot>(meta, bytes, authority, &subject)?
            .role;
        targets_meta(&new)?;
        if let Some(old) = &self.snapshot {
            // TUF 5.5.5, rollback of any targets file, or its disappearance.
            for (file, old_meta) in &old.meta {
                let got = new.meta.get(file).map_or(0, |meta| meta.version);
                rollback(file, old_meta.version, got)?;
            }
        }
        self.check_expiry(&new.common, &subject)?;
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
        let subject = versioned(meta.version, "targets");
        let authority = root_authority(&self.root, RoleKind::Targets)?;
        let new = self.open(meta, bytes, authority, &subject)?;
        self.targets = Some(self.checked_targets(new, &subject)?);
        Ok(())
    }

    /// The file of the role `name` as its delegator, whose delegations these are, wants it signed (TUF 5.6.7).
    pub(crate) fn delegated(
        &self,
        name: &str,
        delegations: &Delegations,
        bytes: &[u8],
    ) -> Result<Signed<Targets>, VerifyError> {
        let meta = self.delegated_meta(name)?;
        let subject = versioned(meta.version, name);
        let keys = delegations
            .keys_of(name)
            .ok_or_else(|| malformed(&subject, format_args!("nobody delegates to this role")))?;
        let authority = Authority {
            name,
            keys: &delegations.keys,
            role: keys,
        };
        let new = self.open(meta, bytes, authority, &subject)?;
        self.checked_targets(new, &subject)
    }

    /// What the snapshot says of a delegated role.
    pub(crate) fn delegated_meta(&self, name: &str) -> Result<&MetaFile, VerifyError> {
        self.snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.meta.get(&file_of(name)))
            .ok_or_else(|| {
                malformed(
                    "snapshot.json",
                    format_args!("expected `{name}.json` in `meta`"),
                )
            })
    }

    fn checked_targets(
        &self,
        new: Signed<Targets>,
        subject: &str,
    ) -> Result<Signed<Targets>, VerifyError> {
        if let Some(delegations) = &new.role.delegations {
            delegations.check().map_err(|fault| fault.of(subject))?;
        }
        self.check_expiry(&new.role.common, subject)?;
        Ok(new)
    }

    /// The whole chain is there: when the first of its roles expires.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] if a step was left out.
    pub(crate) fn chain(&self) -> Result<UnixTime, VerifyError> {
        let (Some(timestamp), Some(snapshot), Some(targets)) =
            (&self.timestamp, &self.snapshot, &self.targets)
        else {
            return Err(missing(RoleKind::Targets));
        };
        let of_targets = targets.role.common.expires;
        let expires = self.root.common.expires.min(timestamp.common.expires);
        Ok(expires.min(snapshot.common.expires).min(of_targets))
    }

    /// Takes the top-level targets out.
    ///
    /// # Errors
    /// As [`chain`](Self::chain).
    pub(crate) fn take_targets(&mut self) -> Result<Signed<Targets>, VerifyError> {
        let targets = self.targets.take();
        targets.ok_or_else(|| missing(RoleKind::Targets))
    }

    /// When the first of the roles that are known expires, all `but` one.
    pub(crate) fn first_expiry(&self, but: Option<RoleKind>) -> Option<UnixTime> {
        let timestamp = self.timestamp.as_ref().map(|it| it.common.expires);
        let snapshot = self.snapshot.as_ref().map(|it| it.common.expires);
        let targets = self.targets.as_ref().map(|it| it.role.common.expires);
        [
            (RoleKind::Root, Some(self.root.common.expires)),
            (RoleKind::Timestamp, timestamp),
            (RoleKind::Snapshot, snapshot),
            (RoleKind::Targets, targets),
        ]
        .into_iter()
        .filter(|(kind, _)| Some(*kind) != but)
        .filter_map(|(_, expires)| expires)
        .min()
    }

    /// The version of a targets role that the trusted snapshot names.
    pub(crate) fn version_of(&self, role: &str) -> Option<u64> {
        let snapshot = self.snapshot.as_ref()?;
        Some(snapshot.meta.get(&file_of(role))?.version)
    }

    /// How metadata is judged here.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A file that `meta` announces: its length and digest (TUF 5.5.2, 5.6.2), its signatures (5.5.3, 5.6.3)
    /// and its version (5.5.4, 5.6.4): mix and match.
    fn open<T: Role>(
        &self,
        meta: &MetaFile,
        bytes: &[u8],
        authority: Authority<'_>,
        subject: &str,
    ) -> Result<Signed<T>, VerifyError> {
        check_meta(meta, bytes, subject)?;
        let (envelope, signers) = self.signed_by::<T>(authority, bytes, subject)?;
        check_version(subject, meta.version, envelope.signed.common().version)?;
        Ok(Signed {
            role: envelope.signed,
            signers,
        })
    }

    /// A file that the keys which the trusted root names for the role have signed, and which of them.
    fn by_root<T: Role>(
        &self,
        bytes: &[u8],
        subject: &str,
    ) -> Result<(Envelope<T>, Vec<KeyId>), VerifyError> {
        self.signed_by(root_authority(&self.root, T::KIND)?, bytes, subject)
    }

    /// The same for any authority. What nobody has signed is not looked into.
    fn signed_by<T: Role>(
        &self,
        authority: Authority<'_>,
        bytes: &[u8],
        subject: &str,
    ) -> Result<(Envelope<T>, Vec<KeyId>), VerifyError> {
        let sealed = Sealed::open(bytes, T::KIND).map_err(|fault| fault.of(subject))?;
        let foreign = self.policy.foreign;
        let signers = authority.check(&sealed.signatures, &sealed.canonical, foreign, subject)?;
        let envelope = sealed.read().map_err(|fault| fault.of(subject))?;
        Ok((envelope, signers))
    }

    fn check_expiry(&self, role: &Common, subject: &str) -> Result<(), VerifyError> {
        let expires = role.expires;
        if expires <= self.policy.now && self.policy.expiry == Expiry::Refuse {
            return Err(VerifyError::Expired {
                subject: subject.to_owned(),
                expires,
            });
        }
        Ok(())
    }
}

/// Who may sign a role, in the eyes of whoever names it.
#[derive(Clone, Copy)]
struct Authority<'a> {
    name: &'a str,
    keys: &'a Map<KeyId, PublicKey>,
    role: &'a RoleKeys,
}

fn root_authority(root: &Root, kind: RoleKind) -> Result<Authority<'_>, VerifyError> {
    let name = kind.as_str();
    let role = root.roles.get(name).ok_or_else(|| {
        let subject = versioned(root.common.version, "root");
        malformed(&subject, format_args!("expected the role `{name}`"))
    })?;
    Ok(Authority {
        name,
        keys: &root.keys,
        role,
    })
}

impl Authority<'_> {
    /// TUF 5.3.4 and the like: distinct keys of the role, each with a valid signature, reach the threshold.
    fn check(
        self,
        signatures: &[(KeyId, String)],
        message: &[u8],
        foreign: Option<ForeignScheme>,
        subject: &str,
    ) -> Result<Vec<KeyId>, VerifyError> {
        // `Envelope::parse` refuses a key id that signs twice. One key under two key ids, which a field that nobody
        // knows is enough for, counts once, too.
        let mut signers: Vec<KeyId> = Vec::new();
        let mut counted: Vec<&PublicKey> = Vec::new();
        for (id, signature) in signatures {
            if !self.role.keyids.contains(id) {
                continue;
            }
            if let Some(key) = self.keys.get(id)
                && !counted.iter().any(|other| other.is_same_key(key))
                && key.verifies_with(message, signature, foreign)
            {
                counted.push(key);
                signers.push(*id);
            }
        }
        let valid = signers.len() as u64;
        if valid < self.role.threshold {
            return Err(VerifyError::Threshold {
                subject: subject.to_owned(),
                role: self.name.to_owned(),
                needed: self.role.threshold,
                valid,
            });
        }
        Ok(signers)
    }
}

fn online_keys(before: &Root, now: &Root) -> OnlineKeys {
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot] {
        let keys = keys_of(now, kind);
        if !keys_of(before, kind).iter().all(|id| keys.contains(id)) {
            return OnlineKeys::TakenAway;
        }
    }
    OnlineKeys::Kept
}

/// Whether what was signed as timestamp or snapshot below the root `before` counts below the one that follows it.
/// Both are files as they were received, of which nothing is believed.
pub(crate) fn keeps_online_files(before: &[u8], next: &[u8]) -> bool {
    let root = |bytes| Envelope::<Root>::parse(bytes, "root.json").map(|it| it.signed);
    let (Ok(before), Ok(next)) = (root(before), root(next)) else {
        return false;
    };
    let threshold = |root: &Root, kind: RoleKind| {
        let role = root.roles.get(kind.as_str());
        role.map(|role| role.threshold)
    };
    let is_raised = |kind| threshold(&next, kind) > threshold(&before, kind);
    online_keys(&before, &next) == OnlineKeys::Kept
        && !is_raised(RoleKind::Timestamp)
        && !is_raised(RoleKind::Snapshot)
}

fn keys_of(root: &Root, kind: RoleKind) -> &[KeyId] {
    let role = root.roles.get(kind.as_str());
    role.map_or(&[], |role| &role.keyids)
}

/// What a root must be before its keys are used, whoever signed it: that each key id is the digest of its key, that
/// all roles are there, that snapshots are consistent.
///
/// # Errors
/// [`VerifyError::Malformed`].
pub fn check_root(root: &Root, subject: &str) -> Result<(), VerifyError> {
    root_fault(root).map_err(|fault| fault.of(subject))
}

fn root_fault(root: &Root) -> Result<(), Fault> {
    if !root.consistent_snapshot {
        return Err(Fault::new(format_args!(
            "expected consistent_snapshot true, got false"
        )));
    }
    check_keys(&root.keys)?;
    for kind in [
        RoleKind::Root,
        RoleKind::Timestamp,
        RoleKind::Snapshot,
        RoleKind::Targets,
    ] {
        let name = kind.as_str();
        match root.roles.get(name) {
            Some(role) => role.check(name)?,
            None => return Err(Fault::new(format_args!("expected the role `{name}`"))),
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
    match &meta.hashes {
        Some(hashes) => hashes.check(bytes, subject),
        None => Ok(()),
    }
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
    named(&timestamp.meta, "snapshot.json", "timestamp.json")
}

fn targets_meta(snapshot: &Snapshot) -> Result<&MetaFile, VerifyError> {
    named(&snapshot.meta, "targets.json", "snapshot.json")
}

fn named<'a>(
    meta: &'a Map<String, MetaFile>,
    file: &str,
    subject: &str,
) -> Result<&'a MetaFile, VerifyError> {
    meta.get(file)
        .ok_or_else(|| malformed(subject, format_args!("expected `{file}` in `meta`")))
}

fn missing(kind: RoleKind) -> VerifyError {
    malformed(
        &file_of(kind.as_str()),
        format_args!("it is used before it was verified"),
    )
}

/// The file of a role as `meta` names it.
fn file_of(role: &str) -> String {
    [role, ".json"].concat()
}
