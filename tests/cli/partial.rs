//! Releases that readers fetch in part, and releases without source.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{TestRepository, WheelBuilder, skipped};
use webimport_cli::bytecode::{BytecodeChoice, SourceChoice};
use webimport_cli::observe::Silent;
use webimport_cli::release::{PARTIAL_ABOVE, ReleaseError, ReleaseOptions, Released, release};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::Coded as _;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, FileEntry, Manifest, ObjectEntry};
use webimport_core::names::CacheTag;
use webimport_core::path::tables;

/// Bytes that hardly compress: an archive that does is suspicious.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// The manifest with all its shards, read as readers do.
fn manifest(repository: &TestRepository, released: &Released) -> Manifest {
    let path = format!(
        "targets/{}/{}/{}.release.json",
        released.name, released.version, released.sha256
    );
    let bytes = fs::read(repository.root().join(path)).unwrap();
    let expected = Expected {
        subject: "release.json".into(),
        length: None,
        sha256: released.sha256,
    };
    let limits = Limits::default();
    let mut manifest = Manifest::parse(&bytes, &expected, &released.name, None, &limits).unwrap();
    while let Some(index) = manifest.unknown_shards().first().copied() {
        let object = &manifest.shards[index].object;
        let bytes = decoded(repository, object);
        manifest.add_shard(index, &bytes, &limits, tables).unwrap();
    }
    manifest.into_inner()
}

fn decoded(repository: &TestRepository, object: &ObjectEntry) -> Vec<u8> {
    let stored = fs::read(repository.root().join(object.path())).unwrap();
    let mut decoded = Vec::new();
    match object.encoding {
        Encoding::Identity => decoded = stored,
        Encoding::Gzip => {
            let mut gzip = flate2::read::GzDecoder::new(&*stored);
            std::io::Read::read_to_end(&mut gzip, &mut decoded).unwrap();
        }
    }
    decoded
}

/// A file's bytes, out of its object.
fn content(repository: &TestRepository, manifest: &Manifest, file: &FileEntry) -> Vec<u8> {
    let object = &manifest.objects[file.object];
    let decoded = decoded(repository, object);
    let start = usize::try_from(file.offset).unwrap();
    decoded[start..start + usize::try_from(file.size).unwrap()].to_vec()
}

fn ends(path: &str, extension: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, own)| own == extension)
}

fn tag(text: &str) -> CacheTag {
    text.parse().unwrap()
}

/// Releases a wheel with the changes that `change` makes to the options.
fn released(
    repository: &TestRepository,
    wheel: &WheelBuilder,
    change: impl FnOnce(&mut ReleaseOptions),
) -> Result<Released, ReleaseError> {
    let folder = tempfile::tempdir().unwrap();
    let mut options = repository.options(&[wheel.write(folder.path())]);
    change(&mut options);
    release(&options, &Silent)
}

/// The paths of the files in the objects of a plan.
fn paths<'a>(manifest: &'a Manifest, objects: &[usize]) -> Vec<&'a str> {
    let files = manifest.files.iter();
    files
        .filter(|file| objects.contains(&file.object))
        .map(|file| &*file.path)
        .collect()
}

const MODULES: usize = 2_500;

/// 50 packages with 50 modules each. A module imports the next one of its package, the last one nothing.
fn large() -> WheelBuilder {
    let mut wheel = WheelBuilder::new("large", "1.0");
    let filling = "# A line of a comment, as there are many.\n".repeat(180);
    for package in 0..MODULES / 50 {
        let folder = format!("large/p{package:02}");
        wheel = wheel
            .file(&format!("{folder}/__init__.py"), "")
            .file(&format!("{folder}/table.csv"), "1,2\n");
        for module in 0..50 {
            let mut source = format!("{filling}N = {package}, {module}\n");
            if module < 49 {
                writeln!(source, "from . import m{:02}", module + 1).unwrap();
            }
            wheel = wheel.file(&format!("{folder}/m{module:02}.py"), source);
        }
    }
    wheel
}

