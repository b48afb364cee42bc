//! A memory snapshot of a release, made or taken back: Node starts a Pyodide, which loads the release as a reader's does and imports it; its
//! memory is published beside the release.
//!
//! Importing runs the release's code. Node is told to keep that from files and other programs, which is no sandbox, and has
//! none of the publisher's environment; the network is open to it. What comes out is checked for what readers check: it is the publisher who says that the memory is what the release makes
//! of it.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Coded, Error as CoreError, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, Manifest, ObjectEntry};
use webimport_core::names::{CacheTag, PyodideVersion, ReleaseName, Selector, Version};
use webimport_core::snapshot::{
    FORMAT, Header, MAX_DECODED, MAX_DESCRIPTION, MAX_STORED, MemorySnapshot, SnapshotRelease,
    snapshot_target,
};
use webimport_core::time::UnixTime;

use crate::keyring::Keyring;
use crate::lookup;
use crate::observe::{Event, Observer, Unit};
use crate::pack;
use crate::program;
use crate::repository::{
    Repository, RepositoryError, SnapshotPublication, SnapshotPublished, Validity,
};
use crate::serve::{ServeError, Server};
use crate::source::{Source, bounded};

const SCRIPT: &str = include_str!("../assets/snapshot.mjs");
const PYTHON_SCRIPT: &str = include_str!("../assets/snapshot.py");

/// The first Node that suspends WebAssembly as browsers do.
const OLDEST_NODE: u32 = 24;

/// For how long Node may run.
const PATIENCE: Duration = Duration::from_mins(5);

/// Stages that the script tells.
const STAGES: [&str; 4] = [
    "starting Pyodide",
    "loading",
    "importing",
    "storing the memory",
];

/// Of what to make a snapshot, and with what.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// The repository's folder.
    pub repository: PathBuf,
    /// The keys of targets, snapshot and timestamp.
    pub keys: Keyring,
    /// The release's name.
    pub name: ReleaseName,
    /// Which one.
    pub selector: Selector,
    /// The folder of npm's `pyodide` package. `None`: as Node finds it.
    pub pyodide: Option<PathBuf>,
    /// The folder of npm's `webimport` package. `None`: beside the program, else as Node finds it.
    pub webimport: Option<PathBuf>,
    /// The modules to import. Empty: those that the release names as its entry, else those at its top, without private
    /// ones.
    pub imports: Vec<String>,
    /// When, and for how long the metadata are valid.
    pub validity: Validity,
}

/// A memory snapshot that was published.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshotted {
    /// What changed in the repository.
    pub change: SnapshotPublished,
    /// The release's name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// Which Pyodide it is for.
    pub pyodide: PyodideVersion,
    /// Of its Python.
    pub tag: CacheTag,
    /// The version of webimport in it.
    pub webimport: String,
    /// The path of the target that describes it.
    pub target: String,
    /// The digest of the description.
    pub sha256: Sha256Digest,
    /// Where its bytes are.
    pub object: String,
    /// As stored, in bytes.
    pub bytes: u64,
    /// After decompression, in bytes.
    pub decoded_bytes: u64,
    /// Those of them that are the memory.
    pub heap: u64,
    /// What was asked to be imported.
    pub imports: Vec<String>,
    /// Modules of the releases that have been imported by that.
    pub modules: usize,
    /// What is loaded in it.
    pub releases: Vec<SnapshotRelease>,
}

/// Of what to take the snapshots back.
#[derive(Debug, Clone)]
pub struct RemovalOptions {
    /// The repository's folder.
    pub repository: PathBuf,
    /// The keys of targets, snapshot and timestamp.
    pub keys: Keyring,
    /// The release's name.
    pub name: ReleaseName,
    /// Which one.
    pub selector: Selector,
    /// For which Pyodide. `None`: for all.
    pub pyodide: Option<PyodideVersion>,
    /// When, and for how long the metadata are valid.
    pub validity: Validity,
}

/// Memory snapshots that readers find no more.
#[derive(Debug, Clone, Serialize)]
pub struct Removed {
    /// The release's name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// For which Pyodide they were.
    pub removed: Vec<PyodideVersion>,
}

