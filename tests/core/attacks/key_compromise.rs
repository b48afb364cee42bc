//! Key compromise: fewer keys than a threshold of every role that matters do not install anything.

use webimport_core::metadata::RoleKind;
use webimport_core::trust::Expiry;

use crate::simulator::{Client, Delegation, Simulator, assert_refused, seed, whole_chain};

/// The state of `simulator` with another file under the path of an existing one, signed with the keys of the
/// `stolen` roles and strangers' in place of the others.
fn attack(simulator: &Simulator, stolen: &[&str]) -> Simulator {
    let mut attack = simulator.clone();
    attack.add_release("mylib", "1.0", b"evil", &["stable"]);
    for (role, stranger) in [("timestamp", 92), ("snapshot", 93), ("targets", 94)] {
        if !stolen.contains(&role) {
            attack.set_any_signers(role, &[stranger]);
        }
    }
    attack.publish(RoleKind::Targets);
    attack
}

#[test]
fn a_key_compromise_of_fewer_than_all_online_roles_installs_nothing() {
    let simulator = Simulator::new();
    let client = Client::warm(&simulator);
    for stolen in [
        &[][..],
        &["timestamp"],
        &["snapshot"],
        &["targets"],
        &["timestamp", "snapshot"],
        &["timestamp", "targets"],
        &["snapshot", "targets"],
    ] {
        let attack = attack(&simulator, stolen);
        let mut client = client.clone();
        // The first role that is not stolen gives it away.
        let role = ["timestamp", "snapshot", "targets"]
            .into_iter()
            .find(|role| !stolen.contains(role))
            .unwrap();
        assert_refused(client.refresh(&attack), "verify.threshold", role);
        assert_eq!(
            client.cached.targets,
            Client::warm(&simulator).cached.targets
        );
    }
    // All of them: what no client can see. A new root ends it, see below.
    let all = attack(&simulator, &["timestamp", "snapshot", "targets"]);
    client.clone().refresh(&all).unwrap();
}

#[test]
fn a_compromised_targets_key_names_nothing_without_a_snapshot_that_names_it() {
    // Same version, signed by the stolen key alone; the honest snapshot names another file.
    let simulator = Simulator::new();
    let mut attack = simulator.clone();
    attack.add_release("mylib", "1.0", b"evil-1.0", &["stable"]);
    attack.rewrite(RoleKind::Targets);
    let mut mixed = simulator.clone();
    *mixed.file(RoleKind::Targets) = attack.file(RoleKind::Targets).clone();
    assert_refused(
        Client::new(&mixed).refresh(&mixed),
        "verify.digest",
        "1.targets.json",
    );
    Client::new(&simulator).refresh(&simulator).unwrap();
}

#[test]
fn one_compromised_key_of_a_threshold_of_two_signs_nothing() {
    for role in ["root", "timestamp", "snapshot", "targets", "a"] {
        for (signers, accepted) in [(&[31][..], false), (&[31, 99], false), (&[31, 32], true)] {
            let mut simulator = Simulator::new();
            simulator.delegate("targets", Delegation::to("a").keys(&[31, 32], 2));
            simulator.add_target("a", "mylib/2.0/x", b"x");
            if let Some(kind) = RoleKind::of(role) {
                simulator.set_keys(kind, &[31, 32], 2);
                simulator.publish(RoleKind::Root);
            }
            simulator.rewrite_targets();
            let mut client = Client::new(&simulator);
            client.refresh(&simulator).unwrap();
            simulator.set_any_signers(role, signers);
            simulator.publish_any(role);
            let result = client.find(&simulator, "mylib/2.0/x");
            if accepted {
                result.unwrap().unwrap();
            } else {
                assert_refused(result, "verify.threshold", role);
            }
        }
    }
}

