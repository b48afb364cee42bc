//! Writes those seeds that a person would not write by hand: `cargo run --example seeds`, from this folder.
//!
//! `valid-…` has to be accepted by its target and `nearly-…`, which differs as little as possible, refused.

use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use webimport_core::digest::Sha256Digest;
use webimport_core::sign::{Algorithm, SigningKey};
use webimport_fuzz::base64;
use webimport_fuzz::repository::{key, meta, role, signed, trusted};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn main() {
    json();
    metadata();
    keys();
    refresh();
    manifests();
    objects();
    snapshots();
    updates();
    wheels();
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&folder).expect("the seeds' folder can be made");
    fs::write(folder.join(name), bytes).expect("a seed can be written");
}

fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON can be written")
}

fn json() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    write("json", "valid-depth", nested(32));
    write("json", "nearly-depth", nested(33));
}

fn metadata() {
    let (keys, roles) = trusted(&[
        ("root", &[key(1), key(2)], 2),
        ("timestamp", &[key(3)], 1),
        ("snapshot", &[key(3)], 1),
        ("targets", &[key(4)], 1),
    ]);
    let mut root = json!({"consistent_snapshot": true, "keys": keys, "roles": roles});
    root["keys"]["00".repeat(32)] =
        json!({"keytype": "future", "scheme": "future", "keyval": {"public": "x"}});
    let root = role("root", 1, 365, root);
    let release = json!({
        "length": 9,
        "hashes": {"sha256": Sha256Digest::of(b"mylib 1.0")},
        "custom": {"webimport": {"channels": ["stable"], "x": 1}, "y": [null]},
    });
    let targets = json!({"targets": {"mylib/1.0/release.json": release}});
    let targets = role("targets", 2, 365, targets);
    let (keys, mut roles) = trusted(&[("a", &[key(5)], 1)]);
    let mut delegated = roles["a"].take();
    delegated["name"] = json!("a");
    delegated["terminating"] = json!(true);
    delegated["paths"] = json!(["mylib/*/release.json"]);
    let mut delegating = targets.clone();
    delegating["delegations"] = json!({"keys": keys, "roles": [delegated]});
    let (keys, mut roles) = trusted(&[("a", &[key(5)], 1)]);
    let mut bins = roles["a"].take();
    bins["bit_length"] = json!(4);
    bins["name_prefix"] = json!("bin");
    let mut succinct = targets.clone();
    succinct["delegations"] = json!({"keys": keys, "succinct_roles": bins});
    let file = signed(&targets, &[key(4)]);
    let snapshot = json!({"meta": {"targets.json": meta(2, &file), "a.json": {"version": 1}}});
    let snapshot = role("snapshot", 3, 30, snapshot);
    let file = signed(&snapshot, &[key(3)]);
    let timestamp = role(
        "timestamp",
        4,
        30,
        json!({"meta": {"snapshot.json": meta(3, &file)}}),
    );
    for (name, value, keys) in [
        ("valid-root", &root, &[key(1), key(2)][..]),
        ("valid-targets", &targets, &[key(4)]),
        ("valid-delegations", &delegating, &[key(4)]),
        ("valid-succinct", &succinct, &[key(4)]),
        ("valid-snapshot", &snapshot, &[key(3)]),
        ("valid-timestamp", &timestamp, &[key(3)]),
        ("valid-unsigned", &timestamp, &[]),
    ] {
        write("envelope", name, signed(value, keys));
    }
    let twice = signed(&timestamp, &[key(3)]);
    let mut twice: Value = serde_json::from_slice(&twice).expect("it is JSON");
    let signature = twice["signatures"][0].clone();
    twice["signatures"] = json!([signature, signature]);
    write("envelope", "nearly-signs-twice", text(&twice));
    for (name, field, value) in [
        ("nearly-version", "version", json!(0)),
        ("nearly-specification", "spec_version", json!("2.0")),
        ("nearly-expires", "expires", json!("2027-02-30T00:00:00Z")),
        ("nearly-type", "_type", json!("mirrors")),
    ] {
        let mut changed = timestamp.clone();
        changed[field] = value;
        write("envelope", name, signed(&changed, &[key(3)]));
    }
}

