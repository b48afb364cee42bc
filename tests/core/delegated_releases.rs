//! Releases that delegated roles name: versions, channels and digest pins.

use serde_json::json;
use webimport_core::config::{Config, Layer};
use webimport_core::digest::{Sha256Digest, Sha512Digest};
use webimport_core::error::{Coded as _, Error};
use webimport_core::names::ReleaseName;
use webimport_core::repository::{LocatedRelease, Lookup, Repository};
use webimport_core::resolve::{Options, Resolution};
use webimport_core::trust::Expiry;

use crate::simulator::{Client, Delegation, Digests, Simulator, URL, assert_refused};

fn mylib() -> ReleaseName {
    "mylib".parse().unwrap()
}

/// Version and role of the release that a selector finds; the refusal's code.
fn find(simulator: &Simulator, selector: &str) -> Result<(String, String), &'static str> {
    let mut client = Client::new(simulator);
    let mut repository = client.refresh(simulator).unwrap();
    let found = client.release(simulator, &mut repository, "mylib", selector);
    short(found)
}

/// The same by the manifest's digest.
fn find_digest(simulator: &Simulator, manifest: &[u8]) -> Option<(String, String)> {
    let mut client = Client::new(simulator);
    let mut repository = client.refresh(simulator).unwrap();
    let sha256 = Sha256Digest::of(manifest);
    let found = client.search(simulator, &mut repository, |repository| {
        repository.release_by_digest(&mylib(), sha256)
    });
    let found = found.unwrap()?;
    assert_eq!(found.0.sha256, sha256);
    short(Ok(found)).ok()
}

fn short(found: Result<LocatedRelease, Error>) -> Result<(String, String), &'static str> {
    let (target, authority) = found.map_err(|error| error.code())?;
    Ok((target.version.to_string(), authority.role))
}

fn is(version: &str, role: &str) -> (String, String) {
    (version.into(), role.into())
}

/// A simulator whose top-level targets name nothing.
fn empty() -> Simulator {
    let mut simulator = Simulator::new();
    simulator.targets.targets.clear();
    simulator
}

#[test]
fn releases_of_delegated_roles_are_found_by_version_channel_and_digest() {
    let mut simulator = empty();
    simulator.delegate("targets", Delegation::to("team").paths(&["other/*/*"]));
    simulator.delegate("targets", Delegation::to("a").paths(&["mylib/*/*"]));
    simulator.delegate("a", Delegation::to("b").paths(&["mylib/2*/release.json"]));
    simulator.add_release_to("a", "mylib", "1.0", b"one", &["stable"]);
    simulator.add_release_to("b", "mylib", "2.0", b"two", &["next"]);
    simulator.rewrite_targets();
    assert_eq!(find(&simulator, "1.0"), Ok(is("1.0", "a")));
    assert_eq!(find(&simulator, "2.0"), Ok(is("2.0", "b")));
    assert_eq!(find(&simulator, "stable"), Ok(is("1.0", "a")));
    assert_eq!(find(&simulator, "next"), Ok(is("2.0", "b")));
    assert_eq!(find(&simulator, "3.0"), Err("resolve.unknown_version"));
    assert_eq!(find(&simulator, "beta"), Err("resolve.unknown_channel"));
    assert_eq!(find_digest(&simulator, b"one"), Some(is("1.0", "a")));
    assert_eq!(find_digest(&simulator, b"two"), Some(is("2.0", "b")));
    assert_eq!(find_digest(&simulator, b"three"), None);

    let mut client = Client::new(&simulator);
    let mut repository = client.refresh(&simulator).unwrap();
    let found = client.release(&simulator, &mut repository, "mylib", "next");
    let path = format!(
        "targets/mylib/2.0/{}.release.json",
        Sha256Digest::of(b"two")
    );
    assert_eq!(found.unwrap().0.path, path);
    // Who may name no release of that name is not asked.
    assert_eq!(client.roles_asked(), ["a", "b"]);
}

