//! The search for a target through delegated roles: who is asked, in what order, and about what (TUF 4.5,
//! 5.6.7; hash bins as in TAP 15). Each test starts with an empty cache, so that whoever is asked is fetched.

use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded as _;

use crate::simulator::{Client, Delegation, Simulator};

const PATH: &str = "mylib/2.0/x";

/// A simulator with these delegations, in order: delegator, role, and whether it is terminating (`!`) or not for
/// the path (`-`).
fn graph(edges: &[&str]) -> Simulator {
    let mut simulator = Simulator::new();
    for edge in edges {
        let (from, role) = edge.split_once(' ').unwrap();
        let delegation = Delegation::to(role.trim_end_matches(['!', '-']));
        simulator.delegate(
            from,
            match role.as_bytes().last() {
                Some(b'!') => delegation.terminating(),
                Some(b'-') => delegation.paths(&["elsewhere/*/*"]),
                _ => delegation,
            },
        );
    }
    simulator.rewrite_targets();
    simulator
}

/// The role that `PATH` is found in.
fn found(client: &mut Client, simulator: &Simulator) -> Option<String> {
    let found = client.find(simulator, PATH).unwrap();
    found.map(|found| found.authority.role)
}

#[test]
fn roles_are_asked_in_pre_order() {
    // As in the reference implementation's tests. Names sort in another way than they are asked.
    for (edges, asked) in [
        (&["targets z"][..], &["z"][..]),
        (&["targets z", "targets a", "targets m"], &["z", "a", "m"]),
        (&["targets m", "targets a", "targets z"], &["m", "a", "z"]),
        (&["targets a", "targets b", "b c"], &["a", "b", "c"]),
        (
            &["targets a", "targets b", "a c", "a d"],
            &["a", "c", "d", "b"],
        ),
        (
            &["targets a", "targets b", "a c", "c d"],
            &["a", "c", "d", "b"],
        ),
        // Terminating.
        (&["targets a!", "targets b"], &["a"]),
        (&["targets a", "targets b!", "targets c"], &["a", "b"]),
        (&["targets a!", "targets b", "a c", "a d"], &["a", "c", "d"]),
        (&["targets a", "targets b", "a c!", "a d"], &["a", "c"]),
        (
            &["targets a", "targets b", "a c", "c d!", "c e"],
            &["a", "c", "d"],
        ),
        (
            &["targets a", "targets z", "a c!", "a d", "c e"],
            &["a", "c", "e"],
        ),
        // Not for this path.
        (&["targets a-", "targets b", "a c", "a d"], &["b"]),
        (
            &["targets a", "targets b", "a c-", "c d", "c e"],
            &["a", "b"],
        ),
        // Cycles and diamonds.
        (
            &["targets a", "targets b", "b c", "c d", "d b"],
            &["a", "b", "c", "d"],
        ),
        (&["targets a", "a a"], &["a"]),
        (&["targets a", "a b", "b a", "targets c"], &["a", "b", "c"]),
        (&["targets a", "targets b", "a c", "b c"], &["a", "c", "b"]),
        (&["targets a", "targets b", "a c-", "b c"], &["a", "b", "c"]),
    ] {
        let simulator = graph(edges);
        let mut client = Client::new(&simulator);
        assert_eq!(found(&mut client, &simulator), None, "{edges:?}");
        assert_eq!(client.roles_asked(), asked, "{edges:?}");
        // Again, from what is kept, and about another target: nobody is asked twice.
        assert_eq!(found(&mut client, &simulator), None, "{edges:?}");
        client.find(&simulator, "mylib/3.0/y").unwrap();
        assert_eq!(client.roles_asked(), [""; 0], "{edges:?}");
    }
}

#[test]
fn the_first_role_that_has_the_target_is_the_last_one_asked() {
    let edges = ["targets z", "targets m", "z a", "m b"];
    for (owners, asked) in [
        (&["z", "a", "m", "b"][..], &["z"][..]),
        (&["a", "m", "b"], &["z", "a"]),
        (&["m", "b"], &["z", "a", "m"]),
        (&["b"], &["z", "a", "m", "b"]),
    ] {
        let mut simulator = graph(&edges);
        for owner in owners {
            simulator.add_target(owner, PATH, owner.as_bytes());
        }
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        let found = client.find(&simulator, PATH).unwrap().unwrap();
        assert_eq!(found.authority.role, owners[0]);
        found.check_bytes(owners[0].as_bytes()).unwrap();
        assert_eq!(client.roles_asked(), asked);
    }
}

