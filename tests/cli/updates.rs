//! Updates: when a release has one, what it makes, and what `verify` and `doctor` say of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use support::{NOW, TestRepository, WheelBuilder};
use webimport_cli::doctor::{Depth, DoctorOptions, Verdict, doctor};
use webimport_cli::observe::Silent;
use webimport_cli::release::{Released, release};
use webimport_cli::repository::Published;
use webimport_cli::verify::Transport;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded as _;
use webimport_core::manifest::object_path;
use webimport_core::sign::{SigningKey, sign_role};

/// A package of forty modules, in which one of them says which version it is.
fn greet(version: &str) -> WheelBuilder {
    let mut wheel = WheelBuilder::new("greet", "1.0");
    wheel.version = version.into();
    for module in 0..40_u32 {
        let mut text = String::new();
        for line in 0..40_u32 {
            // Not the same in any two lines, as code is.
            let number = (module * 40 + line).wrapping_mul(2_654_435_761);
            writeln!(text, "value_{line} = {number}").unwrap();
        }
        wheel = wheel.file(&format!("greet/module{module}.py"), text);
    }
    wheel
}

fn released(repository: &TestRepository, version: &str) -> Released {
    repository.release(&[greet(version)]).unwrap()
}

fn on_channel(repository: &TestRepository, version: &str, channel: &str) -> Released {
    let folder = tempfile::tempdir().unwrap();
    let mut options = repository.options(&[greet(version).write(folder.path())]);
    options.channel = Some(channel.parse().unwrap());
    release(&options, &Silent).unwrap()
}

/// The newest targets metadata, and their version.
fn targets(repository: &TestRepository) -> (u64, Value) {
    let metadata = repository.root().join("metadata");
    let snapshot = fs::read(metadata.join("timestamp.json")).unwrap();
    let timestamp: Value = serde_json::from_slice(&snapshot).unwrap();
    let version = timestamp["signed"]["meta"]["snapshot.json"]["version"]
        .as_u64()
        .unwrap();
    let targets = fs::read(metadata.join(format!("{version}.targets.json"))).unwrap();
    let mut targets: Value = serde_json::from_slice(&targets).unwrap();
    (version, targets["signed"].take())
}

/// What the newest metadata say of the updates of a release.
fn updates(repository: &TestRepository, version: &str) -> Value {
    let (_, targets) = targets(repository);
    let target = &targets["targets"][format!("greet/{version}/release.json")];
    target["custom"]["webimport"]["updates"].clone()
}

fn path(repository: &TestRepository, update: &Value) -> PathBuf {
    let sha256 = update["sha256"].as_str().unwrap().parse().unwrap();
    repository.root().join(object_path(sha256))
}

#[test]
fn a_release_has_an_update_from_the_one_that_its_channel_named() {
    let repository = TestRepository::new();
    let first = released(&repository, "1.0");
    assert_eq!(updates(&repository, "1.0"), Value::Null);
    let second = released(&repository, "1.1");
    let named = updates(&repository, "1.1");
    assert_eq!(named[0]["from"], first.sha256.to_string());
    assert_eq!(named.as_array().unwrap().len(), 1);

    let file = fs::read(path(&repository, &named[0])).unwrap();
    assert_eq!(named[0]["size"], file.len());
    assert!(
        file.len() < 2_048 && second.bytes > 10 * 1_024,
        "{} of {}",
        file.len(),
        second.bytes
    );
    let verified = repository.verify("greet").unwrap();
    let [update] = &verified.updates[..] else {
        panic!("{:?}", verified.updates);
    };
    assert_eq!(
        (update.from, update.bytes),
        (first.sha256, file.len() as u64)
    );
    assert_eq!(update.version.as_ref().unwrap().to_string(), "1.0");

    // The publisher is told, again where the same is released again.
    assert_eq!(first.updates, []);
    for told in [second.updates, released(&repository, "1.1").updates] {
        let [told] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(told.bytes, update.bytes);
        assert_eq!(told.from.to_string(), "1.0");
    }
}

#[test]
fn the_same_releases_have_the_same_update() {
    let of = || {
        let repository = TestRepository::new();
        released(&repository, "1.0");
        released(&repository, "1.1");
        updates(&repository, "1.1")
    };
    assert_eq!(of(), of());
}

