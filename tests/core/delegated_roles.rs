//! The file of a delegated role: it has to be what the snapshot names and what its delegator wants signed, on
//! each way that leads to it (TUF 5.6.2 to 5.6.7).

use serde_json::{Value, json};
use webimport_core::error::Coded as _;
use webimport_core::metadata::RoleKind;
use webimport_core::repository::Lookup;
use webimport_core::time::UnixTime;
use webimport_core::trust::Expiry;

use crate::simulator::{Client, Delegation, Digests, NOW, P256, Simulator, assert_refused, key};

const PATH: &str = "mylib/2.0/x";

/// The role `a`, which two keys sign and which has [`PATH`].
fn two_keys() -> Simulator {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a").keys(&[31, 32], 2));
    simulator.add_target("a", PATH, b"x");
    simulator.rewrite_targets();
    simulator
}

/// The same, with one key.
fn one_key() -> Simulator {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.add_target("a", PATH, b"x");
    simulator.rewrite_targets();
    simulator
}

#[test]
fn the_answer_names_the_role_its_signers_and_the_first_expiry_on_the_way() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("a", Delegation::to("b").keys(&[31, 32, 33], 2));
    simulator.add_target("b", PATH, b"x");
    simulator.set_role_signers("b", &[33, 31]);
    for (of_a, of_b, first) in [(3, 5, 3), (5, 3, 3), (9, 9, 7)] {
        simulator.common_of("a").expires = NOW.plus_days(of_a);
        simulator.common_of("b").expires = NOW.plus_days(of_b);
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        let found = client.find(&simulator, PATH).unwrap().unwrap();
        assert_eq!(found.authority.role, "b");
        let signers = [33, 31].map(|seed| key(seed).public().id());
        assert_eq!(found.authority.signers, signers);
        // The timestamp has seven days.
        assert_eq!(found.authority.expires, NOW.plus_days(first));
    }
}

#[test]
fn rejects_a_delegated_role_without_the_threshold_of_its_keys() {
    for (signers, code) in [
        (&[][..], "verify.threshold"),
        (&[31], "verify.threshold"),
        (&[31, 99], "verify.threshold"),
        // The key of its delegator.
        (&[31, 4], "verify.threshold"),
        (&[31, 31], "verify.malformed"),
        (&[31, 32], ""),
        (&[99, 32, 31], ""),
    ] {
        for digests in [Digests::Stated, Digests::LeftOut] {
            let mut simulator = two_keys();
            simulator.digests = digests;
            simulator.set_role_signers("a", signers);
            simulator.rewrite_targets();
            let mut client = Client::new(&simulator);
            let found = client.find(&simulator, PATH);
            if code.is_empty() {
                assert_eq!(found.unwrap().unwrap().authority.role, "a");
            } else {
                assert_refused(found, code, "1.a.json");
                assert!(!client.cached.targets.contains_key("a"));
            }
        }
    }
}

#[test]
fn rejects_a_hash_bin_without_the_threshold_of_its_keys() {
    for (signers, code) in [
        (&[31][..], "verify.threshold"),
        (&[31, 31], "verify.malformed"),
        (&[31, 32], ""),
    ] {
        let mut simulator = Simulator::new();
        simulator.delegate_bins("targets", "bin", 1, (&[31, 32], 2), &["bin-0", "bin-1"]);
        for bin in ["bin-0", "bin-1"] {
            simulator.add_target(bin, PATH, b"x");
            simulator.set_role_signers(bin, signers);
        }
        simulator.rewrite_targets();
        let found = Client::new(&simulator).find(&simulator, PATH);
        if code.is_empty() {
            found.unwrap().unwrap();
        } else {
            assert_refused(found, code, "1.bin-");
        }
    }
}

#[test]
fn rejects_a_delegated_role_from_the_second_it_expires() {
    let mut simulator = one_key();
    simulator.common_of("a").expires = NOW.plus_days(1);
    simulator.rewrite_targets();
    for (seconds, accepted) in [(-1, true), (0, false), (1, false)] {
        let mut client = Client::new(&simulator);
        client.now = UnixTime(NOW.plus_days(1).0 + seconds);
        let found = client.find(&simulator, PATH);
        if accepted {
            found.unwrap().unwrap();
        } else {
            assert_refused(found, "verify.expired", "1.a.json");
            assert!(!client.cached.targets.contains_key("a"));
        }
    }
}

