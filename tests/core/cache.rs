//! What is cached is not trusted: damage costs requests, never correctness.

use webimport_core::error::Coded as _;
use webimport_core::metadata::RoleKind;
use webimport_core::trust::Expiry;
use webimport_core::workflow::CachedMetadata;

use crate::simulator::{Client, NOW, ROLES, Simulator, assert_refused, seed};

/// The cached copy of a role.
fn cached(client: &mut Client, kind: RoleKind) -> &mut Vec<u8> {
    let cached = &mut client.cached;
    match kind {
        RoleKind::Root => cached.roots.last_mut(),
        RoleKind::Timestamp => cached.timestamp.as_mut(),
        RoleKind::Snapshot => cached.snapshot.as_mut(),
        RoleKind::Targets => cached.targets.as_mut(),
    }
    .unwrap()
}

/// The ways in which a record can be bad: a byte of each kind of place, and its length.
fn damages(good: &[u8]) -> Vec<Vec<u8>> {
    let find = |text: &str| {
        good.windows(text.len())
            .position(|window| window == text.as_bytes())
            .unwrap()
    };
    let last = good.len() - 1;
    let flips = [
        0,
        find("\"keyid\":\"") + 9,
        find("\"sig\":\"") + 7,
        find("\"sig\""),
        find("_type") + 8,
        find("expires") + 13,
        find("\"version\":") + 10,
        last,
    ];
    let flipped = flips.into_iter().map(|place| {
        let mut bytes = good.to_vec();
        bytes[place] ^= 1;
        bytes
    });
    let others = [
        Vec::new(),
        good[..last].to_vec(),
        good[..good.len() / 2].to_vec(),
        [good, b"}"].concat(),
        b"<html>".to_vec(),
        vec![0xff; good.len()],
        vec![b'['; good.len()],
    ];
    flipped.chain(others).collect()
}

#[test]
fn damaged_metadata_is_fetched_again() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.publish(RoleKind::Root);
        let mut warm = Client::warm(&simulator);
        let whole = warm.cached.clone();
        let file = match kind {
            RoleKind::Root => "2.root.json",
            RoleKind::Timestamp => "timestamp.json",
            RoleKind::Snapshot => "1.snapshot.json",
            RoleKind::Targets => "1.targets.json",
        };
        let good = cached(&mut warm, kind).clone();
        for bad in damages(&good) {
            let mut client = warm.clone();
            *cached(&mut client, kind) = bad.clone();
            let refreshed = client.refresh(&simulator).unwrap();
            assert!(client.requests.contains(&file.to_owned()), "{file}");
            assert!(refreshed.metadata == whole, "as before the damage");
            // A damaged timestamp is only found out by the root, and replaced like an old one.
            assert!(refreshed.changed, "{}", String::from_utf8_lossy(&bad));
        }
    }
}

#[test]
fn damaged_first_root_costs_the_whole_chain_of_roots_and_no_more() {
    let mut simulator = Simulator::new();
    simulator.publish(RoleKind::Root);
    let warm = Client::warm(&simulator);
    for bad in damages(&warm.cached.roots[0]) {
        let mut client = warm.clone();
        client.cached.roots[0] = bad;
        client.refresh(&simulator).unwrap();
        assert_eq!(
            client.requests,
            [
                "1.root.json",
                "2.root.json",
                "3.root.json",
                "timestamp.json"
            ]
        );
        assert_eq!(client.cached, warm.cached);
    }
}

#[test]
fn damaged_metadata_is_not_replaced_by_something_unsigned() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.publish(RoleKind::Root);
        let mut client = Client::warm(&simulator);
        cached(&mut client, kind)[0] ^= 1;
        simulator.set_signers(kind, &[99]);
        simulator.forget_former_root_keys();
        simulator.rewrite(kind);
        // The timestamp in the cache still names the snapshot and targets that are right.
        let code = match kind {
            RoleKind::Snapshot | RoleKind::Targets => "verify.digest",
            _ => "verify.threshold",
        };
        let result = client.refresh(&simulator);
        assert_refused(result, code, kind.as_str());
    }
}

#[test]
fn parts_of_another_repository_are_not_used() {
    let (simulator, mut other) = (Simulator::new(), Simulator::new());
    for kind in ROLES {
        other.set_keys(kind, &[60 + seed(kind)], 1);
    }
    other.forget_former_root_keys();
    other.rewrite(RoleKind::Root);
    other.add_release("evil", "1.0", b"evil", &["stable"]);
    other.rewrite(RoleKind::Targets);
    let foreign = Client::warm(&other).cached;
    let warm = Client::warm(&simulator);
    for kind in ROLES {
        let mut client = warm.clone();
        match kind {
            RoleKind::Root => client.cached.roots.clone_from(&foreign.roots),
            RoleKind::Timestamp => client.cached.timestamp.clone_from(&foreign.timestamp),
            RoleKind::Snapshot => client.cached.snapshot.clone_from(&foreign.snapshot),
            RoleKind::Targets => client.cached.targets.clone_from(&foreign.targets),
        }
        client.refresh(&simulator).unwrap();
        assert_eq!(client.cached, warm.cached);
    }
    let mut client = warm.clone();
    client.cached = foreign;
    client.refresh(&simulator).unwrap();
    assert_eq!(client.cached, warm.cached);
}

