//! Paths inside a release, one on each line: those that are accepted together are as many files to every
//! reader, all of them below their folder.
#![no_main]

use std::path::{Component, Path};

use webimport_core::path::PathSet;
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    let mut set = PathSet::default();
    let mut accepted: Vec<&str> = Vec::new();
    for path in text.split('\n') {
        match set.insert(path) {
            Ok(()) => accepted.push(path),
            // What a refused path leaves in the set does not matter: the release is refused.
            Err(error) => return refused(&error),
        }
    }
    for (index, path) in accepted.iter().enumerate() {
        let joined = Path::new("/root").join(path);
        let below = joined.strip_prefix("/root").expect("below the folder");
        assert!(
            below
                .components()
                .all(|part| matches!(part, Component::Normal(_))),
            "{path}"
        );
        let parts: Vec<&str> = path.split(['/', '\\']).collect();
        assert!(
            parts.iter().all(|part| !matches!(*part, "" | "." | "..")),
            "{path}"
        );
        for other in &accepted[index + 1..] {
            assert_ne!(path.to_lowercase(), other.to_lowercase());
            assert_ne!(path.to_uppercase(), other.to_uppercase());
            assert!(!Path::new(other).starts_with(path), "{path} {other}");
            assert!(!Path::new(path).starts_with(other), "{path} {other}");
        }
    }
    Outcome::Accepted
}
