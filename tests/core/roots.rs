//! Root rotation (TUF 5.3) and what a root must be.

use serde_json::json;
use webimport_core::json::Value;
use webimport_core::metadata::{MAX_VERSION, RoleKind};
use webimport_core::workflow::{RootTrust, Step};

use crate::simulator::{Client, NOW, ROLES, Simulator, assert_refused, key, seed, strict};

/// A simulator whose first root is made by `change`.
fn with_root(change: impl FnOnce(&mut Simulator)) -> Simulator {
    let mut simulator = Simulator::new();
    simulator.forget_former_root_keys();
    change(&mut simulator);
    simulator.rewrite(RoleKind::Root);
    simulator.rewrite(RoleKind::Targets);
    simulator
}

#[test]
fn walks_a_chain_of_roots_that_change_every_key() {
    let mut simulator = Simulator::new();
    let mut early = Client::warm(&simulator);
    for version in 2..=5_u8 {
        for kind in ROLES {
            simulator.set_keys(kind, &[10 * version + seed(kind)], 1);
        }
        simulator.publish(RoleKind::Root);
    }
    simulator.publish(RoleKind::Targets);

    let mut late = Client::new(&simulator);
    let mut refreshed = late.refresh(&simulator).unwrap();
    assert_eq!(refreshed.verified().roots.len(), 5);
    let requests = late.requests.clone();
    let (_, authority) = late
        .release(&simulator, &mut refreshed, "mylib", "stable")
        .unwrap();
    assert_eq!(authority.signers, [key(54).public().id()]);
    assert_eq!(
        requests[..6],
        [
            "1.root.json",
            "2.root.json",
            "3.root.json",
            "4.root.json",
            "5.root.json",
            "6.root.json"
        ]
    );

    early.refresh(&simulator).unwrap();
    assert_eq!(
        early.requests[0], "2.root.json",
        "the first root was cached"
    );
    assert_eq!(early.cached, late.cached);
    early.refresh(&simulator).unwrap();
    assert_eq!(early.requests, ["6.root.json", "timestamp.json"]);
}

#[test]
fn rejects_a_root_without_the_threshold_of_the_old_keys() {
    // Two of the keys 11, 12, 13 hand over to the key 21.
    for (old, accepted) in [
        (&[][..], false),
        (&[11][..], false),
        (&[99, 98][..], false),
        (&[11, 13][..], true),
        (&[11, 12, 13][..], true),
    ] {
        let mut simulator =
            with_root(|simulator| simulator.set_keys(RoleKind::Root, &[11, 12, 13], 2));
        let mut client = Client::warm(&simulator);
        simulator.set_keys(RoleKind::Root, &[21], 1);
        simulator.set_signers(RoleKind::Root, &[&[21], old].concat());
        simulator.forget_former_root_keys();
        simulator.publish(RoleKind::Root);
        let result = client.refresh(&simulator);
        if accepted {
            assert_eq!(result.unwrap().verified().roots.len(), 2);
        } else {
            assert_refused(result, "verify.threshold", "2.root.json");
        }
    }
}

#[test]
fn rejects_a_root_without_the_threshold_of_its_own_keys() {
    for (new, accepted) in [(&[21][..], false), (&[21, 22][..], true)] {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        simulator.set_keys(RoleKind::Root, &[21, 22], 2);
        simulator.set_signers(RoleKind::Root, new);
        simulator.publish(RoleKind::Root);
        let result = client.refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.threshold", "2.root.json");
        }
    }
}

#[test]
fn rejects_a_root_of_any_version_but_the_next() {
    for (version, code) in [
        (1, "verify.rollback"),
        (2, ""),
        (3, "verify.mix_and_match"),
        (MAX_VERSION, "verify.mix_and_match"),
        (MAX_VERSION + 1, "verify.malformed"),
        (u64::MAX, "verify.malformed"),
    ] {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        let first = simulator.file(RoleKind::Root).clone();
        simulator.root.common.version = version;
        simulator.rewrite(RoleKind::Root);
        let next = simulator.file(RoleKind::Root).clone();
        simulator.files.insert("metadata/1.root.json".into(), first);
        simulator.files.insert("metadata/2.root.json".into(), next);
        let result = client.refresh(&simulator);
        if code.is_empty() {
            result.unwrap();
        } else {
            assert_refused(result, code, "2.root.json");
        }
    }
}

