//! Wheels that are not what they should be. Each refusal stands beside the nearest wheel that is accepted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use support::{WheelBuilder, zip};
use webimport_cli::wheel::{Wheel, WheelError, WheelLimits, read};
use webimport_core::error::Coded as _;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn base() -> WheelBuilder {
    WheelBuilder::new("greet", "1.0")
}

fn read_bytes(name: &str, bytes: &[u8]) -> Result<Wheel, WheelError> {
    read_limited(name, bytes, &WheelLimits::default())
}

fn read_limited(name: &str, bytes: &[u8], limits: &WheelLimits) -> Result<Wheel, WheelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    read(&path, limits)
}

fn read_entries(entries: &[(String, Vec<u8>)]) -> Result<Wheel, WheelError> {
    read_bytes(&base().file_name(), &zip(entries))
}

fn code(result: Result<Wheel, WheelError>) -> &'static str {
    match result {
        Ok(wheel) => panic!("accepted {:?}", wheel.files.keys()),
        Err(error) => error.code(),
    }
}

#[test]
fn a_plain_wheel_is_read() {
    let wheel = read_entries(
        &base()
            .metadata("Requires-Dist: a\nRequires-Dist: b")
            .entries(),
    )
    .unwrap();
    assert_eq!((&*wheel.name, &*wheel.version), ("greet", "1.0"));
    assert_eq!(wheel.requires, ["a", "b"]);
    assert_eq!(wheel.files.len(), 4);
    assert!(wheel.notes.is_empty());
}

#[test]
fn names_may_be_spelt_differently_but_not_differ() {
    let bytes = zip(&WheelBuilder::new("my-greet", "1.0").entries());
    assert!(read_bytes("My_Greet-1.0-py3-none-any.whl", &bytes).is_ok());
    assert!(read_bytes("my_greet-1.0-1-py2.py3-none-any.whl", &bytes).is_ok());
    for name in [
        "greet-1.0-py3-none-any.whl",
        "my_greet-1.1-py3-none-any.whl",
        "my_greet-1.0.whl",
        "my-greet-1.0-py3-none-any-x.whl",
    ] {
        assert_eq!(code(read_bytes(name, &bytes)), "publish.wheel", "{name}");
    }
}

#[test]
fn every_file_has_to_match_record() {
    let mut entries = base().entries();
    entries[0].1.push(b'#');
    assert_eq!(code(read_entries(&entries)), "publish.record");

    let mut entries = base().entries();
    entries.push(("greet/unlisted.py".into(), vec![]));
    assert_eq!(code(read_entries(&entries)), "publish.record");

    for (digest, reason) in [
        ("", "no digest"),
        ("md5=1B2M2Y8AsgTpgAmY7PhCfg", "weak"),
        ("sha256=", "empty"),
    ] {
        let mut wheel = base();
        let record: String = String::from_utf8(wheel.entries().pop().unwrap().1).unwrap();
        let line = record.lines().next().unwrap();
        let (path, rest) = line.split_once(',').unwrap();
        let size = rest.rsplit_once(',').unwrap().1;
        wheel.record = Some(record.replace(line, &format!("{path},{digest},{size}")));
        assert_eq!(
            code(read_entries(&wheel.entries())),
            "publish.record",
            "{reason}"
        );
    }
    let mut wheel = base();
    wheel.record = Some("\"open".into());
    assert_eq!(code(read_entries(&wheel.entries())), "publish.wheel");
}

#[test]
fn metadata_have_to_be_there_and_fit() {
    for missing in ["METADATA", "WHEEL", "RECORD"] {
        let mut entries = base().entries();
        entries.retain(|(path, _)| !path.ends_with(missing));
        assert_eq!(code(read_entries(&entries)), "publish.wheel", "{missing}");
    }
    assert_eq!(
        code(read_entries(&[("greet/__init__.py".into(), vec![])])),
        "publish.wheel"
    );
    let two = base().file("other-1.0.dist-info/METADATA", "");
    assert_eq!(code(read_entries(&two.entries())), "publish.wheel");
    let future: Vec<_> = base()
        .entries()
        .into_iter()
        .map(|(path, content)| {
            let content = String::from_utf8(content)
                .unwrap()
                .replace("Wheel-Version: 1.0", "Wheel-Version: 2.0");
            (path, content.into_bytes())
        })
        .collect();
    assert_eq!(code(read_entries(&future)), "publish.wheel");
}

