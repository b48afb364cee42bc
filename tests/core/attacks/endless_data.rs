//! Endless data: answers without an end, and answers that cost more than they say (TUF 5.3.3, 5.4.1, 5.5.1,
//! 5.6.1). A fetch states how many bytes it takes; that it reads no more is shown by `tests/wasm/fetch.rs` and
//! `tests/browser/trust.rs`.

use webimport_core::metadata::RoleKind;

use crate::simulator::{Client, Delegation, Digests, ROLES, Simulator, assert_refused};

#[test]
fn rejects_a_longer_file() {
    for kind in ROLES {
        for digests in [Digests::Stated, Digests::LeftOut] {
            let mut simulator = Simulator::new();
            simulator.digests = digests;
            simulator.publish(RoleKind::Root);
            simulator.publish(RoleKind::Targets);
            simulator.file(kind).push(b'x');
            let named = matches!(kind, RoleKind::Snapshot | RoleKind::Targets);
            let code = if named && digests == Digests::Stated {
                "verify.too_large"
            } else {
                "verify.malformed"
            };
            let mut client = Client::new(&simulator);
            assert_refused(client.refresh(&simulator), code, kind.as_str());
            simulator.file(kind).pop();
            client.refresh(&simulator).unwrap();
        }
    }
}

#[test]
fn a_longer_file_is_refused_by_length_where_no_limit_cut_it_off() {
    let simulator = Simulator::new();
    let mut refresh = Client::new(&simulator).start();
    while let webimport_core::workflow::Step::Fetch(fetch) = refresh.step().unwrap() {
        let mut file = simulator.answer(&fetch).unwrap();
        if fetch.path.ends_with("snapshot.json") {
            file.as_mut().unwrap().push(b'\n');
            assert_refused(
                refresh.supply(file).and_then(|()| refresh.finish()),
                "verify.length",
                "1.snapshot.json",
            );
            return;
        }
        refresh.supply(file).unwrap();
    }
    panic!("no snapshot was asked for");
}

#[test]
fn endless_data_is_cut_off_at_each_roles_limit() {
    for kind in ROLES {
        let mut simulator = Simulator::new();
        simulator.digests = Digests::LeftOut;
        simulator.publish(RoleKind::Root);
        simulator.publish(RoleKind::Targets);
        let mut client = Client::new(&simulator);
        let limit = match kind {
            RoleKind::Root => client.limits.root,
            RoleKind::Timestamp => client.limits.timestamp,
            RoleKind::Snapshot => client.limits.snapshot,
            RoleKind::Targets => client.limits.targets,
        };
        // White space is allowed behind JSON, so that the limit alone decides.
        let size = usize::try_from(limit).unwrap();
        simulator.file(kind).resize(size + 1, b' ');
        assert_refused(
            client.refresh(&simulator),
            "verify.too_large",
            kind.as_str(),
        );
        simulator.file(kind).resize(size, b' ');
        client.refresh(&simulator).unwrap();
    }
}

#[test]
fn endless_data_of_a_delegated_role_is_cut_off() {
    let mut simulator = Simulator::new();
    simulator.digests = Digests::LeftOut;
    simulator.delegate("targets", Delegation::to("a"));
    simulator.add_target("a", "mylib/2.0/x", b"x");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    let size = usize::try_from(client.limits.targets).unwrap();
    simulator.file_of("a").resize(size + 1, b' ');
    assert_refused(
        client.find(&simulator, "mylib/2.0/x"),
        "verify.too_large",
        "1.a.json",
    );
    simulator.file_of("a").resize(size, b' ');
    client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
}

#[test]
fn endless_data_of_a_delegated_role_is_cut_off_at_its_signed_length() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.add_target("a", "mylib/2.0/x", b"x");
    simulator.rewrite_targets();
    let mut client = Client::new(&simulator);
    simulator.file_of("a").push(b' ');
    assert_refused(
        client.find(&simulator, "mylib/2.0/x"),
        "verify.too_large",
        "1.a.json",
    );
    simulator.file_of("a").pop();
    client.find(&simulator, "mylib/2.0/x").unwrap().unwrap();
}