#[test]
fn of_a_whole_release_what_is_needed_first_is_packed_apart_if_there_is_much_else() {
    for (filling, first) in [(400, 8), (700, 6)] {
        let filling = "# A line of a comment, as there are many.\n".repeat(filling * 1024 / 42);
        let wheel = WheelBuilder::new("lib", "1.0")
            .file("lib/__init__.py", "from . import a\n")
            .file("lib/a.py", "def f():\n    from . import b\n")
            .file("lib/b.py", "")
            .file("lib/tests/__init__.py", filling)
            .file("lib/tests/table.csv", "1,2\n");
        let repository = TestRepository::new();
        let released = released(&repository, &wheel, |_| ()).unwrap();
        assert!(!released.partial);
        let manifest = manifest(&repository, &released);
        let of = |modules: &[&str]| {
            let modules: Vec<String> = modules.iter().map(ToString::to_string).collect();
            manifest
                .plan(&tag("cpython-314"), &modules)
                .unwrap()
                .ready()
                .unwrap()
        };
        let plan = of(&[]);
        let now = paths(&manifest, &plan.now);
        assert_eq!(now.len(), first, "{now:?}");
        // What functions import is packed with what is imported first.
        for file in ["lib/__init__.py", "lib/a.py", "lib/b.py"] {
            assert!(now.contains(&file), "{file}");
        }
        assert_eq!(now.len() + paths(&manifest, &plan.others).len(), 8);
        let tests = of(&["lib.tests"]).now;
        assert!(paths(&manifest, &tests).contains(&"lib/tests/table.csv"));
    }
}

#[test]
fn a_large_release_is_fetched_in_part() {
    let repository = TestRepository::new();
    let released = released(&repository, &large(), |options| {
        options.entry = vec!["large.p01".into(), "large".into(), "large.p01".into()];
    })
    .unwrap();
    assert!(released.partial && released.source);
    let manifest = manifest(&repository, &released);
    assert!(manifest.partial);
    assert_eq!(manifest.entry, ["large", "large.p01"]);

    // Every module with something in it is alone; the empty ones, the tables and the metadata are not.
    let counts = manifest.files_per_object();
    for file in &manifest.files {
        let count = match file.path.rsplit('/').next().unwrap() {
            "__init__.py" if file.size == 0 => MODULES / 50,
            "METADATA" | "WHEEL" => 2,
            _ => 1,
        };
        assert_eq!(counts[file.object], count, "{}", file.path);
    }
    assert_eq!(manifest.objects.len(), MODULES + MODULES / 50 + 4);

    let imports: Vec<&str> = manifest
        .files
        .iter()
        .find(|file| file.path == "large/p07/m47.py")
        .unwrap()
        .imports
        .iter()
        .map(|index| &*manifest.files[*index as usize].path)
        .collect();
    assert_eq!(imports, ["large/p07/__init__.py", "large/p07/m48.py"]);

    let plan = |modules: &[&str]| {
        let modules: Vec<String> = modules.iter().map(ToString::to_string).collect();
        let plan = manifest
            .plan(&tag("cpython-314"), &modules)
            .unwrap()
            .ready()
            .unwrap();
        assert!(plan.sources.is_empty(), "there is no bytecode");
        plan.now
    };
    let metadata = "large-1.0.dist-info/METADATA large-1.0.dist-info/WHEEL";
    let in_plan = |modules: &[&str]| {
        let mut paths = paths(&manifest, &plan(modules));
        // The empty modules share an object.
        paths.retain(|path| !path.ends_with("/__init__.py"));
        paths.join(" ")
    };
    assert_eq!(
        in_plan(&["large.p07.m48"]),
        format!("{metadata} large/p07/m48.py large/p07/m49.py large/p07/table.csv")
    );
    assert_eq!(plan(&["large.p00.m00"]).len(), 50 + 4);
    assert_eq!(in_plan(&[]), format!("{metadata} large/p01/table.csv"));

    let verified = repository.verify("large").unwrap();
    assert!(verified.partial && verified.source);
    assert_eq!(
        (verified.files, verified.objects),
        (released.files, released.objects)
    );
}

