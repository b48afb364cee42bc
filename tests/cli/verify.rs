//! Everything that a published release can have wrong, and every way in which a server can misbehave.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use support::{NOW, TestRepository, WheelBuilder, files, raw_server, response};
use webimport_cli::observe::Silent;
use webimport_cli::repository::{Publication, Repository, SnapshotPublication, Validity};
use webimport_cli::verify::CheckError;
use webimport_core::error::Coded as _;
use webimport_core::snapshot::{MemorySnapshot, SnapshotRelease};

const HTML: &[u8] = b"<!doctype html><title>Welcome</title>";

fn published() -> TestRepository {
    let repository = TestRepository::new();
    repository
        .release(&[WheelBuilder::new("greet", "1.0").file("greet/words.txt", "hello\n".repeat(50))])
        .unwrap();
    repository
}

fn code(result: Result<impl Sized, CheckError>) -> &'static str {
    match result {
        Ok(_) => "",
        Err(error) => {
            assert!(!error.hint().is_empty());
            error.code()
        }
    }
}

/// A file of the repository at the path that a request asks for.
fn from_disk(root: &Path, path: &str) -> Option<Vec<u8>> {
    fs::read(root.join(path.trim_start_matches('/').replace("%2B", "+"))).ok()
}

/// Serves the repository, except that `misbehave` may answer in its place, given path and right content.
fn serve(
    repository: &TestRepository,
    misbehave: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> String {
    let root: PathBuf = repository.root();
    let address = raw_server(move |path| match from_disk(&root, path) {
        None => response("404 Not Found", b"not found"),
        Some(content) => misbehave(path, &content).unwrap_or_else(|| response("200 OK", &content)),
    });
    format!("http://{address}/greet")
}

/// Files that a reader of the release needs.
fn needed(repository: &TestRepository) -> Vec<String> {
    files(&repository.root())
        .into_iter()
        .filter(|file| !file.starts_with('.'))
        .filter(|file| !["metadata/1.snapshot.json", "metadata/1.targets.json"].contains(&&**file))
        .collect()
}

#[test]
fn a_release_is_verified_from_a_folder_and_from_a_server() {
    let repository = published();
    let here = repository.verify("greet").unwrap();
    let there = repository
        .verify_at(&serve(&repository, |_, _| None), NOW)
        .unwrap();
    assert_eq!(
        (here.sha256, here.files, here.bytes),
        (there.sha256, there.files, there.bytes)
    );
    let real = format!("http://{}/greet@1.0", support::serve(repository.root()));
    assert_eq!(
        repository.verify_at(&real, NOW).unwrap().sha256,
        here.sha256
    );
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    let repository = published();
    for file in needed(&repository) {
        let path = repository.root().join(&file);
        let right = fs::read(&path).unwrap();
        for place in [0, right.len() / 2, right.len() - 1] {
            let mut wrong = right.clone();
            wrong[place] ^= 1;
            fs::write(&path, wrong).unwrap();
            let got = code(repository.verify("greet"));
            assert!(
                got.starts_with("verify.") || got == "trust.root_mismatch",
                "{file} at {place}: `{got}`"
            );
        }
        fs::write(&path, &right).unwrap();
        repository.verify("greet").unwrap();
    }
}

/// Publishes, by hand, the release that is there once more as 2.0, with a wrong digest for one file.
fn publish_wrong_digest(repository: &TestRepository) {
    let released = repository.verify("greet").unwrap().sha256;
    let root = repository.root();
    let path = root.join(format!("targets/greet/1.0/{released}.release.json"));
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    manifest["version"] = "2.0".into();
    let file = manifest["files"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|file| file["path"] == "greet/words.txt")
        .unwrap();
    file["sha256"] = "0".repeat(64).into();
    let publication = Publication {
        name: "greet".parse().unwrap(),
        version: "2.0".parse().unwrap(),
        channel: "next".parse().unwrap(),
        manifest: serde_json::to_vec(&manifest).unwrap(),
        objects: BTreeMap::new(),
    };
    Repository::open(root)
        .unwrap()
        .publish(
            &publication,
            &repository.ring(),
            &Validity::from(NOW),
            &Silent,
        )
        .unwrap();
}

#[test]
fn a_wrong_digest_in_a_signed_manifest_is_the_publishers_fault() {
    let repository = published();
    publish_wrong_digest(&repository);
    repository.verify("greet").unwrap();
    let error = repository.verify("greet@next").err().unwrap();
    assert_eq!(error.code(), "verify.digest");
    let (message, hint) = (error.to_string(), error.hint());
    assert!(
        message.contains("greet/words.txt") && message.contains("manifest"),
        "{message}"
    );
    assert!(hint.contains("publisher"), "{hint}");
    // Nothing on the way did it, so nobody is sent to look there, nor back to this command.
    assert!(
        !hint.contains("server") && !hint.contains("webimport verify"),
        "{hint}"
    );
    // An object that was changed on the way is another matter.
    let object = repository
        .root()
        .join("objects")
        .join(&files(&repository.root().join("objects"))[0]);
    fs::write(object, "changed").unwrap();
    let error = repository.verify("greet@next").err().unwrap();
    assert!(error.hint().contains("server"), "{}", error.hint());
}

/// Publishes a memory snapshot of the release, whatever is said of it.
fn publish_snapshot(repository: &TestRepository, change: fn(&mut MemorySnapshot)) {
    let release = SnapshotRelease {
        name: "greet".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        sha256: repository.verify("greet@1.0").unwrap().sha256,
    };
    let (mut snapshot, object) = support::memory_snapshot(&release, "314.0.7");
    change(&mut snapshot);
    let publication = SnapshotPublication {
        name: release.name,
        version: release.version,
        pyodide: "314.0.7".parse().unwrap(),
        description: snapshot.to_bytes().unwrap(),
        object,
    };
    let validity = Validity::from(NOW);
    let opened = Repository::open(repository.root()).unwrap();
    opened
        .publish_snapshot(&publication, &repository.ring(), &validity, &Silent)
        .unwrap();
}

#[test]
fn a_memory_snapshot_is_checked_down_to_its_header() {
    type Change = fn(&mut MemorySnapshot);
    let changes: [(Change, &str); 7] = [
        (|_| {}, ""),
        (|it| it.build = it.wasm, "verify.malformed"),
        (|it| it.object.decoded_sha256 = it.wasm, "verify.digest"),
        (|it| it.object.decoded_size -= 1, "verify.length"),
        (|it| it.releases[0].sha256 = it.wasm, "verify.malformed"),
        (|it| it.releases.clear(), "verify.malformed"),
        (
            |it| it.pyodide = "314.0.8".parse().unwrap(),
            "verify.malformed",
        ),
    ];
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let repository = published();
        publish_snapshot(&repository, change);
        assert_eq!(code(repository.verify("greet")), expected, "{index}");
    }
    let repository = published();
    publish_snapshot(&repository, |_| {});
    let snapshots = repository.verify("greet").unwrap().snapshots;
    let found: Vec<_> = snapshots
        .iter()
        .map(|it| (it.pyodide.as_str(), it.decoded_bytes))
        .collect();
    assert_eq!(found, [("314.0.7", 1000)]);
}

