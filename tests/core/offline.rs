//! Without a network: the cached state counts if it is whole, and while it is valid.

use webimport_core::error::{Coded as _, Error};
use webimport_core::metadata::RoleKind;
use webimport_core::repository::Repository;
use webimport_core::trust::Expiry;
use webimport_core::workflow::{CachedMetadata, RootTrust};

use crate::simulator::{
    Client, Delegation, Digests, NOW, ROLES, Simulator, assert_refused, describe, seed, whole_chain,
};

fn offline(client: &Client, expiry: Expiry) -> Result<Repository, Error> {
    client.start().offline(expiry)
}

#[test]
fn whole_cache_serves_what_the_last_refresh_gave() {
    let mut simulator = Simulator::new();
    for kind in ROLES {
        simulator.set_keys(kind, &[50 + seed(kind)], 1);
    }
    simulator.publish(RoleKind::Root);
    simulator.publish(RoleKind::Targets);
    let mut client = Client::new(&simulator);
    let online = client.refresh(&simulator).unwrap();
    for expiry in [Expiry::Refuse, Expiry::AcceptStale] {
        let refreshed = offline(&client, expiry).unwrap();
        assert_eq!(describe(&refreshed), describe(&online));
        assert_eq!(refreshed.verified(), online.verified());
        assert_eq!(refreshed.pin(), online.pin());
        assert_eq!(refreshed.expires(), online.expires());
        assert!(!refreshed.changed());
    }
}

#[test]
fn incomplete_cache_is_refused() {
    let mut simulator = Simulator::new();
    simulator.publish(RoleKind::Root);
    let warm = Client::warm(&simulator);
    let changes: [fn(&mut CachedMetadata); 7] = [
        |cached| *cached = CachedMetadata::default(),
        |cached| cached.roots.clear(),
        |cached| drop(cached.roots.remove(0)),
        |cached| cached.roots[1].clear(),
        |cached| cached.timestamp = None,
        |cached| cached.snapshot = None,
        |cached| cached.targets.clear(),
    ];
    for change in changes {
        let mut client = warm.clone();
        change(&mut client.cached);
        for expiry in [Expiry::Refuse, Expiry::AcceptStale] {
            assert_refused(offline(&client, expiry), "resolve.offline", "metadata");
        }
    }
    offline(&warm, Expiry::Refuse).unwrap();
}

#[test]
fn expired_cache_serves_only_those_who_ask_for_stale_metadata() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.common(kind).expires = NOW.plus_days(1);
        simulator.rewrite(kind);
        let mut client = Client::warm(&simulator);
        offline(&client, Expiry::Refuse).unwrap();
        client.now = NOW.plus_days(1);
        assert_refused(
            offline(&client, Expiry::Refuse),
            "verify.expired",
            kind.as_str(),
        );
        let stale = offline(&client, Expiry::AcceptStale).unwrap();
        assert_eq!(stale.expires(), NOW.plus_days(1));
    }
}

#[test]
fn stale_metadata_are_verified_all_the_same() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.publish(RoleKind::Root);
        let mut client = Client::warm(&simulator);
        client.now = NOW.plus_days(10_000);
        offline(&client, Expiry::AcceptStale).unwrap();
        let cached = match kind {
            RoleKind::Root => client.cached.roots.last_mut().unwrap(),
            RoleKind::Timestamp => client.cached.timestamp.as_mut().unwrap(),
            RoleKind::Snapshot => client.cached.snapshot.as_mut().unwrap(),
            RoleKind::Targets => client.cached.targets.get_mut("targets").unwrap(),
        };
        let place = cached.windows(7).position(|it| it == b"expires").unwrap() + 13;
        cached[place] ^= 1;
        offline(&client, Expiry::AcceptStale).unwrap_err();
    }
}