#[test]
fn the_top_level_targets_come_before_all_delegated_roles() {
    let mut simulator = graph(&["targets a"]);
    simulator.add_target("a", PATH, b"of a");
    simulator.add_target("targets", PATH, b"of the publisher");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    assert_eq!(found(&mut client, &simulator).as_deref(), Some("targets"));
    assert!(client.roles_asked().is_empty());
}

#[test]
fn a_terminating_role_hides_what_later_roles_have() {
    for (edges, expected) in [
        (&["targets a!", "targets b"][..], None),
        (&["targets a", "targets b"], Some("b")),
        (&["targets a-", "targets b"], Some("b")),
        // Its own descendants go on.
        (&["targets a!", "a b"], Some("b")),
        (&["targets a", "a c!", "targets b"], None),
    ] {
        let mut simulator = graph(edges);
        simulator.add_target("b", PATH, b"x");
        simulator.rewrite_targets();
        let found = found(&mut Client::new(&simulator), &simulator);
        assert_eq!(found.as_deref(), expected, "{edges:?}");
    }
}

#[test]
fn patterns_say_which_targets_a_role_may_name() {
    // TUF 4.5: shell patterns in which no wildcard stands for a slash.
    for (patterns, path, expected) in [
        (&["mylib/*/*"][..], "mylib/2.0/x", true),
        (&["mylib/*"], "mylib/2.0/x", false),
        (&["*"], "mylib/2.0/x", false),
        (&["*"], "x", true),
        (&["*/*/*"], "mylib/2.0/x", true),
        (&["mylib/2.0/x"], "mylib/2.0/x", true),
        (&["mylib/2.?/x"], "mylib/2.0/x", true),
        (&["mylib/2?0/x"], "mylib/2/0/x", false),
        (&["mylib/[12].0/x"], "mylib/2.0/x", true),
        (&["mylib/[!2].0/x"], "mylib/2.0/x", false),
        (&["MYLIB/*/*"], "mylib/2.0/x", false),
        (&["other/*/*", "mylib/*/*"], "mylib/2.0/x", true),
        (&[], "mylib/2.0/x", false),
        (&[""], "mylib/2.0/x", false),
        (&["*.x", "mylib"], "mylib/2.0/x", false),
    ] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to("a").paths(patterns));
        simulator.add_target("a", path, b"x");
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        let found = client.find(&simulator, path).unwrap();
        assert_eq!(found.is_some(), expected, "{patterns:?} {path}");
        // Who may not name it is not asked either.
        assert_eq!(client.roles_asked().len(), usize::from(expected));
    }
}

#[test]
fn hash_prefixes_say_which_targets_a_role_may_name() {
    let digest = Sha256Digest::of(PATH.as_bytes()).to_string();
    let other = if digest.starts_with('0') { "1" } else { "0" };
    let upper = digest[..16].to_uppercase();
    for (prefixes, expected) in [
        (&[&digest[..1]][..], true),
        (&[&digest[..2]], true),
        (&[&digest[..]], true),
        (&[other, &digest[..4]], true),
        (&[""], true),
        (&[other], false),
        (&[upper.as_str()], false),
        (&[format!("{digest}0").as_str()], false),
        (&[], false),
    ] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to("a").prefixes(prefixes));
        simulator.add_target("a", PATH, b"x");
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        let found = found(&mut client, &simulator);
        assert_eq!(found.is_some(), expected, "{prefixes:?}");
        assert_eq!(client.roles_asked().len(), usize::from(expected));
    }
}

#[test]
fn hash_bins_share_the_targets_out_by_their_digest() {
    for (bit_length, digits) in [(1, 1), (4, 1), (5, 2), (8, 2), (32, 8)] {
        for path in [
            PATH,
            "mylib/2.0/y",
            "mylib/1.1/release.json",
            "",
            "a b\u{e9}",
        ] {
            let digest = Sha256Digest::of(path.as_bytes()).to_string();
            let head = u64::from_str_radix(&digest[..8], 16).unwrap();
            let bin = format!("bin-{:0digits$x}", head >> (32 - bit_length));
            let mut simulator = Simulator::new();
            simulator.delegate_bins("targets", "bin", bit_length, (&[31], 1), &[&bin]);
            simulator.add_target(&bin, path, b"x");
            simulator.rewrite_targets();
            let mut client = Client::new(&simulator);
            let found = client.find(&simulator, path).unwrap().unwrap();
            assert_eq!(found.authority.role, bin);
            assert_eq!(client.roles_asked(), [bin]);
        }
    }
}

