//! The attacks of TUF's threat model, each beside the nearest thing that is none.

use webimport_core::metadata::{MetaFile, RoleKind};
use webimport_core::time::UnixTime;

use crate::simulator::{Client, Digests, NOW, ROLES, Simulator, assert_refused, seed};

/// A simulator and a client that has seen version 2 of everything but the root.
fn second_version(digests: Digests) -> (Simulator, Client) {
    let mut simulator = Simulator::new();
    simulator.digests = digests;
    simulator.publish(RoleKind::Targets);
    let client = Client::warm(&simulator);
    (simulator, client)
}

/// One place for each byte value that a file holds: the first such byte. So every kind of place is there:
/// brackets, quotes, key names, digests, signatures, dates.
fn places(bytes: &[u8]) -> Vec<usize> {
    let mut seen = [false; 256];
    (0..bytes.len())
        .filter(|index| !std::mem::replace(&mut seen[usize::from(bytes[*index])], true))
        .collect()
}

#[test]
fn rejects_each_role_from_the_second_it_expires() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.common(kind).expires = NOW.plus_days(1);
        simulator.rewrite(kind);
        let mut client = Client::new(&simulator);
        let UnixTime(expires) = NOW.plus_days(1);
        client.now = UnixTime(expires);
        assert_refused(client.refresh(&simulator), "verify.expired", kind.as_str());
        client.now = UnixTime(expires - 1);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_cached_metadata_that_expired_until_it_is_signed_again() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.common(kind).expires = NOW.plus_days(1);
        simulator.rewrite(kind);
        let mut client = Client::warm(&simulator);
        client.now = NOW.plus_days(1);
        assert_refused(client.refresh(&simulator), "verify.expired", kind.as_str());
        simulator.common(kind).expires = NOW.plus_days(2);
        simulator.publish(kind);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_an_older_timestamp() {
    let mut simulator = Simulator::new();
    let old = simulator.file(RoleKind::Timestamp).clone();
    simulator.publish(RoleKind::Timestamp);
    let mut client = Client::warm(&simulator);
    *simulator.file(RoleKind::Timestamp) = old.clone();
    assert_refused(
        client.refresh(&simulator),
        "verify.rollback",
        "timestamp.json",
    );
    assert_refused(
        client.refresh(&simulator),
        "verify.rollback",
        "timestamp.json",
    );
    Client::new(&simulator).refresh(&simulator).unwrap();
}

#[test]
fn an_older_timestamp_is_a_rollback_even_if_it_expired() {
    let mut simulator = Simulator::new();
    let old = simulator.file(RoleKind::Timestamp).clone();
    simulator.timestamp.common.expires = NOW.plus_days(30);
    simulator.publish(RoleKind::Timestamp);
    let mut client = Client::warm(&simulator);
    client.now = NOW.plus_days(20);
    *simulator.file(RoleKind::Timestamp) = old;
    assert_refused(
        client.refresh(&simulator),
        "verify.rollback",
        "timestamp.json",
    );
}

#[test]
fn an_expired_cached_timestamp_still_protects_against_rollback() {
    let mut simulator = Simulator::new();
    simulator.publish(RoleKind::Timestamp);
    let mut client = Client::warm(&simulator);
    client.now = NOW.plus_days(20);
    simulator.timestamp.common.expires = NOW.plus_days(30);
    simulator.timestamp.common.version = 1;
    simulator.rewrite(RoleKind::Timestamp);
    assert_refused(
        client.refresh(&simulator),
        "verify.rollback",
        "timestamp.json",
    );
    simulator.timestamp.common.version = 3;
    simulator.rewrite(RoleKind::Timestamp);
    client.refresh(&simulator).unwrap();
}

