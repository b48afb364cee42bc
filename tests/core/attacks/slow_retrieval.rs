//! Slow retrieval: answers that take for ever. Core has no clock; what it bounds is how much is asked for: every
//! step states its bytes, and there is a last step. The deadline and the lowest rate of a fetch are shown by the
//! browser tests (`tests/browser/trust.rs`).

use webimport_core::error::Coded as _;
use webimport_core::repository::Lookup;
use webimport_core::workflow::Step;

use crate::simulator::{Client, Delegation, Digests, Simulator, assert_refused};

#[test]
fn slow_retrieval_is_bounded_by_the_bytes_that_every_step_states() {
    for digests in [Digests::Stated, Digests::LeftOut] {
        let mut simulator = Simulator::new();
        simulator.digests = digests;
        simulator.delegate("targets", Delegation::to("a"));
        simulator.add_target("a", "mylib/2.0/x", b"x");
        simulator.rewrite_targets();
        let client = Client::new(&simulator);
        let mut refresh = client.start();
        let mut stated = Vec::new();
        while let Step::Fetch(fetch) = refresh.step().unwrap() {
            stated.push((fetch.path.clone(), fetch.limit));
            refresh.supply(simulator.answer(&fetch).unwrap()).unwrap();
        }
        let mut repository = refresh.finish().unwrap();
        let Lookup::Fetch(fetch) = repository.target("mylib/2.0/x").unwrap() else {
            panic!("no role was asked for");
        };
        stated.push((fetch.path, fetch.limit));
        let length = |path: &str| simulator.files[path].len() as u64;
        let limits = &client.limits;
        let named = |path: &str, limit: u64| match digests {
            Digests::Stated => length(path),
            Digests::LeftOut => limit,
        };
        let expected = [
            ("metadata/1.root.json", limits.root),
            ("metadata/2.root.json", limits.root),
            ("metadata/timestamp.json", limits.timestamp),
            (
                "metadata/1.snapshot.json",
                named("metadata/1.snapshot.json", limits.snapshot),
            ),
            (
                "metadata/1.targets.json",
                named("metadata/1.targets.json", limits.targets),
            ),
            (
                "metadata/1.a.json",
                named("metadata/1.a.json", limits.targets),
            ),
        ]
        .map(|(path, limit)| (path.to_owned(), limit));
        assert_eq!(stated, expected);
    }
}

#[test]
fn slow_retrieval_by_roots_without_an_end_is_cut_off() {
    let mut simulator = Simulator::new();
    for _ in 0..4 {
        simulator.publish(webimport_core::metadata::RoleKind::Root);
    }
    let mut client = Client::new(&simulator);
    client.limits.root_rotations = 3;
    assert_refused(
        client.clone().refresh(&simulator),
        "verify.too_large",
        "root.json",
    );
    // The one that is too many is asked for, and no other.
    let mut attempt = client.clone();
    attempt.refresh(&simulator).unwrap_err();
    assert_eq!(attempt.requests.len(), 5);
    client.limits.root_rotations = 4;
    client.refresh(&simulator).unwrap();
}

#[test]
fn slow_retrieval_by_roles_without_an_end_is_cut_off() {
    for (roles, accepted) in [(32, true), (33, false)] {
        let mut simulator = Simulator::new();
        for index in 0..roles {
            let name = format!("r{index}");
            let from = match index {
                0 => "targets".to_owned(),
                _ => format!("r{}", index - 1),
            };
            simulator.delegate(&from, Delegation::to(&name));
        }
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        assert_eq!(client.limits.delegated_roles, 32);
        let found = client.find(&simulator, "mylib/2.0/x");
        assert_eq!(client.roles_asked().len(), 32);
        match found {
            Ok(found) => assert!(accepted && found.is_none()),
            Err(error) => {
                assert_eq!(error.code(), "verify.too_large");
                assert!(!accepted);
            }
        }
    }
}