#[test]
fn a_release_is_partial_above_a_bound_and_whole_at_it() {
    let wheel = |length| WheelBuilder::new("bound", "1.0").file("bound/data.bin", noise(length));
    let size = |wheel: &WheelBuilder| -> usize {
        wheel
            .entries()
            .iter()
            .map(|(_, content)| content.len())
            .sum()
    };
    let bound = usize::try_from(PARTIAL_ABOVE).unwrap();
    let around = size(&wheel(bound - 1000)) - (bound - 1000);
    for (length, partial) in [(bound - around, false), (bound - around + 1, true)] {
        let repository = TestRepository::new();
        let released = released(&repository, &wheel(length), |_| ()).unwrap();
        assert_eq!(released.decoded_bytes, (length + around) as u64);
        assert_eq!(released.partial, partial);
        repository.verify("bound").unwrap();
        let manifest = manifest(&repository, &released);
        let text = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(text.contains("\"partial\":true"), partial);
    }
}

#[test]
fn an_entry_module_has_to_be_there() {
    let repository = TestRepository::new();
    let wheel = WheelBuilder::new("greet", "1.0").file("greet/sub/a.py", "");
    for entry in ["greet.gone", "greet/sub", ""] {
        let error = released(&repository, &wheel, |it| it.entry = vec![entry.into()]).unwrap_err();
        assert_eq!(error.code(), "publish.entry");
        assert!(error.to_string().contains(&format!("`{entry}`")));
    }
    assert!(!repository.root().join("objects").exists());
    let released = released(&repository, &wheel, |it| {
        it.entry = vec!["greet.sub.a".into()];
    });
    assert_eq!(released.unwrap().entry, ["greet.sub.a"]);
    assert_eq!(repository.verify("greet").unwrap().entry, ["greet.sub.a"]);
}

#[test]
fn a_release_without_source_needs_bytecode() {
    let repository = TestRepository::new();
    let wheel = WheelBuilder::new("greet", "1.0");
    let error = released(&repository, &wheel, |it| it.source = SourceChoice::LeftOut).unwrap_err();
    assert!(matches!(error, ReleaseError::NoBytecode));
    assert_eq!(error.code(), "publish.bytecode");
    assert!(error.hint().contains("--pyodide"));
    assert!(!repository.root().join("objects").exists());
}

fn python() -> Option<PathBuf> {
    let found = ["python3", "python"].into_iter().find(|name| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        skipped("no Python is on PATH");
    }
    found.map(PathBuf::from)
}

/// The same Python, which says that it is another one.
#[cfg(unix)]
fn another(python: &Path, folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let script = format!(
        "#!/bin/sh\nexec {} -c '\nimport runpy, sys\nsys.implementation.cache_tag = \"cpython-399\"\n\
         script, job = [it for it in sys.argv[1:] if not it.startswith(\"-\")]\nsys.argv = [script, job]\n\
         runpy.run_path(script, run_name=\"__main__\")\n' \"$@\"\n",
        python.display()
    );
    let path = folder.join("another");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A package that does something, and can fail; 17 MiB if it is to be partial.
fn package(large: bool) -> WheelBuilder {
    let wheel = WheelBuilder::new("greet", "1.0")
        .file("greet/__init__.py", "from .words import hello\n")
        .file("greet/words.py", "def hello():\n    return 1 / 0\n")
        .file("greet/words.pyi", "def hello() -> int: ...\n")
        .file("greet/unused.py", "import single\n")
        .file("greet-1.0.data/purelib/single.py", "import greet.words\n");
    if large {
        wheel.file("greet/data.bin", noise(17 << 20))
    } else {
        wheel
    }
}

#[cfg(unix)]
#[test]
fn bytecode_for_two_tags_is_packed_by_tag() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let two = BytecodeChoice::Interpreters(vec![python.clone(), another(&python, folder.path())]);
    for large in [false, true] {
        let repository = TestRepository::new();
        let released = released(&repository, &package(large), |it| {
            it.bytecode = Some(two.clone());
        })
        .unwrap();
        assert_eq!(released.partial, large);
        assert_eq!(released.bytecode.len(), 2);
        let tags: Vec<CacheTag> = released.bytecode.iter().map(|it| it.tag.clone()).collect();
        let manifest = manifest(&repository, &released);
        for object in 0..manifest.objects.len() {
            let paths = paths(&manifest, &[object]);
            let kind = |path: &str| {
                let at = tags.iter().position(|tag| path.contains(tag.as_str()));
                let source = ["py", "pyi"].iter().any(|end| ends(path, end));
                (at, source)
            };
            assert!(
                paths.iter().all(|path| kind(path) == kind(paths[0])),
                "{paths:?}"
            );
            let tag = manifest.objects[object].tag.as_ref();
            assert_eq!(tag, kind(paths[0]).0.map(|at| &tags[at]));
        }
        for tag in &tags {
            let plan = manifest
                .plan(tag, &["greet".into()])
                .unwrap()
                .ready()
                .unwrap();
            let mut later = paths(&manifest, &plan.sources);
            later.sort_unstable();
            let all = [
                "greet/__init__.py",
                "greet/unused.py",
                "greet/words.py",
                "greet/words.pyi",
                "single.py",
            ];
            let some = ["greet/__init__.py", "greet/words.py", "greet/words.pyi"];
            assert_eq!(later, if large { &some[..] } else { &all[..] });
            let now = paths(&manifest, &plan.now);
            // The list of all files comes when it is read.
            let count = if large { 2 + 3 } else { 4 + 3 };
            assert_eq!(now.len(), count, "{now:?}");
            assert!(
                now.iter()
                    .filter(|path| ends(path, "pyc"))
                    .all(|path| path.contains(tag.as_str()))
            );
        }
        let verified = repository.verify("greet").unwrap();
        assert_eq!(verified.bytecode.len(), 2);
    }
}