/// The role `a` with this many versions of `mylib` in the channel `next`, from 1.0 on, and `b` behind it with 0.9.
fn many_versions(count: usize) -> Simulator {
    let mut simulator = Simulator::new();
    simulator.targets.targets.clear();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("targets", Delegation::to("b"));
    simulator.add_release_to("a", "mylib", "1.0", b"one", &["next"]);
    simulator.add_release_to("b", "mylib", "0.9", b"nine", &["next"]);
    let targets = simulator.targets_of("a");
    let release = targets.targets["mylib/1.0/release.json"].clone();
    for version in 1..count {
        let path = format!("mylib/1.{version}/release.json");
        targets.targets.insert(path, release.clone());
    }
    simulator.rewrite_targets();
    simulator
}

#[test]
fn a_channel_of_endless_versions_names_none_and_is_not_looked_through() {
    for (count, code) in [
        (1, ""),
        (2, "resolve.unknown_channel"),
        (32, "resolve.unknown_channel"),
        (33, "resolve.unknown_channel"),
        (20_000, "resolve.unknown_channel"),
    ] {
        let simulator = many_versions(count);
        let mut client = Client::new(&simulator);
        let mut repository = client.refresh(&simulator).unwrap();
        let found = client.release(&simulator, &mut repository, "mylib", "next");
        if code.is_empty() {
            assert_eq!(found.unwrap().0.version.to_string(), "1.0");
        } else {
            assert_refused(found, code, "next");
        }
        assert_eq!(client.roles_asked(), ["a"], "the first word is the last");
        // Each is there under its own name.
        let last = format!("1.{}", count - 1);
        let found = client.release(&simulator, &mut repository, "mylib", &last);
        assert_eq!(found.unwrap().1.role, "a");
    }
}

#[test]
fn versions_that_a_role_may_not_name_are_not_looked_up() {
    // It may name the first one alone.
    for count in [2, 32, 33, 1_000] {
        let mut simulator = many_versions(count);
        let delegations = simulator.targets.delegations.as_mut().unwrap();
        delegations.roles.as_mut().unwrap()[0].paths = Some(vec!["mylib/1.0/*".into()]);
        simulator.rewrite_targets();
        let mut client = Client::new(&simulator);
        let mut repository = client.refresh(&simulator).unwrap();
        let next = client.release(&simulator, &mut repository, "mylib", "next");
        assert_eq!(next.unwrap().0.version.to_string(), "1.0");
        let name = "mylib".parse().unwrap();
        let sha256 = webimport_core::digest::Sha256Digest::of(b"one");
        let by_digest = client.search(&simulator, &mut repository, |repository| {
            repository.release_by_digest(&name, sha256)
        });
        assert!(by_digest.unwrap().is_some(), "{count}");
    }
}

#[test]
fn versions_that_are_offered_in_vain_are_looked_up_32_times_in_all() {
    // An earlier role has the word on what `b` and `c` offer; what `d` offers would be next.
    for (of_c, found) in [(15, true), (16, false)] {
        let mut simulator = Simulator::new();
        simulator.targets.targets.clear();
        for role in ["a", "b", "c", "d"] {
            simulator.delegate("targets", Delegation::to(role));
        }
        for (role, count) in [("a", 16), ("b", 16), ("c", of_c)] {
            for minor in 0..count {
                let version = format!("1.{minor}");
                simulator.add_release_to(role, "mylib", &version, role.as_bytes(), &[]);
            }
        }
        simulator.add_release_to("d", "mylib", "2.0", b"two", &["next"]);
        simulator.rewrite_targets();
        for role in ["b", "c"] {
            simulator.resign_any(role, |signed| {
                for file in signed["targets"].as_object_mut().unwrap().values_mut() {
                    file["custom"]["webimport"]["channels"] = serde_json::json!(["next"]);
                }
            });
        }
        let mut client = Client::new(&simulator);
        let mut repository = client.refresh(&simulator).unwrap();
        let next = client.release(&simulator, &mut repository, "mylib", "next");
        if found {
            assert_eq!(next.unwrap().1.role, "d");
        } else {
            assert_refused(next, "verify.too_large", "delegated roles");
        }
    }
}