#[test]
fn an_earlier_role_has_the_word_on_a_channel() {
    for (first, second, expected) in [("a", "b", "1.0"), ("b", "a", "2.0")] {
        let mut simulator = empty();
        simulator.delegate("targets", Delegation::to(first));
        simulator.delegate("targets", Delegation::to(second));
        simulator.add_release_to("a", "mylib", "1.0", b"one", &["stable"]);
        simulator.add_release_to("b", "mylib", "2.0", b"two", &["stable", "next"]);
        simulator.rewrite_targets();
        assert_eq!(find(&simulator, "stable"), Ok(is(expected, first)));
        assert_eq!(find(&simulator, "next"), Ok(is("2.0", "b")));
        // The later one's versions are there all the same.
        assert_eq!(find(&simulator, "1.0"), Ok(is("1.0", "a")));
        assert_eq!(find(&simulator, "2.0"), Ok(is("2.0", "b")));
    }
}

#[test]
fn the_top_level_targets_have_the_first_word_on_a_channel() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.add_release_to("a", "mylib", "9.9", b"of a", &["stable", "next"]);
    simulator.rewrite_targets();
    assert_eq!(find(&simulator, "stable"), Ok(is("1.0", "targets")));
    assert_eq!(find(&simulator, "next"), Ok(is("9.9", "a")));
}

#[test]
fn an_earlier_role_has_the_word_on_a_version() {
    let mut simulator = empty();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("targets", Delegation::to("b"));
    simulator.add_release_to("a", "mylib", "1.0", b"of a", &[]);
    simulator.add_release_to("b", "mylib", "1.0", b"of b", &["stable"]);
    simulator.rewrite_targets();
    assert_eq!(find(&simulator, "1.0"), Ok(is("1.0", "a")));
    // The later role's channel names a version whose word it does not have.
    assert_eq!(find(&simulator, "stable"), Err("resolve.unknown_channel"));
    assert_eq!(find_digest(&simulator, b"of a"), Some(is("1.0", "a")));
    assert_eq!(find_digest(&simulator, b"of b"), None);
}

#[test]
fn a_terminating_role_hides_the_channels_and_digests_of_later_roles() {
    // CVE-2025-2886 for releases: `a` has the last word on what matches its pattern.
    for (delegation, expected) in [
        (Delegation::to("a").terminating(), None),
        (Delegation::to("a"), Some("9.9")),
        (
            Delegation::to("a").paths(&["mylib/1.*/*"]).terminating(),
            Some("9.9"),
        ),
        (
            Delegation::to("a").paths(&["mylib/9.*/*"]).terminating(),
            None,
        ),
        (
            Delegation::to("a").paths(&["other/*/*"]).terminating(),
            Some("9.9"),
        ),
    ] {
        let mut simulator = empty();
        simulator.delegate("targets", delegation);
        simulator.delegate("targets", Delegation::to("b"));
        simulator.add_release_to("a", "mylib", "1.0", b"one", &["old"]);
        simulator.add_release_to("b", "mylib", "9.9", b"nine", &["stable"]);
        simulator.rewrite_targets();
        let hidden = |code| expected.map(|version| is(version, "b")).ok_or(code);
        assert_eq!(
            find(&simulator, "stable"),
            hidden("resolve.unknown_channel")
        );
        assert_eq!(find(&simulator, "9.9"), hidden("resolve.unknown_version"));
        assert_eq!(find_digest(&simulator, b"nine"), hidden("").ok());
    }
}

#[test]
fn a_role_names_no_releases_outside_of_its_patterns() {
    for (patterns, inside) in [
        (&["mylib/2.0/release.json"][..], true),
        (&["mylib/*/*"], true),
        (&["mylib/1.*/release.json"], false),
        (&["mylib/*/other.json"], false),
        (&["other/*/*"], false),
        (&["*"], false),
        (&["mylib/*"], false),
    ] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to("a").paths(patterns));
        simulator.add_release_to("a", "mylib", "2.0", b"two", &["next"]);
        simulator.rewrite_targets();
        let found = |code| {
            if inside {
                Ok(is("2.0", "a"))
            } else {
                Err(code)
            }
        };
        assert_eq!(
            find(&simulator, "2.0"),
            found("resolve.unknown_version"),
            "{patterns:?}"
        );
        assert_eq!(
            find(&simulator, "next"),
            found("resolve.unknown_channel"),
            "{patterns:?}"
        );
        assert_eq!(
            find_digest(&simulator, b"two"),
            found("").ok(),
            "{patterns:?}"
        );
    }
}