#[test]
fn rejects_a_newer_timestamp_with_an_older_snapshot() {
    for digests in [Digests::Stated, Digests::LeftOut] {
        let (mut simulator, mut client) = second_version(digests);
        simulator.snapshot.common.version = 1;
        simulator.timestamp.common.version = 3;
        simulator.rewrite(RoleKind::Snapshot);
        assert_refused(
            client.refresh(&simulator),
            "verify.rollback",
            "snapshot.json",
        );
        simulator.snapshot.common.version = 2;
        simulator.rewrite(RoleKind::Snapshot);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_a_newer_snapshot_with_older_targets() {
    for digests in [Digests::Stated, Digests::LeftOut] {
        let (mut simulator, mut client) = second_version(digests);
        simulator.targets.common.version = 1;
        simulator.rewrite(RoleKind::Targets);
        simulator.publish(RoleKind::Snapshot);
        assert_refused(
            client.refresh(&simulator),
            "verify.rollback",
            "targets.json",
        );
        simulator.targets.common.version = 2;
        simulator.rewrite(RoleKind::Targets);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_a_snapshot_that_drops_targets() {
    let mut simulator = Simulator::new();
    simulator
        .snapshot
        .meta
        .insert("team.json".into(), MetaFile::of(4, b"{}"));
    simulator.publish(RoleKind::Snapshot);
    let mut client = Client::warm(&simulator);

    let dropped = simulator.snapshot.meta.remove("team.json").unwrap();
    simulator.publish(RoleKind::Snapshot);
    assert_refused(client.refresh(&simulator), "verify.rollback", "team.json");

    simulator.snapshot.meta.insert("team.json".into(), dropped);
    let targets = simulator.snapshot.meta.remove("targets.json").unwrap();
    simulator.publish(RoleKind::Snapshot);
    assert_refused(
        client.refresh(&simulator),
        "verify.malformed",
        "targets.json",
    );

    simulator
        .snapshot
        .meta
        .insert("targets.json".into(), targets);
    simulator.publish(RoleKind::Snapshot);
    client.refresh(&simulator).unwrap();
}

#[test]
fn rejects_a_timestamp_without_a_snapshot() {
    let mut simulator = Simulator::new();
    let mut client = Client::new(&simulator);
    let snapshot = simulator.timestamp.meta.remove("snapshot.json").unwrap();
    simulator.rewrite(RoleKind::Timestamp);
    assert_refused(
        client.refresh(&simulator),
        "verify.malformed",
        "snapshot.json",
    );
    simulator
        .timestamp
        .meta
        .insert("snapshot.json".into(), snapshot);
    simulator.rewrite(RoleKind::Timestamp);
    client.refresh(&simulator).unwrap();
}

#[test]
fn rejects_a_file_of_another_state_under_the_current_name() {
    for kind in [RoleKind::Snapshot, RoleKind::Targets] {
        for (digests, code) in [
            // The old file has the same length, so its digest gives it away.
            (Digests::Stated, "verify.digest"),
            (Digests::LeftOut, "verify.mix_and_match"),
        ] {
            let mut simulator = Simulator::new();
            simulator.digests = digests;
            simulator.rewrite(RoleKind::Targets);
            let old = simulator.file(kind).clone();
            simulator.publish(RoleKind::Targets);
            let new = std::mem::replace(simulator.file(kind), old);
            let mut client = Client::new(&simulator);
            assert_refused(client.refresh(&simulator), code, kind.as_str());
            *simulator.file(kind) = new;
            client.refresh(&simulator).unwrap();
        }
    }
}

#[test]
fn rejects_a_newer_file_than_the_one_above_names() {
    for kind in [RoleKind::Snapshot, RoleKind::Targets] {
        let mut simulator = Simulator::new();
        simulator.digests = Digests::LeftOut;
        simulator.rewrite(RoleKind::Targets);
        let mut client = Client::new(&simulator);
        client.clone().refresh(&simulator).unwrap();
        let current = simulator.clone();
        simulator.publish(RoleKind::Targets);
        let newer = simulator.file(kind).clone();
        let mut mixed = current;
        *mixed.file(kind) = newer;
        assert_refused(
            client.refresh(&mixed),
            "verify.mix_and_match",
            kind.as_str(),
        );
    }
}

#[test]
fn keeps_the_first_content_of_a_timestamp_version() {
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    let first = client.cached.clone();
    // The same version again, now naming a newer snapshot.
    simulator.publish(RoleKind::Targets);
    simulator.timestamp.common.version = 1;
    simulator.rewrite(RoleKind::Timestamp);
    let refreshed = client.refresh(&simulator).unwrap();
    assert!(!refreshed.changed);
    assert_eq!(refreshed.metadata, first);
    assert_eq!(client.requests, ["2.root.json", "timestamp.json"]);
    // As the next version it counts.
    simulator.timestamp.common.version = 2;
    simulator.rewrite(RoleKind::Timestamp);
    assert!(client.refresh(&simulator).unwrap().changed);
}

#[test]
fn same_version_with_other_content_counts_only_if_its_digest_is_signed() {
    for kind in [RoleKind::Snapshot, RoleKind::Targets] {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        // Signed again by the right key with another date, but no one names the new bytes: the cached ones
        // stay, and a new client refuses.
        let current = simulator.clone();
        simulator.common(kind).expires = NOW.plus_days(15);
        simulator.rewrite(kind);
        let other = simulator.file(kind).clone();
        let mut mixed = current;
        *mixed.file(kind) = other;
        assert!(!client.refresh(&mixed).unwrap().changed);
        assert_refused(
            Client::new(&mixed).refresh(&mixed),
            "verify.digest",
            kind.as_str(),
        );
        // Now everything above names them in its next version.
        match kind {
            RoleKind::Targets => simulator.publish(RoleKind::Snapshot),
            _ => simulator.publish(RoleKind::Timestamp),
        }
        assert!(client.refresh(&simulator).unwrap().changed);
    }
}

#[test]
fn rejects_a_role_signed_by_another_key() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        // A stranger, then every other role's key.
        let others = ROLES
            .map(seed)
            .into_iter()
            .filter(|other| *other != seed(kind));
        for other in others.chain([99]) {
            simulator.set_signers(kind, &[other]);
            if kind == RoleKind::Root {
                simulator.forget_former_root_keys();
            }
            let mut attempt = simulator.clone();
            attempt.publish(kind);
            assert_refused(client.refresh(&attempt), "verify.threshold", kind.as_str());
        }
        simulator.set_signers(kind, &[seed(kind)]);
        simulator.publish(kind);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_another_roles_file() {
    // One key signs everything, so that only the role tells the files apart.
    let mut simulator = Simulator::new();
    for kind in ROLES {
        simulator.set_keys(kind, &[1], 1);
    }
    simulator.digests = Digests::LeftOut;
    simulator.rewrite(RoleKind::Root);
    simulator.rewrite(RoleKind::Targets);
    Client::new(&simulator).refresh(&simulator).unwrap();
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot, RoleKind::Targets] {
        for other in ROLES.into_iter().filter(|other| *other != kind) {
            let mut swapped = simulator.clone();
            let file = swapped.file(other).clone();
            *swapped.file(kind) = file;
            assert_refused(
                Client::new(&swapped).refresh(&swapped),
                "verify.malformed",
                &format!(
                    "expected the role `{}`, got `{}`",
                    kind.as_str(),
                    other.as_str()
                ),
            );
        }
    }
    let timestamp = simulator.file(RoleKind::Timestamp).clone();
    simulator
        .files
        .insert("metadata/2.root.json".into(), timestamp);
    assert_refused(
        Client::new(&simulator).refresh(&simulator),
        "verify.malformed",
        "expected the role `root`",
    );
}

#[test]
fn rejects_a_changed_byte_in_each_file() {
    // Without digests the signatures alone protect the snapshot and the targets.
    for digests in [Digests::Stated, Digests::LeftOut] {
        let mut simulator = Simulator::new();
        simulator.digests = digests;
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        let mut client = Client::new(&simulator);
        client.clone().refresh(&simulator).unwrap();
        for kind in ROLES {
            let original = simulator.file(kind).clone();
            for place in places(&original) {
                simulator.file(kind)[place] ^= 1;
                let error = client.refresh(&simulator).unwrap_err().to_string();
                assert!(error.contains(kind.as_str()), "byte {place}: {error}");
                simulator.file(kind)[place] ^= 1;
            }
        }
    }
}

#[test]
fn rejects_a_truncated_file() {
    for kind in ROLES {
        for (digests, below_root) in [
            (Digests::Stated, "verify.length"),
            (Digests::LeftOut, "verify.malformed"),
        ] {
            let mut simulator = Simulator::new();
            simulator.digests = digests;
            simulator.publish(RoleKind::Root);
            simulator.publish(RoleKind::Targets);
            let original = simulator.file(kind).clone();
            for length in [0, 1, original.len() / 2, original.len() - 1] {
                *simulator.file(kind) = original[..length].to_vec();
                let code = match kind {
                    RoleKind::Snapshot | RoleKind::Targets => below_root,
                    _ => "verify.malformed",
                };
                let result = Client::new(&simulator).refresh(&simulator);
                assert_refused(result, code, kind.as_str());
            }
        }
    }
}

#[test]
fn rejects_a_longer_file() {
    for kind in ROLES {
        for digests in [Digests::Stated, Digests::LeftOut] {
            let mut simulator = Simulator::new();
            simulator.digests = digests;
            simulator.publish(RoleKind::Root);
            simulator.publish(RoleKind::Targets);
            simulator.file(kind).push(b'x');
            let named = matches!(kind, RoleKind::Snapshot | RoleKind::Targets);
            let code = if named && digests == Digests::Stated {
                "verify.too_large"
            } else {
                "verify.malformed"
            };
            let mut client = Client::new(&simulator);
            assert_refused(client.refresh(&simulator), code, kind.as_str());
            simulator.file(kind).pop();
            client.refresh(&simulator).unwrap();
        }
    }
}

#[test]
fn a_longer_file_is_refused_by_length_where_no_limit_cut_it_off() {
    let simulator = Simulator::new();
    let mut refresh = Client::new(&simulator).start();
    while let webimport_core::workflow::Step::Fetch(fetch) = refresh.step().unwrap() {
        let mut file = simulator.answer(&fetch).unwrap();
        if fetch.path.ends_with("snapshot.json") {
            file.as_mut().unwrap().push(b'\n');
            assert_refused(
                refresh.supply(file).and_then(|()| refresh.finish()),
                "verify.length",
                "1.snapshot.json",
            );
            return;
        }
        refresh.supply(file).unwrap();
    }
    panic!("no snapshot was asked for");
}

#[test]
fn rejects_endless_data() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.digests = Digests::LeftOut;
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        let mut client = Client::new(&simulator);
        let limit = match kind {
            RoleKind::Root => client.limits.root,
            RoleKind::Timestamp => client.limits.timestamp,
            RoleKind::Snapshot => client.limits.snapshot,
            RoleKind::Targets => client.limits.targets,
        };
        // White space is allowed behind JSON, so that the limit alone decides.
        let size = usize::try_from(limit).unwrap();
        simulator.file(kind).resize(size + 1, b' ');
        assert_refused(
            client.refresh(&simulator),
            "verify.too_large",
            kind.as_str(),
        );
        simulator.file(kind).resize(size, b' ');
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn names_a_web_page_in_place_of_a_file() {
    let page = b"<!DOCTYPE html>\n<title>Not found</title>".to_vec();
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.digests = Digests::LeftOut;
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        *simulator.file(kind) = page.clone();
        let result = Client::new(&simulator).refresh(&simulator);
        assert_refused(result, "verify.malformed", "HTML page");
    }
    // The usual one: status 200 and a page for every file that does not exist.
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.files.insert("metadata/2.root.json".into(), page);
    assert_refused(
        client.refresh(&simulator),
        "verify.malformed",
        "2.root.json",
    );
    simulator.files.remove("metadata/2.root.json");
    client.refresh(&simulator).unwrap();
}

#[test]
fn replaced_keys_undo_a_fast_forward() {
    // Whoever had the timestamp's and the snapshot's keys pushed the versions far ahead.
    for (replaced, accepted) in [
        (&[][..], false),
        (&[RoleKind::Timestamp, RoleKind::Snapshot][..], true),
    ] {
        let mut simulator = Simulator::new();
        let honest = simulator.clone();
        simulator.timestamp.common.version = u64::MAX;
        simulator.snapshot.common.version = u64::MAX;
        simulator.rewrite(RoleKind::Snapshot);
        let mut client = Client::warm(&simulator);

        let mut simulator = honest;
        for kind in replaced {
            simulator.set_keys(*kind, &[40 + seed(*kind)], 1);
        }
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        let result = client.refresh(&simulator);
        if accepted {
            result.unwrap();
            assert!(!client.refresh(&simulator).unwrap().changed);
        } else {
            assert_refused(result, "verify.rollback", "timestamp.json");
        }
    }
}

#[test]
fn a_replaced_snapshot_key_undoes_a_fast_forward_of_targets() {
    for replaced in [false, true] {
        let mut simulator = Simulator::new();
        simulator.targets.common.version = 1000;
        simulator.rewrite(RoleKind::Targets);
        let mut client = Client::warm(&simulator);
        simulator.targets.common.version = 2;
        if replaced {
            simulator.set_keys(RoleKind::Snapshot, &[43], 1);
            simulator.publish(RoleKind::Root);
        }
        simulator.rewrite(RoleKind::Targets);
        simulator.publish(RoleKind::Snapshot);
        let result = client.refresh(&simulator);
        if replaced {
            result.unwrap();
        } else {
            assert_refused(result, "verify.rollback", "targets.json");
        }
    }
}
