//! A repository in memory, and a client of it.
//!
//! The roles are plain values that a test changes as it likes; [`Simulator::publish`] and
//! [`Simulator::rewrite`] sign them into [`Simulator::files`], which is all that a client sees. Keys come
//! from fixed seeds and time is a field, so that every run is the same.

mod client;
mod delegated;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Value, json};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, FetchError};
use webimport_core::json;
use webimport_core::map::Map;
use webimport_core::metadata::{
    Common, Custom, CustomRelease, Hashes, MetaFile, Other, RoleKeys, RoleKind, Root, Snapshot,
    TargetFile, Targets, Timestamp, encode_role, release_target,
};
use webimport_core::sign::{Algorithm, SigningKey};
use webimport_core::time::UnixTime;
use webimport_core::workflow::{Absence, MetadataFetch};

pub(crate) use client::{Client, assert_refused, describe, whole_chain};
use delegated::Delegated;
pub(crate) use delegated::Delegation;

/// Where the repository would be.
pub(crate) const URL: &str = "https://code.example.org/repo";

/// When every test starts: 2030-01-01T00:00:00Z.
pub(crate) const NOW: UnixTime = UnixTime(1_893_456_000);

/// All roles, from the top down.
pub(crate) const ROLES: [RoleKind; 4] = [
    RoleKind::Root,
    RoleKind::Timestamp,
    RoleKind::Snapshot,
    RoleKind::Targets,
];

/// From this seed on, keys are P-256; below, Ed25519.
pub(crate) const P256: u8 = 200;

/// The key that belongs to a seed. Made once: that is slow without optimisation.
pub(crate) fn key(seed: u8) -> SigningKey {
    static KEYS: [OnceLock<SigningKey>; 256] = [const { OnceLock::new() }; 256];
    let algorithm = if seed < P256 {
        Algorithm::Ed25519
    } else {
        Algorithm::EcdsaP256
    };
    KEYS[usize::from(seed)]
        .get_or_init(|| SigningKey::generate(algorithm, [seed; 32]).unwrap())
        .clone()
}

/// What is signed of a value: the canonical form, written anew so that it is something to compare with. Also of
/// values that the client refuses.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let quoted = |text: &str| {
        let text = text.replace('\\', r"\\").replace('"', r#"\""#);
        format!("\"{text}\"").into_bytes()
    };
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            [b"[", &*items.join(&b','), b"]"].concat()
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(key, item)| [quoted(key), canonical(item)].join(&b':'))
                .collect();
            [b"{", &*entries.join(&b','), b"}"].concat()
        }
        _ => value.to_string().into_bytes(),
    }
}

/// A value as the client's own parser reads it.
pub(crate) fn strict(value: &Value) -> json::Value {
    json::parse(value.to_string().as_bytes(), "test").unwrap()
}

/// A metadata file. Whatever is told to sign does, a key that is named twice too.
pub(crate) fn sign<T: Serialize>(signed: &T, keys: &[SigningKey]) -> Vec<u8> {
    let signed = serde_json::to_value(signed).unwrap();
    let message = canonical(&signed);
    let signatures: Vec<Value> = keys
        .iter()
        .map(|key| json!({"keyid": key.public().id(), "sig": key.sign_bytes(&message)}))
        .collect();
    serde_json::to_vec(&json!({"signatures": signatures, "signed": signed})).unwrap()
}

/// The seed of the only key that a role has at first.
pub(crate) fn seed(kind: RoleKind) -> u8 {
    match kind {
        RoleKind::Root => 1,
        RoleKind::Timestamp => 2,
        RoleKind::Snapshot => 3,
        RoleKind::Targets => 4,
    }
}

/// A repository, as its publisher has it and as its server offers it.
#[derive(Clone)]
pub(crate) struct Simulator {
    pub(crate) root: Root,
    pub(crate) timestamp: Timestamp,
    pub(crate) snapshot: Snapshot,
    pub(crate) targets: Targets,
    /// Who signs each role when it is written next, in the order of [`ROLES`].
    signers: [Vec<SigningKey>; 4],
    /// Who else signs the next root: the keys of the one before.
    former: Vec<SigningKey>,
    /// The delegated roles, by name.
    delegated: BTreeMap<String, Delegated>,
    /// What the server has, by path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Whether a [`MetaFile`] says length and digest, or the version alone.
    pub(crate) digests: Digests,
}

/// What metadata says of the metadata below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digests {
    /// Version, length and SHA-256.
    Stated,
    /// The version alone, which TUF allows.
    LeftOut,
}

impl Simulator {
    /// Version 1 of everything, each role with a key of its own, and the release `mylib` 1.0 in `stable`.
    pub(crate) fn new() -> Self {
        static FIRST: OnceLock<Simulator> = OnceLock::new();
        FIRST.get_or_init(Self::first).clone()
    }

