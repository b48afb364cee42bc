//! Memory snapshots: made with Node and both versions of Pyodide, published, replaced, verified, and refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::{NOW, SnapshotTools, TestRepository, WheelBuilder, files, skipped};
use webimport_cli::doctor::{Check, Depth, DoctorOptions, Verdict, doctor};
use webimport_cli::observe::Silent;
use webimport_cli::release::{ReleaseError, ReleaseOptions, Released, release};
use webimport_cli::repository::{SnapshotPublication, SnapshotPublished, Validity};
use webimport_cli::snapshot::{
    RemovalOptions, SnapshotError, SnapshotOptions, Snapshotted, remove, snapshot,
};
use webimport_cli::verify::{CheckError, Transport};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded as _;
use webimport_core::names::Selector;
use webimport_core::snapshot::SnapshotRelease;
use webimport_core::time::UnixTime;

/// What makes snapshots, and what they are made with.
struct Tools(SnapshotTools);

impl std::ops::Deref for Tools {
    type Target = SnapshotTools;

    fn deref(&self) -> &SnapshotTools {
        &self.0
    }
}

impl Tools {
    fn find() -> Option<Self> {
        SnapshotTools::find().map(Self)
    }

    fn options(&self, repository: &TestRepository, name: &str) -> SnapshotOptions {
        SnapshotOptions {
            repository: repository.root(),
            keys: repository.ring(),
            name: name.parse().unwrap(),
            selector: Selector::Channel("stable".parse().unwrap()),
            pyodide: Some(self.pyodide.clone()),
            webimport: Some(self.webimport.clone()),
            imports: Vec::new(),
            validity: Validity::from(NOW),
        }
    }

    /// Releases a package of these files, and makes a snapshot of it.
    fn snapshot_of(&self, files: &[(&str, &str)]) -> Result<Snapshotted, SnapshotError> {
        let repository = TestRepository::new();
        let wheel = WheelBuilder::new("greet", "1.0");
        let wheel = files
            .iter()
            .fold(wheel, |wheel, (path, text)| wheel.file(path, *text));
        repository.release(&[wheel]).unwrap();
        snapshot(&self.options(&repository, "greet"), &Silent)
    }

    /// The refusal of a package with this `__init__.py`.
    #[track_caller]
    fn refused(&self, code: &str) -> String {
        let error = self
            .snapshot_of(&[("greet/__init__.py", code)])
            .unwrap_err();
        assert_eq!(error.code(), "publish.snapshot", "{error}");
        assert!(!error.hint().is_empty());
        error.to_string()
    }
}

/// A package that uses what Pyodide has, reads a file of its own, and imports one of its modules.
fn greet() -> WheelBuilder {
    WheelBuilder::new("greet", "1.0")
        .file(
            "greet/__init__.py",
            "import datetime, json, random, tempfile, uuid\n\
             import importlib.metadata, importlib.resources\n\
             from . import words\n\
             HELLO = importlib.resources.files('greet').joinpath('hello.txt').read_text()\n\
             VERSION = importlib.metadata.version('greet')\n\
             NAMES = {str(uuid.uuid4()), str(random.random()), tempfile.gettempdir()}\n\
             SINCE = datetime.datetime.now()\n",
        )
        .file("greet/words.py", "WORDS = set('abcdefgh')\n")
        .file("greet/later.py", "LATER = 1\n")
        .file("greet/hello.txt", "hello\n")
        .file("alone.py", "ALONE = 1\n")
}

/// The description of a snapshot.
fn description(repository: &TestRepository, made: &Snapshotted) -> Value {
    let (folder, file) = made.target.rsplit_once('/').unwrap();
    let path = format!("targets/{folder}/{}.{file}", made.sha256);
    serde_json::from_slice(&fs::read(repository.root().join(path)).unwrap()).unwrap()
}

