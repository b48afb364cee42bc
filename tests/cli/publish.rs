//! Publishing: what a repository holds afterwards, and at every moment in between.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::{NOW, TestRepository, WheelBuilder, files, skipped};
use webimport_cli::bytecode::{BytecodeChoice, SourceChoice};
use webimport_cli::keys::KeyFolder;
use webimport_cli::observe::{Event, Observer, Silent, WriteStep};
use webimport_cli::project::ProjectError;
use webimport_cli::release::{ReleaseError, ReleaseOptions, Released, release};
use webimport_cli::repository::{
    Publication, Published, Repository, RepositoryError, Setup, Validity, init,
};
use webimport_cli::verify::CheckError;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, Error, ResolveError, VerifyError};

fn greet(version: &str) -> WheelBuilder {
    WheelBuilder::new("greet", version).file("greet/words.txt", "hello\n")
}

#[test]
fn as_many_requirements_as_readers_take_are_published() {
    let repository = TestRepository::new();
    let longest = format!("needed @ https://x.example/{}", "x".repeat(485));
    assert_eq!(longest.len(), 512);
    let wheel = (1..1_000).fold(
        greet("1.0").metadata(&format!("Requires-Dist: {longest}")),
        |wheel, number| wheel.metadata(&format!("Requires-Dist: needed{number}")),
    );
    let released = repository.release(&[wheel]).unwrap();
    assert_eq!(released.requires.len(), 1_000);
    assert!(released.requires.contains(&longest));
    repository.verify("greet").unwrap();
}

#[test]
fn a_release_is_what_its_wheels_say() {
    let repository = TestRepository::new();
    let released = repository
        .release(&[
            greet("1.0")
                .file("greet-1.0.data/purelib/greet/more.py", "")
                .file("greet-1.0.data/data/share/doc.txt", "")
                .file("greet/__pycache__/__init__.cpython-311.pyc", "old")
                .metadata("Requires-Dist: helper>=1")
                .metadata("Requires-Dist: numpy>=2; sys_platform != 'win32'")
                .metadata("Requires-Python: >=3.11"),
            WheelBuilder::new("helper", "2.0").metadata("Requires-Python: <4,>=3.9"),
        ])
        .unwrap();
    assert_eq!(released.change, Published::New);
    assert_eq!(released.modules, ["greet", "helper"]);
    assert_eq!(released.requires, ["numpy>=2"]);
    assert_eq!(released.notes.len(), 2, "{:?}", released.notes);
    let verified = repository.verify("greet").unwrap();
    assert_eq!(
        (verified.sha256, verified.files),
        (released.sha256, released.files)
    );
    let path = format!("targets/greet/1.0/{}.release.json", released.sha256);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(repository.root().join(path)).unwrap()).unwrap();
    let paths: Vec<&str> = manifest["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert!(paths.contains(&"greet/more.py") && paths.contains(&"greet-1.0.dist-info/RECORD"));
    assert!(
        !paths
            .iter()
            .any(|path| path.contains("doc.txt") || path.contains("pyc")),
        "{paths:?}"
    );
    assert_eq!(manifest["requires_python"], "<4,>=3.11,>=3.9");
}

#[test]
fn the_same_sources_make_the_same_bytes_in_any_repository() {
    let (one, two) = (TestRepository::new(), TestRepository::new());
    let wheels = [greet("1.0"), WheelBuilder::new("helper", "2.0")];
    assert_eq!(
        one.release(&wheels).unwrap().sha256,
        two.release(&wheels).unwrap().sha256
    );
    for folder in ["objects", "targets"] {
        assert_eq!(
            files(&one.root().join(folder)),
            files(&two.root().join(folder))
        );
    }
}

#[test]
fn the_same_release_again_changes_nothing() {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    let before = files(&repository.root());
    assert_eq!(
        repository.release(&[greet("1.0")]).unwrap().change,
        Published::Nothing
    );
    assert_eq!(files(&repository.root()), before);
}

#[test]
fn the_same_version_with_other_content_is_refused() {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    let before = files(&repository.root());
    let error = repository
        .release(&[greet("1.0").file("greet/more.py", "")])
        .unwrap_err();
    assert!(matches!(
        error,
        ReleaseError::Repository(RepositoryError::Published { .. })
    ));
    assert_eq!(error.code(), "publish.exists");
    assert_eq!(files(&repository.root()), before);
}

