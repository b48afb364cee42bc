//! Valid repositories: published by webimport, and by python-tuf with releases that webimport made.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use webimport_cli::bytecode::{BytecodeChoice, SourceChoice};
use webimport_cli::keyring::Keyring as PrivateKeys;
use webimport_cli::keys::KeyFolder;
use webimport_cli::observe::Silent;
use webimport_cli::release::{ReleaseOptions, release};
use webimport_cli::repository::{Repository, Setup, Validity, init};
use webimport_cli::roots::RootChange;
use webimport_core::digest::Sha256Digest;
use webimport_core::names::Channel;
use webimport_core::sign::{Algorithm, SigningKey};
use webimport_core::time::UnixTime;

use crate::files::{self, Files};
use crate::python;
use crate::wheel;
use crate::workshop::{Keyring, Workshop, id, key, keyring, parse, point, sign};

/// When repositories are published that need not be valid now: 2026-11-20.
pub const NOW: UnixTime = UnixTime(1_795_132_800);

/// The releases, by name and version, in the order in which they are made.
pub const RELEASES: [(&str, &str); 4] = [
    ("demo", "1.0"),
    ("demo", "1.1"),
    ("teamlib", "1.0"),
    ("teamlib", "1.1"),
];

/// A valid repository, its keys and its past.
#[derive(Clone)]
pub struct Specimen {
    /// For people.
    pub name: &'static str,
    /// As it is.
    pub files: Files,
    /// As it was before.
    pub earlier: Files,
    /// A target that it has.
    pub target: &'static str,
    /// Whether that one is in a hash bin.
    pub has_bins: bool,
    /// Every private key.
    pub keys: Keyring,
}

impl Specimen {
    /// The repository, to be changed.
    pub fn workshop(&self) -> Workshop<'_> {
        Workshop::new(self.files.clone(), &self.keys)
    }

    /// What the target's file has in it.
    pub fn content(&self) -> &[u8] {
        &self.files[&manifest(&self.files, self.target)]
    }
}

/// A repository of webimport on disk.
pub struct OurRepository {
    folder: TempDir,
    now: UnixTime,
    /// The root pin.
    pub pin: Sha256Digest,
}

impl OurRepository {
    /// Makes an empty one, with new keys.
    pub fn new(now: UnixTime) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = KeyFolder::new(folder.path().join("keys"));
        let root = folder.path().join("repo");
        let (setup, validity) = (Setup::default(), Validity::from(now));
        let pin = init(&root, &keys, &setup, &validity, &Silent).expect("a new repository");
        Self { folder, now, pin }
    }

    /// Its folder.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn keys(&self) -> PrivateKeys {
        KeyFolder::new(self.folder.path().join("keys")).into()
    }

    /// Its files without objects, which no other client knows of.
    pub fn files(&self) -> Files {
        let mut files = files::read(&self.root());
        files.retain(|path, _| path.starts_with("metadata/") || path.starts_with("targets/"));
        files
    }

    /// Releases a package with one module.
    pub fn release(&self, name: &str, version: &str, channel: Channel) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = ReleaseOptions {
            sources: vec![wheel::write(folder.path(), name, version)],
            repository: self.root(),
            keys: self.keys(),
            name: None,
            version: None,
            channel: Some(channel),
            bytecode: Some(BytecodeChoice::Off),
            pyodide: None,
            source: SourceChoice::Included,
            entry: Vec::new(),
            snapshot: None,
            webimport: None,
            validity: Validity::from(self.now),
        };
        release(&options, &Silent).expect("a release");
    }

    /// Publishes the next root.
    pub fn change_root(&self, change: &RootChange) {
        let repository = Repository::open(self.root()).expect("a repository");
        let made = repository
            .change_root(
                change,
                None,
                &self.keys(),
                &Validity::from(self.now),
                &Silent,
            )
            .expect("a new root");
        assert!(made.published);
    }
}

/// Published by webimport, with keys that are the same each time.
pub fn by_webimport() -> Specimen {
    let repository = OurRepository::new(NOW);
    let [early @ .., (name, version)] = RELEASES;
    for (name, version) in early {
        repository.release(name, version, Channel::stable());
    }
    let earlier = repository.files();
    repository.release(name, version, Channel::stable());
    let roles = ["root", "targets", "snapshot", "timestamp"];
    let keys: Vec<(&str, SigningKey)> = roles
        .into_iter()
        .zip(1..)
        .map(|(role, number)| (role, key(Algorithm::Ed25519, number)))
        .collect();
    Specimen {
        name: "webimport",
        files: with_keys(repository.files(), &keys),
        earlier: with_keys(earlier, &keys),
        target: "teamlib/1.1/release.json",
        has_bins: false,
        keys: keyring(keys.into_iter().map(|(_, key)| key)),
    }
}

