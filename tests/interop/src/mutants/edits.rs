//! What a publisher, or a thief of its keys, could sign: each field with other values, missing, or of another type.

use serde_json::{Value, json};
use webimport_core::digest::{Sha256Digest, to_hex};

use super::{Seen, Studio, count_up};
use crate::workshop::{Document, envelope, parse};

const KIND: &str = "a signed change";

/// One change: at a pointer, `*` for any key or index, another value, or none.
type Edit = (String, Option<Value>);

pub(super) fn make(studio: &mut Studio<'_>) {
    for document in studio.documents.clone() {
        let signed = studio.pristine.signed(&document);
        for (pattern, value) in edits(kind(&document.role), studio) {
            for pointer in expand(&signed, &pattern) {
                let mut changed = signed.clone();
                set(&mut changed, &pointer, value.as_ref());
                if changed != signed {
                    let shown = value
                        .as_ref()
                        .map_or("missing".to_owned(), Value::to_string);
                    let what = format!("{}: {pointer} {shown}", document.path);
                    add(studio, &document, &changed, &what);
                }
            }
        }
    }
}

/// As signed by the right keys and named by the files above; and as changed by somebody without keys.
fn add(studio: &mut Studio<'_>, document: &Document, changed: &Value, what: &str) {
    studio.add(KIND, what.to_owned(), |workshop| {
        workshop.publish(document, changed);
    });
    if ["timestamp", "snapshot"].contains(&document.role.as_str()) {
        let what = format!("{what}, the next version");
        studio.add_seen(Seen::Current, KIND, what, |workshop| {
            let mut next = changed.clone();
            if next["version"] == workshop.signed(document)["version"] {
                next["version"] = json!(next["version"].as_u64().map(|version| version + 1));
            }
            workshop.publish(document, &next);
            count_up(workshop, &["timestamp"], &document.role);
        });
    }
    // All much the same: only what was changed and whether it shows matters, not to what.
    let pointer = what.split(' ').nth(1).unwrap_or_default();
    studio.add(
        "an unsigned change",
        format!("{}: {pointer}", document.path),
        |workshop| {
            let old = parse(&workshop.files[&document.path]);
            let bytes = envelope(changed, &old["signatures"]);
            workshop.files.insert(document.path.clone(), bytes);
        },
    );
}

fn kind(role: &str) -> &'static str {
    match role {
        "root" => "root",
        "timestamp" => "timestamp",
        "snapshot" => "snapshot",
        _ => "targets",
    }
}

fn edits(kind: &str, studio: &Studio<'_>) -> Vec<Edit> {
    let mut edits = common();
    edits.extend(match kind {
        "root" => root(),
        "timestamp" | "snapshot" => meta(),
        _ => targets(studio.specimen.target),
    });
    edits
}

/// The place without a value, and with each of these.
fn each(pointer: &str, values: impl IntoIterator<Item = Value>) -> Vec<Edit> {
    let values = [None].into_iter().chain(values.into_iter().map(Some));
    values.map(|value| (pointer.to_owned(), value)).collect()
}

fn common() -> Vec<Edit> {
    let past_and_future = [
        "2026-11-19T00:00:00Z",
        "2026-11-20T00:00:00Z",
        "2026-11-20T00:00:01Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-01-01T00:00:60Z",
        "2027-01-01T24:00:00Z",
        "2027-01-01T00:00:00.5Z",
        "2027-01-01T00:00:00+00:00",
        "2027-01-01T00:00:00",
        "2027-01-01t00:00:00z",
        "2027-01-01 00:00:00Z",
        "2027-1-1T0:0:0Z",
        " 2027-01-01T00:00:00Z",
        "2027-01-01",
        "+2027-01-01T00:00:00Z",
        "\u{0662}027-01-01T00:00:00Z",
        "",
    ];
    let spec_versions = [
        "1.0",
        "1",
        "1.0.0",
        "1.0.99",
        "1.0.31-x",
        "1.0.",
        "1.0.x",
        "1.0.0.0",
        "1.1",
        "1.1.0",
        "1.x",
        "2.0.0",
        "0.9.0",
        "01.0.0",
        " 1.0.0",
        "\u{0661}.0.0",
        "",
    ];
    let types = [
        "root",
        "timestamp",
        "snapshot",
        "targets",
        "Targets",
        "mirrors",
        "",
    ];
    [
        each(
            "/version",
            [
                json!(0),
                json!(-1),
                json!(1),
                json!(2),
                json!(1000),
                json!((1_u64 << 53) - 2),
                json!((1_u64 << 53) - 1),
                json!(1_u64 << 53),
                json!(i64::MAX),
                json!(u64::MAX),
                json!("1"),
                json!(1.0),
                json!(true),
                json!([1]),
                Value::Null,
            ],
        ),
        each("/expires", past_and_future.map(Value::from)),
        each(
            "/expires",
            [json!(0), json!(1_900_000_000), json!([]), Value::Null],
        ),
        each("/spec_version", spec_versions.map(Value::from)),
        each("/spec_version", [json!(1), json!(["1.0"]), Value::Null]),
        each("/_type", types.map(Value::from)),
        each("/_type", [json!(1), Value::Null]),
        each(
            "/x",
            [
                json!({"a": [1, "\u{e9}\u{7}", null, true, -5]}),
                Value::Null,
            ],
        ),
    ]
    .concat()
}

