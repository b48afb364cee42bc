//! What a reader fetches: the closure of what is asked for in a partial release, all of a whole one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;
use webimport_core::closure::{Plan, module_name};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{
    Encoding, FORMAT, FileEntry, ImportNames, MAX_IMPORTS, Manifest, ObjectEntry,
};
use webimport_core::names::CacheTag;

use crate::sample::parse;

const MAIN: &str = "cpython-314";
const OLD: &str = "cpython-313";

fn tag(text: &str) -> CacheTag {
    text.parse().unwrap()
}

/// A release in the making: each file is an object of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) files: BTreeMap<String, Option<CacheTag>>,
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl Draft {
    pub(crate) fn file(mut self, path: &str) -> Self {
        self.files.insert(path.into(), None);
        self
    }

    /// A source with bytecode for the main tag.
    pub(crate) fn module(self, path: &str, imports: &[&str]) -> Self {
        self.file(path).compiled(path, MAIN).imports(path, imports)
    }

    fn compiled(mut self, path: &str, tag: &str) -> Self {
        self.files
            .insert(cache(path, tag), Some(tag.parse().unwrap()));
        self
    }

    fn imports(mut self, path: &str, imports: &[&str]) -> Self {
        let imports = imports.iter().map(ToString::to_string).collect();
        self.imports.insert(path.into(), imports);
        self
    }

    pub(crate) fn partial(self) -> Manifest {
        let mut manifest = self.whole();
        manifest.partial = true;
        manifest
    }

    /// The same files without their sources, imports and all.
    fn sourceless(mut self) -> Manifest {
        self.files.retain(|path, _| !is_source(path));
        let tags: BTreeSet<CacheTag> = self.files.values().flatten().cloned().collect();
        let imports = std::mem::take(&mut self.imports);
        for tag in tags {
            let of = |path: &String| {
                if is_source(path) {
                    cache(path, tag.as_str())
                } else {
                    path.clone()
                }
            };
            for (path, targets) in &imports {
                let targets = targets.iter().map(of).collect();
                self.imports.insert(of(path), targets);
            }
        }
        let mut manifest = self.whole();
        manifest.source = false;
        let names = ImportNames::in_files(&manifest.files, false);
        (manifest.modules, manifest.namespaces) = (names.modules, names.namespaces);
        manifest
    }

    pub(crate) fn whole(self) -> Manifest {
        let names = ImportNames::of(self.files.keys().map(String::as_str));
        let index: BTreeMap<&str, u32> = self.files.keys().map(String::as_str).zip(0..).collect();
        let entry = |(at, path): (usize, &String)| FileEntry {
            path: path.clone(),
            size: 1,
            sha256: Sha256Digest::of(path.as_bytes()),
            object: at,
            offset: 0,
            imports: self
                .imports
                .get(path)
                .map(|imports| imports.iter().map(|target| index[&**target]).collect())
                .unwrap_or_default(),
            imports_elsewhere: Vec::new(),
        };
        let object = |(path, tag): (&String, &Option<CacheTag>)| ObjectEntry {
            sha256: Sha256Digest::of(path.as_bytes()),
            size: 1,
            encoding: Encoding::Identity,
            decoded_size: 1,
            decoded_sha256: Sha256Digest::of(path.as_bytes()),
            tag: tag.clone(),
        };
        Manifest {
            format: FORMAT.into(),
            name: "mylib".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            modules: names.modules,
            namespaces: names.namespaces,
            distributions: Vec::new(),
            requires: Vec::new(),
            requires_python: None,
            partial: false,
            entry: Vec::new(),
            source: true,
            tags: Vec::new(),
            shards: Vec::new(),
            objects: self.files.iter().map(object).collect(),
            files: self.files.keys().enumerate().map(entry).collect(),
        }
    }
}

pub(crate) fn is_source(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, it)| it == "py")
}

fn cache(path: &str, tag: &str) -> String {
    let (folder, file) = path.split_at(path.rfind('/').map_or(0, |at| at + 1));
    let stem = file.strip_suffix(".py").unwrap();
    format!("{folder}__pycache__/{stem}.{tag}.pyc")
}

