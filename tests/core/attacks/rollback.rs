//! Rollback: the server offers older metadata than this client has seen (TUF 5.3.5, 5.4.3, 5.5.5).

use webimport_core::metadata::{MetaFile, RoleKind};

use crate::simulator::{Client, Delegation, Digests, NOW, Simulator, assert_refused};

/// A simulator and a client that has seen version 2 of everything but the root.
fn second_version(digests: Digests) -> (Simulator, Client) {
    let mut simulator = Simulator::new();
    simulator.digests = digests;
    simulator.publish(RoleKind::Targets);
    let client = Client::warm(&simulator);
    (simulator, client)
}

#[test]
fn a_rollback_to_a_whole_earlier_state_is_refused() {
    // Every file of it is genuine, and to a client that knows nothing it is simply the state of the day.
    let mut simulator = Simulator::new();
    let old = simulator.clone();
    simulator.add_release("mylib", "1.1", b"mylib 1.1, mended", &["stable"]);
    simulator.publish(RoleKind::Targets);
    let mut client = Client::warm(&simulator);
    let cached = client.cached.clone();
    assert_refused(client.refresh(&old), "verify.rollback", "timestamp.json");
    assert_eq!(client.cached, cached, "nothing of it is kept");
    assert!(!client.refresh(&simulator).unwrap().changed());
    Client::new(&old).refresh(&old).unwrap();
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
        // The timestamp of the attack is signed, so it stays known: the acceptance starts before it.
        assert_refused(
            client.clone().refresh(&simulator),
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
fn rejects_a_snapshot_with_an_older_delegated_role() {
    for (version, accepted) in [(3, false), (4, true), (5, true)] {
        for digests in [Digests::Stated, Digests::LeftOut] {
            let mut simulator = Simulator::new();
            simulator.digests = digests;
            simulator.delegate("targets", Delegation::to("team"));
            simulator.add_target("team", "mylib/2.0/x", b"x");
            simulator.common_of("team").version = 4;
            simulator.rewrite_targets();
            let mut client = Client::warm(&simulator);
            // Seen in the snapshot, never fetched: that is enough.
            simulator.common_of("team").version = version;
            simulator.rewrite_any("team");
            simulator.publish(RoleKind::Snapshot);
            let found = client.find(&simulator, "mylib/2.0/x");
            if accepted {
                assert_eq!(found.unwrap().unwrap().authority.role, "team");
            } else {
                assert_refused(found, "verify.rollback", "team.json");
            }
        }
    }
}

#[test]
fn an_expired_cached_snapshot_still_protects_against_rollback() {
    for (version, accepted) in [(1, false), (2, true)] {
        let (mut simulator, mut client) = second_version(Digests::Stated);
        client.now = NOW.plus_days(40);
        simulator.timestamp.common.expires = NOW.plus_days(60);
        simulator.snapshot.common.expires = NOW.plus_days(60);
        simulator.targets.common.version = version;
        simulator.rewrite(RoleKind::Targets);
        simulator.publish(RoleKind::Snapshot);
        let result = client.refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.rollback", "targets.json");
        }
    }
}