#[test]
fn a_channel_names_one_release() {
    let repository = TestRepository::new();
    let on = |version: &str, channel: &str| {
        let folder = tempfile::tempdir().unwrap();
        let source = greet(version).write(folder.path());
        let channel = Some(channel.parse().unwrap());
        release(
            &ReleaseOptions {
                channel,
                ..repository.options(&[source])
            },
            &Silent,
        )
        .unwrap()
        .change
    };
    let version = |release: &str| repository.verify(release).unwrap().version.to_string();
    assert_eq!(on("1.0", "stable"), Published::New);
    assert_eq!(on("2.0", "next"), Published::New);
    assert_eq!(
        (version("greet"), version("greet@next")),
        ("1.0".into(), "2.0".into())
    );
    assert_eq!(on("2.0", "stable"), Published::ChannelMoved);
    assert_eq!(
        (version("greet"), version("greet@next")),
        ("2.0".into(), "2.0".into())
    );
    assert_eq!(on("1.0", "stable"), Published::ChannelMoved);
    assert_eq!(version("greet"), "1.0");
    // Another name has its own channels.
    repository
        .release(&[WheelBuilder::new("other", "5")])
        .unwrap();
    assert_eq!(
        (version("greet"), version("other")),
        ("1.0".into(), "5".into())
    );
}

#[test]
fn releasing_again_renews_metadata_that_are_about_to_expire() {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    let wheels = tempfile::tempdir().unwrap();
    let source = greet("1.0").write(wheels.path());
    let again = |days: u32| {
        let validity = Validity::from(NOW.plus_days(days));
        let options = ReleaseOptions {
            validity,
            ..repository.options(std::slice::from_ref(&source))
        };
        release(&options, &Silent).unwrap().change
    };
    let at = |days| {
        repository
            .verify_at(
                &format!("{}/greet", repository.root().display()),
                NOW.plus_days(days),
            )
            .map(drop)
    };
    assert_eq!(again(14), Published::Nothing);
    assert!(at(29).is_ok());
    assert!(matches!(
        at(30),
        Err(CheckError::Refused(Error::Verify(
            VerifyError::Expired { .. }
        )))
    ));
    // Also after it was too late.
    assert_eq!(again(40), Published::Renewed);
    assert!(at(69).is_ok());
}

#[test]
fn publishing_again_mends_what_was_lost() {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    let object = repository
        .root()
        .join("objects")
        .join(&files(&repository.root().join("objects"))[0]);
    for damage in [None, Some("changed")] {
        match damage {
            None => fs::remove_file(&object).unwrap(),
            Some(text) => fs::write(&object, text).unwrap(),
        }
        assert!(repository.verify("greet").is_err());
        assert_eq!(
            repository.release(&[greet("1.0")]).unwrap().change,
            Published::Nothing
        );
        repository.verify("greet").unwrap();
    }
}

#[test]
fn metadata_that_were_changed_are_not_built_on() {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    for file in [
        "1.root.json",
        "timestamp.json",
        "2.snapshot.json",
        "2.targets.json",
    ] {
        let path = repository.root().join("metadata").join(file);
        let before = fs::read(&path).unwrap();
        let text = String::from_utf8(before.clone()).unwrap();
        fs::write(
            &path,
            text.replacen("\"version\":", "\"extra\":0,\"version\":", 1),
        )
        .unwrap();
        let error = repository.release(&[greet("2.0")]).unwrap_err();
        let code = if file == "1.root.json" {
            "publish.changed"
        } else {
            "publish.repository"
        };
        assert_eq!(error.code(), code, "{file}: {error}");
        fs::write(&path, before).unwrap();
    }
    repository.release(&[greet("2.0")]).unwrap();
}