/// Checks the manifest as readers do, then plans.
#[track_caller]
fn plan(manifest: &Manifest, for_tag: &str, modules: &[&str]) -> Result<Plan, &'static str> {
    manifest
        .validate("release.json", &Limits::default())
        .unwrap();
    let modules: Vec<String> = modules.iter().map(ToString::to_string).collect();
    manifest
        .plan(&tag(for_tag), &modules)
        .map(|planned| planned.ready().unwrap())
        .map_err(|error| error.code())
}

/// The paths of the files in objects.
fn paths<'a>(manifest: &'a Manifest, objects: &[usize]) -> Vec<&'a str> {
    let files = manifest.files.iter();
    files
        .filter(|file| objects.contains(&file.object))
        .map(|file| &*file.path)
        .collect()
}

/// What comes at once, and what later; the tag left out of bytecode's names.
#[track_caller]
fn planned(manifest: &Manifest, modules: &[&str]) -> (String, String) {
    let plan = plan(manifest, MAIN, modules).unwrap();
    let shown = |objects: &[usize]| {
        let paths = paths(manifest, objects).join(" ");
        paths
            .replace("__pycache__/", "")
            .replace(".cpython-314.pyc", ".pyc")
    };
    (shown(&plan.now), shown(&plan.sources))
}

fn library() -> Draft {
    Draft::default()
        .file("lib-1.0.dist-info/METADATA")
        .file("lib-1.0.dist-info/licenses/LICENSE")
        .file("notes.txt")
        .module("lib/__init__.py", &["lib/core.py"])
        .file("lib/words.txt")
        .file("lib/data/deep/table.bin")
        .module("lib/core.py", &[])
        .module("lib/extra.py", &["lib/plot/lines.py"])
        .module("lib/plot/__init__.py", &[])
        .file("lib/plot/colours.json")
        .module("lib/plot/lines.py", &["lib/core.py", "other.py"])
        .module("lib/plot/bars.py", &["lib/plot/lines.py"])
        .module("other.py", &[])
}

#[test]
fn of_a_whole_release_everything_comes_and_what_is_asked_for_first() {
    let manifest = library().whole();
    let whole = plan(&manifest, MAIN, &["lib.core"]).unwrap();
    let all = [&*whole.now, &whole.others, &whole.sources].concat();
    assert_eq!(
        all.iter().collect::<BTreeSet<_>>().len(),
        manifest.objects.len()
    );
    assert_eq!(all.len(), manifest.objects.len());
    let sources = paths(&manifest, &whole.sources);
    assert_eq!(sources.len(), 7);
    assert!(sources.iter().all(|path| is_source(path)));

    let part = plan(&library().partial(), MAIN, &["lib.core"]).unwrap();
    assert_eq!((whole.now, &[][..]), (part.now, &*part.others));
    assert!(part.sources.iter().all(|it| whole.sources.contains(it)));
}

#[test]
fn sources_without_bytecode_for_the_tag_come_as_what_they_are() {
    let manifest = library().whole();
    let plan = plan(&manifest, OLD, &["lib"]).unwrap();
    assert_eq!(plan.sources, [0; 0]);
    let (now, others) = (paths(&manifest, &plan.now), paths(&manifest, &plan.others));
    assert!(now.contains(&"lib/core.py") && others.contains(&"lib/extra.py"));
    assert!(now.iter().chain(&others).all(|path| !path.contains("pyc")));
    assert_eq!(now.len() + others.len(), manifest.objects.len() - 7);
}