#[test]
fn stops_at_a_gap_in_the_chain() {
    let mut simulator = Simulator::new();
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Root);
    let second = simulator.files.remove("metadata/2.root.json").unwrap();
    let mut client = Client::new(&simulator);
    assert_eq!(
        client.refresh(&simulator).unwrap().verified().roots.len(),
        1
    );
    simulator
        .files
        .insert("metadata/2.root.json".into(), second);
    assert_eq!(
        client.refresh(&simulator).unwrap().verified().roots.len(),
        3
    );
}

#[test]
fn a_gap_in_the_chain_does_not_let_replaced_keys_live_on() {
    let mut simulator = Simulator::new();
    simulator.set_keys(RoleKind::Timestamp, &[50], 1);
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Timestamp);
    let second = simulator.files.remove("metadata/2.root.json").unwrap();
    let mut client = Client::new(&simulator);
    assert_refused(
        client.refresh(&simulator),
        "verify.threshold",
        "timestamp.json",
    );
    simulator
        .files
        .insert("metadata/2.root.json".into(), second);
    client.refresh(&simulator).unwrap();
}

#[test]
fn rejects_more_rotations_than_the_limit() {
    let mut simulator = Simulator::new();
    for _ in 0..3 {
        simulator.publish(RoleKind::Root);
    }
    let mut client = Client::new(&simulator);
    client.limits.root_rotations = 2;
    assert_refused(client.refresh(&simulator), "verify.too_large", "root.json");
    client.limits.root_rotations = 3;
    client.refresh(&simulator).unwrap();
}

#[test]
fn only_the_last_root_has_to_be_valid_now() {
    let mut simulator = with_root(|simulator| simulator.root.common.expires = NOW);
    let mut client = Client::new(&simulator);
    assert_refused(client.refresh(&simulator), "verify.expired", "1.root.json");
    simulator.root.common.expires = NOW.plus_days(1);
    simulator.publish(RoleKind::Root);
    client.refresh(&simulator).unwrap();
    simulator.root.common.expires = NOW;
    simulator.publish(RoleKind::Root);
    assert_refused(client.refresh(&simulator), "verify.expired", "3.root.json");
}

#[test]
fn rejects_a_role_that_a_replaced_key_still_signs() {
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot, RoleKind::Targets] {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        simulator.set_keys(kind, &[50], 1);
        simulator.publish(RoleKind::Root);
        simulator.set_signers(kind, &[seed(kind)]);
        simulator.publish(RoleKind::Targets);
        // What is above it is signed by the right keys, and stays known: the acceptance starts before.
        assert_refused(
            client.clone().refresh(&simulator),
            "verify.threshold",
            kind.as_str(),
        );
        simulator.set_signers(kind, &[50]);
        simulator.rewrite(RoleKind::Targets);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_a_role_that_too_few_keys_sign() {
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot, RoleKind::Targets] {
        let mut simulator = with_root(|simulator| simulator.set_keys(kind, &[31, 32, 33], 2));
        let client = Client::new(&simulator);
        for (signers, accepted) in [
            (&[31][..], false),
            (&[31, 99][..], false),
            // Another role's key.
            (&[31, seed(RoleKind::Root)][..], false),
            (&[31, 33][..], true),
            (&[99, 31, 33][..], true),
        ] {
            simulator.set_signers(kind, signers);
            simulator.rewrite(RoleKind::Targets);
            let result = client.clone().refresh(&simulator);
            if accepted {
                result.unwrap();
            } else {
                assert_refused(result, "verify.threshold", kind.as_str());
            }
        }
    }
}