#[test]
fn what_readers_would_refuse_is_not_published() {
    let repository = TestRepository::new();
    let refused = |wheel: WheelBuilder| repository.release(&[wheel]).unwrap_err().code();
    assert_eq!(
        refused(greet("1.0").file("greet-1.0.data/purelib/x.pth", "")),
        "verify.unsafe_file"
    );
    assert_eq!(
        refused(greet("1.0").file("greet-1.0.data/purelib/sitecustomize.py", "")),
        "verify.unsafe_file"
    );
    assert_eq!(
        refused(greet("1.0").file("greet-1.0.data/purelib/GREET/x.py", "")),
        "verify.path"
    );
    assert_eq!(refused(greet("dev")), "publish.name");
    assert!(matches!(
        repository.verify("greet"),
        Err(CheckError::Refused(Error::Resolve(
            ResolveError::UnknownName { .. }
        )))
    ));
    assert!(!repository.root().join("objects").exists());
}

/// Looks at the repository as a reader does, at each step of a writer.
struct Reader<'a> {
    repository: &'a TestRepository,
    seen: RefCell<Vec<String>>,
}

impl Observer for Reader<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Write { .. } = event {
            let verified = self.repository.verify("greet").unwrap();
            assert_eq!(
                self.repository
                    .verify("greet@1.0")
                    .unwrap()
                    .version
                    .as_str(),
                "1.0"
            );
            self.seen.borrow_mut().push(verified.version.to_string());
        }
    }
}

#[test]
fn a_reader_sees_the_old_state_until_it_sees_the_new_one() {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    let reader = Reader {
        repository: &repository,
        seen: RefCell::default(),
    };
    let wheels = tempfile::tempdir().unwrap();
    release(
        &repository.options(&[greet("2.0").write(wheels.path())]),
        &reader,
    )
    .unwrap();
    let mut seen = reader.seen.into_inner();
    assert_eq!(
        seen.len(),
        5 * 3,
        "object, manifest and three metadata files, in three steps each"
    );
    seen.dedup();
    assert_eq!(seen, ["1.0", "2.0"]);
}

const KILL_FOLDER: &str = "WEBIMPORT_TEST_KILL_FOLDER";
const KILL_STEP: &str = "WEBIMPORT_TEST_KILL_STEP";

/// Kills its process at one of the steps.
struct Killer {
    left: Cell<u32>,
}

impl Observer for Killer {
    fn event(&self, event: Event<'_>) {
        if let Event::Write { .. } = event {
            if self.left.get() == 0 {
                let id = std::process::id().to_string();
                std::process::Command::new("kill")
                    .args(["-9", &id])
                    .status()
                    .unwrap();
                unreachable!("the process was killed");
            }
            self.left.set(self.left.get() - 1);
        }
    }
}

/// Not a test of its own: the process that the next one kills.
#[test]
#[ignore = "run by `a_kill_at_any_step_leaves_the_old_state_or_the_new_one`"]
fn publisher_to_be_killed() {
    let (Some(folder), Ok(step)) = (std::env::var_os(KILL_FOLDER), std::env::var(KILL_STEP)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    release(
        &in_folder(&folder),
        &Killer {
            left: Cell::new(step.parse().unwrap()),
        },
    )
    .unwrap();
}

/// The release of version 2.0 into the repository below `folder`.
fn in_folder(folder: &Path) -> ReleaseOptions {
    ReleaseOptions {
        sources: vec![folder.join(greet("2.0").file_name())],
        repository: folder.join("repo"),
        keys: KeyFolder::new(folder.join("keys")).into(),
        name: None,
        version: None,
        channel: None,
        bytecode: Some(BytecodeChoice::Off),
        pyodide: None,
        source: SourceChoice::Included,
        entry: Vec::new(),
        snapshot: None,
        webimport: None,
        validity: Validity::from(NOW),
    }
}

#[cfg(unix)]
#[test]
fn a_kill_at_any_step_leaves_the_old_state_or_the_new_one() {
    use std::os::unix::process::ExitStatusExt as _;
    let original = TestRepository::new();
    original.release(&[greet("1.0")]).unwrap();
    let keys = files(original.keys().path());
    let mut versions = BTreeMap::new();
    for step in 0.. {
        let folder = tempfile::tempdir().unwrap();
        support::copy(&original.root(), &folder.path().join("repo"));
        fs::create_dir(folder.path().join("keys")).unwrap();
        for key in &keys {
            // Keeps the mode.
            fs::copy(
                original.keys().path().join(key),
                folder.path().join("keys").join(key),
            )
            .unwrap();
        }
        greet("2.0").write(folder.path());
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "publisher_to_be_killed", "--ignored"])
            .env(KILL_FOLDER, folder.path())
            .env(KILL_STEP, step.to_string())
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9));

        let verify = |release: &str| {
            let url = format!("{}/{release}", folder.path().join("repo").display());
            original
                .verify_at(&url, NOW)
                .map(|verified| verified.version.to_string())
        };
        let found = verify("greet").unwrap();
        assert_eq!(verify("greet@1.0").unwrap(), "1.0");
        assert_eq!(verify("greet@2.0").is_ok(), found == "2.0");
        versions.insert(step, found);

        // The next publisher finishes the work and leaves no trace of the first one.
        release(&in_folder(folder.path()), &Silent).unwrap();
        assert_eq!(verify("greet").unwrap(), "2.0");
        let left = files(&folder.path().join("repo"));
        assert!(!left.iter().any(|file| file.contains("tmp")), "{left:?}");
        assert_eq!(left.len(), files(&original.root()).len() + 4, "{left:?}");
    }
    let found: Vec<&str> = versions.values().map(String::as_str).collect();
    assert_eq!(found.len(), 5 * 3);
    // Only the last rename, that of the timestamp, shows the new state.
    assert!(
        found[..14].iter().all(|version| *version == "1.0"),
        "{found:?}"
    );
    assert_eq!(found[14], "2.0");
}

