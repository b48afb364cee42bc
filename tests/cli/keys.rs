//! Who signs: where keys come from, and how they are replaced.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::Cell;
use std::fmt::Debug;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{NOW, TestRepository, WheelBuilder};
use webimport_cli::keyring::{Keyring, Passphrase};
use webimport_cli::keys::KeyFolder;
use webimport_cli::observe::{Event, Observer, Silent};
use webimport_cli::release::release;
use webimport_cli::repository::{RepositoryError, Setup, Validity};
use webimport_cli::roots::{NewKey, NewRoot, RootChange};
use webimport_cli::signer_command::SignerCommand;
use webimport_core::error::Coded;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::{Algorithm, SigningKey};

const ONLINE: [RoleKind; 3] = [RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp];

fn greet(version: &str) -> WheelBuilder {
    WheelBuilder::new("greet", version)
}

fn published() -> TestRepository {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    repository
}

/// A repository whose root needs two of three keys, in three hands: `keys`, `second` and `third`.
fn shared() -> (TestRepository, Keyring, Keyring) {
    let repository = TestRepository::with(&Setup {
        root_keys: 3,
        root_threshold: 2,
        ..Setup::default()
    });
    repository.release(&[greet("1.0")]).unwrap();
    let second = repository.give_away(&["root-2.pem"], "second");
    let third = repository.give_away(&["root-3.pem"], "third");
    (repository, second, third)
}

fn new_key() -> NewKey {
    NewKey::Make {
        algorithm: Some(Algorithm::Ed25519),
        passphrase: None,
    }
}

fn rotate(role: RoleKind) -> RootChange {
    RootChange::Rotate {
        role,
        keyid: None,
        key: new_key(),
    }
}

fn change_with(
    repository: &TestRepository,
    ring: &Keyring,
    change: &RootChange,
) -> Result<NewRoot, RepositoryError> {
    let validity = Validity::from(NOW);
    repository
        .open()
        .change_root(change, None, ring, &validity, &Silent)
}

fn change(repository: &TestRepository, change: &RootChange) -> Result<NewRoot, RepositoryError> {
    change_with(repository, &repository.ring(), change)
}

/// The code of what was refused, which has a hint and leaves everything as it was.
fn refused<T: Debug, E: Coded + Debug>(
    repository: &TestRepository,
    act: impl FnOnce() -> Result<T, E>,
) -> &'static str {
    let before = repository.everything();
    let error = act().unwrap_err();
    assert!(!error.hint().is_empty());
    assert!(before == repository.everything(), "{error} came too late");
    error.code()
}

fn verifies(repository: &TestRepository) {
    assert_eq!(repository.verify("greet").unwrap().version.as_str(), "1.0");
}

fn release_with(
    repository: &TestRepository,
    keys: Keyring,
    version: &str,
) -> Result<(), webimport_cli::release::ReleaseError> {
    let wheels = tempfile::tempdir().unwrap();
    let mut options = repository.options(&[greet(version).write(wheels.path())]);
    options.keys = keys;
    release(&options, &Silent).map(drop)
}

#[test]
fn a_key_of_each_role_is_replaced_under_the_first_pin() {
    for role in [RoleKind::Root].into_iter().chain(ONLINE) {
        let repository = published();
        let made = change(&repository, &rotate(role)).unwrap();
        assert_eq!((made.version, made.published), (2, true));
        assert_eq!(
            made.file.unwrap(),
            repository
                .keys()
                .path()
                .join(format!("{}-2.pem", role.as_str()))
        );
        verifies(&repository);
        let metadata = repository.root().join("metadata");
        assert!(metadata.join("1.root.json").exists() && metadata.join("2.root.json").exists());

        // The old key is worth nothing any more, and the new one is found whatever its file is called.
        let old = repository.give_away(&[&format!("{}.pem", role.as_str())], "old");
        let keys = repository.keys();
        let path = |name: &str| keys.path().join(name);
        fs::rename(
            path(&format!("{}-2.pem", role.as_str())),
            path("of-the-team.pem"),
        )
        .unwrap();
        if role == RoleKind::Root {
            let next = rotate(RoleKind::Timestamp);
            let code = refused(&repository, || change_with(&repository, &old, &next));
            assert_eq!(code, "publish.key");
            change(&repository, &next).unwrap();
        } else {
            let mut without = repository.ring();
            without.folder = old.folder;
            without.root = old.root;
            let code = refused(&repository, || release_with(&repository, without, "2.0"));
            assert_eq!(code, "publish.key");
        }
        repository.release(&[greet("2.0")]).unwrap();
        assert_eq!(repository.verify("greet").unwrap().version.as_str(), "2.0");
    }
}