/// The target paths in the list that the timestamp leads to.
fn targets(repository: &TestRepository) -> BTreeSet<String> {
    let read = |file: &str| -> Value {
        let path = repository.root().join("metadata").join(file);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let version = |file: &Value, name: &str| file["signed"]["meta"][name]["version"].to_string();
    let timestamp = read("timestamp.json");
    let snapshot = read(&format!(
        "{}.snapshot.json",
        version(&timestamp, "snapshot.json")
    ));
    let targets = read(&format!(
        "{}.targets.json",
        version(&snapshot, "targets.json")
    ));
    targets["signed"]["targets"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[test]
fn a_snapshot_is_published_beside_its_release() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    let released = repository.release(&[greet()]).unwrap();
    for (pyodide, version, tag) in [
        (&tools.pyodide, "314.0.7", "cpython-314"),
        (&tools.older, "0.29.5", "cpython-313"),
    ] {
        let options = SnapshotOptions {
            pyodide: Some(pyodide.clone()),
            ..tools.options(&repository, "greet")
        };
        let made = snapshot(&options, &Silent).unwrap();
        assert_eq!(made.change, SnapshotPublished::New);
        assert_eq!(made.target, format!("greet/1.0/snapshot/{version}.json"));
        assert_eq!(made.imports, ["alone", "greet"]);
        assert!(made.heap <= made.decoded_bytes && made.heap > 16 << 20);
        assert!(made.bytes < made.decoded_bytes / 2);

        let said = description(&repository, &made);
        let digest = |file: &str| json!(Sha256Digest::of(&fs::read(pyodide.join(file)).unwrap()));
        assert_eq!(said["pyodide"], version);
        assert_eq!(said["tag"], tag);
        assert_eq!(said["webimport"], env!("CARGO_PKG_VERSION"));
        assert_eq!(said["wasm"], digest("pyodide.asm.wasm"));
        assert_eq!(said["stdlib"], digest("python_stdlib.zip"));
        let loader = fs::read_to_string(pyodide.join("pyodide.mjs")).unwrap();
        let build: Sha256Digest = said["build"].as_str().unwrap().parse().unwrap();
        // As numbers of four bytes in the other byte order.
        let numbers = build.as_bytes().chunks(4);
        let id: String = numbers
            .flat_map(|number| number.iter().rev().map(|byte| format!("{byte:02x}")))
            .collect();
        assert!(loader.contains(&id), "{id}");
        let own = json!({"name": "greet", "version": "1.0", "sha256": released.sha256});
        assert_eq!(said["releases"], json!([own]));
        // What was imported, and nothing that was not.
        assert_eq!(said["modules"], json!(["alone", "greet", "greet.words"]));

        // The same again another day, when the metadata are others, bit for bit: it is there already.
        let now = NOW.plus_days(40);
        let (keys, validity) = (repository.ring(), Validity::from(now));
        let renewed = repository.open().renew(Some(35), &keys, &validity, &Silent);
        renewed.unwrap();
        let again = SnapshotOptions {
            validity: Validity::from(now.plus_days(1)),
            ..options
        };
        let again = snapshot(&again, &Silent).unwrap();
        assert_eq!(
            (again.change, again.sha256),
            (SnapshotPublished::Nothing, made.sha256)
        );
    }
    let verified = repository.verify("greet").unwrap();
    let of: Vec<&str> = verified
        .snapshots
        .iter()
        .map(|it| it.pyodide.as_str())
        .collect();
    assert_eq!(of, ["0.29.5", "314.0.7"]);
    assert!(verified.snapshots.iter().all(|it| it.modules == 3));
    assert_eq!(
        verdict(&repository, "memory snapshots").message,
        "2 snapshots, as signed"
    );
}

#[test]
fn nothing_of_this_machine_is_in_a_snapshot() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    repository.release(&[greet()]).unwrap();
    let made = snapshot(&tools.options(&repository, "greet"), &Silent).unwrap();
    let stored = fs::read(repository.root().join(&made.object)).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::bufread::GzDecoder::new(&*stored), &mut bytes).unwrap();
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(has("https://repository.invalid"));
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    for text in [
        "http://127.0.0.1",
        &*here.to_string_lossy(),
        &repository.folder.path().to_string_lossy(),
        &std::env::temp_dir().join(".tmp").to_string_lossy(),
    ] {
        assert!(!has(text), "{text}");
    }
}

