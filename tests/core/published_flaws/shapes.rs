//! Metadata of shapes and sizes that nobody expected.

use serde_json::{Value, json};
use webimport_core::error::Coded as _;
use webimport_core::metadata::{MAX_SIGNATURES, RoleKind};
use webimport_core::repository::Lookup;

use super::{ALL, PATH, find, with_keys};
use crate::simulator::{Client, Delegation, Simulator, assert_refused};

#[test]
fn cve_2026_23991_metadata_of_any_shape_are_refused_without_a_crash() {
    let shapes = [
        json!({}),
        json!(null),
        json!([]),
        json!(1),
        json!({"signed": 1}),
        json!({"signed": null, "signatures": null}),
        json!({"signed": {}, "signatures": []}),
        json!({"signed": {"_type": null}, "signatures": []}),
        json!({"signed": [], "signatures": [{}]}),
        json!({"signed": {}, "signatures": {"keyid": "", "sig": ""}}),
    ];
    for role in ALL {
        for shape in &shapes {
            let mut simulator = with_keys("a", &[31], 1);
            let mut client = Client::new(&simulator);
            if role == "root" {
                simulator.publish(RoleKind::Root);
            }
            simulator.put_any(role, serde_json::to_vec(shape).unwrap());
            let cached = client.cached.targets.clone();
            assert_refused(client.find(&simulator, PATH), "verify.malformed", role);
            assert_eq!(client.cached.targets.get(role), cached.get(role));
        }
        // Signed, even: every field in turn is missing, null or of another type.
        let mut simulator = with_keys("a", &[31], 1);
        let file: Value = serde_json::from_slice(simulator.file_of(role)).unwrap();
        let fields: Vec<String> = file["signed"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        for field in fields.into_iter().filter(|field| field != "delegations") {
            for value in [
                json!(null),
                json!(1),
                json!("x"),
                json!([1]),
                json!({"x": 1}),
            ] {
                if file["signed"][&field] == value {
                    continue;
                }
                let mut changed = with_keys("a", &[31], 1);
                changed.resign_any(role, |signed| signed[&field] = value.clone());
                let code = find(&changed).map_err(|error| error.code());
                assert_eq!(code, Err("verify.malformed"), "{role} {field} {value}");
            }
        }
    }
}

#[test]
fn cve_2026_23991_digests_that_say_nothing_are_refused() {
    // `hashes` may be left out of what metadata says of metadata. Given, they have to say something.
    for (role, above) in [
        ("snapshot", "timestamp"),
        ("targets", "snapshot"),
        ("a", "snapshot"),
    ] {
        for (hashes, accepted) in [
            (None, true),
            (Some(json!({})), false),
            (Some(json!({"md5": "00"})), false),
            (Some(json!({"sha256": ""})), false),
            (Some(json!([])), false),
        ] {
            let mut simulator = with_keys("a", &[31], 1);
            simulator.resign_any(above, |signed| {
                let meta = signed["meta"][format!("{role}.json")]
                    .as_object_mut()
                    .unwrap();
                match &hashes {
                    Some(hashes) => drop(meta.insert("hashes".into(), hashes.clone())),
                    None => drop(meta.remove("hashes")),
                }
            });
            let result = find(&simulator);
            if accepted {
                result.unwrap().unwrap();
            } else {
                assert_refused(result, "verify.malformed", "");
            }
        }
    }
}

#[test]
fn cve_2020_6173_metadata_that_cost_too_much_are_refused() {
    // Signatures by the thousand, each of which would have to be checked.
    for (count, accepted) in [(MAX_SIGNATURES, true), (MAX_SIGNATURES + 1, false)] {
        for role in ALL {
            let mut simulator = with_keys("a", &[31], 1);
            let mut client = Client::new(&simulator);
            simulator.change_any_envelope(role, |envelope| {
                let signatures = envelope["signatures"].as_array_mut().unwrap();
                for index in signatures.len()..count {
                    signatures.push(json!({"keyid": format!("{index:064x}"), "sig": "00"}));
                }
            });
            client.trust = Client::new(&simulator).trust;
            // So that the number decides, and not the size.
            client.limits.timestamp = client.limits.root;
            let result = client.find(&simulator, PATH);
            if accepted {
                result.unwrap().unwrap();
            } else {
                assert_refused(result, "verify.malformed", "at most 256 signatures");
            }
        }
    }
}

#[test]
fn cve_2020_6173_a_search_that_has_its_answer_asks_nobody_else() {
    let mut simulator = Simulator::new();
    for index in 0..40 {
        simulator.delegate("targets", Delegation::to(&format!("r{index}")));
    }
    simulator.add_target("r3", PATH, b"x");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    let mut repository = client.refresh(&simulator).unwrap();
    client
        .target(&simulator, &mut repository, PATH)
        .unwrap()
        .unwrap();
    assert_eq!(client.roles_asked(), ["r0", "r1", "r2", "r3"]);
    assert!(matches!(
        repository.target(PATH),
        Ok(Lookup::Found(Some(_)))
    ));
    assert_refused(
        client.target(&simulator, &mut repository, "mylib/2.0/y"),
        "verify.too_large",
        "delegated roles",
    );
}