#[test]
fn readers_refuse_what_a_revoked_key_signs() {
    let repository = published();
    let (metadata, old) = (repository.root().join("metadata"), repository.folder.path());
    support::copy(&repository.root(), &old.join("before"));
    change(&repository, &rotate(RoleKind::Timestamp)).unwrap();
    verifies(&repository);
    // Whoever stole the old key signs a timestamp of their own, in the state of before.
    let stolen = TestRepository {
        folder: tempfile::tempdir().unwrap(),
        pin: repository.pin,
    };
    support::copy(&old.join("before"), &stolen.root());
    fs::create_dir(stolen.keys().path()).unwrap();
    for key in ["targets.pem", "snapshot.pem", "timestamp.pem"] {
        fs::copy(
            repository.keys().path().join(key),
            stolen.keys().path().join(key),
        )
        .unwrap();
    }
    for version in ["2.0", "3.0", "4.0"] {
        release_with(&stolen, stolen.others(stolen.keys()), version).unwrap();
    }
    let forged = fs::read(stolen.root().join("metadata/timestamp.json")).unwrap();
    let right = fs::read(metadata.join("timestamp.json")).unwrap();
    fs::write(metadata.join("timestamp.json"), forged).unwrap();
    let error = repository.verify("greet").unwrap_err();
    assert_eq!(error.code(), "verify.threshold");
    fs::write(metadata.join("timestamp.json"), right).unwrap();
    verifies(&repository);
}

/// Looks at the repository as a reader does, at each step of a writer.
struct Reader<'a>(&'a TestRepository, Cell<u32>);

impl Observer for Reader<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Write { .. } = event {
            verifies(self.0);
            self.1.set(self.1.get() + 1);
        }
    }
}

#[test]
fn a_reader_never_sees_a_rotation_half_done() {
    for (role, files) in [
        (RoleKind::Root, 1),
        (RoleKind::Targets, 4),
        (RoleKind::Snapshot, 3),
        (RoleKind::Timestamp, 2),
    ] {
        let repository = published();
        let reader = Reader(&repository, Cell::new(0));
        repository
            .open()
            .change_root(
                &rotate(role),
                None,
                &repository.ring(),
                &Validity::from(NOW),
                &reader,
            )
            .unwrap();
        assert_eq!(reader.1.get(), files * 3, "{role:?}");
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

#[test]
fn a_lost_key_is_replaced_and_an_interruption_mended() {
    let mut broken = 0;
    for step in 0..=4 * 3 {
        let repository = published();
        drop(repository.give_away(&["targets.pem"], "lost"));
        assert_eq!(
            release_with(&repository, repository.ring(), "2.0")
                .unwrap_err()
                .code(),
            "publish.key"
        );
        let stopper = Stopper(Cell::new(step));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            repository
                .open()
                .change_root(
                    &rotate(RoleKind::Targets),
                    None,
                    &repository.ring(),
                    &Validity::from(NOW),
                    &stopper,
                )
                .unwrap();
        }));
        assert_eq!(outcome.is_err(), step < 4 * 3);
        if repository.verify("greet").is_err() {
            // Readers who have the new root wait for what it vouches for.
            broken += 1;
            let renewed =
                repository
                    .open()
                    .renew(None, &repository.ring(), &Validity::from(NOW), &Silent);
            assert_eq!(renewed.unwrap().renewed.len(), 3, "{step}");
        } else if step < 3 {
            change(&repository, &rotate(RoleKind::Targets)).unwrap();
        }
        verifies(&repository);
        repository.release(&[greet("2.0")]).unwrap();
        assert_eq!(repository.verify("greet").unwrap().version.as_str(), "2.0");
    }
    assert!(broken > 0, "no step was between the root and the rest");
}

