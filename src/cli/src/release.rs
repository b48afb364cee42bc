//! From sources to a published release.
//!
//! Reads or builds the wheels, merges their files, compiles, packs, writes the manifest, checks it by the
//! rules that readers apply, and publishes it. Nothing is written into the repository before all of that
//! succeeded.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use webimport_core::closure::Planned;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Coded, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{
    Distribution, Encoding, FORMAT, FileEntry, ImportNames, Manifest, ObjectEntry,
};
use webimport_core::names::{CacheTag, Channel, NameSyntax, ReleaseName, Selector, Version};
use webimport_core::shards::split;

use crate::bytecode::{
    self, Bytecode, BytecodeChoice, BytecodeError, MAIN_TAG, SourceChoice, cache_path,
};
use crate::imports::{self, Graph, Imports, is_source};
use crate::keyring::Keyring;
use crate::observe::{Event, Observer, Unit};
use crate::pack::{Layout, Packed};
use crate::project::{self, ProjectError, Settings};
use crate::repository::{
    Publication, Published, Repository, RepositoryError, UpdateSummary, Validity,
};
use crate::requirement;
use crate::shards;
use crate::snapshot::{self, SnapshotError, SnapshotOptions, Snapshotted, Tools};
use crate::verify;
use crate::wheel::{self, Wheel, WheelError, WheelLimits, normalized_name};

/// A release is partial if what one interpreter needs of it has more bytes than this, decoded: what is not
/// bytecode nor a source behind bytecode, and the larger one of the sources and the bytecode of one tag.
pub const PARTIAL_ABOVE: u64 = 16 * 1024 * 1024;

/// Files of a whole release that are not needed at first have objects of their own if they are more bytes than this,
/// decoded: for fewer, another request is not worth it.
const FOLLOWING_ABOVE: u64 = 512 * 1024;

/// What to release and where. `None` takes the project's setting, then the default.
#[derive(Debug, Clone)]
pub struct ReleaseOptions {
    /// Project folders and wheels, at least one.
    pub sources: Vec<PathBuf>,
    /// The repository's folder.
    pub repository: PathBuf,
    /// The keys of targets, snapshot and timestamp.
    pub keys: Keyring,
    /// Default: the name of the first source's distribution.
    pub name: Option<ReleaseName>,
    /// Default: the version of the first source's distribution.
    pub version: Option<Version>,
    /// Default: `stable`.
    pub channel: Option<Channel>,
    /// Default: [`BytecodeChoice::Auto`].
    pub bytecode: Option<BytecodeChoice>,
    /// The folder of npm's `pyodide` package, for bytecode.
    pub pyodide: Option<PathBuf>,
    /// Whether the release has its sources.
    pub source: SourceChoice,
    /// The modules that readers of a partial release take when they name none. Empty: the project's.
    pub entry: Vec<String>,
    /// Whether a memory snapshot is made of the release, by the Pyodide in `pyodide`.
    pub snapshot: Option<bool>,
    /// The folder of npm's `webimport` package, for the snapshot.
    pub webimport: Option<PathBuf>,
    /// When, and for how long the metadata are valid.
    pub validity: Validity,
}

/// What was released.
#[derive(Debug, Clone, Serialize)]
pub struct Released {
    /// What changed in the repository.
    pub change: Published,
    /// The release's name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The channel that names it.
    pub channel: Channel,
    /// The digest of its manifest.
    pub sha256: Sha256Digest,
    /// Top-level import names.
    pub modules: Vec<String>,
    /// The distributions inside.
    pub distributions: Vec<Distribution>,
    /// What it needs from outside.
    pub requires: Vec<String>,
    /// The bytecode inside.
    pub bytecode: Vec<BytecodeSummary>,
    /// Whether readers fetch what they import, and not the whole release.
    pub partial: bool,
    /// The modules that readers of a partial release take when they name none; if empty, all.
    pub entry: Vec<String>,
    /// Whether the sources are inside.
    pub source: bool,
    /// Files, bytecode included.
    pub files: usize,
    /// Objects, shards included.
    pub objects: usize,
    /// Shards of the manifest.
    pub shards: usize,
    /// All objects as stored, in bytes.
    pub bytes: u64,
    /// All files, in bytes.
    pub decoded_bytes: u64,
    /// From which earlier releases readers fetch what has changed, and no more.
    pub updates: Vec<UpdateSummary>,
    /// The memory snapshot, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshotted>,
    /// What the publisher should know.
    pub notes: Vec<String>,
}

