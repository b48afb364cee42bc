//! Requirements of distributions, with their markers: what a release needs from outside is what its wheels ask
//! for, and nothing that they ask for without a condition is lost.
//!
//! The input: wheels with an empty line between them; a wheel is its name, its version and its requirements,
//! each on a line of its own.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use webimport_fuzz::{Outcome, target};

// None is public: the command line has no use for it.
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a part of another crate, for its types"
)]
#[path = "../../../src/cli/src/parallel.rs"]
mod parallel;
#[path = "../../../src/cli/src/requirement.rs"]
mod requirement;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a part of another crate, for its types"
)]
#[path = "../../../src/cli/src/wheel.rs"]
mod wheel;

use wheel::{Wheel, normalized_name};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    let wheels: Vec<Wheel> = text.split("\n\n").map(read).collect();
    let missing = requirement::unsatisfied(&wheels);
    assert!(
        missing.windows(2).all(|pair| pair[0] < pair[1]),
        "sorted, each once"
    );
    let asked: BTreeSet<&str> = wheels
        .iter()
        .flat_map(|wheel| &wheel.requires)
        .map(|text| text.trim())
        .collect();
    for one in &missing {
        assert!(
            asked.iter().any(|text| text.starts_with(one.as_str())),
            "nobody asks for {one}"
        );
    }
    let inside: BTreeSet<String> = wheels
        .iter()
        .map(|wheel| normalized_name(&wheel.name))
        .collect();
    for text in asked.iter().filter(|text| !text.contains(';')) {
        let end = text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(text.len());
        if !inside.contains(&normalized_name(&text[..end])) {
            assert!(missing.iter().any(|one| one == text), "lost: {text}");
        }
    }
    // A requirement that no marker takes away: the seeds that are accepted have one.
    if missing.is_empty() {
        Outcome::Refused
    } else {
        Outcome::Accepted
    }
}

fn read(text: &str) -> Wheel {
    let mut lines = text.split('\n');
    Wheel {
        name: lines.next().unwrap_or_default().into(),
        version: lines.next().unwrap_or_default().into(),
        requires: lines.map(str::to_owned).collect(),
        requires_python: None,
        files: BTreeMap::new(),
        notes: Vec::new(),
    }
}