#[test]
fn a_compromised_delegated_key_reaches_no_further_than_its_patterns() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a").paths(&["team/*/*"]));
    for path in ["team/1.0/release.json", "mylib/9.9/release.json"] {
        simulator.add_target("a", path, b"evil");
    }
    simulator.add_release_to("a", "mylib", "1.0", b"evil", &["stable"]);
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    let mut found = |path: &str| client.find(&simulator, path).unwrap();
    assert_eq!(found("team/1.0/release.json").unwrap().authority.role, "a");
    assert!(found("mylib/9.9/release.json").is_none());
    assert_eq!(
        found("mylib/1.0/release.json").unwrap().authority.role,
        "targets"
    );
    let mut repository = client.refresh(&simulator).unwrap();
    let (target, authority) = client
        .release(&simulator, &mut repository, "mylib", "stable")
        .unwrap();
    assert_eq!(authority.role, "targets");
    target.expected().check_bytes(b"mylib 1.0").unwrap();
}

#[test]
fn a_root_with_new_keys_ends_a_key_compromise() {
    let simulator = Simulator::new();
    let all = attack(&simulator, &["timestamp", "snapshot", "targets"]);
    let mut client = Client::warm(&all);
    let mut simulator = simulator;
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot, RoleKind::Targets] {
        simulator.set_keys(kind, &[40 + seed(kind)], 1);
    }
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Targets);
    let mut repository = client.refresh(&simulator).unwrap();
    let (target, _) = client
        .release(&simulator, &mut repository, "mylib", "stable")
        .unwrap();
    target.expected().check_bytes(b"mylib 1.0").unwrap();
    // From now on the stolen keys are worth nothing to this client, whatever the attacker shows it.
    let mut again = all.clone();
    again.publish(RoleKind::Targets);
    assert_refused(client.refresh(&again), "verify.threshold", "timestamp.json");
}

#[test]
fn a_stolen_root_key_below_the_threshold_makes_no_root() {
    let mut simulator = Simulator::new();
    simulator.set_keys(RoleKind::Root, &[11, 12, 13], 2);
    simulator.publish(RoleKind::Root);
    let client = Client::warm(&simulator);
    for (stolen, accepted) in [(&[11][..], false), (&[11, 13], true)] {
        let mut attack = simulator.clone();
        attack.set_keys(RoleKind::Root, &[98, 99], 2);
        attack.set_signers(RoleKind::Root, &[&[98, 99], stolen].concat());
        attack.forget_former_root_keys();
        attack.publish(RoleKind::Root);
        let result = client.clone().refresh(&attack);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.threshold", "3.root.json");
        }
    }
}

/// What is kept of a client that saw a root that revokes all online keys, and the attacker who has them.
fn revoked(seen: bool) -> (Simulator, Simulator, Client) {
    let mut simulator = Simulator::new();
    let mut attacker = simulator.clone();
    let mut client = Client::warm(&simulator);
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot, RoleKind::Targets] {
        simulator.set_keys(kind, &[60 + seed(kind)], 1);
    }
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Targets);
    if seen {
        client.refresh(&simulator).unwrap();
    } else {
        // The connection breaks behind the root.
        let mut broken = simulator.clone();
        broken.files.remove("metadata/timestamp.json");
        assert_refused(client.refresh(&broken), "fetch.not_found", "timestamp.json");
    }
    assert_eq!(client.cached.roots.len(), 2);
    attacker.add_release("mylib", "6.6", b"evil", &["stable"]);
    for _ in 0..3 {
        attacker.publish(RoleKind::Targets);
    }
    (simulator, attacker, client)
}

/// The ways in which the newest root of a record can be bad.
fn damaged(client: &Client) -> Vec<Client> {
    let changes: [fn(&mut Vec<u8>); 5] = [
        |root| {
            let middle = root.len() / 2;
            root[middle] ^= 1;
        },
        |root| root[0] ^= 1,
        Vec::clear,
        |root| root.truncate(root.len() - 1),
        |root| *root = b"{}".to_vec(),
    ];
    let damaged = changes.into_iter().map(|change| {
        let mut client = client.clone();
        change(&mut client.cached.roots[1]);
        client
    });
    damaged.collect()
}

#[test]
fn a_damaged_root_does_not_bring_a_revoked_key_back_offline() {
    for seen in [false, true] {
        let (_, _, intact) = revoked(seen);
        for mut client in damaged(&intact) {
            let record = client.cached.clone();
            // What the key signed is still there, as if nobody had tidied up.
            for whole in [false, true] {
                if whole {
                    client.cached.whole =
                        Some(whole_chain(&Client::warm(&Simulator::new()).cached));
                } else if !seen {
                    let old = Client::warm(&Simulator::new()).cached;
                    (client.cached.timestamp, client.cached.snapshot) =
                        (old.timestamp, old.snapshot);
                }
                for expiry in [Expiry::Refuse, Expiry::AcceptStale] {
                    // Once, and with what that stored once more.
                    for _ in 0..2 {
                        let mut refresh = client.start();
                        assert_refused(refresh.offline(expiry), "resolve.offline", "metadata");
                        assert_refused(
                            refresh.offline_whole(expiry),
                            "resolve.offline",
                            "metadata",
                        );
                        assert!(refresh.verified().is_none(), "one root less is stored");
                    }
                }
            }
            assert_eq!(client.cached.roots, record.roots);
        }
        assert_eq!(intact.offline(Expiry::Refuse).is_ok(), seen);
    }
}

#[test]
fn a_damaged_root_does_not_bring_a_revoked_key_back_online() {
    for seen in [false, true] {
        let (simulator, attacker, intact) = revoked(seen);
        assert_refused(
            intact.clone().refresh(&attacker),
            "verify.threshold",
            "timestamp.json",
        );
        for client in damaged(&intact) {
            let mut victim = client.clone();
            for _ in 0..2 {
                assert_refused(victim.refresh(&attacker), "verify.rollback", "root.json");
                assert_eq!(victim.cached, client.cached, "nothing of it is kept");
            }
            // One that gives the root again is as good as ever, and the attacker none the better for it.
            let mut serves = attacker.clone();
            let root = simulator.files["metadata/2.root.json"].clone();
            serves.files.insert("metadata/2.root.json".into(), root);
            assert_refused(
                client.clone().refresh(&serves),
                "verify.threshold",
                "timestamp.json",
            );
            victim.refresh(&simulator).unwrap();
            let mut healed = intact.clone();
            healed.refresh(&simulator).unwrap();
            assert_eq!(victim.cached, healed.cached);
        }
    }
}

#[test]
fn a_root_that_a_damaged_record_gets_again_costs_no_memory_of_versions() {
    // That it took keys away is nothing new: the versions that are remembered are those of the new keys.
    let (mut simulator, _, _) = revoked(true);
    let old = simulator.clone();
    simulator.publish(RoleKind::Targets);
    let intact = Client::warm(&simulator);
    let mut first = intact.clone();
    first.cached.roots[0].clear();
    for client in [damaged(&intact), vec![first]].concat() {
        let mut attacked = client.clone();
        for _ in 0..2 {
            assert_refused(attacked.refresh(&old), "verify.rollback", "timestamp.json");
            attacked.offline(Expiry::Refuse).unwrap();
        }
        attacked.refresh(&simulator).unwrap();
        assert_eq!(attacked.cached, intact.cached);
    }
}
