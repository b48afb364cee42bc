//! The JSON of metadata: what is refused whoever signs it, and what is kept though it is not known.

use serde_json::{Value, json};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, VerifyError};
use webimport_core::json::{self, MAX_DEPTH};
use webimport_core::limits::Limits;
use webimport_core::metadata::{Envelope, Role, RoleKind, Root, Snapshot, Targets, Timestamp};
use webimport_core::names::{Channel, Selector};
use webimport_core::repository::Lookup;
use webimport_core::update::MAX_UPDATES;

use crate::simulator::{Client, Delegation, Digests, ROLES, Simulator, assert_refused};

type Change = fn(&mut Value);

/// Replaces a text in a role's file, without signing it again.
fn replace(simulator: &mut Simulator, kind: RoleKind, from: &str, to: &str) {
    let file = simulator.file(kind);
    let text = String::from_utf8(file.clone()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    *file = text.replacen(from, to, 1).into_bytes();
}

#[test]
fn rejects_repeated_keys_wherever_they_are() {
    for (from, to) in [
        ("\"signed\":{", "\"signed\":{\"version\":1,"),
        ("{\"signatures\"", "{\"signed\":{},\"signatures\""),
        ("\"sig\":", "\"sig\":\"\",\"sig\":"),
        (
            "\"snapshot.json\":{",
            "\"snapshot.json\":{},\"snapshot.json\":{",
        ),
    ] {
        let mut simulator = Simulator::new();
        let mut client = Client::new(&simulator);
        client.clone().refresh(&simulator).unwrap();
        replace(&mut simulator, RoleKind::Timestamp, from, to);
        assert_refused(
            client.refresh(&simulator),
            "verify.malformed",
            "is repeated",
        );
    }
}

#[test]
fn rejects_an_escaped_spelling_of_a_repeated_key() {
    let mut simulator = Simulator::new();
    replace(
        &mut simulator,
        RoleKind::Timestamp,
        "\"signed\":{",
        "\"signed\":{\"vers\\u0069on\":9,",
    );
    let result = Client::new(&simulator).refresh(&simulator);
    assert_refused(result, "verify.malformed", "`version` is repeated");
}

#[test]
fn rejects_numbers_that_are_not_integers_of_64_bits() {
    for (number, accepted) in [
        ("1", true),
        ("1.0", false),
        ("1e0", false),
        ("1.5", false),
        ("18446744073709551616", false),
        ("01", false),
        ("NaN", false),
    ] {
        let mut simulator = Simulator::new();
        replace(
            &mut simulator,
            RoleKind::Timestamp,
            "\"version\":1}",
            &format!("\"version\":{number}}}"),
        );
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.malformed", "timestamp.json");
        }
    }
}

#[test]
fn rejects_signed_values_that_are_no_version() {
    for (value, accepted) in [
        (json!(1), true),
        (json!(-1), false),
        (json!("1"), false),
        (json!(null), false),
    ] {
        let mut simulator = Simulator::new();
        simulator.resign(RoleKind::Timestamp, |signed| signed["version"] = value);
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.malformed", "timestamp.json");
        }
    }
}

#[test]
fn what_its_keys_did_not_sign_is_not_read() {
    // A key that is none takes its time to decode.
    let bad = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "00"}});
    let id = "00".repeat(32);
    for role in ["root", "timestamp", "snapshot", "targets", "a"] {
        for (signed, code) in [(true, "verify.malformed"), (false, "verify.threshold")] {
            let mut simulator = Simulator::new();
            simulator.digests = Digests::LeftOut;
            simulator.delegate("targets", Delegation::to("a"));
            simulator.delegate("a", Delegation::to("b"));
            simulator.rewrite_targets();
            let mut client = Client::warm(&simulator);
            client.cached.timestamp = None;
            client.cached.snapshot = None;
            client.cached.targets.clear();
            if role == "root" {
                simulator.publish(RoleKind::Root);
            }
            if !signed {
                simulator.set_any_signers(role, &[99]);
            }
            simulator.resign_any(role, |signed| match role {
                "root" => signed["keys"][&id] = bad.clone(),
                "timestamp" | "snapshot" => signed["meta"] = json!([]),
                _ => signed["delegations"]["keys"][&id] = bad.clone(),
            });
            let result = client.find(&simulator, "mylib/2.0/x");
            assert_refused(result, code, role);
        }
    }
}

#[test]
fn rejects_a_float_in_a_field_that_nobody_reads() {
    for (value, accepted) in [(json!(1), true), (json!(1.5), false)] {
        let mut simulator = Simulator::new();
        simulator.resign(RoleKind::Timestamp, |signed| signed["x-future"] = value);
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.malformed", "integers");
        }
    }
}