/// Panics at one of the steps.
struct Stopper(Cell<u32>);

impl Observer for Stopper {
    fn event(&self, event: Event<'_>) {
        if let Event::Write { .. } = event {
            assert_ne!(self.0.get(), 0, "stopped");
            self.0.set(self.0.get() - 1);
        }
    }
}

/// What servers and caches keep for ever: content-addressed and numbered files.
fn immutable(root: &Path) -> BTreeMap<String, Vec<u8>> {
    files(root)
        .into_iter()
        .filter(|file| !file.starts_with('.') && file != "metadata/timestamp.json")
        .map(|file| (file.clone(), fs::read(root.join(file)).unwrap()))
        .collect()
}

#[test]
fn what_an_interrupted_publish_wrote_never_changes() {
    let wheels = tempfile::tempdir().unwrap();
    let (second, third) = (
        greet("2.0").write(wheels.path()),
        greet("3.0").write(wheels.path()),
    );
    for step in 0..5 * 3 {
        let repository = TestRepository::new();
        repository.release(&[greet("1.0")]).unwrap();
        let stopped = std::panic::AssertUnwindSafe(|| {
            release(
                &repository.options(std::slice::from_ref(&second)),
                &Stopper(Cell::new(step)),
            )
        });
        assert!(std::panic::catch_unwind(stopped).is_err());
        // A reader or a cache may have any of the files by now. Twice, so that the next free number is taken too.
        for (days, channel) in [(1, "next"), (2, "stable")] {
            let before: BTreeMap<_, _> = immutable(&repository.root())
                .into_iter()
                .filter(|(file, _)| !file.contains(".webimport-tmp-"))
                .collect();
            let options = ReleaseOptions {
                validity: Validity::from(NOW.plus_days(days)),
                channel: Some(channel.parse().unwrap()),
                ..repository.options(std::slice::from_ref(&third))
            };
            release(&options, &Silent).unwrap();
            let after = immutable(&repository.root());
            for (file, bytes) in &before {
                assert!(after.get(file) == Some(bytes), "step {step}: {file}");
            }
        }
        assert_eq!(
            repository.verify("greet").unwrap().version.as_str(),
            "3.0",
            "step {step}"
        );
    }
}

#[test]
fn an_interrupted_publish_that_is_repeated_takes_up_its_own_files() {
    let wheels = tempfile::tempdir().unwrap();
    let source = greet("2.0").write(wheels.path());
    for step in 0..5 * 3 {
        let repository = TestRepository::new();
        repository.release(&[greet("1.0")]).unwrap();
        let options = repository.options(std::slice::from_ref(&source));
        let stopped = std::panic::AssertUnwindSafe(|| release(&options, &Stopper(Cell::new(step))));
        assert!(std::panic::catch_unwind(stopped).is_err());
        release(&options, &Silent).unwrap();
        let metadata = files(&repository.root().join("metadata"));
        assert_eq!(metadata.len(), 1 + 2 * 3 + 1, "step {step}: {metadata:?}");
    }
}