#[test]
fn a_root_of_two_of_three_is_changed_by_two() {
    let (repository, second, third) = shared();
    let next = rotate(RoleKind::Targets);
    let code = refused(&repository, || change(&repository, &next));
    assert_eq!(code, "publish.threshold");

    let draft = repository.folder.path().join("2.root.json");
    let validity = Validity::from(NOW);
    let out = Some(&*draft);
    let made = repository
        .open()
        .change_root(&next, out, &repository.ring(), &validity, &Silent)
        .unwrap();
    assert!(!made.published && made.file.is_some());
    assert_eq!((made.by_former.have, made.by_former.needed), (1, 2));
    assert!(!repository.root().join("metadata/2.root.json").exists());
    verifies(&repository);
    // Nothing that is there is replaced.
    let code = refused(&repository, || {
        repository
            .open()
            .change_root(&next, out, &repository.ring(), &validity, &Silent)
    });
    assert_eq!(code, "publish.storage");

    let publish = |ring: &Keyring| {
        repository
            .open()
            .draft(&draft, ring)?
            .publish(ring, &validity, &Silent)
    };
    let code = refused(&repository, || publish(&repository.ring()));
    assert_eq!(code, "publish.threshold");
    // Whoever has no root key signs nothing.
    let nobody = repository.others(KeyFolder::new(repository.folder.path().join("nobody")));
    let sign = |ring: &Keyring| repository.open().draft(&draft, ring)?.sign(ring, &Silent);
    assert_eq!(refused(&repository, || sign(&nobody)), "publish.threshold");
    assert_eq!(
        refused(&repository, || sign(&repository.ring())),
        "publish.threshold"
    );
    let signed = sign(&second).unwrap();
    assert!(signed.by_former.are_enough() && signed.by_own.are_enough());
    // Enough is enough: another signature changes nothing, and is no error.
    let before = fs::read(&draft).unwrap();
    sign(&third).unwrap();
    assert_eq!(fs::read(&draft).unwrap(), before);
    // It lay about for too long: no reader would take it.
    let late = Validity::from(NOW.plus_days(365));
    let code = refused(&repository, || {
        let ring = repository.ring();
        repository
            .open()
            .draft(&draft, &ring)?
            .publish(&ring, &late, &Silent)
    });
    assert_eq!(code, "publish.draft");
    let made = publish(&repository.ring()).unwrap();
    assert_eq!(made.signed, ["targets", "snapshot", "timestamp"]);
    verifies(&repository);
    repository.release(&[greet("2.0")]).unwrap();

    // It was the next root, and is no more.
    assert_eq!(refused(&repository, || sign(&third)), "publish.draft");
    assert_eq!(refused(&repository, || publish(&third)), "publish.draft");
}

#[test]
fn a_draft_that_is_no_root_is_refused() {
    let repository = published();
    let draft = repository.folder.path().join("draft.json");
    let sign = || {
        repository
            .open()
            .draft(&draft, &repository.ring())?
            .sign(&repository.ring(), &Silent)
    };
    assert_eq!(refused(&repository, sign), "publish.storage");
    let timestamp = fs::read(repository.root().join("metadata/timestamp.json")).unwrap();
    for wrong in [
        &timestamp[..],
        b"{}",
        b"",
        &timestamp[..50],
        &vec![b'['; 600_000],
    ] {
        fs::write(&draft, wrong).unwrap();
        assert_eq!(refused(&repository, sign), "publish.draft");
    }
    // A threshold that nobody can meet, in a file that somebody else wrote.
    fs::remove_file(&draft).unwrap();
    let set = RootChange::Set {
        thresholds: vec![(RoleKind::Targets, 1)],
        lifetimes: vec![],
    };
    repository
        .open()
        .change_root(
            &set,
            Some(&draft),
            &repository.ring(),
            &Validity::from(NOW),
            &Silent,
        )
        .unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(&draft).unwrap()).unwrap();
    file["signed"]["roles"]["targets"]["threshold"] = 2.into();
    fs::write(&draft, file.to_string()).unwrap();
    assert_eq!(refused(&repository, sign), "publish.lockout");
    file["signed"]["roles"]["targets"]["threshold"] = 1.into();
    fs::write(&draft, file.to_string()).unwrap();
    sign().unwrap();
}

