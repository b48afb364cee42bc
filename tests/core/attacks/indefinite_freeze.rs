//! Indefinite freeze: the server goes on answering with what was current once. Expiry ends it (TUF 5.3.10,
//! 5.4.4, 5.5.6, 5.6.5); [`crate::clock`] shows that a clock that is set back does not undo that.

use webimport_core::error::{Coded as _, Error};
use webimport_core::metadata::RoleKind;
use webimport_core::repository::Located;
use webimport_core::time::UnixTime;
use webimport_core::trust::Expiry;

use crate::simulator::{Client, Delegation, NOW, ROLES, Simulator, assert_refused};

#[test]
fn an_indefinite_freeze_ends_when_the_frozen_metadata_expires() {
    // The publisher goes on; the attacker between shows the old state to this client.
    let mut simulator = Simulator::new();
    let mut client = Client::warm(&simulator);
    let frozen = simulator.clone();
    simulator.add_release("mylib", "1.1", b"mylib 1.1, mended", &["stable"]);
    simulator.timestamp.common.expires = NOW.plus_days(14);
    simulator.publish(RoleKind::Targets);

    client.now = UnixTime(NOW.plus_days(7).0 - 1);
    client.refresh(&frozen).unwrap();
    client.now = NOW.plus_days(7);
    for _ in 0..2 {
        assert_refused(client.refresh(&frozen), "verify.expired", "timestamp.json");
    }
    client.refresh(&simulator).unwrap();
    assert_refused(client.refresh(&frozen), "verify.rollback", "timestamp.json");
}

#[test]
fn a_freeze_of_a_delegated_role_ends_when_it_expires() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.common_of("a").expires = NOW.plus_days(1);
    simulator.add_target("a", "mylib/2.0/x", b"x");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    client.now = UnixTime(NOW.plus_days(1).0 - 1);
    client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
    client.now = NOW.plus_days(1);
    // What is kept of it has expired, and so has what the server still has.
    assert_refused(
        client.find(&simulator, "mylib/2.0/x"),
        "verify.expired",
        "1.a.json",
    );
    assert_eq!(client.roles_asked(), ["a"]);
    simulator.common_of("a").expires = NOW.plus_days(2);
    simulator.publish_any("a");
    client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
}

#[test]
fn a_freeze_of_the_root_ends_when_it_expires() {
    // Whoever holds back the next root keeps a key in use that it replaced: until the old root expires.
    let mut simulator = Simulator::new();
    simulator.timestamp.common.expires = NOW.plus_days(1_000);
    simulator.snapshot.common.expires = NOW.plus_days(1_000);
    simulator.targets.common.expires = NOW.plus_days(1_000);
    simulator.rewrite(RoleKind::Targets);
    let frozen = simulator.clone();
    simulator.root.common.expires = NOW.plus_days(730);
    simulator.publish(RoleKind::Root);
    let mut client = Client::new(&simulator);
    client.now = UnixTime(NOW.plus_days(365).0 - 1);
    client.refresh(&frozen).unwrap();
    client.now = NOW.plus_days(365);
    assert_refused(client.refresh(&frozen), "verify.expired", "1.root.json");
    client.refresh(&simulator).unwrap();
}

#[test]
fn rejects_each_role_from_the_second_it_expires() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.common(kind).expires = NOW.plus_days(1);
        simulator.rewrite(kind);
        let mut client = Client::new(&simulator);
        let UnixTime(expires) = NOW.plus_days(1);
        let mut late = client.clone();
        late.now = UnixTime(expires);
        assert_refused(late.refresh(&simulator), "verify.expired", kind.as_str());
        client.now = UnixTime(expires - 1);
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn rejects_cached_metadata_that_expired_until_it_is_signed_again() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.common(kind).expires = NOW.plus_days(1);
        simulator.rewrite(kind);
        let mut client = Client::warm(&simulator);
        client.now = NOW.plus_days(1);
        assert_refused(client.refresh(&simulator), "verify.expired", kind.as_str());
        simulator.common(kind).expires = NOW.plus_days(2);
        simulator.publish(kind);
        client.refresh(&simulator).unwrap();
    }
}

/// The timestamp is signed for seven days, the snapshot for 30, targets for 90, each week anew.
fn publish_week(simulator: &mut Simulator, now: UnixTime, week: u32) {
    let release = format!("mended in week {week}");
    simulator.add_target("targets", "mylib/1.0/x", release.as_bytes());
    simulator.add_target("a", "mylib/2.0/x", release.as_bytes());
    for (role, days) in [
        ("timestamp", 7),
        ("snapshot", 30),
        ("targets", 90),
        ("a", 90),
    ] {
        let common = simulator.common_of(role);
        common.expires = now.plus_days(days);
        common.version += 1;
    }
    simulator.rewrite_targets();
}