#[test]
fn a_second_snapshot_replaces_the_first() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    repository.release(&[greet()]).unwrap();
    let first = snapshot(&tools.options(&repository, "greet"), &Silent).unwrap();
    let options = SnapshotOptions {
        imports: vec!["greet.later".into()],
        ..tools.options(&repository, "greet")
    };
    let second = snapshot(&options, &Silent).unwrap();
    assert_eq!(second.change, SnapshotPublished::Replaced);
    assert_ne!(first.sha256, second.sha256);
    let said = description(&repository, &second);
    assert_eq!(
        said["modules"],
        json!(["greet", "greet.later", "greet.words"])
    );
    let snapshots = repository.verify("greet").unwrap().snapshots;
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0].bytes, second.bytes);
    // Later changes of the repository keep it.
    let all = BTreeSet::from(["greet/1.0/release.json".to_owned(), second.target.clone()]);
    assert_eq!(targets(&repository), all);
    let validity = Validity::from(NOW.plus_days(29));
    let opened = repository.open();
    opened
        .renew(Some(400), &repository.ring(), &validity, &Silent)
        .unwrap();
    assert_eq!(targets(&repository), all);
    repository
        .release(&[WheelBuilder::new("greet", "2.0")])
        .unwrap();
    repository
        .release(&[WheelBuilder::new("other", "1.0")])
        .unwrap();
    assert!(targets(&repository).is_superset(&all));
    assert_eq!(repository.verify("greet@1.0").unwrap().snapshots.len(), 1);
    // It is of the one release alone.
    assert!(repository.verify("greet@2.0").unwrap().snapshots.is_empty());
}

/// Publishes what is a snapshot of the release for its readers, and no more.
fn publish(
    repository: &TestRepository,
    released: &Released,
    pyodide: &str,
    webimport: &str,
    now: UnixTime,
) -> SnapshotPublished {
    let release = SnapshotRelease {
        name: released.name.clone(),
        version: released.version.clone(),
        sha256: released.sha256,
    };
    let (mut snapshot, object) = support::memory_snapshot(&release, pyodide);
    snapshot.webimport = webimport.into();
    let publication = SnapshotPublication {
        name: release.name,
        version: release.version,
        pyodide: snapshot.pyodide.clone(),
        description: snapshot.to_bytes().unwrap(),
        object,
    };
    let (keys, validity) = (repository.ring(), Validity::from(now));
    let opened = repository.open();
    opened
        .publish_snapshot(&publication, &keys, &validity, &Silent)
        .unwrap()
}