fn root() -> Vec<Edit> {
    let wrong = || [Value::Null, json!([]), json!({}), json!("x"), json!(1)];
    [
        each(
            "/consistent_snapshot",
            [json!(false), json!("true"), json!(1), Value::Null],
        ),
        each("/roles", wrong()),
        each("/roles/*", wrong()),
        each("/roles/mirrors", [json!({"keyids": [], "threshold": 1})]),
        each("/roles/*/x", [json!(1)]),
        each("/keys", wrong()),
        key_edits("/keys/*"),
        role_edits("/roles/*"),
    ]
    .concat()
}

fn role_edits(role: &str) -> Vec<Edit> {
    let thresholds = [
        json!(0),
        json!(-1),
        json!(1),
        json!(2),
        json!(3),
        json!(4_294_967_297_u64),
        json!(u64::MAX),
        json!("1"),
        json!(1.0),
        json!(true),
        Value::Null,
    ];
    let lists = [
        json!([]),
        json!([null]),
        json!(["f".repeat(64)]),
        json!(["key"]),
        json!("x"),
        json!({}),
        Value::Null,
    ];
    [
        each(&format!("{role}/threshold"), thresholds),
        each(&format!("{role}/keyids"), lists),
    ]
    .concat()
}

fn key_edits(keys: &str) -> Vec<Edit> {
    let at = |field: &str| format!("{keys}/{field}");
    let mut small_order = [0; 32];
    small_order[0] = 1;
    [
        each(keys, [json!({}), json!([]), json!("x"), Value::Null]),
        each(
            &at("keytype"),
            [
                "ed25519",
                "ecdsa",
                "ecdsa-sha2-nistp256",
                "rsa",
                "future",
                "",
            ]
            .map(Value::from),
        ),
        each(
            &at("scheme"),
            [
                "ed25519",
                "ecdsa-sha2-nistp256",
                "ecdsa-sha2-nistp384",
                "rsassa-pss-sha256",
                "future",
                "",
            ]
            .map(Value::from),
        ),
        each(
            &at("keyval/public"),
            [
                json!(""),
                json!("00"),
                json!("z".repeat(64)),
                json!(to_hex(&small_order)),
                json!("F".repeat(64)),
                json!(1),
            ],
        ),
        each(&at("keyval/private"), [json!("")]),
        each(&at("x"), [json!(1)]),
    ]
    .concat()
}

fn meta() -> Vec<Edit> {
    let zeros = || "0".repeat(64);
    let numbers = || {
        [
            json!(0),
            json!(1),
            json!(-1),
            json!(99),
            json!(10_000_000),
            json!(u64::MAX),
            json!("1"),
            json!(1.0),
            json!(true),
            Value::Null,
        ]
    };
    [
        each("/meta", [json!({}), json!([]), json!("x"), Value::Null]),
        each(
            "/meta/*",
            [json!({}), json!([]), json!([1]), json!(1), Value::Null],
        ),
        each("/meta/*/version", numbers()),
        each("/meta/*/length", numbers()),
        each(
            "/meta/*/hashes",
            [
                json!({}),
                json!([]),
                json!("x"),
                Value::Null,
                json!({"sha256": zeros()}),
                json!({"sha256": ""}),
                json!({"sha256": "F".repeat(64)}),
                json!({"sha256": null}),
                json!({"sha512": "0".repeat(128)}),
                json!({"md5": "0".repeat(32)}),
                json!({"future": "00"}),
            ],
        ),
        each("/meta/*/x", [json!(1)]),
        each(
            "/meta/extra.json",
            [json!({"version": 1}), json!({"version": 0}), json!({})],
        ),
        each("/meta/extra", [json!({"version": 1})]),
    ]
    .concat()
}