/// What a load answers while the server says of a file that it does not exist: by the cache, as the driver does.
fn load(client: &mut Client, simulator: &Simulator, path: &str) -> Result<Option<Located>, Error> {
    let error = match client.find(simulator, path) {
        Err(error @ Error::Fetch(_)) => error,
        answer => return answer,
    };
    assert_eq!(error.code(), "fetch.not_found");
    let (answer, stored) = client.find_offline(path, Expiry::Refuse);
    client.cached = stored;
    answer
}

#[test]
fn a_freeze_by_withholding_a_file_ends_when_the_last_whole_chain_expires() {
    // Whoever has the network, and no key, lets all through but the new files of one role. What is signed for
    // longest must not count for those that are signed for a week.
    for (withheld, path) in [
        ("snapshot", "mylib/1.0/x"),
        ("targets", "mylib/1.0/x"),
        ("a", "mylib/2.0/x"),
        ("snapshot", "mylib/2.0/x"),
        ("targets", "mylib/2.0/x"),
    ] {
        for every in [1, 7] {
            let mut simulator = Simulator::new();
            simulator.delegate("targets", Delegation::to("a"));
            simulator.add_target("targets", "mylib/1.0/x", b"at first");
            simulator.add_target("a", "mylib/2.0/x", b"at first");
            simulator.rewrite_targets();
            let mut client = Client::new(&simulator);
            client.find(&simulator, path).unwrap().unwrap();
            // It goes on for twelve weeks, with a load a day or a week.
            for day in 1..=84 {
                let now = NOW.plus_days(day);
                if day % 7 == 0 {
                    publish_week(&mut simulator, now, day / 7);
                }
                if day % every != 0 {
                    continue;
                }
                let mut server = simulator.clone();
                let file = server.path_of(withheld);
                if day >= 7 {
                    server.files.remove(&file).unwrap();
                }
                client.now = now;
                let answer = load(&mut client, &server, path);
                if day < 7 {
                    answer.unwrap().unwrap().check_bytes(b"at first").unwrap();
                } else {
                    let code = answer.map(drop).expect_err("a frozen state serves").code();
                    let expected = ["verify.expired", "resolve.offline"];
                    assert!(expected.contains(&code), "{code} on day {day}");
                }
            }
            // The server relents, and all is there at once.
            let found = client.find(&simulator, path).unwrap().unwrap();
            found.check_bytes(b"mended in week 12").unwrap();
            assert_eq!(client.cached.whole, None);
        }
    }
}

#[test]
fn a_freeze_by_withholding_a_file_lasts_as_long_as_the_whole_chain_is_valid_and_no_longer() {
    for withheld in ["snapshot", "targets", "a"] {
        for first in ["timestamp", "snapshot", "targets", "a"] {
            let mut simulator = Simulator::new();
            simulator.delegate("targets", Delegation::to("a"));
            simulator.add_target("a", "mylib/2.0/x", b"at first");
            simulator.common_of(first).expires = NOW.plus_days(5);
            simulator.rewrite_targets();
            let mut client = Client::new(&simulator);
            client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
            client.now = NOW.plus_days(3);
            publish_week(&mut simulator, client.now, 1);
            let path = simulator.path_of(withheld);
            let file = simulator.files.remove(&path).unwrap();
            for (seconds, served) in [(-1, true), (0, false), (1, false)] {
                let mut client = client.clone();
                for _ in 0..2 {
                    let found = load(&mut client, &simulator, "mylib/2.0/x")
                        .unwrap()
                        .unwrap();
                    found.check_bytes(b"at first").unwrap();
                    assert_eq!(found.authority.expires, NOW.plus_days(5));
                }
                client.now = UnixTime(NOW.plus_days(5).0 + seconds);
                let again = load(&mut client, &simulator, "mylib/2.0/x");
                assert_eq!(again.is_ok(), served, "{withheld} {first} {seconds}");
                // Who asks for stale metadata by name has it.
                let (stale, _) = client.find_offline("mylib/2.0/x", Expiry::AcceptStale);
                stale.unwrap().unwrap().check_bytes(b"at first").unwrap();
            }
            simulator.files.insert(path, file);
            let found = load(&mut client, &simulator, "mylib/2.0/x")
                .unwrap()
                .unwrap();
            found.check_bytes(b"mended in week 1").unwrap();
        }
    }
}
