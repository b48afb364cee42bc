//! The publisher's delegated roles.
//!
//! A role is known by its name, as in the snapshot. The four top-level roles go by theirs here, too, so that a
//! test can ask the same of all five kinds.

use std::collections::BTreeMap;

use serde_json::Value;
use webimport_core::delegations::{DelegatedRole, Delegations, SuccinctRoles};
use webimport_core::keys::{KeyId, PublicKey};
use webimport_core::map::Map;
use webimport_core::metadata::{Common, Other, RoleKeys, RoleKind, Targets};
use webimport_core::sign::SigningKey;

use super::{NOW, Simulator, encode_role, key, sign, target_file};

/// A delegated role and who signs it when it is written next.
#[derive(Clone)]
pub(super) struct Delegated {
    targets: Targets,
    signers: Vec<SigningKey>,
    /// The seed of the key that it has unless a delegation names others.
    seed: u8,
}

/// What a delegator is told to say of a role: at first that its own key signs it, and `mylib/*/*`.
#[derive(Clone)]
pub(crate) struct Delegation {
    name: String,
    keys: Option<(Vec<u8>, u64)>,
    paths: Option<Vec<String>>,
    prefixes: Option<Vec<String>>,
    terminating: bool,
}

impl Delegation {
    /// To the role of that name.
    pub(crate) fn to(name: &str) -> Self {
        Self {
            name: name.into(),
            keys: None,
            paths: Some(vec!["mylib/*/*".into()]),
            prefixes: None,
            terminating: false,
        }
    }

    /// Signed by these keys, in this delegator's eyes.
    pub(crate) fn keys(mut self, seeds: &[u8], threshold: u64) -> Self {
        self.keys = Some((seeds.to_vec(), threshold));
        self
    }

    /// For the targets that these patterns match.
    pub(crate) fn paths(mut self, patterns: &[&str]) -> Self {
        self.paths = Some(patterns.iter().copied().map(String::from).collect());
        self
    }

    /// For the targets whose path's digest begins like this, in place of patterns.
    pub(crate) fn prefixes(mut self, prefixes: &[&str]) -> Self {
        self.paths = None;
        self.prefixes = Some(prefixes.iter().copied().map(String::from).collect());
        self
    }

    /// As the last word.
    pub(crate) fn terminating(mut self) -> Self {
        self.terminating = true;
        self
    }
}

impl Simulator {
    /// The targets of a role: the top-level ones, or a delegated role's.
    pub(crate) fn targets_of(&mut self, role: &str) -> &mut Targets {
        match RoleKind::of(role) {
            Some(_) => &mut self.targets,
            None => &mut self.delegated.get_mut(role).unwrap().targets,
        }
    }

    /// What all roles have in common, of any role.
    pub(crate) fn common_of(&mut self, role: &str) -> &mut Common {
        match RoleKind::of(role) {
            Some(kind) => self.common(kind),
            None => &mut self.targets_of(role).common,
        }
    }

    /// Lets `from` delegate to a role behind those that it delegates to already. A role that does not exist
    /// yet does so from now on, signed as this delegation wants it.
    pub(crate) fn delegate(&mut self, from: &str, delegation: Delegation) {
        let Delegation {
            name,
            keys,
            paths,
            prefixes,
            terminating,
        } = delegation;
        let own = self.exists(&name);
        let (seeds, threshold) = keys.unwrap_or((vec![own], 1));
        if self.delegated[&name].signers.is_empty() {
            self.set_role_signers(&name, &seeds);
        }
        let (ids, public) = public_keys(&seeds);
        let delegations = self.delegations_of(from);
        delegations.keys.extend(public);
        let roles = delegations.roles.get_or_insert_default();
        roles.push(DelegatedRole {
            name,
            keys: role_keys(ids, threshold),
            paths,
            path_hash_prefixes: prefixes,
            terminating,
        });
    }

    /// Lets `from` delegate to hash bins that one key signs. Only the bins in `present` exist.
    pub(crate) fn delegate_bins(
        &mut self,
        from: &str,
        prefix: &str,
        bit_length: u32,
        (seeds, threshold): (&[u8], u64),
        present: &[&str],
    ) {
        for name in present {
            self.exists(name);
            self.set_role_signers(name, seeds);
        }
        let (ids, public) = public_keys(seeds);
        let delegations = self.delegations_of(from);
        delegations.keys.extend(public);
        delegations.roles = None;
        delegations.succinct_roles = Some(SuccinctRoles {
            bit_length,
            name_prefix: prefix.into(),
            keys: role_keys(ids, threshold),
        });
    }

    /// Lets these keys sign a delegated role, whatever its delegators say.
    pub(crate) fn set_role_signers(&mut self, role: &str, seeds: &[u8]) {
        self.delegated.get_mut(role).unwrap().signers = seeds.iter().copied().map(key).collect();
    }

    /// Lets these keys sign any role, whatever is said of it. The root of before does not sign a root then.
    pub(crate) fn set_any_signers(&mut self, role: &str, seeds: &[u8]) {
        match RoleKind::of(role) {
            Some(kind) => {
                self.set_signers(kind, seeds);
                if kind == RoleKind::Root {
                    self.forget_former_root_keys();
                }
            }
            None => self.set_role_signers(role, seeds),
        }
    }

