//! The release manifest: every file of a release with its size and digest, and the objects that hold them.
//!
//! `docs/format.md` describes the format. A manifest is checked whole before any object is asked for: paths,
//! sizes, that files fill their objects, that the claimed import names are what the files imply, that bytecode stands
//! beside the source that it belongs to, and that import edges lead from module to module. Which objects a reader fetches
//! is said by [`closure`](crate::closure).

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::str::FromStr;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::closure::{self, module_parts};
use crate::digest::{Expected, Sha256Digest};
use crate::error::{Error, Fault, ResolveError, VerifyError};
use crate::fields::{self, Fields};
use crate::json::{self, Value};
use crate::limits::Limits;
use crate::map::{Map, sorted};
use crate::names::{CacheTag, ReleaseName, Version};
use crate::path::{self, PathSet, Unicode};
use crate::shards::{self, ShardEntry};
use crate::trust::Verified;

/// The `format` of manifests that this crate reads and writes.
pub const FORMAT: &str = "webimport-release/1";

/// Import edges that the files of a manifest or of a shard may have.
pub const MAX_IMPORTS: usize = 4_000_000;

/// Entry modules that a release may name. Each is looked for in every list.
pub const MAX_ENTRY: usize = 1_000;

/// A release manifest. See `docs/format.md` for each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "docs/format.md describes each field")]
pub struct Manifest {
    pub format: String,
    pub name: ReleaseName,
    pub version: Version,
    pub modules: Vec<String>,
    pub namespaces: Vec<String>,
    pub distributions: Vec<Distribution>,
    pub requires: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub partial: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entry: Vec<String>,
    #[serde(skip_serializing_if = "is_true")]
    pub source: bool,
    /// Of a release with shards: all tags of its bytecode, sorted. [`tags`](Self::tags) has them in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<CacheTag>,
    /// Those of shards that were added behind the manifest's own.
    pub objects: Vec<ObjectEntry>,
    /// In order, those of shards that were added behind the manifest's own.
    pub files: Vec<FileEntry>,
    /// Those of shards that were added behind the manifest's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardEntry>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A distribution inside a release, as its `METADATA` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "docs/format.md describes each field")]
pub struct Distribution {
    pub name: String,
    pub version: String,
}

/// Content-addressed bytes: the contents of its files, one behind the other, in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Of the bytes as stored and transferred.
    pub sha256: Sha256Digest,
    /// In bytes, as stored and transferred.
    pub size: u64,
    /// How they are stored.
    pub encoding: Encoding,
    /// In bytes, after `encoding` is undone.
    pub decoded_size: u64,
    /// Of the bytes after `encoding` is undone: by it they are cached.
    pub decoded_sha256: Sha256Digest,
    /// Set if only an interpreter with this cache tag needs the object.
    pub tag: Option<CacheTag>,
}

impl Serialize for ObjectEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("ObjectEntry", self.fields())?;
        self.serialize_into(&mut object)?;
        object.end()
    }
}

impl ObjectEntry {
    /// How many fields it is written with.
    pub(crate) fn fields(&self) -> usize {
        let is_encoded = self.encoding != Encoding::Identity;
        4 + usize::from(is_encoded) + usize::from(self.tag.is_some())
    }

    /// Writes its fields into an object that may have others.
    pub(crate) fn serialize_into<S: SerializeStruct>(
        &self,
        object: &mut S,
    ) -> Result<(), S::Error> {
        object.serialize_field("sha256", &self.sha256)?;
        object.serialize_field("size", &self.size)?;
        object.serialize_field("encoding", &self.encoding)?;
        object.serialize_field("decoded_size", &self.decoded_size)?;
        if self.encoding != Encoding::Identity {
            object.serialize_field("decoded_sha256", &self.decoded_sha256)?;
        }
        if let Some(tag) = &self.tag {
            object.serialize_field("tag", tag)?;
        }
        Ok(())
    }
}

/// How an object's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// A file: a range of a decoded object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "docs/format.md describes each field")]
pub struct FileEntry {
    pub path: String,
    pub size: u64,
    pub sha256: Sha256Digest,
    pub object: usize,
    /// Follows from what is before it in the object.
    #[serde(skip)]
    pub offset: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports_elsewhere: Vec<String>,
}

fn texts_or_none(fields: &mut Fields, name: &str) -> Result<Vec<String>, Fault> {
    match fields.optional(name) {
        Some(listed) => fields::texts(listed),
        None => Ok(Vec::new()),
    }
}

impl Distribution {
    fn read(mut fields: Fields) -> Result<Self, Fault> {
        Ok(Self {
            name: fields.text("name")?,
            version: fields.text("version")?,
        })
    }
}

