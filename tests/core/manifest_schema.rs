//! `docs/release.schema.json` and the parser agree, as far as a schema can say it.

use serde_json::{Value, json};

use crate::sample::{parse, value, with_file};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/release.schema.json")).unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

#[test]
fn the_schema_is_one() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn a_manifest_that_core_wrote_fits() {
    let (validator, value) = (validator(), value());
    let errors: Vec<_> = validator
        .iter_errors(&value)
        .map(|it| it.to_string())
        .collect();
    assert_eq!(errors, [""; 0]);
    parse(&value).unwrap();
}

#[test]
fn the_example_in_the_documentation_fits_but_for_its_shortened_digests() {
    let text = include_str!("../../docs/format.md");
    let (_, example) = text
        .split_once("```json\n{\n  \"format\": \"webimport-release/")
        .unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example =
        format!("{{\"format\": \"webimport-release/{example}").replace('\u{2026}', &"0".repeat(62));
    let mut value: Value = serde_json::from_str(&example).unwrap();
    assert!(validator().is_valid(&value));
    // What `parse` asks for.
    value["version"] = json!("1.0");
    parse(&value).unwrap();
}

#[test]
fn both_accept_import_edges_and_entry_modules() {
    let mut value = value();
    value["entry"] = json!(["mylib.core", "single"]);
    value["source"] = json!(true);
    let at = |path: &str| {
        let files = value["files"].as_array().unwrap();
        files.iter().position(|file| file["path"] == path).unwrap()
    };
    let (package, core) = (at("mylib/__init__.py"), at("mylib/core.py"));
    value["files"][package]["imports"] = json!([core]);
    assert!(validator().is_valid(&value));
    parse(&value).unwrap();
}

#[test]
fn a_manifest_with_shards_and_its_shards_fit() {
    let (root, shards) = crate::shards::files_of_a_release();
    assert!(validator().is_valid(&root));
    let mut of_shards = schema();
    of_shards["$ref"] = json!("#/$defs/shard");
    for key in ["type", "required", "properties"] {
        of_shards.as_object_mut().unwrap().remove(key);
    }
    let validator = jsonschema::draft202012::new(&of_shards).unwrap();
    assert!(!shards.is_empty());
    for shard in &shards {
        let errors: Vec<_> = validator
            .iter_errors(shard)
            .map(|it| it.to_string())
            .collect();
        assert_eq!(errors, [""; 0]);
        let changes: [fn(&mut Value); 8] = [
            |it| it["format"] = json!("webimport-shard/2"),
            |it| drop(it.as_object_mut().unwrap().remove("folder")),
            |it| drop(it.as_object_mut().unwrap().remove("objects")),
            |it| it["folder"] = json!("../x"),
            |it| it["files"][0]["path"] = json!("../x"),
            |it| it["files"][0]["imports_elsewhere"] = json!([1]),
            |it| it["shards"] = json!([{"folder": "x"}]),
            |it| it["shards"] = json!({}),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut value = shard.clone();
            change(&mut value);
            assert!(!validator.is_valid(&value), "change {index}: {value}");
        }
    }
}

#[test]
fn both_accept_what_a_later_format_may_add() {
    let mut value = value();
    for place in ["", "/distributions/0", "/objects/0", "/files/0"] {
        value.pointer_mut(place).unwrap()["x-future"] = json!([{}]);
    }
    assert!(validator().is_valid(&value));
    parse(&value).unwrap();
}

#[test]
fn both_reject_what_the_format_does() {
    type Change = fn(&mut Value);
    let changes: [Change; 34] = [
        |it| *it = json!([]),
        |it| it["format"] = json!("webimport-release/2"),
        |it| drop(it.as_object_mut().unwrap().remove("format")),
        |it| drop(it.as_object_mut().unwrap().remove("modules")),
        |it| drop(it.as_object_mut().unwrap().remove("files")),
        |it| drop(it.as_object_mut().unwrap().remove("objects")),
        |it| it["name"] = json!("-mylib"),
        |it| it["name"] = json!("mylib."),
        |it| it["name"] = json!("x".repeat(101)),
        |it| it["version"] = json!("v1"),
        |it| it["version"] = json!("1/2"),
        |it| it["modules"] = json!(["mylib", "mylib", "shared", "single"]),
        |it| it["requires"] = json!("numpy"),
        |it| it["requires"] = json!(["x".repeat(513)]),
        |it| it["requires"] = json!(vec!["x"; 1_001]),
        |it| it["requires_python"] = json!(3),
        |it| it["requires_python"] = json!(null),
        |it| it["objects"][0]["tag"] = json!(null),
        |it| it["distributions"] = json!([{"name": "mylib"}]),
        |it| it["distributions"] = json!([["mylib", "1.0"]]),
        |it| it["objects"][0]["sha256"] = json!("AB".repeat(32)),
        |it| it["objects"][0]["encoding"] = json!("br"),
        |it| it["objects"][0]["size"] = json!(-1),
        |it| it["objects"][1]["tag"] = json!("cpython 314"),
        |it| it["objects"][0]["decoded_sha256"] = json!("AB".repeat(32)),
        |it| {
            let object = it["objects"][0].as_object_mut().unwrap();
            object.remove("decoded_sha256");
        },
        |it| drop(it["files"][0].as_object_mut().unwrap().remove("object")),
        |it| it["partial"] = json!("yes"),
        |it| it["source"] = json!(null),
        |it| it["entry"] = json!("mylib"),
        |it| it["entry"] = json!(["mylib", "mylib"]),
        |it| it["entry"] = json!([""]),
        |it| it["files"][1]["imports"] = json!([-1]),
        |it| it["files"][1]["imports"] = json!([1, 1]),
    ];
    let validator = validator();
    for (index, change) in changes.into_iter().enumerate() {
        let mut value = value();
        change(&mut value);
        assert!(!validator.is_valid(&value), "change {index}: {value}");
        assert!(parse(&value).is_err(), "change {index}");
    }
}

#[test]
fn both_judge_paths_alike() {
    let validator = validator();
    for bad in [
        "",
        "/a",
        "..",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a/.",
        "a//b",
        "a/",
        "a\\b",
        "a:b",
        "a\0",
        "a\nb",
        "a\u{7f}",
        "a\u{9f}",
        "x.pth",
        "X.PTH",
        "sitecustomize.py",
        "usercustomize/__init__.py",
        "SITECUSTOMIZE.py",
    ] {
        let value = with_file(bad);
        assert!(!validator.is_valid(&value), "{bad:?}");
        assert!(parse(&value).is_err(), "{bad:?}");
    }
    for good in [
        "...",
        "a/...",
        "..a",
        ".hidden",
        "a/x.pth",
        "x.pth.txt",
        "a/sitecustomize.py",
        "sitecustomize_.py",
        "a b/c",
        "a/\u{e9}",
        "a/\u{1f40d}",
    ] {
        let value = with_file(good);
        assert!(validator.is_valid(&value), "{good:?}");
        parse(&value).unwrap_or_else(|error| panic!("{good:?}: {error}"));
    }
}