/// A pattern that is looked through from each character of a path that begins with `mylib/9aaa`.
fn slow_pattern() -> String {
    format!("mylib/9*[{}a]Z/x", "b".repeat(1_000))
}

/// A version that the slow pattern takes some hundred thousand steps to leave out.
fn slow_version(last: usize) -> String {
    format!("9{}{last}", "a".repeat(97))
}

/// `evil` may name versions from 9 on, and asks for this many slow patterns before it comes to `late`; `main` has
/// the version 1.0 in `stable`.
fn slow_patterns(count: usize) -> Simulator {
    let mut simulator = Simulator::new();
    simulator.targets.targets.clear();
    simulator.delegate("targets", Delegation::to("evil").paths(&["mylib/9*/*"]));
    simulator.delegate("targets", Delegation::to("main"));
    simulator.add_release_to("main", "mylib", "1.0", b"one", &["stable"]);
    let pattern = slow_pattern();
    let patterns = vec![pattern.as_str(); count];
    simulator.delegate("evil", Delegation::to("early").paths(&patterns));
    simulator.delegate("evil", Delegation::to("late").paths(&["mylib/9*/*"]));
    simulator.rewrite_targets();
    simulator
}

#[test]
fn a_search_through_patterns_that_take_too_long_is_given_up() {
    for (count, accepted) in [(1, true), (5, true), (20, false)] {
        let simulator = slow_patterns(count);
        let mut client = Client::new(&simulator);
        client.limits.search_steps = 1 << 20;
        let path = format!("mylib/{}/x", slow_version(0));
        let found = client.find(&simulator, &path);
        if accepted {
            assert_eq!(found, Ok(None));
        } else {
            assert_refused(found, "verify.too_large", "path patterns");
        }
        // Whose targets they are not about is not held up.
        let found = client.find(&simulator, "mylib/1.0/release.json").unwrap();
        assert_eq!(found.unwrap().authority.role, "main");
    }
}

#[test]
fn all_look_ups_of_a_channel_have_one_effort_between_them() {
    for (offered, code) in [
        (1, ""),
        (2, "resolve.unknown_channel"),
        (20, "verify.too_large"),
    ] {
        let mut simulator = slow_patterns(1);
        for version in 0..offered {
            let version = slow_version(version);
            simulator.add_release_to("late", "mylib", &version, b"nine", &[]);
        }
        simulator.rewrite_targets();
        simulator.resign_any("late", |signed| {
            for file in signed["targets"].as_object_mut().unwrap().values_mut() {
                file["custom"]["webimport"]["channels"] = serde_json::json!(["stable"]);
            }
        });
        let mut client = Client::new(&simulator);
        client.limits.search_steps = 1 << 20;
        let mut repository = client.refresh(&simulator).unwrap();
        let stable = client.release(&simulator, &mut repository, "mylib", "stable");
        if code.is_empty() {
            assert_eq!(stable.unwrap().1.role, "late");
        } else {
            assert_refused(stable, code, "");
        }
        // Each by itself is found.
        let last = slow_version(offered - 1);
        let found = client.release(&simulator, &mut repository, "mylib", &last);
        assert_eq!(found.unwrap().1.role, "late");
    }
}

#[test]
fn delegations_by_the_thousand_cost_what_their_names_take() {
    // Each way to a role holds the names of all roles before it.
    let name = "e".repeat(10_000);
    for (count, code) in [(10, "verify.malformed"), (200, "verify.too_large")] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", Delegation::to(&name));
        simulator.delegate(&name, Delegation::to("r"));
        simulator.rewrite_targets();
        simulator.resign_any(&name, |signed| {
            let roles = &mut signed["delegations"]["roles"];
            let role = roles[0].clone();
            *roles = (0..count)
                .map(|index| {
                    let mut role = role.clone();
                    role["name"] = format!("r{index}").into();
                    role
                })
                .collect();
        });
        let mut client = Client::new(&simulator);
        client.limits.search_steps = 1 << 20;
        // None of them is in the snapshot.
        assert_refused(client.find(&simulator, "mylib/2.0/x"), code, "");
    }
}

