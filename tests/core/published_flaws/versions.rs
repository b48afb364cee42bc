//! Versions that went back, were left out, or were remembered although they were refused.

use webimport_core::metadata::{MAX_VERSION, MetaFile, RoleKind};
use webimport_core::trust::Expiry;

use crate::simulator::{Client, NOW, ROLES, Simulator, assert_refused};

#[test]
fn cve_2025_2885_only_the_next_root_version_is_the_next_root() {
    // With the client at version 1, and at version 2.
    for at in [1, 2] {
        for version in [1, 2, 3, 4, MAX_VERSION] {
            let mut simulator = Simulator::new();
            if at == 2 {
                simulator.publish(RoleKind::Root);
            }
            let mut client = Client::warm(&simulator);
            let cached = client.cached.clone();
            let files = simulator.files.clone();
            simulator.root.common.version = version;
            simulator.rewrite(RoleKind::Root);
            let offered = simulator.file(RoleKind::Root).clone();
            simulator.files = files;
            let next = format!("{}.root.json", at + 1);
            simulator.files.insert(format!("metadata/{next}"), offered);
            let result = client.refresh(&simulator);
            if version == at + 1 {
                assert_eq!(result.unwrap().verified().roots.len() as u64, version);
                continue;
            }
            let code = if version <= at {
                "verify.rollback"
            } else {
                "verify.mix_and_match"
            };
            // Not the silent end of the chain either.
            assert_refused(result, code, &next);
            assert_eq!(client.cached, cached);
        }
    }
}

