//! What holds for any input at all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;
use webimport_core::digest::{Expected, Sha256Digest, from_hex, to_hex};
use webimport_core::error::Error;
use webimport_core::json::{self, canonical, parse};
use webimport_core::limits::Limits;
use webimport_core::metadata::{Envelope, RoleKind, Root, Snapshot, Targets, Timestamp};
use webimport_core::names::{ReleaseName, Selector};
use webimport_core::path::{self, PathSet};
use webimport_core::repository::Located;
use webimport_core::time::UnixTime;
use webimport_core::update::Whole;
use webimport_core::url::{ReleaseUrl, RepositoryUrl};
use webimport_core::workflow::CachedMetadata;

use crate::simulator::{self, Client, Delegation, Digests, P256, Simulator, strict};
use crate::{other_parser, sample, updates};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        // The seed of a failure is printed; the tree stays as it is.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Text made of what JSON is made of.
fn json_like() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(":"),
        Just(","),
        Just("\""),
        Just("\\"),
        Just("\\u00"),
        Just("\\ud800"),
        Just("\"a\""),
        Just("\"a\":"),
        Just("1"),
        Just("-"),
        Just("."),
        Just("e"),
        Just("0"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("\n"),
        Just("\u{e9}"),
        Just("\u{feff}"),
        Just("18446744073709551615"),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

/// JSON in which one byte is another one, is left out or is new.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(&b"{}[]:,\"\\u0189-.eE \t\n\x0c"[..])
    ];
    (value(), any::<prop::sample::Index>(), byte, 0..4_u8).prop_map(|(value, at, byte, how)| {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => text.insert(at, byte),
            2 => drop(text.remove(at)),
            _ => {}
        }
        text
    })
}

/// A JSON value that the strict parser accepts.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// The canonical form leaves control characters as they are, so it is JSON only without them.
fn has_control_characters(value: &Value) -> bool {
    let found = |text: &str| text.chars().any(|c| c < ' ');
    match value {
        Value::String(text) => found(text),
        Value::Array(items) => items.iter().any(has_control_characters),
        Value::Object(map) => map
            .iter()
            .any(|(key, item)| found(key) || has_control_characters(item)),
        _ => false,
    }
}

fn assert_fixed_point(parsed: &json::Value) -> Result<(), TestCaseError> {
    let first = canonical(parsed);
    let value = serde_json::to_value(parsed).unwrap();
    prop_assert_eq!(&first, &simulator::canonical(&value));
    if has_control_characters(&value) {
        prop_assert!(parse(&first, "test").is_err());
        return Ok(());
    }
    let again = parse(&first, "test");
    prop_assert_eq!(again.as_ref(), Ok(parsed));
    prop_assert_eq!(canonical(&again.unwrap()), first);
    Ok(())
}

