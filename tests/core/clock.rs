//! The clock's floor: what expired by a time that has passed has expired, whatever the clock says later; and a
//! clock that was wrong is not held against a repository for ever.

use webimport_core::metadata::RoleKind;
use webimport_core::time::UnixTime;
use webimport_core::trust::Expiry;

use crate::simulator::{Client, Delegation, NOW, ROLES, Simulator, assert_refused};

const HOUR: i64 = 3_600;

fn later(seconds: i64) -> UnixTime {
    UnixTime(NOW.0 + seconds)
}

/// A repository in which this role is the first to expire, after a day, and a client of it.
fn first_to_expire(kind: RoleKind) -> (Simulator, Client) {
    let mut simulator = Simulator::new();
    simulator.common(kind).expires = NOW.plus_days(1);
    simulator.rewrite(kind);
    let client = Client::warm(&simulator);
    (simulator, client)
}

#[test]
fn a_clock_set_back_does_not_revive_what_is_cached() {
    for kind in ROLES {
        for online in [true, false] {
            let (simulator, mut client) = first_to_expire(kind);
            client.now = NOW.plus_days(2);
            if online {
                assert_refused(client.refresh(&simulator), "verify.expired", kind.as_str());
            } else {
                let mut refresh = client.start();
                let refused = refresh.offline(Expiry::Refuse);
                assert_refused(refused, "verify.expired", kind.as_str());
                let (pin, verified) = refresh.verified().unwrap();
                assert_eq!(pin, simulator.pin());
                client.cached = verified.clone();
            }
            assert_eq!(client.cached.clock_floor, Some(NOW.plus_days(1)));
            for now in [later(1), NOW, later(-1_000 * 24 * HOUR), UnixTime(0)] {
                client.now = now;
                assert_refused(client.refresh(&simulator), "verify.expired", kind.as_str());
                let offline = client.offline(Expiry::Refuse);
                assert_refused(offline, "verify.expired", kind.as_str());
                // Who asks for stale metadata by name has it.
                client.offline(Expiry::AcceptStale).unwrap();
            }
            // A client that has not seen that time goes by its clock.
            let mut other = Client::new(&simulator);
            other.now = later(1);
            other.refresh(&simulator).unwrap();
        }
    }
}

#[test]
fn a_clock_set_back_does_not_revive_what_the_server_offered() {
    // The timestamp that is served lives a day longer than the one that is known; both have expired.
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.timestamp.common.expires = NOW.plus_days(8);
    simulator.publish(RoleKind::Timestamp);
    client.now = NOW.plus_days(9);
    assert_refused(
        client.refresh(&simulator),
        "verify.expired",
        "timestamp.json",
    );
    assert_eq!(client.cached.clock_floor, Some(NOW.plus_days(8)));
    client.now = later(1);
    assert_refused(
        client.refresh(&simulator),
        "verify.expired",
        "timestamp.json",
    );
    simulator.timestamp.common.expires = NOW.plus_days(10);
    simulator.publish(RoleKind::Timestamp);
    client.refresh(&simulator).unwrap();
}

#[test]
fn a_clock_set_back_does_not_revive_a_delegated_role() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.add_target("a", "mylib/2.0/x", b"x");
    simulator.common_of("a").expires = NOW.plus_days(1);
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
    client.now = NOW.plus_days(2);
    for _ in 0..2 {
        assert_refused(
            client.find(&simulator, "mylib/2.0/x"),
            "verify.expired",
            "1.a.json",
        );
        let mut offline = client.offline(Expiry::Refuse).unwrap();
        assert_refused(offline.target("mylib/2.0/x"), "verify.expired", "1.a.json");
        client.now = later(1);
    }
    simulator.common_of("a").expires = NOW.plus_days(3);
    simulator.publish_any("a");
    client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
}