#[test]
fn of_a_partial_release_comes_what_is_asked_for_with_all_that_it_imports() {
    let manifest = library().partial();
    let always = "lib-1.0.dist-info/METADATA lib-1.0.dist-info/licenses/LICENSE";
    let package = "lib/__init__.pyc lib/core.pyc";
    let data = "lib/data/deep/table.bin lib/words.txt";
    assert_eq!(
        planned(&manifest, &["lib.core"]),
        (
            format!("{always} {package} {data} notes.txt"),
            "lib/__init__.py lib/core.py".into()
        )
    );
    assert_eq!(
        planned(&manifest, &["other"]),
        (
            "other.pyc lib-1.0.dist-info/METADATA lib-1.0.dist-info/licenses/LICENSE notes.txt"
                .replace("other.pyc ", "")
                .replacen("lib-1.0", "other.pyc lib-1.0", 1),
            "other.py".into()
        )
    );
    let (now, later) = planned(&manifest, &["lib.extra"]);
    assert!(now.contains("lib/plot/colours.json") && now.contains("lib/plot/lines.pyc"));
    assert!(!now.contains("bars") && !later.contains("bars"));
    assert!(later.contains("other.py"));
}

#[test]
fn without_names_the_entry_modules_are_meant_and_without_those_all_top_level_ones() {
    let mut manifest = library().partial();
    assert_eq!(
        planned(&manifest, &[]),
        planned(&manifest, &["lib", "other"])
    );
    manifest.entry = vec!["lib.plot.bars".into()];
    assert_eq!(
        planned(&manifest, &[]),
        planned(&manifest, &["lib.plot.bars"])
    );
    assert_ne!(planned(&manifest, &[]), planned(&manifest, &["lib"]));
}

#[test]
fn rejects_modules_that_are_not_there() {
    for manifest in [library().partial(), library().whole()] {
        for missing in [
            "lib.gone",
            "libx",
            "lib.core.x",
            "",
            ".lib",
            "lib.",
            "lib..core",
            "lib/core",
            "lib.__pycache__",
            "lib-1.0.dist-info",
            "notes",
        ] {
            assert_eq!(
                plan(&manifest, MAIN, &["lib", missing]),
                Err("resolve.unknown_module"),
                "{missing}"
            );
        }
        for there in ["lib", "lib.core", "lib.plot", "lib.data.deep", "other"] {
            plan(&manifest, MAIN, &[there]).unwrap();
        }
    }
}

#[test]
fn a_namespace_package_stands_for_the_packages_in_it() {
    let manifest = Draft::default()
        .module("space/a/__init__.py", &[])
        .module("space/a/inner.py", &[])
        .module("space/deep/b.py", &[])
        .file("space/deep/b.txt")
        .module("space/deep/c/__init__.py", &[])
        .partial();
    assert_eq!(
        planned(&manifest, &["space"]).0,
        "space/a/__init__.pyc space/deep/b.pyc space/deep/b.txt space/deep/c/__init__.pyc"
    );
    assert_eq!(
        planned(&manifest, &["space.deep.c"]).0,
        "space/deep/b.txt space/deep/c/__init__.pyc"
    );
    assert_eq!(
        planned(&manifest, &["space.a.inner"]).0,
        "space/a/__init__.pyc space/a/inner.pyc"
    );
}

#[test]
fn extension_modules_of_other_versions_stay_away() {
    let manifest = Draft::default()
        .module(
            "lib/__init__.py",
            &[
                "lib/fast.cpython-313-wasm32-emscripten.so",
                "lib/fast.cpython-314-wasm32-emscripten.so",
                "lib/stable.abi3.so",
            ],
        )
        .file("lib/fast.cpython-313-wasm32-emscripten.so")
        .file("lib/fast.cpython-314-wasm32-emscripten.so")
        .file("lib/stable.abi3.so")
        .file("only.cpython-313-wasm32-emscripten.so")
        .partial();
    assert_eq!(
        planned(&manifest, &[]).0,
        "lib/__init__.pyc lib/fast.cpython-314-wasm32-emscripten.so lib/stable.abi3.so"
    );
    assert_eq!(
        plan(&manifest, MAIN, &["only"]),
        Err("resolve.unknown_module")
    );
    plan(&manifest, OLD, &["only"]).unwrap();
}

