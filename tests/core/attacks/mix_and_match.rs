//! Mix and match: files of states that never existed together (TUF 5.5.2, 5.5.4, 5.6.2, 5.6.4).

use webimport_core::metadata::RoleKind;

use crate::simulator::{Client, Delegation, Digests, NOW, Simulator, assert_refused};

#[test]
fn a_mix_and_match_of_two_genuine_states_is_refused() {
    // The state of today with one file of tomorrow, and the other way round.
    for digests in [Digests::Stated, Digests::LeftOut] {
        let mut today = Simulator::new();
        today.digests = digests;
        today.delegate("targets", Delegation::to("a"));
        today.add_target("a", "mylib/2.0/x", b"x");
        today.rewrite_targets();
        let mut tomorrow = today.clone();
        tomorrow.add_release("mylib", "3.0", b"mylib 3.0", &["stable"]);
        tomorrow.common_of("a").version = 2;
        tomorrow.common_of("targets").version = 2;
        tomorrow.common_of("snapshot").version = 2;
        tomorrow.common_of("timestamp").version = 2;
        tomorrow.rewrite_targets();
        for role in ["snapshot", "targets", "a"] {
            for (base, other) in [(&today, &tomorrow), (&tomorrow, &today)] {
                let mut mixed = base.clone();
                let file = other.clone().file_of(role).clone();
                *mixed.file_of(role) = file;
                let code = match digests {
                    Digests::LeftOut => "verify.mix_and_match",
                    // Longer, shorter or other bytes than the ones that are named.
                    Digests::Stated => match base.clone().file_of(role).len() {
                        named if named < mixed.file_of(role).len() => "verify.too_large",
                        named if named > mixed.file_of(role).len() => "verify.length",
                        _ => "verify.digest",
                    },
                };
                let mut client = Client::new(base);
                assert_refused(client.find(&mixed, "mylib/2.0/x"), code, role);
                assert!(!client.cached.targets.contains_key("a"));
                client.find(base, "mylib/2.0/x").unwrap().unwrap();
            }
        }
    }
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
    assert!(!refreshed.changed());
    assert_eq!(refreshed.verified(), &first);
    assert_eq!(client.requests, ["2.root.json", "timestamp.json"]);
    // As the next version it counts.
    simulator.timestamp.common.version = 2;
    simulator.rewrite(RoleKind::Timestamp);
    assert!(client.refresh(&simulator).unwrap().changed());
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
        assert!(!client.refresh(&mixed).unwrap().changed());
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
        assert!(client.refresh(&simulator).unwrap().changed());
    }
}