#[test]
fn of_many_objects_an_interrupted_publish_leaves_whole_ones() {
    let contents = [&b"one"[..], b"two", b"three"];
    let publication = Publication {
        name: "by-hand".parse().unwrap(),
        version: "1".parse().unwrap(),
        channel: "stable".parse().unwrap(),
        manifest: b"{}".to_vec(),
        objects: contents
            .map(|content| (Sha256Digest::of(content), content.to_vec()))
            .into(),
    };
    let mut left = Vec::new();
    for step in 0..7 * 3 {
        let repository = TestRepository::new();
        let publish = |observer: &dyn Observer| {
            let validity = Validity::from(NOW);
            let opened = repository.open();
            opened.publish(&publication, &repository.ring(), &validity, observer)
        };
        let stopped = std::panic::AssertUnwindSafe(|| publish(&Stopper(Cell::new(step))));
        assert!(std::panic::catch_unwind(stopped).is_err());
        let named = immutable(&repository.root())
            .into_iter()
            .filter(|(file, _)| file.starts_with("objects/") && !file.contains(".webimport-tmp-"));
        let named: Vec<_> = named.collect();
        for (file, bytes) in &named {
            let digest = Sha256Digest::of(bytes).to_string();
            assert!(file.ends_with(&digest), "step {step}: {file}");
        }
        left.push(named.len());
        assert!(publish(&Silent).is_ok(), "step {step}");
        let objects = files(&repository.root().join("objects"));
        assert_eq!(objects.len(), contents.len(), "step {step}: {objects:?}");
    }
    assert_eq!(left, [[0; 6].as_slice(), &[3; 15]].concat());
}

/// Makes a repository in `repository` with keys in `keys`, both below `folder`, and returns what was refused.
fn init_in(folder: &Path, repository: &str, keys: &str) -> Option<&'static str> {
    let keys = KeyFolder::new(folder.join(keys));
    let made = init(
        &folder.join(repository),
        &keys,
        &Setup::default(),
        &Validity::from(NOW),
        &Silent,
    );
    let refused = made.err().map(|error| error.code());
    let has_keys = files(folder).iter().any(|file| file.ends_with("root.pem"));
    assert_eq!(has_keys, refused.is_none(), "{repository} and {keys:?}");
    refused
}

#[test]
fn keys_and_repository_are_never_inside_each_other() {
    let refused = |repository: &str, keys: &str| {
        let folder = tempfile::tempdir().unwrap();
        init_in(folder.path(), repository, keys)
    };
    for (repository, keys) in [
        ("rr", "rr"),
        ("rr", "rr/keys"),
        ("rr", "rr/../rr/keys"),
        ("rr", "./x/../rr/./keys"),
        ("rr", "x/../y/../rr/a/../keys"),
        ("x/../rr", "rr/keys"),
        ("keys/rr", "keys"),
        ("keys/../keys/a/rr", "keys"),
        ("keys/rr", "x/../keys"),
    ] {
        assert_eq!(
            refused(repository, keys),
            Some("publish.key"),
            "{repository} and {keys}"
        );
    }
    for (repository, keys) in [
        ("rr", "keys"),
        ("rr", "rr/../keys"),
        ("rr", "rr-keys"),
        ("keys/../rr", "keys"),
        ("a/rr", "a/keys"),
    ] {
        assert_eq!(refused(repository, keys), None, "{repository} and {keys}");
    }
}