#[test]
fn missing_parts_are_fetched() {
    let simulator = Simulator::new();
    let warm = Client::warm(&simulator);
    let without = |change: fn(&mut CachedMetadata)| {
        let mut client = warm.clone();
        change(&mut client.cached);
        assert!(client.refresh(&simulator).unwrap().changed);
        assert_eq!(client.cached, warm.cached);
        client.requests
    };
    assert_eq!(
        without(|cached| cached.timestamp = None),
        ["2.root.json", "timestamp.json"]
    );
    assert_eq!(
        without(|cached| cached.snapshot = None),
        ["2.root.json", "timestamp.json", "1.snapshot.json"]
    );
    assert_eq!(
        without(|cached| cached.targets = None),
        ["2.root.json", "timestamp.json", "1.targets.json"]
    );
    assert_eq!(
        without(|cached| cached.roots.clear()),
        ["1.root.json", "2.root.json", "timestamp.json"]
    );
}

#[test]
fn timestamp_signed_by_a_revoked_key_is_no_reference() {
    for replaced in [false, true] {
        let mut simulator = Simulator::new();
        let honest = simulator.clone();
        simulator.timestamp.common.version = 1000;
        simulator.rewrite(RoleKind::Timestamp);
        let mut client = Client::warm(&simulator);

        let mut simulator = honest;
        if replaced {
            simulator.set_keys(RoleKind::Timestamp, &[42], 1);
        }
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Timestamp);
        let result = client.refresh(&simulator);
        if replaced {
            result.unwrap();
            assert_eq!(
                client.requests,
                ["2.root.json", "3.root.json", "timestamp.json"],
                "the snapshot and the targets still serve"
            );
        } else {
            assert_refused(result, "verify.rollback", "timestamp.json");
        }
    }
}

#[test]
fn rollback_is_noticed_across_a_rotation_that_keeps_the_timestamp_key() {
    let mut simulator = Simulator::new();
    let old = simulator.file(RoleKind::Timestamp).clone();
    simulator.publish(RoleKind::Timestamp);
    let mut client = Client::warm(&simulator);
    simulator.publish(RoleKind::Root);
    let new = std::mem::replace(simulator.file(RoleKind::Timestamp), old);
    assert_refused(
        client.refresh(&simulator),
        "verify.rollback",
        "timestamp.json",
    );
    *simulator.file(RoleKind::Timestamp) = new;
    client.refresh(&simulator).unwrap();
}

#[test]
fn cached_roots_beyond_a_damaged_one_are_walked_again() {
    let mut simulator = Simulator::new();
    for _ in 0..3 {
        simulator.publish(RoleKind::Root);
    }
    let mut client = Client::warm(&simulator);
    let whole = client.cached.clone();
    client.cached.roots[2].pop();
    client.refresh(&simulator).unwrap();
    assert_eq!(
        client.requests,
        [
            "3.root.json",
            "4.root.json",
            "5.root.json",
            "timestamp.json"
        ]
    );
    assert_eq!(client.cached, whole);
}

#[test]
fn of_a_refused_refresh_only_newer_roots_are_kept() {
    // Each step of an update fails once; the next refresh starts from the same cache and gets through.
    for kind in ROLES {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        let before = client.cached.clone();
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        simulator.file(kind)[0] ^= 1;
        client.refresh(&simulator).unwrap_err();
        let mut kept = client.cached.clone();
        // Verified before the failure, unless the root itself was what failed.
        let rotated = kept.roots.len() - before.roots.len();
        assert_eq!(rotated, usize::from(kind != RoleKind::Root));
        kept.roots.truncate(before.roots.len());
        assert!(kept == before);
        simulator.file(kind)[0] ^= 1;
        assert!(client.refresh(&simulator).unwrap().changed);
        assert_eq!(client.cached.roots.len(), 2);
        assert_eq!(client.now, NOW);
    }
}

#[test]
fn a_key_that_was_seen_to_be_revoked_does_not_serve_offline() {
    // The new root arrives, the connection breaks before the timestamp.
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.set_keys(RoleKind::Timestamp, &[42], 1);
    simulator.publish(RoleKind::Root);
    let path = simulator.path(RoleKind::Timestamp);
    simulator.files.remove(&path);
    client.refresh(&simulator).unwrap_err();
    let error = client
        .start()
        .offline(Expiry::Refuse)
        .map(drop)
        .unwrap_err();
    assert_eq!(error.code(), "resolve.offline");
}

#[test]
fn a_root_that_revokes_nothing_leaves_the_cache_usable_offline() {
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.publish(RoleKind::Root);
    let path = simulator.path(RoleKind::Timestamp);
    simulator.files.remove(&path);
    client.refresh(&simulator).unwrap_err();
    assert_eq!(client.cached.roots.len(), 2);
    client.start().offline(Expiry::Refuse).unwrap();
}
