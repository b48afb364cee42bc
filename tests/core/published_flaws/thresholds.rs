//! Thresholds that fewer keys reached than they should.

use p256::ecdsa::Signature;
use serde_json::{Value, json};
use webimport_core::digest::{from_hex, to_hex};
use webimport_core::keys::PublicKey;
use webimport_core::metadata::RoleKind;
use webimport_core::trust::Expiry;

use super::{ALL, PATH, find, with_keys};
use crate::simulator::{
    Client, Delegation, Digests, P256, Simulator, assert_refused, canonical, key, strict,
};

/// The other signature that follows from one by P-256: both are valid.
fn twin(signature: &str) -> String {
    let signature = Signature::from_der(&from_hex(signature).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let twin = Signature::from_scalars(r, -s).unwrap();
    to_hex(twin.to_der().as_bytes())
}

/// How the two entries of a key differ.
#[derive(Debug, Clone, Copy)]
enum Twice {
    Same,
    Twin,
    FirstIsWrong,
    SecondIsWrong,
}

/// Lets the only key that signs `role` sign it twice.
fn sign_twice(simulator: &mut Simulator, role: &str, how: Twice) {
    simulator.change_any_envelope(role, |envelope| {
        let message = canonical(&envelope["signed"]);
        let signatures = envelope["signatures"].as_array_mut().unwrap();
        assert_eq!(signatures.len(), 1);
        let mut second = signatures[0].clone();
        let wrong = json!("00".repeat(64));
        match how {
            Twice::Same => {}
            Twice::Twin => {
                let first = second["sig"].as_str().unwrap().to_owned();
                second["sig"] = json!(twin(&first));
                assert_ne!(second["sig"], json!(first));
                let public = key(P256 + 1).public();
                assert!(public.verifies(&message, second["sig"].as_str().unwrap()));
            }
            Twice::FirstIsWrong => signatures[0]["sig"] = wrong,
            Twice::SecondIsWrong => second["sig"] = wrong,
        }
        signatures.push(second);
    });
}

#[test]
fn cve_2020_15093_a_key_that_signs_twice_counts_once() {
    for role in ALL {
        for (one, other, how) in [
            (31, 32, Twice::Same),
            (P256 + 1, P256 + 2, Twice::Same),
            (P256 + 1, P256 + 2, Twice::Twin),
            (31, 32, Twice::FirstIsWrong),
            (31, 32, Twice::SecondIsWrong),
        ] {
            let mut simulator = with_keys(role, &[one, other], 2);
            simulator.set_any_signers(role, &[one]);
            simulator.rewrite_any(role);
            assert_refused(find(&simulator), "verify.threshold", "got 1");
            sign_twice(&mut simulator, role, how);
            assert_refused(find(&simulator), "verify.malformed", "signs twice");
            simulator.set_any_signers(role, &[one, other]);
            simulator.rewrite_any(role);
            find(&simulator).unwrap().unwrap();
        }
    }
}

#[test]
fn cve_2020_6174_duplicates_reach_neither_threshold_of_the_next_root() {
    // Two of 11, 12, 13 hand over to two of 21, 22, 23.
    for (signers, code) in [
        (&[11, 12, 21, 21][..], "verify.malformed"),
        (&[11, 11, 21, 22], "verify.malformed"),
        (&[11, 12, 21], "verify.threshold"),
        (&[11, 21, 22], "verify.threshold"),
        (&[11, 12, 21, 22], ""),
    ] {
        let mut simulator = with_keys("root", &[11, 12, 13], 2);
        let mut client = Client::warm(&simulator);
        let cached = client.cached.clone();
        simulator.set_keys(RoleKind::Root, &[21, 22, 23], 2);
        simulator.set_any_signers("root", signers);
        simulator.publish(RoleKind::Root);
        let result = client.refresh(&simulator);
        if code.is_empty() {
            result.unwrap();
        } else {
            assert_refused(result, code, "2.root.json");
            assert_eq!(client.cached, cached);
        }
    }
}

#[test]
fn cve_2026_6966_a_key_that_signs_a_delegated_role_twice_counts_once() {
    let delegated = |signers: &[u8]| {
        let mut simulator = Simulator::new();
        simulator.digests = Digests::LeftOut;
        simulator.delegate("targets", Delegation::to("a").keys(&[31, 32], 2));
        simulator.add_target("a", PATH, b"x");
        simulator.set_role_signers("a", signers);
        simulator.rewrite_targets();
        simulator
    };
    let other_role = delegated(&[31, 4]);
    assert_refused(find(&other_role), "verify.threshold", "1.a.json");
    let twice = delegated(&[31, 31]);
    assert_refused(find(&twice), "verify.malformed", "1.a.json");
    let honest = delegated(&[31, 32]);
    find(&honest).unwrap().unwrap();

    // A stored file is no exception.
    let mut client = Client::new(&honest);
    client.find(&honest, PATH).unwrap().unwrap();
    let whole = client.cached.clone();
    for bad in [other_role, twice] {
        let file = bad.clone().file_of("a").clone();
        client.cached.targets.insert("a".into(), file);
        let mut offline = client.offline(Expiry::AcceptStale).unwrap();
        assert_refused(offline.target(PATH), "resolve.offline", "`a`");
        client.find(&honest, PATH).unwrap().unwrap();
        assert_eq!(client.roles_asked(), ["a"], "it is fetched again");
        assert_eq!(client.cached, whole);
    }

    // Nor are hash bins, nor a role below another delegated one.
    for (signers, accepted) in [(&[31, 31][..], false), (&[31, 32], true)] {
        let mut bins = Simulator::new();
        bins.delegate_bins("targets", "bin", 1, (&[31, 32], 2), &["bin-0", "bin-1"]);
        let mut nested = Simulator::new();
        nested.delegate("targets", Delegation::to("a"));
        nested.delegate("a", Delegation::to("b").keys(&[31, 32], 2));
        for (simulator, roles) in [(&mut bins, &["bin-0", "bin-1"][..]), (&mut nested, &["b"])] {
            for role in roles {
                simulator.add_target(role, PATH, b"x");
                simulator.set_role_signers(role, signers);
            }
            simulator.rewrite_targets();
            let found = find(simulator);
            if accepted {
                found.unwrap().unwrap();
            } else {
                assert_refused(found, "verify.malformed", "signs twice");
            }
        }
    }
}

#[test]
fn cve_2026_23992_a_threshold_below_one_is_refused_before_it_counts() {
    let bad = [
        json!(0),
        json!(-1),
        json!(1.0),
        json!("1"),
        json!(null),
        json!(true),
        json!([1]),
    ];
    for role in ["root", "timestamp", "snapshot", "targets"] {
        for threshold in &bad {
            let mut simulator = Simulator::new();
            simulator.resign(RoleKind::Root, |root| {
                root["roles"][role]["threshold"] = threshold.clone();
            });
            // Nobody signs the role.
            simulator.change_any_envelope(role, |envelope| envelope["signatures"] = json!([]));
            let mut client = Client::new(&simulator);
            assert_refused(
                client.refresh(&simulator),
                "verify.malformed",
                "1.root.json",
            );
            assert_eq!(
                client.requests,
                ["1.root.json"],
                "the role is not even asked for"
            );
        }
        // The nearest ones: a threshold of one, which nobody reaches, and one signature, which reaches it.
        let mut simulator = Simulator::new();
        Client::new(&simulator).refresh(&simulator).unwrap();
        simulator.change_any_envelope(role, |envelope| envelope["signatures"] = json!([]));
        let result = Client::new(&simulator).refresh(&simulator);
        assert_refused(result, "verify.threshold", role);
    }
    for (threshold, accepted) in [(1, true), (2, false), (u64::MAX, false)] {
        let simulator = with_keys("timestamp", &[31], threshold);
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.threshold", "timestamp.json");
        }
    }
}