impl FileEntry {
    pub(crate) fn read(mut fields: Fields) -> Result<Self, Fault> {
        let object = usize::try_from(fields.number("object")?)
            .map_err(|error| Fault::new(format_args!("{error}")))?;
        Ok(Self {
            path: fields.text("path")?,
            size: fields.number("size")?,
            sha256: fields.parsed("sha256")?,
            object,
            offset: 0,
            imports: match fields.optional("imports") {
                Some(listed) => indices(listed)?,
                None => Vec::new(),
            },
            imports_elsewhere: texts_or_none(&mut fields, "imports_elsewhere")?,
        })
    }
}

fn indices(listed: Value) -> Result<Vec<u32>, Fault> {
    let mut indices = Vec::new();
    for item in fields::list(listed)? {
        let index = u32::try_from(fields::number(&item)?)
            .map_err(|error| Fault::new(format_args!("{error}")))?;
        indices.push(index);
    }
    Ok(indices)
}

fn truth_or(fields: &mut Fields, name: &str, default: bool) -> Result<bool, Fault> {
    match fields.optional(name) {
        Some(value) => fields::truth(&value),
        None => Ok(default),
    }
}

impl FromStr for Encoding {
    type Err = EncodingSyntax;

    fn from_str(text: &str) -> Result<Self, EncodingSyntax> {
        match text {
            "identity" => Ok(Self::Identity),
            "gzip" => Ok(Self::Gzip),
            _ => Err(EncodingSyntax),
        }
    }
}

/// The text names no encoding that objects can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown variant: expected the encoding `identity` or `gzip`")]
pub struct EncodingSyntax;

impl ObjectEntry {
    pub(crate) fn read(mut fields: Fields) -> Result<Self, Fault> {
        Self::take(&mut fields)
    }

    /// Its fields, out of an object that may have others.
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, Fault> {
        let tag = match fields.optional("tag") {
            Some(tag) => {
                let tag = fields::text(tag)?;
                Some(fields::parsed(&tag)?)
            }
            None => None,
        };
        let sha256 = fields.parsed("sha256")?;
        let encoding = fields.parsed("encoding")?;
        Ok(Self {
            sha256,
            size: fields.number("size")?,
            encoding,
            decoded_size: fields.number("decoded_size")?,
            decoded_sha256: match encoding {
                Encoding::Identity => sha256,
                Encoding::Gzip => fields.parsed("decoded_sha256")?,
            },
            tag,
        })
    }

    /// Whether it is within these limits, and has one size if it has no encoding.
    pub(crate) fn check_size(
        &self,
        subject: &str,
        size: u64,
        decoded_size: u64,
    ) -> Result<(), VerifyError> {
        for (own, limit) in [(self.size, size), (self.decoded_size, decoded_size)] {
            if own > limit {
                return Err(VerifyError::TooLarge {
                    subject: self.path(),
                    limit,
                });
            }
        }
        if self.encoding == Encoding::Identity && self.size != self.decoded_size {
            return Err(VerifyError::Malformed {
                subject: subject.to_owned(),
                reason: format!("`{}` has two sizes without an encoding", self.path()),
            });
        }
        Ok(())
    }

    /// Inside the repository: `objects/ab/<sha256>`.
    pub fn path(&self) -> String {
        object_path(self.sha256)
    }

    /// What the bytes as transferred must be.
    pub fn expected(&self) -> Expected {
        Expected {
            subject: self.path(),
            length: Some(self.size),
            sha256: self.sha256,
        }
    }

    /// What the decoded bytes must be.
    pub fn expected_decoded(&self) -> Expected {
        Expected {
            subject: self.path(),
            length: Some(self.decoded_size),
            sha256: self.decoded_sha256,
        }
    }

    /// Whether an interpreter with the cache tag `tag` needs the object.
    pub fn is_for(&self, tag: &CacheTag) -> bool {
        self.tag.as_ref().is_none_or(|own| own == tag)
    }
}

/// Where an object is inside a repository: `objects/ab/<sha256>`.
pub fn object_path(sha256: Sha256Digest) -> String {
    let text = sha256.to_string();
    format!("objects/{}/{text}", &text[..2])
}

impl Manifest {
    /// [`parse_with`](Self::parse_with) this program's own tables and hash.
    ///
    /// # Errors
    /// As [`parse_with`](Self::parse_with).
    #[cfg(feature = "unicode")]
    pub fn parse(
        bytes: &[u8],
        expected: &Expected,
        name: &ReleaseName,
        version: Option<&Version>,
        limits: &Limits,
    ) -> Result<Verified<Self>, VerifyError> {
        let sha256 = Sha256Digest::of(bytes);
        let unicode = crate::path::tables;
        Self::parse_with(bytes, sha256, expected, name, version, limits, unicode)
    }