    fn first() -> Self {
        let common = |kind, days| Common::new(kind, 1, NOW.plus_days(days));
        let mut simulator = Self {
            root: Root {
                common: common(RoleKind::Root, 365),
                consistent_snapshot: true,
                keys: Map::new(),
                roles: Map::new(),
                other: Other::new(),
            },
            timestamp: Timestamp {
                common: common(RoleKind::Timestamp, 7),
                meta: Map::new(),
                other: Other::new(),
            },
            snapshot: Snapshot {
                common: common(RoleKind::Snapshot, 30),
                meta: Map::new(),
                other: Other::new(),
            },
            targets: Targets {
                common: common(RoleKind::Targets, 90),
                targets: Map::new(),
                delegations: None,
                other: Other::new(),
            },
            signers: Default::default(),
            former: Vec::new(),
            delegated: BTreeMap::new(),
            files: BTreeMap::new(),
            digests: Digests::Stated,
        };
        for kind in ROLES {
            simulator.set_keys(kind, &[seed(kind)], 1);
        }
        simulator.add_release("mylib", "1.0", b"mylib 1.0", &["stable"]);
        simulator.rewrite(RoleKind::Root);
        simulator.rewrite(RoleKind::Targets);
        simulator
    }

    /// The digest of the first root.
    pub(crate) fn pin(&self) -> Sha256Digest {
        Sha256Digest::of(&self.files["metadata/1.root.json"])
    }

    /// What all roles have in common, of one role.
    pub(crate) fn common(&mut self, kind: RoleKind) -> &mut Common {
        match kind {
            RoleKind::Root => &mut self.root.common,
            RoleKind::Timestamp => &mut self.timestamp.common,
            RoleKind::Snapshot => &mut self.snapshot.common,
            RoleKind::Targets => &mut self.targets.common,
        }
    }

    /// Where the server has the current version of a role.
    pub(crate) fn path(&mut self, kind: RoleKind) -> String {
        let (version, name) = (self.common(kind).version, kind.as_str());
        match kind {
            RoleKind::Timestamp => "metadata/timestamp.json".into(),
            _ => format!("metadata/{version}.{name}.json"),
        }
    }

    /// The server's file for the current version of a role.
    pub(crate) fn file(&mut self, kind: RoleKind) -> &mut Vec<u8> {
        let path = self.path(kind);
        self.files.entry(path).or_default()
    }

    /// Gives a role these keys and these signers. The next root says so.
    pub(crate) fn set_keys(&mut self, kind: RoleKind, seeds: &[u8], threshold: u64) {
        let keys: Vec<_> = seeds.iter().copied().map(key).collect();
        let role = RoleKeys {
            keyids: keys.iter().map(|key| key.public().id()).collect(),
            threshold,
            other: Other::new(),
        };
        for key in &keys {
            self.root.keys.insert(key.public().id(), key.public());
        }
        self.root.roles.insert(kind.as_str().into(), role);
        self.set_signers(kind, seeds);
    }

    /// Lets these keys sign a role, whatever the root says. For the root, they come beside the keys of the
    /// root before.
    pub(crate) fn set_signers(&mut self, kind: RoleKind, seeds: &[u8]) {
        self.signers[kind as usize] = seeds.iter().copied().map(key).collect();
    }

    /// Leaves the keys of the root before out of what signs the next root.
    pub(crate) fn forget_former_root_keys(&mut self) {
        self.former.clear();
    }

    /// Puts a release into the targets, without writing them. Channels move.
    pub(crate) fn add_release(&mut self, name: &str, version: &str, manifest: &[u8], of: &[&str]) {
        self.add_release_to("targets", name, version, manifest, of);
    }

    /// Puts a release into a role, top-level targets or delegated, without writing it. Channels move.
    pub(crate) fn add_release_to(
        &mut self,
        role: &str,
        name: &str,
        version: &str,
        manifest: &[u8],
        of: &[&str],
    ) {
        let (name, version) = (name.parse().unwrap(), version.parse().unwrap());
        let channels: Vec<_> = of.iter().map(|channel| channel.parse().unwrap()).collect();
        let targets = &mut self.targets_of(role).targets;
        for (path, file) in targets.iter_mut() {
            if path.starts_with(&format!("{name}/"))
                && let Some(release) = file.custom.as_mut().and_then(|it| it.webimport.as_mut())
            {
                release.channels.retain(|it| !channels.contains(it));
            }
        }
        let mut file = target_file(manifest);
        file.custom = Some(Custom {
            webimport: Some(CustomRelease {
                channels,
                updates: Vec::new(),
                other: Other::new(),
            }),
            other: Other::new(),
        });
        targets.insert(release_target(&name, &version), file);
    }