#[test]
fn cve_2026_23992_a_threshold_below_one_of_a_delegation_is_refused_before_it_counts() {
    for threshold in [json!(0), json!(-1), json!(1.0), json!("1"), json!(null)] {
        for bins in [false, true] {
            let mut simulator = Simulator::new();
            let roles: &[&str] = if bins { &["bin-0", "bin-1"] } else { &["a"] };
            if bins {
                simulator.delegate_bins("targets", "bin", 1, (&[31], 1), roles);
            } else {
                simulator.delegate("targets", Delegation::to("a").keys(&[31], 1));
            }
            for role in roles {
                simulator.add_target(role, PATH, b"x");
            }
            simulator.rewrite_targets();
            find(&simulator).unwrap().unwrap();
            for role in roles {
                simulator.change_any_envelope(role, |it| it["signatures"] = json!([]));
            }
            assert_refused(find(&simulator), "verify.threshold", "got 0");
            simulator.resign_any("targets", |signed| {
                let delegations = &mut signed["delegations"];
                if bins {
                    delegations["succinct_roles"]["threshold"] = threshold.clone();
                } else {
                    delegations["roles"][0]["threshold"] = threshold.clone();
                }
            });
            let mut client = Client::new(&simulator);
            assert_refused(
                client.find(&simulator, PATH),
                "verify.malformed",
                "1.targets.json",
            );
            assert!(client.roles_asked().is_empty());
        }
    }
}