/// The bytecode of one tag.
#[derive(Debug, Clone, Serialize)]
pub struct BytecodeSummary {
    /// The cache tag.
    pub tag: CacheTag,
    /// The interpreter, for people.
    pub made_by: String,
    /// Sources that have bytecode.
    pub files: usize,
}

impl From<Bytecode> for BytecodeSummary {
    fn from(bytecode: Bytecode) -> Self {
        Self {
            tag: bytecode.tag,
            made_by: bytecode.made_by,
            files: bytecode.files.len(),
        }
    }
}

/// A release is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// No source was given.
    #[error("there is nothing to release")]
    Nothing,
    /// Two distributions bring one path with different content.
    #[error("`{path}` is in `{first}` and in `{second}`, with different content")]
    Collision {
        /// The path inside the release.
        path: String,
        /// A distribution.
        first: String,
        /// Another one.
        second: String,
    },
    /// One distribution is given twice.
    #[error("the distribution `{name}` is given twice")]
    Twice {
        /// Its normalised name.
        name: String,
    },
    /// The default name or version cannot be the release's.
    #[error("the release cannot be named after its first source: {0}")]
    Name(#[from] NameSyntax),
    /// Nothing in it can be imported.
    #[error("the release has no importable module")]
    NoModules,
    /// Sources are left out, and there is nothing in their place.
    #[error("the release is to have no source, and there is no bytecode to take its place")]
    NoBytecode,
    /// An entry module is not in the release.
    #[error("the entry module `{module}` is not in the release")]
    Entry {
        /// The dotted name.
        module: String,
    },
    /// It needs more from outside than a manifest may list.
    #[error("the release needs {count} distributions from outside, expected at most {limit}")]
    Requirements {
        /// How many.
        count: usize,
        /// How many a manifest may list.
        limit: usize,
    },
    /// A requirement is longer than a manifest may list.
    #[error("a requirement has {length} bytes, expected at most {limit}: `{start}…`")]
    Requirement {
        /// How it begins.
        start: String,
        /// Of the whole text, in bytes.
        length: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// A project.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A wheel.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// Bytecode.
    #[error(transparent)]
    Bytecode(#[from] BytecodeError),
    /// What makes memory snapshots is not there.
    #[error(transparent)]
    Tools(#[from] SnapshotError),
    /// The release is published, its memory snapshot is not.
    #[error("`{name}` {version} is released, without a memory snapshot: {source}")]
    Snapshot {
        /// The release's name.
        name: ReleaseName,
        /// Its version.
        version: Version,
        /// Why there is none.
        source: Box<SnapshotError>,
    },
    /// Readers would refuse the release.
    #[error(transparent)]
    Manifest(#[from] VerifyError),
    /// The repository and its keys.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Compression failed, which only lack of memory does.
    #[error("cannot pack the release: {0}")]
    Pack(#[from] io::Error),
    /// Something has no JSON form.
    #[error("cannot write the manifest: {0}")]
    Json(#[from] serde_json::Error),
}

impl Coded for ReleaseError {
    fn code(&self) -> &'static str {
        match self {
            Self::Nothing | Self::NoModules => "publish.no_source",
            Self::Collision { .. } | Self::Twice { .. } => "publish.collision",
            Self::Name(_) => "publish.name",
            Self::NoBytecode => "publish.bytecode",
            Self::Entry { .. } => "publish.entry",
            Self::Requirements { .. } | Self::Requirement { .. } => "publish.requires",
            Self::Pack(_) | Self::Json(_) => "publish.pack",
            Self::Project(error) => error.code(),
            Self::Wheel(error) => error.code(),
            Self::Bytecode(error) => error.code(),
            Self::Tools(error) => error.code(),
            Self::Snapshot { source, .. } => source.code(),
            Self::Manifest(error) => error.code(),
            Self::Repository(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Nothing => "give a project folder or a wheel".into(),
            Self::NoModules => {
                "a release needs at least one module or package at its top level".into()
            }
            Self::Collision { .. } => {
                "release them apart, or leave out one of the two; equal files may be in both".into()
            }
            Self::Twice { .. } => "give one version of each distribution".into(),
            Self::Name(_) => "give --name and --version".into(),
            Self::NoBytecode => {
                "put Python 3.14 on PATH, or give --bytecode PYTHON or --pyodide DIR, with --no-source".into()
            }
            Self::Entry { .. } => {
                "name modules as `import` does, `package.module`, in --entry or in `entry` of `[tool.webimport]`"
                    .into()
            }
            Self::Requirements { .. } => {
                "give the wheels of distributions that it needs, so that they are inside".into()
            }
            Self::Requirement { .. } => {
                "shorten it in the distribution's metadata, or give the wheel that it asks for, so that it is inside"
                    .into()
            }
            Self::Pack(_) | Self::Json(_) => "report this as a bug".into(),
            Self::Project(error) => error.hint(),
            Self::Wheel(error) => error.hint(),
            Self::Bytecode(error) => error.hint(),
            Self::Tools(error) => error.hint(),
            Self::Snapshot {
                name,
                version,
                source,
            } => format!(
                "{}; `webimport snapshot {name}@{version}` makes one later",
                source.hint()
            ),
            Self::Manifest(error) => error.hint(),
            Self::Repository(error) => error.hint(),
        }
    }
}

/// Makes one release of all sources and publishes it.
///
/// # Errors
/// Any [`ReleaseError`]; the repository is then as it was, apart from objects that nothing names.
pub fn release(
    options: &ReleaseOptions,
    observer: &dyn Observer,
) -> Result<Released, ReleaseError> {
    let repository = Repository::open(&options.repository)?;
    repository.check_keys(&options.keys)?;
    if options.source == SourceChoice::LeftOut && options.bytecode == Some(BytecodeChoice::Off) {
        // Before anything is built.
        return Err(ReleaseError::NoBytecode);
    }
    let Sources {
        wheels,
        name,
        version,
        channel,
        bytecode: choice,
        entry,
        snapshot,
        mut notes,
    } = Sources::read(options, observer)?;

    let requires = requirement::unsatisfied(&wheels);
    check_requires(&requires, &Limits::default())?;
    let requires_python = requires_python(&wheels);
    let distributions = distributions(&wheels);
    let mut files = merge(wheels)?;
    let bytecode = compiled(options, &choice, &files, observer, &mut notes)?;
    notes.extend(bytecode.iter().flat_map(failures));
    notes.extend(missing_main_tag(&bytecode, options.source));

    let sources = match options.source {
        SourceChoice::Included => None,
        SourceChoice::LeftOut if bytecode.iter().all(|it| it.files.is_empty()) => {
            return Err(ReleaseError::NoBytecode);
        }
        SourceChoice::LeftOut => {
            notes.extend(left_out(&files, &bytecode));
            Some(files.extract_if(.., |path, _| is_source(path)).collect())
        }
    };
    let kinds = Kinds::of(&files, &bytecode);
    let imports = imports::read_all(sources.as_ref().unwrap_or(&files))?;
    let mut manifest = Manifest {
        format: FORMAT.into(),
        name,
        version,
        modules: Vec::new(),
        namespaces: Vec::new(),
        distributions,
        requires,
        requires_python,
        partial: kinds.needed() > PARTIAL_ABOVE,
        entry,
        source: options.source == SourceChoice::Included,
        tags: Vec::new(),
        objects: Vec::new(),
        files: Vec::new(),
        shards: Vec::new(),
    };
    let mut packed = if manifest.partial {
        kinds.pack(Layout::Partial(&imports.together()), &|_| true, observer)?
    } else {
        let first = kinds.first(&manifest, &imports);
        kinds.pack(Layout::Whole, &|path| first.contains(path), observer)?
    };
    (manifest.objects, manifest.files) = packed.take_lists();
    let divided = divide(finish(manifest, &imports.executed)?, &mut packed)?;
    let manifest = divided.manifest;
    let publication = Publication {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        channel,
        manifest: to_bytes(&manifest)?,
        objects: packed.content,
    };
    let done = Done::of(
        &publication,
        snapshot.as_ref(),
        options,
        &repository,
        observer,
    )?;
    Ok(Released {
        change: done.change,
        updates: done.updates,
        snapshot: done.snapshot,
        name: manifest.name,
        version: manifest.version,
        channel: publication.channel,
        sha256: Sha256Digest::of(&publication.manifest),
        modules: manifest.modules,
        distributions: manifest.distributions,
        requires: manifest.requires,
        bytecode: bytecode.into_iter().map(BytecodeSummary::from).collect(),
        partial: manifest.partial,
        entry: manifest.entry,
        source: manifest.source,
        files: divided.files,
        objects: divided.objects,
        shards: divided.shards,
        bytes: divided.bytes,
        decoded_bytes: divided.decoded_bytes,
        notes,
    })
}

/// What became of a publication.
struct Done {
    change: Published,
    updates: Vec<UpdateSummary>,
    snapshot: Option<Snapshotted>,
}

impl Done {
    /// Publishes the release and then, if there are tools for it, its memory snapshot.
    fn of(
        publication: &Publication,
        tools: Option<&Tools>,
        options: &ReleaseOptions,
        repository: &Repository,
        observer: &dyn Observer,
    ) -> Result<Self, ReleaseError> {
        observer.event(Event::Stage {
            title: "writing",
            unit: Unit::Files,
            // Objects, manifest, targets, snapshot, timestamp.
            total: publication.objects.len() as u64 + 4,
        });
        let (keys, validity) = (&options.keys, &options.validity);
        let change = repository.publish(publication, keys, validity, observer)?;
        let updates = repository.published_updates(publication, keys);
        let Publication { name, version, .. } = publication;
        let of_release = SnapshotOptions {
            repository: options.repository.clone(),
            keys: keys.clone(),
            name: name.clone(),
            selector: Selector::Version(version.clone()),
            pyodide: options.pyodide.clone(),
            webimport: options.webimport.clone(),
            imports: Vec::new(),
            validity: validity.clone(),
        };
        let snapshot = tools
            .map(|tools| snapshot::snapshot_with(tools, &of_release, repository, observer))
            .transpose()
            .map_err(|source| ReleaseError::Snapshot {
                name: name.clone(),
                version: version.clone(),
                source: Box::new(source),
            })?;
        Ok(Self {
            change,
            updates,
            snapshot,
        })
    }
}

/// The bytecode of the files. What there is to say of it goes into the notes.
fn compiled(
    options: &ReleaseOptions,
    choice: &BytecodeChoice,
    files: &BTreeMap<String, Vec<u8>>,
    observer: &dyn Observer,
    notes: &mut Vec<String>,
) -> Result<Vec<Bytecode>, ReleaseError> {
    let notes = RefCell::new(notes);
    let noting = Noting { observer, notes };
    let pyodide = options.pyodide.as_deref();
    let made = bytecode::compile(choice, pyodide, options.source, files, &noting)?;
    Ok(made)
}

/// What interpreters that were named leave to readers of the newest Pyodide.
fn missing_main_tag(bytecode: &[Bytecode], source: SourceChoice) -> Option<String> {
    if bytecode.is_empty() || bytecode.iter().any(|it| it.tag.as_str() == MAIN_TAG) {
        return None;
    }
    let tags: Vec<&str> = bytecode.iter().map(|it| it.tag.as_str()).collect();
    let tags = tags.join(", ");
    Some(match source {
        SourceChoice::Included => format!(
            "the bytecode is for {tags} alone; readers with {MAIN_TAG}, which Pyodide 314 has, compile the sources at each start"
        ),
        SourceChoice::LeftOut => format!(
            "the bytecode is for {tags} alone; readers with {MAIN_TAG}, which Pyodide 314 has, cannot load this version"
        ),
    })
}

/// The sources as wheels, and the release that they make.
struct Sources {
    wheels: Vec<Wheel>,
    name: ReleaseName,
    version: Version,
    channel: Channel,
    bytecode: BytecodeChoice,
    entry: Vec<String>,
    /// What makes a memory snapshot, if there is to be one.
    snapshot: Option<Tools>,
    notes: Vec<String>,
}

impl Sources {
    /// Reads the wheels and builds the projects. The first source gives what the options leave open.
    fn read(options: &ReleaseOptions, observer: &dyn Observer) -> Result<Self, ReleaseError> {
        // All settings and wheels first: a typing error should not wait for a build.
        let mut settings = Vec::with_capacity(options.sources.len());
        let mut given = Vec::with_capacity(options.sources.len());
        for source in &options.sources {
            let (its_settings, wheel) = if is_wheel(source) {
                let wheel = wheel::read(source, &WheelLimits::default())?;
                (Settings::default(), Some(wheel))
            } else {
                (project::settings(source)?, None)
            };
            settings.push(its_settings);
            given.push(wheel);
        }
        let settings = settings.into_iter().next().ok_or(ReleaseError::Nothing)?;
        let snapshot = if options.snapshot.or(settings.snapshot).unwrap_or_default() {
            let (pyodide, webimport) = (&options.pyodide, &options.webimport);
            Some(Tools::find(pyodide.as_deref(), webimport.as_deref())?)
        } else {
            None
        };
        let mut wheels = Vec::with_capacity(options.sources.len());
        for (source, wheel) in options.sources.iter().zip(given) {
            wheels.push(if let Some(wheel) = wheel {
                wheel
            } else {
                let built = project::build(source, observer)?;
                wheel::read(&built.path, &WheelLimits::default())?
            });
        }
        let first = wheels.first().ok_or(ReleaseError::Nothing)?;
        let name = match options.name.clone().or(settings.name) {
            Some(name) => name,
            None => normalized_name(&first.name).parse()?,
        };
        let version = match options.version.clone() {
            Some(version) => version,
            None => first.version.parse()?,
        };
        Ok(Self {
            name,
            version,
            channel: options
                .channel
                .clone()
                .or(settings.channel)
                .unwrap_or_else(Channel::stable),
            bytecode: options
                .bytecode
                .clone()
                .or(settings.bytecode)
                .unwrap_or_default(),
            entry: if options.entry.is_empty() {
                settings.entry
            } else {
                options.entry.clone()
            },
            snapshot,
            notes: wheels
                .iter()
                .flat_map(|wheel| wheel.notes.iter().cloned())
                .collect(),
            wheels,
        })
    }
}

fn distributions(wheels: &[Wheel]) -> Vec<Distribution> {
    let mut distributions: Vec<Distribution> = wheels
        .iter()
        .map(|wheel| Distribution {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
        })
        .collect();
    distributions.sort_by_key(|distribution| normalized_name(&distribution.name));
    distributions
}

fn to_bytes(manifest: &Manifest) -> Result<Vec<u8>, ReleaseError> {
    let bytes = manifest.to_bytes()?;
    let limit = Limits::default().manifest;
    if bytes.len() as u64 > limit {
        return Err(VerifyError::TooLarge {
            subject: "release.json".into(),
            limit,
        }
        .into());
    }
    Ok(bytes)
}

fn is_wheel(source: &std::path::Path) -> bool {
    source
        .extension()
        .is_some_and(|extension| extension == "whl")
}

/// All of the wheels' specifiers hold at once.
fn requires_python(wheels: &[Wheel]) -> Option<String> {
    let mut clauses: Vec<&str> = wheels
        .iter()
        .filter_map(|wheel| wheel.requires_python.as_deref())
        .flat_map(|specifier| specifier.split(','))
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .collect();
    clauses.sort_unstable();
    clauses.dedup();
    (!clauses.is_empty()).then(|| clauses.join(","))
}

/// One tree of all wheels. The same file may be in two of them, as with legacy namespace packages.
fn merge(wheels: Vec<Wheel>) -> Result<BTreeMap<String, Vec<u8>>, ReleaseError> {
    let mut names: Vec<String> = wheels
        .iter()
        .map(|wheel| normalized_name(&wheel.name))
        .collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ReleaseError::Twice {
            name: pair[0].clone(),
        });
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for wheel in wheels {
        for (path, content) in wheel.files {
            match files.get(&path) {
                Some(other) if *other != content => {
                    let first = owners.remove(&path).unwrap_or_default();
                    return Err(ReleaseError::Collision {
                        path,
                        first,
                        second: wheel.name,
                    });
                }
                Some(_) => {}
                None => {
                    owners.insert(path.clone(), wheel.name.clone());
                    files.insert(path, content);
                }
            }
        }
    }
    Ok(files)
}

/// A file: its path, and its bytes.
type Content<'a> = (&'a str, &'a [u8]);

/// The files of a release by what readers do with them. Files of two kinds never share an object.
struct Kinds<'a> {
    /// Sources for which every tag has bytecode, and stubs: what may follow after the first import.
    sources: Vec<Content<'a>>,
    /// What else every interpreter needs.
    rest: Vec<Content<'a>>,
    bytecode: &'a [Bytecode],
}

impl<'a> Kinds<'a> {
    fn of(files: &'a BTreeMap<String, Vec<u8>>, bytecode: &'a [Bytecode]) -> Self {
        let tags: Vec<&Bytecode> = bytecode.iter().filter(|it| !it.files.is_empty()).collect();
        let follows = |path: &str| {
            let is_stub = path.rsplit_once('.').is_some_and(|(_, own)| own == "pyi");
            let is_compiled = |it: &&Bytecode| {
                cache_path(path, it.tag.as_str()).is_some_and(|path| it.files.contains_key(&path))
            };
            !tags.is_empty() && (is_stub || (is_source(path) && tags.iter().all(is_compiled)))
        };
        let (sources, rest) = files
            .iter()
            .map(|(path, content)| (&**path, &**content))
            .partition(|(path, _)| follows(path));
        Self {
            sources,
            rest,
            bytecode,
        }
    }

    /// The decoded bytes that one interpreter needs.
    fn needed(&self) -> u64 {
        let bytecode = self.bytecode.iter().map(|it| size(contents(&it.files)));
        let bytecode = bytecode.max().unwrap_or_default();
        let sources = size(self.sources.iter().map(|(_, content)| *content));
        size(self.rest.iter().map(|(_, content)| *content)) + sources.max(bytecode)
    }

    /// The paths of what readers most likely need before everything else: the closure of what they load when they name
    /// no modules, under the imports in functions, too. All paths, if the others are few.
    fn first(&self, manifest: &Manifest, imports: &Imports) -> BTreeSet<&'a str> {
        let plain = self.sources.iter().chain(&self.rest);
        let plain = plain.map(|(path, content)| (*path, content.len(), None));
        let compiled = self.bytecode.iter().flat_map(|it| {
            let files = it.files.iter();
            files.map(|(path, content)| (path.as_str(), content.len(), Some(&it.tag)))
        });
        let mut all: Vec<_> = plain.chain(compiled).collect();
        all.sort_unstable_by_key(|(path, _, _)| *path);
        // A manifest in which each file is an object of its own.
        let unknown = Sha256Digest::from_raw([0; 32]);
        let mut draft = manifest.clone();
        for (object, (path, length, tag)) in all.iter().enumerate() {
            draft.objects.push(ObjectEntry {
                sha256: unknown,
                size: *length as u64,
                encoding: Encoding::Identity,
                decoded_size: *length as u64,
                decoded_sha256: unknown,
                tag: (*tag).cloned(),
            });
            draft.files.push(FileEntry {
                path: (*path).to_owned(),
                size: *length as u64,
                sha256: unknown,
                object,
                offset: 0,
                imports: Vec::new(),
                imports_elsewhere: Vec::new(),
            });
        }
        draft.modules = ImportNames::in_files(&draft.files, draft.source).modules;
        fill_imports(&mut draft, &[&imports.executed, &imports.deferred]);
        let tags: Vec<CacheTag> = match self.bytecode {
            [] => MAIN_TAG.parse().into_iter().collect(),
            bytecode => bytecode.iter().map(|it| it.tag.clone()).collect(),
        };
        let sources: HashSet<&str> = self.sources.iter().map(|(path, _)| *path).collect();
        let mut first = BTreeSet::new();
        let mut following = 0;
        for tag in &tags {
            // What cannot be planned is refused when the manifest is complete.
            let planned = draft.plan(tag, &[]).ok().and_then(Planned::ready);
            let planned = planned.unwrap_or_default();
            let now: BTreeSet<&str> = planned.now.iter().map(|object| all[*object].0).collect();
            let others = all.iter().filter(|(path, _, own)| {
                own.is_none_or(|own| own == tag) && !now.contains(path) && !sources.contains(path)
            });
            following = others
                .map(|(_, length, _)| *length as u64)
                .sum::<u64>()
                .max(following);
            first.extend(now);
        }
        if following <= FOLLOWING_ABOVE {
            first.extend(all.iter().map(|(path, _, _)| *path));
        }
        first
    }

    /// Packs the kinds, what `is_first` before the others, sources last: readers fetch in this order.
    fn pack(
        &self,
        layout: Layout<'_>,
        is_first: &dyn Fn(&str) -> bool,
        observer: &dyn Observer,
    ) -> Result<Packed, ReleaseError> {
        let bytecode = self.bytecode.iter().map(|it| {
            let files = it.files.iter();
            let files: Vec<_> = files.map(|(path, content)| (&**path, &**content)).collect();
            (files, Some(&it.tag))
        });
        let needed: Vec<_> = std::iter::once((self.rest.clone(), None))
            .chain(bytecode)
            .collect();
        let mut kinds: Vec<(Vec<Content<'_>>, Option<&CacheTag>)> = Vec::new();
        for part in [true, false] {
            for (files, tag) in &needed {
                let of_part = files.iter().filter(|(path, _)| is_first(path) == part);
                kinds.push((of_part.copied().collect(), *tag));
            }
        }
        kinds.push((self.sources.clone(), None));
        let of = |files: &[Content<'_>]| size(files.iter().map(|(_, content)| *content));
        observer.event(Event::Stage {
            title: "packing",
            unit: Unit::Bytes,
            total: kinds.iter().map(|(files, _)| of(files)).sum(),
        });
        let mut packed = Packed::default();
        let mut before = 0;
        for (files, tag) in kinds {
            let total = of(&files);
            packed.add(files.into_iter(), tag, layout, |done| {
                observer.event(Event::Progress(before + done));
            })?;
            before += total;
        }
        Ok(packed)
    }
}

fn contents(files: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = &[u8]> {
    files.values().map(|content| &**content)
}

fn size<'a>(contents: impl Iterator<Item = &'a [u8]>) -> u64 {
    contents.map(|content| content.len() as u64).sum()
}

/// A manifest that may have shards, and what there is of the release.
struct Divided {
    manifest: Manifest,
    files: usize,
    /// Shards included.
    objects: usize,
    shards: usize,
    /// All objects as stored, in bytes.
    bytes: u64,
    decoded_bytes: u64,
}

/// Divides the manifest of a release that is partial and large, and applies the readers' rules.
fn divide(whole: Manifest, packed: &mut Packed) -> Result<Divided, ReleaseError> {
    let limits = Limits::default();
    let files = whole.files.len();
    let decoded_bytes = whole.files.iter().map(|file| file.size).sum();
    let objects = whole.objects.len();
    let bytes = whole.objects.iter().map(|object| object.size).sum();
    let folders = shards::folders(&whole);
    if folders.is_empty() {
        whole.validate("release.json", &limits)?;
        return Ok(Divided {
            manifest: whole,
            files,
            objects,
            shards: 0,
            bytes,
            decoded_bytes,
        });
    }
    let mut listed = 0;
    let manifest = split(whole, &folders, |bytes| {
        let object = packed.shard(&bytes)?;
        listed += object.size;
        Ok::<_, ReleaseError>(object)
    })?;
    let root = to_bytes(&manifest)?;
    let expected = Expected {
        subject: "release.json".into(),
        length: None,
        sha256: Sha256Digest::of(&root),
    };
    let mut read = Manifest::parse(&root, &expected, &manifest.name, None, &limits)?;
    shards::add_all(&mut read, &limits, |object| {
        let bytes = packed.content.get(&object.sha256).cloned();
        Ok::<_, ReleaseError>(verify::decoded(object, bytes.unwrap_or_default())?)
    })?;
    Ok(Divided {
        manifest,
        files,
        objects: objects + folders.len(),
        shards: folders.len(),
        bytes: bytes + listed,
        decoded_bytes,
    })
}

/// Puts the files in order, and fills in import names and import edges.
fn finish(mut manifest: Manifest, imports: &Graph) -> Result<Manifest, ReleaseError> {
    manifest.files.sort_by(|a, b| a.path.cmp(&b.path));
    let names = ImportNames::in_files(&manifest.files, manifest.source);
    if names.modules.is_empty() {
        return Err(ReleaseError::NoModules);
    }
    (manifest.modules, manifest.namespaces) = (names.modules, names.namespaces);
    fill_imports(&mut manifest, &[imports]);
    manifest.entry.sort_unstable();
    manifest.entry.dedup();
    if let Some(module) = manifest.missing_entry() {
        let module = module.to_owned();
        return Err(ReleaseError::Entry { module });
    }
    Ok(manifest)
}

/// Whether a manifest may list these requirements: readers refuse one that does all the same.
fn check_requires(requires: &[String], limits: &Limits) -> Result<(), ReleaseError> {
    if requires.len() > limits.requirements {
        return Err(ReleaseError::Requirements {
            count: requires.len(),
            limit: limits.requirements,
        });
    }
    match requires.iter().find(|it| it.len() > limits.requirement) {
        None => Ok(()),
        Some(long) => Err(ReleaseError::Requirement {
            start: long.chars().take(40).collect(),
            length: long.len(),
            limit: limits.requirement,
        }),
    }
}

/// The edges of the graphs, from and to indices of files: between sources, or between the bytecode of each tag
/// where there are none.
fn fill_imports(manifest: &mut Manifest, graphs: &[&Graph]) {
    let tags: Vec<Option<String>> = if manifest.source {
        vec![None]
    } else {
        manifest.tags().into_iter().map(Some).collect()
    };
    let paths = manifest.files.iter().map(|file| &*file.path);
    let index: HashMap<&str, u32> = paths.zip(0..).collect();
    let mut edges: Vec<(u32, Vec<u32>)> = Vec::new();
    for tag in tags {
        let find = |path: &str| match &tag {
            Some(tag) if is_source(path) => index.get(&*cache_path(path, tag)?).copied(),
            _ => index.get(path).copied(),
        };
        for (from, to) in graphs.iter().copied().flatten() {
            let to = to.iter().filter_map(|path| find(path)).collect();
            if let Some(from) = find(from) {
                edges.push((from, to));
            }
        }
    }
    for (from, to) in edges {
        manifest.files[from as usize].imports.extend(to);
    }
    for file in &mut manifest.files {
        file.imports.sort_unstable();
        file.imports.dedup();
    }
}

fn failures(bytecode: &Bytecode) -> Vec<String> {
    bytecode
        .failed
        .iter()
        .map(|(path, reason)| format!("`{path}` has no bytecode for {}: {reason}", bytecode.tag))
        .collect()
}

/// Sources with nothing in their place.
fn left_out(files: &BTreeMap<String, Vec<u8>>, bytecode: &[Bytecode]) -> Vec<String> {
    let is_compiled = |path: &str| {
        bytecode.iter().any(|it| {
            cache_path(path, it.tag.as_str()).is_some_and(|path| it.files.contains_key(&path))
        })
    };
    files
        .keys()
        .filter(|path| is_source(path) && !is_compiled(path))
        .map(|path| format!("`{path}` is left out: it has no bytecode"))
        .collect()
}

/// Keeps the notes for the result, and passes on everything.
struct Noting<'a> {
    observer: &'a dyn Observer,
    notes: RefCell<&'a mut Vec<String>>,
}

impl Observer for Noting<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Note(note) = event {
            self.notes.borrow_mut().push(note.to_owned());
        } else {
            self.observer.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(name: &str, files: &[(&str, &str)]) -> Wheel {
        Wheel {
            name: name.into(),
            version: "1".into(),
            requires: Vec::new(),
            requires_python: Some(">=3.8, <4".into()),
            files: files
                .iter()
                .map(|(path, text)| ((*path).into(), (*text).into()))
                .collect(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_readers_of_the_newest_pyodide_lose_is_said() {
        let of = |tag: &str| Bytecode {
            tag: tag.parse().unwrap(),
            made_by: String::new(),
            files: BTreeMap::new(),
            failed: BTreeMap::new(),
        };
        let said = missing_main_tag(&[of("cpython-313")], SourceChoice::LeftOut).unwrap();
        assert!(
            said.contains("cpython-313 alone") && said.contains("cannot load"),
            "{said}"
        );
        let said = missing_main_tag(&[of("cpython-313")], SourceChoice::Included).unwrap();
        assert!(said.contains("compile the sources"), "{said}");
        let both = [of("cpython-313"), of(MAIN_TAG)];
        assert_eq!(missing_main_tag(&both, SourceChoice::LeftOut), None);
        assert_eq!(missing_main_tag(&[], SourceChoice::Included), None);
    }

    #[test]
    fn equal_files_of_two_wheels_are_one() {
        let merged = merge(vec![
            wheel("a", &[("n/__init__.py", ""), ("n/a.py", "")]),
            wheel("b", &[("n/__init__.py", "")]),
        ]);
        assert_eq!(merged.unwrap().len(), 2);
    }

    #[test]
    fn different_files_of_two_wheels_are_refused() {
        let merged = merge(vec![
            wheel("a", &[("x.py", "1")]),
            wheel("b", &[("x.py", "2")]),
        ]);
        assert!(
            matches!(merged, Err(ReleaseError::Collision { first, second, .. }) if first == "a" && second == "b")
        );
        assert!(matches!(
            merge(vec![wheel("a", &[]), wheel("A", &[])]),
            Err(ReleaseError::Twice { .. })
        ));
    }

    #[test]
    fn python_requirements_are_joined() {
        let mut other = wheel("b", &[]);
        other.requires_python = Some(">=3.11".into());
        assert_eq!(
            requires_python(&[wheel("a", &[]), other]).as_deref(),
            Some("<4,>=3.11,>=3.8")
        );
        assert_eq!(requires_python(&[]), None);
    }
}
