//! Changing who signs: the next root of a repository, with all that follows from it (TUF 1.0, 6.1).
//!
//! A new root is signed with the threshold of the root before and with its own (TUF 5.3.4). What it makes invalid
//! is signed anew and written in the same publish. Where other people have root keys, the new root is written to
//! a file instead, goes from one to the next, and is published when enough have signed it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use webimport_core::json::Value;
use webimport_core::keys::{KeyId, PublicKey};
use webimport_core::metadata::{
    Other, Role, RoleKeys, RoleKind, Root, Snapshot, Targets, Timestamp,
};
use webimport_core::sign::{Algorithm, Signing, SigningKey};
use webimport_core::time::UnixTime;

use crate::keyring::{Keyring, Needed};
use crate::keys::{self, KeyError, KeyFolder};
use crate::observe::Observer;
use crate::repository::{
    LIFETIMES_FIELD, Lifetimes, ROLES, Repository, RepositoryError, State, Update, Validity,
    check_thresholds,
};
use crate::storage::{self, StorageError};

/// What the next root changes.
#[derive(Debug, Clone)]
pub enum RootChange {
    /// One more key.
    Add {
        /// The role.
        role: RoleKind,
        /// The key.
        key: NewKey,
        /// Its threshold from then on; `None` leaves it.
        threshold: Option<u64>,
    },
    /// One key takes the place of another.
    Rotate {
        /// The role.
        role: RoleKind,
        /// The key that goes: its id or the start of it. `None` for the only one.
        keyid: Option<String>,
        /// The key that comes.
        key: NewKey,
    },
    /// One key less.
    Revoke {
        /// The role.
        role: RoleKind,
        /// The key that goes: its id or the start of it.
        keyid: String,
        /// Its threshold from then on; `None` leaves it.
        threshold: Option<u64>,
    },
    /// Other thresholds or lifetimes.
    Set {
        /// Roles and their thresholds.
        thresholds: Vec<(RoleKind, u64)>,
        /// Roles and their days.
        lifetimes: Vec<(RoleKind, u32)>,
    },
}

/// Where a new key comes from.
#[derive(Debug, Clone)]
pub enum NewKey {
    /// It is made, and written to the key folder.
    Make {
        /// How it signs; `None`: as the role's keys do.
        algorithm: Option<Algorithm>,
        /// What encrypts it.
        passphrase: Option<String>,
    },
    /// Somebody else has it. Boxed, as it is much larger.
    Public(Box<PublicKey>),
}

/// A key of a role.
#[derive(Debug, Clone, Serialize)]
pub struct KeyInfo {
    /// Its id.
    pub keyid: KeyId,
    /// Its signature scheme.
    pub scheme: String,
    /// Where its private half was found.
    pub at_hand: Option<String>,
}

/// A role of a repository.
#[derive(Debug, Clone, Serialize)]
pub struct RoleInfo {
    /// `root`, `targets`, `snapshot` or `timestamp`.
    pub role: &'static str,
    /// Its current version.
    pub version: u64,
    /// When that expires.
    pub expires: UnixTime,
    /// Signatures needed.
    pub threshold: u64,
    /// Its keys.
    pub keys: Vec<KeyInfo>,
    /// Why a key that is there could not be looked at.
    pub problem: Option<String>,
}

/// A new root, published or on its way.
#[derive(Debug, Clone, Serialize)]
pub struct NewRoot {
    /// Its version.
    pub version: u64,
    /// Until when it is valid.
    pub expires: UnixTime,
    /// Whether it is published. If not, it is in a file.
    pub published: bool,
    /// Roles that were signed anew.
    pub signed: Vec<&'static str>,
    /// Keys that the root before does not have. Whoever signs should know them.
    pub added: Vec<RoleKey>,
    /// The file of the new key.
    pub file: Option<PathBuf>,
    /// Keys that are no longer used.
    pub removed: Vec<RoleKey>,
    /// Thresholds that are other ones now.
    pub thresholds: Vec<RoleThreshold>,
    /// Lifetimes that are other ones now.
    pub lifetimes: Vec<RoleLifetime>,
    /// Other fields that differ, and keys that no role has.
    pub others: Vec<String>,
    /// Signatures by keys of the root before, and how many it wants.
    pub by_former: Signatures,
    /// Signatures by its own keys, and how many it wants.
    pub by_own: Signatures,
}