/// An update in which some numbers are others, and one byte or none.
fn hostile_update() -> impl Strategy<Value = Vec<u8>> {
    let place = prop_oneof![
        (0..9_usize).prop_map(|at| format!("/outputs/0/parts/{at}")),
        Just("/outputs/0/size".to_owned()),
        Just("/sources/0/size".to_owned()),
    ];
    let number = prop_oneof![0..40_u64, any::<u64>()];
    let numbers = prop::collection::vec((place, number), 0..4);
    let byte = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    (numbers, byte, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(numbers, byte, rest)| {
        let mut header = updates::header();
        for (place, number) in numbers {
            *header.pointer_mut(&place).unwrap() = number.into();
        }
        let mut bytes = updates::bytes(&header, &rest);
        if let Some((at, byte)) = byte {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn whatever_an_update_says_nothing_comes_of_it_that_is_not_expected(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..100), hostile_update()],
        source in prop::collection::vec(any::<u8>(), 0..40),
        is_right in any::<bool>(),
    ) {
        let source = if is_right { updates::OLD } else { &source };
        let Ok(whole) = Whole::parse(&bytes, "update", &Limits::default()) else {
            return Ok(());
        };
        for (sha256, output) in &whole.update.outputs {
            let expected = Expected {
                subject: "output".into(),
                length: Some(u64::from(output.size)),
                sha256: *sha256,
            };
            if let Ok(Some(made)) = whole.make(&expected, |_| Some(source)) {
                prop_assert_eq!(expected.check_bytes(&made), Ok(()));
            }
        }
    }

    #[test]
    fn json_never_panics_and_its_canonical_form_is_a_fixed_point(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), json_like()]
    ) {
        if let Ok(parsed) = parse(&bytes, "test") {
            assert_fixed_point(&parsed)?;
        }
    }

    #[test]
    fn json_is_read_as_another_parser_reads_it(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..20), json_like(), damaged()]
    ) {
        let parsed = parse(&bytes, "test").ok();
        let other = other_parser::parse(&bytes);
        prop_assert_eq!(parsed.map(|parsed| serde_json::to_value(&parsed).unwrap()), other);
    }

    #[test]
    fn json_values_survive_any_way_of_writing_them(value in value()) {
        let mut parsed = Vec::new();
        for text in [serde_json::to_vec(&value), serde_json::to_vec_pretty(&value)] {
            parsed.push(parse(&text.unwrap(), "test").unwrap());
        }
        prop_assert_eq!(&parsed[0], &parsed[1]);
        prop_assert_eq!(&parsed[0].to_string(), &value.to_string());
        prop_assert_eq!(serde_json::to_value(&parsed[0]).unwrap(), value);
        assert_fixed_point(&parsed[0])?;
    }

    #[test]
    fn canonical_forms_of_two_values_differ(a in value(), b in value()) {
        let (a, b) = (strict(&a), strict(&b));
        prop_assert_eq!(a == b, canonical(&a) == canonical(&b));
    }

    #[test]
    fn accepted_paths_stay_below_their_root(
        path in prop_oneof![
            "[a./\\\\: \u{e9}~%-]{0,12}",
            "((\\.){0,3}|a|b|A|C:|\\\\)(/((\\.){0,3}|a|b|A)){0,5}",
            any::<String>(),
        ]
    ) {
        if path::check(&path, path::tables).is_ok() {
            let joined = Path::new("/root").join(&path);
            let below = joined.strip_prefix("/root");
            prop_assert!(below.is_ok_and(|it| it.components().count() > 0));
            for component in joined.components().skip(1) {
                prop_assert!(matches!(component, Component::Normal(_)), "{:?}", component);
            }
            // As a Windows reader would take it, too.
            let parts: Vec<_> = path.split(['/', '\\']).collect();
            prop_assert!(parts.iter().all(|part| !matches!(*part, "" | "." | "..")));
            prop_assert_eq!(parts.join("/"), path);
        }
    }

    #[test]
    fn accepted_paths_are_two_files_to_every_reader(
        paths in prop::collection::vec("[abAB\u{df}S\u{e9}\u{c9}]{1,3}(/[abAB]{1,2}){0,2}", 1..6)
    ) {
        let mut set = PathSet::default();
        let accepted: Vec<_> = paths.iter().filter(|path| set.insert(path).is_ok()).collect();
        // The order in which a set refuses does not matter here: what it took, it took once.
        for (index, one) in accepted.iter().enumerate() {
            for other in &accepted[index + 1..] {
                prop_assert_ne!(one.to_lowercase(), other.to_lowercase());
                prop_assert_ne!(one.to_uppercase(), other.to_uppercase());
                prop_assert!(!Path::new(other).starts_with(one), "{} {}", other, one);
                prop_assert!(!Path::new(one).starts_with(other), "{} {}", other, one);
            }
        }
    }

    #[test]
    fn repository_urls_round_trip(
        text in prop_oneof![
            "(https|HTTPS|http)://[a-zA-Z0-9.\\-_]{1,12}(:[0-9]{1,5})?(/[a-zA-Z0-9.@~%+]{0,6}){0,4}",
            "https?://(localhost|127\\.0\\.0\\.1|\\[::1\\])(:80|:443|:8000)?/?",
            any::<String>(),
        ]
    ) {
        if let Ok(url) = text.parse::<RepositoryUrl>() {
            let shown = url.to_string();
            prop_assert_eq!(shown.parse::<RepositoryUrl>(), Ok(url.clone()));
            prop_assert!(shown.starts_with("https://") || shown.starts_with("http://"));
            prop_assert!(!shown.ends_with('/'));
            let plain = |b: u8| b.is_ascii_graphic() && !b"\"'<>\\^`{|}?#".contains(&b);
            let all_plain = shown.bytes().all(plain);
            prop_assert!(all_plain, "{}", shown);
            let joined = url.join("objects/ab/cd");
            prop_assert_eq!(joined, format!("{shown}/objects/ab/cd"));
        }
    }

    #[test]
    fn release_urls_round_trip(
        base in prop::option::of("https://[a-z]{1,8}(\\.[a-z]{2,3})?(/[a-z@]{1,5}){0,3}"),
        name in "[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?",
        selector in prop::option::of("([0-9][A-Za-z0-9._+!-]{0,10}|[a-z][a-z0-9-]{0,10})"),
    ) {
        let mut text = base.as_ref().map_or(String::new(), |base| format!("{base}/"));
        text.push_str(&name);
        if let Some(selector) = &selector {
            text.push('@');
            text.push_str(selector);
        }
        for text in [text.clone(), text.replace('+', "%2B")] {
            let url: ReleaseUrl = text.parse().unwrap();
            prop_assert_eq!(url.repository.map(|it| it.to_string()), base.clone());
            prop_assert_eq!(url.name, name.parse::<ReleaseName>().unwrap());
            let selector = selector.as_ref().map(|it| it.parse::<Selector>().unwrap());
            prop_assert_eq!(url.selector, selector);
        }
    }

    #[test]
    fn release_urls_never_panic(text in prop_oneof![any::<String>(), "[a-z:/@.%\\[\\]0-9]{0,30}"]) {
        let _ = text.parse::<ReleaseUrl>();
    }

    #[test]
    fn times_of_four_digit_years_round_trip(seconds in -62_167_219_200_i64..253_402_300_800) {
        let time = UnixTime(seconds);
        let text = time.to_string();
        prop_assert_eq!(text.len(), 20);
        prop_assert_eq!(text.parse(), Ok(time));
        let later = UnixTime(seconds + 1).to_string();
        if later.len() == text.len() {
            prop_assert!(later > text, "text sorts as time does");
        }
    }

    #[test]
    fn time_texts_round_trip(text in prop_oneof![
        "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z",
        any::<String>(),
    ]) {
        if let Ok(time) = text.parse::<UnixTime>() {
            prop_assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn hex_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..64), text in any::<String>()) {
        prop_assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        if let Some(bytes) = from_hex(&text) {
            prop_assert_eq!(to_hex(&bytes), text.clone());
        }
        if let Ok(digest) = text.parse::<Sha256Digest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }
}