#[test]
fn rejects_a_key_that_signs_twice() {
    for kind in ROLES {
        for (signers, code) in [(&[31, 31][..], "verify.malformed"), (&[31, 32][..], "")] {
            let simulator = with_root(|simulator| {
                simulator.set_keys(kind, &[31, 32], 2);
                simulator.set_signers(kind, signers);
            });
            let result = Client::new(&simulator).refresh(&simulator);
            if code.is_empty() {
                result.unwrap();
            } else {
                assert_refused(result, code, kind.as_str());
            }
        }
    }
}

#[test]
fn one_key_under_two_key_ids_counts_once() {
    // The key id covers the whole key, so a comment in it makes another id of the same key.
    for (second, accepted) in [(31, false), (32, true)] {
        let mut simulator = Simulator::new();
        let role = RoleKind::Timestamp;
        simulator.set_keys(role, &[31, second], 2);
        let mut raw = serde_json::to_value(key(second).public()).unwrap();
        raw["comment"] = json!("a copy");
        let copy = webimport_core::keys::PublicKey::from_value(strict(&raw)).unwrap();
        let keyids = vec![key(31).public().id(), copy.id()];
        simulator.root.roles.get_mut("timestamp").unwrap().keyids = keyids;
        let copy_id = copy.id();
        simulator.root.keys.insert(copy_id, copy);
        simulator.rewrite(RoleKind::Root);
        simulator.set_signers(role, &[31]);
        simulator.rewrite(role);
        let message = {
            let file = simulator.file(role).clone();
            let envelope: serde_json::Value = serde_json::from_slice(&file).unwrap();
            crate::simulator::canonical(&envelope["signed"])
        };
        simulator.change_envelope(role, |envelope| {
            let signatures = envelope["signatures"].as_array_mut().unwrap();
            signatures.push(json!({"keyid": copy_id, "sig": key(second).sign_bytes(&message)}));
        });
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.threshold", "got 1");
        }
    }
}

#[test]
fn rejects_a_root_that_breaks_a_rule() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 10] = [
        ("consistent_snapshot", |root| {
            root["consistent_snapshot"] = json!(false);
        }),
        ("consistent_snapshot", |root| {
            root.as_object_mut().unwrap().remove("consistent_snapshot");
        }),
        ("threshold", |root| {
            root["roles"]["targets"]["threshold"] = json!(0);
        }),
        ("invalid value", |root| {
            root["roles"]["targets"]["threshold"] = json!(-1);
        }),
        ("key id twice", |root| {
            let ids = root["roles"]["targets"]["keyids"].as_array_mut().unwrap();
            ids.push(ids[0].clone());
        }),
        ("not the digest of its key", |root| {
            let other = serde_json::to_value(key(77).public()).unwrap();
            let keys = root["keys"].as_object_mut().unwrap();
            let id = keys.keys().next().unwrap().clone();
            keys.insert(id, other);
        }),
        ("hex digits", |root| {
            let keys = root["keys"].as_object_mut().unwrap();
            keys.insert(
                "not-hex".into(),
                serde_json::to_value(key(77).public()).unwrap(),
            );
        }),
        ("expected the role `snapshot`", |root| {
            root["roles"].as_object_mut().unwrap().remove("snapshot");
        }),
        ("keyval", |root| {
            let keys = root["keys"].as_object_mut().unwrap();
            let first = keys.values_mut().next().unwrap();
            first.as_object_mut().unwrap().remove("keyval");
        }),
        ("64 hex digits", |root| {
            let keys = root["keys"].as_object_mut().unwrap();
            keys.values_mut().next().unwrap()["keyval"]["public"] = json!("00");
        }),
    ];
    for (reason, change) in changes {
        // As the first root, which its own pin names …
        let mut simulator = Simulator::new();
        simulator.resign(RoleKind::Root, change);
        let mut client = Client::new(&simulator);
        assert_refused(client.refresh(&simulator), "verify.malformed", reason);
        // … and as the next one.
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        simulator.publish(RoleKind::Root);
        client.clone().refresh(&simulator).unwrap();
        simulator.resign(RoleKind::Root, change);
        assert_refused(client.refresh(&simulator), "verify.malformed", reason);
    }
}

