//! Repositories of python-tuf that name releases of webimport, read by `webimport verify`.

use std::path::Path;

use tempfile::TempDir;
use webimport_cli::observe::Silent;
use webimport_cli::verify::{CheckError, Transport, VerifiedRelease, VerifyOptions, verify};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, Error};
use webimport_interop_tests::Specimen;
use webimport_interop_tests::repositories::{self, Delegation, NOW};
use webimport_interop_tests::workshop::id;
use webimport_interop_tests::{Load, Outcome, clients, files};

fn publish(delegation: Delegation) -> (TempDir, Specimen) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let specimen = repositories::by_python_tuf(folder.path(), delegation, NOW);
    (folder, specimen)
}

fn load(folder: &Path, release: &str) -> Result<VerifiedRelease, CheckError> {
    let root = std::fs::read(folder.join("metadata/1.root.json")).expect("a first root");
    verify(
        &VerifyOptions {
            release: format!("{}/{release}", folder.display()),
            root: Sha256Digest::of(&root),
            now: NOW,
            transport: Transport::default(),
        },
        &Silent,
    )
}

#[track_caller]
fn assert_version(folder: &Path, release: &str, version: &str) {
    let loaded = load(folder, release).expect(release);
    assert_eq!(loaded.version.to_string(), version, "{release}");
    assert_eq!(
        loaded.modules,
        [release.split('@').next().unwrap_or_default()]
    );
}

#[track_caller]
fn assert_code(folder: &Path, release: &str, code: &str) {
    let refused = load(folder, release).expect_err(release);
    assert_eq!(refused.code(), code, "{refused}");
}

#[test]
fn webimport_loads_releases_by_version_and_by_channel() {
    let (folder, _) = publish(Delegation::Paths);
    for (release, version) in [
        ("demo@1.0", "1.0"),
        ("demo@1.1", "1.1"),
        ("demo", "1.1"),
        ("teamlib@1.0", "1.0"),
        ("teamlib@1.1", "1.1"),
        ("teamlib", "1.1"),
        ("teamlib@old", "1.0"),
    ] {
        assert_version(folder.path(), release, version);
    }
    assert_code(folder.path(), "demo@2.0", "resolve.unknown_version");
    assert_code(folder.path(), "demo@old", "resolve.unknown_channel");
    assert_code(folder.path(), "other", "resolve.unknown_name");
}

#[test]
fn webimport_says_who_signed_a_delegated_release() {
    let (folder, specimen) = publish(Delegation::Paths);
    let workshop = specimen.workshop();
    let signers = |role: &str| -> Vec<String> {
        let signers = workshop.signers(&workshop.current(role));
        signers.into_iter().map(id).collect()
    };
    for (release, role) in [("demo", "targets"), ("teamlib", "team")] {
        let loaded = load(folder.path(), release).expect(release);
        let keyids: Vec<String> = loaded.keyids.iter().map(ToString::to_string).collect();
        assert_eq!(keyids, signers(role), "{release}");
    }
}

#[test]
fn webimport_loads_releases_from_hash_bins_by_version() {
    let (folder, _) = publish(Delegation::Bins);
    for version in ["1.0", "1.1"] {
        assert_version(folder.path(), &format!("teamlib@{version}"), version);
    }
    assert_version(folder.path(), "demo", "1.1");
    // Which bin has a channel's release cannot be told from its name: the whole path decides.
    assert_code(folder.path(), "teamlib", "resolve.unknown_name");
}

#[test]
fn a_role_names_releases_only_where_its_delegator_lets_it() {
    let (folder, specimen) = publish(Delegation::Paths);
    for (paths, code) in [
        (["teamlib/1.?/*"], None),
        (["teamlib/2.?/*"], Some("resolve.unknown_name")),
        (["otherlib/*/*"], Some("resolve.unknown_name")),
    ] {
        let mut workshop = specimen.workshop();
        let targets = workshop.current("targets");
        let mut signed = workshop.signed(&targets);
        signed["delegations"]["roles"][0]["paths"] = serde_json::json!(paths);
        workshop.publish(&targets, &signed);
        files::write(&workshop.files, folder.path());
        match code {
            None => assert_version(folder.path(), "teamlib@1.1", "1.1"),
            Some(code) => assert_code(folder.path(), "teamlib@1.1", code),
        }
    }
}

#[test]
fn webimport_follows_a_rotation_of_keys_from_what_it_knows() {
    let (_folder, specimen) = publish(Delegation::Paths);
    let load = Load {
        files: &specimen.files,
        root: &specimen.files["metadata/1.root.json"],
        seen: Some(&specimen.earlier),
        target: specimen.target,
        now: NOW,
    };
    assert!(clients::webimport(&load).is_accepted());
    // Without the root in between there is no way to the newest one, and the rest is not signed by the old keys.
    let mut files = specimen.files.clone();
    files.remove("metadata/2.root.json");
    let load = Load {
        files: &files,
        ..load
    };
    let Outcome::Refused(reason) = clients::webimport(&load) else {
        panic!("accepted without the second root");
    };
    assert!(reason.starts_with("verify.threshold: "), "{reason}");
}

#[test]
fn webimport_refuses_an_expired_repository() {
    let (folder, _) = publish(Delegation::Paths);
    let root = std::fs::read(folder.path().join("metadata/1.root.json")).expect("a first root");
    let at = |now| {
        verify(
            &VerifyOptions {
                release: format!("{}/teamlib", folder.path().display()),
                root: Sha256Digest::of(&root),
                now,
                transport: Transport::default(),
            },
            &Silent,
        )
    };
    assert!(at(NOW.plus_days(29)).is_ok());
    let refused = at(NOW.plus_days(30));
    assert!(
        matches!(refused, Err(CheckError::Refused(Error::Verify(_)))),
        "{refused:?}"
    );
}
