//! What is cached is not trusted: damage costs requests, never correctness.

use webimport_core::error::Coded as _;
use webimport_core::metadata::RoleKind;
use webimport_core::trust::Expiry;
use webimport_core::workflow::CachedMetadata;

use crate::simulator::{
    Client, Delegation, NOW, ROLES, Simulator, assert_refused, describe, seed, whole_chain,
};

/// The cached copy of a role.
fn cached(client: &mut Client, kind: RoleKind) -> &mut Vec<u8> {
    let cached = &mut client.cached;
    match kind {
        RoleKind::Root => cached.roots.last_mut(),
        RoleKind::Timestamp => cached.timestamp.as_mut(),
        RoleKind::Snapshot => cached.snapshot.as_mut(),
        RoleKind::Targets => cached.targets.get_mut("targets"),
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
            assert!(refreshed.verified() == &whole, "as before the damage");
            // A damaged timestamp is only found out by the root, and replaced like an old one.
            assert!(refreshed.changed(), "{}", String::from_utf8_lossy(&bad));
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
        assert!(client.refresh(&simulator).unwrap().changed());
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
        without(|cached| cached.targets.clear()),
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
                [
                    "2.root.json",
                    "3.root.json",
                    "timestamp.json",
                    "1.snapshot.json"
                ],
                "the snapshot is forgotten with it (TUF 5.3.11), the targets still serve"
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

/// All five kinds of role, in the order in which a refresh and a search for a target verify them.
const ORDER: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "a"];

/// What is kept of `old` and `new` when the first `verified` of [`ORDER`] were verified anew, and not all.
fn kept(old: &CachedMetadata, new: &CachedMetadata, verified: usize) -> CachedMetadata {
    let mut kept = old.clone();
    if ORDER[..verified].contains(&"timestamp") {
        kept.whole = Some(whole_chain(old));
    }
    if ORDER[..verified].contains(&"snapshot") {
        // Its version is not the one that is named now.
        kept.targets.remove("a");
    }
    for role in &ORDER[..verified] {
        match *role {
            "root" => kept.roots.clone_from(&new.roots),
            "timestamp" => kept.timestamp.clone_from(&new.timestamp),
            "snapshot" => kept.snapshot.clone_from(&new.snapshot),
            role => drop(kept.targets.insert(role.into(), new.targets[role].clone())),
        }
    }
    kept
}

/// A client that has version 1 of everything and the delegated role `a`, and a server with the next one.
fn one_version_behind() -> (Client, Simulator) {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.add_target("a", "mylib/2.0/x", b"x");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
    simulator.publish(RoleKind::Root);
    for role in ["timestamp", "snapshot", "targets", "a"] {
        simulator.common_of(role).version = 2;
    }
    simulator.rewrite_targets();
    (client, simulator)
}

#[test]
fn a_refresh_that_fails_keeps_exactly_what_was_verified_before_the_failure() {
    // TUF 5.3.8, 5.4.5, 5.5.7, 5.6.6.
    let (client, simulator) = one_version_behind();
    let old = client.cached.clone();
    let mut updated = client.clone();
    updated.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
    let new = updated.cached;
    for (index, role) in ORDER.into_iter().enumerate() {
        for missing in [false, true] {
            let mut broken = simulator.clone();
            let path = broken.path_of(role);
            if missing && role == "root" {
                // That is the end of the chain of roots, and no failure.
                continue;
            }
            if missing {
                broken.files.remove(&path);
            } else {
                broken.file_of(role)[0] ^= 1;
            }
            let mut client = client.clone();
            client.find(&broken, "mylib/2.0/x").unwrap_err();
            assert_eq!(client.cached, kept(&old, &new, index), "{role}");
            // The honest server is asked for the rest, and for nothing twice.
            client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
            assert_eq!(client.cached, new, "{role}");
            let all = [
                "timestamp.json",
                "2.snapshot.json",
                "2.targets.json",
                "2.a.json",
            ];
            let rest = match index {
                0 => [&["2.root.json", "3.root.json"], &all[..]].concat(),
                // Whether the timestamp is new is only known from itself.
                _ => [&["3.root.json", "timestamp.json"], &all[1.max(index - 1)..]].concat(),
            };
            assert_eq!(client.requests, rest, "{role}");
        }
    }
}

#[test]
fn of_a_role_that_has_expired_only_a_root_is_kept() {
    let (client, simulator) = one_version_behind();
    let old = client.cached.clone();
    for (index, role) in ORDER.into_iter().enumerate() {
        let mut simulator = simulator.clone();
        simulator.common_of(role).expires = NOW;
        simulator.rewrite_any(role);
        let mut client = client.clone();
        assert_refused(
            client.find(&simulator, "mylib/2.0/x"),
            "verify.expired",
            role,
        );
        let mut new = client.cached.clone();
        // TUF 5.3.8 comes before 5.3.10; a role below the root is stored after its expiry was looked at.
        let verified = if role == "root" { 1 } else { index };
        new.targets.get_or_insert_with("targets".into(), Vec::new);
        assert_eq!(client.cached, kept(&old, &new, verified), "{role}");
        simulator.common_of(role).expires = NOW.plus_days(30);
        simulator.publish_any(role);
        client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
    }
}

#[test]
fn one_damaged_file_leaves_the_protection_of_the_others() {
    // A refresh that goes on from what is left still notices an older state.
    for (damaged, subject) in [
        ("root", "timestamp.json"),
        // What the timestamp said is lost; the snapshot remembers the versions of what is below it.
        ("timestamp", "targets.json"),
        ("snapshot", "timestamp.json"),
        ("targets", "timestamp.json"),
    ] {
        let mut simulator = Simulator::new();
        let old = simulator.clone();
        simulator.publish(RoleKind::Targets);
        let mut client = Client::warm(&simulator);
        cached(&mut client, RoleKind::of(damaged).unwrap())[0] ^= 1;
        for _ in 0..2 {
            assert_refused(client.refresh(&old), "verify.rollback", subject);
        }
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn a_timestamp_that_was_verified_counts_although_its_snapshot_never_came() {
    let mut simulator = Simulator::new();
    simulator.publish(RoleKind::Targets);
    let second = simulator.clone();
    let client = Client::warm(&simulator);
    simulator.publish(RoleKind::Targets);
    let third = simulator.clone();
    simulator.publish(RoleKind::Targets);
    let fourth = simulator;
    let mut broken = third.clone();
    broken.files.remove("metadata/3.snapshot.json");
    let mut client = client;
    assert_refused(
        client.refresh(&broken),
        "fetch.not_found",
        "3.snapshot.json",
    );
    assert_refused(client.refresh(&second), "verify.rollback", "timestamp.json");
    client.clone().refresh(&third).unwrap();
    client.refresh(&fourth).unwrap();
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

#[test]
fn of_two_records_each_file_goes_on_to_the_higher_version() {
    // Two loads start from the same record; one ends with a newer timestamp, the other with newer targets.
    let mut simulator = Simulator::new();
    let seen = Client::warm(&simulator);
    simulator.add_release("mylib", "2.0", b"mylib 2.0", &["stable"]);
    simulator.publish(RoleKind::Targets);
    let mut whole = seen.clone();
    whole.refresh(&simulator).unwrap();
    simulator.publish(RoleKind::Timestamp);
    simulator.files.remove("metadata/2.snapshot.json");
    let mut broken_off = seen.clone();
    broken_off.refresh(&simulator).unwrap_err();
    for (one, other) in [(&whole, &broken_off), (&broken_off, &whole)] {
        let mut client = seen.clone();
        client.cached = CachedMetadata::further(&one.cached, &other.cached);
        assert_eq!(client.cached.timestamp, broken_off.cached.timestamp);
        assert_eq!(client.cached.snapshot, whole.cached.snapshot);
        assert_eq!(client.cached.targets, whole.cached.targets);
        let served = client.offline(Expiry::Refuse).unwrap();
        let expected = whole.offline(Expiry::Refuse).unwrap();
        assert_eq!(describe(&served), describe(&expected));
        client.refresh(&simulator).unwrap();
        assert_eq!(client.cached.whole, None);
    }
    let same = CachedMetadata::further(&whole.cached, &whole.cached);
    assert_eq!(same, whole.cached);
}

#[test]
fn of_two_records_each_file_goes_on_below_a_root_that_only_one_has_seen() {
    // One load has seen timestamp 9 and no new root, the other one new roots and timestamp 5.
    let mut simulator = Simulator::new();
    let seen = Client::warm(&simulator);
    simulator.timestamp.common.version = 9;
    simulator.rewrite(RoleKind::Timestamp);
    let nine = simulator.clone();
    simulator.timestamp.common.version = 5;
    for keys in [&[2, 42], &[42, 2]] {
        simulator.set_keys(RoleKind::Timestamp, keys, 1);
        simulator.publish(RoleKind::Root);
    }
    simulator.rewrite(RoleKind::Timestamp);
    let (mut with_nine, mut with_roots) = (seen.clone(), seen.clone());
    with_nine.refresh(&nine).unwrap();
    with_roots.refresh(&simulator).unwrap();
    for (one, other) in [(&with_nine, &with_roots), (&with_roots, &with_nine)] {
        let mut client = seen.clone();
        client.cached = CachedMetadata::further(&one.cached, &other.cached);
        assert_eq!(client.cached.roots, with_roots.cached.roots);
        client.offline(Expiry::Refuse).unwrap();
        for (version, accepted) in [(8, false), (9, true), (10, true)] {
            simulator.timestamp.common.version = version;
            simulator.rewrite(RoleKind::Timestamp);
            let result = client.refresh(&simulator);
            if accepted {
                result.unwrap();
            } else {
                assert_refused(result, "verify.rollback", "timestamp.json");
            }
        }
    }
}

#[test]
fn of_two_records_below_unlike_roots_one_counts_where_a_root_between_takes_something_back() {
    // Whose roots do not say that the files of before still count.
    for (kind, keys) in [
        // A key is replaced, and comes back.
        (RoleKind::Timestamp, &[(&[42][..], 1), (&[2], 1)][..]),
        (RoleKind::Snapshot, &[(&[43], 1), (&[3], 1)]),
        // One signature does not do any more.
        (RoleKind::Timestamp, &[(&[2, 42], 2)]),
        (RoleKind::Snapshot, &[(&[3, 43], 2)]),
    ] {
        let mut simulator = Simulator::new();
        simulator.timestamp.common.version = 9;
        simulator.rewrite(RoleKind::Timestamp);
        let behind = Client::warm(&simulator).cached;
        simulator.timestamp.common.version = 5;
        for (keys, threshold) in keys {
            simulator.set_keys(kind, keys, *threshold);
            simulator.publish(RoleKind::Root);
        }
        simulator.rewrite(RoleKind::Snapshot);
        let ahead = Client::warm(&simulator).cached;
        for (one, other) in [(&ahead, &behind), (&behind, &ahead)] {
            assert_eq!(CachedMetadata::further(one, other), ahead, "{keys:?}");
        }
        // Nor does a root that cannot be read say it.
        let mut damaged = ahead.clone();
        damaged.roots[1].pop();
        assert_eq!(CachedMetadata::further(&damaged, &behind), damaged);
        let none = CachedMetadata::default();
        assert_eq!(CachedMetadata::further(&none, &ahead), ahead);
    }
}

#[test]
fn of_two_records_the_one_with_more_roots_stays_where_a_key_was_taken_away() {
    let mut simulator = Simulator::new();
    simulator.snapshot.common.version = 1_000;
    simulator.rewrite(RoleKind::Snapshot);
    let behind = Client::warm(&simulator).cached;
    simulator.snapshot.common.version = 2;
    simulator.timestamp.common.version = 2;
    simulator.set_keys(RoleKind::Snapshot, &[43], 1);
    simulator.publish(RoleKind::Root);
    simulator.rewrite(RoleKind::Snapshot);
    let ahead = Client::warm(&simulator).cached;
    // The versions that the new root took back do not return.
    assert_eq!(CachedMetadata::further(&ahead, &behind), ahead);
    assert_eq!(CachedMetadata::further(&behind, &ahead), ahead);
}