#[test]
fn a_clock_that_ran_ahead_recovers_when_newer_metadata_comes() {
    for kind in ROLES {
        for ahead in [2, 20, 300, 4_000] {
            let (mut simulator, mut client) = first_to_expire(kind);
            client.now = NOW.plus_days(ahead);
            client.refresh(&simulator).unwrap_err();
            // The clock is right again, and the publisher signs what is about to expire, as ever.
            client.now = later(HOUR);
            assert_refused(client.refresh(&simulator), "verify.expired", kind.as_str());
            simulator.common(kind).expires = NOW.plus_days(2);
            simulator.publish(kind);
            client.refresh(&simulator).unwrap();
            client.offline(Expiry::Refuse).unwrap();
        }
    }
}

#[test]
fn a_clock_that_ran_ahead_of_everything_waits_for_the_first_to_expire_alone() {
    // All roles have expired by the wrong clock, the root as well; it is the timestamp that has to be new.
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    client.now = NOW.plus_days(4_000);
    assert_refused(client.refresh(&simulator), "verify.expired", "1.root.json");
    assert_eq!(client.cached.clock_floor, Some(NOW.plus_days(7)));
    client.now = later(HOUR);
    assert_refused(
        client.refresh(&simulator),
        "verify.expired",
        "timestamp.json",
    );
    simulator.timestamp.common.expires = NOW.plus_days(14);
    simulator.publish(RoleKind::Timestamp);
    client.refresh(&simulator).unwrap();
}

#[test]
fn a_first_load_by_a_wrong_clock_leaves_no_trace() {
    let simulator = Simulator::new();
    let mut client = Client::new(&simulator);
    client.now = NOW.plus_days(4_000);
    assert_refused(client.refresh(&simulator), "verify.expired", "1.root.json");
    assert_eq!(client.cached.clock_floor, None);
    client.now = later(HOUR);
    client.refresh(&simulator).unwrap();
}

#[test]
fn the_floor_is_never_beyond_the_first_expiry_that_was_signed() {
    for kind in ROLES {
        for days in [0, 1, 6, 8, 29, 31, 89, 91, 364, 366, 4_000] {
            let (simulator, mut client) = first_to_expire(kind);
            client.now = NOW.plus_days(days);
            let result = client.refresh(&simulator);
            assert_eq!(result.is_ok(), days == 0, "{kind:?} {days}");
            let floor = client.cached.clock_floor.unwrap();
            assert!(floor <= NOW.plus_days(1), "{kind:?} {days}: {floor}");
            assert!(floor <= client.now);
        }
    }
    // An hour before the first expiry all is well, and that is where the floor stays.
    let (simulator, mut client) = first_to_expire(RoleKind::Timestamp);
    client.now = UnixTime(NOW.plus_days(1).0 - HOUR);
    client.refresh(&simulator).unwrap();
    assert_eq!(client.cached.clock_floor, Some(client.now));
    client.now = NOW;
    client.refresh(&simulator).unwrap();
}

#[test]
fn a_floor_that_moves_less_than_an_hour_is_not_stored_by_itself() {
    for (seconds, moved) in [
        (0, false),
        (1, false),
        (HOUR - 1, false),
        (HOUR, true),
        (HOUR + 1, true),
    ] {
        let simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        assert_eq!(client.cached.clock_floor, Some(NOW));
        client.now = later(seconds);
        let floor = if moved { client.now } else { NOW };
        let offline = client.offline(Expiry::Refuse).unwrap();
        assert_eq!(offline.changed(), moved);
        assert_eq!(offline.verified().clock_floor, Some(floor));
        let repository = client.refresh(&simulator).unwrap();
        assert_eq!(repository.changed(), moved);
        assert_eq!(client.cached.clock_floor, Some(floor));
    }
}

#[test]
fn a_floor_moves_with_whatever_else_is_stored() {
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    simulator.publish(RoleKind::Timestamp);
    client.now = later(1);
    assert!(client.refresh(&simulator).unwrap().changed());
    assert_eq!(client.cached.clock_floor, Some(later(1)));
    // It never goes back.
    simulator.publish(RoleKind::Timestamp);
    client.now = later(-24 * HOUR);
    assert!(client.refresh(&simulator).unwrap().changed());
    assert_eq!(client.cached.clock_floor, Some(later(1)));
}

