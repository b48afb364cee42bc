//! Every fault that a checkup finds, and what it leaves alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use support::{NOW, TestRepository, WheelBuilder, files, raw_server};
use webimport_cli::doctor::{Checkup, Depth, DoctorError, DoctorOptions, Verdict, doctor};
use webimport_cli::observe::Silent;
use webimport_cli::repository::Setup;
use webimport_cli::verify::Transport;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded as _;
use webimport_core::sign::{SigningKey, sign_role};
use webimport_core::snapshot::SnapshotRelease;
use webimport_core::time::UnixTime;

/// Two releases, and a root that needs no note.
fn published() -> TestRepository {
    let repository = TestRepository::with(&Setup {
        root_keys: 2,
        ..Setup::default()
    });
    for version in ["1.0", "2.0"] {
        let wheel = WheelBuilder::new("greet", version).file("greet/words.txt", version);
        repository.release(&[wheel]).unwrap();
    }
    repository
}

fn options(repository: &TestRepository, place: String) -> DoctorOptions {
    DoctorOptions {
        repository: place,
        root: Some(repository.pin),
        now: NOW,
        depth: Depth::Presence,
        transport: Transport {
            tries: 1,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(20),
        },
    }
}

fn in_folder(repository: &TestRepository) -> DoctorOptions {
    options(repository, repository.root().display().to_string())
}

fn check(options: &DoctorOptions) -> Checkup {
    let checkup = doctor(options, &Silent).unwrap();
    for check in &checkup.checks {
        // Who has something to do is told what.
        assert_eq!(
            check.hint.is_none(),
            check.verdict == Verdict::Ok,
            "{check:?}"
        );
    }
    checkup
}

/// The checks that are not all right.
fn found(options: &DoctorOptions) -> Vec<(String, Verdict)> {
    let checkup = check(options);
    let found: Vec<_> = checkup
        .checks
        .into_iter()
        .filter(|check| check.verdict != Verdict::Ok)
        .map(|check| (check.name, check.verdict))
        .collect();
    let healthy = found.iter().all(|(_, verdict)| *verdict == Verdict::Note);
    assert_eq!(checkup.healthy, healthy);
    found
}

fn one(name: &str, verdict: Verdict) -> Vec<(String, Verdict)> {
    vec![(name.to_owned(), verdict)]
}

#[test]
fn a_healthy_repository_is_healthy_in_its_folder_and_served() {
    let repository = published();
    for depth in [Depth::Presence, Depth::Content] {
        let folder = DoctorOptions {
            depth,
            ..in_folder(&repository)
        };
        assert!(found(&folder).is_empty());
        let url = format!("http://{}", support::serve(repository.root()));
        let served = DoctorOptions {
            depth,
            ..options(&repository, url)
        };
        // Loopback.
        assert_eq!(found(&served), one("transport", Verdict::Note));
    }
}

#[test]
fn a_pin_is_needed_for_a_url_and_not_for_a_folder() {
    let repository = published();
    let without = |options: DoctorOptions| {
        doctor(
            &DoctorOptions {
                root: None,
                ..options
            },
            &Silent,
        )
    };
    let checkup = without(in_folder(&repository)).unwrap();
    assert!(checkup.healthy);
    assert_eq!(checkup.root, format!("sha256:{}", repository.pin));
    let url = format!("http://{}", support::serve(repository.root()));
    let refused = without(options(&repository, url)).unwrap_err();
    assert!(matches!(refused, DoctorError::NoPin));
    let refused = without(options(&repository, "nowhere".into())).unwrap_err();
    assert_eq!(refused.code(), "fetch.not_found");
    let insecure = options(&repository, "http://code.example.org/repo".into());
    let refused = doctor(&insecure, &Silent).unwrap_err();
    assert_eq!(refused.code(), "url.insecure");
}