fn targets(target: &str) -> Vec<Edit> {
    let prefix = Sha256Digest::of(target.as_bytes()).to_string();
    let wrong = || [json!({}), json!([]), json!("x"), json!(1), Value::Null];
    let patterns: [Value; 16] = [
        json!([]),
        json!(["*"]),
        json!(["*/*/*"]),
        json!(["*/*/*/*"]),
        json!(["teamlib/*"]),
        json!(["**"]),
        json!(["teamlib/**"]),
        json!(["teamlib/?.?/release.json"]),
        json!(["teamlib/[0-9].[0-9]/*"]),
        json!(["teamlib/[!0-9]*/*"]),
        json!(["TEAMLIB/*/*"]),
        json!(["teamlib/1.1/release.json"]),
        json!(["/teamlib/*/*"]),
        json!(["other/*/*", "teamlib/*/*"]),
        json!("teamlib/*/*"),
        json!([5]),
    ];
    [
        each("/targets", wrong()),
        each("/targets/*", wrong()),
        each(
            "/targets/*/length",
            [
                json!(0),
                json!(1),
                json!(-1),
                json!(u64::MAX),
                json!("5"),
                json!(true),
                Value::Null,
            ],
        ),
        each(
            "/targets/*/hashes",
            [
                json!({}),
                json!([]),
                Value::Null,
                json!({"sha256": "0".repeat(64)}),
                json!({"sha256": "0"}),
                json!({"sha512": "0".repeat(128)}),
                json!({"md5": "0".repeat(32)}),
                json!({"sha256": 5}),
            ],
        ),
        each(
            "/targets/*/custom",
            [
                json!({}),
                json!([]),
                json!("x"),
                json!(5),
                Value::Null,
                json!({"other": 1}),
                json!({"webimport": 5}),
                json!({"webimport": {"channels": "stable"}}),
                json!({"webimport": {"channels": ["a b"]}}),
            ],
        ),
        each("/targets/*/x", [json!(1)]),
        each(
            "/targets/..~1..~1secret",
            [json!({"length": 1, "hashes": {"sha256": "0".repeat(64)}})],
        ),
        each("/delegations", wrong()),
        each(
            "/delegations",
            [json!({"keys": {}, "roles": []}), json!({"keys": {}})],
        ),
        each("/delegations/keys", wrong()),
        key_edits("/delegations/keys/*"),
        each("/delegations/roles", wrong()),
        each("/delegations/roles", [json!([])]),
        each("/delegations/roles/0", wrong()),
        each(
            "/delegations/roles/0/name",
            [
                "root",
                "targets",
                "snapshot",
                "timestamp",
                "",
                "other",
                "a/b",
                "../team",
                "1.team",
                "TEAM",
            ]
            .map(Value::from),
        ),
        each("/delegations/roles/0/name", [json!(5), Value::Null]),
        role_edits("/delegations/roles/0"),
        each(
            "/delegations/roles/0/terminating",
            [json!(true), json!("no"), json!(1), Value::Null],
        ),
        each("/delegations/roles/0/paths", patterns),
        each("/delegations/roles/0/paths", [Value::Null, json!({})]),
        each(
            "/delegations/roles/0/path_hash_prefixes",
            [json!([prefix[..2]]), json!([]), Value::Null],
        ),
        each("/delegations/roles/0/x", [json!(1)]),
        each("/delegations/succinct_roles", wrong()),
        each(
            "/delegations/succinct_roles/bit_length",
            [
                json!(0),
                json!(1),
                json!(3),
                json!(32),
                json!(33),
                json!(-1),
                json!("2"),
                Value::Null,
            ],
        ),
        each(
            "/delegations/succinct_roles/name_prefix",
            [json!(""), json!("other"), json!(5)],
        ),
        role_edits("/delegations/succinct_roles"),
    ]
    .concat()
}

/// The places that a pointer with `*` stands for. The last part need not exist.
fn expand(value: &Value, pattern: &str) -> Vec<String> {
    let Some((before, after)) = pattern.split_once("/*") else {
        let parent = pattern.rsplit_once('/').map_or("", |(parent, _)| parent);
        let exists = value
            .pointer(parent)
            .is_some_and(|parent| parent.is_object() || parent.is_array());
        return exists.then(|| pattern.to_owned()).into_iter().collect();
    };
    let keys: Vec<String> = match value.pointer(before) {
        Some(Value::Object(map)) => map
            .keys()
            .map(|key| key.replace('~', "~0").replace('/', "~1"))
            .collect(),
        Some(Value::Array(list)) => (0..list.len()).map(|index| index.to_string()).collect(),
        _ => Vec::new(),
    };
    keys.into_iter()
        .flat_map(|key| expand(value, &format!("{before}/{key}{after}")))
        .collect()
}

/// Sets the place, or takes it away.
fn set(value: &mut Value, pointer: &str, new: Option<&Value>) {
    let (parent, key) = pointer
        .rsplit_once('/')
        .expect("a pointer that is not empty");
    let key = key.replace("~1", "/").replace("~0", "~");
    match (value.pointer_mut(parent), new) {
        (Some(Value::Object(map)), Some(new)) => {
            map.insert(key, new.clone());
        }
        (Some(Value::Object(map)), None) => {
            map.remove(&key);
        }
        (Some(Value::Array(items)), new) => {
            if let Some(index) = key.parse().ok().filter(|index| *index < items.len()) {
                match new {
                    Some(new) => items[index] = new.clone(),
                    None => drop(items.remove(index)),
                }
            }
        }
        _ => {}
    }
}