#[test]
fn rejects_deep_nesting_in_a_field_that_nobody_reads() {
    // `signed` and the envelope are two levels.
    for (depth, accepted) in [(MAX_DEPTH - 2, true), (MAX_DEPTH - 1, false)] {
        let nested = (1..depth).fold(json!([]), |inner, _| json!([inner]));
        let mut simulator = Simulator::new();
        simulator.resign(RoleKind::Timestamp, |signed| signed["x-future"] = nested);
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.malformed", "too deep");
        }
    }
}

#[test]
fn rejects_a_signed_role_that_breaks_a_rule() {
    let changes: [(Change, &str); 14] = [
        (
            |signed| signed["_type"] = json!("Timestamp"),
            "expected the role `timestamp`",
        ),
        (
            |signed| signed["_type"] = json!(null),
            "expected the role `timestamp`",
        ),
        (
            |signed| drop(signed.as_object_mut().unwrap().remove("_type")),
            "expected the role",
        ),
        (
            |signed| signed["spec_version"] = json!("2.0"),
            "spec_version",
        ),
        (
            |signed| signed["spec_version"] = json!("1.1"),
            "spec_version",
        ),
        (
            |signed| signed["spec_version"] = json!("1.01"),
            "spec_version",
        ),
        (
            |signed| drop(signed.as_object_mut().unwrap().remove("spec_version")),
            "spec_version",
        ),
        (
            |signed| signed["version"] = json!(0),
            "expected a version from 1",
        ),
        (
            |signed| signed["expires"] = json!("2030-02-30T00:00:00Z"),
            "UTC time",
        ),
        (|signed| signed["expires"] = json!("2031-01-01"), "UTC time"),
        (
            |signed| signed["expires"] = json!(1_900_000_000),
            "invalid type",
        ),
        (
            |signed| drop(signed.as_object_mut().unwrap().remove("expires")),
            "expires",
        ),
        (|signed| signed["meta"] = json!([]), "invalid type"),
        (
            |signed| signed["meta"]["snapshot.json"]["hashes"] = json!({"sha512": "00"}),
            "128 lower-case hex digits",
        ),
    ];
    for (change, reason) in changes {
        let mut simulator = Simulator::new();
        let mut client = Client::new(&simulator);
        client.clone().refresh(&simulator).unwrap();
        simulator.resign(RoleKind::Timestamp, change);
        assert_refused(client.refresh(&simulator), "verify.malformed", reason);
    }
}

#[test]
fn accepts_every_spec_version_of_1_0() {
    for version in ["1.0", "1.0.0", "1.0.31", "1.0.99"] {
        let mut simulator = Simulator::new();
        simulator.resign(RoleKind::Timestamp, |signed| {
            signed["spec_version"] = json!(version);
        });
        Client::new(&simulator).refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_an_envelope_of_another_shape() {
    let changes: [Change; 10] = [
        |envelope| *envelope = json!([]),
        // The right values without their keys.
        |envelope| *envelope = json!([envelope["signatures"], envelope["signed"]]),
        |envelope| {
            let signature = &envelope["signatures"][0];
            envelope["signatures"][0] = json!([signature["keyid"], signature["sig"]]);
        },
        |envelope| *envelope = json!(null),
        |envelope| drop(envelope.as_object_mut().unwrap().remove("signatures")),
        |envelope| drop(envelope.as_object_mut().unwrap().remove("signed")),
        |envelope| envelope["signatures"] = json!({}),
        |envelope| envelope["signed"] = json!("x"),
        |envelope| {
            drop(
                envelope["signatures"][0]
                    .as_object_mut()
                    .unwrap()
                    .remove("sig"),
            );
        },
        |envelope| envelope["signatures"][0]["keyid"] = json!(7),
    ];
    for change in changes {
        let mut simulator = Simulator::new();
        simulator.change_envelope(RoleKind::Timestamp, change);
        let result = Client::new(&simulator).refresh(&simulator);
        assert_refused(result, "verify.malformed", "timestamp.json");
    }
}

#[test]
fn signatures_that_mean_nothing_do_not_count() {
    let changes: [(Change, bool); 9] = [
        // Beside the right one …
        (
            |signatures| {
                signatures
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"keyid": "x", "sig": "y"}));
            },
            true,
        ),
        (
            |signatures| {
                let unknown = json!({"keyid": "00".repeat(32), "sig": "00".repeat(64)});
                signatures.as_array_mut().unwrap().insert(0, unknown);
            },
            true,
        ),
        (|signatures| signatures[0]["x-future"] = json!(1), true),
        // … and in its place.
        (|signatures| *signatures = json!([]), false),
        (|signatures| signatures[0]["sig"] = json!(""), false),
        (
            |signatures| signatures[0]["sig"] = json!("00".repeat(64)),
            false,
        ),
        (
            |signatures| {
                let upper = signatures[0]["sig"].as_str().unwrap().to_uppercase();
                signatures[0]["sig"] = json!(upper);
            },
            false,
        ),
        (
            |signatures| {
                let longer = format!("{}00", signatures[0]["sig"].as_str().unwrap());
                signatures[0]["sig"] = json!(longer);
            },
            false,
        ),
        (
            |signatures| {
                let upper = signatures[0]["keyid"].as_str().unwrap().to_uppercase();
                signatures[0]["keyid"] = json!(upper);
            },
            false,
        ),
    ];
    for (change, accepted) in changes {
        for kind in ROLES {
            let mut simulator = Simulator::new();
            simulator.change_envelope(kind, |envelope| change(&mut envelope["signatures"]));
            let result = Client::new(&simulator).refresh(&simulator);
            if accepted {
                result.unwrap();
            } else {
                assert_refused(result, "verify.threshold", "got 0");
            }
        }
    }
}