#[test]
fn a_snapshot_that_is_taken_back_is_in_the_metadata_no_more() {
    let repository = TestRepository::new();
    let first = repository.release(&[greet()]).unwrap();
    let second = repository
        .release(&[WheelBuilder::new("greet", "2.0")])
        .unwrap();
    for (release, pyodide) in [
        (&first, "0.29.5"),
        (&first, "314.0.6"),
        (&first, "314.0.7"),
        (&second, "314.0.7"),
    ] {
        publish(&repository, release, pyodide, "0.1.0", NOW);
    }
    // The metadata have expired; who signs them anew need not care.
    let now = NOW.plus_days(60);
    let take = |selector: &str, pyodide: Option<&str>| {
        let options = RemovalOptions {
            repository: repository.root(),
            keys: repository.ring(),
            name: "greet".parse().unwrap(),
            selector: selector.parse().unwrap(),
            pyodide: pyodide.map(|it| it.parse().unwrap()),
            validity: Validity::from(now),
        };
        remove(&options, &Silent).map(|done| {
            let removed = done.removed.iter().map(ToString::to_string);
            (done.version.to_string(), removed.collect::<Vec<_>>())
        })
    };
    let snapshots = || {
        let all = targets(&repository).into_iter();
        all.filter(|path| path.contains("/snapshot/"))
            .collect::<Vec<_>>()
    };
    let before = files(&repository.root().join("objects"));
    let removed = |version: &str, of: &[&str]| {
        let of = of.iter().map(ToString::to_string).collect::<Vec<_>>();
        (version.to_owned(), of)
    };

    let refused = |result: Result<_, SnapshotError>| {
        let error = result.unwrap_err();
        (error.code(), error.to_string(), error.hint())
    };
    let timestamp = || fs::read(repository.root().join("metadata/timestamp.json")).unwrap();
    let untouched = timestamp();
    assert_eq!(
        refused(take("1.0", Some("314.0.8"))),
        (
            "publish.snapshot",
            "`greet` 1.0 has no memory snapshot for Pyodide 314.0.8".into(),
            "there are those for Pyodide 0.29.5, 314.0.6, 314.0.7".into(),
        )
    );
    assert_eq!(refused(take("3.0", None)).0, "resolve.unknown_version");
    assert_eq!(timestamp(), untouched);

    assert_eq!(
        take("1.0", Some("314.0.7")).unwrap(),
        removed("1.0", &["314.0.7"])
    );
    let left = [
        "greet/1.0/snapshot/0.29.5.json",
        "greet/1.0/snapshot/314.0.6.json",
        "greet/2.0/snapshot/314.0.7.json",
    ];
    assert_eq!(snapshots(), left);
    assert_eq!(
        take("1.0", None).unwrap(),
        removed("1.0", &["0.29.5", "314.0.6"])
    );
    assert_eq!(snapshots(), left[2..]);
    // A channel names the release as it does elsewhere.
    assert_eq!(take("stable", None).unwrap(), removed("2.0", &["314.0.7"]));
    let (code, message, _) = refused(take("stable", None));
    assert_eq!(
        (code, &*message),
        ("publish.snapshot", "`greet` 2.0 has no memory snapshot")
    );
    assert_eq!(files(&repository.root().join("objects")), before);
    for release in ["greet@1.0", "greet@2.0"] {
        let url = format!("{}/{release}", repository.root().display());
        let verified = repository.verify_at(&url, now).unwrap();
        assert!(verified.snapshots.is_empty());
    }
    // The same can be published again.
    let again = publish(&repository, &second, "314.0.7", "0.1.0", now);
    assert_eq!(again, SnapshotPublished::New);
}

#[test]
fn publishing_says_what_it_changed() {
    let repository = TestRepository::new();
    let released = repository.release(&[greet()]).unwrap();
    let publish = |pyodide: &str, webimport: &str, now| {
        publish(&repository, &released, pyodide, webimport, now)
    };
    let timestamp = || fs::read(repository.root().join("metadata/timestamp.json")).unwrap();
    assert_eq!(publish("314.0.7", "0.1.0", NOW), SnapshotPublished::New);
    assert_eq!(publish("0.29.5", "0.1.0", NOW), SnapshotPublished::New);
    let before = timestamp();
    assert_eq!(publish("314.0.7", "0.1.0", NOW), SnapshotPublished::Nothing);
    assert_eq!(timestamp(), before);
    let later = NOW.plus_days(16);
    assert_eq!(
        publish("314.0.7", "0.1.0", later),
        SnapshotPublished::Renewed
    );
    assert_eq!(
        publish("314.0.7", "0.1.1", later),
        SnapshotPublished::Replaced
    );
    let of = |it: webimport_cli::verify::SnapshotSummary| (it.pyodide.to_string(), it.webimport);
    let snapshots = repository.verify("greet").unwrap().snapshots;
    let found: Vec<(String, String)> = snapshots.into_iter().map(of).collect();
    let expected = [("0.29.5", "0.1.0"), ("314.0.7", "0.1.1")];
    assert_eq!(
        found,
        expected.map(|(pyodide, webimport)| (pyodide.to_owned(), webimport.to_owned()))
    );
}