/// A change of some bytes: what is there is overwritten, cut out or doubled.
fn mutate(bytes: &mut Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) {
    const FILL: &[u8] = b"{}[]\",:0-9.eE\\ \xff\x00a";
    for (place, kind, value) in changes {
        if bytes.is_empty() {
            return;
        }
        let place = place.index(bytes.len());
        match kind % 4 {
            0 => bytes[place] = *value,
            1 => bytes[place] = FILL[usize::from(*value) % FILL.len()],
            2 => drop(bytes.drain(place..(place + usize::from(*value)).min(bytes.len()))),
            _ => {
                let end = (place + usize::from(*value)).min(bytes.len());
                let copy = bytes[place..end].to_vec();
                bytes.splice(place..place, copy);
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 1..4)
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn mutated_manifests_never_panic_and_pass_only_whole(changes in changes()) {
        let mut bytes = sample::manifest().to_bytes().unwrap();
        mutate(&mut bytes, &changes);
        if let Ok(manifest) = sample::parse_bytes(&bytes) {
            // Whatever passed holds what the mount relies on.
            for file in &manifest.files {
                prop_assert!(path::check(&file.path, path::tables).is_ok());
                let object = &manifest.objects[file.object];
                prop_assert!(file.offset + file.size <= object.decoded_size);
            }
            let again = sample::parse_bytes(&manifest.to_bytes().unwrap());
            prop_assert_eq!(again, Ok(manifest));
        }
    }

    #[test]
    fn mutated_metadata_never_panics(changes in changes()) {
        static FILES: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| Simulator::new().files.into_values().collect());
        for file in &*FILES {
            let mut bytes = file.clone();
            mutate(&mut bytes, &changes);
            let _ = Envelope::<Root>::parse(&bytes, "test");
            let _ = Envelope::<Timestamp>::parse(&bytes, "test");
            let _ = Envelope::<Snapshot>::parse(&bytes, "test");
            let _ = Envelope::<Targets>::parse(&bytes, "test");
        }
    }
}

/// What is searched for: in the top-level targets, in roles at two depths, in a hash bin, behind a terminating
/// role, and nowhere.
const PATHS: [&str; 6] = [
    "mylib/1.0/release.json",
    "team/1.0/x",
    "team/2.0/x",
    "bins/1.0/x",
    "closed/1.0/x",
    "nowhere/1.0/x",
];

/// The answers for [`PATHS`] in one state of a repository.
type Answers = Vec<Option<Located>>;

/// A publisher's two successive states.
struct Published {
    first: Simulator,
    second: Simulator,
    /// What each gives to whoever asks honestly.
    answers: [Answers; 2],
    /// A client that knows nothing, one that has seen the first state, and one that has seen the second.
    clients: [Client; 3],
    /// Every `signed` part that was ever signed, in canonical form.
    signed: BTreeSet<Vec<u8>>,
}

impl Published {
    fn new(digests: Digests) -> Self {
        let mut first = Simulator::new();
        first.digests = digests;
        for (role, patterns) in [("a", "team/*/*"), ("d", "bins/*/*")] {
            first.delegate("targets", Delegation::to(role).paths(&[patterns]));
        }
        first.delegate(
            "targets",
            Delegation::to("e").paths(&["closed/*/*"]).terminating(),
        );
        first.delegate(
            "targets",
            Delegation::to("f")
                .keys(&[31, P256 + 1], 2)
                .paths(&["*/*/*"]),
        );
        first.delegate("a", Delegation::to("b").paths(&["team/2.0/*"]));
        first.delegate_bins("d", "bin", 1, (&[32], 1), &["bin-0", "bin-1"]);
        for (role, path) in [
            ("a", "team/1.0/x"),
            ("b", "team/2.0/x"),
            ("bin-0", "bins/1.0/x"),
            // Outside of what it may name, and behind the role that has the last word.
            ("a", "closed/1.0/x"),
            ("b", "team/1.0/x"),
            ("f", "closed/1.0/x"),
            ("f", "team/1.0/x"),
        ] {
            first.add_target(role, path, format!("{path} of {role}").as_bytes());
        }
        if digests == Digests::Stated {
            // The other bin's. Without digests either file can stand for both, and this would be believed, as what the
            // keys of the bins have signed.
            first.add_target("bin-1", "bins/1.0/x", b"bins/1.0/x of bin-1");
        }
        first.rewrite_targets();
        let mut second = first.clone();
        second.set_keys(RoleKind::Timestamp, &[42], 1);
        second.publish(RoleKind::Root);
        second.add_release("mylib", "1.0", b"other", &["stable"]);
        for role in ["a", "b", "bin-0", "bin-1", "f"] {
            second.add_target(role, "team/2.0/x", format!("second {role}").as_bytes());
        }
        let all = [
            "timestamp",
            "snapshot",
            "targets",
            "a",
            "b",
            "d",
            "e",
            "f",
            "bin-0",
            "bin-1",
        ];
        for role in all {
            second.common_of(role).version = 2;
        }
        second.rewrite_targets();
        let new = Client::new(&first);
        let mut clients = [new.clone(), new.clone(), new];
        let answers = [
            search(&mut clients[1], &first).unwrap(),
            search(&mut clients[2], &second).unwrap(),
        ];
        assert_ne!(answers[0], answers[1]);
        assert_eq!(answers[0].iter().flatten().count(), 4);
        let files = first.files.values().chain(second.files.values());
        let signed = files.map(|file| signed_part(file)).collect();
        Self {
            first,
            second,
            answers,
            clients,
            signed,
        }
    }
}

fn signed_part(file: &[u8]) -> Vec<u8> {
    canonical(parse(file, "test").unwrap().get("signed").unwrap())
}

/// Refreshes and searches for all of [`PATHS`].
fn search(client: &mut Client, simulator: &Simulator) -> Result<Answers, Error> {
    let mut repository = client.refresh(simulator)?;
    PATHS
        .iter()
        .map(|path| client.target(simulator, &mut repository, path))
        .collect()
}

/// Whether answers differ from those of one state by targets alone that are not found. Metadata do not name their
/// role: where a snapshot gives no digests, the file of one hash bin can stand for that of another with the same keys
/// and version, also in what a client keeps until that version is over. That hides what the other one has, and forges
/// nothing.
fn hides(answers: &Answers, states: &[Answers]) -> bool {
    states.iter().any(|state| {
        let pairs = answers.iter().zip(state);
        pairs
            .clone()
            .all(|(answer, known)| answer.is_none() || answer == known)
    })
}

/// What someone without keys does to the files of a server.
#[derive(Debug, Clone)]
enum Attack {
    /// Changes bytes.
    Bytes(Vec<(prop::sample::Index, u8, u8)>),
    /// Puts a value in place of a node of the JSON tree, or the node away.
    Node(prop::sample::Index, Option<Value>),
    /// Puts another node of another file there.
    Graft(
        prop::sample::Index,
        prop::sample::Index,
        prop::sample::Index,
    ),
    /// Serves another file of either state.
    Replace(prop::sample::Index),
    /// Writes the same JSON in another way.
    Spaces,
    /// Serves nothing.
    Remove,
}

fn attack() -> impl Strategy<Value = Attack> {
    let index = any::<prop::sample::Index>;
    let value = prop_oneof![
        Just(serde_json::json!(null)),
        Just(serde_json::json!(0)),
        Just(serde_json::json!(1)),
        Just(serde_json::json!(2)),
        Just(serde_json::json!(u64::MAX)),
        Just(serde_json::json!("")),
        Just(serde_json::json!("*")),
        Just(serde_json::json!("2999-01-01T00:00:00Z")),
        Just(serde_json::json!([])),
        Just(serde_json::json!({})),
        Just(serde_json::json!(true)),
        Just(serde_json::json!(false)),
    ];
    prop_oneof![
        changes().prop_map(Attack::Bytes),
        (index(), prop::option::of(value)).prop_map(|(at, value)| Attack::Node(at, value)),
        (index(), index(), index()).prop_map(|(at, file, from)| Attack::Graft(at, file, from)),
        index().prop_map(Attack::Replace),
        Just(Attack::Spaces),
        Just(Attack::Remove),
    ]
}

/// Where every node of a value is, as JSON pointers.
fn nodes(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, item) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                nodes(item, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                nodes(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn node(value: &Value, at: prop::sample::Index) -> String {
    let mut found = Vec::new();
    nodes(value, "", &mut found);
    found.swap_remove(at.index(found.len()))
}

/// The same file with `value` at a node, or without the node.
fn with_node(file: &[u8], at: prop::sample::Index, value: Option<Value>) -> Vec<u8> {
    let Ok(mut json) = serde_json::from_slice::<Value>(file) else {
        return file.to_vec();
    };
    let pointer = node(&json, at);
    match (value, pointer.rsplit_once('/')) {
        (Some(value), _) => *json.pointer_mut(&pointer).unwrap() = value,
        (None, Some((parent, key))) => match json.pointer_mut(parent).unwrap() {
            Value::Object(map) => drop(map.remove(&key.replace("~1", "/").replace("~0", "~"))),
            Value::Array(items) => drop(items.remove(key.parse().unwrap())),
            _ => {}
        },
        (None, None) => json = Value::Null,
    }
    serde_json::to_vec(&json).unwrap()
}

/// Plays an attack on one file of a server.
fn play(attack: &Attack, files: &mut BTreeMap<String, Vec<u8>>, path: &str, genuine: &[Vec<u8>]) {
    let Some(file) = files.get_mut(path) else {
        return;
    };
    match attack {
        Attack::Bytes(changes) => mutate(file, changes),
        Attack::Node(at, value) => *file = with_node(file, *at, value.clone()),
        Attack::Graft(at, other, from) => {
            let other: Value = serde_json::from_slice(other.get(genuine).as_slice()).unwrap();
            let pointer = node(&other, *from);
            *file = with_node(file, *at, other.pointer(&pointer).cloned());
        }
        Attack::Replace(other) => file.clone_from(other.get(genuine)),
        Attack::Spaces => {
            if let Ok(json) = serde_json::from_slice::<Value>(file) {
                *file = serde_json::to_vec_pretty(&json).unwrap();
            }
        }
        Attack::Remove => drop(files.remove(path)),
    }
}

/// Every file that a client keeps was signed as it is, whatever the white space around it.
fn assert_all_signed(
    cached: &CachedMetadata,
    signed: &BTreeSet<Vec<u8>>,
) -> Result<(), TestCaseError> {
    let files = cached
        .roots
        .iter()
        .chain(&cached.timestamp)
        .chain(&cached.snapshot);
    for file in files.chain(cached.targets.values()) {
        prop_assert!(signed.contains(&signed_part(file)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn whatever_is_changed_without_keys_nothing_unsigned_is_accepted(
        stated in any::<bool>(),
        warm in 0..3_usize,
        attacks in prop::collection::vec((any::<prop::sample::Index>(), attack()), 1..4),
    ) {
        static STATED: LazyLock<Published> = LazyLock::new(|| Published::new(Digests::Stated));
        static LEFT_OUT: LazyLock<Published> = LazyLock::new(|| Published::new(Digests::LeftOut));
        let published = if stated { &*STATED } else { &*LEFT_OUT };
        // The server has all files of both states.
        let mut server = published.second.clone();
        for (path, file) in &published.first.files {
            server.files.entry(path.clone()).or_insert_with(|| file.clone());
        }
        let mut genuine: Vec<Vec<u8>> = server.files.values().cloned().collect();
        genuine.push(published.first.files["metadata/timestamp.json"].clone());
        let paths: Vec<String> = server.files.keys().cloned().collect();
        for (file, attack) in &attacks {
            play(attack, &mut server.files, file.get(&paths).as_str(), &genuine);
        }

        let mut client = published.clients[warm].clone();
        let answer = search(&mut client, &server);
        assert_all_signed(&client.cached, &published.signed)?;
        if let Ok(answers) = answer {
            // One whole state, and for who has seen the second, that one.
            let newest = answers == published.answers[1];
            let one_state = newest || (answers == published.answers[0] && warm < 2);
            prop_assert!(one_state || (!stated && hides(&answers, &published.answers)));
        }
        // Whatever it was, the honest server gets through to the same client.
        let answers = search(&mut client, &published.second);
        prop_assert!(answers.is_ok());
        let answers = answers.unwrap();
        prop_assert!(
            answers == published.answers[1]
                || (!stated && hides(&answers, &published.answers[1..]))
        );
    }
}