#[test]
fn what_expires_soon_is_told_and_what_has_expired_fails() {
    let repository = published();
    let on = |day: u32| {
        let now = NOW.plus_days(day);
        found(&DoctorOptions {
            now,
            ..in_folder(&repository)
        })
    };
    assert!(on(24).is_empty());
    let both = |verdict| {
        let expiry = |role: &str| (format!("{role} expiry"), verdict);
        vec![expiry("snapshot"), expiry("timestamp")]
    };
    assert_eq!(on(25), both(Verdict::Warn));
    assert_eq!(on(30), both(Verdict::Fail));
    assert_eq!(on(335)[0], ("root expiry".into(), Verdict::Warn));
    assert_eq!(on(350)[1], ("targets expiry".into(), Verdict::Warn));
    assert_eq!(on(365)[0], ("root expiry".into(), Verdict::Fail));
    let never = DoctorOptions {
        now: UnixTime(0),
        ..in_folder(&repository)
    };
    assert!(found(&never).is_empty());
}

#[test]
fn one_root_key_is_worth_a_note() {
    let repository = TestRepository::new();
    assert_eq!(
        found(&in_folder(&repository)),
        one("root keys", Verdict::Note)
    );
}

#[test]
fn another_root_than_the_pinned_one_fails() {
    let (repository, other) = (published(), published());
    let wrong = DoctorOptions {
        root: Some(other.pin),
        ..in_folder(&repository)
    };
    assert_eq!(found(&wrong), one("metadata", Verdict::Fail));
}