/// The same repository as if each role had had that key from the start, so that its bytes are the same each time.
fn with_keys(mut repository: Files, keys: &[(&str, SigningKey)]) -> Files {
    let of = |role: &str| {
        let found = keys.iter().find(|(name, _)| *name == role);
        &found.expect("a key for each role").1
    };
    // A file is named by the ones after it.
    for kind in ["root", "targets", "snapshot", "timestamp"] {
        let paths: Vec<String> = repository
            .keys()
            .filter(|path| path.starts_with("metadata/") && path.ends_with(&format!("{kind}.json")))
            .cloned()
            .collect();
        for path in paths {
            let mut signed = parse(&repository[&path])["signed"].take();
            if kind == "root" {
                signed["keys"] = keys
                    .iter()
                    .map(|(_, key)| (id(key), json!(key.public())))
                    .collect();
                for (role, entry) in signed["roles"]
                    .as_object_mut()
                    .expect("the roles of a root")
                {
                    entry["keyids"] = json!([id(of(role))]);
                }
            }
            for (file, meta) in signed["meta"].as_object_mut().into_iter().flatten() {
                let path = format!("metadata/{}.{file}", meta["version"]);
                point(meta, &repository[&path]);
            }
            repository.insert(path, sign(&signed, [of(kind)]));
        }
    }
    repository
}

/// A repository of webimport whose root keys changed twice: first a second root key, on another curve, and a new
/// timestamp key; then the first root key goes.
pub fn by_webimport_with_rotated_keys() -> Specimen {
    let Specimen { files, keys, .. } = by_webimport();
    let timestamp = key(Algorithm::EcdsaP256, 21);
    let second = key(Algorithm::EcdsaP256, 22);
    let third = key(Algorithm::Ed25519, 23);
    let mut all = keys.clone();
    all.extend(keyring([timestamp.clone(), second.clone(), third.clone()]));
    let mut workshop = Workshop::new(files.clone(), &keys);
    let mut root = workshop.signed(&workshop.current("root"));
    let first = keys[root["roles"]["root"]["keyids"][0]
        .as_str()
        .expect("a key id")]
    .clone();
    let mut rotate = |version: u64, own: [&SigningKey; 2], signers: &[&SigningKey]| {
        root["version"] = json!(version);
        root["roles"]["root"] = json!({"keyids": own.map(id), "threshold": 2});
        root["roles"]["timestamp"]["keyids"] = json!([id(&timestamp)]);
        for key in own.into_iter().chain([&timestamp]) {
            root["keys"][id(key)] = json!(key.public());
        }
        let used: Vec<Value> = root["roles"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(_, role)| role["keyids"].as_array().cloned().unwrap_or_default())
            .collect();
        root["keys"]
            .as_object_mut()
            .expect("the keys of a root")
            .retain(|id, _| used.contains(&json!(id)));
        let file = format!("metadata/{version}.root.json");
        workshop
            .files
            .insert(file, sign(&root, signers.iter().copied()));
    };
    rotate(2, [&first, &second], &[&first, &second]);
    rotate(3, [&second, &third], &[&first, &second, &third]);
    let current = workshop.current("timestamp");
    let mut signed = workshop.signed(&current);
    signed["version"] = json!(signed["version"].as_u64().map(|version| version + 1));
    workshop
        .files
        .insert(current.path, sign(&signed, [&timestamp]));
    Specimen {
        name: "webimport, rotated keys",
        files: workshop.files,
        earlier: files,
        target: "teamlib/1.1/release.json",
        has_bins: false,
        keys: all,
    }
}

/// Where python-tuf lets the releases of the team be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delegation {
    /// By the role `team`, for `teamlib/*/*`.
    Paths,
    /// By four hash bins.
    Bins,
}