#[test]
fn cve_2025_2885_an_earlier_root_is_not_the_end_of_the_chain() {
    for earlier in ["1.root.json", "2.root.json"] {
        let mut simulator = Simulator::new();
        simulator.publish(RoleKind::Root);
        let mut client = Client::warm(&simulator);
        let bytes = simulator.files[&format!("metadata/{earlier}")].clone();
        simulator.files.insert("metadata/3.root.json".into(), bytes);
        assert_refused(client.refresh(&simulator), "verify.rollback", "3.root.json");
        simulator.files.remove("metadata/3.root.json");
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn cve_2025_2887_no_entry_of_a_snapshot_goes_back_or_vanishes() {
    let entry = |version| MetaFile {
        version,
        ..MetaFile::of(version, b"{}")
    };
    for (next, accepted) in [
        (None, false),
        (Some(3), false),
        (Some(4), true),
        (Some(5), true),
    ] {
        for expired in [false, true] {
            let mut simulator = Simulator::new();
            simulator.snapshot.meta.insert("team.json".into(), entry(4));
            simulator.publish(RoleKind::Snapshot);
            let mut client = Client::warm(&simulator);
            match next {
                Some(version) => simulator
                    .snapshot
                    .meta
                    .insert("team.json".into(), entry(version)),
                None => simulator.snapshot.meta.remove("team.json"),
            };
            simulator.snapshot.meta.insert("new.json".into(), entry(1));
            if expired {
                // The one that is known has expired. It is the reference all the same.
                client.now = NOW.plus_days(40);
                simulator.snapshot.common.expires = NOW.plus_days(60);
                simulator.timestamp.common.expires = NOW.plus_days(60);
            }
            simulator.publish(RoleKind::Snapshot);
            let before = client.cached.snapshot.clone();
            let result = client.refresh(&simulator);
            if accepted {
                result.unwrap();
            } else {
                assert_refused(result, "verify.rollback", "team.json");
                assert_eq!(client.cached.snapshot, before);
            }
        }
    }
    // With the snapshot's key replaced it may (TUF 5.3.11).
    let mut simulator = Simulator::new();
    simulator.snapshot.meta.insert("team.json".into(), entry(4));
    simulator.publish(RoleKind::Snapshot);
    let mut client = Client::warm(&simulator);
    simulator.snapshot.meta.remove("team.json");
    simulator.set_keys(RoleKind::Snapshot, &[43], 1);
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Snapshot);
    client.refresh(&simulator).unwrap();
}

#[test]
fn cve_2025_2888_a_refused_timestamp_is_not_remembered() {
    let mut simulator = Simulator::new();
    simulator.publish(RoleKind::Targets);
    let client = Client::warm(&simulator);
    let honest = {
        let mut honest = simulator.clone();
        honest.publish(RoleKind::Timestamp);
        honest
    };
    let attack = |change: fn(&mut Simulator)| {
        let mut attack = simulator.clone();
        attack.timestamp.common.version = 100;
        change(&mut attack);
        attack
    };
    for (attack, code) in [
        (
            attack(|it| {
                it.snapshot.common.version = 1;
                it.rewrite(RoleKind::Snapshot);
            }),
            "verify.rollback",
        ),
        (
            attack(|it| {
                it.timestamp.common.expires = NOW;
                it.rewrite(RoleKind::Timestamp);
            }),
            "verify.expired",
        ),
        (
            attack(|it| {
                it.set_signers(RoleKind::Timestamp, &[99]);
                it.rewrite(RoleKind::Timestamp);
            }),
            "verify.threshold",
        ),
        (
            attack(|it| {
                it.timestamp.meta.clear();
                it.rewrite(RoleKind::Timestamp);
            }),
            "verify.malformed",
        ),
    ] {
        let mut client = client.clone();
        let before = client.cached.clone();
        assert_refused(client.refresh(&attack), code, "");
        assert_eq!(client.cached, before, "byte for byte");
        client.refresh(&honest).unwrap();
    }
    // Minimally different: version 100 with a snapshot that is none the worse. Then the honest 3 is a rollback.
    let attack = attack(|it| it.rewrite(RoleKind::Timestamp));
    let mut client = client.clone();
    client.refresh(&attack).unwrap();
    assert_refused(client.refresh(&honest), "verify.rollback", "timestamp.json");
}

#[test]
fn cve_2022_29173_what_one_process_saw_protects_the_next_one() {
    // Two processes that share nothing but the stored bytes.
    let mut simulator = Simulator::new();
    let first = simulator.clone();
    simulator.publish(RoleKind::Targets);
    let stored = Client::warm(&simulator).cached;
    let process = || {
        let mut client = Client::new(&first);
        client.cached = stored.clone();
        client
    };
    let mut old_snapshot = simulator.clone();
    old_snapshot.snapshot.clone_from(&first.snapshot);
    old_snapshot.publish(RoleKind::Timestamp);
    old_snapshot.rewrite(RoleKind::Snapshot);
    let mut old_targets = simulator.clone();
    old_targets.targets.common.version = 1;
    old_targets.rewrite(RoleKind::Targets);
    old_targets.publish(RoleKind::Snapshot);
    for (state, subject) in [
        (&first, "timestamp.json"),
        (&old_snapshot, "snapshot.json"),
        (&old_targets, "targets.json"),
    ] {
        assert_refused(process().refresh(state), "verify.rollback", subject);
    }
    // Also when what is stored has expired.
    let mut client = process();
    client.now = NOW.plus_days(8);
    assert_refused(client.refresh(&first), "verify.rollback", "timestamp.json");
    // The same state is no rollback, and a newer one neither.
    assert!(!process().refresh(&simulator).unwrap().changed());
    simulator.publish(RoleKind::Targets);
    process().refresh(&simulator).unwrap();
}

#[test]
fn cve_2020_15163_a_root_that_was_refused_is_not_kept() {
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    let cached = client.cached.clone();
    let honest = simulator.clone();
    for kind in ROLES {
        simulator.set_keys(kind, &[90 + kind as u8], 1);
    }
    simulator.forget_former_root_keys();
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Targets);
    for _ in 0..2 {
        assert_refused(
            client.refresh(&simulator),
            "verify.threshold",
            "2.root.json",
        );
        assert_eq!(client.cached, cached);
    }
    assert!(!client.refresh(&honest).unwrap().changed());
    // Nor is it believed if it got there in another way.
    client
        .cached
        .roots
        .push(simulator.file(RoleKind::Root).clone());
    let stored = client.cached.clone();
    for _ in 0..2 {
        // It may be a damaged one that was verified once: whoever gives less than there was is not believed.
        let result = client.refresh(&honest);
        assert_refused(result, "verify.rollback", "root.json");
        assert_eq!(client.cached, stored);
        assert_refused(
            client.offline(Expiry::AcceptStale),
            "resolve.offline",
            "metadata",
        );
    }
    let mut honest = honest;
    honest.publish(RoleKind::Root);
    client.refresh(&honest).unwrap();
    assert_eq!(client.cached.roots[1], *honest.file(RoleKind::Root));
}