/// A key in a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleKey {
    /// `root`, `targets`, `snapshot` or `timestamp`.
    pub role: &'static str,
    /// The key.
    pub keyid: KeyId,
    /// Its signature scheme.
    pub scheme: String,
}

/// The threshold of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleThreshold {
    /// `root`, `targets`, `snapshot` or `timestamp`.
    pub role: &'static str,
    /// Signatures needed.
    pub threshold: u64,
    /// Signatures that the root before wants.
    pub before: u64,
}

/// For how long the metadata of a role are valid when they are signed the next time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleLifetime {
    /// `root`, `targets`, `snapshot` or `timestamp`.
    pub role: &'static str,
    /// In days.
    pub days: u32,
    /// By the root before, in days.
    pub before: u32,
}

/// How far the signing of a root is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Signatures {
    /// Valid ones.
    pub have: u64,
    /// The threshold.
    pub needed: u64,
}

impl Signatures {
    pub(crate) fn of(signing: &Signing, root: &Root) -> Self {
        let signed = Needed::by(RoleKind::Root, root).signed(signing);
        Self {
            have: signed.len() as u64,
            needed: root
                .roles
                .get(RoleKind::Root.as_str())
                .map_or(u64::MAX, |keys| keys.threshold),
        }
    }

    /// Whether there are enough.
    pub fn are_enough(self) -> bool {
        self.have >= self.needed
    }
}

/// A root that is worked on.
pub(crate) struct Next {
    pub(crate) root: Root,
    made: Option<MadeKey>,
}

/// A private key that is written when all is signed.
struct MadeKey {
    role: RoleKind,
    key: SigningKey,
    passphrase: Option<String>,
}

impl Repository {
    /// Who signs, and which of the keys are at hand.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`], [`RepositoryError::Storage`].
    pub fn roles(&self, ring: &Keyring) -> Result<Vec<RoleInfo>, RepositoryError> {
        let state = self.shown(ring)?;
        let roles = ROLES.into_iter().filter_map(|kind| {
            let keys = state.root.roles.get(kind.as_str())?;
            let (found, problem) = ring.locate(kind, &state.root);
            let common = state.common(kind);
            Some(RoleInfo {
                role: kind.as_str(),
                version: common.version,
                expires: common.expires,
                threshold: keys.threshold,
                problem: problem.map(|problem| problem.to_string()),
                keys: keys
                    .keyids
                    .iter()
                    .map(|id| KeyInfo {
                        keyid: *id,
                        scheme: state
                            .root
                            .keys
                            .get(id)
                            .map_or_else(String::new, |key| key.scheme().to_owned()),
                        at_hand: found.get(id).cloned(),
                    })
                    .collect(),
            })
        });
        Ok(roles.collect())
    }