#[test]
fn a_hash_bin_does_not_name_targets_of_another_one() {
    let bin = |path: &str| {
        let digest = Sha256Digest::of(path.as_bytes()).to_string();
        format!("bin-{}", &digest[..1])
    };
    let other = ["a", "b", "c", "d", "e"]
        .into_iter()
        .find(|path| bin(path) != bin(PATH));
    let other = bin(other.unwrap());
    let own = bin(PATH);
    let mut simulator = Simulator::new();
    simulator.delegate_bins("targets", "bin", 4, (&[31], 1), &[&own, &other]);
    simulator.add_target(&other, PATH, b"x");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    assert_eq!(found(&mut client, &simulator), None);
    assert_eq!(client.roles_asked(), [own.as_str()]);
    simulator.add_target(&own, PATH, b"x");
    simulator.rewrite_targets();
    assert_eq!(found(&mut Client::new(&simulator), &simulator), Some(own));
}

#[test]
fn hash_bins_can_be_delegated_to_and_delegate_further() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("targets", Delegation::to("z"));
    let digest = Sha256Digest::of(PATH.as_bytes()).to_string();
    let bin = format!("bin-{}", &digest[..1]);
    simulator.delegate_bins("a", "bin", 4, (&[31], 1), &[&bin]);
    simulator.delegate(&bin, Delegation::to("c"));
    simulator.add_target("z", PATH, b"of z");
    simulator.rewrite_targets();
    // A bin is the last word on its targets: `z` is not asked.
    let mut client = Client::new(&simulator);
    assert_eq!(found(&mut client, &simulator), None);
    assert_eq!(client.roles_asked(), ["a", bin.as_str(), "c"]);
    simulator.add_target("c", PATH, b"of c");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    assert_eq!(found(&mut client, &simulator).as_deref(), Some("c"));
}

#[test]
fn role_names_are_one_file_name_each() {
    // CVE-2021-41131 is about such names; see also `published_flaws`.
    for (role, file) in [
        ("a/b", "1.a%2Fb.json"),
        ("../a", "1...%2Fa.json"),
        ("..", "1....json"),
        (".", "1...json"),
        ("/a", "1.%2Fa.json"),
        ("%2e%2e%2fa", "1.%252e%252e%252fa.json"),
        ("a?b#c", "1.a%3Fb%23c.json"),
        ("a\\b", "1.a%5Cb.json"),
        ("\u{f6}", "1.%C3%B6.json"),
        ("a b\n", "1.a%20b%0A.json"),
        ("a\0", "1.a%00.json"),
        ("Root", "1.Root.json"),
        ("targets.json", "1.targets.json.json"),
        ("1.targets", "1.1.targets.json"),
        ("role-._~9", "1.role-._~9.json"),
    ] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to(role));
        simulator.add_target(role, PATH, b"x");
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        assert_eq!(found(&mut client, &simulator).as_deref(), Some(role));
        assert_eq!(client.requests.last().unwrap(), file);
        assert!(!file.contains('/'));
        assert!(client.cached.targets.contains_key(role), "by its own name");
    }
}

#[test]
fn rejects_role_names_that_are_taken() {
    for role in ["root", "timestamp", "snapshot", "targets", ""] {
        let mut simulator = graph(&["targets a"]);
        simulator.resign_any("targets", |signed| {
            signed["delegations"]["roles"][0]["name"] = role.into();
        });
        let error = Client::new(&simulator).refresh(&simulator).unwrap_err();
        assert_eq!(error.code(), "verify.malformed");
        assert!(error.to_string().contains("cannot be named"), "{error}");
    }
}

#[test]
fn as_many_roles_are_asked_as_the_limit_says() {
    // Side by side and one below the other; roles that are met again do not count again.
    for nested in [false, true] {
        for (roles, accepted) in [(2, true), (3, true), (4, false)] {
            let mut simulator = Simulator::new();
            for index in 0..roles {
                let from = match index {
                    0 => "targets".to_owned(),
                    _ if nested => format!("r{}", index - 1),
                    _ => "targets".to_owned(),
                };
                simulator.delegate(&from, Delegation::to(&format!("r{index}")));
                simulator.delegate(&format!("r{index}"), Delegation::to("r0"));
            }
            simulator.rewrite_targets();
            let mut client = Client::new(&simulator);
            client.limits.delegated_roles = 3;
            match client.find(&simulator, PATH) {
                Ok(found) => assert!(accepted && found.is_none()),
                Err(error) => {
                    assert!(!accepted, "{error}");
                    assert_eq!(error.code(), "verify.too_large");
                }
            }
        }
    }
}