#[test]
fn each_file_that_is_gone_or_wrong_is_found() {
    let repository = published();
    let deep = DoctorOptions {
        depth: Depth::Content,
        ..in_folder(&repository)
    };
    let needed = files(&repository.root())
        .into_iter()
        .filter(|file| !file.starts_with('.'))
        .filter(|file| !file.contains("1.snapshot") && !file.contains("1.targets"))
        .filter(|file| !file.contains("2.snapshot") && !file.contains("2.targets"));
    let mut count = 0;
    for file in needed {
        let name = match file.split('/').next().unwrap() {
            "objects" => "objects",
            "targets" => "releases",
            _ => "metadata",
        };
        let path = repository.root().join(&file);
        let right = fs::read(&path).unwrap();
        let mut same_size = right.clone();
        same_size[right.len() / 2] ^= 1;
        for wrong in [None, Some(&right[1..]), Some(&same_size[..])] {
            match wrong {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            assert_eq!(found(&deep), one(name, Verdict::Fail), "{file}");
            // Without a look at the content all but the last is seen, of objects.
            let seen = found(&in_folder(&repository));
            if name == "objects" && wrong.is_some_and(|bytes| bytes.len() == right.len()) {
                assert!(seen.is_empty(), "{file}: {seen:?}");
            } else {
                assert_eq!(seen, one(name, Verdict::Fail), "{file}");
            }
            fs::write(&path, &right).unwrap();
        }
        count += 1;
    }
    assert_eq!(
        count,
        4 + 2 + 2,
        "root, timestamp, snapshot, targets; manifests; objects"
    );
    assert!(found(&deep).is_empty());
}

/// What a team of its own publishes, by a delegation of the repository.
struct Team {
    repository: TestRepository,
    key: SigningKey,
    release: Value,
    /// What the roles name beside it.
    more: Map<String, Value>,
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn meta(version: u64, bytes: &[u8]) -> Value {
    let sha256 = Sha256Digest::of(bytes).to_string();
    json!({"hashes": {"sha256": sha256}, "length": bytes.len(), "version": version})
}

impl Team {
    fn new() -> Self {
        let repository = published();
        let other = TestRepository::new();
        other.release(&[WheelBuilder::new("extra", "1.0")]).unwrap();
        for folder in ["targets", "objects"] {
            support::copy(&other.root().join(folder), &repository.root().join(folder));
        }
        let targets = other.root().join("metadata/2.targets.json");
        Self {
            release: json_of(&targets)["signed"]["targets"]["extra/1.0/release.json"].take(),
            repository,
            key: SigningKey::from_seed([9; 32]),
            more: Map::new(),
        }
    }

    fn sign(&self, role: &str, signed: &Value) -> Vec<u8> {
        let path = self.repository.keys().path().join(format!("{role}.pem"));
        let key = SigningKey::from_pem(&fs::read_to_string(path).unwrap()).unwrap();
        sign_role(signed, &[key]).unwrap()
    }

    /// Lets the top-level targets delegate, and the roles sign `extra` 1.0, on the day when they expire.
    fn delegates(&self, delegations: &Value, roles: &[(&str, &SigningKey, UnixTime)]) {
        let metadata = self.repository.root().join("metadata");
        let mut snapshot = json_of(&metadata.join("3.snapshot.json"))["signed"].take();
        let mut named = self.more.clone();
        named.insert("extra/1.0/release.json".into(), self.release.clone());
        for (role, key, expires) in roles {
            let signed = json!({
                "_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": expires,
                "targets": named,
            });
            let bytes = sign_role(&signed, std::slice::from_ref(*key)).unwrap();
            snapshot["meta"][format!("{role}.json")] = meta(1, &bytes);
            fs::write(metadata.join(format!("1.{role}.json")), bytes).unwrap();
        }
        let mut targets = json_of(&metadata.join("3.targets.json"))["signed"].take();
        targets["delegations"] = delegations.clone();
        let bytes = self.sign("targets", &targets);
        snapshot["meta"]["targets.json"] = meta(3, &bytes);
        fs::write(metadata.join("3.targets.json"), bytes).unwrap();
        let bytes = self.sign("snapshot", &snapshot);
        let mut timestamp = json_of(&metadata.join("timestamp.json"))["signed"].take();
        timestamp["meta"]["snapshot.json"] = meta(3, &bytes);
        fs::write(metadata.join("3.snapshot.json"), bytes).unwrap();
        let bytes = self.sign("timestamp", &timestamp);
        fs::write(metadata.join("timestamp.json"), bytes).unwrap();
    }

    fn to(&self, role: &str, pattern: &str) -> Value {
        let public = self.key.public();
        let id = public.id().to_string();
        json!({
            "keys": {&id: public},
            "roles": [{"name": role, "keyids": [id], "threshold": 1, "paths": [pattern], "terminating": false}],
        })
    }

    fn found(&self) -> Vec<(String, Verdict)> {
        found(&DoctorOptions {
            depth: Depth::Content,
            ..in_folder(&self.repository)
        })
    }
}

#[test]
fn delegated_roles_and_what_they_name_are_looked_at() {
    let team = Team::new();
    let later = NOW.plus_days(60);
    team.delegates(&team.to("team", "extra/*/*"), &[("team", &team.key, later)]);
    assert!(team.found().is_empty());
    let checkup = check(&in_folder(&team.repository));
    let releases = checkup.checks.iter().find(|check| check.name == "releases");
    assert!(releases.unwrap().message.starts_with("3 releases"));

    // What only a reader of the team's release would have noticed.
    let root = team.repository.root();
    let manifest = format!(
        "targets/extra/1.0/{}.release.json",
        team.release["hashes"]["sha256"].as_str().unwrap()
    );
    let fails = |name: &str| (name.to_owned(), Verdict::Fail);
    for (file, names) in [
        (manifest.as_str(), &["releases"][..]),
        ("metadata/1.team.json", &["delegated roles"]),
    ] {
        let path = root.join(file);
        let right = fs::read(&path).unwrap();
        for wrong in [None, Some(&right[1..])] {
            match wrong {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            let expected: Vec<_> = names.iter().map(|name| fails(name)).collect();
            assert_eq!(team.found(), expected, "{file}");
            fs::write(&path, &right).unwrap();
        }
    }
    assert!(team.found().is_empty());
}

#[test]
fn memory_snapshots_that_delegated_roles_name_are_looked_at() {
    let mut team = Team::new();
    let release = SnapshotRelease {
        name: "extra".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        sha256: team.release["hashes"]["sha256"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap(),
    };
    let (snapshot, object) = support::memory_snapshot(&release, "314.0.7");
    let bytes = snapshot.to_bytes().unwrap();
    let sha256 = Sha256Digest::of(&bytes);
    let root = team.repository.root();
    let place = root.join(snapshot.object.path());
    let folder = root.join("targets/extra/1.0/snapshot");
    for (path, content) in [
        (&place, &object),
        (&folder.join(format!("{sha256}.314.0.7.json")), &bytes),
    ] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let target = json!({"length": bytes.len(), "hashes": {"sha256": sha256}});
    team.more
        .insert("extra/1.0/snapshot/314.0.7.json".into(), target.clone());
    // Of a release that nobody names.
    team.more
        .insert("extra/2.0/snapshot/314.0.7.json".into(), target);
    let mut delegation = team.to("team", "extra/*/*");
    delegation["roles"][0]["paths"] = json!(["extra/*/*", "extra/*/snapshot/*"]);
    let role = [("team", &team.key, NOW.plus_days(60))];
    team.delegates(&delegation, &role);
    assert!(team.found().is_empty());
    let fails = |name: &str| one(name, Verdict::Fail);
    fs::write(&place, &object[1..]).unwrap();
    assert_eq!(team.found(), fails("objects"));
    fs::write(&place, &object).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(team.found(), fails("memory snapshots"));
    // A role that may not name it is not asked for it.
    team.delegates(&team.to("team", "extra/*/*"), &role);
    assert!(team.found().is_empty());
}

#[test]
fn a_delegated_role_has_to_be_signed_and_not_expired() {
    let team = Team::new();
    let delegation = team.to("team", "extra/*/*");
    let stranger = SigningKey::from_seed([8; 32]);
    team.delegates(&delegation, &[("team", &stranger, NOW.plus_days(60))]);
    assert_eq!(team.found(), one("delegated roles", Verdict::Fail));
    team.delegates(&delegation, &[]);
    for (days, verdict) in [(0, Verdict::Fail), (15, Verdict::Warn)] {
        team.delegates(&delegation, &[("team", &team.key, NOW.plus_days(days))]);
        assert_eq!(team.found(), one("`team` expiry", verdict), "{days}");
    }
    team.delegates(&delegation, &[("team", &team.key, NOW.plus_days(16))]);
    assert!(team.found().is_empty());
}

#[test]
fn a_release_outside_of_the_patterns_is_worth_a_note() {
    let team = Team::new();
    let role = [("team", &team.key, NOW.plus_days(60))];
    team.delegates(&team.to("team", "other/*/*"), &role);
    assert_eq!(team.found(), one("delegated releases", Verdict::Note));
    team.delegates(&team.to("team", "ex*/1.*/*"), &role);
    assert!(team.found().is_empty());
}

#[test]
fn hash_bins_that_are_not_looked_at_are_counted() {
    let team = Team::new();
    let public = team.key.public();
    let id = public.id().to_string();
    let bins = |bit_length: u32| {
        json!({
            "keys": {&id: public},
            "succinct_roles": {"bit_length": bit_length, "name_prefix": "bin", "keyids": [id], "threshold": 1},
        })
    };
    let names: Vec<String> = (0..32).map(|number| format!("bin-{number:02x}")).collect();
    let later = NOW.plus_days(60);
    let roles: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), &team.key, later))
        .collect();
    team.delegates(&bins(5), &roles);
    assert!(team.found().is_empty());
    team.delegates(&bins(6), &roles);
    let left = ("delegated roles left out".to_owned(), Verdict::Note);
    assert!(team.found().contains(&left));
    // Nor are more of them fetched than one search asks.
    team.delegates(&bins(32), &[]);
    assert!(team.found().contains(&left));
}

/// What a server sends beside the body.
#[derive(Clone)]
struct Server {
    headers: fn(path: &str, status: u16) -> String,
    missing: (u16, &'static str),
}

const OPEN: &str = "access-control-allow-origin: *\r\n";

fn right(path: &str, _: u16) -> String {
    let control = if path.ends_with("timestamp.json") {
        "no-cache"
    } else {
        "max-age=31536000, immutable"
    };
    format!("{OPEN}cache-control: {control}\r\n")
}

const RIGHT: Server = Server {
    headers: right,
    missing: (404, "not found"),
};

impl Server {
    /// What a checkup finds beside plain HTTP on loopback.
    fn found(&self, repository: &TestRepository) -> Vec<(String, Verdict)> {
        let (root, server) = (repository.root(), self.clone());
        let address = raw_server(move |path| server.answer(&root, path));
        let mut found = found(&options(repository, format!("http://{address}")));
        assert_eq!(found.remove(0).0, "transport");
        found
    }

    fn answer(&self, root: &Path, path: &str) -> Vec<u8> {
        let (status, body) = match fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(body) => (200, body),
            Err(_) => (self.missing.0, self.missing.1.into()),
        };
        let headers = (self.headers)(path, status);
        let mut answer = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}connection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend(body);
        answer
    }
}