#[test]
fn objects_with_more_than_sources_behind_bytecode_do_not_wait() {
    let mut manifest = library().whole();
    let at = |manifest: &Manifest, path: &str| {
        let files = &manifest.files;
        files.iter().position(|file| file.path == path).unwrap()
    };
    let (source, data) = (at(&manifest, "lib/core.py"), at(&manifest, "lib/words.txt"));
    let object = manifest.files[source].object;
    assert!(
        plan(&manifest, MAIN, &[])
            .unwrap()
            .sources
            .contains(&object)
    );
    // A data file in the same object.
    put_together(&mut manifest, source, data);
    let mixed = plan(&manifest, MAIN, &[]).unwrap();
    assert!(mixed.now.contains(&object) && !mixed.sources.contains(&object));
    // In a partial release that is refused.
    manifest.partial = true;
    let refused = manifest.validate("release.json", &Limits::default());
    assert!(
        matches!(refused, Err(VerifyError::Malformed { reason, .. }) if reason.contains("two kinds"))
    );
}

/// Moves a file of one byte into the object of another one.
fn put_together(manifest: &mut Manifest, one: usize, other: usize) {
    for (file, size) in [(one, 2), (other, 0)] {
        let object = &mut manifest.objects[manifest.files[file].object];
        (object.size, object.decoded_size) = (size, size);
    }
    manifest.files[other].object = manifest.files[one].object;
    manifest.place_files();
}

#[test]
fn a_source_with_bytecode_for_some_tags_is_of_the_other_kind() {
    let manifest = Draft::default()
        .module("lib/__init__.py", &[])
        .compiled("lib/__init__.py", OLD)
        .module("lib/new.py", &[])
        .partial();
    let later = |tag| {
        paths(
            &manifest,
            &plan(&manifest, tag, &["lib.new"]).unwrap().sources,
        )
        .join(" ")
    };
    assert_eq!(later(MAIN), "lib/__init__.py lib/new.py");
    assert_eq!(later(OLD), "lib/__init__.py");
    // Together they would make one object that follows for one tag and not for the other.
    let mut mixed = manifest.clone();
    let files: Vec<usize> = (0..mixed.files.len())
        .filter(|at| is_source(&mixed.files[*at].path))
        .collect();
    put_together(&mut mixed, files[0], files[1]);
    let refused = mixed.validate("release.json", &Limits::default());
    assert!(
        matches!(refused, Err(VerifyError::Malformed { reason, .. }) if reason.contains("two kinds"))
    );
}

#[test]
fn stubs_follow() {
    let manifest = library().file("lib/core.pyi").partial();
    let (now, later) = planned(&manifest, &["lib"]);
    assert!(later.contains("lib/core.pyi") && !now.contains("pyi"));
}

fn without_source() -> Manifest {
    Draft::default()
        .module("lib/__init__.py", &["lib/core.py"])
        .compiled("lib/__init__.py", OLD)
        .module("lib/core.py", &["lib/fast.abi3.so"])
        .compiled("lib/core.py", OLD)
        .file("lib/fast.abi3.so")
        .file("lib/core.pyi")
        .module("lib/tool-x.py", &[])
        .module("single.py", &[])
        .sourceless()
}

#[test]
fn without_source_bytecode_is_mounted_in_its_place() {
    let mut manifest = without_source();
    assert_eq!(manifest.modules, ["lib", "single"]);
    assert_eq!(manifest.namespaces, [""; 0]);
    let mounted: BTreeSet<String> = manifest
        .files
        .iter()
        .map(|file| manifest.mounted_path(file).into_owned())
        .collect();
    assert_eq!(
        mounted.iter().map(String::as_str).collect::<Vec<_>>(),
        [
            "lib/__init__.pyc",
            "lib/core.pyc",
            "lib/core.pyi",
            "lib/fast.abi3.so",
            "lib/tool-x.pyc",
            "single.pyc"
        ]
    );
    for partial in [false, true] {
        manifest.partial = partial;
        let (now, later) = planned(&manifest, &["lib"]);
        assert_eq!(
            now,
            "lib/__init__.pyc lib/core.pyc lib/tool-x.pyc lib/fast.abi3.so"
        );
        let others = plan(&manifest, MAIN, &["lib"]).unwrap().others;
        let single: &[&str] = if partial {
            &[]
        } else {
            &["__pycache__/single.cpython-314.pyc"]
        };
        assert_eq!(paths(&manifest, &others), single);
        assert_eq!(later, "lib/core.pyi");
    }
    // With source it is where it was.
    let manifest = library().whole();
    for file in &manifest.files {
        assert_eq!(manifest.mounted_path(file), file.path);
    }
}