fn keys() {
    let p256 = SigningKey::generate(Algorithm::EcdsaP256, [7; 32]).expect("a scalar of P-256");
    for (name, signer) in [("ed25519", key(7)), ("p256", p256)] {
        let public = json!(signer.public());
        let signature = signer.sign_bytes(b"message");
        let lines = |key: &Value, message: &str| format!("{key}\n{signature}\n{message}");
        write("key", &format!("valid-{name}"), lines(&public, "message"));
        write(
            "key",
            &format!("nearly-{name}-message"),
            lines(&public, "messagf"),
        );
        let mut other = public.clone();
        other["scheme"] = json!("future");
        write(
            "key",
            &format!("nearly-{name}-scheme"),
            lines(&other, "message"),
        );

        let pem = signer.to_pem().expect("a key can be written");
        write(
            "pem",
            &format!("nearly-{name}-truncated"),
            &pem[..pem.len() - 40],
        );
        write(
            "pem",
            &format!("nearly-{name}-public"),
            pem.replace("PRIVATE", "PUBLIC"),
        );
        write("pem", &format!("valid-{name}"), pem);
        if name == "p256" {
            let pem = public["keyval"]["public"].as_str().expect("it is PEM");
            write("pem", "valid-p256-public", pem);
            write(
                "pem",
                "nearly-p256-private",
                pem.replace("PUBLIC", "PRIVATE"),
            );
        }
    }
    // The neutral element: with lax verification it signs everything.
    let neutral = |rest: usize| format!("01{}", "00".repeat(rest));
    let mut point = json!(key(7).public());
    point["keyval"]["public"] = json!(neutral(31));
    let lines = format!("{point}\n{}\nmessage", neutral(63));
    write("key", "nearly-small-order", lines);
}

/// The actions of `targets/refresh.rs`.
fn refresh() {
    for (name, actions) in [
        ("valid-cold", &[0][..]),
        ("valid-before", &[1]),
        ("valid-after", &[2]),
        ("valid-damaged-snapshot", &[0x82, 3, 0, 0, 1, 1, b'[', 0]),
        ("valid-damaged-roots", &[0x82, 5, 0]),
        ("valid-stolen-timestamp", &[0x42, 0, 7, 0, 0, 0, 0]),
        ("valid-cached-stranger", &[0x82, 8, 2, 9, 0, 0]),
        ("nearly-expired", &[2 | 2 << 2]),
        ("nearly-long-expired", &[1 | 3 << 2]),
        ("nearly-freeze", &[0, 0, 3, 0]),
        ("nearly-old-timestamp", &[2, 0, 1, 3]),
        ("nearly-stranger", &[0, 0, 0, 0, 0, 1, 0]),
        ("nearly-spliced-root", &[1, 2, 20, 0, 1, 1, b'x']),
        (
            "nearly-spliced-targets",
            &[0, 0, 0, 0, 0, 0, 0, 2, 20, 0, 1, 1, b'x'],
        ),
        ("nearly-other-role", &[0, 0, 0, 0, 0, 0, 1, 13]),
        ("nearly-other-signatures", &[0, 0, 0, 0, 0, 6, 13, 1]),
        ("nearly-signed-by-stranger", &[2, 0, 7, 0, 0, 0, 0]),
        (
            "nearly-stolen-snapshot",
            &[0x40, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0],
        ),
        ("nearly-endless", &[0, 4, 255, b'[', b'[', b'[']),
    ] {
        write("refresh", name, actions);
    }
}

fn manifests() {
    let file = |path: &str, object: u8| {
        json!({
            "path": path,
            "size": 5,
            "sha256": Sha256Digest::of(b"pass\n"),
            "object": object,
        })
    };
    let object = |decoded: u64, tag: Value| {
        let mut object = json!({
            "sha256": Sha256Digest::of(b"object"),
            "size": 20,
            "encoding": "gzip",
            "decoded_size": decoded,
            "decoded_sha256": Sha256Digest::of(b"decoded"),
        });
        if !tag.is_null() {
            object["tag"] = tag;
        }
        object
    };
    let manifest = json!({
        "format": "webimport-release/1",
        "name": "mylib",
        "version": "1.0",
        "modules": ["mylib", "shared"],
        "namespaces": ["shared"],
        "distributions": [{"name": "mylib", "version": "1.0"}],
        "requires": ["numpy>=2"],
        "requires_python": ">=3.11",
        "objects": [object(15, Value::Null), object(5, json!("cpython-314"))],
        "files": [
            file("mylib/__init__.py", 0),
            file("mylib/__pycache__/__init__.cpython-314.pyc", 1),
            file("mylib/donn\u{e9}es.txt", 0),
            file("shared/plugin.py", 0),
        ],
    });
    write("manifest", "valid-small", text(&manifest));
    let mut no_tag = manifest.clone();
    no_tag["objects"][0] = object(15, Value::Null);
    no_tag["objects"][0]["encoding"] = json!("identity");
    no_tag["objects"][0]["size"] = json!(15);
    write("manifest", "valid-identity", text(&no_tag));
    for (name, pointer, value) in [
        ("nearly-outside", "/files/0/path", json!("../mylib.py")),
        ("nearly-start-up", "/files/3/path", json!("x.pth")),
        ("nearly-twins", "/files/2/path", json!("mylib/__INIT__.py")),
        ("nearly-more", "/files/3/size", json!(6)),
        ("nearly-overflow", "/files/3/size", json!(u64::MAX)),
        ("nearly-less", "/files/3/size", json!(4)),
        ("nearly-object", "/files/3/object", json!(2)),
        (
            "nearly-module",
            "/modules",
            json!(["mylib", "numpy", "shared"]),
        ),
        ("nearly-tag", "/objects/1/tag", json!("cpython-313")),
        ("nearly-name", "/name", json!("other")),
        ("nearly-format", "/format", json!("webimport-release/2")),
    ] {
        let mut changed = manifest.clone();
        *changed.pointer_mut(pointer).expect("the manifest has it") = value;
        write("manifest", name, text(&changed));
    }
    shards(&manifest);
}