#[test]
fn nobody_is_locked_out() {
    let repository = published();
    let id = |role: usize| {
        let roles = repository.open().roles(&repository.ring()).unwrap();
        roles[role].keys[0].keyid.to_string()
    };
    let revoke = |role, keyid: &str, threshold| {
        let change_ = RootChange::Revoke {
            role,
            keyid: keyid.into(),
            threshold,
        };
        refused(&repository, || change(&repository, &change_))
    };
    assert_eq!(revoke(RoleKind::Root, &id(0), None), "publish.lockout");
    assert_eq!(revoke(RoleKind::Targets, &id(1), None), "publish.lockout");
    assert_eq!(
        revoke(RoleKind::Targets, &id(1), Some(0)),
        "publish.lockout"
    );
    assert_eq!(revoke(RoleKind::Targets, &id(0), None), "publish.key_id");
    assert_eq!(revoke(RoleKind::Targets, "x", None), "publish.key_id");
    for threshold in [0, 2] {
        let set = RootChange::Set {
            thresholds: vec![(RoleKind::Root, threshold)],
            lifetimes: vec![],
        };
        assert_eq!(
            refused(&repository, || change(&repository, &set)),
            "publish.lockout"
        );
        let add = RootChange::Add {
            role: RoleKind::Snapshot,
            key: new_key(),
            threshold: Some(threshold * 2),
        };
        if threshold == 0 {
            assert_eq!(
                refused(&repository, || change(&repository, &add)),
                "publish.lockout"
            );
        }
    }
    // The same with one key more is done.
    let add = RootChange::Add {
        role: RoleKind::Root,
        key: new_key(),
        threshold: Some(2),
    };
    change(&repository, &add).unwrap();
    verifies(&repository);
    let all = revoke(RoleKind::Root, "", None);
    assert_eq!(all, "publish.key_id", "every id starts with nothing");
    let which = rotate(RoleKind::Root);
    assert_eq!(
        refused(&repository, || change(&repository, &which)),
        "publish.key_id"
    );
    let again = RootChange::Add {
        role: RoleKind::Root,
        key: NewKey::Public(Box::new(
            SigningKey::from_pem(
                &fs::read_to_string(repository.keys().path().join("root.pem")).unwrap(),
            )
            .unwrap()
            .public(),
        )),
        threshold: None,
    };
    assert_eq!(
        refused(&repository, || change(&repository, &again)),
        "publish.key_id"
    );
    assert_eq!(revoke(RoleKind::Root, &id(0), None), "publish.lockout");
    let lower = RootChange::Revoke {
        role: RoleKind::Root,
        keyid: id(0),
        threshold: Some(1),
    };
    // Both sign, as the root before wants both.
    change(&repository, &lower).unwrap();
    verifies(&repository);
    let roles = repository.open().roles(&repository.ring()).unwrap();
    assert_eq!(
        (roles[0].keys.len(), roles[0].threshold, roles[0].version),
        (1, 1, 3)
    );
}

#[test]
fn a_threshold_holds_for_releases_too() {
    let repository = published();
    let add = RootChange::Add {
        role: RoleKind::Targets,
        key: new_key(),
        threshold: Some(2),
    };
    let made = change(&repository, &add).unwrap();
    assert_eq!(made.signed, ["targets", "snapshot", "timestamp"]);
    assert_eq!(repository.verify("greet").unwrap().keyids.len(), 2);
    drop(repository.give_away(&["targets-2.pem"], "away"));
    let code = refused(&repository, || {
        release_with(&repository, repository.ring(), "2.0")
    });
    assert_eq!(code, "publish.threshold");
    verifies(&repository);
}

