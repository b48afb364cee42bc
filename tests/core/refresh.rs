//! The order of a refresh, what it asks for, and how trust starts (TUF 5.1 to 5.7).

use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, TrustError};
use webimport_core::metadata::{MAX_VERSION, RoleKind};
use webimport_core::repository::Authority;
use webimport_core::workflow::{CachedMetadata, RootTrust, Step};

use crate::simulator::{Client, Digests, NOW, ROLES, Simulator, URL, assert_refused, key, seed};

#[test]
fn first_refresh_walks_the_whole_chain_in_order() {
    let simulator = Simulator::new();
    let mut client = Client::new(&simulator);
    let refreshed = client.refresh(&simulator).unwrap();
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
    assert!(refreshed.changed());
    assert_eq!(refreshed.pin(), simulator.pin());
    let stored = |path: &str| simulator.files[path].clone();
    assert_eq!(
        *refreshed.verified(),
        CachedMetadata {
            roots: vec![stored("metadata/1.root.json")],
            timestamp: Some(stored("metadata/timestamp.json")),
            snapshot: Some(stored("metadata/1.snapshot.json")),
            targets: [("targets".to_owned(), stored("metadata/1.targets.json"))].into(),
            whole: None,
            clock_floor: Some(NOW),
        },
        "the bytes as received"
    );
}

#[test]
fn result_names_the_release_its_signers_and_the_first_expiry() {
    let simulator = Simulator::new();
    let mut client = Client::new(&simulator);
    let mut repository = client.refresh(&simulator).unwrap();
    let (target, authority) = client
        .release(&simulator, &mut repository, "mylib", "stable")
        .unwrap();
    let sha256 = Sha256Digest::of(b"mylib 1.0");
    assert_eq!(target.version.as_str(), "1.0");
    assert_eq!(
        target.path,
        format!("targets/mylib/1.0/{sha256}.release.json")
    );
    assert!(target.expected().check_bytes(b"mylib 1.0").is_ok());
    assert_eq!(
        authority,
        Authority {
            role: "targets".into(),
            signers: vec![key(seed(RoleKind::Targets)).public().id()],
            expires: NOW.plus_days(7),
        },
        "the timestamp expires first"
    );
    assert_eq!(repository.expires(), authority.expires);
}

#[test]
fn warm_refresh_without_news_asks_for_the_next_root_and_the_timestamp() {
    let simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    assert!(!client.refresh(&simulator).unwrap().changed());
    assert_eq!(client.requests, ["2.root.json", "timestamp.json"]);
}

#[test]
fn warm_refresh_asks_for_what_changed_and_no_more() {
    for (changed, requests) in [
        (RoleKind::Timestamp, &["2.root.json", "timestamp.json"][..]),
        (
            RoleKind::Snapshot,
            &["2.root.json", "timestamp.json", "2.snapshot.json"],
        ),
        (
            RoleKind::Targets,
            &[
                "2.root.json",
                "timestamp.json",
                "2.snapshot.json",
                "2.targets.json",
            ],
        ),
        (
            RoleKind::Root,
            &["2.root.json", "3.root.json", "timestamp.json"],
        ),
    ] {
        for digests in [Digests::Stated, Digests::LeftOut] {
            let mut simulator = Simulator::new();
            simulator.digests = digests;
            simulator.rewrite(RoleKind::Targets);
            let mut client = Client::warm(&simulator);
            simulator.publish(changed);
            assert!(client.refresh(&simulator).unwrap().changed(), "{changed:?}");
            assert_eq!(client.requests, requests, "{changed:?}");
        }
    }
}

#[test]
fn warm_refresh_finds_a_release_that_was_added() {
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.add_release("mylib", "2.0", b"mylib 2.0", &["stable"]);
    simulator.publish(RoleKind::Targets);
    let mut repository = client.refresh(&simulator).unwrap();
    let mut find = |selector: &str| {
        client
            .release(&simulator, &mut repository, "mylib", selector)
            .map(|(target, _)| target.version.to_string())
            .map_err(|error| error.code())
    };
    assert_eq!(find("stable"), Ok("2.0".into()), "the channel moved");
    assert_eq!(find("1.0"), Ok("1.0".into()), "the old version stays");
    assert_eq!(find("3.0"), Err("resolve.unknown_version"));
    assert_eq!(find("next"), Err("resolve.unknown_channel"));
}