    /// Parses bytes that must be `expected` and describe the release `name` (and `version`, where it is
    /// known). `sha256` is believed to be that of the bytes: the host may hash them faster than this module.
    ///
    /// # Errors
    /// [`VerifyError`] for other bytes, or for a manifest that breaks a rule of the format.
    pub fn parse_with(
        bytes: &[u8],
        sha256: Sha256Digest,
        expected: &Expected,
        name: &ReleaseName,
        version: Option<&Version>,
        limits: &Limits,
        unicode: Unicode,
    ) -> Result<Verified<Self>, VerifyError> {
        let subject = expected.subject.as_str();
        if bytes.len() as u64 > limits.manifest {
            return Err(VerifyError::TooLarge {
                subject: subject.to_owned(),
                limit: limits.manifest,
            });
        }
        expected.check(bytes.len() as u64, sha256)?;
        let value = json::parse(bytes, subject)?;
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        match value.get("format").and_then(Value::as_str) {
            Some(FORMAT) => {}
            other => {
                return Err(malformed(format!(
                    "expected the format `{FORMAT}`, got {other:?}"
                )));
            }
        }
        let mut manifest = Self::read(value).map_err(|fault| fault.of(subject))?;
        manifest.place_files();
        if manifest.name != *name {
            return Err(malformed(format!(
                "expected the name `{name}`, got `{}`",
                manifest.name
            )));
        }
        if let Some(version) = version
            && manifest.version != *version
        {
            return Err(malformed(format!(
                "expected the version `{version}`, got `{}`",
                manifest.version
            )));
        }
        manifest.validate_with(subject, limits, unicode)?;
        Ok(Verified::new(manifest))
    }

    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let shards = ShardEntry::read_all(&mut fields)?;
        let tags = match fields.optional("tags") {
            Some(listed) if !shards.is_empty() => {
                let tags = fields::texts(listed)?;
                let tags = tags.iter().map(|tag| fields::parsed(tag));
                tags.collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        Ok(Self {
            tags,
            shards,
            format: fields.text("format")?,
            name: fields.parsed("name")?,
            version: fields.parsed("version")?,
            modules: fields::texts(fields.required("modules")?)?,
            namespaces: texts_or_none(&mut fields, "namespaces")?,
            distributions: match fields.optional("distributions") {
                Some(listed) => fields::items(listed, Distribution::read)?,
                None => Vec::new(),
            },
            requires: texts_or_none(&mut fields, "requires")?,
            requires_python: match fields.optional("requires_python") {
                Some(required) => Some(fields::text(required)?),
                None => None,
            },
            partial: truth_or(&mut fields, "partial", false)?,
            entry: texts_or_none(&mut fields, "entry")?,
            source: truth_or(&mut fields, "source", true)?,
            objects: fields::items(fields.required("objects")?, ObjectEntry::read)?,
            files: fields::items(fields.required("files")?, FileEntry::read)?,
        })
    }

    /// Sets where in its object each file begins, by the order of the files.
    pub fn place_files(&mut self) {
        place_files(&self.objects, &mut self.files);
    }

    /// Checks every rule of the format that one manifest can be checked for by itself.
    ///
    /// # Errors
    /// [`VerifyError::Path`], [`VerifyError::UnsafeFile`], [`VerifyError::TooLarge`],
    /// [`VerifyError::Malformed`].
    #[cfg(feature = "unicode")]
    pub fn validate(&self, subject: &str, limits: &Limits) -> Result<(), VerifyError> {
        self.validate_with(subject, limits, crate::path::tables)
    }

    fn validate_with(
        &self,
        subject: &str,
        limits: &Limits,
        unicode: Unicode,
    ) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        self.check_requirements(subject, limits)?;
        if !self.shards.is_empty() && !self.partial {
            return Err(malformed("a release with shards has to be partial".into()));
        }
        if self.tags.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(malformed("the tags are out of order".into()));
        }
        let listed = self.listed();
        listed.check(subject, limits, unicode)?;
        if !self.source && listed.tags.is_empty() {
            return Err(malformed("it has neither source nor bytecode".into()));
        }
        self.check_entry(subject)?;

