//! Release repositories for tests: real packages published by the publisher, and hand-made releases that are signed
//! properly although the publisher would refuse them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use webimport_cli::bytecode::{BytecodeChoice, SourceChoice};
use webimport_cli::keys::KeyFolder;
use webimport_cli::observe::Silent;
use webimport_cli::release::{self, ReleaseOptions};
use webimport_cli::repository::{self, Publication, Validity};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, Manifest, ObjectEntry};
use webimport_core::names::{Channel, ReleaseName, Version};
use webimport_core::shards::split;
use webimport_core::time::UnixTime;

use crate::site::Pyodide;
use crate::{scratch, tools};

/// A repository in a scratch folder, with its keys.
pub struct Repository {
    folder: PathBuf,
    pin: String,
    validity: Validity,
}

impl Repository {
    /// A new, empty repository.
    pub fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        Self::signed_at(UnixTime(
            i64::try_from(now).expect("before the year 292277026596"),
        ))
    }

    /// A repository whose metadata are all signed at this time.
    pub fn signed_at(now: UnixTime) -> Self {
        let folder = scratch::folder("repository");
        let validity = Validity::from(now);
        let keys = KeyFolder::new(folder.join("keys"));
        let setup = repository::Setup::default();
        let pin = repository::init(&folder.join("repo"), &keys, &setup, &validity, &Silent)
            .expect("a new repository");
        Self {
            pin: format!("sha256:{pin}"),
            folder,
            validity,
        }
    }

    /// The folder to serve.
    pub fn root(&self) -> PathBuf {
        self.folder.join("repo")
    }

    /// The folder of the private keys.
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// `sha256:` and the digest of `1.root.json`.
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// Publishes a hand-made release, whatever is in it, and says its manifest's digest.
    pub fn publish(&self, release: &HandMade) -> String {
        let (manifest, objects) = release.bytes();
        let (name, version, channel) = release.identity();
        let sha256 = Sha256Digest::of(&manifest);
        let publication = Publication {
            name,
            version,
            channel,
            manifest,
            objects,
        };
        let keys = KeyFolder::new(self.keys()).into();
        let repository =
            repository::Repository::open(self.root()).expect("the repository that was just made");
        repository
            .publish(&publication, &keys, &self.validity, &Silent)
            .expect("publishing works");
        sha256.to_string()
    }

    /// The manifest of a release, by its digest.
    pub fn manifest(&self, name: &str, version: &str, sha256: &str) -> Value {
        let file = format!("targets/{name}/{version}/{sha256}.release.json");
        let bytes = std::fs::read(self.root().join(file)).expect("a published manifest");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// By path, what a reader of a release fetches for the file: its object and the shards around it, each as its path in
    /// the repository.
    pub fn places(
        &self,
        name: &str,
        version: &str,
        sha256: &str,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let mut places = BTreeMap::new();
        let mut lists = vec![(
            self.manifest(name, version, sha256),
            String::new(),
            BTreeSet::new(),
        )];
        while let Some((list, folder, around)) = lists.pop() {
            for file in list["files"].as_array().expect("a list") {
                let object =
                    usize::try_from(file["object"].as_u64().expect("an index")).expect("small");
                let mut place = around.clone();
                let object = &list["objects"][object];
                // What has no bytes is not fetched.
                if object["decoded_size"] != 0 {
                    place.insert(object_path(object));
                }
                places.insert(format!("{folder}{}", text(&file["path"])), place);
            }
            for entry in list["shards"].as_array().into_iter().flatten() {
                let mut around = around.clone();
                around.insert(object_path(entry));
                let stored = std::fs::read(self.root().join(object_path(entry))).expect("a shard");
                let shard = if entry["encoding"] == "gzip" {
                    serde_json::from_reader(GzDecoder::new(&*stored))
                } else {
                    serde_json::from_slice(&stored)
                };
                let folder = format!("{folder}{}/", text(&entry["folder"]));
                lists.push((shard.expect("JSON"), folder, around));
            }
        }
        places
    }

    /// Makes a project from the template with this name, releases it as it is, and says the manifest's digest.
    pub fn release_template(&self, name: &str) -> String {
        let project = self.folder.join(name);
        webimport(&["new".as_ref(), project.as_ref()]);
        let (root, keys, pyodide) = (
            self.root(),
            self.keys(),
            tools::tool("npm/node_modules/pyodide"),
        );
        let released = webimport(&[
            "release".as_ref(),
            project.as_ref(),
            "--repo".as_ref(),
            root.as_ref(),
            "--keys".as_ref(),
            keys.as_ref(),
            "--pyodide".as_ref(),
            pyodide.as_ref(),
        ]);
        released["sha256"]
            .as_str()
            .unwrap_or_else(|| panic!("no digest in {released}"))
            .to_owned()
    }

    /// Releases wheels and projects with the publisher, with bytecode, and says the manifest's digest.
    pub fn release(&self, sources: &[PathBuf], name: &str) -> String {
        self.release_with(sources, name, BytecodeChoice::Auto, SourceChoice::Included)
    }

    /// As [`Self::release`], without bytecode.
    pub fn release_sources(&self, sources: &[PathBuf], name: &str) -> String {
        self.release_with(sources, name, BytecodeChoice::Off, SourceChoice::Included)
    }

    /// As [`Self::release`], without sources.
    pub fn release_without_source(&self, sources: &[PathBuf], name: &str) -> String {
        self.release_with(sources, name, BytecodeChoice::Auto, SourceChoice::LeftOut)
    }

    /// As [`Self::release`], with the bytecode of these interpreters.
    pub fn release_for(&self, sources: &[PathBuf], name: &str, interpreters: &[PathBuf]) -> String {
        let bytecode = BytecodeChoice::Interpreters(interpreters.to_vec());
        self.release_with(sources, name, bytecode, SourceChoice::Included)
    }

    /// Has the publisher make a memory snapshot of a release for this Pyodide, in which these modules are imported, or
    /// those of its entry. Says what it tells.
    pub fn snapshot(&self, release: &str, pyodide: Pyodide, imports: &[&str]) -> Value {
        let (root, keys) = (self.root(), self.keys());
        let pyodide = tools::tool(&format!("npm/node_modules/{}", pyodide.folder()));
        let site = tools::workspace().join("target/site");
        let options: [(&str, &Path); 4] = [
            ("--repo", &root),
            ("--keys", &keys),
            ("--pyodide", &pyodide),
            ("--webimport", &site),
        ];
        let mut arguments: Vec<&OsStr> = vec!["snapshot".as_ref(), release.as_ref()];
        for (option, value) in options {
            arguments.extend([option.as_ref(), value.as_os_str()]);
        }
        for module in imports {
            arguments.extend(["--import".as_ref(), OsStr::new(module)]);
        }
        webimport(&arguments)
    }

    fn release_with(
        &self,
        sources: &[PathBuf],
        name: &str,
        bytecode: BytecodeChoice,
        source: SourceChoice,
    ) -> String {
        let options = ReleaseOptions {
            sources: sources.to_vec(),
            repository: self.root(),
            keys: KeyFolder::new(self.keys()).into(),
            name: Some(name.parse().expect("a release name")),
            version: None,
            channel: None,
            bytecode: Some(bytecode),
            pyodide: Some(tools::tool("npm/node_modules/pyodide")),
            source,
            entry: Vec::new(),
            snapshot: None,
            webimport: None,
            validity: self.validity.clone(),
        };
        let released = release::release(&options, &Silent).expect("releasing works");
        released.sha256.to_string()
    }
}