#[test]
fn rejects_a_delegated_role_of_another_version_than_the_snapshot_names() {
    for (version, accepted) in [(1, false), (2, true), (3, false)] {
        let mut simulator = one_key();
        simulator.digests = Digests::LeftOut;
        simulator.common_of("a").version = 2;
        simulator.rewrite_targets();
        let mut other = simulator.clone();
        other.common_of("a").version = version;
        other.rewrite_targets();
        *simulator.file_of("a") = other.file_of("a").clone();
        let mut client = Client::new(&simulator);
        let found = client.find(&simulator, PATH);
        if accepted {
            found.unwrap().unwrap();
        } else {
            assert_refused(found, "verify.mix_and_match", "2.a.json");
            assert!(!client.cached.targets.contains_key("a"));
        }
    }
}

#[test]
fn rejects_a_delegated_role_of_other_bytes_than_the_snapshot_names() {
    // Signed by the right key, in the right version, for another target.
    for (digests, content, code) in [
        (Digests::Stated, &b"y"[..], "verify.digest"),
        (Digests::Stated, &[b'y'; 10], "verify.too_large"),
        (Digests::Stated, b"x", ""),
        (Digests::LeftOut, b"y", ""),
    ] {
        let mut simulator = one_key();
        simulator.digests = digests;
        simulator.rewrite_targets();
        let mut other = simulator.clone();
        other.add_target("a", PATH, content);
        other.rewrite_targets();
        *simulator.file_of("a") = other.file_of("a").clone();
        let mut client = Client::new(&simulator);
        let found = client.find(&simulator, PATH);
        if code.is_empty() {
            found.unwrap().unwrap().check_bytes(content).unwrap();
        } else {
            assert_refused(found, code, "1.a.json");
            assert!(!client.cached.targets.contains_key("a"));
        }
    }
}

#[test]
fn a_longer_delegated_role_is_refused_by_length_where_no_limit_cut_it_off() {
    let simulator = one_key();
    let mut client = Client::new(&simulator);
    let mut repository = client.refresh(&simulator).unwrap();
    let Lookup::Fetch(fetch) = repository.target(PATH).unwrap() else {
        panic!("no role was asked for");
    };
    let mut bytes = simulator.answer(&fetch).unwrap().unwrap();
    bytes.push(b'\n');
    let result = repository.clone().supply(bytes.clone());
    assert_refused(result, "verify.length", "1.a.json");
    bytes.pop();
    repository.supply(bytes).unwrap();
    // It is not asked for again, so it cannot be answered for again.
    assert_eq!(
        repository.supply(Vec::new()).unwrap_err().code(),
        "verify.malformed"
    );
}

#[test]
fn a_role_that_the_snapshot_does_not_name_is_not_asked_for() {
    let mut simulator = one_key();
    simulator.delegate("targets", Delegation::to("z"));
    simulator.add_target("z", PATH, b"of z");
    simulator.rewrite_targets();
    simulator.snapshot.meta.remove("a.json");
    simulator.rewrite(RoleKind::Snapshot);
    let mut client = Client::new(&simulator);
    assert_refused(client.find(&simulator, PATH), "verify.malformed", "a.json");
    assert!(client.roles_asked().is_empty(), "nor is the next one");
    // What is kept of it does not serve either.
    let cached = simulator.file_of("a").clone();
    client.cached.targets.insert("a".into(), cached);
    assert_refused(client.find(&simulator, PATH), "verify.malformed", "a.json");
    simulator.rewrite_targets();
    simulator.publish(RoleKind::Snapshot);
    let found = client.find(&simulator, PATH).unwrap().unwrap();
    assert_eq!(found.authority.role, "a");
}

#[test]
fn a_missing_delegated_role_is_a_failure_and_not_the_end_of_the_search() {
    let mut simulator = one_key();
    simulator.delegate("targets", Delegation::to("z"));
    simulator.add_target("z", PATH, b"of z");
    simulator.rewrite_targets();
    let file = simulator.files.remove("metadata/1.a.json").unwrap();
    let mut client = Client::new(&simulator);
    assert_refused(client.find(&simulator, PATH), "fetch.not_found", "1.a.json");
    assert_eq!(client.roles_asked(), ["a"]);
    simulator.files.insert("metadata/1.a.json".into(), file);
    client.find(&simulator, PATH).unwrap().unwrap();
}

#[test]
fn a_server_with_two_faces_is_asked_for_each_file_once() {
    // What was verified is what is used and what is kept, whatever the server would say the next time.
    let mut simulator = one_key();
    simulator.digests = Digests::LeftOut;
    simulator.rewrite_targets();
    let mut other = simulator.clone();
    other.add_target("a", PATH, b"the other face");
    other.rewrite_targets();
    let mut client = Client::new(&simulator);
    let mut repository = client.refresh(&simulator).unwrap();
    let first = client.target(&simulator, &mut repository, PATH);
    let second = client.target(&other, &mut repository, PATH);
    assert_eq!(first.unwrap(), second.unwrap());
    assert_eq!(client.roles_asked(), ["a"]);
    assert_eq!(client.cached.targets["a"], *simulator.file_of("a"));
    let again = client.find(&other, PATH).unwrap().unwrap();
    again.check_bytes(b"x").unwrap();
    assert!(
        client.roles_asked().is_empty(),
        "not in the next refresh either"
    );
}