    /// Makes the next root and publishes it, or writes it to the new file `out` with as many signatures as can be
    /// had.
    ///
    /// # Errors
    /// [`RepositoryError::Lockout`], [`RepositoryError::UnknownKey`] and its like, [`RepositoryError::Key`] with
    /// too few root keys at hand: all before anything is written.
    pub fn change_root(
        &self,
        change: &RootChange,
        out: Option<&Path>,
        ring: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<NewRoot, RepositoryError> {
        let (_lock, state) = self.lock(ring)?;
        let next = next_root(&state.root, change, validity)?;
        let mut signers = ring.clone();
        let mut folder = None;
        if let Some(made) = &next.made {
            signers = signers.with(made.key.clone());
            folder = Some(ring.folder.as_ref().ok_or(KeyError::NoFolder)?);
        }
        let mut signing = Signing::new(&next.root)?;
        let needed = Needed::by(RoleKind::Root, &next.root).and_by(&state.root);
        let mut made = new_root(&state, &next.root, &signing);
        if let Some(out) = out {
            signers.sign(&mut signing, &needed.if_possible())?;
            refuse_existing(out)?;
            made.file = write_key(&next, folder)?;
            storage::write(out, &signing.to_bytes()?, observer)?;
            state.remember()?;
        } else {
            signers.sign(&mut signing, &needed)?;
            let bytes = signing.to_bytes()?;
            let lowest = state.lowest_invalid(&next.root);
            made.signed = signed_from(lowest);
            let update = Update {
                root: Some((next.root.clone(), bytes)),
                lowest,
                targets: state.targets.clone(),
            };
            self.commit_after(&state, update, &signers, validity, observer, || {
                // Before any reader can depend on it.
                made.file = write_key(&next, folder)?;
                Ok(())
            })?;
            made.published = true;
        }
        made.by_former = Signatures::of(&signing, &state.root);
        made.by_own = Signatures::of(&signing, &next.root);
        Ok(made)
    }
}

impl State {
    /// The lowest role whose current file the keys of `root` do not sign.
    pub(crate) fn lowest_invalid(&self, root: &Root) -> Option<RoleKind> {
        fn is_signed<T: Role>(bytes: Option<&Vec<u8>>, root: &Root) -> bool {
            let (Some(bytes), Some(keys)) = (bytes, root.roles.get(T::KIND.as_str())) else {
                return false;
            };
            let Ok(signing) = Signing::open(bytes) else {
                return false;
            };
            let signed = Needed::by(T::KIND, root).signed(&signing);
            signed.len() as u64 >= keys.threshold
        }
        let targets = self.kept.targets.get(RoleKind::Targets.as_str());
        [
            (RoleKind::Targets, is_signed::<Targets>(targets, root)),
            (
                RoleKind::Snapshot,
                is_signed::<Snapshot>(self.kept.snapshot.as_ref(), root),
            ),
            (
                RoleKind::Timestamp,
                is_signed::<Timestamp>(self.kept.timestamp.as_ref(), root),
            ),
        ]
        .into_iter()
        .find(|(_, is_signed)| !is_signed)
        .map(|(role, _)| role)
    }
}

/// A role and those that name it.
pub(crate) fn signed_from(lowest: Option<RoleKind>) -> Vec<&'static str> {
    let roles = [RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp];
    let first = roles.iter().position(|role| Some(*role) == lowest);
    roles[first.unwrap_or(roles.len())..]
        .iter()
        .map(|role| role.as_str())
        .collect()
}

/// The root after `root`, unsigned.
fn next_root(
    root: &Root,
    change: &RootChange,
    validity: &Validity,
) -> Result<Next, RepositoryError> {
    let mut next = Next {
        root: root.clone(),
        made: None,
    };
    match change {
        RootChange::Add {
            role,
            key,
            threshold,
        } => {
            next.add(*role, key)?;
            next.set_threshold(*role, *threshold);
        }
        RootChange::Rotate { role, keyid, key } => {
            let keys = of_role(root, *role)?;
            let old = match keyid {
                Some(keyid) => find(keys, *role, keyid)?,
                None if keys.keyids.len() == 1 => keys.keyids[0],
                None => {
                    return Err(RepositoryError::WhichKey {
                        role: role.as_str(),
                        keys: keys.keyids.len(),
                    });
                }
            };
            next.add(*role, key)?;
            next.remove(*role, old);
        }
        RootChange::Revoke {
            role,
            keyid,
            threshold,
        } => {
            let old = find(of_role(root, *role)?, *role, keyid)?;
            next.remove(*role, old);
            next.set_threshold(*role, *threshold);
        }
        RootChange::Set {
            thresholds,
            lifetimes,
        } => {
            for (role, threshold) in thresholds {
                next.set_threshold(*role, Some(*threshold));
            }
            let mut recorded = Lifetimes::recorded(root);
            for (role, days) in lifetimes {
                recorded.set(*role, *days);
            }
            recorded.record(&mut next.root);
        }
    }
    check_thresholds(&next.root)?;
    // Keys of no role would only be looked at in vain.
    let used: BTreeSet<KeyId> = next
        .root
        .roles
        .values()
        .flat_map(|role| role.keyids.iter().copied())
        .collect();
    next.root.keys.retain(|id, _| used.contains(id));
    next.root.common = validity.common(&next.root, RoleKind::Root, root.common.version + 1);
    Ok(next)
}

