//! Each rule of the release manifest (`docs/format.md`), broken and kept.

use webimport_core::map::Map;

use serde_json::{Value, json};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Coded as _, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, Manifest};
use webimport_core::names::CacheTag;
use webimport_core::path::PathSet;

use crate::sample::{self, expected, manifest, parse, parse_bytes, value, with_file};

type Change = fn(&mut Value);

/// The code of a refusal of `value`, whose message has `reason`.
#[track_caller]
fn assert_refused(value: &Value, code: &str, reason: &str) {
    let error = parse(value).map(drop).expect_err("expected a refusal");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(reason), "`{reason}` in: {error}");
}

/// The index of a file.
fn file(value: &Value, path: &str) -> usize {
    value["files"]
        .as_array()
        .unwrap()
        .iter()
        .position(|file| file["path"] == path)
        .unwrap()
}

#[test]
fn a_release_with_one_of_everything_parses_back() {
    let manifest = manifest();
    let parsed = parse_bytes(&manifest.to_bytes().unwrap()).unwrap();
    assert_eq!(*parsed, manifest);
    assert_eq!(parsed.modules, ["mylib", "shared", "single"]);
    assert_eq!(parsed.namespaces, ["shared"]);
    let digest = Sha256Digest::of(b"x");
    assert_eq!(
        parsed.mount_path(digest),
        format!("/webimport/mylib-1.0-{}", &digest.to_string()[..12])
    );
}

#[test]
fn rejects_other_bytes_than_the_signed_ones() {
    let bytes = manifest().to_bytes().unwrap();
    let parse = |bytes: &[u8], expected: &Expected| {
        Manifest::parse(
            bytes,
            expected,
            &"mylib".parse().unwrap(),
            None,
            &Limits::default(),
        )
        .map_err(|error| error.code())
    };
    let signed = expected(&bytes);
    assert!(parse(&bytes, &signed).is_ok());
    let mut changed = bytes.clone();
    changed[100] ^= 1;
    assert_eq!(parse(&changed, &signed).unwrap_err(), "verify.digest");
    let longer = [&bytes[..], b"\n"].concat();
    assert_eq!(parse(&longer, &signed).unwrap_err(), "verify.length");
    assert_eq!(parse(&bytes[1..], &signed).unwrap_err(), "verify.length");
    // A pin has no length.
    let pinned = Expected {
        length: None,
        ..signed
    };
    assert!(parse(&bytes, &pinned).is_ok());
    assert_eq!(parse(&longer, &pinned).unwrap_err(), "verify.digest");
}

#[test]
fn rejects_another_name_or_version_than_asked_for() {
    let bytes = manifest().to_bytes().unwrap();
    let parse = |name: &str, version: Option<&str>| {
        let version = version.map(|version| version.parse().unwrap());
        Manifest::parse(
            &bytes,
            &expected(&bytes),
            &name.parse().unwrap(),
            version.as_ref(),
            &Limits::default(),
        )
        .map_err(|error| error.code())
    };
    assert!(parse("mylib", Some("1.0")).is_ok());
    assert!(parse("mylib", None).is_ok());
    assert_eq!(
        parse("mylib2", Some("1.0")).unwrap_err(),
        "verify.malformed"
    );
    assert_eq!(
        parse("mylib", Some("1.0.0")).unwrap_err(),
        "verify.malformed"
    );
}