#[test]
fn steps_state_the_signed_length_or_else_the_limit() {
    let mut simulator = Simulator::new();
    for digests in [Digests::Stated, Digests::LeftOut] {
        simulator.digests = digests;
        simulator.rewrite(RoleKind::Targets);
        let client = Client::new(&simulator);
        let mut refresh = client.start();
        let mut limits = Vec::new();
        while let Step::Fetch(fetch) = refresh.step().unwrap() {
            limits.push(fetch.limit);
            refresh.supply(simulator.answer(&fetch).unwrap()).unwrap();
        }
        let length = |path: &str| simulator.files[path].len() as u64;
        let (snapshot, targets) = match digests {
            Digests::Stated => (
                length("metadata/1.snapshot.json"),
                length("metadata/1.targets.json"),
            ),
            Digests::LeftOut => (client.limits.snapshot, client.limits.targets),
        };
        let root = client.limits.root;
        assert_eq!(
            limits,
            [root, root, client.limits.timestamp, snapshot, targets]
        );
    }
}

#[test]
fn what_is_fetched_ahead_is_what_is_asked_for_in_its_turn() {
    let mut simulator = Simulator::new();
    simulator.publish(RoleKind::Root);
    let mut refresh = Client::new(&simulator).start();
    let mut ahead = None;
    let mut steps = Vec::new();
    while let Step::Fetch(fetch) = refresh.step().unwrap() {
        let next = refresh.speculate();
        // While the next root is looked for, and only then: it is not known yet what else there will be.
        let looking = fetch.path.ends_with("root.json") && fetch.path != "metadata/1.root.json";
        assert_eq!(next.is_some(), looking, "{}", fetch.path);
        ahead = next.or(ahead);
        if Some(&fetch) == ahead.as_ref() {
            steps.push(fetch.path.clone());
        }
        refresh.supply(simulator.answer(&fetch).unwrap()).unwrap();
    }
    assert_eq!(steps, ["metadata/timestamp.json"]);
}

#[test]
fn signed_length_does_not_raise_the_limit() {
    let simulator = Simulator::new();
    let exact = simulator.files["metadata/1.targets.json"].len() as u64;
    let mut client = Client::new(&simulator);
    client.limits.targets = exact - 1;
    assert_refused(
        client.refresh(&simulator),
        "verify.too_large",
        "1.targets.json",
    );
    client.limits.targets = exact;
    client.refresh(&simulator).unwrap();
}

#[test]
fn rejects_a_first_root_that_is_not_the_pinned_one() {
    let (simulator, mut other) = (Simulator::new(), Simulator::new());
    other.set_keys(RoleKind::Targets, &[99], 1);
    other.rewrite(RoleKind::Root);
    other.rewrite(RoleKind::Targets);

    let mut client = Client::new(&simulator);
    let error = client.refresh(&other).unwrap_err();
    assert_eq!(
        error,
        TrustError::RootMismatch {
            repository: URL.into(),
            expected: simulator.pin(),
            got: other.pin(),
        }
        .into()
    );
    assert_eq!(error.code(), "trust.root_mismatch");
    assert_eq!(
        client.requests,
        ["1.root.json"],
        "nothing is asked for afterwards"
    );
    client.trust = RootTrust::Pin(other.pin());
    client.refresh(&other).unwrap();
}

#[test]
fn rejects_a_pinned_first_root_of_another_version() {
    for version in [2, MAX_VERSION] {
        let mut simulator = Simulator::new();
        simulator.root.common.version = version;
        simulator.rewrite(RoleKind::Root);
        let renamed = simulator.file(RoleKind::Root).clone();
        simulator
            .files
            .insert("metadata/1.root.json".into(), renamed);
        assert_refused(
            Client::new(&simulator).refresh(&simulator),
            "verify.mix_and_match",
            "1.root.json",
        );
    }
}

