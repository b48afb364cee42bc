//! Bad metadata, the same list for every kind of role: each is refused with its code, and what is kept of the
//! role stays what it was. Key files are bad input of the command line and tested there.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::{Value, json};
use webimport_core::metadata::{RoleKind, encode_role};

use crate::simulator::{Client, Delegation, Digests, Simulator, assert_refused, canonical, key};

const PATH: &str = "mylib/2.0/x";

/// Every kind of role: the four top-level ones, one that `targets` delegates to, and one below that.
const ALL: [&str; 6] = ["root", "timestamp", "snapshot", "targets", "a", "b/b"];

/// Keys 31 and 32 sign every role, both of them, and `b/b` has [`PATH`].
fn repository() -> Simulator {
    static REPOSITORY: OnceLock<Simulator> = OnceLock::new();
    REPOSITORY.get_or_init(sign_repository).clone()
}

fn sign_repository() -> Simulator {
    let mut simulator = Simulator::new();
    simulator.digests = Digests::LeftOut;
    simulator.forget_former_root_keys();
    for role in ALL.into_iter().filter_map(RoleKind::of) {
        simulator.set_keys(role, &[31, 32], 2);
    }
    simulator.delegate("targets", Delegation::to("a").keys(&[31, 32], 2));
    simulator.delegate("a", Delegation::to("b/b").keys(&[31, 32], 2));
    simulator.add_target("b/b", PATH, b"x");
    simulator.rewrite(RoleKind::Root);
    simulator.rewrite_targets();
    simulator
}

/// What is kept of a role, in the newest chain or in the last one that was whole.
fn kept(client: &Client, role: &str) -> BTreeSet<Vec<u8>> {
    let cached = client.cached.clone();
    let mut targets = vec![cached.targets];
    let (mut timestamps, mut snapshots) = (vec![cached.timestamp], vec![cached.snapshot]);
    if let Some(whole) = cached.whole {
        timestamps.push(Some(whole.timestamp));
        snapshots.push(Some(whole.snapshot));
        targets.push(whole.targets);
    }
    match role {
        "root" => cached.roots.into_iter().collect(),
        "timestamp" => timestamps.into_iter().flatten().collect(),
        "snapshot" => snapshots.into_iter().flatten().collect(),
        role => targets
            .iter()
            .filter_map(|targets| targets.get(role).cloned())
            .collect(),
    }
}

/// Breaks the next version of each role in turn; a client that has the one before, and one that has nothing,
/// refuse it, keep nothing of it, and accept the same version unbroken.
fn assert_each_refused(code: &str, says: &str, break_file: impl Fn(&mut Simulator, &str)) {
    for role in ALL {
        let mut simulator = repository();
        let mut warm = Client::new(&simulator);
        warm.find(&simulator, PATH).unwrap().unwrap();
        let cold = Client::new(&simulator);
        simulator.publish_any(role);
        let mut broken = simulator.clone();
        break_file(&mut broken, role);
        for client in [&warm, &cold] {
            let mut client = client.clone();
            client.limits.root = 16 << 20;
            client.limits.timestamp = 16 << 20;
            client.limits.snapshot = 16 << 20;
            client.limits.targets = 16 << 20;
            let mut before = kept(&client, role);
            if before.is_empty() && role == "root" {
                before = kept(&warm, role);
            }
            let mut attacked = client.clone();
            let result = attacked.find(&broken, PATH);
            assert_refused(result, code, says);
            assert_eq!(kept(&attacked, role), before, "{role}");
            client.find(&simulator, PATH).unwrap().unwrap();
            assert_ne!(kept(&client, role), before, "{role}");
        }
    }
}

/// The file of a role as text, changed in one place.
fn replace(simulator: &mut Simulator, role: &str, from: &str, to: &str) {
    let text = String::from_utf8(simulator.file_of(role).clone()).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    *simulator.file_of(role) = text.replacen(from, to, 1).into_bytes();
}

#[test]
fn rejects_a_file_without_signatures() {
    assert_each_refused("verify.threshold", "got 0", |simulator, role| {
        simulator.change_any_envelope(role, |envelope| envelope["signatures"] = json!([]));
    });
}