#[test]
fn a_role_is_verified_on_each_way_that_leads_to_it() {
    // Both `a` and `b` delegate to `c`, each with a key of its own, and `c` to `d`.
    let diamond = |signers: &[u8]| {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to("a").paths(&["mylib/1.1/*"]));
        simulator.delegate("targets", Delegation::to("b").paths(&["mylib/2.0/*"]));
        simulator.delegate("a", Delegation::to("c").keys(&[31], 1));
        simulator.delegate("b", Delegation::to("c").keys(&[32], 1));
        simulator.delegate("c", Delegation::to("d").keys(&[33], 1));
        for version in ["1.1", "2.0"] {
            simulator.add_target("c", &format!("mylib/{version}/x"), b"x");
            simulator.add_target("d", &format!("mylib/{version}/y"), b"y");
        }
        simulator.set_role_signers("c", signers);
        simulator.rewrite_targets();
        simulator
    };
    for (signers, by_a, by_b) in [
        (&[31][..], true, false),
        (&[32], false, true),
        (&[31, 32], true, true),
        (&[33], false, false),
    ] {
        let simulator = diamond(signers);
        // In one go, in either order, and each way by itself.
        for order in [&["1.1", "2.0"][..], &["2.0", "1.1"], &["1.1"], &["2.0"]] {
            for (file, role) in [("x", "c"), ("y", "d")] {
                let mut client = Client::new(&simulator);
                let mut repository = client.refresh(&simulator).unwrap();
                for version in order {
                    let path = format!("mylib/{version}/{file}");
                    let found = client.target(&simulator, &mut repository, &path);
                    if if *version == "1.1" { by_a } else { by_b } {
                        assert_eq!(found.unwrap().unwrap().authority.role, role);
                    } else {
                        assert_refused(found, "verify.threshold", "1.c.json");
                    }
                }
                if signers.len() == 2 {
                    let asked = client.roles_asked();
                    let times = asked.iter().filter(|asked| **asked == "c").count();
                    assert_eq!(times, 1, "the same bytes serve on both ways");
                }
            }
        }
    }
}

#[test]
fn a_kept_role_is_verified_by_its_current_delegator() {
    let simulator = one_key();
    let mut client = Client::new(&simulator);
    client.find(&simulator, PATH).unwrap().unwrap();
    for (keys, accepted) in [(&[50][..], false), (&[50, 100], true)] {
        // The role's file stays what it was; who may sign it has changed.
        let mut simulator = simulator.clone();
        simulator.targets.delegations = None;
        simulator.delegate("targets", Delegation::to("a").keys(keys, 1));
        simulator.publish(RoleKind::Targets);
        let mut client = client.clone();
        let found = client.find(&simulator, PATH);
        if accepted {
            found.unwrap().unwrap();
            assert!(client.roles_asked().is_empty());
            continue;
        }
        assert_refused(found, "verify.threshold", "1.a.json");
        assert_eq!(client.roles_asked(), ["a"]);
        // Nor without a network.
        let mut offline = client.offline(Expiry::AcceptStale).unwrap();
        assert_refused(offline.target(PATH), "resolve.offline", "`a`");
        // Nobody vouches for it any more.
        simulator.targets.delegations = None;
        simulator.publish(RoleKind::Targets);
        assert_eq!(client.find(&simulator, PATH).unwrap(), None);
    }
}

#[test]
fn p256_keys_sign_every_role_as_ed25519_keys_do() {
    let roles = [
        (RoleKind::Timestamp, P256 + 2),
        (RoleKind::Snapshot, P256 + 3),
        (RoleKind::Targets, P256 + 4),
        (RoleKind::Root, P256 + 1),
    ];
    let mut simulator = Simulator::new();
    for (kind, seed) in roles {
        simulator.set_keys(kind, &[seed], 1);
    }
    simulator.publish(RoleKind::Root);
    // One of each kind, both needed.
    let both = [P256 + 5, 31];
    simulator.delegate("targets", Delegation::to("a").keys(&both, 2));
    simulator.add_target("a", PATH, b"x");
    simulator.rewrite_targets();
    let client = Client::new(&simulator);
    let found = client.clone().find(&simulator, PATH).unwrap().unwrap();
    assert_eq!(
        found.authority.signers,
        both.map(|seed| key(seed).public().id())
    );
    for role in ["timestamp", "snapshot", "targets", "a"] {
        let mut simulator = simulator.clone();
        simulator.set_any_signers(role, &[P256 + 9, 31]);
        simulator.rewrite_any(role);
        let result = client.clone().find(&simulator, PATH);
        assert_refused(result, "verify.threshold", role);
    }
}