#[cfg(unix)]
#[test]
fn links_lead_no_keys_into_the_repository() {
    use std::os::unix::fs::symlink;
    let with_link = |target: &str, repository: &str, keys: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("there/deep")).unwrap();
        symlink(target, folder.path().join("link")).unwrap();
        init_in(folder.path(), repository, keys)
    };
    // Links that lead somewhere, and links that lead nowhere until the other folder is made.
    for (target, repository, keys) in [
        ("there", "there", "link/keys"),
        ("there", "link", "there/keys"),
        ("there/deep", "there", "link/../keys"),
        ("keys", "link", "keys"),
        ("keys", "link/rr", "keys"),
        ("rr", "rr", "link/keys"),
        ("rr", "rr", "link"),
    ] {
        assert_eq!(
            with_link(target, repository, keys),
            Some("publish.key"),
            "{target}: {repository} and {keys}"
        );
    }
    for (target, repository, keys) in [
        ("there", "rr", "link/keys"),
        // `..` behind a link is above the folder that it leads to.
        ("there/deep", "rr", "link/../rr/keys"),
    ] {
        assert_eq!(
            with_link(target, repository, keys),
            None,
            "{target}: {repository} and {keys}"
        );
    }
}

#[test]
fn a_repository_refuses_keys_that_were_put_around_it_later() {
    let repository = TestRepository::new();
    let around = KeyFolder::new(repository.folder.path());
    for key in files(repository.keys().path()) {
        // Keeps the mode.
        fs::copy(
            repository.keys().path().join(&key),
            around.path().join(&key),
        )
        .unwrap();
    }
    let opened = Repository::open(repository.root()).unwrap();
    assert_eq!(
        opened
            .check_keys(&repository.others(around))
            .unwrap_err()
            .code(),
        "publish.key"
    );
    opened.check_keys(&repository.ring()).unwrap();
}

#[test]
fn what_another_repository_is_remembered_by_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    let memory = folder.path().join("keys/published.json");
    fs::write(&memory, "of another one").unwrap();
    assert_eq!(init_in(folder.path(), "repo", "keys"), Some("publish.key"));
    fs::remove_file(&memory).unwrap();
    assert_eq!(init_in(folder.path(), "repo", "keys"), None);
}

#[test]
fn a_repository_that_was_made_half_can_be_made_again() {
    for step in 0..4 * 3 {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repo");
        let make = |keys: &str, observer: &dyn Observer| {
            init(
                &root,
                &KeyFolder::new(folder.path().join(keys)),
                &Setup::default(),
                &Validity::from(NOW),
                observer,
            )
        };
        let stopper = std::panic::AssertUnwindSafe(|| make("keys", &Stopper(Cell::new(step))));
        assert!(std::panic::catch_unwind(stopper).is_err());
        if step == 11 {
            // The root has its name: it is a repository.
            assert!(matches!(
                make("other", &Silent),
                Err(RepositoryError::Exists { .. })
            ));
            Repository::open(&root)
                .unwrap()
                .check_keys(&KeyFolder::new(folder.path().join("keys")).into())
                .unwrap();
        } else {
            assert!(matches!(
                Repository::open(&root),
                Err(RepositoryError::Missing { .. })
            ));
            make("other", &Silent).unwrap();
            Repository::open(&root)
                .unwrap()
                .check_keys(&KeyFolder::new(folder.path().join("other")).into())
                .unwrap();
        }
    }
}

/// Checks that a file has its new content under its name at the last step and not before.
struct Order {
    before: BTreeMap<PathBuf, Vec<u8>>,
    done: RefCell<Vec<String>>,
}

impl Observer for Order {
    fn event(&self, event: Event<'_>) {
        let Event::Write { path, step } = event else {
            return;
        };
        let is_new = fs::read(path).ok().as_ref() != self.before.get(path);
        assert_eq!(
            is_new,
            step == WriteStep::Done,
            "{} {step:?}",
            path.display()
        );
        if step == WriteStep::Done {
            let name = path.file_name().unwrap().to_string_lossy();
            // Without the digest or the version.
            self.done.borrow_mut().push(
                name.split_once('.')
                    .map_or("object", |(_, rest)| rest)
                    .to_owned(),
            );
        }
    }
}