#[test]
fn a_narrowed_delegation_confines_what_it_leads_to() {
    // `b` has all of `mylib` from `a`, who has version 1 alone to give.
    let mut simulator = empty();
    simulator.delegate("targets", Delegation::to("a").paths(&["mylib/1.*/*"]));
    simulator.delegate("a", Delegation::to("b").paths(&["mylib/*/*"]));
    simulator.add_release_to("b", "mylib", "1.5", b"one", &["old"]);
    simulator.add_release_to("b", "mylib", "2.0", b"two", &["stable"]);
    simulator.rewrite_targets();
    assert_eq!(find(&simulator, "old"), Ok(is("1.5", "b")));
    assert_eq!(find(&simulator, "stable"), Err("resolve.unknown_channel"));
    assert_eq!(find_digest(&simulator, b"two"), None);
}

#[test]
fn what_a_role_has_no_right_to_does_not_stop_a_channel() {
    // `beta` may name versions from 9 on, is asked first, and offers others.
    for count in [1, 32, 33] {
        let mut simulator = empty();
        simulator.delegate("targets", Delegation::to("beta").paths(&["mylib/9.*/*"]));
        simulator.delegate("targets", Delegation::to("main"));
        // A way by itself gives no more right than it has.
        simulator.delegate("beta", Delegation::to("beta"));
        simulator.delegate("beta", Delegation::to("other"));
        simulator.add_release_to("main", "mylib", "1.0", b"one", &["stable"]);
        for role in ["beta", "other"] {
            for minor in 0..count {
                let version = format!("1.0.{minor}");
                simulator.add_release_to(role, "mylib", &version, b"one", &[]);
            }
        }
        simulator.rewrite_targets();
        for role in ["beta", "other"] {
            simulator.resign_any(role, |signed| {
                for file in signed["targets"].as_object_mut().unwrap().values_mut() {
                    file["custom"]["webimport"]["channels"] = json!(["stable"]);
                }
            });
        }
        assert_eq!(find(&simulator, "stable"), Ok(is("1.0", "main")), "{count}");
        assert_eq!(find_digest(&simulator, b"one"), Some(is("1.0", "main")));
    }
}

#[test]
fn a_role_offers_on_each_way_what_that_way_covers() {
    // `a` and `b` share a role, each for other versions.
    let mut simulator = empty();
    simulator.delegate("targets", Delegation::to("a").paths(&["mylib/1.*/*"]));
    simulator.delegate("targets", Delegation::to("b").paths(&["mylib/2.*/*"]));
    simulator.delegate("a", Delegation::to("shared"));
    simulator.delegate("b", Delegation::to("shared"));
    simulator.add_release_to("shared", "mylib", "1.5", b"one", &["old"]);
    simulator.add_release_to("shared", "mylib", "2.0", b"two", &["stable"]);
    simulator.add_release_to("shared", "mylib", "3.0", b"three", &["next"]);
    simulator.rewrite_targets();
    assert_eq!(find(&simulator, "old"), Ok(is("1.5", "shared")));
    assert_eq!(find(&simulator, "stable"), Ok(is("2.0", "shared")));
    assert_eq!(find(&simulator, "next"), Err("resolve.unknown_channel"));
    assert_eq!(find_digest(&simulator, b"two"), Some(is("2.0", "shared")));
    assert_eq!(find_digest(&simulator, b"three"), None);
}

