//! What takes more than one other value: keys under several names, other digests, delegations of a shape.

use crate::workshop::canonical;
use serde_json::{Value, json};
use webimport_core::digest::{Sha256Digest, Sha512Digest};
use webimport_core::sign::Algorithm;

use super::Studio;
use crate::workshop::{Document, Workshop, envelope, id, key, sign, signatures};

pub(super) fn make(studio: &mut Studio<'_>) {
    keys_of_roles(studio);
    digests(studio);
    if studio.pristine.signed(&studio.pristine.current("targets"))["delegations"]["roles"]
        .is_array()
    {
        delegations(studio);
    }
}

/// Thresholds that must not be reached by one key, whatever it is called.
fn keys_of_roles(studio: &mut Studio<'_>) {
    let root = studio.pristine.current("root");
    let signed = studio.pristine.signed(&root);
    let mut put = |what: &str, changed: &Value, more: &dyn Fn(&mut Workshop<'_>)| {
        studio.add("keys", what.to_owned(), |workshop| {
            workshop.publish(&root, changed);
            more(workshop);
        });
    };
    for role in ["root", "targets", "snapshot", "timestamp"] {
        let keyids = signed["roles"][role]["keyids"]
            .as_array()
            .expect("key ids")
            .clone();
        let first = keyids[0].as_str().expect("a key id");
        let mut changed = signed.clone();
        changed["roles"][role]["keyids"] = json!([first, first]);
        put(&format!("a key id of {role} twice"), &changed, &|_| ());
        changed["roles"][role]["threshold"] = json!(2);
        put(
            &format!("a key id of {role} twice, for a threshold of 2"),
            &changed,
            &|_| (),
        );
        // Known under another id, by a field more or without it.
        for (what, alias) in [
            ("that fits", None),
            ("that does not fit", Some("a".repeat(64))),
        ] {
            let mut changed = signed.clone();
            let mut same = signed["keys"][first].clone();
            same["x"] = json!(1);
            let fitting = Sha256Digest::of(&canonical(&same)).to_string();
            let alias = alias.unwrap_or(fitting);
            changed["keys"][&alias] = same;
            changed["roles"][role]["keyids"] = json!([first, alias]);
            put(
                &format!("a key of {role} under one more id {what}"),
                &changed,
                &|_| (),
            );
            changed["roles"][role]["threshold"] = json!(2);
            put(
                &format!("a key of {role} under one more id {what}, for a threshold of 2"),
                &changed,
                &|workshop| {
                    let document = workshop.current(role);
                    let signed = workshop.signed(&document);
                    let mut both = signatures(&signed, workshop.signers(&document));
                    let mut second = both[0].clone();
                    second["keyid"] = json!(alias);
                    both.as_array_mut().expect("signatures").push(second);
                    workshop.publish_bytes(&document, envelope(&signed, &both));
                },
            );
        }
        // A key that does not exist beside the one that does.
        let mut changed = signed.clone();
        changed["roles"][role]["keyids"] = json!([first, "f".repeat(64)]);
        put(
            &format!("a key id of {role} without a key"),
            &changed,
            &|_| (),
        );
        // Another key under the id of the right one.
        let stranger = key(Algorithm::Ed25519, 98);
        let mut changed = signed.clone();
        changed["keys"][first] = json!(stranger.public());
        put(
            &format!("another key under the id of {role}"),
            &changed,
            &|_| (),
        );
        // The right key by the name that it had before.
        let mut changed = signed.clone();
        changed["keys"][id(&stranger)] = changed["keys"][first].take();
        changed["roles"][role]["keyids"] = json!([id(&stranger)]);
        changed["keys"].as_object_mut().expect("keys").remove(first);
        put(
            &format!("the key of {role} under the id of another one"),
            &changed,
            &|_| (),
        );
    }
}

/// Digests that are right, in other algorithms and spellings.
fn digests(studio: &mut Studio<'_>) {
    let timestamp = studio.pristine.current("timestamp");
    let snapshot = studio.pristine.current("snapshot");
    for (above, below) in [
        (&timestamp, snapshot.clone()),
        (&snapshot, studio.pristine.current("targets")),
    ] {
        let bytes = &studio.specimen.files[&below.path];
        let (short, long) = (
            Sha256Digest::of(bytes).to_string(),
            Sha512Digest::of(bytes).to_string(),
        );
        let signed = studio.pristine.signed(above);
        for (what, hashes) in [
            ("SHA-256 alone", json!({"sha256": short})),
            ("SHA-512 alone", json!({"sha512": long})),
            ("both", json!({"sha256": short, "sha512": long})),
            (
                "SHA-256 in capitals",
                json!({"sha256": short.to_uppercase()}),
            ),
            (
                "SHA-512 in capitals",
                json!({"sha512": long.to_uppercase()}),
            ),
            (
                "SHA-256 right, SHA-512 wrong",
                json!({"sha256": short, "sha512": "0".repeat(128)}),
            ),
            (
                "SHA-256 wrong, SHA-512 right",
                json!({"sha256": "0".repeat(64), "sha512": long}),
            ),
            (
                "SHA-256 and one that nobody knows",
                json!({"sha256": short, "future": "00"}),
            ),
            (
                "SHA-256 and MD5, wrong",
                json!({"sha256": short, "md5": "00"}),
            ),
            ("SHA-256 cut", json!({"sha256": short[..62]})),
        ] {
            let mut changed = signed.clone();
            let entry = &mut changed["meta"][format!("{}.json", below.role)];
            entry["hashes"] = hashes;
            entry["length"] = json!(bytes.len());
            studio.add("digests", format!("{}: {what}", above.path), |workshop| {
                workshop.publish(above, &changed);
            });
        }
        for delta in [-1_i64, 0, 1] {
            let mut changed = signed.clone();
            let length = i64::try_from(bytes.len()).expect("a length");
            changed["meta"][format!("{}.json", below.role)]["length"] = json!(length + delta);
            studio.add(
                "digests",
                format!("{}: length {delta:+}", above.path),
                |workshop| {
                    workshop.publish(above, &changed);
                },
            );
        }
    }
}