/// Published by python-tuf into `folder`, objects included: `demo` by the top-level targets, `teamlib` by
/// delegation, version 1.1 of each in the channel `stable`. Ed25519 and P-256 keys, three roots.
pub fn by_python_tuf(folder: &Path, delegation: Delegation, now: UnixTime) -> Specimen {
    let earlier = tempfile::tempdir().expect("a temporary folder");
    let releases = OurRepository::new(now);
    for (name, version) in RELEASES {
        releases.release(name, version, Channel::stable());
    }
    let mut releases = files::read(&releases.root());
    releases.retain(|path, _| path.starts_with("targets/") || path.starts_with("objects/"));
    let keys = [
        ("first root", key(Algorithm::Ed25519, 31)),
        ("second root", key(Algorithm::EcdsaP256, 32)),
        ("third root", key(Algorithm::Ed25519, 33)),
        ("targets", key(Algorithm::EcdsaP256, 34)),
        ("snapshot", key(Algorithm::Ed25519, 35)),
        ("first timestamp", key(Algorithm::EcdsaP256, 36)),
        ("second timestamp", key(Algorithm::Ed25519, 37)),
        ("team", key(Algorithm::EcdsaP256, 38)),
    ];
    let states = [
        json!({
            "roots": [roles(&["first root", "second root"], "first timestamp")],
            "targets": entries(&releases, &[("demo", "1.0", &["stable"])]),
            "delegations": delegations(delegation, &entries(&releases, &[("teamlib", "1.0", &["stable"])])),
        }),
        json!({
            "roots": [
                roles(&["first root", "second root", "third root"], "first timestamp"),
                roles(&["second root", "third root"], "second timestamp"),
            ],
            "targets": entries(&releases, &[("demo", "1.0", &[]), ("demo", "1.1", &["stable"])]),
            "delegations": delegations(
                delegation,
                &entries(&releases, &[("teamlib", "1.0", &["old"]), ("teamlib", "1.1", &["stable"])]),
            ),
        }),
    ];
    for (folder, states) in [(earlier.path(), &states[..1]), (folder, &states[..])] {
        files::write(&releases, folder);
        python::publish(&json!({
            "folder": folder,
            "expires": now.plus_days(30).0,
            "keys": keys
                .iter()
                .map(|(name, key)| ((*name).to_owned(), json!(key.to_pem().expect("a key"))))
                .collect::<Value>(),
            "versions": states,
        }));
    }
    let without_objects = |folder: &Path| {
        let mut files = files::read(folder);
        files.retain(|path, _| !path.starts_with("objects/"));
        files
    };
    Specimen {
        name: match delegation {
            Delegation::Paths => "python-tuf, delegation by paths",
            Delegation::Bins => "python-tuf, delegation by hash bins",
        },
        files: without_objects(folder),
        earlier: without_objects(earlier.path()),
        target: "teamlib/1.1/release.json",
        has_bins: delegation == Delegation::Bins,
        keys: keyring(keys.into_iter().map(|(_, key)| key)),
    }
}

/// Where the manifest of a release is: with its digest in the file name.
pub fn manifest(files: &Files, target: &str) -> String {
    let folder = target.trim_end_matches("release.json");
    let prefix = format!("targets/{folder}");
    let mut paths = files.keys().filter(|path| path.starts_with(&prefix));
    paths.next().expect("a release that was made").clone()
}

fn roles(root: &[&str], timestamp: &str) -> Value {
    json!({
        "root": {"keys": root, "threshold": 2},
        "targets": {"keys": ["targets"], "threshold": 1},
        "snapshot": {"keys": ["snapshot"], "threshold": 1},
        "timestamp": {"keys": [timestamp], "threshold": 1},
    })
}

/// The entries of releases with their channels; the files are where webimport has put them.
fn entries(releases: &Files, wanted: &[(&str, &str, &[&str])]) -> Value {
    let entry = |(name, version, channels): &(&str, &str, &[&str])| {
        let target = format!("{name}/{version}/release.json");
        let file = manifest(releases, &target);
        (
            target,
            json!({
                "file": file.trim_start_matches("targets/"),
                "custom": {"webimport": {"channels": channels}},
            }),
        )
    };
    wanted.iter().map(entry).collect()
}

fn delegations(delegation: Delegation, targets: &Value) -> Value {
    match delegation {
        Delegation::Paths => {
            json!({"team": {"kind": "paths", "key": "team", "paths": ["teamlib/*/*"], "targets": targets}})
        }
        Delegation::Bins => {
            json!({"bin": {"kind": "bins", "key": "team", "bits": 2, "targets": targets}})
        }
    }
}