#[test]
fn paths_stay_inside() {
    for path in [
        "../evil.py",
        "/evil.py",
        "greet/../../evil.py",
        "greet\\evil.py",
        "C:/evil.py",
        "greet/./x.py",
    ] {
        let mut entries = base().entries();
        entries.insert(0, (path.into(), vec![]));
        assert_eq!(code(read_entries(&entries)), "verify.path", "{path}");
    }
    let twins = base().file("greet/Data.txt", "").file("greet/data.txt", "");
    assert_eq!(code(read_entries(&twins.entries())), "verify.path");
    assert!(read_entries(&base().file("greet/..data.txt", "").entries()).is_ok());
}

#[test]
fn links_and_doubled_names_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink("greet/link", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    assert_eq!(
        code(read_bytes(&base().file_name(), &bytes)),
        "publish.wheel"
    );

    // The writer refuses doubled names, so two names of one length are made equal afterwards.
    let mut entries = base().entries();
    entries.push(("greet/one.py".into(), b"1".to_vec()));
    entries.push(("greet/two.py".into(), b"2".to_vec()));
    let mut bytes = zip(&entries);
    let name = b"greet/two.py";
    let places: Vec<usize> = (0..bytes.len() - name.len())
        .filter(|at| bytes[*at..].starts_with(name))
        .collect();
    assert_eq!(places.len(), 2, "local header and directory");
    for place in places {
        bytes[place..place + name.len()].copy_from_slice(b"greet/one.py");
    }
    assert_eq!(
        code(read_bytes(&base().file_name(), &bytes)),
        "publish.wheel"
    );
}

#[test]
fn an_entry_that_is_a_folder_for_some_and_a_file_for_others_is_refused() {
    let with = |path: &str, content: &[u8]| {
        let mut entries = base().entries();
        entries.push((path.into(), content.to_vec()));
        read_entries(&entries)
    };
    // Some readers take a backslash at the end for a folder's, others unpack a file.
    for content in [&b""[..], b"x = 1"] {
        assert_eq!(code(with("greet\\", content)), "verify.path");
        assert_eq!(code(with("greet/evil.py\\", content)), "verify.path");
    }
    assert_eq!(code(with("greet/evil.py/", b"x = 1")), "publish.wheel");
    assert_eq!(with("greet/folder/", b"").unwrap().files.len(), 4);
}

#[test]
fn a_local_header_that_differs_from_the_directory_is_refused() {
    let mut bytes = zip(&base().entries());
    let name = b"greet/__init__.py";
    let place = (0..bytes.len())
        .find(|at| bytes[*at..].starts_with(name))
        .unwrap();
    bytes[place] = b'G';
    assert_eq!(
        code(read_bytes(&base().file_name(), &bytes)),
        "publish.wheel"
    );
}

#[test]
fn sizes_are_bounded() {
    let wheel = base().file("greet/data.bin", vec![7; 300_000]);
    let bytes = zip(&wheel.entries());
    let with = |limits: WheelLimits| read_limited(&base().file_name(), &bytes, &limits);
    let default = WheelLimits::default();
    assert!(with(default.clone()).is_ok());
    assert_eq!(
        code(with(WheelLimits {
            archive: 100,
            ..default.clone()
        })),
        "publish.too_large"
    );
    assert_eq!(
        code(with(WheelLimits {
            entries: 4,
            ..default.clone()
        })),
        "publish.too_large"
    );
    assert_eq!(
        code(with(WheelLimits {
            total: 300_000,
            ..default.clone()
        })),
        "publish.too_large"
    );

    let bomb = base().file("greet/data.bin", vec![0; 8 * 1024 * 1024]);
    let bomb = zip(&bomb.entries());
    assert_eq!(
        code(read_bytes(&base().file_name(), &bomb)),
        "publish.too_large"
    );
    let limits = WheelLimits {
        ratio: 2_000,
        ..default.clone()
    };
    assert!(read_limited(&base().file_name(), &bomb, &limits).is_ok());
    let limits = WheelLimits {
        ratio: 2_000,
        file: 1024 * 1024,
        ..default
    };
    assert_eq!(
        code(read_limited(&base().file_name(), &bomb, &limits)),
        "publish.too_large"
    );
}