#[test]
fn white_space_and_key_order_are_not_signed() {
    // TUF signs the canonical form; the digest in the role above pins the bytes.
    let mut simulator = Simulator::new();
    let value: Value = serde_json::from_slice(simulator.file(RoleKind::Timestamp)).unwrap();
    *simulator.file(RoleKind::Timestamp) = serde_json::to_vec_pretty(&value).unwrap();
    Client::new(&simulator).refresh(&simulator).unwrap();

    *simulator.file(RoleKind::Targets) = {
        let value: Value = serde_json::from_slice(simulator.file(RoleKind::Targets)).unwrap();
        serde_json::to_vec_pretty(&value).unwrap()
    };
    Client::new(&simulator).refresh(&simulator).unwrap_err();
}

/// Puts a field that is not known into every object of `value` that has fixed keys.
fn with_unknown_fields(kind: RoleKind, signed: &mut Value) {
    let unknown = json!({"nested": [1, {"a": null}], "text": "\u{e9}\"\\\n"});
    signed["x-future"] = unknown.clone();
    match kind {
        RoleKind::Root => {
            for role in signed["roles"].as_object_mut().unwrap().values_mut() {
                role["x-future"] = unknown.clone();
            }
        }
        RoleKind::Timestamp | RoleKind::Snapshot => {
            for meta in signed["meta"].as_object_mut().unwrap().values_mut() {
                meta["x-future"] = unknown.clone();
                meta["hashes"]["blake2b-256"] = json!("00");
            }
        }
        RoleKind::Targets => {
            let role = json!({
                "name": "a", "keyids": [], "threshold": 1, "terminating": false,
                "paths": [], "x-future": unknown.clone()
            });
            signed["delegations"] = json!({
                "keys": {}, "roles": [role], "x-future": unknown.clone()
            });
            for file in signed["targets"].as_object_mut().unwrap().values_mut() {
                file["x-future"] = unknown.clone();
                file["hashes"]["blake2b-256"] = json!("00");
                file["custom"]["x-future"] = unknown.clone();
                file["custom"]["webimport"]["x-future"] = unknown.clone();
            }
        }
    }
}

fn reserialised<T: Role>(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let envelope = Envelope::<T>::parse(bytes, "test").unwrap();
    let again = envelope.signed.to_value();
    (json::canonical(&again), envelope.canonical)
}

#[test]
fn unknown_fields_are_accepted_and_kept() {
    let mut simulator = Simulator::new();
    for kind in [
        RoleKind::Root,
        RoleKind::Targets,
        RoleKind::Snapshot,
        RoleKind::Timestamp,
    ] {
        simulator.resign(kind, |signed| with_unknown_fields(kind, signed));
        let file = simulator.file(kind).clone();
        let (again, signed) = match kind {
            RoleKind::Root => reserialised::<Root>(&file),
            RoleKind::Timestamp => reserialised::<Timestamp>(&file),
            RoleKind::Snapshot => reserialised::<Snapshot>(&file),
            RoleKind::Targets => reserialised::<Targets>(&file),
        };
        assert_eq!(
            String::from_utf8(again).unwrap(),
            String::from_utf8(signed).unwrap()
        );
        let mut value: Value = serde_json::from_slice(&file).unwrap();
        value["x-future"] = json!("around what is signed");
        Client::new(&simulator).refresh(&simulator).unwrap();
    }
}