#[test]
fn a_release_can_come_with_its_snapshot() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    let folder = tempfile::tempdir().unwrap();
    let options = |wheel: &WheelBuilder| ReleaseOptions {
        pyodide: Some(tools.pyodide.clone()),
        webimport: Some(tools.webimport.clone()),
        snapshot: Some(true),
        entry: vec!["greet.later".into()],
        ..repository.options(&[wheel.write(folder.path())])
    };
    let released = release(&options(&greet()), &Silent).unwrap();
    let made = released.snapshot.unwrap();
    assert_eq!(made.releases[0].sha256, released.sha256);
    // The entry of the release, and what that imports.
    assert_eq!(
        (made.imports, made.modules),
        (vec!["greet.later".to_owned()], 3)
    );
    assert_eq!(repository.verify("greet").unwrap().snapshots.len(), 1);

    // Without a snapshot it is a release all the same, and the error says so.
    let broken = greet().file("greet/later.py", "raise ValueError('not today')\n");
    let broken = WheelBuilder {
        version: "2.0".into(),
        ..broken
    };
    let error = release(&options(&broken), &Silent).unwrap_err();
    assert!(matches!(error, ReleaseError::Snapshot { .. }), "{error}");
    assert_eq!(error.code(), "publish.snapshot");
    assert!(
        error
            .to_string()
            .starts_with("`greet` 2.0 is released, without a memory snapshot: ")
    );
    assert!(
        error.hint().contains("webimport snapshot greet@2.0"),
        "{}",
        error.hint()
    );
    assert!(repository.verify("greet@2.0").unwrap().snapshots.is_empty());
}

#[test]
fn an_import_that_raises_is_refused_with_its_traceback() {
    let Some(tools) = Tools::find() else { return };
    let files = [
        ("greet/__init__.py", "from . import deep\n"),
        (
            "greet/deep.py",
            "def fail():\n    raise ValueError('no luck')\n\nfail()\n",
        ),
    ];
    let error = tools.snapshot_of(&files).unwrap_err();
    assert_eq!(error.code(), "publish.snapshot");
    let message = error.to_string();
    assert!(
        message.starts_with("`import greet` fails:\nTraceback"),
        "{message}"
    );
    assert!(message.ends_with("ValueError: no luck"), "{message}");
    assert!(
        message.contains("deep.py\", line 2, in fail\n    raise ValueError('no luck')"),
        "{message}"
    );
    // Frames of what makes the snapshot tell nobody anything.
    assert!(
        !message.contains("import_all") && !message.contains("<exec>"),
        "{message}"
    );
    // Whatever is raised, and what is not there at all.
    assert!(
        tools
            .refused("raise SystemExit(3)\n")
            .contains("SystemExit: 3")
    );
    let missing = tools.refused("import not_there_at_all\n");
    assert!(
        missing.contains("ModuleNotFoundError: No module named 'not_there_at_all'"),
        "{missing}"
    );
}

#[test]
fn an_object_of_javascript_is_refused_with_its_place() {
    let Some(tools) = Tools::find() else { return };
    let message = tools.refused(
        "import js\n\
         FINE = js.Date.now\n\
         held = js.Object.new()\n\
         class Client:\n    made = js.Map.new()\n\
         LIST = [1, js.Array.new()]\n",
    );
    assert_eq!(
        message,
        "objects of JavaScript cannot be in a memory snapshot: held by `greet.held`, `greet.Client.made`, `greet.LIST[1]`"
    );
    let message = tools.refused(
        "import js\n\
         class Client:\n    def __init__(self):\n        self.made = js.Map.new()\n\
         client = Client()\n\
         def later(value):\n    return lambda: value\n\
         call = later(js.Set.new())\n",
    );
    assert!(
        message.contains("`greet.client.made`")
            && message.contains("`a variable around greet.call`"),
        "{message}"
    );
    // Where no module leads to it in a step or two, what it is.
    let message = tools.refused("import js\nDEEP = [[[js.Object.new()]]]\n");
    assert!(
        message.contains("`[object Object]`, which no attribute of a module holds"),
        "{message}"
    );
    // What is gone by then, and what can be found on any page, is fine.
    let fine =
        "import js\nheld = js.Object.new()\ndel held\nlog, now = js.console.log, js.Date.now()\n";
    tools.snapshot_of(&[("greet/__init__.py", fine)]).unwrap();
}