#[test]
fn without_source_an_interpreter_without_bytecode_is_refused() {
    let manifest = without_source();
    plan(&manifest, OLD, &["lib"]).unwrap();
    assert_eq!(
        plan(&manifest, OLD, &["single"]),
        Err("resolve.unknown_module")
    );
    let error = manifest.plan(&tag("cpython-315"), &[]).unwrap_err();
    assert_eq!(error.code(), "resolve.bytecode");
    assert_eq!(
        error.to_string(),
        "`mylib` 1.0 has no source, and no bytecode for cpython-315"
    );
    assert!(
        error.hint().contains("cpython-314, cpython-313"),
        "{}",
        error.hint()
    );
}

#[test]
fn a_release_without_source_has_none_and_has_bytecode() {
    let refused = |draft: Draft, change: fn(&mut Manifest)| {
        let mut manifest = draft.sourceless();
        change(&mut manifest);
        manifest
            .validate("release.json", &Limits::default())
            .map_err(|error| (error.code(), error.to_string()))
    };
    let draft = || {
        Draft::default()
            .module("lib/__init__.py", &[])
            .module("lib/a.py", &[])
    };
    assert_eq!(refused(draft(), |_| ()), Ok(()));
    let error = refused(draft(), |it| it.source = true).unwrap_err();
    assert!(error.1.contains("tag of its object"), "{}", error.1);
    let error = refused(Draft::default().file("lib/a.txt"), |_| ()).unwrap_err();
    assert!(
        error.1.contains("neither source nor bytecode"),
        "{}",
        error.1
    );
    let source = |it: &mut Manifest| it.files.last_mut().unwrap().path = "lib/a.py".into();
    assert!(
        refused(draft().file("lib/zzz.txt"), source)
            .unwrap_err()
            .1
            .contains("no source")
    );
    assert!(
        refused(draft().file("lib/b.pyc"), |_| ())
            .unwrap_err()
            .1
            .contains("with a tag alone")
    );
    // What is mounted collides, or would run at start-up.
    let folder = draft().file("lib/a.pyc/x.txt");
    assert_eq!(refused(folder, |_| ()).unwrap_err().0, "verify.path");
    // Bytecode in a folder below would be mounted where that of the folder's own module is.
    let below = |mut draft: Draft| {
        let path = "lib/__pycache__/sub/b.cpython-314.pyc";
        draft.files.insert(path.into(), Some(tag(MAIN)));
        draft
    };
    for draft in [draft(), draft().module("lib/sub/b.py", &[])] {
        refused(draft.clone(), |_| ()).unwrap();
        let error = refused(below(draft), |_| ()).unwrap_err();
        assert!(error.1.contains("tag of its object"), "{}", error.1);
    }
    let start = draft().module("sitecustomize.py", &[]);
    assert_eq!(refused(start, |_| ()).unwrap_err().0, "verify.unsafe_file");
    refused(draft().module("lib/sitecustomize.py", &[]), |_| ()).unwrap();
}

