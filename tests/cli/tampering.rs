//! Somebody who can write to the folder that the publisher works on, and has no key or only revoked ones: nothing of
//! theirs is signed. Each refusal stands beside the same command on the folder as it was.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::{Value, json};
use support::{NOW, TestRepository, WheelBuilder};
use webimport_cli::drafts::Draft;
use webimport_cli::keyring::Keyring;
use webimport_cli::keys::KeyFolder;
use webimport_cli::observe::{Event, Observer, Silent};
use webimport_cli::release::release;
use webimport_cli::repository::{RepositoryError, Validity};
use webimport_cli::roots::{NewKey, NewRoot, RootChange};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::{Algorithm, SigningKey, sign_role};

const ONLINE: [RoleKind; 3] = [RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp];

fn greet(version: &str) -> WheelBuilder {
    WheelBuilder::new("greet", version)
}

fn published() -> TestRepository {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    repository
}

fn rotate(role: RoleKind) -> RootChange {
    RootChange::Rotate {
        role,
        keyid: None,
        key: NewKey::Make {
            algorithm: Some(Algorithm::Ed25519),
            passphrase: None,
        },
    }
}

fn lifetime(days: u32) -> RootChange {
    RootChange::Set {
        thresholds: vec![],
        lifetimes: vec![(RoleKind::Root, days)],
    }
}

type Outcome = Result<(), Box<dyn Coded>>;

fn boxed<T, E: Coded + 'static>(result: Result<T, E>) -> Outcome {
    result
        .map(drop)
        .map_err(|error| Box::new(error) as Box<dyn Coded>)
}

fn change(repository: &TestRepository, ring: &Keyring, change: &RootChange) -> Outcome {
    let validity = Validity::from(NOW);
    let changed = repository
        .open()
        .change_root(change, None, ring, &validity, &Silent);
    boxed(changed)
}

fn renew(repository: &TestRepository, ring: &Keyring) -> Outcome {
    let validity = Validity::from(NOW);
    boxed(repository.open().renew(Some(400), ring, &validity, &Silent))
}

fn release_of(repository: &TestRepository, ring: &Keyring, version: &str) -> Outcome {
    let wheels = tempfile::tempdir().unwrap();
    let mut options = repository.options(&[greet(version).write(wheels.path())]);
    options.keys = ring.clone();
    boxed(release(&options, &Silent))
}

/// The code with which every command that signs refuses the folder, without a change to any file.
fn refused(repository: &TestRepository, ring: &Keyring) -> String {
    let mut codes = Vec::new();
    let commands: [&dyn Fn() -> Outcome; 4] = [
        &|| renew(repository, ring),
        &|| release_of(repository, ring, "9.0"),
        &|| change(repository, ring, &lifetime(300)),
        &|| change(repository, ring, &rotate(RoleKind::Timestamp)),
    ];
    for command in commands {
        let before = repository.everything();
        let error = command().unwrap_err();
        assert!(!error.hint().is_empty());
        assert!(before == repository.everything(), "{error} came too late");
        codes.push(error.code());
    }
    codes.dedup();
    codes.join(", ")
}