    /// Puts a plain file into a role's targets, without writing them.
    pub(crate) fn add_target(&mut self, role: &str, path: &str, bytes: &[u8]) {
        let targets = &mut self.targets_of(role).targets;
        targets.insert(path.into(), target_file(bytes));
    }

    /// Writes every delegated role, the top-level targets and what names them, in the versions that they have.
    pub(crate) fn rewrite_targets(&mut self) {
        let roles: Vec<String> = self.delegated.keys().cloned().collect();
        for role in roles {
            self.write_role(&role);
        }
        self.rewrite(RoleKind::Targets);
    }

    /// Writes any role in the version that it has, and what names it.
    pub(crate) fn rewrite_any(&mut self, role: &str) {
        let Some(kind) = RoleKind::of(role) else {
            self.write_role(role);
            return self.rewrite(RoleKind::Snapshot);
        };
        self.rewrite(kind);
    }

    /// Writes any role and what names it, each as its next version.
    pub(crate) fn publish_any(&mut self, role: &str) {
        let Some(kind) = RoleKind::of(role) else {
            self.targets_of(role).common.version += 1;
            self.write_role(role);
            return self.publish(RoleKind::Snapshot);
        };
        self.publish(kind);
    }

    /// Where the server has the current version of any role.
    pub(crate) fn path_of(&mut self, role: &str) -> String {
        let Some(kind) = RoleKind::of(role) else {
            let version = self.targets_of(role).common.version;
            return format!("metadata/{version}.{}.json", encode_role(role));
        };
        self.path(kind)
    }

    /// The server's file for the current version of any role.
    pub(crate) fn file_of(&mut self, role: &str) -> &mut Vec<u8> {
        let path = self.path_of(role);
        self.files.entry(path).or_default()
    }

    /// As [`resign`](Self::resign), of any role.
    pub(crate) fn resign_any(&mut self, role: &str, change: impl FnOnce(&mut Value)) {
        if let Some(kind) = RoleKind::of(role) {
            return self.resign(kind, change);
        }
        let mut envelope: Value = serde_json::from_slice(self.file_of(role)).unwrap();
        change(&mut envelope["signed"]);
        let bytes = sign(&envelope["signed"], &self.delegated[role].signers);
        self.put_role(role, bytes);
        self.rewrite(RoleKind::Snapshot);
    }

    /// As [`change_envelope`](Self::change_envelope), of any role.
    pub(crate) fn change_any_envelope(&mut self, role: &str, change: impl FnOnce(&mut Value)) {
        if let Some(kind) = RoleKind::of(role) {
            return self.change_envelope(kind, change);
        }
        let mut envelope: Value = serde_json::from_slice(self.file_of(role)).unwrap();
        change(&mut envelope);
        self.put_role(role, serde_json::to_vec(&envelope).unwrap());
        self.rewrite(RoleKind::Snapshot);
    }

    /// Puts these bytes in place of any role's file, and lets everything above name them.
    pub(crate) fn put_any(&mut self, role: &str, bytes: Vec<u8>) {
        let Some(kind) = RoleKind::of(role) else {
            self.put_role(role, bytes);
            return self.rewrite(RoleKind::Snapshot);
        };
        self.put(kind, bytes);
        for kind in &super::chain(kind)[1..] {
            self.rewrite(*kind);
        }
    }

    fn write_role(&mut self, role: &str) {
        let delegated = &self.delegated[role];
        let bytes = sign(&delegated.targets, &delegated.signers);
        self.put_role(role, bytes);
    }

    fn put_role(&mut self, role: &str, bytes: Vec<u8>) {
        let version = self.targets_of(role).common.version;
        let meta = self.meta(version, &bytes);
        self.snapshot.meta.insert(format!("{role}.json"), meta);
        *self.file_of(role) = bytes;
    }

    fn delegations_of(&mut self, role: &str) -> &mut Delegations {
        self.targets_of(role).delegations.get_or_insert_default()
    }

    /// Makes a role that nobody delegates to yet, unless it is there, and gives the seed of its own key.
    fn exists(&mut self, role: &str) -> u8 {
        let next = 100 + u8::try_from(self.delegated.len()).unwrap();
        let targets = || Targets {
            common: Common::new(RoleKind::Targets, 1, NOW.plus_days(60)),
            targets: Map::new(),
            delegations: None,
            other: Other::new(),
        };
        let entry = self.delegated.entry(role.to_owned());
        entry
            .or_insert_with(|| Delegated {
                targets: targets(),
                signers: Vec::new(),
                seed: next,
            })
            .seed
    }
}

fn public_keys(seeds: &[u8]) -> (Vec<KeyId>, BTreeMap<KeyId, PublicKey>) {
    let keys: Vec<PublicKey> = seeds.iter().map(|seed| key(*seed).public()).collect();
    let ids = keys.iter().map(PublicKey::id).collect();
    (ids, keys.into_iter().map(|key| (key.id(), key)).collect())
}

fn role_keys(keyids: Vec<KeyId>, threshold: u64) -> RoleKeys {
    RoleKeys {
        keyids,
        threshold,
        other: Other::new(),
    }
}