#[test]
fn rejects_import_edges_that_lead_nowhere() {
    let manifest = library()
        .compiled("other.py", OLD)
        .file("lib/a-b.py")
        .partial();
    manifest
        .validate("release.json", &Limits::default())
        .unwrap();
    let index = |path: &str| {
        let at = manifest.files.iter().position(|file| file.path == path);
        u32::try_from(at.unwrap()).unwrap()
    };
    let refused = |path: &str, imports: &[u32]| {
        let mut manifest = manifest.clone();
        manifest.files[index(path) as usize].imports = imports.to_vec();
        manifest
            .validate("release.json", &Limits::default())
            .map_err(|error| error.to_string())
            .err()
            .unwrap_or_default()
    };
    let (core, other) = (index("lib/core.py"), index("other.py"));
    let count = u32::try_from(manifest.files.len()).unwrap();
    assert_eq!(refused("lib/extra.py", &[core, other]), "");
    assert_eq!(refused("lib/extra.py", &[index("lib/extra.py")]), "");
    for (path, imports, reason) in [
        ("lib/extra.py", &[count][..], "no module for it"),
        ("lib/extra.py", &[u32::MAX], "no module for it"),
        ("lib/extra.py", &[other, core], "out of order"),
        ("lib/extra.py", &[core, core], "out of order"),
        (
            "lib/extra.py",
            &[index("lib/words.txt")],
            "no module for it",
        ),
        ("lib/extra.py", &[index("lib/a-b.py")], "no module for it"),
        (
            "lib/extra.py",
            &[index("lib/__pycache__/core.cpython-314.pyc")],
            "no module for it",
        ),
        ("lib/words.txt", &[core], "could have imports"),
        ("lib/a-b.py", &[core], "could have imports"),
        (
            "lib/__pycache__/core.cpython-314.pyc",
            &[core],
            "could have imports",
        ),
    ] {
        let error = refused(path, imports);
        assert!(error.contains(reason), "{path} {imports:?}: {error}");
    }
}

#[test]
fn without_source_import_edges_stay_within_a_tag() {
    let manifest = without_source();
    let index = |path: &str| {
        manifest
            .files
            .iter()
            .position(|file| file.path == path)
            .unwrap()
    };
    let refused = |from: &str, to: &str| {
        let mut manifest = manifest.clone();
        manifest.files[index(from)].imports = vec![u32::try_from(index(to)).unwrap()];
        manifest
            .validate("release.json", &Limits::default())
            .is_err()
    };
    let [main, old] = [MAIN, OLD].map(|tag| cache("lib/__init__.py", tag));
    let [core_main, core_old] = [MAIN, OLD].map(|tag| cache("lib/core.py", tag));
    assert!(!refused(&main, &core_main) && !refused(&old, &core_old));
    assert!(refused(&main, &core_old) && refused(&old, &core_main));
    assert!(!refused(&main, "lib/fast.abi3.so"));
    assert!(refused("lib/fast.abi3.so", &main));
}

#[test]
fn rejects_entry_modules_that_are_not_there() {
    let validate = |entry: &[&str]| {
        let mut manifest = library().partial();
        manifest.entry = entry.iter().map(ToString::to_string).collect();
        manifest
            .validate("release.json", &Limits::default())
            .is_ok()
    };
    assert!(validate(&[]) && validate(&["lib"]) && validate(&["lib.plot.bars", "other"]));
    for bad in [
        &["lib.gone"][..],
        &["lib", "gone"],
        &[""],
        &["lib/core"],
        &["other", "lib"],
        &["lib", "lib"],
    ] {
        assert!(!validate(bad), "{bad:?}");
    }
}

#[test]
fn the_keys_are_written_where_they_say_something() {
    let mut manifest = library().whole();
    manifest
        .files
        .iter_mut()
        .for_each(|file| file.imports.clear());
    let text = |manifest: &Manifest| String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
    for key in ["partial", "entry", "\"source\"", "imports"] {
        assert!(!text(&manifest).contains(key), "{key}");
    }
    let mut value = serde_json::to_value(library().partial()).unwrap();
    value["entry"] = json!(["lib.core"]);
    assert_eq!(value["partial"], true);
    let parsed = parse(&value).unwrap();
    assert!(parsed.partial && parsed.source && parsed.entry == ["lib.core"]);
    let mut without = without_source();
    without.partial = true;
    let value = serde_json::to_value(&without).unwrap();
    assert_eq!(value["source"], false);
    assert_eq!(*parse(&value).unwrap(), without);
    for (place, key, bad) in [
        ("", "partial", json!(null)),
        ("", "partial", json!(1)),
        ("", "source", json!("no")),
        ("", "entry", json!("lib")),
        ("", "entry", json!(null)),
        ("/files/0", "imports", json!(null)),
        ("/files/0", "imports", json!([-1])),
        ("/files/0", "imports", json!([1_u64 << 32])),
        ("/files/0", "imports", json!({})),
    ] {
        let mut value = serde_json::to_value(library().partial()).unwrap();
        value.pointer_mut(place).unwrap()[key] = bad;
        let error = parse(&value).map(drop).unwrap_err();
        assert_eq!(error.code(), "verify.malformed", "{place} {key}");
    }
}