#[test]
fn a_release_of_which_nothing_was_there_before_has_none() {
    let repository = TestRepository::new();
    released(&repository, "1.0");
    let mut other = WheelBuilder::new("greet", "2.0");
    other.files.clear();
    let mut text = String::new();
    for number in 0..2_000_u32 {
        write!(text, "{:x}", number.wrapping_mul(2_246_822_519)).unwrap();
    }
    let other = other.file("greet/other.py", format!("'{text}'\n"));
    repository.release(&[other]).unwrap();
    assert_eq!(updates(&repository, "2.0"), Value::Null);
}

#[test]
fn a_release_before_that_is_not_whole_in_the_folder_is_no_reason_to_fail() {
    let repository = TestRepository::new();
    let first = released(&repository, "1.0");
    let manifest = format!("targets/greet/1.0/{}.release.json", first.sha256);
    fs::remove_file(repository.root().join(manifest)).unwrap();
    released(&repository, "1.1");
    assert_eq!(updates(&repository, "1.1"), Value::Null);
}

#[test]
fn a_channel_that_moves_to_a_release_brings_an_update() {
    let repository = TestRepository::new();
    let first = released(&repository, "1.0");
    on_channel(&repository, "1.1", "next");
    assert_eq!(updates(&repository, "1.1"), Value::Null);
    let moved = on_channel(&repository, "1.1", "stable");
    assert_eq!(moved.change, Published::ChannelMoved);
    let from = first.sha256.to_string();
    assert_eq!(updates(&repository, "1.1")[0]["from"], from);
    // Two channels name it; each was at another release before.
    let other = on_channel(&repository, "1.0.1", "old");
    on_channel(&repository, "1.1", "old");
    let updates = updates(&repository, "1.1");
    assert_eq!(updates[0]["from"], from);
    assert_eq!(updates[1]["from"], other.sha256.to_string());
    repository.verify("greet@1.1").unwrap();
}

#[test]
fn updates_of_a_release_are_forgotten_when_no_channel_names_it() {
    let repository = TestRepository::new();
    released(&repository, "1.0");
    let second = released(&repository, "1.1");
    released(&repository, "1.2");
    assert_eq!(updates(&repository, "1.1"), Value::Null);
    let from = second.sha256.to_string();
    assert_eq!(updates(&repository, "1.2")[0]["from"], from);
    repository.verify("greet@1.1").unwrap();
}

#[test]
fn publishing_again_mends_an_update_that_was_lost() {
    let repository = TestRepository::new();
    released(&repository, "1.0");
    released(&repository, "1.1");
    let file = path(&repository, &updates(&repository, "1.1")[0]);
    let right = fs::read(&file).unwrap();
    for damage in [None, Some("changed")] {
        match damage {
            None => fs::remove_file(&file).unwrap(),
            Some(text) => fs::write(&file, text).unwrap(),
        }
        assert!(repository.verify("greet").is_err());
        assert_eq!(released(&repository, "1.1").change, Published::Nothing);
        assert_eq!(fs::read(&file).unwrap(), right);
        repository.verify("greet").unwrap();
    }
}

#[test]
fn the_doctor_misses_an_update_that_is_lost() {
    let repository = TestRepository::new();
    released(&repository, "1.0");
    released(&repository, "1.1");
    let objects = || {
        let options = DoctorOptions {
            repository: repository.root().display().to_string(),
            root: Some(repository.pin),
            now: NOW,
            depth: Depth::Presence,
            transport: Transport::default(),
        };
        let checks = doctor(&options, &Silent).unwrap().checks;
        checks
            .into_iter()
            .find(|check| check.name == "objects")
            .unwrap()
    };
    assert_eq!(objects().verdict, Verdict::Ok);
    let file = path(&repository, &updates(&repository, "1.1")[0]);
    fs::remove_file(&file).unwrap();
    let lost = objects();
    assert_eq!(lost.verdict, Verdict::Fail);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(lost.message.contains(name), "{}", lost.message);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Signs, for the newest release 1.1, an update with this header and these literals.
fn sign_update(repository: &TestRepository, header: &Value, literals: &[u8]) {
    let header = header.to_string().into_bytes();
    let length = u32::try_from(header.len()).unwrap().to_le_bytes();
    let decoded = [&length[..], &header, literals].concat();
    let stored = gzip(&decoded);
    let sha256 = Sha256Digest::of(&stored);
    let file = repository.root().join(object_path(sha256));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, &stored).unwrap();
    let (version, mut targets) = targets(repository);
    let target = &mut targets["targets"]["greet/1.1/release.json"];
    let update = &mut target["custom"]["webimport"]["updates"][0];
    update["sha256"] = json!(sha256);
    update["size"] = json!(stored.len());
    update["decoded_size"] = json!(decoded.len());
    update["decoded_sha256"] = json!(Sha256Digest::of(&decoded));
    put(repository, targets, version + 1);
}