#[test]
fn files_are_written_whole_and_in_order() {
    let repository = TestRepository::new();
    repository.release(&[greet("1.0")]).unwrap();
    let root = repository.root();
    let before = files(&root)
        .into_iter()
        .map(|file| root.join(file))
        .map(|path| (path.clone(), fs::read(path).unwrap()));
    let order = Order {
        before: before.collect(),
        done: RefCell::default(),
    };
    let publication = Publication {
        name: "by-hand".parse().unwrap(),
        version: "1".parse().unwrap(),
        channel: "stable".parse().unwrap(),
        manifest: b"{}".to_vec(),
        objects: BTreeMap::from([(Sha256Digest::of(b"x"), b"x".to_vec())]),
    };
    let opened = Repository::open(&root).unwrap();
    opened
        .publish(
            &publication,
            &repository.ring(),
            &Validity::from(NOW),
            &order,
        )
        .unwrap();
    assert_eq!(
        *order.done.borrow(),
        [
            "object",
            "release.json",
            "targets.json",
            "snapshot.json",
            "json"
        ]
    );
}

/// A build backend without a requirement, so that nothing is fetched.
const BACKEND: &str = r#"
import base64, hashlib, os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    os.makedirs("build/lib", exist_ok=True)
    open("build/lib/left-behind.py", "w").close()
    files = {
        "fresh/__init__.py": open("fresh/__init__.py").read(),
        "fresh-0.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: Fresh\nVersion: 0.3\n",
        "fresh-0.3.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    def digest(text):
        raw = hashlib.sha256(text.encode()).digest()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")
    record = "".join(f"{path},sha256={digest(text)},{len(text)}\n" for path, text in files.items())
    files["fresh-0.3.dist-info/RECORD"] = record + "fresh-0.3.dist-info/RECORD,,\n"
    name = "fresh-0.3-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return name
"#;

fn project(folder: &Path, backend: &str) -> PathBuf {
    let project = folder.join("fresh-project");
    fs::create_dir_all(project.join("fresh")).unwrap();
    fs::write(project.join("fresh/__init__.py"), "x = 1\n").unwrap();
    fs::write(project.join("backend.py"), backend).unwrap();
    let toml = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\n\
                [project]\nname = \"Fresh\"\nversion = \"0.3\"\nrequires-python = \">=3.99\"\n\n\
                [tool.webimport]\nname = \"fresh-release\"\nchannel = \"next\"\nbytecode = \"off\"\n";
    fs::write(project.join("pyproject.toml"), toml).unwrap();
    project
}

/// `None` on a machine that can build nothing.
fn release_project(
    repository: &TestRepository,
    project: PathBuf,
) -> Option<Result<Released, ReleaseError>> {
    let options = ReleaseOptions {
        bytecode: None,
        ..repository.options(&[project])
    };
    match release(&options, &Silent) {
        Err(ReleaseError::Project(ProjectError::NoBuilder { .. })) => {
            skipped("neither pip nor uv is on PATH");
            None
        }
        other => Some(other),
    }
}

#[test]
fn a_project_is_built_by_its_own_backend_and_stays_as_it_was() {
    let repository = TestRepository::new();
    let folder = tempfile::tempdir().unwrap();
    let project = project(folder.path(), BACKEND);
    let before = files(&project);
    let Some(released) = release_project(&repository, project.clone()) else {
        return;
    };
    let released = released.unwrap();
    assert_eq!(released.name.as_str(), "fresh-release");
    assert_eq!(released.version.as_str(), "0.3");
    assert_eq!(released.channel.as_str(), "next");
    assert_eq!(released.modules, ["fresh"]);
    assert!(released.bytecode.is_empty());
    repository.verify("fresh-release@next").unwrap();
    assert_eq!(files(&project), before);
}

#[test]
fn a_build_that_fails_says_why() {
    let repository = TestRepository::new();
    let folder = tempfile::tempdir().unwrap();
    let backend = "def build_wheel(*_):\n    raise SystemExit('no wheel today')\n";
    let Some(released) = release_project(&repository, project(folder.path(), backend)) else {
        return;
    };
    let error = released.unwrap_err();
    assert_eq!(error.code(), "publish.build");
    assert!(error.to_string().contains("no wheel today"), "{error}");
}

/// Whether a program is here and works.
fn runs(program: &str) -> bool {
    std::process::Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// npm's package, if the set-up has fetched it or the environment names it, and Node can run it.
fn pyodide() -> Option<PathBuf> {
    if !runs("node") {
        return None;
    }
    let fetched =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/npm/node_modules/pyodide");
    let named = std::env::var_os("WEBIMPORT_PYODIDE").map(PathBuf::from);
    named
        .into_iter()
        .chain([fetched])
        .find(|path| path.join("pyodide.mjs").is_file())
}

#[test]
fn pyodide_compiles_where_no_python_314_is() {
    let Some(pyodide) = pyodide() else {
        skipped("npm's `pyodide` and Node are not both here");
        return;
    };
    let repository = TestRepository::new();
    let folder = tempfile::tempdir().unwrap();
    let source = greet("1.0")
        .file("greet/bad.py", "def (\n")
        .write(folder.path());
    let options = |bytecode, pyodide| ReleaseOptions {
        bytecode: Some(bytecode),
        pyodide,
        ..repository.options(std::slice::from_ref(&source))
    };
    let released = release(
        &options(BytecodeChoice::Auto, Some(pyodide.clone())),
        &Silent,
    )
    .unwrap();
    assert_eq!(released.bytecode[0].tag.as_str(), "cpython-314");
    assert_eq!((released.bytecode[0].files, released.notes.len()), (1, 1));
    // As one of the given interpreters it makes the same bytes.
    let given = BytecodeChoice::Interpreters(vec![pyodide]);
    assert_eq!(
        release(&options(given, None), &Silent).unwrap().change,
        Published::Nothing
    );
}

/// The wheels that the demo releases, if the set-up has fetched them.
fn real_wheels(names: &[&str]) -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/wheels");
    let found: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .map(|entry| entry.unwrap().path())
        .collect();
    names
        .iter()
        .map(|name| {
            let is_it = |path: &&PathBuf| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .to_lowercase()
                    .starts_with(&format!("{name}-"))
            };
            found.iter().find(is_it).cloned()
        })
        .collect()
}