#[test]
fn files_of_two_states_do_not_serve_together() {
    use RoleKind::{Snapshot, Targets, Timestamp};
    // A refresh that broke off leaves newer files above older ones. They are not passed off as one state.
    for digests in [Digests::Stated, Digests::LeftOut] {
        let mut simulator = Simulator::new();
        simulator.digests = digests;
        simulator.rewrite(Targets);
        let old = Client::warm(&simulator);
        simulator.add_release("mylib", "2.0", b"mylib 2.0", &["stable"]);
        simulator.publish(Targets);
        let new = Client::warm(&simulator);
        let mixed = |newer: &[RoleKind]| {
            let mut client = old.clone();
            for kind in newer {
                match kind {
                    Timestamp => {
                        client.cached.timestamp.clone_from(&new.cached.timestamp);
                    }
                    Snapshot => client.cached.snapshot.clone_from(&new.cached.snapshot),
                    _ => client.cached.targets.clone_from(&new.cached.targets),
                }
            }
            client
        };
        for (newer, file) in [
            (&[Timestamp][..], "snapshot.json"),
            (&[Timestamp, Targets], "snapshot.json"),
            (&[Snapshot], "snapshot.json"),
            (&[Snapshot, Targets], "snapshot.json"),
            (&[Timestamp, Snapshot], "targets.json"),
            (&[Targets], "targets.json"),
        ] {
            let code = match (digests, file) {
                (Digests::LeftOut, _) => "verify.mix_and_match",
                (Digests::Stated, "snapshot.json") => "verify.digest",
                // The later one has a release more.
                (Digests::Stated, _) => "verify.length",
            };
            let mut client = mixed(newer);
            for expiry in [Expiry::Refuse, Expiry::AcceptStale] {
                assert_refused(offline(&client, expiry), code, file);
                // The last whole chain, if there is one, serves as what it is.
                client.cached.whole = Some(whole_chain(&old.cached));
                let served = offline(&client, expiry).unwrap();
                let before = offline(&old, expiry).unwrap();
                assert_eq!(describe(&served), describe(&before));
                assert_eq!(served.expires(), before.expires());
                // That has to be whole, too.
                client.cached.whole = Some(whole_chain(&client.cached));
                assert_refused(offline(&client, expiry), code, file);
                client.cached.whole = None;
            }
        }
        let all = mixed(&[Timestamp, Snapshot, Targets]);
        let served = offline(&all, Expiry::Refuse).unwrap();
        assert_eq!(
            describe(&served),
            describe(&offline(&new, Expiry::Refuse).unwrap())
        );
    }
}

#[test]
fn first_use_needs_the_network() {
    let simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    client.trust = RootTrust::FirstUse;
    assert_refused(
        offline(&client, Expiry::AcceptStale),
        "resolve.offline",
        "metadata",
    );
    client.trust = RootTrust::Pin(simulator.pin());
    offline(&client, Expiry::Refuse).unwrap();
}

#[test]
fn another_pin_finds_nothing_in_the_cache() {
    let simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    client.trust = RootTrust::Pin(webimport_core::digest::Sha256Digest::of(b"other"));
    let error = offline(&client, Expiry::AcceptStale).unwrap_err();
    assert_eq!(error.code(), "resolve.offline");
}

#[test]
fn still_serves_after_the_server_failed_at_any_step() {
    // `Client::refresh` compares what is there offline before and after each refusal.
    for kind in ROLES {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        let path = simulator.path(kind);
        simulator.files.remove(&path);
        // Without the next root the new state still has to hold together, and does: no key changed.
        assert_eq!(client.refresh(&simulator).is_ok(), kind == RoleKind::Root);
        offline(&client, Expiry::Refuse).unwrap();
    }
}

#[test]
fn an_expired_root_that_its_keys_signed_is_the_root_from_then_on() {
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.root.common.expires = NOW;
    simulator.publish(RoleKind::Root);
    let mut refresh = client.start();
    let expired = simulator.file(RoleKind::Root).clone();
    refresh.supply(Some(expired)).unwrap();
    assert_eq!(refresh.supply(None).unwrap_err().code(), "verify.expired");
    // TUF 5.3.8 and 5.3.10: it is trusted, and it has expired. Stale metadata is for those who ask for it.
    let error = refresh.offline(Expiry::Refuse).map(drop).unwrap_err();
    assert_eq!(error.code(), "verify.expired");
    refresh.offline(Expiry::AcceptStale).unwrap();
    assert_refused(client.refresh(&simulator), "verify.expired", "2.root.json");
}

/// The roles `a` and `b`, each with one file, and a client that has loaded both.
fn two_roles() -> (Simulator, Client) {
    let mut simulator = Simulator::new();
    for role in ["a", "b"] {
        simulator.delegate(
            "targets",
            Delegation::to(role).paths(&[&format!("{role}/*/*")]),
        );
        simulator.add_target(role, &format!("{role}/1.0/x"), b"first");
    }
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    for path in ["a/1.0/x", "b/1.0/x"] {
        client.find(&simulator, path).unwrap().unwrap();
    }
    (simulator, client)
}

