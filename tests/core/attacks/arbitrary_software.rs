//! Arbitrary software: the server offers files of its own making (TUF 5.3.4, 5.4.2, 5.5.3, 5.6.3, 5.7.1).

use webimport_core::metadata::RoleKind;

use crate::sample;
use crate::simulator::{Client, Delegation, Digests, ROLES, Simulator, assert_refused, seed};

/// One place for each byte value that a file holds: the first such byte. So every kind of place is there:
/// brackets, quotes, key names, digests, signatures, dates.
fn places(bytes: &[u8]) -> Vec<usize> {
    let mut seen = [false; 256];
    (0..bytes.len())
        .filter(|index| !std::mem::replace(&mut seen[usize::from(bytes[*index])], true))
        .collect()
}

#[test]
fn arbitrary_software_is_refused_wherever_it_enters() {
    // Everything from one role down is the attacker's, signed with the attacker's keys.
    for role in ["root", "timestamp", "snapshot", "targets", "a"] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to("a"));
        simulator.add_target("a", "mylib/2.0/x", b"honest");
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        let mut attack = simulator.clone();
        attack.add_target("a", "mylib/2.0/x", b"evil");
        let below: &[&str] = match role {
            "root" => &["root", "timestamp", "snapshot", "targets", "a"],
            "timestamp" => &["timestamp", "snapshot", "targets", "a"],
            "snapshot" => &["snapshot", "targets", "a"],
            "targets" => &["targets", "a"],
            _ => &["a"],
        };
        for (index, name) in below.iter().enumerate() {
            attack.set_any_signers(name, &[90 + u8::try_from(index).unwrap()]);
        }
        attack.rewrite_targets();
        if role == "root" {
            attack.publish(RoleKind::Root);
        }
        let mut attacked = client.clone();
        assert_refused(
            attacked.find(&attack, "mylib/2.0/x"),
            "verify.threshold",
            role,
        );
        let found = client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
        found.check_bytes(b"honest").unwrap();
        // The file itself, behind honest metadata.
        let error = found.check_bytes(b"evil").map_err(Into::into);
        assert_refused(error, "verify.length", "mylib/2.0/x");
        let error = found.check_bytes(b"hOnest").map_err(Into::into);
        assert_refused(error, "verify.digest", "mylib/2.0/x");
    }
}

#[test]
fn rejects_a_manifest_of_other_bytes_than_the_signed_ones() {
    let bytes = sample::manifest().to_bytes().unwrap();
    let parse = |got: &[u8]| sample::parse_as(got, &sample::expected(&bytes));
    parse(&bytes).unwrap();
    for place in places(&bytes) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let error = parse(&changed).map_err(Into::into);
        assert_refused(error, "verify.digest", "release.json");
    }
}

#[test]
fn rejects_a_role_signed_by_another_key() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        // A stranger, then every other role's key.
        let others = ROLES
            .map(seed)
            .into_iter()
            .filter(|other| *other != seed(kind));
        for other in others.chain([99]) {
            simulator.set_signers(kind, &[other]);
            if kind == RoleKind::Root {
                simulator.forget_former_root_keys();
            }
            let mut attempt = simulator.clone();
            attempt.publish(kind);
            // What is above it is signed by the right keys, and stays known.
            let mut attacked = client.clone();
            assert_refused(
                attacked.refresh(&attempt),
                "verify.threshold",
                kind.as_str(),
            );
        }
        simulator.set_signers(kind, &[seed(kind)]);
        simulator.publish(kind);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_another_roles_file() {
    // One key signs everything, so that only the role tells the files apart.
    let mut simulator = Simulator::new();
    for kind in ROLES {
        simulator.set_keys(kind, &[1], 1);
    }
    simulator.digests = Digests::LeftOut;
    simulator.rewrite(RoleKind::Root);
    simulator.rewrite(RoleKind::Targets);
    Client::new(&simulator).refresh(&simulator).unwrap();
    for kind in [RoleKind::Timestamp, RoleKind::Snapshot, RoleKind::Targets] {
        for other in ROLES.into_iter().filter(|other| *other != kind) {
            let mut swapped = simulator.clone();
            let file = swapped.file(other).clone();
            *swapped.file(kind) = file;
            assert_refused(
                Client::new(&swapped).refresh(&swapped),
                "verify.malformed",
                &format!(
                    "expected the role `{}`, got `{}`",
                    kind.as_str(),
                    other.as_str()
                ),
            );
        }
    }
    let timestamp = simulator.file(RoleKind::Timestamp).clone();
    simulator
        .files
        .insert("metadata/2.root.json".into(), timestamp);
    assert_refused(
        Client::new(&simulator).refresh(&simulator),
        "verify.malformed",
        "expected the role `root`",
    );
}

#[test]
fn rejects_a_changed_byte_in_each_file() {
    // Without digests the signatures alone protect the snapshot and the targets.
    for digests in [Digests::Stated, Digests::LeftOut] {
        let mut simulator = Simulator::new();
        simulator.digests = digests;
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        let mut client = Client::new(&simulator);
        client.clone().refresh(&simulator).unwrap();
        for kind in ROLES {
            let original = simulator.file(kind).clone();
            for place in places(&original) {
                simulator.file(kind)[place] ^= 1;
                let error = client.refresh(&simulator).unwrap_err().to_string();
                assert!(error.contains(kind.as_str()), "byte {place}: {error}");
                simulator.file(kind)[place] ^= 1;
            }
        }
    }
}

#[test]
fn rejects_a_truncated_file() {
    for kind in ROLES {
        for (digests, below_root) in [
            (Digests::Stated, "verify.length"),
            (Digests::LeftOut, "verify.malformed"),
        ] {
            let mut simulator = Simulator::new();
            simulator.digests = digests;
            simulator.publish(RoleKind::Root);
            simulator.publish(RoleKind::Targets);
            let original = simulator.file(kind).clone();
            for length in [0, 1, original.len() / 2, original.len() - 1] {
                *simulator.file(kind) = original[..length].to_vec();
                let code = match kind {
                    RoleKind::Snapshot | RoleKind::Targets => below_root,
                    _ => "verify.malformed",
                };
                let result = Client::new(&simulator).refresh(&simulator);
                assert_refused(result, code, kind.as_str());
            }
        }
    }
}

#[test]
fn names_a_web_page_in_place_of_a_file() {
    let page = b"<!DOCTYPE html>\n<title>Not found</title>".to_vec();
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.digests = Digests::LeftOut;
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        *simulator.file(kind) = page.clone();
        let result = Client::new(&simulator).refresh(&simulator);
        assert_refused(result, "verify.malformed", "HTML page");
    }
    // The usual one: status 200 and a page for every file that does not exist.
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.files.insert("metadata/2.root.json".into(), page);
    assert_refused(
        client.refresh(&simulator),
        "verify.malformed",
        "2.root.json",
    );
    simulator.files.remove("metadata/2.root.json");
    client.refresh(&simulator).unwrap();
}