#[test]
fn rejects_delegations_that_break_a_rule() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 17] = [
        ("delegated to twice", |it| {
            let role = it["roles"][0].clone();
            it["roles"].as_array_mut().unwrap().push(role);
        }),
        ("threshold of at least 1", |it| {
            it["roles"][0]["threshold"] = json!(0);
        }),
        ("invalid value", |it| {
            it["roles"][0]["threshold"] = json!(-1);
        }),
        ("key id twice", |it| {
            let id = it["roles"][0]["keyids"][0].clone();
            it["roles"][0]["keyids"] = json!([id, id]);
        }),
        ("`paths` or `path_hash_prefixes`", |it| {
            it["roles"][0]["path_hash_prefixes"] = json!(["0"]);
        }),
        ("`paths` or `path_hash_prefixes`", |it| {
            drop(it["roles"][0].as_object_mut().unwrap().remove("paths"));
        }),
        ("invalid type", |it| {
            it["roles"][0]["paths"] = json!("mylib/*/*");
        }),
        ("invalid type", |it| {
            it["roles"][0]["terminating"] = json!("yes");
        }),
        ("missing field `name`", |it| {
            drop(it["roles"][0].as_object_mut().unwrap().remove("name"));
        }),
        ("missing field `keys`", |it| {
            drop(it.as_object_mut().unwrap().remove("keys"));
        }),
        ("not the digest of its key", |it| {
            let other = serde_json::to_value(key(77).public()).unwrap();
            *it["keys"]
                .as_object_mut()
                .unwrap()
                .values_mut()
                .next()
                .unwrap() = other;
        }),
        ("`roles` or `succinct_roles`", |it| {
            drop(it.as_object_mut().unwrap().remove("roles"));
        }),
        ("`roles` or `succinct_roles`", |it| {
            let keyids = it["roles"][0]["keyids"].clone();
            it["succinct_roles"] = json!({
                "bit_length": 1, "name_prefix": "bin", "keyids": keyids, "threshold": 1
            });
        }),
        ("bit_length from 1 to 32", |it| bins(it, &json!(0), 1)),
        ("bit_length from 1 to 32", |it| bins(it, &json!(33), 1)),
        ("invalid value", |it| bins(it, &json!(-1), 1)),
        ("threshold of at least 1", |it| bins(it, &json!(1), 0)),
    ];
    for (reason, change) in changes {
        // Of the top-level targets, which a refresh verifies, and of a delegated role, which a search does.
        for from in ["targets", "m"] {
            let mut simulator = Simulator::new();
            simulator.delegate("targets", Delegation::to("m"));
            simulator.delegate(from, Delegation::to("a"));
            simulator.rewrite_targets();
            if from == "targets" {
                let delegations = simulator.targets.delegations.as_mut().unwrap();
                delegations.roles.as_mut().unwrap().remove(0);
                simulator.rewrite_targets();
            }
            let mut client = Client::new(&simulator);
            client.clone().find(&simulator, PATH).unwrap();
            simulator.resign_any(from, |signed| change(&mut signed["delegations"]));
            let result = client.find(&simulator, PATH);
            assert_refused(result, "verify.malformed", reason);
            assert!(!client.cached.targets.contains_key(from));
        }
    }
}

/// Hash bins in place of roles.
fn bins(delegations: &mut Value, bit_length: &Value, threshold: u64) {
    let keyids = delegations["roles"][0]["keyids"].clone();
    delegations["succinct_roles"] = json!({
        "bit_length": bit_length, "name_prefix": "bin", "keyids": keyids, "threshold": threshold
    });
    delegations.as_object_mut().unwrap().remove("roles");
}

#[test]
fn a_delegation_without_keys_is_to_nobody() {
    let mut simulator = one_key();
    simulator.resign_any("targets", |signed| {
        signed["delegations"]["roles"][0]["keyids"] = json!([]);
    });
    let result = Client::new(&simulator).find(&simulator, PATH);
    assert_refused(result, "verify.threshold", "got 0");
}