impl Next {
    /// How the first key of a role signs.
    fn algorithm_of(&self, role: RoleKind) -> Algorithm {
        let keys = self.root.roles.get(role.as_str());
        let first = keys.and_then(|keys| self.root.keys.get(keys.keyids.first()?));
        match first.map(PublicKey::scheme) {
            Some("ecdsa-sha2-nistp256") => Algorithm::EcdsaP256,
            _ => Algorithm::Ed25519,
        }
    }

    fn add(&mut self, role: RoleKind, key: &NewKey) -> Result<(), RepositoryError> {
        let public = match key {
            NewKey::Public(public) => (**public).clone(),
            NewKey::Make {
                algorithm,
                passphrase,
            } => {
                let key = keys::new_key(algorithm.unwrap_or_else(|| self.algorithm_of(role)))?;
                let public = key.public();
                self.made = Some(MadeKey {
                    role,
                    key,
                    passphrase: passphrase.clone(),
                });
                public
            }
        };
        let id = public.id();
        // The same key under two ids would count once: nobody could sign a second time.
        let same = of_role(&self.root, role)?
            .keyids
            .iter()
            .filter_map(|id| self.root.keys.get(id))
            .find(|other| other.is_same_key(&public));
        if let Some(same) = same {
            return Err(RepositoryError::SameKey {
                role: role.as_str(),
                keyid: same.id(),
            });
        }
        self.root.keys.insert(id, public);
        self.role(role).keyids.push(id);
        Ok(())
    }

    fn remove(&mut self, role: RoleKind, keyid: KeyId) {
        self.role(role).keyids.retain(|id| *id != keyid);
    }

    fn set_threshold(&mut self, role: RoleKind, threshold: Option<u64>) {
        if let Some(threshold) = threshold {
            self.role(role).threshold = threshold;
        }
    }

    fn role(&mut self, role: RoleKind) -> &mut RoleKeys {
        self.root
            .roles
            .get_or_insert_with(role.as_str().to_owned(), || RoleKeys {
                keyids: Vec::new(),
                threshold: 1,
                other: Other::new(),
            })
    }
}

fn of_role(root: &Root, role: RoleKind) -> Result<&RoleKeys, RepositoryError> {
    let role = role.as_str();
    root.roles.get(role).ok_or(RepositoryError::Lockout {
        role,
        threshold: 1,
        keys: 0,
    })
}

fn find(keys: &RoleKeys, role: RoleKind, text: &str) -> Result<KeyId, RepositoryError> {
    let mut found = keys
        .keyids
        .iter()
        .filter(|id| id.to_string().starts_with(text));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(*id),
        (first, _) => Err(RepositoryError::UnknownKey {
            role: role.as_str(),
            keyid: text.to_owned(),
            several: first.is_some(),
        }),
    }
}

fn write_key(next: &Next, folder: Option<&KeyFolder>) -> Result<Option<PathBuf>, KeyError> {
    let (Some(folder), Some(made)) = (folder, &next.made) else {
        return Ok(None);
    };
    let path = folder.free_file(made.role);
    folder.write(&path, &made.key, made.passphrase.as_deref())?;
    Ok(Some(path))
}

