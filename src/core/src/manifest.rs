//! The release manifest: every file of a release with its size and digest, and the objects that hold them.
//!
//! `docs/format.md` describes the format. A manifest is checked whole before any object is asked for: paths,
//! sizes, that files lie inside their objects and do not overlap, that the claimed import names are what the
//! files imply, and that bytecode stands beside the source that it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::{Expected, Sha256Digest};
use crate::error::{Error, ResolveError, VerifyError};
use crate::json;
use crate::limits::Limits;
use crate::names::{CacheTag, ReleaseName, Version};
use crate::path::PathSet;
use crate::trust::Verified;

/// The `format` of manifests that this crate reads and writes.
pub const FORMAT: &str = "webimport-release/1";

/// A release manifest. See `docs/format.md` for each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/format.md describes each field")]
pub struct Manifest {
    pub format: String,
    pub name: ReleaseName,
    pub version: Version,
    pub modules: Vec<String>,
    #[serde(default)]
    pub namespaces: Vec<String>,
    #[serde(default)]
    pub distributions: Vec<Distribution>,
    #[serde(default)]
    pub requires: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    pub objects: Vec<ObjectEntry>,
    pub files: Vec<FileEntry>,
}

/// A distribution inside a release, as its `METADATA` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/format.md describes each field")]
pub struct Distribution {
    pub name: String,
    pub version: String,
}

/// Content-addressed bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// Of the bytes as stored and transferred.
    pub sha256: Sha256Digest,
    /// In bytes, as stored and transferred.
    pub size: u64,
    /// How they are stored.
    pub encoding: Encoding,
    /// In bytes, after `encoding` is undone.
    pub decoded_size: u64,
    /// Set if only an interpreter with this cache tag needs the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<CacheTag>,
}

/// How an object's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As they are.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// A file: a range of a decoded object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/format.md describes each field")]
pub struct FileEntry {
    pub path: String,
    pub size: u64,
    pub sha256: Sha256Digest,
    pub object: usize,
    pub offset: u64,
}

impl ObjectEntry {
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
    /// Parses bytes that must be `expected` and describe the release `name` (and `version`, where it is
    /// known).
    ///
    /// # Errors
    /// [`VerifyError`] for other bytes, or for a manifest that breaks a rule of the format.
    pub fn parse(
        bytes: &[u8],
        expected: &Expected,
        name: &ReleaseName,
        version: Option<&Version>,
        limits: &Limits,
    ) -> Result<Verified<Self>, VerifyError> {
        let subject = expected.subject.as_str();
        if bytes.len() as u64 > limits.manifest {
            return Err(VerifyError::TooLarge {
                subject: subject.to_owned(),
                limit: limits.manifest,
            });
        }
        expected.check_bytes(bytes)?;
        let value = json::parse(bytes, subject)?;
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        match value.get("format").and_then(serde_json::Value::as_str) {
            Some(FORMAT) => {}
            other => {
                return Err(malformed(format!(
                    "expected the format `{FORMAT}`, got {other:?}"
                )));
            }
        }
        json::check_objects(&value, &["distributions", "objects", "files"], subject)?;
        let manifest: Self = json::typed(value, subject)?;
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
        manifest.validate(subject, limits)?;
        Ok(Verified::new(manifest))
    }

    /// Checks every rule of the format that one manifest can be checked for by itself.
    ///
    /// # Errors
    /// [`VerifyError::Path`], [`VerifyError::UnsafeFile`], [`VerifyError::TooLarge`],
    /// [`VerifyError::Malformed`].
    pub fn validate(&self, subject: &str, limits: &Limits) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        if self.files.len() > limits.files {
            return Err(malformed(format!(
                "expected at most {} files, got {}",
                limits.files,
                self.files.len()
            )));
        }
        let mut total = 0_u64;
        for object in &self.objects {
            let too_large = |limit| VerifyError::TooLarge {
                subject: object.path(),
                limit,
            };
            if object.size > limits.object {
                return Err(too_large(limits.object));
            }
            if object.decoded_size > limits.object_decoded {
                return Err(too_large(limits.object_decoded));
            }
            if object.encoding == Encoding::Identity && object.size != object.decoded_size {
                return Err(malformed(format!(
                    "`{}` has two sizes without an encoding",
                    object.path()
                )));
            }
            // Cannot overflow: at most u64::MAX / object_decoded objects fit into a manifest of any size.
            total = total.saturating_add(object.decoded_size);
            if total > limits.release_decoded {
                return Err(VerifyError::TooLarge {
                    subject: subject.to_owned(),
                    limit: limits.release_decoded,
                });
            }
        }