#[test]
fn a_channel_that_one_role_gives_to_two_releases_names_none() {
    let mut simulator = empty();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("targets", Delegation::to("b"));
    simulator.add_release_to("a", "mylib", "1.0", b"one", &["old"]);
    simulator.add_release_to("a", "mylib", "1.1", b"one one", &["stable"]);
    simulator.add_release_to("b", "mylib", "2.0", b"two", &["stable"]);
    simulator.rewrite_targets();
    assert_eq!(find(&simulator, "stable"), Ok(is("1.1", "a")));
    simulator.resign_any("a", |signed| {
        let old = &mut signed["targets"]["mylib/1.0/release.json"];
        old["custom"]["webimport"]["channels"] = json!(["stable"]);
    });
    assert_eq!(find(&simulator, "stable"), Err("resolve.unknown_channel"));
}

/// Two roles lead to `c`, each for one version and with a key of its own, in a repository that states no
/// digests; a server with two faces has two files for it, which differ in what they say of version 2.0.
fn two_faces() -> (Simulator, Vec<u8>, Vec<u8>) {
    let mut simulator = empty();
    simulator.digests = Digests::LeftOut;
    simulator.delegate("targets", Delegation::to("a").paths(&["mylib/1.0/*"]));
    simulator.delegate("targets", Delegation::to("b").paths(&["mylib/2.0/*"]));
    simulator.delegate("a", Delegation::to("c").keys(&[31], 1));
    simulator.delegate("b", Delegation::to("c").keys(&[32], 1));
    simulator.add_release_to("c", "mylib", "2.0", b"not for a to say", &["stable"]);
    simulator.set_role_signers("c", &[31]);
    simulator.rewrite_targets();
    let of_a = simulator.file_of("c").clone();
    simulator.add_release_to("c", "mylib", "2.0", b"two", &["next"]);
    simulator.set_role_signers("c", &[32]);
    simulator.rewrite_targets();
    let of_b = simulator.file_of("c").clone();
    (simulator, of_a, of_b)
}

/// Searches, and answers with the first file for `c`, then with the second.
fn search_two_faces<T>(
    ask: impl Fn(&mut Repository) -> Result<Lookup<T>, Error>,
) -> Result<T, Error> {
    let (simulator, of_a, of_b) = two_faces();
    let mut faces = [of_a, of_b].into_iter();
    let mut repository = Client::new(&simulator).refresh(&simulator).unwrap();
    loop {
        match ask(&mut repository)? {
            Lookup::Found(found) => {
                assert_eq!(faces.len(), 0, "both were asked for");
                return Ok(found);
            }
            Lookup::Fetch(fetch) if fetch.path == "metadata/1.c.json" => {
                repository.supply(faces.next().unwrap()).unwrap();
            }
            Lookup::Fetch(fetch) => repository
                .supply(simulator.answer(&fetch).unwrap().unwrap())
                .unwrap(),
        }
    }
}

#[test]
fn what_a_role_says_on_one_way_does_not_count_on_another() {
    let stable = "stable".parse().unwrap();
    let found = search_two_faces(|repository| repository.release(&mylib(), &stable));
    assert_eq!(short(found), Err("resolve.unknown_channel"));
    let sha256 = Sha256Digest::of(b"not for a to say");
    let found = search_two_faces(|repository| repository.release_by_digest(&mylib(), sha256));
    assert!(found.unwrap().is_none());
    // The file of the one way alone, which its key does not sign for the other, is refused there.
    assert_eq!(find(&two_faces().0, "next"), Err("verify.threshold"));
    // Asked for by version, the way that may name it is the only one.
    let (simulator, ..) = two_faces();
    assert_eq!(find(&simulator, "2.0"), Ok(is("2.0", "c")));
}

#[test]
fn a_pin_finds_a_delegated_release_and_no_other_answers_to_it() {
    let mut simulator = empty();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.add_release_to("a", "mylib", "1.0", b"one", &["stable"]);
    simulator.rewrite_targets();
    let root = format!("sha256:{}", simulator.pin());
    let config = json!({"repositories": {URL: {"root": root}}}).to_string();
    let config = Config::parse(&config, Layer::Page).unwrap();
    for (pinned, expected) in [
        (&b"one"[..], Ok(is("1.0", "a"))),
        (b"two", Err("resolve.pin_mismatch")),
    ] {
        for url in ["mylib", "mylib@1.0", "mylib@stable"] {
            let options = Options {
                sha256: Some(Sha256Digest::of(pinned).to_string()),
                ..Options::default()
            };
            let resolution = Resolution::of(&format!("{URL}/{url}"), &options, &config).unwrap();
            let mut client = Client::new(&simulator);
            let mut repository = client.refresh(&simulator).unwrap();
            let found = client.search(&simulator, &mut repository, |repository| {
                resolution.find(repository)
            });
            assert_eq!(short(found), expected);
        }
    }
}