fn all_sign(repository: &TestRepository, ring: &Keyring) {
    renew(repository, ring)
        .map_err(|error| error.to_string())
        .unwrap();
    release_of(repository, ring, "2.0")
        .map_err(|error| error.to_string())
        .unwrap();
    change(repository, ring, &lifetime(300))
        .map_err(|error| error.to_string())
        .unwrap();
    repository.verify("greet@2.0").unwrap();
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn key(repository: &TestRepository, file: &str) -> SigningKey {
    let pem = fs::read_to_string(repository.keys().path().join(file)).unwrap();
    SigningKey::from_pem(&pem).unwrap()
}

/// Releases of the attacker's, as `targets` of targets metadata.
fn evil() -> Value {
    json!({"greet/6.6/release.json": {
        "custom": {"webimport": {"channels": ["stable"]}},
        "hashes": {"sha256": Sha256Digest::of(b"evil").to_string()},
        "length": 4,
    }})
}

fn meta(version: u64, bytes: &[u8]) -> Value {
    let sha256 = Sha256Digest::of(bytes).to_string();
    json!({"hashes": {"sha256": sha256}, "length": bytes.len(), "version": version})
}

/// Puts targets, snapshot and timestamp into the folder that the keys of these roles sign.
fn put(repository: &TestRepository, targets: &Value, keys: [&SigningKey; 3], version: u64) {
    let metadata = repository.root().join("metadata");
    let expires = "2026-11-25T00:00:00Z";
    let role = |name: &str, field: &str, content: Value| json!({"_type": name, "spec_version": "1.0.31", "version": version, "expires": expires, field: content});
    let sign = |role: &Value, key: &SigningKey| sign_role(role, std::slice::from_ref(key)).unwrap();
    let targets = sign(&role("targets", "targets", targets.clone()), keys[0]);
    let snapshot = json!({"targets.json": meta(version, &targets)});
    let snapshot = sign(&role("snapshot", "meta", snapshot), keys[1]);
    let timestamp = json!({"snapshot.json": meta(version, &snapshot)});
    let timestamp = sign(&role("timestamp", "meta", timestamp), keys[2]);
    fs::write(metadata.join(format!("{version}.targets.json")), targets).unwrap();
    fs::write(metadata.join(format!("{version}.snapshot.json")), snapshot).unwrap();
    fs::write(metadata.join("timestamp.json"), timestamp).unwrap();
}

/// The first root, with the attacker's key beside the publisher's in each role, signed by the attacker's.
fn false_root(repository: &TestRepository, attacker: &SigningKey) -> (Value, Vec<u8>) {
    let mut root = json_of(&repository.root().join("metadata/1.root.json"))["signed"].take();
    let id = attacker.public().id().to_string();
    root["keys"][&id] = serde_json::to_value(attacker.public()).unwrap();
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let keyids = root["roles"][role]["keyids"].as_array_mut().unwrap();
        keyids.push(id.clone().into());
    }
    let bytes = sign_role(&root, std::slice::from_ref(attacker)).unwrap();
    (root, bytes)
}

/// The publisher's keys in the environment, where nothing is remembered.
fn environment(repository: &TestRepository) -> Keyring {
    let mut ring = Keyring::new();
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let pem = fs::read_to_string(repository.keys().path().join(format!("{role}.pem")));
        ring.variables.push((
            format!("WEBIMPORT_KEY_{}", role.to_uppercase()),
            pem.unwrap(),
        ));
    }
    ring.folder = Some(repository.keys());
    ring
}

#[test]
fn a_first_root_with_an_attackers_keys_beside_the_publishers_is_not_believed() {
    let repository = published();
    let attacker = SigningKey::from_seed([66; 32]);
    let before = tempfile::tempdir().unwrap();
    support::copy(&repository.root(), before.path());
    let (_, root) = false_root(&repository, &attacker);
    fs::write(repository.root().join("metadata/1.root.json"), root).unwrap();
    put(&repository, &evil(), [&attacker; 3], 9);
    assert_eq!(refused(&repository, &repository.ring()), "publish.changed");
    // The same where the pin is given and nothing is remembered.
    let mut pinned = environment(&repository);
    pinned.folder = None;
    assert_eq!(refused(&repository, &pinned), "usage.root");
    pinned.root = Some(repository.pin);
    let code = renew(&repository, &pinned).unwrap_err().code();
    assert_eq!(code, "publish.changed");

    fs::remove_dir_all(repository.root()).unwrap();
    support::copy(before.path(), &repository.root());
    renew(&repository, &pinned)
        .map_err(|error| error.to_string())
        .unwrap();
    all_sign(&repository, &repository.ring());
}

#[test]
fn a_root_that_is_gone_is_not_made_a_second_time() {
    for role in [None, Some(RoleKind::Root), Some(RoleKind::Targets)] {
        let repository = published();
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        support::copy(&repository.root(), old.path());
        let next = role.map_or_else(|| lifetime(200), rotate);
        change(&repository, &repository.ring(), &next)
            .map_err(|error| error.to_string())
            .unwrap();
        support::copy(&repository.root(), new.path());
        let second = repository.root().join("metadata/2.root.json");

        // It alone, another one in its place, and the whole folder as it was.
        let right = fs::read(&second).unwrap();
        fs::remove_file(&second).unwrap();
        assert_eq!(
            refused(&repository, &repository.ring()),
            "publish.changed",
            "{role:?}"
        );
        fs::copy(repository.root().join("metadata/1.root.json"), &second).unwrap();
        assert_eq!(
            refused(&repository, &repository.ring()),
            "publish.changed",
            "{role:?}"
        );
        fs::remove_dir_all(repository.root()).unwrap();
        support::copy(old.path(), &repository.root());
        assert_eq!(
            refused(&repository, &repository.ring()),
            "publish.changed",
            "{role:?}"
        );

        fs::remove_dir_all(repository.root()).unwrap();
        support::copy(new.path(), &repository.root());
        assert_eq!(fs::read(&second).unwrap(), right);
        all_sign(&repository, &repository.ring());
    }
}