/// A snapshot cannot be made, published or taken back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// No Node, or one that is too old.
    #[error("memory snapshots are made with Node {OLDEST_NODE} or later: {reason}")]
    Node {
        /// What there is.
        reason: String,
    },
    /// No Pyodide.
    #[error("npm's `pyodide` package cannot be used: {reason}")]
    Pyodide {
        /// Expected and then got.
        reason: String,
    },
    /// No webimport for it, or of another version.
    #[error("npm's `webimport` package cannot be used: {reason}")]
    Webimport {
        /// Expected and then got.
        reason: String,
    },
    /// What was made says that it cannot be in a snapshot, or cannot be imported at all.
    #[error("{reason}")]
    Refused {
        /// What, with all names.
        reason: String,
        /// What to do next.
        hint: String,
    },
    /// It takes too long.
    #[error("the import takes longer than {} minutes", PATIENCE.as_secs() / 60)]
    TimedOut,
    /// Node or Pyodide broke down.
    #[error("the memory snapshot cannot be made: {0}")]
    Failed(String),
    /// As every reader would say.
    #[error(transparent)]
    Release(#[from] CoreError),
    /// The repository and its keys.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The repository cannot be served to Node.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Files of this machine.
    #[error("cannot use {what}: {source}")]
    Io {
        /// The file or folder.
        what: String,
        /// The reason.
        source: io::Error,
    },
}

impl From<VerifyError> for SnapshotError {
    fn from(error: VerifyError) -> Self {
        Self::Release(error.into())
    }
}

impl Coded for SnapshotError {
    fn code(&self) -> &'static str {
        match self {
            Self::Node { .. } => "publish.node",
            Self::Pyodide { .. } => "publish.pyodide",
            Self::Webimport { .. } => "publish.webimport",
            Self::Refused { .. } | Self::TimedOut | Self::Failed(_) | Self::Io { .. } => {
                "publish.snapshot"
            }
            Self::Release(error) => error.code(),
            Self::Repository(error) => error.code(),
            Self::Serve(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Node { .. } => format!("put Node {OLDEST_NODE} or later on PATH, https://nodejs.org"),
            Self::Pyodide { .. } => {
                "give the folder of npm's `pyodide` package with --pyodide, of the version that pages use".into()
            }
            Self::Webimport { .. } => format!(
                "give the folder of npm's `webimport` package {VERSION} with --webimport; `cargo xtask dist` makes it as `dist/npm`"
            ),
            Self::Refused { hint, .. } => hint.clone(),
            Self::TimedOut => {
                "the clock stands while a snapshot is made: an import that waits for the time to pass never ends; \
                 name other modules with --import"
                    .into()
            }
            Self::Failed(_) => "if it fails again, report this as a bug".into(),
            Self::Io { .. } => {
                "check the path, its permissions and the space of the temporary folder".into()
            }
            Self::Release(error) => error.hint(),
            Self::Repository(error) => error.hint(),
            Self::Serve(error) => error.hint(),
        }
    }
}

/// Of this program, and so of the package that belongs to it.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The programs that make snapshots. Worth finding before a long build.
#[derive(Debug)]
pub(crate) struct Tools {
    node: PathBuf,
    pyodide: PathBuf,
    webimport: PathBuf,
}

impl Tools {
    /// Those given, or found on this machine.
    pub(crate) fn find(
        pyodide: Option<&Path>,
        webimport: Option<&Path>,
    ) -> Result<Self, SnapshotError> {
        let node = program::find("node").ok_or_else(|| SnapshotError::Node {
            reason: "`node` is not on PATH".into(),
        })?;
        let said = program::output(Command::new(&node).arg("--version")).unwrap_or_default();
        if major(&said).is_none_or(|major| major < OLDEST_NODE) {
            let node = program::shown(&node);
            let reason = if said.is_empty() {
                format!("`{node}` does not run")
            } else {
                format!("`{node}` is {said}")
            };
            return Err(SnapshotError::Node { reason });
        }
        let lacks = |folder: &Path, files: &[&str]| {
            let lacking = files.iter().find(|file| !folder.join(file).is_file())?;
            Some(format!("`{}` has no `{lacking}`", folder.display()))
        };
        let pyodide = match pyodide {
            Some(folder) => folder.to_owned(),
            None => {
                program::npm_package(&node, "pyodide").ok_or_else(|| SnapshotError::Pyodide {
                    reason: "Node finds none from this folder".into(),
                })?
            }
        };
        if let Some(reason) = lacks(&pyodide, &PYODIDE_FILES) {
            return Err(SnapshotError::Pyodide { reason });
        }
        let webimport = match webimport {
            Some(folder) => folder.to_owned(),
            None => beside_program()
                .or_else(|| program::npm_package(&node, "webimport"))
                .ok_or_else(|| SnapshotError::Webimport {
                    reason:
                        "there is none beside this program, and Node finds none from this folder"
                            .into(),
                })?,
        };
        if let Some(reason) = lacks(&webimport, &WEBIMPORT_FILES) {
            return Err(SnapshotError::Webimport { reason });
        }
        // A version manager puts a script in Node's place, which needs an environment that Node is not given.
        let node = program::output(Command::new(&node).args(["-p", "process.execPath"]))
            .map_or(node, PathBuf::from);
        // Node resolves relative paths against another folder.
        let real = |folder: PathBuf| {
            let real = folder.canonicalize();
            real.map_err(io(&folder))
        };
        Ok(Self {
            node,
            pyodide: real(pyodide)?,
            webimport: real(webimport)?,
        })
    }
}