#[test]
fn delegated_roles_serve_offline_as_they_were_verified() {
    let mut simulator = one_key();
    simulator.delegate("targets", Delegation::to("z").paths(&["other/*/*"]));
    simulator.add_target("z", "other/1.0/x", b"x");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    let online = client.find(&simulator, PATH).unwrap();
    for expiry in [Expiry::Refuse, Expiry::AcceptStale] {
        let mut offline = client.offline(expiry).unwrap();
        assert_eq!(offline.target(PATH), Ok(Lookup::Found(online.clone())));
        assert!(!offline.changed());
        // The one that was never asked for is not there.
        assert_refused(offline.target("other/1.0/x"), "resolve.offline", "`z`");
    }
    // Damaged, it does not serve.
    client.cached.targets.get_mut("a").unwrap()[0] ^= 1;
    let mut offline = client.offline(Expiry::AcceptStale).unwrap();
    assert_refused(offline.target(PATH), "resolve.offline", "`a`");
    client.find(&simulator, PATH).unwrap().unwrap();
    assert_eq!(client.roles_asked(), ["a"], "and is fetched again");
}

#[test]
fn an_expired_delegated_role_serves_only_those_who_ask_for_stale_metadata() {
    let mut simulator = one_key();
    simulator.common_of("a").expires = NOW.plus_days(1);
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    let online = client.find(&simulator, PATH).unwrap();
    client.now = NOW.plus_days(1);
    let mut offline = client.offline(Expiry::Refuse).unwrap();
    assert_refused(offline.target(PATH), "verify.expired", "1.a.json");
    let mut stale = client.offline(Expiry::AcceptStale).unwrap();
    assert_eq!(stale.target(PATH), Ok(Lookup::Found(online.clone())));
    client.now = UnixTime(NOW.plus_days(1).0 - 1);
    let mut offline = client.offline(Expiry::Refuse).unwrap();
    assert_eq!(offline.target(PATH), Ok(Lookup::Found(online)));
}

#[test]
fn an_earlier_version_serves_offline_with_its_own_snapshot_alone() {
    for digests in [Digests::Stated, Digests::LeftOut] {
        let mut simulator = one_key();
        simulator.digests = digests;
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        client.find(&simulator, PATH).unwrap().unwrap();
        let earlier = client.cached.targets["a"].clone();
        simulator.add_target("a", PATH, b"newer");
        simulator.publish_any("a");
        // The refresh learns of the newer version; the role itself cannot be had.
        let file = simulator.files.remove("metadata/2.a.json").unwrap();
        assert_refused(client.find(&simulator, PATH), "fetch.not_found", "2.a.json");
        let (found, _) = client.find_offline(PATH, Expiry::Refuse);
        found.unwrap().unwrap().check_bytes(b"x").unwrap();
        // Below the later snapshot it does not serve, even if it is there.
        let mut below = client.clone();
        below.cached.whole = None;
        below.cached.targets.insert("a".into(), earlier);
        for expiry in [Expiry::Refuse, Expiry::AcceptStale] {
            let mut offline = below.offline(expiry).unwrap();
            assert_refused(offline.target(PATH), "resolve.offline", "`a`");
        }
        assert_refused(below.find(&simulator, PATH), "fetch.not_found", "2.a.json");

        simulator.files.insert("metadata/2.a.json".into(), file);
        let found = client.find(&simulator, PATH).unwrap().unwrap();
        found.check_bytes(b"newer").unwrap();
        assert_eq!(client.cached.whole, None);

        // Nor the other way round.
        let later = client.cached.targets["a"].clone();
        let old = one_key();
        let mut mixed = Client::warm(&old);
        mixed.cached.targets.insert("a".into(), later);
        let mut offline = mixed.offline(Expiry::AcceptStale).unwrap();
        assert_refused(offline.target(PATH), "resolve.offline", "`a`");
    }
}

#[test]
fn roles_that_a_new_snapshot_does_not_name_are_forgotten() {
    // Which only a replaced snapshot key makes possible: otherwise it is a rollback (TUF 5.5.5).
    let mut simulator = one_key();
    let mut client = Client::new(&simulator);
    client.find(&simulator, PATH).unwrap().unwrap();
    assert!(client.cached.targets.contains_key("a"));
    simulator.targets.delegations = None;
    simulator.snapshot.meta.remove("a.json");
    let mut rollback = simulator.clone();
    rollback.publish(RoleKind::Targets);
    assert_refused(
        client.clone().refresh(&rollback),
        "verify.rollback",
        "a.json",
    );
    simulator.set_keys(RoleKind::Snapshot, &[43], 1);
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Targets);
    client.refresh(&simulator).unwrap();
    assert_eq!(
        client.cached.targets.keys().collect::<Vec<_>>(),
        ["targets"]
    );
}
