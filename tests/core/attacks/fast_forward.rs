//! Fast-forward: version numbers so high that honest updates look like rollback, and how a publisher recovers
//! from it (TUF 5.3.11).

use webimport_core::metadata::{MAX_VERSION, RoleKind};
use webimport_core::trust::Expiry;

use crate::simulator::{Client, Delegation, Simulator, assert_refused, seed, whole_chain};

#[test]
fn a_fast_forward_beyond_the_last_version_is_refused() {
    // A version that has no successor would be the last one for ever.
    for role in ["root", "timestamp", "snapshot", "targets", "a"] {
        for (version, accepted) in [
            (MAX_VERSION, true),
            (MAX_VERSION + 1, false),
            (u64::MAX, false),
        ] {
            let mut simulator = Simulator::new();
            simulator.delegate("targets", Delegation::to("a"));
            simulator.add_target("a", "mylib/2.0/x", b"x");
            simulator.rewrite_targets();
            let first = simulator.file_of("root").clone();
            simulator.common_of(role).version = version;
            simulator.rewrite_any(role);
            let mut client = Client::new(&simulator);
            if role == "root" {
                // As the one after the first.
                let next = simulator.file_of(role).clone();
                simulator.files.insert("metadata/1.root.json".into(), first);
                simulator.files.insert("metadata/2.root.json".into(), next);
                client = Client::new(&simulator);
            }
            let result = client.find(&simulator, "mylib/2.0/x");
            match (accepted, role) {
                (true, "root") => assert_refused(result, "verify.mix_and_match", "2.root.json"),
                (true, _) => drop(result.unwrap().unwrap()),
                (false, _) => {
                    assert_refused(result, "verify.malformed", "expected a version from 1");
                }
            }
        }
    }
}

#[test]
fn a_fast_forward_of_what_is_named_beyond_the_last_version_is_refused() {
    // It would be remembered before the file of that version, which nobody can make, is asked for.
    for (role, named) in [("timestamp", "snapshot.json"), ("snapshot", "targets.json")] {
        for (version, code) in [
            (MAX_VERSION, "fetch.not_found"),
            (MAX_VERSION + 1, "verify.malformed"),
            (u64::MAX, "verify.malformed"),
        ] {
            let mut simulator = Simulator::new();
            let mut client = Client::warm(&simulator);
            simulator.common_of("timestamp").version = 2;
            simulator.common_of("snapshot").version = 2;
            simulator.rewrite_any("snapshot");
            simulator.resign_any(role, |signed| {
                signed["meta"][named]["version"] = version.into();
            });
            assert_refused(client.refresh(&simulator), code, "");
            let mut honest = Simulator::new();
            honest.common_of("timestamp").version = 3;
            honest.common_of("snapshot").version = 3;
            honest.rewrite_any("snapshot");
            let next = client.refresh(&honest).map(drop);
            if code == "verify.malformed" {
                next.unwrap();
            } else {
                assert_refused(next, "verify.rollback", named);
            }
        }
    }
}