/// `NAME=FOLDER`.
fn option(name: &str, folder: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(folder);
    option
}

/// Those that are looked at.
const PYODIDE_FILES: [&str; 3] = ["pyodide.mjs", "pyodide.asm.wasm", "python_stdlib.zip"];
const WEBIMPORT_FILES: [&str; 2] = ["webimport.js", "webimport.wasm"];

/// Of what Node says of its version: `v24.1.0`.
fn major(said: &str) -> Option<u32> {
    said.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The package as the build leaves it: `dist/npm` for `dist/bin/webimport`, and `target/site` for the program in a
/// folder of `target`.
fn beside_program() -> Option<PathBuf> {
    let program = env::current_exe().ok()?.canonicalize().ok()?;
    let around = program.parent()?.parent()?;
    let folders = ["npm", "site"].map(|folder| around.join(folder));
    let is_whole = |folder: &PathBuf| {
        let mut files = WEBIMPORT_FILES.iter();
        files.all(|file| folder.join(file).is_file())
    };
    folders.into_iter().find(is_whole)
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let what = format!("`{}`", path.display());
    move |source| SnapshotError::Io { what, source }
}

/// Makes a memory snapshot of a published release, and publishes it.
///
/// # Errors
/// Any [`SnapshotError`]; the repository is then as it was, apart from an object that nothing names.
pub fn snapshot(
    options: &SnapshotOptions,
    observer: &dyn Observer,
) -> Result<Snapshotted, SnapshotError> {
    let repository = Repository::open(&options.repository)?;
    repository.check_keys(&options.keys)?;
    let found = Found::of(options, &repository)?;
    let tools = Tools::find(options.pyodide.as_deref(), options.webimport.as_deref())?;
    make(found, options, &repository, &tools, observer)
}

/// As [`snapshot`], of a release that was published a moment ago, with tools that were found before.
pub(crate) fn snapshot_with(
    tools: &Tools,
    options: &SnapshotOptions,
    repository: &Repository,
    observer: &dyn Observer,
) -> Result<Snapshotted, SnapshotError> {
    let found = Found::of(options, repository)?;
    make(found, options, repository, tools, observer)
}

fn make(
    found: Found,
    options: &SnapshotOptions,
    repository: &Repository,
    tools: &Tools,
    observer: &dyn Observer,
) -> Result<Snapshotted, SnapshotError> {
    let made = found.import(repository, tools, observer)?;
    observer.event(Event::Stage {
        title: "compressing",
        unit: Unit::Bytes,
        total: 0,
    });
    let object = pack::gzip(&made.bytes).map_err(|source| SnapshotError::Io {
        what: "the memory snapshot".into(),
        source,
    })?;
    let description = made.describe(&found.release, &object, tools)?;
    let bytes = to_bytes(&description, &found.release)?;
    let publication = SnapshotPublication {
        name: found.release.name.clone(),
        version: found.release.version.clone(),
        pyodide: description.pyodide.clone(),
        description: bytes,
        object,
    };
    observer.event(Event::Stage {
        title: "writing",
        unit: Unit::Files,
        // Object, description, targets, snapshot, timestamp.
        total: 5,
    });
    let (keys, validity) = (&options.keys, &options.validity);
    let change = repository.publish_snapshot(&publication, keys, validity, observer)?;
    let SnapshotRelease { name, version, .. } = found.release;
    Ok(Snapshotted {
        change,
        target: snapshot_target(&name, &version, &description.pyodide),
        sha256: Sha256Digest::of(&publication.description),
        name,
        version,
        pyodide: description.pyodide,
        tag: description.tag,
        webimport: description.webimport,
        object: description.object.path(),
        bytes: description.object.size,
        decoded_bytes: description.object.decoded_size,
        heap: description.object.decoded_size - made.header.heap,
        imports: found.imports,
        modules: description.modules.len(),
        releases: description.releases,
    })
}

/// Takes memory snapshots of a release out of the metadata.
///
/// # Errors
/// [`SnapshotError::Release`] if there is no such release, and [`SnapshotError::Repository`].
pub fn remove(options: &RemovalOptions, observer: &dyn Observer) -> Result<Removed, SnapshotError> {
    let repository = Repository::open(&options.repository)?;
    repository.check_keys(&options.keys)?;
    let (keys, validity) = (&options.keys, &options.validity);
    let pin = repository.remembered(keys)?.memory.pin();
    let source = Source::Folder(repository.path().to_owned());
    // As if nothing ever expired: it is signed anew.
    let mut state = lookup::refreshed(&source, pin, UnixTime(0), &Limits::default())?;
    let (target, _) = lookup::release(&source, &mut state, &options.name, &options.selector)?;
    let (name, version) = (target.name, target.version);
    let pyodide = options.pyodide.as_ref();
    let removed =
        repository.remove_snapshots(&name, &version, pyodide, keys, validity, observer)?;
    Ok(Removed {
        name,
        version,
        removed,
    })
}

/// A release, and what of it is to be imported.
struct Found {
    pin: Sha256Digest,
    release: SnapshotRelease,
    imports: Vec<String>,
}

/// What Node made.
struct Made {
    report: Report,
    header: Header,
    bytes: Vec<u8>,
}

/// What Node is asked for.
#[derive(Serialize)]
struct Job<'a> {
    pyodide: &'a Path,
    webimport: &'a Path,
    version: &'a str,
    release: JobRelease<'a>,
    imports: &'a [String],
    out: &'a Path,
    report: &'a Path,
}