        let mounted = self.files.iter().map(|file| self.mounted_path(file));
        // A folder that is a shard, for what it makes of the folder around it.
        let folders = self
            .shards
            .iter()
            .map(|shard| format!("{}/", shard.folder).into());
        let mounted: Vec<Cow<'_, str>> = mounted.chain(folders).collect();
        let names = ImportNames::of(mounted.iter().map(|path| &**path));
        if names.modules != self.modules || names.namespaces != self.namespaces {
            return Err(malformed(format!(
                "it claims the import names {:?} (namespaces {:?}), its files are {:?} (namespaces {:?})",
                self.modules, self.namespaces, names.modules, names.namespaces
            )));
        }
        Ok(())
    }

    /// What the manifest itself lists, to be checked.
    fn listed(&self) -> Listed<'_> {
        Listed {
            folder: "",
            objects: &self.objects,
            files: &self.files,
            shards: &self.shards,
            source: self.source,
            partial: self.partial,
            tags: self.tags(),
        }
    }

    fn check_requirements(&self, subject: &str, limits: &Limits) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        let (count, limit) = (self.requires.len(), limits.requirements);
        if count > limit {
            return Err(malformed(format!(
                "expected at most {limit} requirements, got {count}"
            )));
        }
        // Readers parse each of them.
        if let Some(long) = self
            .requires
            .iter()
            .find(|it| it.len() > limits.requirement)
        {
            return Err(malformed(format!(
                "expected requirements of at most {} bytes, got one of {}",
                limits.requirement,
                long.len()
            )));
        }
        Ok(())
    }

    /// Entry modules exist, or may be in a shard.
    fn check_entry(&self, subject: &str) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        if self.entry.len() > MAX_ENTRY {
            return Err(malformed(format!(
                "expected at most {MAX_ENTRY} entry modules, got {}",
                self.entry.len()
            )));
        }
        if self.entry.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(malformed("the entry modules are out of order".into()));
        }
        if !self.entry.is_empty()
            && let Some(module) = self.missing_entry()
        {
            return Err(malformed(format!(
                "the entry module `{module}` is not there"
            )));
        }
        Ok(())
    }
}

/// What one manifest or one shard lists.
pub(crate) struct Listed<'a> {
    /// That of a shard, around all that it lists; empty for a manifest.
    pub(crate) folder: &'a str,
    pub(crate) objects: &'a [ObjectEntry],
    pub(crate) files: &'a [FileEntry],
    pub(crate) shards: &'a [ShardEntry],
    /// Whether the release has its sources.
    pub(crate) source: bool,
    pub(crate) partial: bool,
    /// All tags of the release.
    pub(crate) tags: Vec<String>,
}