#[test]
fn what_cannot_go_on_in_a_snapshot_is_refused() {
    let Some(tools) = Tools::find() else { return };
    let message = tools.refused("FILE = open(__file__)\n");
    assert!(
        message.starts_with(
            "files are open, which cannot be in a memory snapshot: `/webimport/greet-1.0-"
        ),
        "{message}"
    );
    let message = tools.refused(
        "with open(__file__) as file:\n    TEXT = file.read()\nFILE = open('/tmp/x', 'w')\n",
    );
    assert!(
        message.ends_with("cannot be in a memory snapshot: `/tmp/x`"),
        "{message}"
    );
    let message = tools.refused(
        "import asyncio\n\
         async def forever():\n    await asyncio.Event().wait()\n\
         TASK = asyncio.ensure_future(forever())\n",
    );
    assert!(
        message.ends_with("cannot go on in a memory snapshot: `forever`"),
        "{message}"
    );
    let message =
        tools.refused("import ctypes\nCALL = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)\n");
    assert!(message.contains("ctypes"), "{message}");
}

#[test]
fn compiled_modules_are_refused_by_name() {
    let Some(tools) = Tools::find() else { return };
    let wheels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/wheels");
    let wheel = fs::read_dir(wheels).ok().and_then(|mut entries| {
        entries.find_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_string_lossy().into_owned();
            (name.starts_with("msgspec-") && name.contains("cp314")).then_some(path)
        })
    });
    let Some(wheel) = wheel else {
        skipped("`cargo xtask` has not fetched the wheel of msgspec");
        return;
    };
    let repository = TestRepository::new();
    release(&repository.options(&[wheel]), &Silent).unwrap();
    let error = snapshot(&tools.options(&repository, "msgspec"), &Silent).unwrap_err();
    assert_eq!(error.code(), "publish.snapshot");
    let message = error.to_string();
    assert!(
        message.starts_with("compiled modules are loaded"),
        "{message}"
    );
    assert!(message.contains("/msgspec/_core."), "{message}");
}

#[test]
fn code_that_is_imported_has_no_files_and_programs() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (secret, made) = (folder.path().join("secret"), folder.path().join("made"));
    fs::write(&secret, "secret").unwrap();
    for attempt in [
        format!(
            "node('fs').readFileSync({:?})",
            secret.display().to_string()
        ),
        format!(
            "node('fs').writeFileSync({:?}, 'x')",
            made.display().to_string()
        ),
        "node('child_process').execSync('id')".into(),
    ] {
        let code = format!("import js\nnode = js.process.getBuiltinModule\n{attempt}\n");
        let message = tools.refused(&code);
        assert!(message.contains("--allow-"), "{attempt}: {message}");
    }
    assert!(!made.exists());
    // Node itself has it.
    let fine = "import js\nSEPARATOR = js.process.getBuiltinModule('path').sep\n";
    tools.snapshot_of(&[("greet/__init__.py", fine)]).unwrap();
}