        let mut paths = PathSet::default();
        let mut ranges: Vec<Vec<(u64, u64)>> = vec![Vec::new(); self.objects.len()];
        let mut previous = "";
        for file in &self.files {
            paths.insert(&file.path)?;
            if *file.path <= *previous && !previous.is_empty() {
                return Err(malformed(format!("`{}` is out of order", file.path)));
            }
            previous = &file.path;
            let object = self.objects.get(file.object).ok_or_else(|| {
                malformed(format!(
                    "`{}` is in object {}, which is not there",
                    file.path, file.object
                ))
            })?;
            let end = file
                .offset
                .checked_add(file.size)
                .filter(|end| *end <= object.decoded_size);
            let Some(end) = end else {
                return Err(malformed(format!(
                    "`{}` lies outside its object",
                    file.path
                )));
            };
            if file.size > 0 {
                ranges[file.object].push((file.offset, end));
            }
        }
        for (object, ranges) in self.objects.iter().zip(&mut ranges) {
            ranges.sort_unstable();
            if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
                return Err(malformed(format!("files overlap in `{}`", object.path())));
            }
        }
        self.check_tags(subject)?;

        let names = ImportNames::of(self.files.iter().map(|file| file.path.as_str()));
        if names.modules != self.modules || names.namespaces != self.namespaces {
            return Err(malformed(format!(
                "it claims the import names {:?} (namespaces {:?}), its files are {:?} (namespaces {:?})",
                self.modules, self.namespaces, names.modules, names.namespaces
            )));
        }
        Ok(())
    }

    /// A tagged object holds that tag's bytecode and nothing else, so that leaving it out leaves nothing
    /// else out; and bytecode belongs to a source of the release, or it would be found in its place.
    fn check_tags(&self, subject: &str) -> Result<(), VerifyError> {
        let sources: BTreeSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        for file in &self.files {
            let tag = self.objects[file.object].tag.as_ref();
            let cached = cached_source(&file.path);
            let right = match (tag, &cached) {
                (Some(tag), Some((source, own))) => {
                    *own == tag.as_str() && sources.contains(source.as_str())
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

    /// The objects that an interpreter with the cache tag `tag` needs, by index.
    pub fn needed_objects(&self, tag: &CacheTag) -> Vec<usize> {
        (0..self.objects.len())
            .filter(|index| self.objects[*index].is_for(tag))
            .collect()
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
        self.objects
            .iter()
            .any(|object| object.tag.as_ref() == Some(tag))
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

    /// The manifest's bytes, as they are signed and served.
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
        occupied: &BTreeMap<String, String>,
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
        namespaces: &BTreeMap<String, String>,
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

/// The source path and the tag behind `DIR/__pycache__/STEM.TAG.pyc`.
fn cached_source(path: &str) -> Option<(String, &str)> {
    let (folder, file) = match path.rsplit_once("__pycache__/") {
        Some((folder, file)) if folder.is_empty() || folder.ends_with('/') => (folder, file),
        _ => return None,
    };
    let (stem, tag) = file.strip_suffix(".pyc")?.rsplit_once('.')?;
    Some((format!("{folder}{stem}.py"), tag))
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
    /// Looks at paths alone: `x.py`, `x.pyc`, `x.….so` and folders whose name is an identifier.
    pub fn of<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut regular = BTreeSet::new();
        let mut folders = BTreeSet::new();
        for path in paths {
            match path.split_once('/') {
                None => {
                    if let Some(name) = module_name(path) {
                        regular.insert(name.to_owned());
                    }
                }
                Some((folder, rest)) => {
                    if is_identifier(folder) && folder != "__pycache__" {
                        folders.insert(folder.to_owned());
                        if !rest.contains('/') && module_name(rest) == Some("__init__") {
                            regular.insert(folder.to_owned());
                        }
                    }
                }
            }
        }
        let namespaces = folders.difference(&regular).cloned().collect();
        Self {
            modules: regular.union(&folders).cloned().collect(),
            namespaces,
        }
    }
}

/// `x` for `x.py`, `x.pyc`, `x.so` and `x.cpython-314-wasm32-emscripten.so`.
fn module_name(file: &str) -> Option<&str> {
    let (stem, rest) = file.split_once('.')?;
    let extension = rest.rsplit('.').next().unwrap_or(rest);
    let is_module = match extension {
        "py" | "pyc" => rest == extension,
        "so" => true,
        _ => false,
    };
    (is_module && is_identifier(stem)).then_some(stem)
}

/// What Python takes for an identifier, near enough: a letter or `_`, then letters, digits and `_`.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_')
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
    fn bytecode_names_its_source() {
        assert_eq!(
            cached_source("a/__pycache__/b.cpython-314.pyc"),
            Some(("a/b.py".to_owned(), "cpython-314"))
        );
        assert_eq!(
            cached_source("__pycache__/b.cpython-314.pyc"),
            Some(("b.py".to_owned(), "cpython-314"))
        );
        assert_eq!(cached_source("a/b.pyc"), None);
        assert_eq!(cached_source("a/x__pycache__/b.cpython-314.pyc"), None);
    }
}