/// The same manifest with a package in a shard, which is behind it.
fn shards(manifest: &Value) {
    let digest = Sha256Digest::of(b"pass\n");
    let object = json!({"sha256": digest, "size": 5, "encoding": "identity", "decoded_size": 5});
    let file = json!({"path": "__init__.py", "size": 5, "sha256": digest, "object": 0, "imports_elsewhere": ["shared/plugin.py"]});
    let shard = json!({
        "format": "webimport-shard/1",
        "folder": "mylib/deep",
        "objects": [&object],
        "files": [file],
    });
    let mut root = manifest.clone();
    root["partial"] = json!(true);
    root["tags"] = json!(["cpython-314"]);
    root["objects"] = json!([object_of(10), object_of(5), root["objects"][1]]);
    for (file, object) in [(0, 1), (1, 2), (2, 0), (3, 0)] {
        root["files"][file]["object"] = json!(object);
    }
    root["shards"] = json!([{"folder": "mylib/deep"}]);
    let both = |root: &Value, shard: &Value| [text(root), text(shard)].join(&0);
    write("manifest", "valid-shard", both(&root, &shard));
    for (name, pointer, value) in [
        ("nearly-shard-outside", "/files/0/path", json!("../x.py")),
        ("nearly-shard-folder", "/folder", json!("mylib/other")),
        ("nearly-shard-format", "/format", json!("webimport-shard/2")),
        ("nearly-shard-data", "/files/0/path", json!("data.txt")),
        (
            "nearly-shard-same",
            "/files/0/imports_elsewhere/0",
            json!("mylib/deep/__init__.py"),
        ),
        ("nearly-shard-size", "/files/0/size", json!(6)),
    ] {
        let mut changed = shard.clone();
        *changed.pointer_mut(pointer).expect("the shard has it") = value;
        write("manifest", name, both(&root, &changed));
    }
    for (name, pointer, value) in [
        ("nearly-shard-top", "/shards/0/folder", json!("deep")),
        (
            "nearly-shard-file",
            "/files/2/path",
            json!("mylib/deep/x.txt"),
        ),
        ("nearly-shard-whole", "/partial", json!(false)),
    ] {
        let mut changed = root.clone();
        *changed.pointer_mut(pointer).expect("the manifest has it") = value;
        write("manifest", name, both(&changed, &shard));
    }
}

fn object_of(decoded: u64) -> Value {
    json!({
        "sha256": Sha256Digest::of(b"object"),
        "size": 20,
        "encoding": "gzip",
        "decoded_size": decoded,
        "decoded_sha256": Sha256Digest::of(b"decoded"),
    })
}

fn objects() {
    let content = b"answer = 42\n".repeat(20);
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(&content).expect("memory can be written");
    gzip.write_all(&content).expect("memory can be written");
    let gzip = gzip.finish().expect("memory can be written");
    let deflate = deflate.finish().expect("memory can be written");
    let seed = |how: u8, size: usize, bytes: &[u8]| {
        let size = u16::try_from(size).expect("seeds are small").to_le_bytes();
        [&[how], &size[..], bytes].concat()
    };
    let size = content.len();
    write("object", "valid-gzip", seed(0, size, &gzip));
    write("object", "valid-deflate", seed(1, size, &deflate));
    write("object", "valid-identity", seed(2, size, &content));
    write("object", "nearly-short", seed(0, size + 1, &gzip));
    write("object", "nearly-long", seed(1, size - 1, &deflate));
    write(
        "object",
        "nearly-truncated",
        seed(0, size, &gzip[..gzip.len() - 1]),
    );
    write(
        "object",
        "nearly-trailing",
        seed(0, size, &[&gzip[..], b"x"].concat()),
    );
    write(
        "object",
        "nearly-two-members",
        seed(0, 2 * size, &[&gzip[..], &gzip].concat()),
    );
}

