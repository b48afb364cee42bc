//! Wrong software: a file that is signed, and not the one that was asked for (TUF 5.7.2, 5.7.3).

use webimport_core::digest::Sha256Digest;
use webimport_core::limits::Limits;
use webimport_core::manifest::Manifest;
use webimport_core::metadata::RoleKind;

use crate::sample;
use crate::simulator::{Client, Simulator, assert_refused};

#[test]
fn wrong_software_in_place_of_what_was_asked_for_is_refused() {
    // Two releases of one publisher; the server exchanges their files.
    let mut simulator = Simulator::new();
    simulator.add_release("mylib", "2.0", b"mylib 2.0", &["next"]);
    simulator.add_release("other", "1.0", b"other 1.0", &["stable"]);
    simulator.publish(RoleKind::Targets);
    let mut client = Client::new(&simulator);
    let mut repository = client.refresh(&simulator).unwrap();
    let (asked, _) = client
        .release(&simulator, &mut repository, "mylib", "stable")
        .unwrap();
    for wrong in [b"mylib 2.0", b"other 1.0"] {
        let refused = asked.expected().check_bytes(wrong).map_err(Into::into);
        assert_refused(refused, "verify.digest", "targets/mylib/1.0/");
    }
    asked.expected().check_bytes(b"mylib 1.0").unwrap();
}

#[test]
fn wrong_software_under_the_right_path_is_refused() {
    // Signed by the right key, in the right place: a manifest of another release.
    let bytes = sample::manifest().to_bytes().unwrap();
    let parse = |name: &str, version: &str| {
        Manifest::parse(
            &bytes,
            &sample::expected(&bytes),
            &name.parse().unwrap(),
            Some(&version.parse().unwrap()),
            &Limits::default(),
        )
        .map_err(Into::into)
    };
    parse("mylib", "1.0").unwrap();
    assert_refused(parse("other", "1.0"), "verify.malformed", "other");
    assert_refused(parse("mylib", "2.0"), "verify.malformed", "2.0");
}

#[test]
fn wrong_software_under_a_pin_is_refused() {
    let simulator = Simulator::new();
    let mut repository = Client::new(&simulator).refresh(&simulator).unwrap();
    let name = "mylib".parse().unwrap();
    let mut by_digest =
        |text: &[u8]| match repository.release_by_digest(&name, Sha256Digest::of(text)) {
            Ok(webimport_core::repository::Lookup::Found(found)) => found,
            other => panic!("{other:?}"),
        };
    assert!(by_digest(b"mylib 1.1").is_none());
    assert_eq!(by_digest(b"mylib 1.0").unwrap().0.version.as_str(), "1.0");
}
