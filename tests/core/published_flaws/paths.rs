//! Names that became paths.

use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded as _;
use webimport_core::metadata::{MetaFile, RoleKind};
use webimport_core::url::RepositoryUrl;
use webimport_core::workflow::Refresh;

use super::PATH;
use crate::sample;
use crate::simulator::{Client, Delegation, NOW, Simulator};

#[test]
fn cve_2021_41131_role_names_lead_nowhere() {
    let names = [
        "../../evil",
        "%2e%2e/evil",
        "..%2fevil",
        "/etc/passwd",
        "a\\..\\b",
        "C:evil",
        "?",
        "#",
    ];
    let mut simulator = Simulator::new();
    for name in names {
        simulator.delegate("targets", Delegation::to(name));
    }
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    assert_eq!(client.find(&simulator, PATH).unwrap(), None);
    let files = &client.requests[client.requests.len() - names.len()..];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    for file in files {
        assert!(file.starts_with("1.") && file.bytes().all(plain), "{file}");
    }
    let mut distinct = files.to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), names.len(), "no two are one");
    assert_eq!(client.cached.targets.len(), names.len() + 1);
    simulator.add_target("../../evil", PATH, b"x");
    simulator.publish_any("../../evil");
    let found = client.find(&simulator, PATH).unwrap().unwrap();
    assert_eq!(found.authority.role, "../../evil");
}

#[test]
fn cve_2021_41131_names_that_nobody_delegates_to_are_not_asked_for() {
    let mut simulator = Simulator::new();
    let entry = MetaFile::of(1, b"{}");
    for name in ["../../evil.json", "/etc/passwd", "evil.json", ""] {
        simulator.snapshot.meta.insert(name.into(), entry.clone());
        simulator.timestamp.meta.insert(name.into(), entry.clone());
    }
    simulator.rewrite(RoleKind::Snapshot);
    let mut client = Client::new(&simulator);
    client.find(&simulator, PATH).unwrap();
    assert_eq!(
        client.requests,
        [
            "1.root.json",
            "2.root.json",
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json"
        ]
    );
}

#[test]
fn cve_2026_6968_target_paths_do_not_lead_out_of_their_folder() {
    for (path, accepted) in [
        ("mylib/2.0/x", true),
        ("x", true),
        ("a..b/...", true),
        ("/etc/passwd", false),
        ("../x", false),
        ("a/../../x", false),
        ("a/./x", false),
        ("a//x", false),
        ("a/", false),
        ("..\\x", false),
        ("C:\\x", false),
        ("", false),
    ] {
        let mut simulator = Simulator::new();
        simulator.add_target("targets", path, b"x");
        simulator.rewrite_targets();
        let found = Client::new(&simulator)
            .find(&simulator, path)
            .unwrap()
            .unwrap();
        let at = found.consistent_path();
        if accepted {
            let digest = Sha256Digest::of(b"x").to_string();
            assert_eq!(at.unwrap().replace(&format!("{digest}."), ""), path);
        } else {
            assert_eq!(at.unwrap_err().code(), "verify.path", "{path}");
        }
    }
    // The files of a release.
    for (path, accepted) in [
        ("mylib/sub/x.txt", true),
        ("/abs.txt", false),
        ("mylib/../../x.txt", false),
        ("mylib/a\\b.txt", false),
        ("C:x.txt", false),
    ] {
        match sample::parse(&sample::with_file(path)) {
            Ok(_) => assert!(accepted, "{path}"),
            Err(error) => {
                assert!(!accepted, "{error}");
                assert_eq!(error.code(), "verify.path");
            }
        }
    }
}

#[test]
fn cve_2026_24686_a_repository_has_no_say_in_where_it_is_kept() {
    // What is kept goes by the pin, whatever the repository is called.
    let simulator = Simulator::new();
    let client = Client::new(&simulator);
    for label in [
        "../escaped-repo",
        "",
        "https://code.example.org/repo/..",
        "/",
    ] {
        let mut refresh = Refresh::new(
            client.trust,
            label,
            client.cached.clone(),
            NOW,
            client.limits.clone(),
        );
        let first = simulator.files["metadata/1.root.json"].clone();
        refresh.supply(Some(first)).unwrap();
        assert_eq!(refresh.verified().unwrap().0, simulator.pin());
    }
    // And no two spellings of a URL reach over to each other.
    for (url, accepted) in [
        ("https://h/r", true),
        ("https://h/r/../other", false),
        ("https://h/r/%2e%2e/other", false),
        ("https://h/r/%2E%2e/other", false),
        ("https://h/r//other", false),
        ("https://h/./r", false),
        ("https://h\\r", false),
    ] {
        assert_eq!(url.parse::<RepositoryUrl>().is_ok(), accepted, "{url}");
    }
    let same = ["https://h/r", "https://H/r/", "HTTPS://h:443/r"];
    let same = same.map(|url| url.parse::<RepositoryUrl>().unwrap().to_string());
    assert_eq!(same, ["https://h/r"; 3]);
}