impl Listed<'_> {
    /// Checks every rule of the format that one list can be checked for by itself.
    pub(crate) fn check(
        &self,
        subject: &str,
        limits: &Limits,
        unicode: Unicode,
    ) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        self.check_limits(subject, limits)?;
        self.check_shards(subject, limits)?;
        let mut paths = self.paths(unicode)?;
        let mut ends = vec![0_u64; self.objects.len()];
        let mut previous = "";
        for file in self.files {
            paths.insert(&file.path)?;
            if *file.path <= *previous && !previous.is_empty() {
                return Err(malformed(format!("`{}` is out of order", file.path)));
            }
            previous = &file.path;
            let end = ends.get_mut(file.object).ok_or_else(|| {
                malformed(format!(
                    "`{}` is in object {}, which is not there",
                    file.path, file.object
                ))
            })?;
            let object = &self.objects[file.object];
            let next = end.checked_add(file.size);
            let next = next.filter(|next| *next <= object.decoded_size && file.offset == *end);
            *end =
                next.ok_or_else(|| malformed(format!("`{}` lies outside its object", file.path)))?;
        }
        for (object, end) in self.objects.iter().zip(ends) {
            if end != object.decoded_size {
                return Err(malformed(format!(
                    "expected files of {} bytes in `{}`, got {end}",
                    object.decoded_size,
                    object.path()
                )));
            }
        }
        self.check_tags(subject)?;
        self.check_source(subject, unicode)?;
        self.check_imports(subject, unicode)?;
        self.check_kinds(subject)?;
        self.check_data(subject)
    }

    /// The folders that are shards, to be compared with the files.
    fn paths(&self, unicode: Unicode) -> Result<PathSet<'_>, VerifyError> {
        if self.shards.is_empty() && self.folder.is_empty() {
            return Ok(PathSet::new(unicode));
        }
        let mut paths = PathSet::beside_shards(unicode);
        for shard in self.shards {
            paths.insert_shard(&shard.folder)?;
        }
        Ok(paths)
    }

    /// How many entries there are, and how large what they stand for is.
    fn check_limits(&self, subject: &str, limits: &Limits) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        for (what, count) in [
            ("files", self.files.len()),
            // An object without a file is of no use.
            ("objects", self.objects.len()),
            ("shards", self.shards.len()),
        ] {
            let limit = limits.files;
            if count > limit {
                return Err(malformed(format!(
                    "expected at most {limit} {what}, got {count}"
                )));
            }
        }
        let (mut total, mut decoded) = (0_u64, 0_u64);
        for object in self.objects {
            object.check_size(subject, limits.object, limits.object_decoded)?;
            // Either alone can be small while the other is not.
            total = total.saturating_add(object.size);
            decoded = decoded.saturating_add(object.decoded_size);
            for (sum, limit) in [(total, limits.release), (decoded, limits.release_decoded)] {
                if sum > limit {
                    return Err(VerifyError::TooLarge {
                        subject: subject.to_owned(),
                        limit,
                    });
                }
            }
        }
        Ok(())
    }

    /// A tagged object holds that tag's bytecode and nothing else, so that leaving it out leaves nothing
    /// else out; and bytecode belongs to a source of the release, or it would be found in its place.
    fn check_tags(&self, subject: &str) -> Result<(), VerifyError> {
        // Of a release with shards they are stated, and decide what a source behind bytecode is.
        for tag in self.objects.iter().filter_map(|object| object.tag.as_ref()) {
            if !self.tags.iter().any(|own| own == tag.as_str()) {
                return Err(VerifyError::Malformed {
                    subject: subject.to_owned(),
                    reason: format!("`{tag}` is not among the tags of the release"),
                });
            }
        }
        let mut source = String::new();
        for file in self.files {
            let tag = self.objects[file.object].tag.as_ref();
            let cached = cached(&file.path);
            let right = match (tag, cached) {
                (Some(tag), Some((folder, stem, own))) => {
                    source.clear();
                    for part in [folder, stem, ".py"] {
                        source.push_str(part);
                    }
                    own == tag.as_str() && (!self.source || self.find(&source).is_some())
                }
                (Some(_), None) => false,
                (None, _) => cached.is_none(),
            };
            if !right {
                return Err(VerifyError::Malformed {
                    subject: subject.to_owned(),
                    reason: format!("`{}` and the tag of its object do not fit", file.path),
                });
            }
        }
        Ok(())
    }

    /// A release without source has none, and no other file hides the bytecode in its place.
    fn check_source(&self, subject: &str, unicode: Unicode) -> Result<(), VerifyError> {
        if self.source {
            return Ok(());
        }
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        let mut mounted = Vec::new();
        for file in self.files {
            let tagged = self.objects[file.object].tag.is_some();
            if has_extension(&file.path, "py") || (has_extension(&file.path, "pyc") && !tagged) {
                return Err(malformed(format!(
                    "expected no source, and bytecode with a tag alone, got `{}`",
                    file.path
                )));
            }
            mounted.push(mounted_path(&file.path, self.source));
        }
        let mut mounted = sorted(mounted);
        // Of several tags, one is mounted.
        mounted.dedup();
        let mut paths = self.paths(unicode)?;
        mounted.iter().try_for_each(|path| paths.insert(path))
    }

    /// Import edges stand on what is compiled from source, ascend, and lead to modules that an interpreter which
    /// has the one file has too, or out of this list.
    fn check_imports(&self, subject: &str, unicode: Unicode) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        check_edges(self.files, subject)?;
        let has_edges =
            |file: &FileEntry| !(file.imports.is_empty() && file.imports_elsewhere.is_empty());
        if self.files.iter().any(has_edges) {
            let is_module = |file: &FileEntry| {
                let tagged = self.objects[file.object].tag.is_some();
                is_module(file, tagged, self.source)
            };
            let modules: Vec<bool> = self.files.iter().map(is_module).collect();
            for (file, is_module) in self.files.iter().zip(&modules) {
                if !has_edges(file) {
                    continue;
                }
                let tag = self.objects[file.object].tag.as_ref();
                let compiled = if self.source {
                    has_extension(&file.path, "py")
                } else {
                    tag.is_some()
                };
                if !is_module || !compiled {
                    return Err(malformed(format!(
                        "`{}` is no module that could have imports",
                        file.path
                    )));
                }
                let elsewhere = &file.imports_elsewhere;
                if file.imports.windows(2).any(|pair| pair[0] >= pair[1])
                    || elsewhere.windows(2).any(|pair| pair[0] >= pair[1])
                {
                    return Err(malformed(format!(
                        "the imports of `{}` are out of order",
                        file.path
                    )));
                }
                for target in &file.imports {
                    let index = *target as usize;
                    let right = modules.get(index) == Some(&true) && {
                        let other = self.objects[self.files[index].object].tag.as_ref();
                        other.is_none() || other == tag
                    };
                    if !right {
                        return Err(malformed(format!(
                            "`{}` imports file {target}, which is no module for it",
                            file.path
                        )));
                    }
                }
                for target in elsewhere {
                    path::check(target, unicode)?;
                    let is_below = closure::contains(self.folder, target);
                    if is_below && shards::around(self.shards, target).is_none() {
                        return Err(malformed(format!(
                            "`{}` imports `{target}`, which is not elsewhere",
                            file.path
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// In a partial release an object with a source that every interpreter has bytecode for holds nothing but
    /// such sources, so that it may follow.
    fn check_kinds(&self, subject: &str) -> Result<(), VerifyError> {
        if !self.partial {
            return Ok(());
        }
        let mut kinds: Vec<Option<FileKind>> = vec![None; self.objects.len()];
        for (file, kind) in self.files.iter().zip(self.kinds()) {
            if *kinds[file.object].get_or_insert(kind) != kind {
                return Err(VerifyError::Malformed {
                    subject: subject.to_owned(),
                    reason: format!(
                        "`{}` holds files of two kinds, one is `{}`",
                        self.objects[file.object].path(),
                        file.path
                    ),
                });
            }
        }
        Ok(())
    }

    /// The file at a path. They are in order.
    fn find(&self, path: &str) -> Option<&FileEntry> {
        let found = self.files.binary_search_by(|file| (*file.path).cmp(path));
        self.files.get(found.ok()?)
    }

    /// The kind of each file.
    fn kinds(&self) -> Vec<FileKind> {
        let compiled = self.files.iter().filter_map(|file| {
            self.objects[file.object].tag.as_ref()?;
            let (folder, stem, _) = cached(&file.path)?;
            Some((folder, stem))
        });
        let compiled = sorted(compiled.collect());
        let times_compiled = |source: (&str, &str)| {
            let end = compiled.partition_point(|it| *it <= source);
            end - compiled.partition_point(|it| *it < source)
        };
        let kind = |file: &FileEntry| {
            if self.objects[file.object].tag.is_some() {
                return FileKind::Bytecode;
            }
            let (folder, name) = split(&file.path);
            let behind = match name.strip_suffix(".py") {
                Some(stem) => times_compiled((folder, stem)) == self.tags.len(),
                None => has_extension(name, "pyi"),
            };
            if behind && !self.tags.is_empty() {
                FileKind::Source
            } else {
                FileKind::Rest
            }
        };
        self.files.iter().map(kind).collect()
    }
}

impl Manifest {
    /// Where a reader mounts the file: at its path, but for bytecode in a release without source, which is
    /// mounted where the source would be, `DIR/STEM.pyc`, for the standard loader of such files.
    pub fn mounted_path<'a>(&self, file: &'a FileEntry) -> Cow<'a, str> {
        mounted_path(&file.path, self.source)
    }

    /// How many files each object holds.
    pub fn files_per_object(&self) -> Vec<usize> {
        let mut counts = vec![0; self.objects.len()];
        for file in &self.files {
            if let Some(count) = counts.get_mut(file.object) {
                *count += 1;
            }
        }
        counts
    }

    /// Whether the release has bytecode for `tag`.
    pub fn has_bytecode(&self, tag: &CacheTag) -> bool {
        if !self.shards.is_empty() {
            return self.tags.contains(tag);
        }
        self.objects
            .iter()
            .any(|object| object.tag.as_ref() == Some(tag))
    }

    /// Whether a file is no module, nor the bytecode of one.
    pub fn is_data(&self, file: &FileEntry) -> bool {
        let object = self.objects.get(file.object);
        let tagged = object.is_some_and(|object| object.tag.is_some());
        !(is_module(file, tagged, self.source) || self.source && tagged)
    }

    /// The directory of the mount: name, version and a short digest, so that two releases never share file
    /// names in tracebacks and in linecache.
    pub fn mount_path(&self, sha256: Sha256Digest) -> String {
        format!(
            "/webimport/{}-{}-{}",
            self.name,
            self.version,
            sha256.short()
        )
    }

    /// The manifest's bytes, as they are signed and served. No shard was added to it.
    ///
    /// # Errors
    /// [`serde_json::Error`], which a valid manifest never gives.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Refuses import names that something else has. `occupied` maps a top-level name to its owner, in words
    /// that fit behind "belongs to"; `allowed` are names that the caller lets this release have.
    ///
    /// # Errors
    /// [`ResolveError::Shadow`].
    pub fn check_shadowing(
        &self,
        occupied: &Map<String, String>,
        allowed: &[String],
    ) -> Result<(), ResolveError> {
        for module in &self.modules {
            if let Some(owner) = occupied.get(module)
                && !allowed.contains(module)
            {
                return Err(ResolveError::Shadow {
                    name: self.name.to_string(),
                    module: module.clone(),
                    owner: owner.clone(),
                });
            }
        }
        Ok(())
    }

    /// Refuses a regular package whose name is a namespace package of a loaded release: it would hide that
    /// release's part. `namespaces` maps the name to its owner, as for [`check_shadowing`](Self::check_shadowing).
    ///
    /// # Errors
    /// [`ResolveError::Shadow`].
    pub fn check_namespaces(
        &self,
        namespaces: &Map<String, String>,
        allowed: &[String],
    ) -> Result<(), ResolveError> {
        let regular = namespaces
            .iter()
            .filter(|(name, _)| !self.namespaces.contains(name))
            .map(|(name, owner)| (name.clone(), owner.clone()))
            .collect();
        self.check_shadowing(&regular, allowed)
    }

    /// Refuses to stand in for a top-level import name that the release does not have.
    ///
    /// # Errors
    /// [`ResolveError::UnknownModule`].
    pub fn check_modules(&self, asked: &[String]) -> Result<(), ResolveError> {
        for module in asked {
            let top = module.split('.').next().unwrap_or_default();
            if !self.modules.iter().any(|own| own == top) {
                return Err(ResolveError::UnknownModule {
                    name: self.name.to_string(),
                    module: module.clone(),
                    known: self.modules.clone(),
                });
            }
        }
        Ok(())
    }

    /// Refuses an interpreter that `requires_python` leaves out. A specifier that does not parse leaves none
    /// out: `METADATA` in the wild holds some, and pip reads them the same way.
    ///
    /// # Errors
    /// [`ResolveError::Python`].
    pub fn check_python(&self, python: &str) -> Result<(), Error> {
        let Some(required) = &self.requires_python else {
            return Ok(());
        };
        if crate::resolve::python_matches(required, python) == Some(false) {
            return Err(ResolveError::Python {
                name: self.name.to_string(),
                version: self.version.to_string(),
                required: required.clone(),
                python: python.to_owned(),
            }
            .into());
        }
        Ok(())
    }
}

/// What is in an object together with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    /// Stands behind the bytecode of every tag.
    Source,
    /// Of one tag.
    Bytecode,
    Rest,
}

/// The folder, with its slash, and the name.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |at| at + 1))
}

/// Whether the name ends so, in this case of letters: Python looks for no other.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, own)| own == extension)
}

fn check_edges(files: &[FileEntry], subject: &str) -> Result<(), VerifyError> {
    let edges = files.iter();
    let edges = edges.map(|file| file.imports.len() + file.imports_elsewhere.len());
    let edges: usize = edges.sum();
    if edges > MAX_IMPORTS {
        return Err(VerifyError::Malformed {
            subject: subject.to_owned(),
            reason: format!("expected at most {MAX_IMPORTS} imports, got {edges}"),
        });
    }
    Ok(())
}

/// Whether it is imported itself: bytecode of a release with source is no module of its own.
pub(crate) fn is_module(file: &FileEntry, tagged: bool, source: bool) -> bool {
    !(source && tagged) && module_parts(&mounted_path(&file.path, source)).is_some()
}

/// Sets where in its object each file begins, by the order of the files.
pub(crate) fn place_files(objects: &[ObjectEntry], files: &mut [FileEntry]) {
    let mut ends = vec![0_u64; objects.len()];
    for file in files {
        // A file of no object, and more bytes than there are numbers for, are found by `Listed::check`.
        if let Some(end) = ends.get_mut(file.object) {
            file.offset = *end;
            *end = end.saturating_add(file.size);
        }
    }
}

pub(crate) fn mounted_path(path: &str, source: bool) -> Cow<'_, str> {
    match cached(path) {
        Some((folder, stem, _)) if !source => format!("{folder}{stem}.pyc").into(),
        _ => path.into(),
    }
}