#[test]
fn what_revoked_keys_signed_is_not_signed_again() {
    for role in ONLINE {
        let repository = published();
        let stolen =
            ["targets.pem", "snapshot.pem", "timestamp.pem"].map(|file| key(&repository, file));
        change(&repository, &repository.ring(), &rotate(role))
            .map_err(|error| error.to_string())
            .unwrap();
        let after = tempfile::tempdir().unwrap();
        support::copy(&repository.root(), after.path());
        drop(repository.give_away(&[&format!("{}.pem", role.as_str())], "destroyed"));
        // Both roots are right; the rest is what the first of them would accept.
        let [targets, snapshot, timestamp] = &stolen;
        put(&repository, &evil(), [targets, snapshot, timestamp], 9);
        assert_eq!(
            refused(&repository, &repository.ring()),
            "publish.changed",
            "{role:?}"
        );

        fs::remove_dir_all(repository.root()).unwrap();
        support::copy(after.path(), &repository.root());
        all_sign(&repository, &repository.ring());
    }
}

/// Panics at one of the steps.
struct Stopper(Cell<u32>);

impl Observer for Stopper {
    fn event(&self, event: Event<'_>) {
        if let Event::Write { .. } = event {
            assert_ne!(self.0.get(), 0, "stopped");
            self.0.set(self.0.get() - 1);
        }
    }
}

/// A repository whose targets key was lost, and whose publisher was stopped when the new root was there and the rest
/// was not.
fn interrupted() -> (TestRepository, [SigningKey; 3]) {
    let repository = published();
    let keys = ["targets.pem", "snapshot.pem", "timestamp.pem"].map(|file| key(&repository, file));
    drop(repository.give_away(&["targets.pem"], "lost"));
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        let stopper = Stopper(Cell::new(3));
        let (ring, validity) = (repository.ring(), Validity::from(NOW));
        let next = rotate(RoleKind::Targets);
        drop(
            repository
                .open()
                .change_root(&next, None, &ring, &validity, &stopper),
        );
    }));
    assert!(stopped.is_err());
    assert!(repository.root().join("metadata/2.root.json").exists());
    assert!(repository.verify("greet").is_err());
    (repository, keys)
}

#[test]
fn after_an_interruption_only_what_was_published_is_signed_again() {
    let (repository, keys) = interrupted();
    let [targets, snapshot, timestamp] = &keys;
    put(&repository, &evil(), [targets, snapshot, timestamp], 9);
    assert_eq!(refused(&repository, &repository.ring()), "publish.changed");
    // Not even the same releases in another file.
    let (repository, keys) = interrupted();
    let [targets, snapshot, timestamp] = &keys;
    let same =
        json_of(&repository.root().join("metadata/2.targets.json"))["signed"]["targets"].take();
    put(&repository, &same, [targets, snapshot, timestamp], 2);
    assert_eq!(refused(&repository, &repository.ring()), "publish.changed");
    // Nor by somebody who remembers nothing, or does not know of the new root.
    let (repository, _) = interrupted();
    let memory = repository.keys().path().join("published.json");
    let text = fs::read_to_string(&memory).unwrap();
    fs::remove_file(&memory).unwrap();
    let mut pinned = repository.ring();
    pinned.root = Some(repository.pin);
    assert_eq!(refused(&repository, &pinned), "publish.changed");
    let mut record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["pending"]["root"]["version"], 2);
    record["pending"] = Value::Null;
    remember(&repository, &record.to_string());
    assert_eq!(refused(&repository, &repository.ring()), "publish.changed");

    remember(&repository, &text);
    all_sign(&repository, &repository.ring());
}