fn refuse_existing(path: &Path) -> Result<(), StorageError> {
    if path.exists() {
        let exists = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(StorageError::io("write", path)(exists));
    }
    Ok(())
}

/// What is known of a root before it is published.
pub(crate) fn new_root(state: &State, root: &Root, signing: &Signing) -> NewRoot {
    let before = &state.root;
    NewRoot {
        version: root.common.version,
        expires: root.common.expires,
        published: false,
        signed: Vec::new(),
        added: keys_beyond(root, before),
        file: None,
        removed: keys_beyond(before, root),
        thresholds: thresholds(root, before),
        lifetimes: lifetimes(root, before),
        others: others(root, before),
        by_former: Signatures::of(signing, before),
        by_own: Signatures::of(signing, root),
    }
}

/// The keys that one root has and the other has not, by role.
fn keys_beyond(root: &Root, other: &Root) -> Vec<RoleKey> {
    let keys = |root: &Root, role: RoleKind| {
        let keys = root.roles.get(role.as_str());
        keys.map_or_else(Vec::new, |keys| keys.keyids.clone())
    };
    let mut beyond = Vec::new();
    for role in ROLES {
        let there = keys(other, role);
        let more = keys(root, role)
            .into_iter()
            .filter(|id| !there.contains(id));
        beyond.extend(more.map(|keyid| RoleKey {
            role: role.as_str(),
            keyid,
            scheme: scheme(root, keyid),
        }));
    }
    beyond
}

fn scheme(root: &Root, keyid: KeyId) -> String {
    let key = root.keys.get(&keyid);
    key.map_or_else(String::new, |key| key.scheme().to_owned())
}

fn thresholds(root: &Root, before: &Root) -> Vec<RoleThreshold> {
    let of =
        |root: &Root, role: RoleKind| root.roles.get(role.as_str()).map_or(0, |it| it.threshold);
    let changes = ROLES.into_iter().map(|role| RoleThreshold {
        role: role.as_str(),
        threshold: of(root, role),
        before: of(before, role),
    });
    changes.filter(|it| it.threshold != it.before).collect()
}

fn lifetimes(root: &Root, before: &Root) -> Vec<RoleLifetime> {
    let (now, then) = (Lifetimes::recorded(root), Lifetimes::recorded(before));
    let changes = ROLES.into_iter().map(|role| RoleLifetime {
        role: role.as_str(),
        days: now.days(role),
        before: then.days(role),
    });
    changes.filter(|it| it.days != it.before).collect()
}

/// Where two roots differ in what the other lists do not show.
fn others(root: &Root, before: &Root) -> Vec<String> {
    let (now, then) = (unusual(root), unusual(before));
    let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
    names
        .into_iter()
        .filter(|name| now.get(*name) != then.get(*name))
        .map(|name| match (now.get(name), then.get(name)) {
            (Some(value), _) => format!("{name} = {value}"),
            (None, _) => format!("without {name}"),
        })
        .collect()
}

/// Every field of a root that has no list of its own, by a name for people.
fn unusual(root: &Root) -> BTreeMap<String, Value> {
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    let spec_version = root.common.spec_version.as_str();
    fields.insert("spec_version".into(), spec_version.into());
    for (name, value) in &root.other {
        if name != LIFETIMES_FIELD {
            fields.insert(name.clone(), value.clone());
        }
    }
    let mut used = BTreeSet::new();
    for (name, role) in &root.roles {
        let known = RoleKind::of(name).is_some();
        if known {
            used.extend(role.keyids.iter().copied());
        } else {
            let keys = role.keyids.iter().map(|id| id.to_string().as_str().into());
            fields.insert(format!("roles.{name}"), Value::Array(keys.collect()));
        }
        for (field, value) in &role.other {
            fields.insert(format!("roles.{name}.{field}"), value.clone());
        }
    }
    for id in root.keys.keys().filter(|id| !used.contains(id)) {
        fields.insert(format!("keys.{id}"), scheme(root, *id).as_str().into());
    }
    fields
}