#[test]
fn rejects_fields_of_another_form() {
    let changes: [(&str, Change); 31] = [
        ("format", |it| it["format"] = json!("webimport-release/2")),
        ("format", |it| it["format"] = json!(1)),
        ("format", |it| {
            drop(it.as_object_mut().unwrap().remove("format"));
        }),
        ("format", |it| *it = json!([])),
        ("release name", |it| it["name"] = json!("My/Lib")),
        ("version", |it| it["version"] = json!("latest")),
        ("name", |it| {
            drop(it.as_object_mut().unwrap().remove("name"));
        }),
        ("modules", |it| {
            drop(it.as_object_mut().unwrap().remove("modules"));
        }),
        ("objects", |it| {
            drop(it.as_object_mut().unwrap().remove("objects"));
        }),
        ("files", |it| {
            drop(it.as_object_mut().unwrap().remove("files"));
        }),
        ("invalid type", |it| it["modules"] = json!("mylib")),
        ("invalid type", |it| it["requires"] = json!([1])),
        ("invalid type", |it| it["requires_python"] = json!(3)),
        ("invalid type", |it| it["requires_python"] = json!(null)),
        ("invalid type", |it| it["objects"][0]["tag"] = json!(null)),
        ("missing field", |it| {
            it["distributions"] = json!([{"name": "x"}]);
        }),
        ("64 lower-case hex digits", |it| {
            it["objects"][0]["sha256"] = json!("00");
        }),
        ("64 lower-case hex digits", |it| {
            let upper = it["files"][0]["sha256"].as_str().unwrap().to_uppercase();
            it["files"][0]["sha256"] = json!(upper);
        }),
        ("invalid value", |it| it["objects"][0]["size"] = json!(-1)),
        ("integers", |it| it["objects"][0]["size"] = json!(1.5)),
        ("unknown variant", |it| {
            it["objects"][0]["encoding"] = json!("br");
        }),
        ("encoding", |it| {
            it["objects"][0].as_object_mut().unwrap().remove("encoding");
        }),
        ("decoded_size", |it| {
            it["objects"][0]
                .as_object_mut()
                .unwrap()
                .remove("decoded_size");
        }),
        ("decoded_sha256", |it| {
            it["objects"][0]
                .as_object_mut()
                .unwrap()
                .remove("decoded_sha256");
        }),
        ("cache tag", |it| it["objects"][1]["tag"] = json!("")),
        ("cache tag", |it| it["objects"][1]["tag"] = json!("CPython")),
        ("invalid value", |it| it["files"][0]["object"] = json!(-1)),
        ("invalid type", |it| it["files"][0]["path"] = json!(["a"])),
        // Objects spelled as lists of their values.
        ("expected an object", |it| {
            let file = &it["files"][0];
            let keys = ["path", "size", "sha256", "object"];
            it["files"][0] = keys.map(|key| file[key].clone()).into_iter().collect();
        }),
        ("expected an object", |it| {
            let object = &it["objects"][1];
            let keys = ["sha256", "size", "encoding", "decoded_size", "tag"];
            it["objects"][1] = keys.map(|key| object[key].clone()).into_iter().collect();
        }),
        ("expected an object", |it| {
            it["distributions"][0] = json!(["mylib", "1.0"]);
        }),
    ];
    for (reason, change) in changes {
        let mut value = value();
        change(&mut value);
        assert_refused(&value, "verify.malformed", reason);
    }
}

#[test]
fn rejects_json_that_two_parsers_could_read_in_two_ways() {
    let text = String::from_utf8(manifest().to_bytes().unwrap()).unwrap();
    let code = |text: &str| parse_bytes(text.as_bytes()).map_err(|error| error.code());
    assert!(code(&text).is_ok());
    for bad in [
        text.replacen("{\"format\"", "{\"name\":\"other\",\"format\"", 1),
        text.replacen("\"object\":0", "\"object\":0,\"object\":0", 1),
        text.replacen("\"object\":0", "\"object\":0.0", 1),
        format!("\u{feff}{text}"),
        format!("{text}{text}"),
        text[..text.len() - 1].to_owned(),
    ] {
        assert_eq!(code(&bad).unwrap_err(), "verify.malformed");
    }
}

#[test]
fn ignores_keys_that_it_does_not_know() {
    let mut value = value();
    for place in ["", "/distributions/0", "/objects/0", "/files/0"] {
        value.pointer_mut(place).unwrap()["x-future"] = json!({"a": [1, null]});
    }
    assert_eq!(*parse(&value).unwrap(), manifest());
}

#[test]
fn lists_that_may_be_empty_may_be_absent() {
    let mut value = value();
    let map = value.as_object_mut().unwrap();
    for key in ["distributions", "requires", "requires_python"] {
        map.remove(key);
    }
    let parsed = parse(&value).unwrap();
    assert!(parsed.distributions.is_empty() && parsed.requires.is_empty());
    // The namespace portion is what makes this key needed.
    value.as_object_mut().unwrap().remove("namespaces");
    assert_refused(&value, "verify.malformed", "import names");
}