#[test]
fn who_accepts_stale_metadata_does_not_raise_the_floor() {
    let simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    for days in [1, 6, 8, 4_000] {
        client.now = NOW.plus_days(days);
        let mut refresh = client.start();
        let stale = refresh.offline(Expiry::AcceptStale).unwrap();
        assert_eq!(stale.verified().clock_floor, Some(NOW), "{days}");
        assert!(!stale.changed());
        assert!(refresh.verified().is_none());
    }
    client.now = later(HOUR);
    client.refresh(&simulator).unwrap();
}

#[test]
fn a_refresh_that_breaks_off_does_not_lower_the_floor() {
    let mut simulator = Simulator::new();
    let mut client = Client::new(&simulator);
    client.now = later(2 * HOUR);
    client.refresh(&simulator).unwrap();
    simulator.publish(RoleKind::Targets);
    simulator.files.remove("metadata/2.targets.json");
    client.now = NOW;
    assert_refused(
        client.refresh(&simulator),
        "fetch.not_found",
        "2.targets.json",
    );
    assert_eq!(client.cached.clock_floor, Some(later(2 * HOUR)));
}

#[test]
fn garbage_from_the_server_does_not_keep_the_floor_from_rising() {
    let simulator = Simulator::new();
    for (days, served, floor) in [
        (3, true, NOW.plus_days(3)),
        // The timestamp has expired, then the snapshot as well.
        (8, false, NOW.plus_days(7)),
        (60, false, NOW.plus_days(7)),
    ] {
        for file in ["2.root.json", "timestamp.json"] {
            for garbage in [&b"garbage"[..], b"", b"{}"] {
                let mut bad = simulator.clone();
                bad.files
                    .insert(format!("metadata/{file}"), garbage.to_vec());
                let mut client = Client::warm(&simulator);
                client.now = NOW.plus_days(days);
                assert_refused(client.refresh(&bad), "verify.malformed", "");
                assert_eq!(client.cached.clock_floor, Some(floor), "{days} {file}");
                client.now = NOW.plus_days(1);
                assert_eq!(client.offline(Expiry::Refuse).is_ok(), served);
            }
        }
        // Nor does a server that is not there, or gives nothing.
        let mut empty = simulator.clone();
        empty.files.clear();
        let mut client = Client::warm(&simulator);
        client.now = NOW.plus_days(days);
        assert_refused(client.refresh(&empty), "fetch.not_found", "timestamp.json");
        assert_eq!(client.cached.clock_floor, Some(floor));
    }
}

#[test]
fn a_clock_set_back_does_not_revive_the_last_whole_chain() {
    for missing in ["2.snapshot.json", "2.targets.json"] {
        let mut simulator = Simulator::new();
        let mut client = Client::warm(&simulator);
        for role in ["timestamp", "snapshot"] {
            simulator.common_of(role).expires = NOW.plus_days(40);
        }
        simulator.publish(RoleKind::Targets);
        simulator.files.remove(&format!("metadata/{missing}"));
        assert_refused(client.refresh(&simulator), "fetch.not_found", missing);
        client.offline(Expiry::Refuse).unwrap();
        // The newest files are valid, and not whole; the whole ones were signed for seven days.
        client.now = NOW.plus_days(8);
        let seen = client.clone();
        for online in [false, true] {
            let mut client = seen.clone();
            if online {
                assert_refused(client.refresh(&simulator), "fetch.not_found", missing);
            } else {
                let mut refresh = client.start();
                assert_refused(
                    refresh.offline(Expiry::Refuse),
                    "verify.expired",
                    "timestamp",
                );
                client.cached = refresh.verified().unwrap().1.clone();
            }
            assert_eq!(client.cached.clock_floor, Some(NOW.plus_days(7)));
            client.now = NOW.plus_days(1);
            let offline = client.offline(Expiry::Refuse);
            assert_refused(offline, "verify.expired", "timestamp.json");
        }
    }
}