#[derive(Serialize)]
struct JobRelease<'a> {
    url: &'a str,
    root: String,
    name: &'a ReleaseName,
    version: &'a Version,
    sha256: Sha256Digest,
}

/// What Node says.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Failed { error: Failure },
    Made(Report),
}

#[derive(Deserialize)]
struct Failure {
    kind: String,
    message: String,
    hint: Option<String>,
}

#[derive(Deserialize)]
struct Report {
    pyodide: PyodideVersion,
    build: Sha256Digest,
    tag: CacheTag,
    webimport: String,
    modules: Vec<String>,
}

impl Found {
    /// Looks the release up as readers do.
    fn of(options: &SnapshotOptions, repository: &Repository) -> Result<Self, SnapshotError> {
        let limits = Limits::default();
        let pin = repository.remembered(&options.keys)?.memory.pin();
        let source = Source::Folder(repository.path().to_owned());
        let mut repository = lookup::refreshed(&source, pin, options.validity.now, &limits)?;
        let (target, _) =
            lookup::release(&source, &mut repository, &options.name, &options.selector)?;
        let limit = target.length.min(limits.manifest);
        let bytes = source.fetch(&target.path, limit).map_err(CoreError::from)?;
        let version = Some(&target.version);
        let manifest = Manifest::parse(&bytes, &target.expected(), &target.name, version, &limits)?;
        let imports = if !options.imports.is_empty() {
            options.imports.clone()
        } else if !manifest.entry.is_empty() {
            manifest.entry.clone()
        } else {
            // A namespace package has no code, and a private module may be for a host that is not there.
            let modules = manifest.modules.iter();
            let modules = modules
                .filter(|module| !manifest.namespaces.contains(module) && !module.starts_with('_'));
            modules.cloned().collect()
        };
        Ok(Self {
            pin,
            release: SnapshotRelease {
                name: target.name,
                version: target.version,
                sha256: target.sha256,
            },
            imports,
        })
    }