fn snapshots() {
    let build = Sha256Digest::of(b"build");
    let release = json!({
        "name": "mylib",
        "version": "1.4.2",
        "sha256": Sha256Digest::of(b"release.json"),
    });
    let description = json!({
        "format": "webimport-snapshot/1",
        "pyodide": "314.0.7",
        "build": build,
        "wasm": Sha256Digest::of(b"wasm"),
        "stdlib": Sha256Digest::of(b"stdlib"),
        "tag": "cpython-314",
        "webimport": "0.1.0",
        "object": {
            "sha256": Sha256Digest::of(b"stored"),
            "size": 6,
            "encoding": "gzip",
            "decoded_size": 1000,
            "decoded_sha256": Sha256Digest::of(b"decoded"),
        },
        "releases": [release],
        "modules": ["mylib"],
    });
    let begin = |heap: u32, json: u32, build: Sha256Digest| {
        let numbers = [0x706e_7300, heap, json, 0].map(u32::to_le_bytes);
        [&numbers.concat()[..], build.as_bytes()].concat()
    };
    let right = begin(64, 16, build);
    let seed = |description: &Value, begin: &[u8]| [&text(description)[..], &[0], begin].concat();
    write("snapshot", "valid-small", seed(&description, &right));
    let mut more = description.clone();
    let other = json!({"name": "other", "version": "2", "sha256": build});
    more["releases"] = json!([other, release]);
    write("snapshot", "nearly-releases", seed(&more, &right));
    let last = begin(999, 951, build);
    write("snapshot", "valid-last-byte", seed(&description, &last));
    for (name, begin) in [
        ("nearly-short", right[..right.len() - 1].to_vec()),
        ("nearly-inside", begin(63, 16, build)),
        ("nearly-outside", begin(1000, 16, build)),
        ("nearly-overflow", begin(64, u32::MAX, build)),
        ("nearly-build", begin(64, 16, Sha256Digest::of(b"other"))),
    ] {
        write("snapshot", name, seed(&description, &begin));
    }
    for (name, pointer, value) in [
        ("nearly-format", "/format", json!("webimport-snapshot/2")),
        ("nearly-pyodide", "/pyodide", json!("314.0.8")),
        ("nearly-release", "/releases/0/version", json!("1.4.3")),
        ("nearly-none", "/releases", json!([])),
        ("nearly-twice", "/releases", json!([release, release])),
        ("nearly-encoding", "/object/encoding", json!("identity")),
        ("nearly-size", "/object/size", json!((256 << 20) + 1)),
        ("nearly-modules", "/modules/0", json!(1)),
    ] {
        let mut changed = description.clone();
        *changed
            .pointer_mut(pointer)
            .expect("the description has it") = value;
        write("snapshot", name, seed(&changed, &right));
    }
}

fn updates() {
    let (old, new) = (&b"answer = 41\n"[..], &b"answer = 42\n"[..]);
    let header = json!({
        "format": "webimport-update/1",
        "sources": [{"sha256": Sha256Digest::of(old), "size": old.len()}],
        "outputs": [{
            "sha256": Sha256Digest::of(new),
            "size": new.len(),
            "parts": [1, 0, 10, 0, 0, 1, 1, 11, 1],
        }],
    });
    let seed = |header: &Value, literals: &[u8]| {
        let header = text(header);
        let length = u32::try_from(header.len()).expect("seeds are small");
        [&[0], &length.to_le_bytes()[..], &header, literals].concat()
    };
    write("update", "valid-small", seed(&header, b"2"));
    write("update", "nearly-digest", seed(&header, b"3"));
    write("update", "nearly-short", seed(&header, b""));
    for (name, pointer, value) in [
        ("nearly-format", "/format", json!("webimport-update/2")),
        (
            "nearly-source",
            "/sources/0/sha256",
            json!(Sha256Digest::of(new)),
        ),
        ("nearly-outside", "/outputs/0/parts/7", json!(12)),
        ("nearly-overflow", "/outputs/0/parts/7", json!(u32::MAX)),
        ("nearly-empty", "/outputs/0/parts/8", json!(0)),
        ("nearly-no-source", "/outputs/0/parts/6", json!(2)),
        ("nearly-size", "/outputs/0/size", json!(13)),
        ("nearly-parts", "/outputs/0/parts", json!([1, 0, 12, 0])),
    ] {
        let mut changed = header.clone();
        *changed.pointer_mut(pointer).expect("the header has it") = value;
        write("update", name, seed(&changed, b"2"));
    }

    let lines = |numbers: std::ops::Range<u32>| -> String {
        numbers
            .map(|it| format!("line_{it} = {it}\n"))
            .collect::<Vec<_>>()
            .concat()
    };
    let releases = |old: &str, new: &str| {
        let length = u16::try_from(old.len()).expect("seeds are small");
        [
            &[1],
            &length.to_le_bytes()[..],
            old.as_bytes(),
            new.as_bytes(),
        ]
        .concat()
    };
    let (old, new) = (lines(0..200), lines(0..100) + "added\n" + &lines(100..200));
    write("update", "valid-releases", releases(&old, &new));
    write("update", "nearly-nothing-saved", releases("old", "new"));
}

