//! A release repository in memory whose metadata are signed by hand: by any key, until any time, delegated to any role.
//!
//! Everything below the root is written anew with each [`HandSigned::publish`], all with the same version, so that a
//! generation can be named by its number.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use serde::Serialize;
use webimport_core::delegations::DelegatedRole;
use webimport_core::digest::Sha256Digest;
use webimport_core::manifest::object_path;
use webimport_core::map::Map;
use webimport_core::metadata::{
    Common, Custom, CustomRelease, Hashes, MetaFile, Other, RoleKeys, RoleKind, Root, Snapshot,
    TargetFile, Targets, Timestamp, encode_role, release_target,
};
use webimport_core::sign::{Algorithm, SigningKey, sign_role};
use webimport_core::time::UnixTime;
use webimport_core::update::UpdateEntry;

use crate::fixture::HandMade;
use crate::repository_server::RepositoryServer;

/// The name of the top-level role that names releases.
pub const TARGETS: &str = "targets";

/// Files by their path in a request, percent-encoded as there.
type Files = BTreeMap<String, Vec<u8>>;

/// A repository and its keys.
pub struct HandSigned {
    root: Root,
    /// The keys of the root before, which sign the next one too.
    former: Vec<SigningKey>,
    generation: u64,
    /// The top-level targets and the delegated roles, by name.
    roles: BTreeMap<String, Targets>,
    /// Who signs a role when it is written next, by name.
    signers: BTreeMap<String, Vec<SigningKey>>,
    now: UnixTime,
    days: u32,
    files: Arc<Mutex<Files>>,
}

/// Repositories of this process: each says its number in its root, so that no two have the same pin.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A key that is the same in every run.
pub fn key(algorithm: Algorithm, seed: u8) -> SigningKey {
    SigningKey::generate(algorithm, [seed; 32]).expect("a secret key")
}