#[test]
fn a_server_that_does_all_right_has_no_fault() {
    let repository = published();
    assert!(RIGHT.found(&repository).is_empty());
}

#[test]
fn a_server_that_keeps_pages_out_fails() {
    let repository = published();
    let fails = one("cross-origin", Verdict::Fail);
    let closed = |path: &str, status: u16| right(path, status).replace(OPEN, "");
    assert_eq!(
        Server {
            headers: closed,
            ..RIGHT
        }
        .found(&repository),
        fails
    );
    // Of the answer 404 alone: then no page sees that there is no next root.
    let closed = |path: &str, status: u16| {
        let headers = right(path, status);
        if status == 404 {
            headers.replace(OPEN, "")
        } else {
            headers
        }
    };
    assert_eq!(
        Server {
            headers: closed,
            ..RIGHT
        }
        .found(&repository),
        fails
    );
    let other =
        |path: &str, status: u16| right(path, status).replace('*', "https://another.example.org");
    assert_eq!(
        Server {
            headers: other,
            ..RIGHT
        }
        .found(&repository),
        fails
    );
    // Whoever asks is told that they may.
    let reflected =
        |path: &str, status: u16| right(path, status).replace('*', "https://notebook.example.org");
    assert!(
        Server {
            headers: reflected,
            ..RIGHT
        }
        .found(&repository)
        .is_empty()
    );
}