#[test]
fn targets_that_are_no_releases_are_passed_over() {
    let mut simulator = Simulator::new();
    simulator.resign(RoleKind::Targets, |signed| {
        let file = signed["targets"]["mylib/1.0/release.json"].clone();
        let mut plain = file.clone();
        plain.as_object_mut().unwrap().remove("custom");
        for path in [
            "README.txt",
            "../../x/1.0/release.json",
            "Upper/1.0/release.json",
            "a/1.0/release.json/release.json",
            "mylib/one/release.json",
        ] {
            signed["targets"][path] = plain.clone();
        }
        signed["targets"]["other/1.0/release.json"] = plain;
    });
    let repository = Client::new(&simulator).refresh(&simulator).unwrap();
    let releases: Vec<_> = repository
        .releases()
        .map(|(name, version, _)| format!("{name} {version}"))
        .collect();
    assert_eq!(releases, ["mylib 1.0", "other 1.0"]);
}

/// An update as metadata name it.
fn update() -> Value {
    let digest = Sha256Digest::of(b"update");
    json!({"from": digest, "sha256": digest, "size": 3, "decoded_size": 4, "decoded_sha256": digest})
}

#[test]
fn keeps_what_it_does_not_know_of_updates() {
    let mut simulator = Simulator::new();
    let mut known = update();
    known["x"] = json!([1]);
    simulator.resign(RoleKind::Targets, |signed| {
        signed["targets"]["mylib/1.0/release.json"]["custom"]["webimport"]["updates"] =
            json!([known]);
    });
    let mut repository = Client::new(&simulator).refresh(&simulator).unwrap();
    let sha256 = Sha256Digest::of(b"update");
    let selector = Selector::Channel(Channel::stable());
    let found = repository
        .release(&"mylib".parse().unwrap(), &selector)
        .unwrap();
    let Lookup::Found((target, _)) = found else {
        panic!("expected the release, got {found:?}");
    };
    let object = target.updates[0].object(&Limits::default()).unwrap();
    assert_eq!((target.updates[0].from, object.sha256), (sha256, sha256));
    assert_eq!((object.size, object.decoded_size), (3, 4));

    let file = simulator.file(RoleKind::Targets);
    let read = Envelope::<Targets>::parse(file, "targets.json").unwrap();
    let written = serde_json::to_value(&read.signed).unwrap();
    let release = &written["targets"]["mylib/1.0/release.json"]["custom"]["webimport"];
    assert_eq!(release["updates"], json!([known]));
}

#[test]
fn rejects_targets_whose_entries_are_malformed() {
    let changes: [(Change, bool); 12] = [
        (
            |file| file["custom"]["webimport"]["channels"] = json!(["stable", "next-1"]),
            true,
        ),
        (
            |file| file["custom"]["webimport"]["channels"] = json!([]),
            true,
        ),
        (
            |file| file["custom"]["webimport"]["channels"] = json!(["../x"]),
            false,
        ),
        (
            |file| file["custom"]["webimport"]["channels"] = json!("stable"),
            false,
        ),
        (
            |file| file["custom"]["webimport"]["updates"] = json!(vec![update(); MAX_UPDATES]),
            true,
        ),
        (
            |file| file["custom"]["webimport"]["updates"] = json!(vec![update(); MAX_UPDATES + 1]),
            false,
        ),
        (
            |file| {
                file["custom"]["webimport"]["updates"] = json!([update()]);
                file["custom"]["webimport"]["updates"][0]["from"] = json!("00");
            },
            false,
        ),
        (
            |file| file["custom"]["webimport"]["updates"] = update(),
            false,
        ),
        (|file| file["hashes"]["sha256"] = json!("00"), false),
        (|file| file["hashes"]["sha512"] = json!("00"), false),
        (|file| file["length"] = json!(-1), false),
        (
            |file| drop(file.as_object_mut().unwrap().remove("length")),
            false,
        ),
    ];
    for (change, accepted) in changes {
        let mut simulator = Simulator::new();
        simulator.resign(RoleKind::Targets, |signed| {
            change(&mut signed["targets"]["mylib/1.0/release.json"]);
        });
        let result = Client::new(&simulator).refresh(&simulator);
        if accepted {
            result.unwrap();
        } else {
            assert_refused(result, "verify.malformed", "1.targets.json");
        }
    }
}

#[test]
fn refusals_have_codes_and_hints_that_do_not_weaken_anything() {
    let error = Envelope::<Root>::parse(b"", "1.root.json").unwrap_err();
    assert!(matches!(error, VerifyError::Malformed { .. }));
    assert_eq!(error.code(), "verify.malformed");
    let hint = error.hint().to_lowercase();
    for word in [
        "disable",
        "ignore",
        "skip",
        "unsafe",
        "first-use",
        "turn off",
    ] {
        assert!(!hint.contains(word), "{hint}");
    }
}