impl HandSigned {
    /// A first root, signed now for ten years, and nothing else yet. The timestamp's key is P-256, the others are
    /// Ed25519.
    pub fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        let now = UnixTime(i64::try_from(now).expect("before the year 292277026596"));
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let mut repository = Self {
            root: Root {
                common: Common::new(RoleKind::Root, 0, now.plus_days(3_650)),
                consistent_snapshot: true,
                keys: Map::new(),
                roles: Map::new(),
                other: Other::from_iter([("x-number".to_owned(), u64::from(number).into())]),
            },
            former: Vec::new(),
            generation: 0,
            roles: BTreeMap::from([(TARGETS.to_owned(), empty_targets())]),
            signers: BTreeMap::new(),
            now,
            days: 30,
            files: Arc::default(),
        };
        repository.set_key(RoleKind::Root, key(Algorithm::Ed25519, 1));
        repository.set_key(RoleKind::Timestamp, key(Algorithm::EcdsaP256, 2));
        repository.set_key(RoleKind::Snapshot, key(Algorithm::Ed25519, 3));
        repository.set_key(RoleKind::Targets, key(Algorithm::Ed25519, 4));
        repository.publish_root();
        repository
    }

    /// `sha256:` and the digest of `1.root.json`.
    pub fn pin(&self) -> String {
        format!(
            "sha256:{}",
            Sha256Digest::of(&self.file("metadata/1.root.json"))
        )
    }

    /// Serves what is published now and later. Each call starts another server.
    pub async fn serve(&self) -> RepositoryServer {
        let files = Arc::clone(&self.files);
        let router = Router::new().fallback(move |uri: Uri| {
            let found = lock(&files)
                .get(uri.path().trim_start_matches('/'))
                .cloned();
            let shared = [("access-control-allow-origin", "*")];
            async move {
                match found {
                    Some(bytes) => (shared, bytes).into_response(),
                    None => (StatusCode::NOT_FOUND, shared, "not found\n").into_response(),
                }
            }
        });
        RepositoryServer::with_router(Path::new("/nowhere"), router).await
    }

    /// A file as it is served now.
    pub fn file(&self, path: &str) -> Vec<u8> {
        let found = lock(&self.files).get(path).cloned();
        found.unwrap_or_else(|| panic!("the repository has no `{path}`"))
    }

    /// Gives a top-level role this key. The next root says so.
    pub fn set_key(&mut self, kind: RoleKind, key: SigningKey) {
        self.root.keys.insert(key.public().id(), key.public());
        let keys = role_keys(std::slice::from_ref(&key), 1);
        self.root.roles.insert(kind.as_str().to_owned(), keys);
        self.sign_with(kind.as_str(), &[key]);
    }

    /// Lets these keys sign a role, whatever is said of it.
    pub fn sign_with(&mut self, role: &str, keys: &[SigningKey]) {
        self.signers.insert(role.to_owned(), keys.to_vec());
    }

    /// How many days from its making on the next generation is valid; at first 30.
    pub fn valid_for(&mut self, days: u32) {
        self.days = days;
    }

    /// Lets the top-level targets trust a new role with these paths.
    pub fn delegate(&mut self, role: &str, paths: &[&str], keys: &[SigningKey], threshold: u64) {
        let top = self.targets(TARGETS);
        let delegations = top.delegations.get_or_insert_default();
        for key in keys {
            delegations.keys.insert(key.public().id(), key.public());
        }
        delegations
            .roles
            .get_or_insert_default()
            .push(DelegatedRole {
                name: role.to_owned(),
                keys: role_keys(keys, threshold),
                paths: Some(paths.iter().copied().map(str::to_owned).collect()),
                path_hash_prefixes: None,
                terminating: false,
            });
        self.roles.insert(role.to_owned(), empty_targets());
        self.sign_with(role, keys);
    }

    /// Uploads a release, and lets a role name it from the next generation on. Its channel moves to it.
    pub fn add(&mut self, role: &str, release: &HandMade) {
        let (manifest, objects) = release.bytes();
        let (name, version, channel) = release.identity();
        let sha256 = Sha256Digest::of(&manifest);
        let targets = &mut self.targets(role).targets;
        for (path, file) in targets.iter_mut() {
            if path.starts_with(&format!("{name}/"))
                && let Some(custom) = file.custom.as_mut().and_then(|it| it.webimport.as_mut())
            {
                custom.channels.retain(|other| *other != channel);
            }
        }
        targets.insert(
            release_target(&name, &version),
            TargetFile {
                length: manifest.len() as u64,
                hashes: Hashes::sha256(sha256),
                custom: Some(Custom {
                    webimport: Some(CustomRelease {
                        channels: vec![channel],
                        updates: Vec::new(),
                        other: Other::new(),
                    }),
                    other: Other::new(),
                }),
                other: Other::new(),
            },
        );
        let path = format!("targets/{name}/{version}/{sha256}.release.json");
        self.put(path, manifest);
        for (sha256, object) in objects {
            let sha256 = sha256.to_string();
            self.put(format!("objects/{}/{sha256}", &sha256[..2]), object);
        }
    }

    /// Uploads an update, and lets a role name it for a release that it names, from the next generation on.
    pub fn add_update(
        &mut self,
        role: &str,
        release: &HandMade,
        update: UpdateEntry,
        file: Vec<u8>,
    ) {
        let (name, version, _) = release.identity();
        let target = self
            .targets(role)
            .targets
            .get_mut(&release_target(&name, &version));
        let custom = target.and_then(|file| file.custom.as_mut());
        let named = custom.and_then(|custom| custom.webimport.as_mut());
        named
            .expect("the role names the release")
            .updates
            .push(update);
        self.put(object_path(Sha256Digest::of(&file)), file);
    }

    /// Writes the next root, signed by its own keys and by those of the one before.
    pub fn publish_root(&mut self) {
        self.root.common.version += 1;
        let own = self.signers[RoleKind::Root.as_str()].clone();
        let mut signers = own.clone();
        for former in std::mem::replace(&mut self.former, own) {
            if signers.iter().all(|key| key.public() != former.public()) {
                signers.push(former);
            }
        }
        let path = format!("metadata/{}.root.json", self.root.common.version);
        let bytes = sign_role(&self.root, &signers).expect("a role is JSON");
        self.put(path, bytes);
    }

    /// Writes the next generation: all targets, the snapshot and the timestamp.
    pub fn publish(&mut self) {
        self.generation += 1;
        let (version, expires) = (self.generation, self.now.plus_days(self.days));
        let mut snapshot = Snapshot {
            common: Common::new(RoleKind::Snapshot, version, expires),
            meta: Map::new(),
            other: Other::new(),
        };
        let names: Vec<String> = self.roles.keys().cloned().collect();
        for name in names {
            let targets = self.targets(&name);
            targets.common = Common::new(RoleKind::Targets, version, expires);
            let targets = targets.clone();
            let path = format!("metadata/{version}.{}.json", encode_role(&name));
            let meta = self.write(&name, &targets, path);
            snapshot.meta.insert(format!("{name}.json"), meta);
        }
        let path = format!("metadata/{version}.snapshot.json");
        let meta = self.write(RoleKind::Snapshot.as_str(), &snapshot, path);
        let timestamp = Timestamp {
            common: Common::new(RoleKind::Timestamp, version, expires),
            meta: Map::from([("snapshot.json".to_owned(), meta)]),
            other: Other::new(),
        };
        let path = "metadata/timestamp.json".to_owned();
        self.write(RoleKind::Timestamp.as_str(), &timestamp, path);
    }

    fn targets(&mut self, role: &str) -> &mut Targets {
        self.roles
            .get_mut(role)
            .unwrap_or_else(|| panic!("nobody delegates to `{role}`"))
    }

    fn write<T: Serialize>(&mut self, role: &str, signed: &T, path: String) -> MetaFile {
        let bytes = sign_role(signed, &self.signers[role]).expect("a role is JSON");
        let meta = MetaFile::of(self.generation, &bytes);
        self.put(path, bytes);
        meta
    }

    fn put(&self, path: String, bytes: Vec<u8>) {
        lock(&self.files).insert(path, bytes);
    }
}

impl Default for HandSigned {
    fn default() -> Self {
        Self::new()
    }
}

fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

fn role_keys(keys: &[SigningKey], threshold: u64) -> RoleKeys {
    RoleKeys {
        keyids: keys.iter().map(|key| key.public().id()).collect(),
        threshold,
        other: Other::new(),
    }
}

/// Its version and expiry are set when it is published.
fn empty_targets() -> Targets {
    Targets {
        common: Common::new(RoleKind::Targets, 0, UnixTime(0)),
        targets: Map::new(),
        delegations: None,
        other: Other::new(),
    }
}