#[test]
fn a_pinned_root_of_the_last_version_is_walked_from_without_overflow() {
    let mut simulator = Simulator::new();
    simulator.root.common.version = MAX_VERSION;
    simulator.rewrite(RoleKind::Root);
    let root = simulator.file(RoleKind::Root).clone();
    let mut client = Client::new(&simulator);
    client.trust =
        webimport_core::workflow::RootTrust::Pin(webimport_core::digest::Sha256Digest::of(&root));
    client.cached.roots = vec![root];
    client.refresh(&simulator).unwrap();
    assert_eq!(client.requests[0], format!("{}.root.json", MAX_VERSION + 1));
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
        simulator.timestamp.common.version = MAX_VERSION;
        simulator.snapshot.common.version = MAX_VERSION;
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
            assert!(!client.refresh(&simulator).unwrap().changed());
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

#[test]
fn either_replaced_online_key_undoes_a_fast_forward_of_the_snapshot() {
    // The timestamp names the snapshot's version, and its key need not have been lost (TUF 5.3.11).
    for (replaced, accepted) in [
        (&[][..], false),
        (&[RoleKind::Targets], false),
        (&[RoleKind::Root], false),
        (&[RoleKind::Snapshot], true),
        (&[RoleKind::Timestamp], true),
        (&[RoleKind::Timestamp, RoleKind::Snapshot], true),
    ] {
        for version in [1_000, MAX_VERSION] {
            let mut simulator = Simulator::new();
            simulator.snapshot.common.version = version;
            simulator.rewrite(RoleKind::Snapshot);
            let mut client = Client::warm(&simulator);
            simulator.snapshot.common.version = 2;
            simulator.timestamp.common.version = 2;
            for kind in replaced {
                simulator.set_keys(*kind, &[40 + seed(*kind)], 1);
            }
            simulator.publish(RoleKind::Root);
            simulator.rewrite(RoleKind::Targets);
            let result = client.refresh(&simulator);
            if accepted {
                result.unwrap();
                assert!(!client.refresh(&simulator).unwrap().changed());
            } else {
                assert_refused(result, "verify.rollback", "snapshot.json");
            }
        }
    }
}

#[test]
fn a_snapshot_key_that_is_added_or_stays_undoes_nothing() {
    for (keys, threshold, accepted) in [
        (&[3][..], 1, false),
        (&[3, 43], 1, false),
        (&[43], 1, true),
        (&[43, 44], 2, true),
    ] {
        let mut simulator = Simulator::new();
        simulator.snapshot.common.version = 1_000;
        simulator.rewrite(RoleKind::Snapshot);
        let mut client = Client::warm(&simulator);
        simulator.snapshot.common.version = 2;
        simulator.timestamp.common.version = 2;
        simulator.set_keys(RoleKind::Snapshot, keys, threshold);
        simulator.publish(RoleKind::Root);
        simulator.rewrite(RoleKind::Snapshot);
        let result = client.refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.rollback", "snapshot.json");
        }
    }
}

#[test]
fn a_replaced_key_is_noticed_although_a_later_root_brings_it_back() {
    // Two rotations at once: what was signed between is still nobody's word.
    let mut simulator = Simulator::new();
    simulator.snapshot.common.version = 1_000;
    simulator.rewrite(RoleKind::Snapshot);
    let mut client = Client::warm(&simulator);
    simulator.snapshot.common.version = 2;
    simulator.timestamp.common.version = 2;
    for key in [43, seed(RoleKind::Snapshot)] {
        simulator.set_keys(RoleKind::Snapshot, &[key], 1);
        simulator.publish(RoleKind::Root);
    }
    simulator.rewrite(RoleKind::Snapshot);
    client.refresh(&simulator).unwrap();
}

#[test]
fn a_replaced_online_key_forgets_the_last_whole_chain() {
    for (kind, forgotten) in [
        (RoleKind::Timestamp, true),
        (RoleKind::Snapshot, true),
        (RoleKind::Targets, false),
    ] {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        let first = whole_chain(&client.cached);
        simulator.publish(RoleKind::Targets);
        let mut broken = simulator.clone();
        broken.files.remove("metadata/2.targets.json");
        client.refresh(&broken).unwrap_err();
        assert_eq!(client.cached.whole, Some(first.clone()));
        simulator.set_keys(kind, &[43], 1);
        simulator.publish(RoleKind::Root);
        simulator.files.remove("metadata/timestamp.json");
        client.refresh(&simulator).unwrap_err();
        assert_eq!(client.cached.timestamp.is_none(), forgotten);
        assert_eq!(client.cached.snapshot.is_none(), forgotten);
        assert_eq!(client.cached.whole, (!forgotten).then_some(first));
        // By the targets' old key it does not serve either.
        client.offline(Expiry::AcceptStale).unwrap_err();
    }
}

#[test]
fn a_replaced_snapshot_key_undoes_a_fast_forward_of_a_delegated_role() {
    for replaced in [false, true] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to("a"));
        simulator.add_target("a", "mylib/2.0/x", b"x");
        simulator.common_of("a").version = 1_000;
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
        simulator.common_of("a").version = 2;
        if replaced {
            simulator.set_keys(RoleKind::Snapshot, &[43], 1);
            simulator.publish(RoleKind::Root);
        }
        simulator.rewrite_any("a");
        simulator.publish(RoleKind::Snapshot);
        let result = client.find(&simulator, "mylib/2.0/x");
        if replaced {
            result.unwrap().unwrap();
            assert_eq!(client.roles_asked(), ["a"]);
        } else {
            assert_refused(result, "verify.rollback", "a.json");
        }
    }
}