#[test]
fn import_edges_are_bounded_together() {
    let mut manifest = library().partial();
    let at = manifest
        .files
        .iter()
        .position(|it| it.path == "lib/extra.py");
    for file in &mut manifest.files {
        file.imports.clear();
    }
    manifest.files[at.unwrap()].imports = vec![0; MAX_IMPORTS];
    let edges = |manifest: &Manifest| {
        let error = manifest.validate("release.json", &Limits::default());
        error
            .unwrap_err()
            .to_string()
            .contains("at most 4000000 imports")
    };
    assert!(!edges(&manifest), "refused for another reason");
    manifest.files[0].imports = vec![0];
    assert!(edges(&manifest));
}

/// 40 modules in a few folders with any edges between them.
pub(crate) fn any_release() -> impl Strategy<Value = (Draft, Vec<String>)> {
    let folders = ["", "a/", "a/b/", "a/b/c/", "n/", "n/m/", "z/"];
    let module = (0..folders.len(), "[p-s]|__init__", 0..3_u8);
    let edges = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        0..60,
    );
    let starts = prop::collection::vec(any::<prop::sample::Index>(), 1..4);
    (prop::collection::vec(module, 1..40), edges, starts).prop_map(
        move |(modules, edges, starts)| {
            let mut draft = Draft::default().file("x.dist-info/METADATA");
            let mut paths = Vec::new();
            for (folder, stem, compiled) in modules {
                if folder == 0 && stem == "__init__" {
                    continue;
                }
                let path = format!("{}{stem}.py", folders[folder]);
                draft = draft
                    .file(&path)
                    .file(&format!("{}data.txt", folders[folder]));
                if compiled > 0 {
                    draft = draft.compiled(&path, MAIN);
                }
                if compiled > 1 {
                    draft = draft.compiled(&path, OLD);
                }
                paths.push(path);
            }
            if paths.is_empty() {
                paths.push("p.py".into());
                draft = draft.file("p.py").file("data.txt");
            }
            for (from, to) in edges {
                let (from, to) = (from.get(&paths).clone(), to.get(&paths).clone());
                draft.imports.entry(from).or_default().insert(to);
            }
            let starts = starts
                .iter()
                .map(|index| {
                    let path: &String = index.get(&paths);
                    module_name(path).unwrap()
                })
                .collect();
            (draft, starts)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_closed_under_imports_and_parents((draft, starts) in any_release(), old in any::<bool>()) {
        let manifest = draft.partial();
        manifest.validate("release.json", &Limits::default()).unwrap();
        let tag = tag(if old { OLD } else { MAIN });
        let plan = manifest.plan(&tag, &starts).unwrap().ready().unwrap();
        let objects: BTreeSet<usize> = plan.now.iter().chain(&plan.sources).copied().collect();
        prop_assert_eq!(objects.len(), plan.now.len() + plan.sources.len(), "no object twice");
        prop_assert!(plan.now.is_sorted() && plan.sources.is_sorted());
        let place: BTreeMap<&str, usize> =
            manifest.files.iter().map(|file| (&*file.path, file.object)).collect();

        // What runs is there at once: the bytecode, or the source where there is none.
        let runs = |path: &str| *place.get(&*cache(path, tag.as_str())).unwrap_or(&place[path]);
        let names: BTreeMap<String, &str> = manifest
            .files
            .iter()
            .filter(|file| is_source(&file.path))
            .map(|file| (module_name(&file.path).unwrap(), &*file.path))
            .collect();
        for start in &starts {
            prop_assert!(plan.now.contains(&runs(names[start])), "{}", start);
        }
        for file in manifest.files.iter().filter(|file| is_source(&file.path)) {
            let taken = objects.contains(&file.object);
            prop_assert_eq!(taken, plan.now.contains(&runs(&file.path)), "{}", &file.path);
            if !taken {
                continue;
            }
            for target in &file.imports {
                let target = &manifest.files[*target as usize].path;
                prop_assert!(plan.now.contains(&runs(target)), "{} imports {}", &file.path, target);
            }
            let mut name = module_name(&file.path).unwrap();
            while let Some((parent, _)) = name.rsplit_once('.') {
                name = parent.to_owned();
                if let Some(path) = names.get(&name) {
                    prop_assert!(plan.now.contains(&runs(path)), "{} is in {}", &file.path, path);
                }
            }
            // And the data beside it.
            let folder = file.path.rsplit_once('/').map_or(String::new(), |(it, _)| format!("{it}/"));
            let data = format!("{folder}data.txt");
            prop_assert!(plan.now.contains(&place[&*data]), "{}", data);
        }
        for object in &plan.now {
            prop_assert!(manifest.objects[*object].is_for(&tag));
        }
        prop_assert!(plan.now.contains(&place["x.dist-info/METADATA"]));
        for object in &plan.sources {
            prop_assert!(manifest.objects[*object].tag.is_none());
            for path in paths(&manifest, &[*object]) {
                prop_assert!(is_source(path) && runs(path) != *object, "{} is needed", path);
            }
        }
    }

    #[test]
    fn a_plan_without_source_takes_the_same_modules((draft, starts) in any_release()) {
        // Every module with bytecode for the main tag.
        let mut draft = draft;
        let sources: Vec<String> = draft.files.keys().filter(|path| is_source(path)).cloned().collect();
        for path in &sources {
            draft = draft.compiled(path, MAIN);
        }
        draft.files.retain(|_, tag| tag.as_ref().is_none_or(|tag| tag.as_str() == MAIN));
        let copy = Draft { files: draft.files.clone(), imports: draft.imports.clone() };
        let (with, mut without) = (draft.partial(), copy.sourceless());
        without.partial = true;
        without.validate("release.json", &Limits::default()).unwrap();
        let now = |manifest: &Manifest| -> Vec<String> {
            let plan = manifest.plan(&tag(MAIN), &starts).unwrap().ready().unwrap();
            paths(manifest, &plan.now).into_iter().map(str::to_owned).collect()
        };
        prop_assert_eq!(now(&with), now(&without));
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "measures, and decides nothing by it but this test"
)]
fn two_hundred_thousand_files_are_planned_in_no_time() {
    let mut draft = Draft::default();
    let path = |at: usize| format!("lib/p{:03}/s{:02}/m{at:06}.py", at / 1000, at / 50 % 20);
    for at in 0..95_000 {
        let imports = [path((at + 1) % 95_000), path(at * 7 % 95_000)];
        draft = draft.module(&path(at), &[&imports[0], &imports[1]]);
    }
    let manifest = draft.partial();
    let started = std::time::Instant::now();
    let plan = manifest
        .plan(&tag(MAIN), &["lib.p000.s00.m000000".into()])
        .unwrap()
        .ready()
        .unwrap();
    let took = started.elapsed();
    assert_eq!((plan.now.len(), plan.sources.len()), (95_000, 95_000));
    // Milliseconds when optimised; without, on a busy machine, still no time.
    assert!(took.as_secs() < 5, "{took:?}");
}

#[test]
fn a_chain_of_imports_as_long_as_a_release_is_followed() {
    let mut draft = Draft::default();
    for at in 0..20_000 {
        let next = format!("m{:05}.py", at + 1);
        let imports: &[&str] = if at == 19_999 { &[] } else { &[&next] };
        draft = draft.module(&format!("m{at:05}.py"), imports);
    }
    let manifest = draft.partial();
    assert_eq!(
        plan(&manifest, MAIN, &["m00000"]).unwrap().now.len(),
        20_000
    );
    assert_eq!(plan(&manifest, MAIN, &["m19999"]).unwrap().now.len(), 1);
}
