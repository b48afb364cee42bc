//! The search for a target through delegated roles.

use super::{PATH, find, with_keys};
use crate::simulator::{Client, Delegation, Digests, NOW, Simulator, assert_refused};

#[test]
fn cve_2025_2886_terminating_roles_end_the_search() {
    let build = |a: Delegation, also: fn(&mut Simulator)| {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", a);
        simulator.delegate("targets", Delegation::to("b"));
        simulator.add_target("b", PATH, b"of b");
        also(&mut simulator);
        simulator.rewrite_targets();
        simulator
    };
    let a = || Delegation::to("a");
    for (simulator, found, asked) in [
        (build(a().terminating(), |_| {}), None, &["a"][..]),
        (build(a(), |_| {}), Some("b"), &["a", "b"]),
        (
            build(a().paths(&["other/*/*"]).terminating(), |_| {}),
            Some("b"),
            &["b"],
        ),
        // It does not stop its own.
        (
            build(a().terminating(), |simulator| {
                simulator.delegate("a", Delegation::to("c"));
                simulator.add_target("c", PATH, b"of c");
            }),
            Some("c"),
            &["a", "c"],
        ),
        // Below another one it ends the search above as well.
        (
            build(a(), |simulator| {
                simulator.delegate("a", Delegation::to("c").terminating());
                simulator.delegate("a", Delegation::to("d"));
                simulator.add_target("d", PATH, b"of d");
            }),
            None,
            &["a", "c"],
        ),
    ] {
        let mut client = Client::new(&simulator);
        let located = client.find(&simulator, PATH).unwrap();
        assert_eq!(located.map(|it| it.authority.role).as_deref(), found);
        assert_eq!(client.roles_asked(), asked);
    }
}

#[test]
fn cve_2024_47534_roles_are_asked_in_the_order_in_which_they_are_written() {
    for order in [
        ["z", "a", "m"],
        ["a", "z", "m"],
        ["m", "a", "z"],
        ["m", "z", "a"],
    ] {
        let mut simulator = Simulator::new();
        for role in order {
            simulator.delegate("targets", Delegation::to(role));
            simulator.add_target(role, PATH, role.as_bytes());
        }
        simulator.rewrite_targets();
        // The same each time, and from a cache that has all of them in another order.
        let mut client = Client::new(&simulator);
        for asked in [&order[..1], &[]] {
            let found = client.find(&simulator, PATH).unwrap().unwrap();
            found.check_bytes(order[0].as_bytes()).unwrap();
            assert_eq!(client.roles_asked(), asked);
            for role in order {
                let file = simulator.file_of(role).clone();
                client.cached.targets.insert(role.into(), file);
            }
        }
    }
}

#[test]
fn cve_2026_6967_a_delegated_role_is_checked_like_any_other() {
    let honest = with_keys("a", &[31], 1);
    find(&honest).unwrap().unwrap();
    let mut expired = honest.clone();
    expired.common_of("a").expires = NOW;
    expired.rewrite_any("a");
    let mut other_bytes = honest.clone();
    let mut again = honest.clone();
    again.add_target("a", PATH, b"y");
    again.rewrite_any("a");
    *other_bytes.file_of("a") = again.file_of("a").clone();
    let mut longer = honest.clone();
    longer.file_of("a").push(b'\n');
    let mut other_version = honest.clone();
    other_version.digests = Digests::LeftOut;
    other_version.rewrite_targets();
    let mut again = other_version.clone();
    again.common_of("a").version = 2;
    again.rewrite_any("a");
    *other_version.file_of("a") = again.file_of("a").clone();
    for (simulator, code) in [
        (&expired, "verify.expired"),
        (&other_bytes, "verify.digest"),
        (&longer, "verify.too_large"),
        (&other_version, "verify.mix_and_match"),
    ] {
        let mut client = Client::new(&honest);
        assert_refused(client.find(simulator, PATH), code, "1.a.json");
        assert!(!client.cached.targets.contains_key("a"));
    }
}

#[test]
fn cve_2026_6967_what_is_kept_is_what_was_verified() {
    // The server has another file by the time the client would ask again; it does not.
    let mut simulator = with_keys("a", &[31], 1);
    simulator.digests = Digests::LeftOut;
    simulator.rewrite_targets();
    let verified = simulator.file_of("a").clone();
    let mut client = Client::new(&simulator);
    let mut repository = client.refresh(&simulator).unwrap();
    client
        .target(&simulator, &mut repository, PATH)
        .unwrap()
        .unwrap();
    *simulator.file_of("a") = b"poison".to_vec();
    client
        .target(&simulator, &mut repository, PATH)
        .unwrap()
        .unwrap();
    assert_eq!(repository.verified().targets["a"], verified);
    assert_eq!(client.roles_asked(), ["a"]);
}

#[test]
fn ghsa_j8x2_777p_23fc_cycles_of_delegations_end() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("a", Delegation::to("b"));
    simulator.delegate("b", Delegation::to("a"));
    simulator.delegate("b", Delegation::to("b"));
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    assert_eq!(client.find(&simulator, PATH).unwrap(), None);
    assert_eq!(client.roles_asked(), ["a", "b"]);
    simulator.add_target("b", PATH, b"x");
    simulator.publish_any("b");
    assert_eq!(
        client
            .find(&simulator, PATH)
            .unwrap()
            .unwrap()
            .authority
            .role,
        "b"
    );
}

#[test]
fn ghsa_77hh_43cm_v8j6_a_role_counts_for_the_delegator_whose_keys_sign_it() {
    for (signers, accepted) in [(&[31][..], false), (&[32], true)] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to("a").paths(&["mylib/1.*/*"]));
        simulator.delegate("targets", Delegation::to("b"));
        simulator.delegate("a", Delegation::to("c").keys(&[31], 1));
        simulator.delegate("b", Delegation::to("c").keys(&[32], 1));
        simulator.add_target("c", PATH, b"x");
        simulator.set_role_signers("c", signers);
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        // Known already, by way of `a`.
        if !accepted {
            assert_eq!(client.find(&simulator, "mylib/1.0/x").unwrap(), None);
            assert!(client.cached.targets.contains_key("c"));
        }
        let found = client.find(&simulator, PATH);
        if accepted {
            assert_eq!(found.unwrap().unwrap().authority.role, "c");
        } else {
            assert_refused(found, "verify.threshold", "1.c.json");
        }
    }
}