#[test]
fn rejects_paths_that_leave_the_release() {
    for bad in [
        "",
        "/etc/passwd",
        "..",
        "../x.py",
        "mylib/../../x.py",
        "mylib/..",
        ".",
        "./x.py",
        "mylib/./x.py",
        "mylib//x.py",
        "mylib/",
        "mylib\\x.py",
        "..\\x.py",
        "C:x.py",
        "C:/x.py",
        "file:x",
        "x.py\0",
        "x\n.py",
        "x\u{7f}.py",
        "x\u{85}.py",
    ] {
        assert_refused(&with_file(bad), "verify.path", "unsafe path");
    }
    for good in [
        "...",
        "..x/a.txt",
        "mylib/..x",
        "mylib/.hidden",
        "mylib/x y.txt",
        "mylib/%2e%2e/x.txt",
        "mylib/~",
    ] {
        parse(&with_file(good)).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}

#[test]
fn rejects_paths_that_are_too_long_or_too_deep() {
    let long = |length: usize| format!("mylib/{}", "x".repeat(length - 6));
    parse(&with_file(&long(1024))).unwrap();
    assert_refused(&with_file(&long(1025)), "verify.path", "1,024 bytes");
    let deep = |components: usize| vec!["mylib"; components].join("/");
    parse(&with_file(&deep(32))).unwrap();
    assert_refused(&with_file(&deep(33)), "verify.path", "32 components");
}

#[test]
fn rejects_two_spellings_of_one_path() {
    for (twin, reason) in [
        ("mylib/Core.py", "by case"),
        ("mylib/CORE.PY", "by case"),
        ("MyLib/other.py", "by case"),
        ("mylib/DONN\u{c9}ES.txt", "by case"),
        ("mylib/donne\u{301}es.txt", "NFC"),
        ("mylib/core.py", "twice"),
        ("mylib/core.py/x", "a file and a folder"),
        ("mylib", "a file and a folder"),
        // Fullwidth letters, which NFKC takes for plain ones.
        ("mylib/\u{ff43}ore.py", "Unicode form"),
    ] {
        assert_refused(&with_file(twin), "verify.path", reason);
    }
    // One capital letter for two small ones.
    let mut paths = PathSet::default();
    paths.insert("stra\u{df}e.py").unwrap();
    paths.insert("strase.py").unwrap();
    let error = paths.insert("STRASSE.py").unwrap_err();
    assert_eq!(error.code(), "verify.path");
    parse(&with_file("mylib/core_.py")).unwrap();
    parse(&with_file("mylib/sub/Core.py")).unwrap();
}

#[test]
fn rejects_files_that_python_runs_at_start_up() {
    for bad in [
        "x.pth",
        "X.PTH",
        ".pth",
        "\u{ff38}.pth",
        "sitecustomize.py",
        "SiteCustomize.py",
        "sitecustomize.pyc",
        "sitecustomize.cpython-314-wasm32-emscripten.so",
        "sitecustomize/__init__.py",
        "usercustomize.py",
        "usercustomize/__init__.py",
    ] {
        assert_refused(&with_file(bad), "verify.unsafe_file", "start-up");
    }
    for good in [
        "mylib/x.pth",
        "mylib/sitecustomize.py",
        "sitecustomize_.py",
        "xpth",
        "x.pth.txt",
    ] {
        parse(&with_file(good)).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}

#[test]
fn rejects_files_that_are_not_sorted() {
    let mut value = value();
    value["files"].as_array_mut().unwrap().swap(1, 2);
    assert_refused(&value, "verify.malformed", "out of order");
}

#[test]
fn rejects_files_that_do_not_fill_their_object() {
    let value = value();
    let at = file(&value, "single.py");
    // The last file of the object: 5 bytes.
    for (size, reason) in [
        (5, None),
        (4, Some("expected files of")),
        (0, Some("expected files of")),
        (6, Some("outside its object")),
        (u64::MAX, Some("outside its object")),
    ] {
        let mut value = value.clone();
        value["files"][at]["size"] = json!(size);
        match reason {
            None => drop(parse(&value).unwrap()),
            Some(reason) => assert_refused(&value, "verify.malformed", reason),
        }
    }
    // Moved to another object, it is missing in one and too much in the other.
    let mut value = value.clone();
    value["files"][at]["object"] = json!(1);
    assert_refused(&value, "verify.malformed", "outside its object");
}

#[test]
fn files_of_one_object_lie_one_behind_the_other() {
    let manifest = manifest();
    let mut ends = [0; 2];
    let parsed = parse(&value()).unwrap();
    for (file, parsed) in manifest.files.iter().zip(&parsed.files) {
        assert_eq!(file.offset, ends[file.object], "{}", file.path);
        assert_eq!(file, parsed);
        ends[file.object] += file.size;
    }
    // What a key says of it is not looked at.
    let mut value = value();
    value["files"][1]["offset"] = json!("elsewhere");
    assert_eq!(*parse(&value).unwrap(), *parsed);
    let mut moved = manifest;
    moved.files[1].offset += 1;
    assert!(moved.validate("release.json", &Limits::default()).is_err());
}

#[test]
fn rejects_files_in_an_object_that_is_not_there() {
    for object in [2, 1_000_000, u64::from(u32::MAX)] {
        let mut value = value();
        value["files"][0]["object"] = json!(object);
        assert_refused(&value, "verify.malformed", "not there");
    }
}

#[test]
fn an_unencoded_object_has_one_size() {
    let mut value = value();
    value["objects"][0]["encoding"] = json!("identity");
    assert_refused(&value, "verify.malformed", "two sizes");
    value["objects"][0]["size"] = value["objects"][0]["decoded_size"].clone();
    let parsed = parse(&value).unwrap();
    assert_eq!(parsed.objects[0].encoding, Encoding::Identity);
}

#[test]
fn tagged_objects_hold_bytecode_of_their_tag_and_nothing_else() {
    let pyc = "mylib/__pycache__/core.cpython-314.pyc";
    let rename = |from: &str, to: &str| {
        let mut value = value();
        let at = file(&value, from);
        value["files"][at]["path"] = json!(to);
        let files = value["files"].as_array_mut().unwrap();
        files.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
        value
    };
    for (name, value) in [
        (
            "another tag",
            rename(pyc, "mylib/__pycache__/core.cpython-313.pyc"),
        ),
        ("no tag", rename(pyc, "mylib/__pycache__/core.pyc")),
        (
            "another folder",
            rename(pyc, "mylib/cache/core.cpython-314.pyc"),
        ),
        (
            "a folder below",
            rename(pyc, "mylib/__pycache__/sub/core.cpython-314.pyc"),
        ),
        (
            "no such source",
            rename(pyc, "mylib/__pycache__/gone.cpython-314.pyc"),
        ),
        ("no bytecode", rename(pyc, "mylib/__pycache__/core.txt")),
        (
            "an optimised one",
            rename(pyc, "mylib/__pycache__/core.cpython-314.opt-1.pyc"),
        ),
        (
            "source in another case",
            rename(pyc, "mylib/__pycache__/Core.cpython-314.pyc"),
        ),
    ] {
        assert!(parse(&value).is_err(), "{name}");
        assert_refused(&value, "verify.malformed", "tag");
    }

    // Source in a tagged object: other interpreters would miss it.
    let mut value = value();
    let at = file(&value, "mylib/empty.txt");
    value["files"][at]["object"] = json!(1);
    assert_refused(&value, "verify.malformed", "tag");
    value["files"][at]["object"] = json!(0);

    // Bytecode in an untagged one: every interpreter would get it.
    value["objects"][1].as_object_mut().unwrap().remove("tag");
    assert_refused(&value, "verify.malformed", "tag");
}

#[test]
fn each_interpreter_needs_its_own_objects() {
    let manifest = manifest();
    let tag = |text: &str| text.parse::<CacheTag>().unwrap();
    let now = |text: &str| manifest.plan(&tag(text), &[]).unwrap().ready().unwrap();
    let (with_bytecode, without) = (now("cpython-314"), now("cpython-313"));
    assert_eq!(
        (with_bytecode.now, with_bytecode.sources),
        (vec![0, 1], vec![])
    );
    assert_eq!((without.now, without.sources), (vec![0], vec![]));
    assert!(manifest.has_bytecode(&tag("cpython-314")));
    assert!(!manifest.has_bytecode(&tag("cpython-313")));
}

#[test]
fn an_object_is_checked_by_length_and_digest() {
    let mut object = manifest().objects[0].clone();
    let bytes = b"as transferred";
    object.sha256 = Sha256Digest::of(bytes);
    object.size = bytes.len() as u64;
    let expected = object.expected();
    let text = object.sha256.to_string();
    assert_eq!(expected.subject, format!("objects/{}/{text}", &text[..2]));
    let code = |bytes: &[u8]| expected.check_bytes(bytes).map_err(|error| error.code());
    assert_eq!(code(bytes), Ok(()));
    assert_eq!(code(b"as transferreD"), Err("verify.digest"));
    assert_eq!(code(b"as transferred "), Err("verify.length"));
    assert_eq!(code(b""), Err("verify.length"));
}

#[test]
fn rejects_claims_that_the_files_do_not_bear_out() {
    let changes: [Change; 8] = [
        |it| it["modules"] = json!([]),
        |it| it["modules"] = json!(["mylib", "shared"]),
        |it| it["modules"] = json!(["json", "mylib", "shared", "single"]),
        |it| it["modules"] = json!(["shared", "mylib", "single"]),
        |it| it["modules"] = json!(["mylib", "mylib", "shared", "single"]),
        |it| it["namespaces"] = json!([]),
        |it| it["namespaces"] = json!(["mylib", "shared"]),
        |it| it["namespaces"] = json!(["json", "shared"]),
    ];
    for change in changes {
        let mut value = value();
        change(&mut value);
        assert_refused(&value, "verify.malformed", "import names");
    }
    // The other way round: a file that brings a name of its own.
    for hidden in [
        "json.py",
        "json/decoder.py",
        "json.so",
        "json.cpython-314-wasm32-emscripten.so",
    ] {
        let mut value = with_file(hidden);
        assert!(parse(&value).unwrap().modules.contains(&"json".to_owned()));
        value["modules"] = json!(["mylib", "shared", "single"]);
        value["namespaces"] = json!(["shared"]);
        assert_refused(&value, "verify.malformed", "import names");
    }
}

#[test]
fn limits_are_refused_above_and_not_at_their_value() {
    type Lower = fn(&mut Limits, u64);
    let manifest = manifest();
    let bytes = manifest.to_bytes().unwrap();
    let decoded: Vec<u64> = manifest.objects.iter().map(|it| it.decoded_size).collect();
    let cases: [(&str, u64, Lower); 8] = [
        ("verify.too_large", bytes.len() as u64, |it, value| {
            it.manifest = value;
        }),
        (
            "verify.malformed",
            manifest.files.len() as u64,
            |it, value| {
                it.files = usize::try_from(value).unwrap();
            },
        ),
        // One.
        ("verify.malformed", 1, |it, value| {
            it.requirements = usize::try_from(value).unwrap();
        }),
        (
            "verify.malformed",
            manifest.requires[0].len() as u64,
            |it, value| it.requirement = usize::try_from(value).unwrap(),
        ),
        ("verify.too_large", 20, |it, value| it.object = value),
        ("verify.too_large", 40, |it, value| it.release = value),
        ("verify.too_large", decoded[0], |it, value| {
            it.object_decoded = value;
        }),
        ("verify.too_large", decoded[0] + decoded[1], |it, value| {
            it.release_decoded = value;
        }),
    ];
    for (code, exact, lower) in cases {
        let parse = |limit: u64| {
            let mut limits = Limits::default();
            lower(&mut limits, limit);
            let name = "mylib".parse().unwrap();
            Manifest::parse(&bytes, &expected(&bytes), &name, None, &limits)
                .map(drop)
                .map_err(|error| error.code())
        };
        assert_eq!(parse(exact), Ok(()));
        assert_eq!(parse(exact - 1), Err(code));
    }
}

#[test]
fn sizes_that_overflow_together_are_too_large() {
    for size in ["size", "decoded_size"] {
        let mut value = value();
        let object = value["objects"][0].clone();
        for _ in 0..3 {
            let mut object = object.clone();
            object[size] = json!(u64::MAX / 2);
            value["objects"].as_array_mut().unwrap().push(object);
        }
        let bytes = serde_json::to_vec(&value).unwrap();
        let limits = Limits {
            object: u64::MAX,
            object_decoded: u64::MAX,
            release: u64::MAX - 1,
            release_decoded: u64::MAX - 1,
            ..Limits::default()
        };
        let result = Manifest::parse(
            &bytes,
            &expected(&bytes),
            &"mylib".parse().unwrap(),
            None,
            &limits,
        );
        assert!(
            matches!(result, Err(VerifyError::TooLarge { .. })),
            "{size}"
        );
    }
}

#[test]
fn what_is_sent_counts_as_much_as_what_it_holds() {
    const MIB: u64 = 1024 * 1024;
    let with_large_objects = |count: usize| {
        let mut value = value();
        let mut object = value["objects"][0].clone();
        (object["size"], object["decoded_size"]) = (json!(128 * MIB), json!(0));
        let objects = value["objects"].as_array_mut().unwrap();
        objects.extend(std::iter::repeat_n(object, count));
        value
    };
    parse(&with_large_objects(7)).unwrap();
    assert_refused(&with_large_objects(8), "verify.too_large", "1073741824");
}

#[test]
fn rejects_more_objects_than_there_may_be_files() {
    let mut value = value();
    value["objects"].as_array_mut().unwrap().resize(
        200_000,
        json!({"sha256": "00".repeat(32), "size": 0, "encoding": "identity", "decoded_size": 0}),
    );
    parse(&value).unwrap();
    let objects = value["objects"].as_array_mut().unwrap();
    objects.push(objects[2].clone());
    assert_refused(&value, "verify.malformed", "objects");
}

#[test]
fn requirements_are_few_and_short() {
    let mut value = value();
    value["requires"] = json!(vec!["x".repeat(512); 1_000]);
    parse(&value).unwrap();
    value["requires"] = json!(["x".repeat(513)]);
    assert_refused(
        &value,
        "verify.malformed",
        "requirements of at most 512 bytes",
    );
    value["requires"] = json!(vec!["x"; 1_001]);
    assert_refused(&value, "verify.malformed", "at most 1000 requirements");
}

#[test]
fn rejects_more_entry_modules_than_there_may_be() {
    let mut value = value();
    let names =
        |count: usize| -> Vec<String> { (0..count).map(|at| format!("gone{at:04}")).collect() };
    value["entry"] = json!(names(1_000));
    assert_refused(&value, "verify.malformed", "`gone0000` is not there");
    value["entry"] = json!(names(1_001));
    assert_refused(&value, "verify.malformed", "at most 1000 entry modules");
}

#[test]
fn an_empty_release_is_one() {
    let mut value = value();
    for key in [
        "modules",
        "namespaces",
        "distributions",
        "requires",
        "objects",
        "files",
    ] {
        value[key] = json!([]);
    }
    let parsed = parse(&value).unwrap();
    assert!(parsed.modules.is_empty());
}

#[test]
fn rejects_import_names_that_something_else_has() {
    let manifest = manifest();
    let occupied = |names: &[(&str, &str)]| -> Map<String, String> {
        names
            .iter()
            .map(|(name, owner)| ((*name).into(), (*owner).into()))
            .collect()
    };
    let free = occupied(&[
        ("json", "the standard library"),
        ("mylib2", "the release `mylib2` 1.0"),
    ]);
    manifest.check_shadowing(&free, &[]).unwrap();

    let taken = occupied(&[("single", "the Pyodide package `single`")]);
    let error = manifest.check_shadowing(&taken, &[]).unwrap_err();
    assert_eq!(error.code(), "resolve.shadow");
    assert_eq!(
        error.to_string(),
        "`mylib` claims the import name `single`, which belongs to the Pyodide package `single`"
    );
    assert!(error.hint().contains("allow_shadow=[\"single\"]"));
    let loaded = occupied(&[("single", "the release `other` 1.0")]);
    let error = manifest.check_shadowing(&loaded, &[]).unwrap_err();
    assert!(error.hint().starts_with("unload that release first"));
    manifest
        .check_shadowing(&taken, &["single".into()])
        .unwrap();
    manifest
        .check_shadowing(&taken, &["mylib".into()])
        .unwrap_err();
}

#[test]
fn rejects_an_interpreter_that_the_release_leaves_out() {
    let mut manifest = manifest();
    for (required, python, accepted) in [
        (Some(">=3.11"), "3.11.0", true),
        (Some(">=3.11"), "3.10.9", false),
        (Some(">=3.9,<3.14"), "3.13.2", true),
        (Some(">=3.9,<3.14"), "3.14.0", false),
        (Some("not a specifier"), "3.14.0", true),
        (None, "3.14.0", true),
    ] {
        manifest.requires_python = required.map(str::to_owned);
        let result = manifest.check_python(python).map_err(|error| error.code());
        let expected = if accepted {
            Ok(())
        } else {
            Err("resolve.python")
        };
        assert_eq!(result, expected, "{required:?} {python}");
    }
    manifest.requires_python = Some(">=3.15".into());
    let error = manifest.check_python("3.14.2").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`mylib` 1.0 requires Python >=3.15, this is Python 3.14.2"
    );
}

#[test]
fn many_files_are_checked_in_reasonable_time() {
    let mut manifest = sample::manifest();
    let entry = manifest.files[0].clone();
    manifest.files = (0..20_000)
        .map(|index| {
            let mut entry = entry.clone();
            entry.path = format!("mylib/a/b/c/file{index:06}.txt");
            entry.size = 0;
            entry
        })
        .collect();
    manifest.modules = vec!["mylib".into()];
    manifest.namespaces = vec!["mylib".into()];
    for object in &mut manifest.objects {
        object.decoded_size = 0;
    }
    manifest
        .validate("release.json", &Limits::default())
        .unwrap();
}