#[test]
fn a_missing_file_is_refused() {
    let repository = published();
    for file in needed(&repository) {
        let path = repository.root().join(&file);
        let right = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(
            code(repository.verify("greet")),
            "fetch.not_found",
            "{file}"
        );
        fs::write(&path, &right).unwrap();
    }
}

#[test]
fn expired_metadata_are_refused() {
    let repository = published();
    let url = format!("{}/greet", repository.root().display());
    assert_eq!(code(repository.verify_at(&url, NOW.plus_days(29))), "");
    assert_eq!(
        code(repository.verify_at(&url, NOW.plus_days(30))),
        "verify.expired"
    );
}

#[test]
fn metadata_of_another_time_are_refused() {
    let repository = published();
    let old = fs::read(repository.root().join("metadata/2.targets.json")).unwrap();
    repository
        .release(&[WheelBuilder::new("greet", "2.0")])
        .unwrap();
    // Mix and match: the old list of releases under the new name.
    fs::write(repository.root().join("metadata/3.targets.json"), old).unwrap();
    let got = code(repository.verify("greet"));
    assert!(["verify.length", "verify.digest"].contains(&got), "{got}");
}

#[test]
fn another_repository_is_not_the_pinned_one() {
    let (one, other) = (published(), published());
    assert_eq!(
        code(one.verify_at(&format!("{}/greet", other.root().display()), NOW)),
        "trust.root_mismatch"
    );
    // Its metadata below the right root: signed, by keys that this root does not name.
    fs::copy(
        other.root().join("metadata/timestamp.json"),
        one.root().join("metadata/timestamp.json"),
    )
    .unwrap();
    assert_eq!(code(one.verify("greet")), "verify.threshold");
}