#[test]
fn rejects_a_file_that_is_wrongly_signed() {
    assert_each_refused("verify.threshold", "got 0", |simulator, role| {
        simulator.set_any_signers(role, &[98, 99]);
        simulator.rewrite_any(role);
    });
    // The right keys, over something else.
    assert_each_refused("verify.threshold", "got 0", |simulator, role| {
        replace(
            simulator,
            role,
            "\"signed\":{",
            "\"signed\":{\"x-added\":1,",
        );
    });
    // The right key ids, signatures of strangers.
    assert_each_refused("verify.threshold", "got 0", |simulator, role| {
        simulator.change_any_envelope(role, |envelope| {
            let message = canonical(&envelope["signed"]);
            for signature in envelope["signatures"].as_array_mut().unwrap() {
                signature["sig"] = json!(key(99).sign_bytes(&message));
            }
        });
    });
}

#[test]
fn rejects_a_file_that_too_few_sign() {
    for signers in [&[31][..], &[32, 99]] {
        assert_each_refused("verify.threshold", "got 1", |simulator, role| {
            simulator.set_any_signers(role, signers);
            simulator.rewrite_any(role);
        });
    }
}

#[test]
fn rejects_a_file_that_one_key_signs_twice() {
    assert_each_refused("verify.malformed", "signs twice", |simulator, role| {
        simulator.set_any_signers(role, &[31, 31]);
        simulator.rewrite_any(role);
    });
    // Twice beside the other one as well.
    assert_each_refused("verify.malformed", "signs twice", |simulator, role| {
        simulator.set_any_signers(role, &[31, 32, 31]);
        simulator.rewrite_any(role);
    });
}

#[test]
fn rejects_repeated_json_keys() {
    for (from, to) in [
        ("\"signed\":{", "\"signed\":{\"version\":9,"),
        ("\"signed\":{", "\"signed\":{\"vers\\u0069on\":9,"),
        ("{\"signatures\"", "{\"signatures\":[],\"signatures\""),
        ("\"sig\":", "\"sig\":\"\",\"sig\":"),
    ] {
        assert_each_refused("verify.malformed", "is repeated", |simulator, role| {
            replace(simulator, role, from, to);
        });
    }
}

#[test]
fn rejects_floats_even_where_nobody_reads() {
    for float in [json!(1.5), json!(2.0), json!(1e300)] {
        assert_each_refused("verify.malformed", "integers", |simulator, role| {
            simulator.resign_any(role, |signed| signed["x-future"] = json!([float]));
        });
    }
}

#[test]
fn rejects_ten_megabytes_of_brackets() {
    for brackets in ["[", "{\"a\":"] {
        assert_each_refused("verify.malformed", "too deep", |simulator, role| {
            *simulator.file_of(role) = brackets.repeat((10 << 20) / brackets.len()).into_bytes();
        });
    }
}

#[test]
fn rejects_the_file_of_another_role() {
    for other in ALL {
        assert_each_refused_but(other, |simulator, role| {
            let file = simulator.file_of(other).clone();
            *simulator.file_of(role) = file;
        });
    }
}

/// [`assert_each_refused`] for the roles of another type than `other`, whose file they get: the type says it. Of
/// the same type, it is the version, or what the file has.
fn assert_each_refused_but(other: &str, break_file: impl Fn(&mut Simulator, &str)) {
    let type_of = |role: &str| RoleKind::of(role).unwrap_or(RoleKind::Targets);
    for role in ALL
        .into_iter()
        .filter(|role| type_of(role) != type_of(other))
    {
        let mut simulator = repository();
        let mut client = Client::new(&simulator);
        simulator.publish_any(role);
        let mut broken = simulator.clone();
        break_file(&mut broken, role);
        let says = format!(
            "expected the role `{}`, got `{}`",
            type_of(role).as_str(),
            type_of(other).as_str()
        );
        assert_refused(
            client.clone().find(&broken, PATH),
            "verify.malformed",
            &says,
        );
        client.find(&simulator, PATH).unwrap().unwrap();
    }
}