#[test]
fn machine_code_has_to_be_web_assembly() {
    let with = |path: &str, content: &[u8]| read_entries(&base().file(path, content).entries());
    assert!(
        with(
            "greet/fast.cpython-314-wasm32-emscripten.so",
            b"\0asm\x01\0\0\0"
        )
        .is_ok()
    );
    assert_eq!(
        code(with(
            "greet/fast.cpython-314-x86_64-linux-gnu.so",
            b"\x7fELF"
        )),
        "publish.platform"
    );
    assert_eq!(code(with("greet/fast.pyd", b"MZ")), "publish.platform");
    assert_eq!(
        code(with("greet.libs/libz.so.1", b"\x7fELF")),
        "publish.platform"
    );
}

#[test]
fn extension_modules_have_a_suffix_that_pyodide_imports() {
    let with = |file: &str| {
        let path = format!("greet/{file}");
        read_entries(&base().file(&path, b"\0asm\x01\0\0\0").entries())
    };
    // `importlib.machinery.EXTENSION_SUFFIXES` in Pyodide, for any Python 3; and libraries, which are not imported.
    for file in [
        "fast.so",
        "fast.abi3.so",
        "fast.cpython-314-wasm32-emscripten.so",
        "fast.cpython-313-wasm32-emscripten.so",
        "libfast.so.1.2",
    ] {
        assert!(with(file).is_ok(), "{file}");
    }
    for file in [
        "fast.cpython-314.so",
        "fast.cpython-313-x86_64-linux-gnu.so",
        "fast.cpython-314-wasm64-emscripten.so",
        "fast.cpython-314-wasm32-wasi.so",
        "fast.cpython-3-wasm32-emscripten.so",
        "fast.cpython-27-wasm32-emscripten.so",
        "fast.cpython-314t-wasm32-emscripten.so",
        "fast.pypy311-pp73-wasm32-emscripten.so",
        "fast.abi4.so",
        "fast.1.so",
        "fast.SO",
        "fast.abi3.cpython-313-x86_64-linux-gnu.so",
        "fast.cpython-313-x86_64-linux-gnu.abi3.so",
    ] {
        let error = with(file).err().unwrap();
        assert_eq!(error.code(), "publish.platform", "{file}");
        assert!(error.to_string().contains(file), "{error}");
        assert!(error.hint().contains("Pyodide"), "{file}");
    }
}

#[test]
fn data_folders_have_their_place() {
    let with = |path: &str| read_entries(&base().file(path, "text").entries());
    let wheel = with("greet-1.0.data/platlib/greet/more.py").unwrap();
    assert!(wheel.files.contains_key("greet/more.py"));
    let wheel = with("greet-1.0.data/headers/greet.h").unwrap();
    assert_eq!(wheel.files.len(), 4);
    assert_eq!(
        wheel.notes,
        ["`greet-1.0-py3-none-any.whl`: left out 1 file in `headers`"]
    );
    assert_eq!(code(with("greet-1.0.data/other/x")), "publish.wheel");
    // The same file twice is one; two different ones are not.
    assert_eq!(
        code(with("greet-1.0.data/purelib/greet/__init__.py")),
        "publish.wheel"
    );
}

#[test]
fn what_is_no_archive_is_refused() {
    for bytes in [
        &b""[..],
        b"PK",
        b"<!doctype html>",
        &zip(&base().entries())[..200],
    ] {
        assert_eq!(
            code(read_bytes(&base().file_name(), bytes)),
            "publish.wheel"
        );
    }
    assert_eq!(
        code(read(
            Path::new("none-1.0-py3-none-any.whl"),
            &WheelLimits::default()
        )),
        "publish.wheel"
    );
    // A changed byte in the compressed data.
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .start_file("greet/__init__.py", SimpleFileOptions::default())
        .unwrap();
    writer.write_all(&b"some text ".repeat(100)).unwrap();
    let mut bytes = writer.finish().unwrap().into_inner();
    let start = 30 + "greet/__init__.py".len();
    bytes[start + 5] ^= 0xff;
    assert_eq!(
        code(read_bytes(&base().file_name(), &bytes)),
        "publish.wheel"
    );
}