    /// Has Node load and import it, from the repository as it is served.
    fn import(
        &self,
        repository: &Repository,
        tools: &Tools,
        observer: &dyn Observer,
    ) -> Result<Made, SnapshotError> {
        let temporary = tempfile::tempdir().map_err(io(&env::temp_dir()))?;
        // Node compares real paths with what it may read.
        let folder = temporary.path().canonicalize();
        let folder = &*folder.map_err(io(temporary.path()))?;
        let served = Served::start(repository.path())?;
        let (out, report) = (folder.join("snapshot"), folder.join("report.json"));
        let SnapshotRelease {
            name,
            version,
            sha256,
        } = &self.release;
        let job = Job {
            pyodide: &tools.pyodide,
            webimport: &tools.webimport,
            version: VERSION,
            release: JobRelease {
                url: &served.url,
                root: format!("sha256:{}", self.pin),
                name,
                version,
                sha256: *sha256,
            },
            imports: &self.imports,
            out: &out,
            report: &report,
        };
        let job =
            serde_json::to_vec(&job).map_err(|error| SnapshotError::Failed(error.to_string()))?;
        for (file, content) in [
            ("job.json", &*job),
            ("snapshot.mjs", SCRIPT.as_bytes()),
            ("snapshot.py", PYTHON_SCRIPT.as_bytes()),
        ] {
            let path = folder.join(file);
            fs::write(&path, content).map_err(io(&path))?;
        }

        let mut command = Command::new(&tools.node);
        // Tokens and passwords are in it, which are nothing to the code that is imported. Windows needs one of its own.
        command
            .env_clear()
            .envs(env::var_os("SystemRoot").map(|folder| ("SystemRoot", folder)))
            .arg("--permission");
        for readable in [&tools.pyodide, &tools.webimport, folder] {
            command.arg(option("--allow-fs-read", readable));
        }
        command
            .arg(option("--allow-fs-write", folder))
            .arg(folder.join("snapshot.mjs"))
            .arg(folder.join("job.json"));
        let ended = program::run_within(&mut command, Some(PATIENCE), |line| {
            let told = line.strip_prefix("stage ");
            if let Some(title) = told.and_then(|told| STAGES.into_iter().find(|it| *it == told)) {
                observer.event(Event::Stage {
                    title,
                    unit: Unit::Files,
                    total: 0,
                });
            }
        });
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(SnapshotError::TimedOut);
            }
            Err(error) => return Err(io(&tools.node)(error)),
        };
        let failed = |reason: String| SnapshotError::Failed(format!("{reason}\n{}", ended.tail));
        if !report.is_file() {
            return Err(failed("Node broke down".into()));
        }
        // What it says goes into the description, and so it has no more bytes than that.
        let said = read(&report, "the list of modules", MAX_DESCRIPTION)?;
        let said = serde_json::from_slice(&said)
            .map_err(|error| failed(format!("the report is not as expected: {error}")))?;
        match said {
            Answer::Failed { error } => Err(error.into()),
            Answer::Made(report) => Made::read(report, &out),
        }
    }
}

impl Made {
    fn read(report: Report, out: &Path) -> Result<Self, SnapshotError> {
        let bytes = read(out, "the memory, decompressed,", MAX_DECODED)?;
        let header = Header::parse(&bytes, bytes.len() as u64, "the memory snapshot")?;
        if header.build != report.build {
            let reason = format!(
                "Node says that it is of the build {}, it is of {}",
                report.build, header.build
            );
            return Err(SnapshotError::Failed(reason));
        }
        Ok(Self {
            report,
            header,
            bytes,
        })
    }

    /// What is said of it when it is stored as `object`.
    fn describe(
        &self,
        release: &SnapshotRelease,
        object: &[u8],
        tools: &Tools,
    ) -> Result<MemorySnapshot, SnapshotError> {
        let digest = |file: &str| {
            let path = tools.pyodide.join(file);
            let bytes = fs::read(&path).map_err(io(&path))?;
            Ok::<_, SnapshotError>(Sha256Digest::of(&bytes))
        };
        let report = &self.report;
        Ok(MemorySnapshot {
            format: FORMAT.into(),
            pyodide: report.pyodide.clone(),
            build: self.header.build,
            wasm: digest("pyodide.asm.wasm")?,
            stdlib: digest("python_stdlib.zip")?,
            tag: report.tag.clone(),
            webimport: report.webimport.clone(),
            object: ObjectEntry {
                sha256: Sha256Digest::of(object),
                size: object.len() as u64,
                encoding: Encoding::Gzip,
                decoded_size: self.bytes.len() as u64,
                decoded_sha256: Sha256Digest::of(&self.bytes),
                tag: None,
            },
            releases: vec![release.clone()],
            modules: report.modules.clone(),
        })
    }
}