#[test]
fn rejects_a_release_without_a_sha256_digest() {
    // A target file may have any known digest; a release's path is made of this one.
    for (hashes, of_target, of_release) in [
        (json!({"sha256": Sha256Digest::of(b"two")}), true, true),
        (json!({"sha512": Sha512Digest::of(b"two")}), true, false),
        (json!({"blake2b-256": "00"}), false, false),
        (json!({}), false, false),
    ] {
        for role in ["targets", "a"] {
            let mut simulator = empty();
            simulator.delegate("targets", Delegation::to("a"));
            simulator.add_release_to(role, "mylib", "2.0", b"two", &["stable"]);
            simulator.rewrite_targets();
            simulator.resign_any(role, |signed| {
                signed["targets"]["mylib/2.0/release.json"]["hashes"] = hashes.clone();
            });
            let mut client = Client::new(&simulator);
            let located = client.find(&simulator, "mylib/2.0/release.json").unwrap();
            let located = located.unwrap();
            let checked = located.check_bytes(b"two").map_err(|error| error.code());
            let path = located.consistent_path().map_err(|error| error.code());
            if of_target {
                assert_eq!(checked, Ok(()));
                let digest = hashes.as_object().unwrap().values().next().unwrap();
                let digest = digest.as_str().unwrap();
                assert_eq!(path.unwrap(), format!("mylib/2.0/{digest}.release.json"));
                assert_eq!(
                    located.check_bytes(b"twO").unwrap_err().code(),
                    "verify.digest"
                );
            } else {
                assert_eq!(checked, Err("verify.malformed"));
                assert_eq!(path, Err("verify.malformed"));
            }
            for selector in ["2.0", "stable"] {
                let found = find(&simulator, selector);
                if of_release {
                    assert_eq!(found, Ok(is("2.0", role)));
                } else {
                    assert_eq!(found, Err("verify.malformed"), "{hashes}");
                }
            }
            let pinned = find_digest(&simulator, b"two");
            assert_eq!(pinned.is_some(), of_release);
        }
    }
}

#[test]
fn releases_in_hash_bins_are_found_by_version_alone() {
    // Who may name a path cannot be told from a name, so bins are not searched for channels.
    let mut simulator = empty();
    simulator.delegate_bins("targets", "bin", 1, (&[31], 1), &["bin-0", "bin-1"]);
    for bin in ["bin-0", "bin-1"] {
        simulator.add_release_to(bin, "mylib", "1.0", b"one", &["stable"]);
    }
    simulator.rewrite_targets();
    let (version, role) = find(&simulator, "1.0").unwrap();
    assert_eq!(version, "1.0");
    assert!(role.starts_with("bin-"));
    assert_eq!(find(&simulator, "stable"), Err("resolve.unknown_name"));
    assert_eq!(find_digest(&simulator, b"one"), None);
}

#[test]
fn delegated_releases_serve_offline() {
    let mut simulator = empty();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("targets", Delegation::to("b"));
    simulator.add_release_to("a", "mylib", "1.0", b"one", &["stable"]);
    simulator.add_release_to("b", "mylib", "2.0", b"two", &["next"]);
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    let mut online = client.refresh(&simulator).unwrap();
    let found = client
        .release(&simulator, &mut online, "mylib", "stable")
        .unwrap();
    let mut offline = client.offline(Expiry::Refuse).unwrap();
    let (stable, next) = ("stable".parse().unwrap(), "next".parse().unwrap());
    assert_eq!(offline.release(&mylib(), &stable), Ok(Lookup::Found(found)));
    assert_refused(offline.release(&mylib(), &next), "resolve.offline", "`b`");
}