#[test]
fn a_channel_is_looked_for_on_as_many_ways_as_the_limit_says() {
    // Five: `a`, `a` to `c`, `b`, `b` to `c`, and on to `a`.
    let mut simulator = Simulator::new();
    simulator.targets.targets.clear();
    simulator.delegate("targets", Delegation::to("a"));
    simulator.delegate("targets", Delegation::to("b"));
    simulator.delegate("a", Delegation::to("c"));
    simulator.delegate("b", Delegation::to("c"));
    // What comes back to where it was is no way.
    simulator.delegate("c", Delegation::to("a"));
    simulator.rewrite_targets();
    for (limit, code) in [(4, "verify.too_large"), (5, "resolve.unknown_name")] {
        let mut client = Client::new(&simulator);
        client.limits.delegated_roles = limit;
        let mut repository = client.refresh(&simulator).unwrap();
        let stable = client.release(&simulator, &mut repository, "mylib", "stable");
        assert_refused(stable, code, "");
    }
}

#[test]
fn a_digest_of_endless_versions_names_none() {
    let name = "mylib".parse().unwrap();
    let sha256 = webimport_core::digest::Sha256Digest::of(b"one");
    for (count, found) in [(1, true), (2, false), (33, false), (20_000, false)] {
        let simulator = many_versions(count);
        let mut client = Client::new(&simulator);
        let mut repository = client.refresh(&simulator).unwrap();
        let answer = client.search(&simulator, &mut repository, |repository| {
            repository.release_by_digest(&name, sha256)
        });
        assert_eq!(answer.unwrap().is_some(), found, "{count}");
    }
}

#[test]
fn a_pattern_without_an_end_is_refused_before_anything_is_matched() {
    let long = |bytes: usize| format!("mylib/*/{}", "[".repeat(bytes - 8));
    for from in ["targets", "m"] {
        for (patterns, accepted) in [
            (vec![long(1_024)], true),
            (vec![long(1_025)], false),
            (vec!["mylib/*/*".into(), long(1_025)], false),
            (vec![long(1_000_000)], false),
            // It is bytes that are counted.
            (vec!["ä".repeat(512)], true),
            (vec!["ä".repeat(513)], false),
        ] {
            let mut simulator = Simulator::new();
            simulator.delegate("targets", Delegation::to("m"));
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            simulator.delegate(from, Delegation::to("a").paths(&patterns));
            simulator.rewrite_targets();
            let mut client = Client::new(&simulator);
            let found = client.find(&simulator, "mylib/2.0/x");
            if accepted {
                assert_eq!(found, Ok(None));
            } else {
                assert_refused(found, "verify.malformed", "patterns of at most 1024 bytes");
                assert!(!client.cached.targets.contains_key(from));
                assert!(client.roles_asked().iter().all(|role| *role == "m"));
            }
        }
    }
}

/// Roles `a` to `d` of `size` bytes each, each with one file of a name of its own and the first two with `both/`.
fn four_roles(size: usize) -> Simulator {
    let mut simulator = Simulator::new();
    simulator.digests = Digests::LeftOut;
    for role in ["a", "b", "c", "d"] {
        let own = format!("{role}/*/*");
        let delegation = Delegation::to(role).paths(&[&own, "all/*/*"]);
        simulator.delegate("targets", delegation);
        simulator.add_target(role, &format!("{role}/1.0/x"), b"x");
    }
    simulator.rewrite_targets();
    for role in ["a", "b", "c", "d"] {
        // White space is allowed behind JSON.
        simulator.file_of(role).resize(size, b' ');
    }
    simulator
}