#[cfg(unix)]
#[test]
fn a_release_without_source_is_imported_from_bytecode() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let two = BytecodeChoice::Interpreters(vec![python.clone(), another(&python, folder.path())]);
    for large in [false, true] {
        let repository = TestRepository::new();
        let bad = package(large).file("greet/bad.py", "def (\n");
        let released = released(&repository, &bad, |it| {
            it.bytecode = Some(two.clone());
            it.source = SourceChoice::LeftOut;
        })
        .unwrap();
        assert_eq!((released.partial, released.source), (large, false));
        assert_eq!(released.modules, ["greet", "single"]);
        assert!(
            released
                .notes
                .iter()
                .any(|note| note.contains("`greet/bad.py` is left out")),
            "{:?}",
            released.notes
        );
        let manifest = manifest(&repository, &released);
        assert!(!manifest.source);
        assert!(manifest.files.iter().all(|file| !ends(&file.path, "py")));
        assert!(
            manifest
                .files
                .iter()
                .any(|file| file.path == "greet/words.pyi")
        );
        let verified = repository.verify("greet").unwrap();
        assert!(!verified.source);

        // Import edges stay within a tag.
        let edges: BTreeMap<&str, Vec<&str>> = manifest
            .files
            .iter()
            .filter(|file| !file.imports.is_empty())
            .map(|file| {
                let to = file
                    .imports
                    .iter()
                    .map(|index| &*manifest.files[*index as usize].path);
                (&*file.path, to.collect())
            })
            .collect();
        assert_eq!(edges.len(), 6);
        for (from, to) in edges {
            let tag = |path: &str| path.rsplit('.').nth(1).unwrap().to_owned();
            assert!(to.iter().all(|it| tag(it) == tag(from)), "{from}: {to:?}");
        }

        // As a reader mounts it.
        let site = tempfile::tempdir().unwrap();
        let own = &released.bytecode[0].tag;
        let plan = manifest
            .plan(own, &["greet".into()])
            .unwrap()
            .ready()
            .unwrap();
        for file in manifest
            .files
            .iter()
            .filter(|file| plan.now.contains(&file.object))
        {
            let path = site.path().join(&*manifest.mounted_path(file));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = content(&repository, &manifest, file);
            assert_eq!(Sha256Digest::of(&bytes), file.sha256);
            fs::write(path, bytes).unwrap();
        }
        assert_eq!(site.path().join("greet/unused.pyc").exists(), !large);
        let output = Command::new(&python)
            .args(["-c", "import greet; print(greet.__file__); greet.hello()"])
            .env("PYTHONPATH", site.path())
            .output()
            .unwrap();
        let (out, error) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        assert!(out.trim().ends_with("greet/__init__.pyc"), "{out}{error}");
        assert!(
            error.contains("File \"<no source>/greet/words.py\", line 2, in hello"),
            "{error}"
        );
    }
}
