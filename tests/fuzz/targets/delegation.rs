//! Who a target is delegated to: by pattern, by hash prefix and by hash bin, the search asks whom a plain
//! reading of the specification says, and nobody else (TUF 4.5, TAP 15).
//!
//! The input: a byte that says how, and one for the number of bits of bins; then on a line each what is
//! delegated (a pattern, a prefix, or the name of the bins) and the path of a target.
#![no_main]

use serde_json::json;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::Error;
use webimport_core::limits::Limits;
use webimport_core::repository::{Lookup, Repository};
use webimport_core::workflow::{CachedMetadata, Refresh, RootTrust, Step};
use webimport_fuzz::repository::{NOW, Toy, meta, role, signed, trusted};
use webimport_fuzz::{Outcome, refused, target};

target!(check);

const CONTENT: &[u8] = b"content";

fn check(data: &[u8]) -> Outcome {
    let [how, bits, rest @ ..] = data else {
        return Outcome::Refused;
    };
    let text = String::from_utf8_lossy(rest);
    let (given, path) = text.split_once('\n').unwrap_or((&text, ""));
    // The plain reading takes exponential time.
    if given.len() > 40 || path.len() > 60 {
        return Outcome::Refused;
    }
    let (key, mut roles) = trusted(&[("a", &[Toy(2)], 1)]);
    let mut role = roles["a"].take();
    role["name"] = json!("a");
    role["terminating"] = json!(false);
    let digest = Sha256Digest::of(path.as_bytes()).to_string();
    let (delegations, expected) = match how % 3 {
        0 => {
            role["paths"] = json!([given]);
            let (pattern, path): (Vec<_>, Vec<_>) =
                (given.chars().collect(), path.chars().collect());
            let is_its = matches(&pattern, &path);
            (
                json!({"keys": key, "roles": [role]}),
                is_its.then(|| "a".to_owned()),
            )
        }
        1 => {
            role["path_hash_prefixes"] = json!([given]);
            let is_its = digest.starts_with(given);
            (
                json!({"keys": key, "roles": [role]}),
                is_its.then(|| "a".to_owned()),
            )
        }
        _ => {
            role["bit_length"] = json!(bits);
            role["name_prefix"] = json!(given);
            (
                json!({"keys": key, "succinct_roles": role}),
                bin(given, *bits, &digest),
            )
        }
    };
    // The name of a bin that nobody asked for is nobody's; its file is there all the same.
    let name = expected.clone().unwrap_or_else(|| "a".to_owned());
    match find(&delegations, &name, path) {
        Ok(found) => {
            assert_eq!(found, expected, "{given:?} {path:?}");
            found.map_or(Outcome::Refused, |_| Outcome::Accepted)
        }
        Err(error) => {
            let is_valid = how % 3 != 2 || (1..=32).contains(bits);
            assert!(!is_valid, "{given:?} {path:?}: {error}");
            refused(&error)
        }
    }
}

/// The role that names `path`, in a repository where the role `name` does.
fn find(delegations: &serde_json::Value, name: &str, path: &str) -> Result<Option<String>, Error> {
    let (keys, roles) = trusted(&[
        ("root", &[Toy(1)], 1),
        ("timestamp", &[Toy(1)], 1),
        ("snapshot", &[Toy(1)], 1),
        ("targets", &[Toy(1)], 1),
    ]);
    let root = json!({"consistent_snapshot": true, "keys": keys, "roles": roles});
    let root = signed(&role("root", 1, 365, root), &[Toy(1)]);
    let file = json!({
        "length": CONTENT.len(),
        "hashes": {"sha256": Sha256Digest::of(CONTENT)},
    });
    let delegated = json!({"targets": {path: file}});
    let delegated = signed(&role("targets", 1, 90, delegated), &[Toy(2)]);
    let targets = json!({"targets": {}, "delegations": delegations});
    let targets = signed(&role("targets", 1, 90, targets), &[Toy(1)]);
    let metas = json!({
        "targets.json": meta(1, &targets),
        format!("{name}.json"): {"version": 1},
    });
    let snapshot = signed(&role("snapshot", 1, 30, json!({"meta": metas})), &[Toy(1)]);
    let metas = json!({"snapshot.json": meta(1, &snapshot)});
    let timestamp = signed(&role("timestamp", 1, 30, json!({"meta": metas})), &[Toy(1)]);

    let pin = RootTrust::Pin(Sha256Digest::of(&root));
    let nothing = CachedMetadata::default();
    let mut refresh = Refresh::new(pin, "https://h/r", nothing, NOW, Limits::default())
        .with_foreign_scheme(Toy::verifies);
    let mut files = [
        Some(root),
        None,
        Some(timestamp),
        Some(snapshot),
        Some(targets),
    ]
    .into_iter();
    while refresh.step()? != Step::Done {
        refresh.supply(files.next().expect("a refresh asks for five files"))?;
    }
    let mut repository: Repository = refresh.finish()?;
    for _ in 0..3 {
        match repository.target(path)? {
            Lookup::Found(found) => return Ok(found.map(|found| found.authority.role)),
            Lookup::Fetch(_) => repository.supply(delegated.clone())?,
        }
    }
    panic!("it asks for ever");
}

/// A pattern as the specification explains it, letter by letter.
fn matches(pattern: &[char], path: &[char]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (['*', rest @ ..], _) => {
            matches(rest, path)
                || matches!(path, [first, after @ ..] if *first != '/' && matches(pattern, after))
        }
        (['?', rest @ ..], [first, after @ ..]) => *first != '/' && matches(rest, after),
        (['[', inner @ ..], [first, after @ ..]) => match set(inner) {
            Some((set, rest)) => *first != '/' && is_in(set, *first) && matches(rest, after),
            None => *first == '[' && matches(inner, after),
        },
        ([letter, rest @ ..], [first, after @ ..]) => letter == first && matches(rest, after),
        _ => false,
    }
}

/// A set without its brackets, and what follows it. No set reaches over a `/`: parts are matched one by one.
fn set(inner: &[char]) -> Option<(&[char], &[char])> {
    let part = inner.split(|letter| *letter == '/').next()?;
    let skipped = if part.first() == Some(&'!') { 2 } else { 1 };
    let end = skipped
        + part
            .get(skipped..)?
            .iter()
            .position(|letter| *letter == ']')?;
    Some((&inner[..end], &inner[end + 1..]))
}

fn is_in(set: &[char], letter: char) -> bool {
    let (is_negated, mut set) = match set {
        ['!', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut is_found = false;
    while !set.is_empty() {
        set = match set {
            [low, '-', high, rest @ ..] => {
                is_found |= *low <= letter && letter <= *high;
                rest
            }
            [one, rest @ ..] => {
                is_found |= *one == letter;
                rest
            }
            [] => &[],
        };
    }
    is_found != is_negated
}

/// The name of the bin of a target: the first bits of the digest of its path, in hex of one length.
fn bin(prefix: &str, bits: u8, digest: &str) -> Option<String> {
    if !(1..=32).contains(&bits) {
        return None;
    }
    let digits = digest.chars().filter_map(|digit| digit.to_digit(16));
    let mut binary = digits.flat_map(|digit| (0..4).rev().map(move |at| digit >> at & 1));
    let number = (0..bits).fold(0_u64, |sum, _| {
        sum * 2 + u64::from(binary.next().unwrap_or(0))
    });
    let width = usize::from(bits).div_ceil(4);
    Some(format!("{prefix}-{number:0width$x}"))
}