#[test]
fn code_that_is_imported_has_no_environment() {
    let Some(tools) = Tools::find() else { return };
    // Such as this one, which the program has.
    assert!(std::env::var_os("PATH").is_some());
    let message = tools
        .refused("import js\nraise ValueError(' '.join(sorted(js.Object.keys(js.process.env))))\n");
    // What the script sets. `SystemRoot` is where Windows is.
    let (_, there) = message.rsplit_once("ValueError: ").unwrap();
    assert_eq!(there.trim_start_matches("SystemRoot "), "TZ");
}

#[test]
fn what_a_release_requires_has_to_be_inside() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    // Pyodide's lock file has it.
    let needy = WheelBuilder::new("needy", "1.0").metadata("Requires-Dist: markupsafe");
    repository.release(&[needy]).unwrap();
    let error = snapshot(&tools.options(&repository, "needy"), &Silent).unwrap_err();
    assert_eq!(error.code(), "publish.snapshot");
    assert!(
        error
            .to_string()
            .ends_with("not in a memory snapshot: `markupsafe`"),
        "{error}"
    );
    assert!(error.hint().contains("wheels of what it requires"));
}

#[test]
fn another_release_is_not_in_a_snapshot() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    repository
        .release(&[WheelBuilder::new("other", "2.0").file("other.py", "")])
        .unwrap();
    let code = "import webimport\n\
        from pyodide.ffi import run_sync\n\
        from webimport._release import loaded\n\
        [own] = loaded.values()\n\
        url = own.repository + '/other'\n\
        run_sync(webimport.load_release(url, root=own.trust['root']))\n";
    repository
        .release(&[WheelBuilder::new("greet", "1.0").file("greet/__init__.py", code)])
        .unwrap();
    let error = snapshot(&tools.options(&repository, "greet"), &Silent).unwrap_err();
    assert_eq!(error.code(), "publish.snapshot");
    assert_eq!(
        error.to_string(),
        "a memory snapshot has its own release and no other; loaded are: `greet 1.0`, `other 2.0`"
    );
}

#[test]
fn private_modules_at_the_top_are_not_imported_unasked() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    let plugin = "raise ImportError('no host for this plugin')\n";
    repository
        .release(&[greet().file("_greet_plugin.py", plugin)])
        .unwrap();
    let mut options = tools.options(&repository, "greet");
    let made = snapshot(&options, &Silent).unwrap();
    assert_eq!(made.imports, ["alone", "greet"]);
    options.imports = vec!["_greet_plugin".into()];
    let error = snapshot(&options, &Silent).unwrap_err();
    assert!(
        error.to_string().ends_with("no host for this plugin"),
        "{error}"
    );
}

/// What doctor says under that name.
fn verdict(repository: &TestRepository, name: &str) -> Check {
    let options = DoctorOptions {
        repository: repository.root().display().to_string(),
        root: Some(repository.pin),
        now: NOW,
        depth: Depth::Presence,
        transport: Transport::default(),
    };
    let mut checks = doctor(&options, &Silent).unwrap().checks.into_iter();
    checks.find(|check| check.name == name).unwrap()
}

#[test]
fn a_snapshot_that_is_not_as_signed_is_found() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    repository.release(&[greet()]).unwrap();
    let made = snapshot(&tools.options(&repository, "greet"), &Silent).unwrap();
    let described = files(&repository.root().join("targets/greet/1.0/snapshot"));
    assert_eq!(described.len(), 1);
    let described = format!("targets/greet/1.0/snapshot/{}", described[0]);
    let code = |result: Result<_, CheckError>| result.map(|_| ()).map_err(|error| error.code());
    for (path, name) in [(&made.object, "objects"), (&described, "memory snapshots")] {
        let file = repository.root().join(path);
        let right = fs::read(&file).unwrap();
        let mut wrong = right.clone();
        wrong[right.len() / 2] ^= 1;
        fs::write(&file, &wrong).unwrap();
        assert_eq!(
            code(repository.verify("greet")),
            Err("verify.digest"),
            "{path}"
        );
        fs::write(&file, &right[1..]).unwrap();
        assert_eq!(
            code(repository.verify("greet")),
            Err("verify.length"),
            "{path}"
        );
        assert_eq!(verdict(&repository, name).verdict, Verdict::Fail, "{path}");
        fs::remove_file(&file).unwrap();
        assert_eq!(
            code(repository.verify("greet")),
            Err("fetch.not_found"),
            "{path}"
        );
        let check = verdict(&repository, name);
        assert!(
            check.message.contains("does not exist"),
            "{}",
            check.message
        );
        fs::write(&file, &right).unwrap();
        assert_eq!(code(repository.verify("greet")), Ok(()));
        assert_eq!(verdict(&repository, name).verdict, Verdict::Ok);
    }
    // Publishing the same again mends it.
    fs::remove_file(repository.root().join(&made.object)).unwrap();
    let again = snapshot(&tools.options(&repository, "greet"), &Silent).unwrap();
    assert_eq!(again.change, SnapshotPublished::Nothing);
    assert_eq!(code(repository.verify("greet")), Ok(()));
}