#[test]
fn an_old_timestamp_must_not_stay_in_caches() {
    let repository = published();
    let name = "timestamp caching";
    let found = |headers| Server { headers, ..RIGHT }.found(&repository);
    let long = |path: &str, status: u16| right(path, status).replace("no-cache", "max-age=86400");
    assert_eq!(found(long), one(name, Verdict::Fail));
    let unsaid =
        |path: &str, status: u16| right(path, status).replace("cache-control: no-cache\r\n", "");
    assert_eq!(found(unsaid), one(name, Verdict::Warn));
    let short = |path: &str, status: u16| right(path, status).replace("no-cache", "max-age=60");
    assert!(found(short).is_empty());
}

#[test]
fn what_never_changes_might_be_kept() {
    let repository = published();
    let found = |headers| Server { headers, ..RIGHT }.found(&repository);
    let forgotten = |_: &str, _: u16| format!("{OPEN}cache-control: no-store\r\n");
    assert_eq!(found(forgotten), one("caching", Verdict::Note));
}

#[test]
fn bytes_that_a_browser_would_decode_fail() {
    let repository = published();
    let found = |headers| Server { headers, ..RIGHT }.found(&repository);
    let encoded = |path: &str, status: u16| {
        let mut headers = right(path, status);
        if path.contains("objects") {
            headers.push_str("content-encoding: gzip\r\n");
        }
        headers
    };
    assert_eq!(found(encoded), one("encoding", Verdict::Fail));
    let identity = |path: &str, status: u16| right(path, status) + "content-encoding: identity\r\n";
    assert!(found(identity).is_empty());
}

#[test]
fn a_missing_file_has_to_be_missing() {
    let repository = published();
    let found = |missing| Server { missing, ..RIGHT }.found(&repository);
    assert!(found((410, "")).is_empty());
    assert_eq!(
        found((403, "AccessDenied")),
        one("missing file", Verdict::Note)
    );
    let page = "<!doctype html><title>Welcome</title>";
    let fails = |name: &str| (name.to_owned(), Verdict::Fail);
    for status in [200, 500, 302] {
        let found = found((status, page));
        assert_eq!(found[0], fails("missing file"), "{status}");
        assert_eq!(found[1], fails("metadata"), "{status}");
    }
}

#[test]
fn a_server_that_is_not_there_fails() {
    let repository = published();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let found = found(&options(&repository, format!("http://{address}")));
    let fails = |name: &str| (name.to_owned(), Verdict::Fail);
    assert_eq!(found[1..], [fails("missing file"), fails("metadata")]);
}