#[test]
fn lifetimes_are_kept_in_the_root() {
    let repository = published();
    let set = RootChange::Set {
        thresholds: vec![],
        lifetimes: vec![(RoleKind::Timestamp, 2), (RoleKind::Root, 100)],
    };
    let made = change(&repository, &set).unwrap();
    assert_eq!(made.expires, NOW.plus_days(100));
    assert!(made.signed.is_empty());
    repository.release(&[greet("2.0")]).unwrap();
    let roles = repository.open().roles(&repository.ring()).unwrap();
    let days = [100, 365, 30, 2];
    for (role, days) in roles.iter().zip(days) {
        assert_eq!(role.expires, NOW.plus_days(days), "{}", role.role);
    }
}

#[test]
fn every_algorithm_makes_a_repository_that_verifies() {
    let repository = TestRepository::with(&Setup {
        algorithm: Algorithm::EcdsaP256,
        ..Setup::default()
    });
    repository.release(&[greet("1.0")]).unwrap();
    verifies(&repository);
    // One of another kind.
    change(&repository, &rotate(RoleKind::Timestamp)).unwrap();
    verifies(&repository);
    let schemes: Vec<String> = repository
        .open()
        .roles(&repository.ring())
        .unwrap()
        .iter()
        .map(|role| role.keys[0].scheme.clone())
        .collect();
    let p256 = "ecdsa-sha2-nistp256";
    assert_eq!(schemes, [p256, p256, p256, "ed25519"]);
    // Unless something else is asked for, as the one before.
    let same = RootChange::Rotate {
        role: RoleKind::Targets,
        keyid: None,
        key: NewKey::Make {
            algorithm: None,
            passphrase: None,
        },
    };
    change(&repository, &same).unwrap();
    verifies(&repository);
    let roles = repository.open().roles(&repository.ring()).unwrap();
    assert_eq!(roles[1].role, "targets");
    assert_eq!(roles[1].keys[0].scheme, p256);
}

#[test]
fn keys_are_taken_from_the_environment() {
    let repository = published();
    let mut ring = Keyring::new();
    ring.root = Some(repository.pin);
    for role in ONLINE {
        let path = repository
            .keys()
            .path()
            .join(format!("{}.pem", role.as_str()));
        let name = format!("WEBIMPORT_KEY_{}", role.as_str().to_uppercase());
        ring.variables
            .push((name, fs::read_to_string(path).unwrap()));
    }
    release_with(&repository, ring.clone(), "2.0").unwrap();
    let last = ring.variables.pop().unwrap();
    let code = refused(&repository, || {
        release_with(&repository, ring.clone(), "3.0")
    });
    assert_eq!(code, "publish.key");
    ring.variables.push((last.0, last.1[..60].to_owned()));
    let code = refused(&repository, || {
        release_with(&repository, ring.clone(), "3.0")
    });
    assert_eq!(code, "publish.key_syntax");
}

/// A repository whose root keys are encrypted with `open sesame`.
fn encrypted() -> TestRepository {
    let repository = TestRepository::with(&Setup {
        passphrase: Some("open sesame".into()),
        root_keys: 2,
        root_threshold: 2,
        ..Setup::default()
    });
    repository.release(&[greet("1.0")]).unwrap();
    repository
}

#[test]
fn encrypted_root_keys_need_their_passphrase_and_releases_do_not() {
    let repository = encrypted();
    let with = |passphrase| {
        let mut ring = repository.ring();
        ring.passphrase = passphrase;
        change_with(&repository, &ring, &rotate(RoleKind::Timestamp))
    };
    let code = refused(&repository, || with(Passphrase::None));
    assert_eq!(code, "publish.key_locked");
    let code = refused(&repository, || {
        with(Passphrase::Given("open sesamf".into()))
    });
    assert_eq!(code, "publish.passphrase");
    let code = refused(&repository, || with(Passphrase::Ask(|_| None)));
    assert_eq!(code, "publish.key_locked");
    let asked = with(Passphrase::Ask(|origin| {
        // Both keys have the same one, so nobody is asked twice.
        assert!(origin.ends_with("root-2.pem"), "{origin}");
        Some("open sesame".into())
    }));
    asked.unwrap();
    with(Passphrase::Given("open sesame".into())).unwrap();
    verifies(&repository);
}