/// The folder, with its slash, the stem and the tag of `DIR/__pycache__/STEM.TAG.pyc`.
pub(crate) fn cached(path: &str) -> Option<(&str, &str, &str)> {
    let (folder, file) = split(path);
    let (stem, tag) = file.strip_suffix(".pyc")?.rsplit_once('.')?;
    let folder = folder.strip_suffix("__pycache__/")?;
    (folder.is_empty() || folder.ends_with('/')).then_some((folder, stem, tag))
}

/// The top-level import names that a set of files implies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportNames {
    /// Every one, sorted.
    pub modules: Vec<String>,
    /// Those that are namespace packages (PEP 420), sorted.
    pub namespaces: Vec<String>,
}

impl ImportNames {
    /// The names of a release's files. In one without source (`source` is false), bytecode stands for it.
    pub fn in_files(files: &[FileEntry], source: bool) -> Self {
        let mounted: Vec<Cow<'_, str>> = files
            .iter()
            .map(|file| mounted_path(&file.path, source))
            .collect();
        Self::of(mounted.iter().map(|path| &**path))
    }

    /// Looks at paths alone: `x.py`, `x.pyc`, `x.….so` and folders whose name is an identifier.
    pub fn of<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let (mut regular, mut folders) = (Vec::new(), Vec::new());
        for path in paths {
            match path.split_once('/') {
                None => {
                    if let Some(name) = module_stem(path) {
                        regular.push(name.to_owned());
                    }
                }
                Some((folder, rest)) => {
                    if is_identifier(folder) && folder != "__pycache__" {
                        folders.push(folder.to_owned());
                        if !rest.contains('/') && module_stem(rest) == Some("__init__") {
                            regular.push(folder.to_owned());
                        }
                    }
                }
            }
        }
        let regular = sorted(regular);
        let mut modules = sorted([regular.as_slice(), &folders].concat());
        modules.dedup();
        let is_namespace = |name: &&String| regular.binary_search(name).is_err();
        Self {
            namespaces: modules.iter().filter(is_namespace).cloned().collect(),
            modules,
        }
    }
}