/// Both roles in their next version, under the next of everything above.
fn publish_both(simulator: &mut Simulator, content: &[u8]) {
    for (role, days) in [
        ("timestamp", 14),
        ("snapshot", 40),
        ("targets", 90),
        ("a", 90),
        ("b", 90),
    ] {
        let common = simulator.common_of(role);
        common.version += 1;
        common.expires = NOW.plus_days(days);
    }
    simulator.add_target("a", "a/1.0/x", content);
    simulator.add_target("b", "b/1.0/x", content);
    simulator.rewrite_targets();
}

#[test]
fn a_role_that_was_loaded_under_an_earlier_snapshot_serves_until_that_expires() {
    let (mut simulator, mut client) = two_roles();
    let first = whole_chain(&client.cached);
    publish_both(&mut simulator, b"second");
    client.find(&simulator, "a/1.0/x").unwrap().unwrap();
    assert_eq!(client.roles_asked(), ["a"]);
    assert_eq!(client.cached.whole, Some(first));
    assert!(
        !client.cached.targets.contains_key("b"),
        "of no use any more"
    );
    // The timestamp of the earlier chain has seven days, that of the newest one fourteen.
    for (days, content_of_b) in [(0, true), (6, true), (7, false), (13, false)] {
        let mut client = client.clone();
        client.now = NOW.plus_days(days);
        let (found, _) = client.find_offline("a/1.0/x", Expiry::Refuse);
        found.unwrap().unwrap().check_bytes(b"second").unwrap();
        let (found, _) = client.find_offline("b/1.0/x", Expiry::Refuse);
        if content_of_b {
            found.unwrap().unwrap().check_bytes(b"first").unwrap();
        } else {
            assert_refused(found, "resolve.offline", "`b`");
        }
        let (found, _) = client.find_offline("b/1.0/x", Expiry::AcceptStale);
        found.unwrap().unwrap().check_bytes(b"first").unwrap();
    }
    // With both in the newest chain the earlier one is forgotten.
    let found = client.find(&simulator, "b/1.0/x").unwrap().unwrap();
    found.check_bytes(b"second").unwrap();
    assert_eq!(client.roles_asked(), ["b"]);
    assert_eq!(client.cached.whole, None);
    for path in ["a/1.0/x", "b/1.0/x"] {
        let (found, _) = client.find_offline(path, Expiry::Refuse);
        found.unwrap().unwrap().check_bytes(b"second").unwrap();
    }
}

#[test]
fn a_role_that_a_new_snapshot_leaves_as_it_was_stays_in_the_newest_chain() {
    let (mut simulator, mut client) = two_roles();
    simulator.add_target("a", "a/1.0/x", b"second");
    simulator.publish_any("a");
    client.find(&simulator, "a/1.0/x").unwrap().unwrap();
    assert_eq!(client.roles_asked(), ["a"]);
    assert_eq!(client.cached.whole, None, "nothing is missing");
    let (found, _) = client.find_offline("b/1.0/x", Expiry::Refuse);
    found.unwrap().unwrap().check_bytes(b"first").unwrap();
}

#[test]
fn a_role_that_is_nobodys_any_more_does_not_serve_from_an_earlier_chain() {
    let (mut simulator, mut client) = two_roles();
    simulator.targets.delegations = None;
    simulator.publish(RoleKind::Targets);
    client.refresh(&simulator).unwrap();
    for role in ["a", "b"] {
        let path = format!("{role}/1.0/x");
        let (found, _) = client.find_offline(&path, Expiry::AcceptStale);
        assert_eq!(found, Ok(None), "whatever is still kept of it");
    }
}

#[test]
fn a_damaged_whole_chain_serves_nothing() {
    let (mut simulator, mut client) = two_roles();
    publish_both(&mut simulator, b"second");
    client.find(&simulator, "a/1.0/x").unwrap().unwrap();
    let changes: [fn(&mut webimport_core::workflow::Chain); 5] = [
        |whole| whole.timestamp[0] ^= 1,
        |whole| whole.snapshot[0] ^= 1,
        |whole| whole.targets.get_mut("targets").unwrap()[0] ^= 1,
        |whole| whole.targets.get_mut("b").unwrap()[0] ^= 1,
        |whole| whole.targets.clear(),
    ];
    for change in changes {
        let mut client = client.clone();
        change(client.cached.whole.as_mut().unwrap());
        let (found, _) = client.find_offline("b/1.0/x", Expiry::AcceptStale);
        assert_refused(found, "resolve.offline", "`b`");
        // It costs nothing else.
        let (found, _) = client.find_offline("a/1.0/x", Expiry::Refuse);
        found.unwrap().unwrap().check_bytes(b"second").unwrap();
        client.find(&simulator, "b/1.0/x").unwrap().unwrap();
        assert_eq!(client.cached.whole, None);
    }
}