const METADATA: &[u8] =
    b"Metadata-Version: 2.1\nName: mylib\nVersion: 1.0\nRequires-Dist: a; extra == 'b'\n";
const WHEEL: &[u8] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

fn wheels() {
    let files: [(&str, &[u8]); 4] = [
        ("mylib/__init__.py", b"answer = 42\n"),
        ("mylib-1.0.data/purelib/extra.py", b"pass\n"),
        ("mylib-1.0.dist-info/METADATA", METADATA),
        ("mylib-1.0.dist-info/WHEEL", WHEEL),
    ];
    let mut record = "mylib-1.0.dist-info/RECORD,,\n".to_owned();
    for (path, content) in files {
        let digest = base64(&Sha256::digest(content));
        let _ = writeln!(record, "{path},sha256={digest},{}", content.len());
    }
    let record_file = ("mylib-1.0.dist-info/RECORD", record.as_bytes());
    let whole = [&files[..], &[record_file]].concat();
    let stored = CompressionMethod::Stored;
    let archive = zip(&whole, stored);
    write(
        "wheel",
        "valid-deflated",
        zip(&whole, CompressionMethod::Deflated),
    );
    write("wheel", "nearly-no-record", zip(&files, stored));
    write("wheel", "nearly-truncated", &archive[..archive.len() - 1]);
    let mut changed = archive.clone();
    let at = changed
        .windows(6)
        .position(|it| it == b"answer")
        .expect("it is stored");
    changed[at] = b'b';
    write("wheel", "nearly-checksum", changed);
    write("wheel", "valid-stored", archive);

    let lines = |files: &[(&str, &[u8])]| -> Vec<u8> {
        files
            .iter()
            .flat_map(|(path, content)| {
                [format!("{path} {}\n", content.len()).as_bytes(), content].concat()
            })
            .collect()
    };
    write("wheel_files", "valid-small", lines(&files));
    write(
        "wheel_files",
        "valid-wasm",
        lines(&[&files[..], &[("x.so", b"\0asm")]].concat()),
    );
    write(
        "wheel_files",
        "nearly-elf",
        lines(&[&files[..], &[("x.so", b"\x7fELF")]].concat()),
    );
    write(
        "wheel_files",
        "nearly-outside",
        lines(&[&files[..], &[("../x.py", b"")]].concat()),
    );
    write(
        "wheel_files",
        "nearly-twins",
        lines(&[&files[..], &[("MYLIB/x.py", b"")]].concat()),
    );
    for (name, path, content) in [
        ("valid-folder", "data/", &b""[..]),
        ("nearly-folder", "data/", b"x"),
        ("nearly-backslash", "data\\", b""),
    ] {
        write(
            "wheel_files",
            name,
            lines(&[&files[..], &[(path, content)]].concat()),
        );
    }
    let twice: (&str, &[u8]) = ("extra.py", b"other\n");
    write(
        "wheel_files",
        "nearly-two-contents",
        lines(&[&files[..], &[twice]].concat()),
    );
    write(
        "wheel_files",
        "nearly-no-metadata",
        lines(&[files[0], files[3]]),
    );
}

fn zip(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (path, content) in files {
        writer
            .start_file(*path, options)
            .expect("memory can be written");
        writer.write_all(content).expect("memory can be written");
    }
    writer.finish().expect("memory can be written").into_inner()
}