/// Signs targets metadata, and the snapshot and timestamp that name them.
fn put(repository: &TestRepository, mut targets: Value, version: u64) {
    targets["version"] = json!(version);
    let metadata = repository.root().join("metadata");
    let sign = |name: &str, role: &Value| {
        let pem = fs::read_to_string(repository.keys().path().join(format!("{name}.pem")));
        let key = SigningKey::from_pem(&pem.unwrap()).unwrap();
        sign_role(role, std::slice::from_ref(&key)).unwrap()
    };
    let meta = |bytes: &[u8]| {
        let hashes = json!({"sha256": Sha256Digest::of(bytes)});
        json!({"hashes": hashes, "length": bytes.len(), "version": version})
    };
    let role = |name: &str, meta: Value| {
        let expires = targets["expires"].clone();
        json!({"_type": name, "spec_version": "1.0.31", "version": version, "expires": expires, "meta": meta})
    };
    let snapshot = |targets: &[u8]| role("snapshot", json!({"targets.json": meta(targets)}));
    let timestamp = |snapshot: &[u8]| role("timestamp", json!({"snapshot.json": meta(snapshot)}));
    let signed = sign("targets", &targets);
    let snapshot = sign("snapshot", &snapshot(&signed));
    let timestamp = sign("timestamp", &timestamp(&snapshot));
    fs::write(metadata.join(format!("{version}.targets.json")), signed).unwrap();
    fs::write(metadata.join(format!("{version}.snapshot.json")), snapshot).unwrap();
    fs::write(metadata.join("timestamp.json"), timestamp).unwrap();
}

#[test]
fn verify_refuses_an_update_that_makes_something_else() {
    let repository = TestRepository::new();
    let first = released(&repository, "1.0");
    let second = released(&repository, "1.1");
    let read = |version: &str, sha256| {
        let file = format!("targets/greet/{version}/{sha256}.release.json");
        fs::read(repository.root().join(file)).unwrap()
    };
    let (old, new) = (read("1.0", first.sha256), read("1.1", second.sha256));
    let header = |source: Sha256Digest, output: Sha256Digest| {
        json!({
            "format": "webimport-update/1",
            "sources": [{"sha256": source, "size": old.len()}],
            "outputs": [{
                "sha256": output,
                "size": new.len(),
                "parts": [1, 0, 1, 0, 1, new.len() - 1],
            }],
        })
    };
    sign_update(&repository, &header(first.sha256, second.sha256), &new);
    repository.verify("greet").unwrap();

    let other = Sha256Digest::of(b"other");
    let mut evil = new.clone();
    evil[9] ^= 1;
    for (header, literals, code, reason) in [
        (
            header(first.sha256, second.sha256),
            &evil,
            "verify.digest",
            "",
        ),
        (
            header(first.sha256, other),
            &new,
            "verify.malformed",
            "nothing of the release",
        ),
        (
            header(other, second.sha256),
            &new,
            "verify.malformed",
            "that it is from",
        ),
        (json!({}), &new, "verify.malformed", "format"),
    ] {
        sign_update(&repository, &header, literals);
        let error = repository.verify("greet").map(drop).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn verify_says_of_what_it_cannot_compare_that_it_is_not_named() {
    let repository = TestRepository::new();
    let first = released(&repository, "1.0");
    released(&repository, "1.1");
    let (version, mut targets) = targets(&repository);
    let all = targets["targets"].as_object_mut().unwrap();
    all.remove("greet/1.0/release.json").unwrap();
    put(&repository, targets, version + 1);
    let [update] = &repository.verify("greet").unwrap().updates[..] else {
        panic!("expected one update");
    };
    assert_eq!((update.from, &update.version), (first.sha256, &None));
}