    /// Writes a role and every one that names it, down to up, each as its next version.
    pub(crate) fn publish(&mut self, kind: RoleKind) {
        for kind in chain(kind) {
            self.common(*kind).version += 1;
        }
        self.rewrite(kind);
    }

    /// Writes a role and every one that names it, down to up, in the versions that they have.
    pub(crate) fn rewrite(&mut self, kind: RoleKind) {
        for kind in chain(kind) {
            let keys = self.signers_of(*kind);
            let bytes = match kind {
                RoleKind::Root => sign(&self.root, &keys),
                RoleKind::Timestamp => sign(&self.timestamp, &keys),
                RoleKind::Snapshot => sign(&self.snapshot, &keys),
                RoleKind::Targets => sign(&self.targets, &keys),
            };
            self.put(*kind, bytes);
        }
        if kind == RoleKind::Root {
            self.former
                .clone_from(&self.signers[RoleKind::Root as usize]);
        }
    }

    /// Changes the JSON of a role's current file, signs it and rewrites every role that names it.
    pub(crate) fn resign(&mut self, kind: RoleKind, change: impl FnOnce(&mut Value)) {
        let mut envelope: Value = serde_json::from_slice(self.file(kind)).unwrap();
        change(&mut envelope["signed"]);
        let keys = self.signers_of(kind);
        let bytes = sign(&envelope["signed"], &keys);
        self.put(kind, bytes);
        for kind in &chain(kind)[1..] {
            self.rewrite(*kind);
        }
    }

    /// Changes the JSON of a role's current file around what is signed, and rewrites every role that names it.
    pub(crate) fn change_envelope(&mut self, kind: RoleKind, change: impl FnOnce(&mut Value)) {
        let mut envelope: Value = serde_json::from_slice(self.file(kind)).unwrap();
        change(&mut envelope);
        self.put(kind, serde_json::to_vec(&envelope).unwrap());
        for kind in &chain(kind)[1..] {
            self.rewrite(*kind);
        }
    }

    /// Answers a fetch as an HTTP client with a byte limit does.
    pub(crate) fn answer(&self, fetch: &MetadataFetch) -> Result<Option<Vec<u8>>, Error> {
        let url = format!("{URL}/{}", fetch.path);
        match (self.files.get(&fetch.path), fetch.absence) {
            (Some(bytes), _) if bytes.len() as u64 > fetch.limit => Err(FetchError::TooLarge {
                url,
                limit: fetch.limit,
            }
            .into()),
            (Some(bytes), _) => Ok(Some(bytes.clone())),
            (None, Absence::Expected) => Ok(None),
            (None, Absence::Refused) => Err(FetchError::NotFound { url, status: 404 }.into()),
        }
    }

    /// What the file above says of a file.
    fn meta(&self, version: u64, bytes: &[u8]) -> MetaFile {
        let mut meta = MetaFile::of(version, bytes);
        if self.digests == Digests::LeftOut {
            (meta.length, meta.hashes) = (None, None);
        }
        meta
    }

    fn signers_of(&self, kind: RoleKind) -> Vec<SigningKey> {
        let mut keys = self.signers[kind as usize].clone();
        if kind == RoleKind::Root {
            for former in &self.former {
                if keys.iter().all(|key| key.public() != former.public()) {
                    keys.push(former.clone());
                }
            }
        }
        keys
    }

    /// Puts a file on the server, and what is said of it into the role above.
    fn put(&mut self, kind: RoleKind, bytes: Vec<u8>) {
        let version = self.common(kind).version;
        let meta = self.meta(version, &bytes);
        match kind {
            RoleKind::Targets => {
                self.snapshot.meta.insert("targets.json".into(), meta);
            }
            RoleKind::Snapshot => {
                self.timestamp.meta.insert("snapshot.json".into(), meta);
            }
            RoleKind::Timestamp | RoleKind::Root => {}
        }
        *self.file(kind) = bytes;
    }
}

/// What targets metadata says of a file by its bytes.
pub(crate) fn target_file(bytes: &[u8]) -> TargetFile {
    TargetFile {
        length: bytes.len() as u64,
        hashes: Hashes::sha256(Sha256Digest::of(bytes)),
        custom: None,
        other: Other::new(),
    }
}

/// A role and those that name it.
fn chain(kind: RoleKind) -> &'static [RoleKind] {
    use RoleKind::{Root, Snapshot, Targets, Timestamp};
    match kind {
        Root => &[Root],
        Timestamp => &[Timestamp],
        Snapshot => &[Snapshot, Timestamp],
        Targets => &[Targets, Snapshot, Timestamp],
    }
}
