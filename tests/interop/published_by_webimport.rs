//! Repositories of webimport, read by the clients of python-tuf and sigstore-tuf.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::SystemTime;

use webimport_cli::roots::{NewKey, RootChange};
use webimport_core::metadata::RoleKind;
use webimport_core::names::Channel;
use webimport_core::sign::Algorithm;
use webimport_core::time::UnixTime;
use webimport_interop_tests::clients;
use webimport_interop_tests::files::{Changes, Files};
use webimport_interop_tests::python::{PythonTuf, Question};
use webimport_interop_tests::repositories::{self, OurRepository, RELEASES};
use webimport_interop_tests::{Load, Outcome};

/// python-tuf as it is has the system's clock.
fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a clock that was set");
    UnixTime(i64::try_from(since.as_secs()).expect("a clock that was set"))
}

/// Serves a repository as `webimport serve` does. It ends with the test program.
fn serve(root: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound port");
    listener.set_nonblocking(true).expect("a bound port");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a bound port");
            axum::serve(listener, webimport_cli::serve::router(root))
                .await
                .expect("a server");
        });
    });
    address
}

fn target(name: &str, version: &str) -> String {
    format!("{name}/{version}/release.json")
}

fn content<'a>(files: &'a Files, name: &str, version: &str) -> &'a [u8] {
    &files[&repositories::manifest(files, &target(name, version))]
}

fn every_release(channel_of_first: &str) -> OurRepository {
    let repository = OurRepository::new(now());
    for (name, version) in RELEASES {
        repository.release(name, version, Channel::stable());
    }
    // The first release is there already: its channel moves, which is new metadata for the same target.
    let (name, version) = RELEASES[0];
    let channel = channel_of_first.parse().expect("a channel");
    repository.release(name, version, channel);
    repository
}

#[test]
fn python_tuf_takes_every_release_from_our_server() {
    let repository = every_release("next");
    let url = format!("http://{}/", serve(repository.root()));
    let files = repository.files();
    let root = &files["metadata/1.root.json"];
    let questions: Vec<Question> = RELEASES
        .iter()
        .map(|(name, version)| Question::of_server(&url, root, &target(name, version)))
        .collect();
    let answers = PythonTuf::start().ask(&questions);
    for ((name, version), answer) in RELEASES.iter().zip(answers) {
        let expected = content(&files, name, version).to_vec();
        assert_eq!(answer, Outcome::Accepted(expected), "{name} {version}");
    }
}

#[test]
fn python_tuf_refuses_a_manifest_that_is_not_the_signed_one() {
    let repository = every_release("next");
    let files = repository.files();
    let path = repositories::manifest(&files, &target("demo", "1.0"));
    let mut other = files[&path].clone();
    other[0] ^= 1;
    std::fs::write(repository.root().join(path), other).expect("a repository that can be written");
    let url = format!("http://{}/", serve(repository.root()));
    let root = &files["metadata/1.root.json"];
    let asked =
        ["1.0", "1.1"].map(|version| Question::of_server(&url, root, &target("demo", version)));
    let answers = PythonTuf::start().ask(&asked);
    assert!(!answers[0].is_accepted());
    assert!(answers[1].is_accepted());
}

#[test]
fn sigstore_tuf_takes_every_release() {
    let repository = every_release("next");
    let files = repository.files();
    for (name, version) in RELEASES {
        let outcome = clients::sigstore(&Load {
            files: &files,
            root: &files["metadata/1.root.json"],
            seen: None,
            target: &target(name, version),
            now: now(),
        });
        let expected = content(&files, name, version).to_vec();
        assert_eq!(outcome, Outcome::Accepted(expected), "{name} {version}");
    }
}

/// A second root key on another curve, for a threshold of 2, another timestamp key, and another key in place of the
/// first one.
fn change_keys(repository: &OurRepository) {
    let key = |algorithm| NewKey::Make {
        algorithm,
        passphrase: None,
    };
    let first = {
        let root: serde_json::Value =
            serde_json::from_slice(&repository.files()["metadata/1.root.json"]).expect("a root");
        let keyid = root["signed"]["roles"]["root"]["keyids"][0].as_str();
        keyid.expect("a key id").to_owned()
    };
    for change in [
        RootChange::Add {
            role: RoleKind::Root,
            key: key(Some(Algorithm::EcdsaP256)),
            threshold: Some(2),
        },
        RootChange::Rotate {
            role: RoleKind::Timestamp,
            keyid: None,
            key: key(Some(Algorithm::EcdsaP256)),
        },
        RootChange::Rotate {
            role: RoleKind::Root,
            keyid: Some(first),
            key: key(Some(Algorithm::Ed25519)),
        },
    ] {
        repository.change_root(&change);
    }
}

#[test]
fn both_follow_a_change_of_keys_from_the_first_root_and_from_what_they_know() {
    let repository = every_release("next");
    let earlier = repository.files();
    change_keys(&repository);
    repository.release("demo", "1.2", Channel::stable());
    let files = repository.files();
    assert!(files.contains_key("metadata/4.root.json"));
    let (root, target, now) = (&files["metadata/1.root.json"], target("demo", "1.2"), now());
    let expected = Outcome::Accepted(content(&files, "demo", "1.2").to_vec());
    let mut python = PythonTuf::start();
    python.keep([("earlier", &earlier), ("now", &files)]);
    for seen in [None, Some(&earlier)] {
        let load = Load {
            files: &files,
            root,
            seen,
            target: &target,
            now,
        };
        assert_eq!(clients::sigstore(&load), expected);
        assert_eq!(clients::webimport(&load), expected);
        let question = Question::of_kept("now", &Changes::new(), root, &target, now);
        let question = question.having_seen(seen.map(|_| "earlier"));
        assert_eq!(python.ask(&[question])[0], expected);
    }
}