/// `x` for `x.py`, `x.pyc`, `x.so` and `x.cpython-314-wasm32-emscripten.so`.
pub(crate) fn module_stem(file: &str) -> Option<&str> {
    let (stem, rest) = file.split_once('.')?;
    let extension = rest.rsplit('.').next().unwrap_or(rest);
    let is_module = match extension {
        "py" | "pyc" => rest == extension,
        "so" => true,
        _ => false,
    };
    (is_module && is_identifier(stem)).then_some(stem)
}

/// All that Python takes for an identifier, and more: which characters beyond ASCII are letters depends on the
/// interpreter's version of Unicode, and a name that is claimed in vain hides nothing.
pub(crate) fn is_identifier(text: &str) -> bool {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    let mut bytes = text.bytes();
    !bytes.next().is_none_or(|first| first.is_ascii_digit()) && text.bytes().all(belongs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> ImportNames {
        ImportNames::of(paths.iter().copied())
    }

    #[test]
    fn import_names_come_from_files_and_folders() {
        let found = names(&[
            "six.py",
            "rich/__init__.py",
            "rich/table.py",
            "google/cloud/x.py",
            "ext.cpython-314-wasm32-emscripten.so",
            "rich-14.0.dist-info/METADATA",
            "__pycache__/six.cpython-314.pyc",
            "README.txt",
            "_speed/__init__.so",
        ]);
        assert_eq!(found.modules, ["_speed", "ext", "google", "rich", "six"]);
        assert_eq!(found.namespaces, ["google"]);
    }

    #[test]
    fn every_name_that_python_could_import_is_claimed() {
        // Letters with marks of their own, digits of other scripts, and what is a letter in later versions alone.
        let paths = [
            "हिन्दी.py",
            "données/__init__.py",
            "a\u{660}.py",
            "x\u{b7}y.py",
            "\u{2118}.py",
            "\u{2b740}.so",
        ];
        let mut names = names(&paths).modules;
        names.sort_by_key(|name| paths.iter().position(|path| path.starts_with(name)));
        assert_eq!(
            names,
            [
                "हिन्दी",
                "données",
                "a\u{660}",
                "x\u{b7}y",
                "\u{2118}",
                "\u{2b740}"
            ]
        );
        for other in ["", "1", "1a", "a-b", "a b", "a.b", "a$", "-é"] {
            assert!(!is_identifier(other), "{other}");
        }
    }

    #[test]
    fn bytecode_names_its_source() {
        assert_eq!(
            cached("a/__pycache__/b.cpython-314.pyc"),
            Some(("a/", "b", "cpython-314"))
        );
        assert_eq!(
            cached("__pycache__/b.cpython-314.pyc"),
            Some(("", "b", "cpython-314"))
        );
        assert_eq!(cached("a/b.pyc"), None);
        assert_eq!(cached("a/__pycache__/b/c.cpython-314.pyc"), None);
        assert_eq!(cached("a/x__pycache__/b.cpython-314.pyc"), None);
    }
}