#[test]
fn accepts_what_it_does_not_know_in_a_root() {
    let future = json!({
        "keytype": "future", "scheme": "future-2", "keyval": {"public": "whatever"}
    });
    let id = webimport_core::keys::PublicKey::from_value(strict(&future))
        .unwrap()
        .id();
    let mut simulator = Simulator::new();
    simulator.resign(RoleKind::Root, |root| {
        root["keys"][id.to_string()] = future;
        root["roles"]["targets"]["keyids"]
            .as_array_mut()
            .unwrap()
            .push(json!(id));
        root["roles"]["mirrors"] = json!({"keyids": [], "threshold": 1});
        root["x-future"] = json!({"a": [1]});
    });
    let mut client = Client::new(&simulator);
    client.trust = RootTrust::Pin(simulator.pin());
    client.refresh(&simulator).unwrap();
}

#[test]
fn key_of_an_unknown_scheme_does_not_count() {
    let future = json!({
        "keytype": "future", "scheme": "future-2", "keyval": {"public": "whatever"}
    });
    let id = webimport_core::keys::PublicKey::from_value(strict(&future))
        .unwrap()
        .id();
    for (threshold, accepted) in [(1, true), (2, false)] {
        let mut simulator = Simulator::new();
        simulator.resign(RoleKind::Root, |root| {
            root["keys"][id.to_string()] = future.clone();
            let role = &mut root["roles"]["timestamp"];
            role["keyids"].as_array_mut().unwrap().push(json!(id));
            role["threshold"] = json!(threshold);
        });
        simulator.change_envelope(RoleKind::Timestamp, |envelope| {
            let signatures = envelope["signatures"].as_array_mut().unwrap();
            signatures.push(json!({"keyid": id, "sig": "00".repeat(64)}));
        });
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.threshold", "got 1");
        }
    }
}

/// Verifies a scheme of this test's own: the signature is the message, repeated by who knows the key.
fn echo(key: &Value, message: &[u8], signature: &str) -> bool {
    let public = key.get("keyval").and_then(|it| it.get("public")?.as_str());
    let public = public.unwrap();
    let digest = webimport_core::digest::Sha256Digest::of(&[public.as_bytes(), message].concat());
    key.get("scheme").and_then(Value::as_str) == Some("echo") && signature == digest.to_string()
}

#[test]
fn key_of_a_scheme_that_the_host_brings_counts_for_that_host() {
    let raw = json!({"keytype": "echo", "scheme": "echo", "keyval": {"public": "secret"}});
    let id = webimport_core::keys::PublicKey::from_value(strict(&raw))
        .unwrap()
        .id();
    let mut simulator = Simulator::new();
    simulator.resign(RoleKind::Root, |root| {
        root["keys"][id.to_string()] = raw.clone();
        root["roles"]["timestamp"] = json!({"keyids": [id], "threshold": 1});
    });
    for (signed_over, accepted) in [("timestamp", true), ("snapshot", false)] {
        let mut simulator = simulator.clone();
        let kind = RoleKind::of(signed_over).unwrap();
        let file: serde_json::Value = serde_json::from_slice(simulator.file(kind)).unwrap();
        let message = crate::simulator::canonical(&file["signed"]);
        let sig = webimport_core::digest::Sha256Digest::of(&[b"secret", &message[..]].concat());
        simulator.change_envelope(RoleKind::Timestamp, |envelope| {
            envelope["signatures"] = json!([{"keyid": id, "sig": sig}]);
        });
        for with_scheme in [true, false] {
            let mut refresh = Client::new(&simulator).start();
            if with_scheme {
                refresh = refresh.with_foreign_scheme(echo);
            }
            let mut result = Ok(());
            while let (Ok(()), Step::Fetch(fetch)) = (&result, refresh.step().unwrap()) {
                result = refresh.supply(simulator.answer(&fetch).unwrap());
            }
            if accepted && with_scheme {
                result.unwrap();
            } else {
                assert_refused(result, "verify.threshold", "timestamp.json");
            }
        }
    }
}