fn kept_roles(client: &Client) -> Vec<&str> {
    let roles = client.cached.targets.keys().map(String::as_str);
    roles.filter(|role| *role != "targets").collect()
}

#[test]
fn delegated_roles_are_kept_as_long_as_there_is_room() {
    let size = 2_000;
    let simulator = four_roles(size);
    for (limit, kept) in [
        (4 * size, &["a", "b", "c", "d"][..]),
        // The fourth takes the place of those that this load did not use.
        (4 * size - 1, &["d"]),
        (3 * size, &["d"]),
        (size, &["d"]),
    ] {
        let mut client = Client::new(&simulator);
        client.limits.delegated_bytes = limit as u64;
        for role in ["a", "b", "c", "d"] {
            let found = client.find(&simulator, &format!("{role}/1.0/x"));
            assert_eq!(found.unwrap().unwrap().authority.role, role);
            assert_eq!(client.roles_asked(), [role]);
        }
        assert_eq!(kept_roles(&client), kept, "{limit}");
        // What is kept serves, what was evicted is fetched again.
        client.find(&simulator, "d/1.0/x").unwrap().unwrap();
        assert!(client.roles_asked().is_empty());
        client.find(&simulator, "a/1.0/x").unwrap().unwrap();
        assert_eq!(client.roles_asked().is_empty(), kept.contains(&"a"));
        assert!(client.cached.targets.contains_key("targets"));
    }
}

#[test]
fn endless_delegated_roles_in_one_search_are_cut_off_in_sum() {
    let size = 2_000;
    let simulator = four_roles(size);
    for (limit, asked) in [
        (4 * size, 4),
        (4 * size - 1, 4),
        (3 * size, 4),
        (3 * size - 1, 3),
        (size, 2),
        (size - 1, 1),
        (0, 1),
    ] {
        let mut client = Client::new(&simulator);
        client.limits.delegated_bytes = limit as u64;
        let found = client.find(&simulator, "all/1.0/x");
        if limit >= 4 * size {
            assert_eq!(found, Ok(None));
        } else {
            assert_refused(found, "verify.too_large", "delegated roles");
        }
        assert_eq!(client.roles_asked().len(), asked, "{limit}");
        let kept: usize = kept_roles(&client).len() * size;
        assert!(kept <= limit, "{kept} of {limit}");
        // The top-level targets are not counted, and what they have is there.
        client
            .find(&simulator, "mylib/1.0/release.json")
            .unwrap()
            .unwrap();
    }
}

#[test]
fn a_role_that_several_ways_lead_to_counts_on_each() {
    let size = 2_000;
    let mut simulator = Simulator::new();
    simulator.digests = Digests::LeftOut;
    for (role, own) in [("a", "mylib/1.0/*"), ("b", "mylib/2.0/*")] {
        simulator.delegate("targets", Delegation::to(role).paths(&[own]));
        simulator.delegate(role, Delegation::to("c"));
    }
    for version in ["1.0", "2.0"] {
        simulator.add_target("c", &format!("mylib/{version}/x"), b"x");
    }
    simulator.rewrite_targets();
    for role in ["a", "b", "c"] {
        simulator.file_of(role).resize(size, b' ');
    }
    for (limit, accepted) in [(4 * size, true), (4 * size - 1, false)] {
        let mut client = Client::new(&simulator);
        client.limits.delegated_bytes = limit as u64;
        let mut repository = client.refresh(&simulator).unwrap();
        let first = client.target(&simulator, &mut repository, "mylib/1.0/x");
        assert_eq!(first.unwrap().unwrap().authority.role, "c");
        let second = client.target(&simulator, &mut repository, "mylib/2.0/x");
        if accepted {
            assert_eq!(second.unwrap().unwrap().authority.role, "c");
        } else {
            assert_refused(second, "verify.too_large", "delegated roles");
        }
        // The file came once.
        assert_eq!(client.roles_asked(), ["a", "c", "b"]);
    }
}