#[test]
fn real_wheels_make_one_release() {
    let Some(wheels) = real_wheels(&["rich", "pygments", "markdown_it_py", "mdurl"]) else {
        skipped("`cargo xtask` has not fetched the wheels yet");
        return;
    };
    let repository = TestRepository::new();
    let released = release(&repository.options(&wheels), &Silent).unwrap();
    assert_eq!(released.name.as_str(), "rich");
    assert_eq!(
        released.modules,
        ["markdown_it", "mdurl", "pygments", "rich"]
    );
    assert!(released.requires.is_empty(), "{:?}", released.requires);
    assert_eq!(repository.verify("rich").unwrap().files, released.files);
}

#[test]
fn a_release_carries_the_bytecode_of_a_given_interpreter() {
    let Some(python) = ["python3", "python"].iter().find(|name| runs(name)) else {
        skipped("no Python is on PATH");
        return;
    };
    let repository = TestRepository::new();
    let folder = tempfile::tempdir().unwrap();
    let source = greet("1.0")
        .file("greet/bad.py", "def (\n")
        .write(folder.path());
    let bytecode = Some(BytecodeChoice::Interpreters(vec![python.into()]));
    let options = ReleaseOptions {
        bytecode,
        ..repository.options(&[source])
    };
    let released = release(&options, &Silent).unwrap();
    assert_eq!(released.bytecode.len(), 1);
    assert_eq!(released.bytecode[0].files, 1);
    assert!(
        released.notes[0].contains("greet/bad.py") && released.notes[0].contains("SyntaxError")
    );
    let verified = repository.verify("greet").unwrap();
    assert!(
        verified
            .bytecode
            .contains(released.bytecode[0].tag.as_str())
    );
    // The same again, by a second run of the compiler.
    assert_eq!(
        release(&options, &Silent).unwrap().change,
        Published::Nothing
    );
}

/// Runs tests of this program that need a tool, where there is none.
#[test]
fn tests_without_their_tools_say_that_they_are_skipped() {
    let empty = tempfile::tempdir().unwrap();
    for name in [
        "a_project_is_built_by_its_own_backend_and_stays_as_it_was",
        "a_build_that_fails_says_why",
        "pyodide_compiles_where_no_python_314_is",
        "a_release_carries_the_bytecode_of_a_given_interpreter",
    ] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("PATH", empty.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}");
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            shown.contains(&format!("{name}: skipped: ")),
            "{name}: {shown}"
        );
    }
}
