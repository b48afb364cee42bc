//! Malicious mirrors: one that lies, or that prevents updates. Whatever it sends, the next mirror finds the
//! client as it was; a browser asks them in order, which `tests/browser/trust.rs` shows.

use webimport_core::metadata::RoleKind;

use crate::simulator::{Client, Delegation, Digests, Simulator, assert_refused};

const PATH: &str = "mylib/2.0/x";

#[test]
fn a_malicious_mirror_does_not_prevent_updates_from_a_good_one() {
    // What a mirror that holds no key can do to each file.
    type Trick = fn(&mut Simulator, &str);
    let tricks: [(&str, Trick); 4] = [
        ("nothing", |mirror, role| {
            let path = mirror.path_of(role);
            mirror.files.remove(&path);
        }),
        ("garbage", |mirror, role| {
            *mirror.file_of(role) = b"garbage".to_vec();
        }),
        ("too much", |mirror, role| {
            mirror.file_of(role).resize(9 << 20, b' ');
        }),
        ("its own", |mirror, role| {
            let mut own = mirror.clone();
            own.set_any_signers(role, &[99]);
            own.rewrite_any(role);
            *mirror.file_of(role) = own.file_of(role).clone();
        }),
    ];
    for digests in [Digests::Stated, Digests::LeftOut] {
        let mut simulator = Simulator::new();
        simulator.digests = digests;
        simulator.delegate("targets", Delegation::to("a"));
        simulator.add_target("a", PATH, b"x");
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        client.find(&simulator, PATH).unwrap().unwrap();
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        simulator.publish_any("a");
        for role in ["root", "timestamp", "snapshot", "targets", "a"] {
            for (trick, play) in tricks {
                let mut mirror = simulator.clone();
                play(&mut mirror, role);
                let mut client = client.clone();
                let attacked = client.find(&mirror, PATH);
                // Holding back the next root is no refusal: nothing says that there is one.
                let held_back = role == "root" && trick == "nothing";
                assert_eq!(attacked.is_ok(), held_back, "{role}: {trick}");
                let found = client.find(&simulator, PATH).unwrap().unwrap();
                found.check_bytes(b"x").unwrap();
                assert_eq!(client.cached.roots.len(), 2);
            }
        }
    }
}

#[test]
fn a_stale_mirror_is_found_out_by_a_client_that_has_seen_more() {
    let mut simulator = Simulator::new();
    let stale = simulator.clone();
    simulator.publish(RoleKind::Timestamp);
    let mut client = Client::warm(&simulator);
    assert_refused(client.refresh(&stale), "verify.rollback", "timestamp.json");
    client.refresh(&simulator).unwrap();
}