#[test]
fn rejects_the_file_of_another_targets_role_by_its_version() {
    // One key for all of them: only what the snapshot says tells them apart.
    let mut simulator = repository();
    simulator.common_of("targets").version = 5;
    simulator.common_of("a").version = 6;
    simulator.common_of("b/b").version = 7;
    simulator.rewrite_targets();
    for role in ["targets", "a", "b/b"] {
        for other in ["targets", "a", "b/b"] {
            let mut broken = simulator.clone();
            let file = broken.file_of(other).clone();
            *broken.file_of(role) = file;
            let mut client = Client::new(&simulator);
            let result = client.find(&broken, PATH);
            if role == other {
                result.unwrap().unwrap();
            } else {
                assert_refused(result, "verify.mix_and_match", &format!(".{role}.json"));
            }
        }
    }
}

#[test]
fn rejects_what_is_no_json() {
    for bytes in [
        &b""[..],
        b" ",
        b"null",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"<!doctype html>",
        b"\0",
    ] {
        assert_each_refused("verify.malformed", "", |simulator, role| {
            *simulator.file_of(role) = bytes.to_vec();
        });
    }
}

type Change = fn(&mut Value);

/// What is said of the keys of `role` in the file of its delegator.
fn keys_of<'a>(signed: &'a mut Value, role: &str) -> &'a mut Value {
    if RoleKind::of(role).is_some() {
        &mut signed["roles"][role]
    } else {
        &mut signed["delegations"]["roles"][0]
    }
}

#[test]
fn rejects_bad_thresholds_and_key_ids_in_whoever_names_the_role() {
    let changes: [(&str, Change); 8] = [
        ("threshold of at least 1", |it| it["threshold"] = json!(0)),
        ("invalid value", |it| it["threshold"] = json!(-2)),
        ("invalid type", |it| it["threshold"] = json!("2")),
        ("integers", |it| it["threshold"] = json!(2.0)),
        ("missing field `threshold`", |it| {
            drop(it.as_object_mut().unwrap().remove("threshold"));
        }),
        ("key id twice", |it| {
            let ids = it["keyids"].as_array_mut().unwrap();
            ids.push(ids[0].clone());
        }),
        ("hex digits", |it| it["keyids"] = json!(["not-hex"])),
        ("invalid type", |it| it["keyids"] = json!("x")),
    ];
    for (says, change) in changes {
        for (role, delegator) in [
            ("root", "root"),
            ("timestamp", "root"),
            ("snapshot", "root"),
            ("targets", "root"),
            ("a", "targets"),
            ("b/b", "a"),
        ] {
            let mut simulator = repository();
            let mut client = Client::new(&simulator);
            client.find(&simulator, PATH).unwrap().unwrap();
            simulator.publish_any(delegator);
            let before = kept(&client, delegator);
            let mut broken = simulator.clone();
            broken.resign_any(delegator, |signed| change(keys_of(signed, role)));
            let mut attacked = client.clone();
            assert_refused(attacked.find(&broken, PATH), "verify.malformed", says);
            assert_eq!(kept(&attacked, delegator), before);
            let file = format!("{}.json", encode_role(role));
            let asked = attacked.requests.iter().any(|it| it.ends_with(&file));
            assert_eq!(asked, role == delegator, "nothing below it is asked for");
            client.find(&simulator, PATH).unwrap().unwrap();
        }
    }
}

#[test]
fn rejects_key_ids_that_do_not_match_their_keys() {
    for delegator in ["root", "targets", "a"] {
        let mut simulator = repository();
        let mut client = Client::new(&simulator);
        client.find(&simulator, PATH).unwrap().unwrap();
        simulator.publish_any(delegator);
        let before = kept(&client, delegator);
        let id = key(31).public().id().to_string();
        for (other, says) in [
            // A stranger's key under the id of the right one, and the right one with another comment.
            (json!(key(99).public()), "not the digest of its key"),
            (
                {
                    let mut raw = json!(key(31).public());
                    raw["comment"] = json!("x");
                    raw
                },
                "not the digest of its key",
            ),
            (json!({"keytype": "ed25519"}), "scheme"),
        ] {
            let mut broken = simulator.clone();
            broken.resign_any(delegator, |signed| {
                let keys = match delegator {
                    "root" => &mut signed["keys"],
                    _ => &mut signed["delegations"]["keys"],
                };
                keys[&id] = other;
            });
            let mut attacked = client.clone();
            assert_refused(attacked.find(&broken, PATH), "verify.malformed", says);
            assert_eq!(kept(&attacked, delegator), before);
        }
        client.find(&simulator, PATH).unwrap().unwrap();
    }
}