fn remember(repository: &TestRepository, text: &str) {
    let path = repository.keys().path().join("published.json");
    fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn an_older_state_or_another_one_of_the_same_age_is_not_built_on() {
    let repository = published();
    let old = tempfile::tempdir().unwrap();
    support::copy(&repository.root(), old.path());
    release_of(&repository, &repository.ring(), "2.0")
        .map_err(|error| error.to_string())
        .unwrap();
    let timestamp = repository.root().join("metadata/timestamp.json");
    let right = fs::read(&timestamp).unwrap();
    fs::copy(old.path().join("metadata/timestamp.json"), &timestamp).unwrap();
    assert_eq!(refused(&repository, &repository.ring()), "publish.changed");
    // Signed by the publisher's own keys, as by a copy of them.
    fs::write(&timestamp, &right).unwrap();
    let keys = ["targets.pem", "snapshot.pem", "timestamp.pem"].map(|file| key(&repository, file));
    let [targets, snapshot, timestamp_key] = &keys;
    let numbered = |file: &str| repository.root().join("metadata").join(file);
    let kept =
        ["3.targets.json", "3.snapshot.json"].map(|file| (file, fs::read(numbered(file)).unwrap()));
    put(
        &repository,
        &json!({}),
        [targets, snapshot, timestamp_key],
        3,
    );
    assert_eq!(refused(&repository, &repository.ring()), "publish.changed");
    for (file, bytes) in kept {
        fs::write(numbered(file), bytes).unwrap();
    }
    fs::write(&timestamp, &right).unwrap();
    all_sign(&repository, &repository.ring());
}

/// The same keys on another machine, with a memory of its own.
fn elsewhere(repository: &TestRepository, name: &str) -> Keyring {
    let folder = repository.folder.path().join(name);
    support::copy(repository.keys().path(), &folder);
    KeyFolder::new(folder).into()
}

#[test]
fn several_machines_publish_to_one_repository() {
    let repository = published();
    let (one, two) = (repository.ring(), elsewhere(&repository, "two"));
    let run = |ring: &Keyring, version: &str| {
        release_of(&repository, ring, version)
            .map_err(|error| error.to_string())
            .unwrap();
    };
    run(&two, "2.0");
    run(&one, "3.0");
    change(&repository, &two, &lifetime(200))
        .map_err(|error| error.to_string())
        .unwrap();
    change(&repository, &two, &lifetime(100))
        .map_err(|error| error.to_string())
        .unwrap();
    let before = tempfile::tempdir().unwrap();
    support::copy(&repository.root(), before.path());
    run(&one, "4.0");
    // What was followed is remembered, too.
    fs::remove_dir_all(repository.root()).unwrap();
    support::copy(before.path(), &repository.root());
    assert_eq!(refused(&repository, &one), "publish.changed");
    assert_eq!(
        renew(&repository, &two).map_err(|error| error.code()),
        Ok(())
    );
}

#[test]
fn what_is_remembered_is_private_and_stays_out_of_the_repository() {
    let repository = published();
    let path = repository.keys().path().join("published.json");
    let record = json_of(&path);
    assert_eq!(record["pin"], repository.pin.to_string());
    assert_eq!(record["pending"], Value::Null);
    for (role, file) in [
        ("root", "1.root.json"),
        ("targets", "2.targets.json"),
        ("snapshot", "2.snapshot.json"),
        ("timestamp", "timestamp.json"),
    ] {
        let bytes = fs::read(repository.root().join("metadata").join(file)).unwrap();
        assert_eq!(
            record["committed"][role]["sha256"],
            Sha256Digest::of(&bytes).to_string()
        );
    }
    assert!(
        !support::files(&repository.root())
            .iter()
            .any(|file| file.contains("published"))
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        mode(0o666);
        assert_eq!(
            refused(&repository, &repository.ring()),
            "publish.key_permissions"
        );
        mode(0o600);
    }
    let text = fs::read_to_string(&path).unwrap();
    for wrong in ["", "{}", &text[..40], &text.replace("pending", "pendant")] {
        remember(&repository, wrong);
        assert_eq!(
            refused(&repository, &repository.ring()),
            "publish.memory",
            "{wrong}"
        );
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(refused(&repository, &repository.ring()), "usage.root");
    remember(&repository, &text);
    let mut other = repository.ring();
    other.root = Some(Sha256Digest::of(b"another root"));
    assert_eq!(refused(&repository, &other), "usage.root");
    other.root = Some(repository.pin);
    all_sign(&repository, &other);
    // With the pin it is begun anew.
    fs::remove_file(&path).unwrap();
    release_of(&repository, &other, "5.0")
        .map_err(|error| error.to_string())
        .unwrap();
    release_of(&repository, &repository.ring(), "6.0")
        .map_err(|error| error.to_string())
        .unwrap();
}

/// The next root as `edit` makes it of the first, without signatures.
fn draft_file(repository: &TestRepository, edit: impl FnOnce(&mut Value)) -> std::path::PathBuf {
    let mut root = json_of(&repository.root().join("metadata/1.root.json"))["signed"].take();
    root["version"] = 2.into();
    edit(&mut root);
    let path = repository.folder.path().join("draft.json");
    fs::write(&path, json!({"signatures": [], "signed": root}).to_string()).unwrap();
    path
}

/// Signs a draft, and gives what it was said to change.
fn signed(
    repository: &TestRepository,
    edit: impl FnOnce(&mut Value),
) -> Result<NewRoot, RepositoryError> {
    let path = draft_file(repository, edit);
    let (opened, ring) = (repository.open(), repository.ring());
    let before = fs::read(&path).unwrap();
    let shown = opened.draft(&path, &ring).as_ref().map(Draft::changes).ok();
    let result = opened
        .draft(&path, &ring)
        .and_then(|draft| draft.sign(&ring, &Silent));
    assert_eq!(result.is_ok(), before != fs::read(&path).unwrap());
    let signed = result?;
    let shown = shown.unwrap();
    assert_eq!(
        (
            &shown.added,
            &shown.removed,
            &shown.thresholds,
            &shown.lifetimes,
            &shown.others
        ),
        (
            &signed.added,
            &signed.removed,
            &signed.thresholds,
            &signed.lifetimes,
            &signed.others
        )
    );
    assert_eq!((shown.by_former.have, signed.by_former.have), (0, 1));
    Ok(signed)
}

#[test]
fn a_draft_is_judged_as_the_next_root_before_it_is_signed() {
    let repository = published();
    let attacker = serde_json::to_value(SigningKey::from_seed([66; 32]).public()).unwrap();
    let code = |edit: &dyn Fn(&mut Value)| signed(&repository, edit).unwrap_err().code();
    let id = |root: &Value, role: &str| {
        root["roles"][role]["keyids"][0]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // Known key ids with the attacker's key behind them.
    let other_key = |root: &mut Value| {
        let id = id(root, "targets");
        root["keys"][id] = attacker.clone();
    };
    assert_eq!(code(&other_key), "publish.draft");
    assert_eq!(
        code(&|root| root["consistent_snapshot"] = false.into()),
        "publish.draft"
    );
    for days in [0, 3651, 36500] {
        let lifetimes = json!({"timestamp": days});
        assert_eq!(
            code(&|root| root["x-webimport-lifetimes"] = lifetimes.clone()),
            "publish.draft",
            "{days}"
        );
    }
    assert_eq!(
        code(&|root| root["x-webimport-lifetimes"] = "long".into()),
        "publish.draft"
    );
    assert_eq!(
        code(&|root| root["roles"]["targets"]["threshold"] = 0.into()),
        "publish.lockout"
    );
    assert_eq!(
        code(&|root| root["roles"]["targets"] = Value::Null),
        "publish.draft"
    );
    let twice = |root: &mut Value| {
        let id = id(root, "targets");
        root["roles"]["targets"]["keyids"] = json!([id, id]);
    };
    assert_eq!(code(&twice), "publish.draft");
    for version in [1, 3] {
        assert_eq!(
            code(&|root| root["version"] = version.into()),
            "publish.draft"
        );
    }
    let plain = signed(&repository, |_| {}).unwrap();
    assert!(plain.added.is_empty() && plain.removed.is_empty() && plain.others.is_empty());
}

#[test]
fn all_that_a_draft_changes_is_shown() {
    let repository = published();
    let attacker = SigningKey::from_seed([66; 32]).public();
    let unknown =
        json!({"keytype": "rsa", "scheme": "rsassa-pss-sha256", "keyval": {"public": "x"}});
    let unknown = webimport_core::json::parse(unknown.to_string().as_bytes(), "key").unwrap();
    let unknown = webimport_core::keys::PublicKey::from_value(unknown).unwrap();
    let old = json_of(&repository.root().join("metadata/1.root.json"))["signed"]["roles"]["targets"]["keyids"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let shown = signed(&repository, |root| {
        for key in [&attacker, &unknown] {
            root["keys"][key.id().to_string()] = serde_json::to_value(key).unwrap();
        }
        root["roles"]["targets"]["keyids"] = json!([attacker.id().to_string()]);
        root["roles"]["root"]["keyids"]
            .as_array_mut()
            .unwrap()
            .push(unknown.id().to_string().into());
        root["roles"]["root"]["x-note"] = "y".into();
        root["roles"]["mirrors"] = json!({"keyids": [], "threshold": 1});
        root["x-webimport-lifetimes"] = json!({"timestamp": 3650});
        root["x-other"] = 1.into();
    })
    .unwrap();
    let keys = |keys: &[webimport_cli::roots::RoleKey]| {
        let keys = keys.iter();
        keys.map(|key| format!("{} {} {}", key.role, key.keyid, key.scheme))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&shown.added),
        [
            format!("root {} rsassa-pss-sha256", unknown.id()),
            format!("targets {} ed25519", attacker.id())
        ]
    );
    assert_eq!(keys(&shown.removed), [format!("targets {old} ed25519")]);
    assert_eq!(
        (
            shown.lifetimes.len(),
            shown.lifetimes[0].days,
            shown.lifetimes[0].before
        ),
        (1, 3650, 30)
    );
    assert_eq!(
        shown.others.len(),
        4,
        "the key without a role counts: {:?}",
        shown.others
    );
    assert_eq!(
        shown.others[1..],
        [
            "roles.mirrors = []",
            "roles.root.x-note = \"y\"",
            "x-other = 1"
        ]
    );
}

#[test]
fn a_draft_is_compared_with_the_root_that_is_remembered() {
    let repository = published();
    let attacker = SigningKey::from_seed([66; 32]);
    let metadata = repository.root().join("metadata");
    let right = fs::read(metadata.join("1.root.json")).unwrap();
    let (root, bytes) = false_root(&repository, &attacker);
    // In the holder's folder the attacker's key was there from the start, so that the draft adds none.
    fs::write(metadata.join("1.root.json"), bytes).unwrap();
    let edit = |next: &mut Value| {
        *next = root.clone();
        next["version"] = 2.into();
    };
    let refused = |ring: &Keyring| {
        let path = draft_file(&repository, edit);
        repository
            .open()
            .draft(&path, ring)
            .err()
            .map(|error| error.code())
    };
    assert_eq!(refused(&repository.ring()), Some("publish.changed"));
    let holder = repository.give_away(&["root.pem"], "holder");
    assert_eq!(refused(&holder), Some("publish.changed"));
    let mut forgetful = holder.clone();
    forgetful.root = None;
    assert_eq!(refused(&forgetful), Some("usage.root"));
    fs::write(metadata.join("1.root.json"), right).unwrap();
    let path = draft_file(&repository, edit);
    let opened = repository.open();
    let changes = opened
        .draft(&path, &holder)
        .map(|draft| draft.changes())
        .unwrap();
    assert_eq!(changes.added.len(), 4);
    // Who has signed once remembers.
    opened
        .draft(&path, &holder)
        .unwrap()
        .sign(&holder, &Silent)
        .unwrap();
    assert_eq!(refused(&forgetful), None);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");

    // A file is replaced, not followed.
    let repository = published();
    let timestamp = repository.root().join("metadata/timestamp.json");
    fs::copy(&timestamp, &victim).unwrap();
    let before = fs::read(&victim).unwrap();
    fs::remove_file(&timestamp).unwrap();
    symlink(&victim, &timestamp).unwrap();
    release_of(&repository, &repository.ring(), "2.0")
        .map_err(|error| error.to_string())
        .unwrap();
    assert_eq!(fs::read(&victim).unwrap(), before);
    assert!(!timestamp.is_symlink());
    repository.verify("greet@2.0").unwrap();

    // A folder is refused, as it stands or on the way.
    for folder in ["metadata", "targets", "objects", "targets/greet"] {
        let repository = published();
        let (path, away) = (
            repository.root().join(folder),
            outside.path().join(folder.replace('/', "-")),
        );
        fs::rename(&path, &away).unwrap();
        fs::write(away.join(".webimport-tmp-x"), "").unwrap();
        symlink(&away, &path).unwrap();
        let before = support::files(&away);
        let error = release_of(&repository, &repository.ring(), "2.0").unwrap_err();
        assert_eq!(error.code(), "publish.storage", "{folder}: {error}");
        assert_eq!(support::files(&away), before, "{folder}");
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        all_sign(&repository, &repository.ring());
    }
    let repository = published();
    let lock = repository.root().join(".webimport-lock");
    fs::remove_file(&lock).unwrap();
    symlink(outside.path().join("made"), &lock).unwrap();
    assert_eq!(refused(&repository, &repository.ring()), "publish.storage");
    assert!(!outside.path().join("made").exists());
}