/// The same key in another form, which has another key id.
fn other_form(public: &PublicKey, form: &str) -> PublicKey {
    let mut raw = serde_json::to_value(public).unwrap();
    match form {
        "comment" => raw["comment"] = json!("a copy"),
        "keytype" => raw["keytype"] = json!("ecdsa-sha2-nistp256"),
        "pem" => {
            let pem = raw["keyval"]["public"].as_str().unwrap();
            raw["keyval"]["public"] = json!(pem.replace('\n', "\r\n"));
        }
        "compressed" => raw["keyval"]["public"] = json!(COMPRESSED),
        _ => panic!("{form}"),
    }
    PublicKey::from_value(strict(&raw)).unwrap()
}

/// The public key of 32 bytes 201, its point compressed: `openssl pkey -pubin -ec_conv_form compressed`.
const COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----\n\
    MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACiDSYtQwsrAv8IXhTmYxrZ6Wsgi6C\n\
    IsFET9PdNiYC9lg=\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn ghsa_3633_5h82_39pq_one_key_under_two_key_ids_counts_once() {
    for (seed, form) in [
        (31, "comment"),
        (P256 + 1, "comment"),
        (P256 + 1, "keytype"),
        (P256 + 1, "pem"),
        (P256 + 1, "compressed"),
    ] {
        for role in ["timestamp", "a"] {
            let mut simulator = with_keys(role, &[seed, 32], 2);
            let copy = other_form(&key(seed).public(), form);
            let own = key(seed).public().id();
            assert_ne!(copy.id(), own, "{form}");
            let ids = json!([own, copy.id(), key(32).public().id()]);
            let (copy_id, raw) = (copy.id().to_string(), json!(copy));
            let delegator = if role == "a" { "targets" } else { "root" };
            simulator.set_any_signers(role, &[seed]);
            simulator.rewrite_any(role);
            simulator.resign_any(delegator, |signed| {
                if role == "a" {
                    signed["delegations"]["keys"][&copy_id] = raw;
                    signed["delegations"]["roles"][0]["keyids"] = ids;
                } else {
                    signed["keys"][&copy_id] = raw;
                    signed["roles"][role]["keyids"] = ids;
                }
            });
            let mut file: Value = serde_json::from_slice(simulator.file_of(role)).unwrap();
            let message = canonical(&file["signed"]);
            let only = file["signatures"].clone();
            let mut add = |signer: u8, id: &str| {
                let sig = key(signer).sign_bytes(&message);
                file["signatures"] = json!([only[0], {"keyid": id, "sig": sig}]);
                let mut simulator = simulator.clone();
                simulator.put_any(role, serde_json::to_vec(&file).unwrap());
                find(&simulator)
            };
            assert_refused(add(seed, &copy_id), "verify.threshold", "got 1");
            add(32, &key(32).public().id().to_string())
                .unwrap()
                .unwrap();
        }
    }
}