/// Damages a key file and returns the code of what a release says then.
fn with_damaged_key(name: &str, damage: impl FnOnce(&Path)) -> &'static str {
    let repository = published();
    damage(&repository.keys().path().join(name));
    refused(&repository, || {
        release_with(&repository, repository.ring(), "2.0")
    })
}

#[test]
fn damaged_key_files_are_refused_by_name() {
    let cut = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, &text[..text.len() / 2]).unwrap();
    };
    assert_eq!(with_damaged_key("targets.pem", cut), "publish.key_syntax");
    let empty = |path: &Path| fs::write(path, "").unwrap();
    assert_eq!(
        with_damaged_key("snapshot.pem", empty),
        "publish.key_syntax"
    );
    let long = |path: &Path| fs::write(path, vec![b'x'; 20_000]).unwrap();
    assert_eq!(with_damaged_key("snapshot.pem", long), "publish.key_syntax");
    let binary = |path: &Path| fs::write(path, [0xff; 40]).unwrap();
    assert_eq!(
        with_damaged_key("timestamp.pem", binary),
        "publish.key_syntax"
    );
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    assert_eq!(with_damaged_key("timestamp.pem", gone), "publish.key");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let open = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        };
        assert_eq!(
            with_damaged_key("targets.pem", open),
            "publish.key_permissions"
        );
    }
    // A damaged key of another role, and what is no key at all, is nobody's business.
    let repository = published();
    cut(&repository.keys().path().join("root.pem"));
    fs::write(
        repository.keys().path().join("certificate.pem"),
        "-----BEGIN",
    )
    .unwrap();
    release_with(&repository, repository.ring(), "2.0").unwrap();
}

const KEY: &str = "WEBIMPORT_TEST_SIGNER_KEY";
const SIGNATURE: &str = "WEBIMPORT_TEST_SIGNER_SIGNATURE";

/// Not a test of its own: the program behind the signer command of the next one.
#[test]
#[ignore = "run by `a_command_signs`"]
fn signer_command() {
    let (Some(key), Some(out)) = (std::env::var_os(KEY), std::env::var_os(SIGNATURE)) else {
        return;
    };
    let folder = PathBuf::from(key);
    let role = std::env::var("WEBIMPORT_SIGN_ROLE").unwrap();
    let pem = fs::read_to_string(folder.join(format!("{role}.pem"))).unwrap();
    let key = SigningKey::from_pem(&pem).unwrap();
    assert_eq!(
        std::env::var("WEBIMPORT_SIGN_KEYID").unwrap(),
        key.public().id().to_string()
    );
    let public: serde_json::Value =
        serde_json::from_str(&std::env::var("WEBIMPORT_SIGN_KEY").unwrap()).unwrap();
    assert_eq!(public, serde_json::to_value(key.public()).unwrap());
    let mut message = Vec::new();
    std::io::stdin().read_to_end(&mut message).unwrap();
    fs::write(out, key.sign_bytes(&message)).unwrap();
}

fn ring_of(repository: &TestRepository, command: String, timeout: Duration) -> Keyring {
    let mut ring = Keyring::new();
    ring.root = Some(repository.pin);
    let mut signer = SignerCommand::new(command);
    signer.timeout = timeout;
    ring.command = Some(signer);
    ring
}