#[test]
fn a_webimport_of_another_version_is_refused() {
    let Some(tools) = Tools::find() else { return };
    let repository = TestRepository::new();
    repository.release(&[greet()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = fs::read_to_string(tools.webimport.join("webimport.js")).unwrap();
    let own = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(script.contains(&own));
    fs::write(
        folder.path().join("webimport.js"),
        script.replace(&own, "\"0.0.9\""),
    )
    .unwrap();
    fs::copy(
        tools.webimport.join("webimport.wasm"),
        folder.path().join("webimport.wasm"),
    )
    .unwrap();
    let options = SnapshotOptions {
        webimport: Some(folder.path().to_owned()),
        ..tools.options(&repository, "greet")
    };
    let error = snapshot(&options, &Silent).unwrap_err();
    assert_eq!(error.code(), "publish.webimport");
    assert!(error.to_string().ends_with("got 0.0.9"), "{error}");
}

/// Runs the script by itself, as the build does.
fn run_script(job: &Value) -> (bool, Value) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/snapshot.mjs");
    let folder = tempfile::tempdir().unwrap();
    let mut job = job.clone();
    for file in ["out", "report"] {
        job[file] = json!(folder.path().join(file));
    }
    let path = folder.path().join("job.json");
    fs::write(&path, job.to_string()).unwrap();
    let output = Command::new("node").arg(script).arg(path).output().unwrap();
    let report = fs::read(folder.path().join("report")).unwrap();
    let mut report: Value = serde_json::from_slice(&report).unwrap();
    if let Ok(bytes) = fs::read(folder.path().join("out")) {
        report["bytes"] = json!(bytes.len());
        report["digest"] = json!(Sha256Digest::of(&bytes));
    }
    (output.status.success(), report)
}

#[test]
fn a_snapshot_without_a_release_has_webimport_attached() {
    let Some(tools) = Tools::find() else { return };
    let job = json!({
        "pyodide": tools.pyodide,
        "webimport": tools.webimport,
        "version": env!("CARGO_PKG_VERSION"),
        "release": null,
        "imports": [],
    });
    let (success, report) = run_script(&job);
    assert!(success, "{report}");
    assert_eq!(report["pyodide"], "314.0.7");
    assert_eq!(report["webimport"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["modules"], json!([]));
    assert!(report["bytes"].as_u64().unwrap() > 16 << 20);
    assert_eq!(run_script(&job), (success, report));

    let mut wrong = job;
    wrong["imports"] = json!(["not_there_at_all"]);
    let (success, report) = run_script(&wrong);
    assert!(!success);
    assert_eq!(report["error"]["kind"], "import");
}

/// Runs tests of this program that need a tool, where there is none.
#[test]
fn tests_without_their_tools_say_that_they_are_skipped() {
    let empty = tempfile::tempdir().unwrap();
    let name = "a_snapshot_is_published_beside_its_release";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env("PATH", empty.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(shown.contains(&format!("{name}: skipped: ")), "{shown}");
}
