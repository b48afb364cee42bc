//! Without a network: the cached state counts if it is whole, and while it is valid.

use webimport_core::error::{Coded as _, Error};
use webimport_core::metadata::RoleKind;
use webimport_core::trust::Expiry;
use webimport_core::workflow::{CachedMetadata, Refreshed, RootTrust};

use crate::simulator::{Client, NOW, ROLES, Simulator, assert_refused, key, seed};

fn offline(client: &Client, expiry: Expiry) -> Result<Refreshed, Error> {
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
        assert_eq!(refreshed.repository, online.repository);
        assert_eq!(refreshed.metadata, online.metadata);
        assert_eq!(refreshed.pin, online.pin);
        assert!(!refreshed.changed);
    }
    assert_eq!(online.repository.signers(), [key(54).public().id()]);
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
        |cached| cached.targets = None,
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
        assert_eq!(stale.repository.expires(), NOW.plus_days(1));
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
            RoleKind::Targets => client.cached.targets.as_mut().unwrap(),
        };
        let place = cached.windows(7).position(|it| it == b"expires").unwrap() + 13;
        cached[place] ^= 1;
        offline(&client, Expiry::AcceptStale).unwrap_err();
    }
}

#[test]
fn cache_of_mixed_states_is_refused() {
    let mut simulator = Simulator::new();
    let old = Client::warm(&simulator).cached;
    simulator.publish(RoleKind::Targets);
    let client = Client::warm(&simulator);
    let changes: [fn(&mut CachedMetadata, CachedMetadata); 3] = [
        |cached, old| cached.timestamp = old.timestamp,
        |cached, old| cached.snapshot = old.snapshot,
        |cached, old| cached.targets = old.targets,
    ];
    for change in changes {
        let mut mixed = client.clone();
        change(&mut mixed.cached, old.clone());
        assert_refused(offline(&mixed, Expiry::Refuse), "verify.digest", ".json");
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