#[cfg(unix)]
#[test]
fn a_command_signs() {
    let repository = published();
    let signature = repository.folder.path().join("signature");
    let command = format!(
        "{KEY}='{}' {SIGNATURE}='{}' '{}' --exact signer_command --ignored >/dev/null && cat '{}'",
        repository.keys().path().display(),
        signature.display(),
        std::env::current_exe().unwrap().display(),
        signature.display(),
    );
    let ring = ring_of(&repository, command, Duration::from_mins(1));
    release_with(&repository, ring.clone(), "2.0").unwrap();
    assert_eq!(repository.verify("greet").unwrap().version.as_str(), "2.0");
    // A key that only the command has takes the place of one in a file: its public half is enough.
    let public = SigningKey::from_seed([9; 32]);
    let rotated = RootChange::Rotate {
        role: RoleKind::Timestamp,
        keyid: None,
        key: NewKey::Public(Box::new(public.public())),
    };
    let code = refused(&repository, || change(&repository, &rotated));
    assert_eq!(code, "publish.key");
    let mut both = repository.ring();
    both.command = ring.command;
    both.root = ring.root;
    let pem = public.to_pem().unwrap();
    fs::write(repository.keys().path().join("timestamp.pem"), pem).unwrap();
    // Out of sight of the folder's own search, in that of the command.
    both.folder = Some(KeyFolder::new(repository.folder.path().join("some")));
    fs::create_dir(repository.folder.path().join("some")).unwrap();
    for key in ["root.pem", "targets.pem", "snapshot.pem"] {
        fs::copy(
            repository.keys().path().join(key),
            repository.folder.path().join("some").join(key),
        )
        .unwrap();
    }
    let made = change_with(&repository, &both, &rotated).unwrap();
    assert_eq!((made.file, made.signed), (None, vec!["timestamp"]));
    assert_eq!(repository.verify("greet").unwrap().version.as_str(), "2.0");
}

#[cfg(unix)]
#[test]
fn a_command_does_not_see_other_keys() {
    let repository = published();
    let (folder, pin) = (
        repository.folder.path(),
        format!("sha256:{}", repository.pin),
    );
    let wheel = greet("2.0").write(folder);
    let output = support::command(folder, &["release", wheel.to_str().unwrap()])
        .args(["--repo", "repo", "--bytecode", "off", "--root", &pin])
        .args(["--signer-command", "export > seen; exit 1"])
        .env("WEBIMPORT_KEY_ROOT", "of the root")
        .env("WEBIMPORT_PASSPHRASE", "open sesame")
        .env("WEBIMPORT_TEST_OTHER", "stays")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let seen = fs::read_to_string(folder.join("seen")).unwrap();
    for there in ["WEBIMPORT_SIGN_ROLE", "WEBIMPORT_TEST_OTHER"] {
        assert!(seen.contains(there), "{seen}");
    }
    for hidden in [
        "WEBIMPORT_KEY_",
        "WEBIMPORT_PASSPHRASE",
        "of the root",
        "sesame",
    ] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
}

#[cfg(unix)]
#[test]
fn a_command_that_does_not_sign_is_refused() {
    let repository = published();
    let right = SigningKey::from_seed([1; 32]).sign_bytes(b"another message");
    for (command, reason) in [
        ("exit 3".to_owned(), "exit status: 3"),
        ("true".into(), "neither hex nor base64"),
        ("echo no".into(), "neither hex nor base64"),
        ("printf '\\377'".into(), "no text"),
        (format!("echo {right}"), "does not verify"),
        (
            "while :; do echo 00000000000000000000000000; done".into(),
            "more than 4096",
        ),
        ("no-such-program-anywhere".into(), "exit status: 127"),
    ] {
        let ring = ring_of(&repository, command.clone(), Duration::from_mins(1));
        let before = repository.everything();
        let error = release_with(&repository, ring, "2.0").unwrap_err();
        assert_eq!(error.code(), "publish.signer", "{command}: {error}");
        assert!(error.to_string().contains(reason), "{command}: {error}");
        assert!(before == repository.everything(), "{command}");
    }
    let slow = ring_of(&repository, "sleep 60".into(), Duration::from_millis(20));
    let error = release_with(&repository, slow, "2.0").unwrap_err();
    assert!(error.to_string().contains("took longer"), "{error}");
}