/// Runs the built command line with `--json`. Projects are built with the set-up's tools, without a package index.
pub fn webimport(arguments: &[&OsStr]) -> Value {
    let program = tools::built("target/debug/webimport", "cargo build -p webimport-cli");
    let own = tools::tool("venv/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path)))
        .expect("a search path");
    let output = Command::new(program)
        .args(arguments)
        .arg("--json")
        .env("PATH", path)
        // pip's way to say that the backend is here already.
        .env("PIP_NO_BUILD_ISOLATION", "false")
        .env("PIP_NO_INDEX", "1")
        .output()
        .expect("the command line starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// A repository with `rich`, its dependencies inside, and `networkx`; made once in a test process.
pub fn published() -> &'static Published {
    static MADE: OnceLock<Published> = OnceLock::new();
    MADE.get_or_init(|| {
        let repository = Repository::new();
        let rich = repository.release(
            &wheels(&["rich", "pygments", "markdown-it-py", "mdurl"]),
            "rich",
        );
        let networkx = repository.release(&wheels(&["networkx"]), "networkx");
        Published {
            repository,
            rich,
            networkx,
        }
    })
}

/// What [`published`] has.
pub struct Published {
    /// The repository.
    pub repository: Repository,
    /// The digest of the manifest of `rich`.
    pub rich: String,
    /// The digest of the manifest of `networkx`.
    pub networkx: String,
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn object_path(entry: &Value) -> String {
    let digest = text(&entry["sha256"]);
    format!("objects/{}/{digest}", &digest[..2])
}

/// What becomes of a shard before it is published.
type Spoil = fn(Vec<u8>) -> Vec<u8>;

/// A release that is put together by hand: nothing is checked.
#[derive(Debug, Clone)]
pub struct HandMade {
    name: String,
    version: String,
    channel: String,
    files: BTreeMap<String, Vec<u8>>,
    modules: Option<Vec<String>>,
    separate: bool,
    extra: BTreeMap<String, Value>,
    shards: Vec<String>,
    spoil: Spoil,
}

impl HandMade {
    /// An empty release on the channel `stable`.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            channel: "stable".to_owned(),
            files: BTreeMap::new(),
            modules: None,
            separate: false,
            extra: BTreeMap::new(),
            shards: Vec::new(),
            spoil: |bytes| bytes,
        }
    }

    /// A release with one package of its own name, whose `VALUE` is the version. No two have an object in common.
    pub fn package(name: &str, version: &str) -> Self {
        Self::new(name, version).file(
            &format!("{name}/__init__.py"),
            format!("# {name}\nVALUE = {version:?}\n"),
        )
    }

    /// Adds a file, under any path.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), bytes.into());
        self
    }

    /// Another channel than `stable`.
    #[must_use]
    pub fn channel(mut self, channel: &str) -> Self {
        channel.clone_into(&mut self.channel);
        self
    }

    /// The import names that it claims, instead of those of its files.
    #[must_use]
    pub fn claims(mut self, modules: &[&str]) -> Self {
        self.modules = Some(modules.iter().map(|&module| module.to_owned()).collect());
        self
    }

    /// An object for each file, instead of one for all.
    #[must_use]
    pub fn separate(mut self) -> Self {
        self.separate = true;
        self
    }

    /// Lists what is in these folders, given in order, in shards; the release has to be right without them.
    #[must_use]
    pub fn shards(mut self, folders: &[&str]) -> Self {
        self.shards = folders.iter().map(|&folder| folder.to_owned()).collect();
        self
    }

    /// Signs other shards than the right ones.
    #[must_use]
    pub fn spoil_shards(mut self, spoil: Spoil) -> Self {
        self.spoil = spoil;
        self
    }

    /// Sets a key of the manifest.
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.extra.insert(key.to_owned(), value);
        self
    }

    pub(crate) fn identity(&self) -> (ReleaseName, Version, Channel) {
        (
            self.name.parse().expect("a release name"),
            self.version.parse().expect("a version"),
            self.channel.parse().expect("a channel"),
        )
    }

    /// The manifest, and the objects by their digests.
    pub fn bytes(&self) -> (Vec<u8>, BTreeMap<Sha256Digest, Vec<u8>>) {
        let mut objects: Vec<Vec<u8>> = Vec::new();
        let mut files = Vec::new();
        for (path, bytes) in &self.files {
            if self.separate || objects.is_empty() {
                objects.push(Vec::new());
            }
            let index = objects.len() - 1;
            objects[index].extend_from_slice(bytes);
            let digest = Sha256Digest::of(bytes).to_string();
            files.push(
                json!({"path": path, "size": bytes.len(), "sha256": digest, "object": index}),
            );
        }
        let listed: Vec<Value> = objects
            .iter()
            .map(|bytes| {
                let digest = Sha256Digest::of(bytes).to_string();
                json!({"sha256": digest, "size": bytes.len(), "encoding": "identity", "decoded_size": bytes.len()})
            })
            .collect();
        let modules = self.modules.clone().unwrap_or_else(|| {
            let mut modules: Vec<String> = self
                .files
                .keys()
                .filter_map(|path| top_level(path))
                .collect();
            modules.sort();
            modules.dedup();
            modules
        });
        let mut manifest = json!({
            "format": "webimport-release/1", "name": self.name, "version": self.version, "modules": modules,
            "namespaces": [], "distributions": [], "requires": [], "objects": listed, "files": files,
        });
        for (key, value) in &self.extra {
            manifest[key] = value.clone();
        }
        let objects = objects
            .into_iter()
            .map(|bytes| (Sha256Digest::of(&bytes), bytes))
            .collect();
        self.divided(manifest.to_string().into_bytes(), objects)
    }

    fn divided(
        &self,
        manifest: Vec<u8>,
        mut objects: BTreeMap<Sha256Digest, Vec<u8>>,
    ) -> (Vec<u8>, BTreeMap<Sha256Digest, Vec<u8>>) {
        if self.shards.is_empty() {
            return (manifest, objects);
        }
        let expected = Expected {
            subject: "release.json".into(),
            length: None,
            sha256: Sha256Digest::of(&manifest),
        };
        let (name, _, _) = self.identity();
        let whole = Manifest::parse(&manifest, &expected, &name, None, &Limits::default());
        let whole = whole.expect("a right release").into_inner();
        let manifest = split(whole, &self.shards, |bytes| {
            let bytes = (self.spoil)(bytes);
            let sha256 = Sha256Digest::of(&bytes);
            let size = bytes.len() as u64;
            objects.insert(sha256, bytes);
            Ok::<_, serde_json::Error>(ObjectEntry {
                sha256,
                size,
                encoding: Encoding::Identity,
                decoded_size: size,
                decoded_sha256: sha256,
                tag: None,
            })
        });
        let manifest = manifest.expect("JSON");
        (manifest.to_bytes().expect("JSON"), objects)
    }
}

/// The import name of a path: a regular package's folder or a module.
fn top_level(path: &str) -> Option<String> {
    let name = path
        .strip_suffix("/__init__.py")
        .or_else(|| path.strip_suffix(".py"))?;
    name.chars()
        .all(|character| character.is_alphanumeric() || character == '_')
        .then(|| name.to_owned())
}

/// The wheels of one distribution each, as the set-up has downloaded them.
pub fn wheels(names: &[&str]) -> Vec<PathBuf> {
    let folder = tools::tool("wheels");
    names.iter().map(|name| wheel(&folder, name)).collect()
}

fn wheel(folder: &Path, name: &str) -> PathBuf {
    let start = format!("{}-", name.replace('-', "_"));
    let entries = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a folder entry").path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .filter(|path| {
            path.file_name()
                .is_some_and(|file| file.to_string_lossy().starts_with(&start))
        })
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| {
        panic!(
            "no wheel of `{name}` in {}; run `cargo xtask setup`",
            folder.display()
        )
    })
}