#[test]
fn servers_that_misbehave_are_refused() {
    let repository = published();
    for file in needed(&repository) {
        let only = |answer: fn(&[u8]) -> Vec<u8>| {
            let wanted = format!("/{file}");
            let url = serve(&repository, move |path, content| {
                (path.replace("%2B", "+") == wanted).then(|| answer(content))
            });
            code(repository.verify_at(&url, NOW))
        };
        assert_eq!(
            only(|_| response("500 Internal Server Error", b"")),
            "fetch.status",
            "{file}"
        );
        assert_eq!(
            only(|_| response("302 Found\r\nlocation: http://code.example.org/", b"")),
            "fetch.status",
            "{file}"
        );
        assert_eq!(
            only(|_| response("403 Forbidden", b"")),
            "fetch.not_found",
            "{file}"
        );
        assert_eq!(
            only(|content| {
                let mut whole = response("200 OK", content);
                whole.truncate(whole.len() - 1);
                whole
            }),
            "fetch.truncated",
            "{file}"
        );
        let got = only(|_| response("200 OK", HTML));
        assert!(
            got.starts_with("verify.") || got == "trust.root_mismatch",
            "{file}: `{got}`"
        );
        assert_eq!(
            only(|_| b"SSH-2.0-OpenSSH\r\n".to_vec()),
            "fetch.network",
            "{file}"
        );
    }
}

#[test]
fn more_bytes_than_announced_are_cut_off() {
    let repository = published();
    for file in needed(&repository) {
        for announce in [true, false] {
            let wanted = format!("/{file}");
            let url = serve(&repository, move |path, content| {
                (path.replace("%2B", "+") == wanted).then(|| {
                    let mut longer = content.to_vec();
                    longer.resize(content.len() + 600_000, b' ');
                    if announce {
                        return response("200 OK", &longer);
                    }
                    // No length: the body ends with the connection.
                    let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
                    bytes.extend(longer);
                    bytes
                })
            });
            assert_eq!(
                code(repository.verify_at(&url, NOW)),
                "verify.too_large",
                "{file} {announce}"
            );
        }
    }
}

#[test]
fn a_failure_that_passes_is_tried_again() {
    let repository = published();
    let count = Arc::new(AtomicU32::new(0));
    let failures = Arc::clone(&count);
    let url = serve(&repository, move |_, _| {
        // Every other answer fails; two tries are allowed.
        failures
            .fetch_add(1, Ordering::SeqCst)
            .is_multiple_of(2)
            .then(|| response("503 Service Unavailable", b""))
    });
    repository.verify_at(&url, NOW).unwrap();
    assert_eq!(
        count.load(Ordering::SeqCst),
        2 * u32::try_from(needed(&repository).len()).unwrap()
    );
}

#[test]
fn a_server_that_is_gone_is_a_network_failure() {
    let repository = published();
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        code(repository.verify_at(&format!("http://{address}/greet"), NOW)),
        "fetch.network"
    );
}