/// The description as published, once readers would take it.
fn to_bytes(
    description: &MemorySnapshot,
    release: &SnapshotRelease,
) -> Result<Vec<u8>, SnapshotError> {
    let object = &description.object;
    if object.size > MAX_STORED {
        return Err(too_large("the memory, compressed,", MAX_STORED));
    }
    let bytes = description
        .to_bytes()
        .map_err(|error| SnapshotError::Failed(error.to_string()))?;
    if bytes.len() as u64 > MAX_DESCRIPTION {
        return Err(too_large("the list of modules", MAX_DESCRIPTION));
    }
    let sha256 = Sha256Digest::of(&bytes);
    let expected = Expected {
        subject: snapshot_target(&release.name, &release.version, &description.pyodide),
        length: Some(bytes.len() as u64),
        sha256,
    };
    MemorySnapshot::parse(
        &bytes,
        sha256,
        &expected,
        Some(release),
        &description.pyodide,
    )?;
    Ok(bytes)
}

/// A file that Node wrote.
fn read(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, SnapshotError> {
    let file = File::open(path).map_err(io(path))?;
    let length = file.metadata().map_err(io(path))?.len();
    let bytes = if length > limit {
        None
    } else {
        bounded(file, limit).map_err(io(path))?
    };
    bytes.ok_or_else(|| too_large(what, limit))
}

fn too_large(what: &str, limit: u64) -> SnapshotError {
    SnapshotError::Refused {
        reason: format!("{what} has more than {limit} bytes, and readers accept no more"),
        hint: "name fewer modules with --import".into(),
    }
}

impl From<Failure> for SnapshotError {
    fn from(failure: Failure) -> Self {
        let Failure {
            kind,
            message,
            hint,
        } = failure;
        let hint = match kind.as_str() {
            "node" => return Self::Node { reason: message },
            "pyodide" => return Self::Pyodide { reason: message },
            "webimport" => return Self::Webimport { reason: message },
            "load" => hint.unwrap_or_else(|| "`webimport verify` says more".into()),
            "import" => "name with --import what can be imported without a page".into(),
            "library" => {
                "name with --import what does without them: pages load them when they are imported later".into()
            }
            "package" => {
                "release it with the wheels of what it requires, so that these are inside: `webimport release WHEEL…`"
                    .into()
            }
            "release" => "load other releases when they are needed and not when modules are imported".into(),
            "file" => "close what an import opens, or name other modules with --import".into(),
            "task" | "callback" | "object" => {
                "have the module get it when it is used and not when it is imported, or name other modules with --import"
                    .into()
            }
            _ => return Self::Failed(message),
        };
        Self::Refused {
            reason: message,
            hint,
        }
    }
}

/// The repository on loopback, as long as this lives.
struct Served {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    server: Option<thread::JoinHandle<()>>,
}

impl Served {
    fn start(repository: &Path) -> Result<Self, SnapshotError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ServeError::Stopped)?;
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let server = runtime.block_on(Server::bind(repository.to_owned(), loopback, 0))?;
        let url = server.url()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            // If it breaks down, Node says what it cannot fetch.
            let _ = runtime.block_on(server.run(None, async {
                let _ = stopped.await;
            }));
        });
        Ok(Self {
            url,
            stop: Some(stop),
            server: Some(thread),
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Without a receiver, or after a panic, it has ended already.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.server.take().map(thread::JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_node_wrote_is_not_read_beyond_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, "the list", 5).unwrap(), b"12345");
        let refused = read(&path, "the list", 4).unwrap_err();
        assert_eq!(refused.code(), "publish.snapshot");
        assert!(
            refused
                .to_string()
                .starts_with("the list has more than 4 bytes")
        );
    }

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(major("v24.22.3"), Some(24));
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major(""), None);
        assert_eq!(major("24.1"), None);
    }
}