#[test]
fn first_use_takes_the_root_that_is_offered_and_only_that_one_afterwards() {
    let (simulator, mut other) = (Simulator::new(), Simulator::new());
    other.root.common.expires = NOW.plus_days(400);
    other.rewrite(RoleKind::Root);

    let mut client = Client::new(&simulator);
    client.trust = RootTrust::FirstUse;
    assert_eq!(client.refresh(&simulator).unwrap().pin(), simulator.pin());
    assert_eq!(client.trust, RootTrust::Pin(simulator.pin()));
    client.cached = CachedMetadata::default();
    assert_refused(client.refresh(&other), "trust.root_mismatch", "1.root.json");
    client.refresh(&simulator).unwrap();
}

#[test]
fn first_use_does_not_believe_a_root_that_its_own_keys_did_not_sign() {
    let mut simulator = Simulator::new();
    simulator.set_signers(RoleKind::Root, &[99]);
    simulator.forget_former_root_keys();
    simulator.rewrite(RoleKind::Root);
    let mut client = Client::new(&simulator);
    client.trust = RootTrust::FirstUse;
    assert_refused(
        client.refresh(&simulator),
        "verify.threshold",
        "1.root.json",
    );
    assert_eq!(client.trust, RootTrust::FirstUse);

    simulator.set_signers(RoleKind::Root, &[seed(RoleKind::Root)]);
    simulator.rewrite(RoleKind::Root);
    client.refresh(&simulator).unwrap();
}

#[test]
fn first_use_keeps_nothing_of_a_refresh_that_fails() {
    // With a pin, what was verified by then is kept; without one it is the whole chain that settles it.
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot, RoleKind::Targets] {
        let mut simulator = Simulator::new();
        let path = simulator.path(kind);
        let file = simulator.files.remove(&path).unwrap();
        let pinned = Client::new(&simulator);
        for trust in [pinned.trust, RootTrust::FirstUse] {
            let mut client = pinned.clone();
            client.trust = trust;
            client.refresh(&simulator).unwrap_err();
            assert_eq!(client.trust, trust);
            let nothing = client.cached == CachedMetadata::default();
            assert_eq!(nothing, trust == RootTrust::FirstUse);
        }
        simulator.files.insert(path, file);
        let mut client = pinned;
        client.trust = RootTrust::FirstUse;
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn first_use_believes_nothing_that_is_cached() {
    let simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    client.trust = RootTrust::FirstUse;
    client.refresh(&simulator).unwrap();
    assert_eq!(client.requests[0], "1.root.json");
}

#[test]
fn rejects_a_repository_without_a_file_that_has_to_be_there() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        let mut client = Client::new(&simulator);
        let path = simulator.path(kind);
        let file = simulator.files.remove(&path).unwrap();
        assert_refused(client.refresh(&simulator), "fetch.not_found", &path);
        simulator.files.insert(path, file);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_steps_that_are_out_of_order() {
    let simulator = Simulator::new();
    let client = Client::new(&simulator);
    assert_eq!(
        client.start().finish().unwrap_err().code(),
        "verify.malformed"
    );
    assert_eq!(
        client.start().supply(None).unwrap_err().code(),
        "verify.malformed"
    );

    let mut refresh = client.start();
    let mut absent_refused = 0;
    while let Step::Fetch(fetch) = refresh.step().unwrap() {
        let early = refresh.clone().finish();
        assert_eq!(early.unwrap_err().code(), "verify.malformed");
        absent_refused += u32::from(refresh.clone().supply(None).is_err());
        refresh.supply(simulator.answer(&fetch).unwrap()).unwrap();
    }
    assert_eq!(absent_refused, 4, "the next root alone may be absent");
    let done = refresh.clone().supply(Some(Vec::new()));
    assert_eq!(done.unwrap_err().code(), "verify.malformed");
    refresh.finish().unwrap();
}