/// More than one role for a target: order, priority, cycles, depth.
fn delegations(studio: &mut Studio<'_>) {
    let targets = studio.pristine.current("targets");
    let signed = studio.pristine.signed(&targets);
    let team = signed["delegations"]["roles"][0].clone();
    let target = studio.specimen.target;
    let named = |name: &str, paths: Value, terminating: bool| {
        let mut role = team.clone();
        role["name"] = json!(name);
        role["paths"] = paths;
        role["terminating"] = json!(terminating);
        role
    };
    let all = json!(["*/*/*"]);
    let lists = [
        (
            "first another role",
            json!([named("other", all.clone(), false), team]),
        ),
        (
            "first another role, terminating",
            json!([named("other", all.clone(), true), team]),
        ),
        (
            "first another role for other targets, terminating",
            json!([named("other", json!(["x/*/*"]), true), team]),
        ),
        (
            "last another role",
            json!([team, named("other", all.clone(), true)]),
        ),
        ("the role twice", json!([team, team])),
        (
            "the role twice, first for other targets",
            json!([named("team", json!(["x/*/*"]), false), team]),
        ),
        (
            "the top-level role",
            json!([named("targets", all.clone(), false), team]),
        ),
    ];
    for (what, roles) in lists {
        for content in [
            "nothing",
            "the target",
            "another file for the target",
            "a cycle",
        ] {
            let mut changed = signed.clone();
            changed["delegations"]["roles"] = roles.clone();
            let what = format!("{what}, with {content}");
            studio.add("delegations", what, |workshop| {
                workshop.publish(&targets, &changed);
                // The other role's file, signed by the team's key.
                let team = workshop.current("team");
                let mut other = workshop.signed(&team);
                match content {
                    "the target" => {}
                    "another file for the target" => {
                        other["targets"][target]["hashes"] = json!({"sha256": "1".repeat(64)});
                    }
                    _ => other["targets"] = json!({}),
                }
                if content == "a cycle" {
                    other["delegations"] = changed["delegations"].clone();
                }
                let bytes = sign(&other, workshop.signers(&team));
                let document = Document {
                    role: "other".into(),
                    path: format!("metadata/{}.other.json", other["version"]),
                };
                let snapshot = workshop.current("snapshot");
                let mut named = workshop.signed(&snapshot);
                named["meta"]["other.json"] = json!({"version": other["version"]});
                workshop.publish(&snapshot, &named);
                workshop.publish_bytes(&document, bytes);
            });
        }
    }
    chain(studio, &targets, &signed, &team);
}

/// A role behind many others, one below the other.
fn chain(studio: &mut Studio<'_>, targets: &Document, signed: &Value, team: &Value) {
    for length in [2, 20, 31, 32, 40] {
        let name = |number: usize| match number {
            last if last == length => "team".to_owned(),
            number => format!("link{number}"),
        };
        let to = |number: usize| {
            let mut role = team.clone();
            role["name"] = json!(name(number));
            let mut delegations = signed["delegations"].clone();
            delegations["roles"] = json!([role]);
            delegations
        };
        studio.add("delegations", format!("a chain of {length}"), |workshop| {
            let last = workshop.current("team");
            let signers = workshop.signers(&last);
            let mut link = workshop.signed(&last);
            link["targets"] = json!({});
            let document = workshop.current("snapshot");
            let mut snapshot = workshop.signed(&document);
            for number in 1..length {
                link["delegations"] = to(number + 1);
                let bytes = sign(&link, signers.iter().copied());
                let path = format!("metadata/{}.{}.json", link["version"], name(number));
                workshop.files.insert(path, bytes);
                let file = format!("{}.json", name(number));
                snapshot["meta"][file] = json!({"version": link["version"]});
            }
            workshop.publish(&document, &snapshot);
            let mut changed = signed.clone();
            changed["delegations"] = to(1);
            workshop.publish(targets, &changed);
        });
    }
}
