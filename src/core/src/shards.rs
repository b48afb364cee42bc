//! Shards: the parts of a large release manifest that readers fetch when they look into a folder.
//!
//! A shard lists what is below one folder of a release, and is an object like any other, so that the whole is a Merkle
//! tree under the signed digest of the manifest. It is checked as a manifest is, against its entry in the list above it,
//! and its files then belong to the manifest. `docs/format.md` describes the format.
//!
//! One shard can be checked without the others. Two files of different shards cannot collide, as the folders of
//! shards are compared where they are listed ([`PathSet`](crate::path::PathSet)). Import names do not depend on any, as
//! no shard is a folder at the top level; nor does anything outside of a shard bring a file inside of it but by import, as
//! a shard has no data files without a regular package around them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::closure::{self, module_name, module_parts};
use crate::error::{Fault, VerifyError};
use crate::fields::{self, Fields};
use crate::json::{self, Value};
use crate::limits::Limits;
use crate::manifest::{
    FileEntry, Listed, Manifest, ObjectEntry, is_module, mounted_path, place_files,
};
use crate::map::sorted;
use crate::path::Unicode;
use crate::trust::Verified;

/// The `format` of shards that this crate reads and writes.
pub const FORMAT: &str = "webimport-shard/1";

/// A folder whose files are listed in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardEntry {
    /// Inside of the release; written inside of the folder of the list that it is in.
    pub folder: String,
    /// The bytes of the shard.
    pub object: ObjectEntry,
    /// Whether the shard was added.
    pub is_known: bool,
}

impl Serialize for ShardEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_struct("ShardEntry", 1 + self.object.fields())?;
        entry.serialize_field("folder", &self.folder)?;
        self.object.serialize_into(&mut entry)?;
        entry.end()
    }
}

impl ShardEntry {
    pub(crate) fn read_all(fields: &mut Fields) -> Result<Vec<Self>, Fault> {
        match fields.optional("shards") {
            Some(listed) => fields::items(listed, |mut entry| {
                Ok(Self {
                    folder: entry.text("folder")?,
                    object: ObjectEntry::take(&mut entry)?,
                    is_known: false,
                })
            }),
            None => Ok(Vec::new()),
        }
    }
}

/// A shard as it is written: paths are inside of its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "docs/format.md describes each field")]
pub struct Shard {
    pub format: String,
    pub folder: String,
    pub objects: Vec<ObjectEntry>,
    pub files: Vec<FileEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardEntry>,
}

impl Shard {
    /// Reads the shard of a folder; paths are inside of the release.
    fn read(value: Value, folder: &str, limits: &Limits) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        for (what, expected) in [("format", FORMAT), ("folder", folder)] {
            let got = fields.text(what)?;
            if got != expected {
                return Err(Fault::new(format_args!(
                    "expected the {what} `{expected}`, got `{got}`"
                )));
            }
        }
        let mut shard = Self {
            format: FORMAT.to_owned(),
            folder: folder.to_owned(),
            objects: fields::items(fields.required("objects")?, ObjectEntry::read)?,
            files: fields::items(fields.required("files")?, FileEntry::read)?,
            shards: ShardEntry::read_all(&mut fields)?,
        };
        // Before each path gets longer by the folder's.
        if shard.files.len() > limits.files || shard.shards.len() > limits.files {
            return Err(Fault::new(format_args!(
                "expected at most {} files and shards",
                limits.files
            )));
        }
        let paths = shard.files.iter_mut().map(|file| &mut file.path);
        let folders = shard.shards.iter_mut().map(|entry| &mut entry.folder);
        for path in paths.chain(folders) {
            *path = format!("{}/{path}", shard.folder);
        }
        Ok(shard)
    }

    /// The shard's bytes, before they are compressed.
    ///
    /// # Errors
    /// [`serde_json::Error`], which a valid shard never gives.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

impl Listed<'_> {
    /// The shards that are listed: folders inside of this one's, in order, none a top-level one and none below a
    /// `__pycache__`, whose files are one with those beside it.
    pub(crate) fn check_shards(&self, subject: &str, limits: &Limits) -> Result<(), VerifyError> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        let mut previous = "";
        for ShardEntry { folder, object, .. } in self.shards {
            object.check_size(subject, limits.shard, limits.shard)?;
            if object.tag.is_some() {
                return Err(malformed(format!("the shard `{folder}` has a tag")));
            }
            if **folder <= *previous {
                return Err(malformed(format!("the shard `{folder}` is out of order")));
            }
            if !folder.contains('/') || folder.split('/').any(|it| it == "__pycache__") {
                return Err(malformed(format!("the folder `{folder}` can be no shard")));
            }
            previous = folder;
        }
        if self.folder.is_empty() {
            return Ok(());
        }
        if self.files.is_empty() && self.shards.is_empty() {
            return Err(malformed("it lists nothing".to_owned()));
        }
        Ok(())
    }

    /// Each file that is no module has a regular package around it in the shard, with which it comes.
    pub(crate) fn check_data(&self, subject: &str) -> Result<(), VerifyError> {
        if self.folder.is_empty() {
            return Ok(());
        }
        let mut regular = Vec::new();
        let mut data = Vec::new();
        for file in self.files {
            let tagged = self.objects.get(file.object);
            let tagged = tagged.is_some_and(|object| object.tag.is_some());
            if is_module(file, tagged, self.source) {
                let mounted = mounted_path(&file.path, self.source);
                if let Some((folder, "__init__")) = module_parts(&mounted) {
                    regular.push(folder.to_owned());
                }
            } else if !(self.source && tagged) {
                data.push(&*file.path);
            }
        }
        let regular = sorted(regular);
        for path in data {
            let is_in_package = |(at, _): (usize, &str)| {
                let folder = &path[..at];
                let is_regular = regular.binary_search_by(|it| (**it).cmp(folder)).is_ok();
                at >= self.folder.len() && is_regular
            };
            if !path.match_indices('/').any(is_in_package) {
                return Err(VerifyError::Malformed {
                    subject: subject.to_owned(),
                    reason: format!("`{path}` belongs to a package outside of the shard"),
                });
            }
        }
        Ok(())
    }
}

impl Verified<Manifest> {
    /// Adds what a shard lists, by its index in [`Manifest::shards`]; `bytes` are decoded. Does nothing if it was added
    /// before. Indices of objects and shards stay what they are.
    ///
    /// # Errors
    /// [`VerifyError`] for other bytes than its entry names, and for what breaks a rule of the format or is more than a
    /// reader can know at once; the manifest is then as it was.
    pub fn add_shard(
        &mut self,
        index: usize,
        bytes: &[u8],
        limits: &Limits,
        unicode: Unicode,
    ) -> Result<(), VerifyError> {
        let manifest = self.as_mut();
        let Some(entry) = manifest.shards.get(index) else {
            return Ok(());
        };
        if entry.is_known {
            return Ok(());
        }
        let subject = entry.object.path();
        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.clone(),
            reason,
        };
        entry.object.expected_decoded().check_bytes(bytes)?;
        manifest.check_room(&[index], limits)?;
        let value = json::parse(bytes, &subject)?;
        let read = Shard::read(value, &entry.folder, limits);
        let mut shard = read.map_err(|fault| fault.of(&subject))?;
        place_files(&shard.objects, &mut shard.files);
        let listed = Listed {
            folder: &shard.folder,
            objects: &shard.objects,
            files: &shard.files,
            shards: &shard.shards,
            source: manifest.source,
            partial: manifest.partial,
            tags: manifest.tags(),
        };
        listed.check(&subject, limits, unicode)?;
        for module in &manifest.entry {
            if !shard.may_have(module, manifest.source) {
                return Err(malformed(format!(
                    "the entry module `{module}` is not there"
                )));
            }
        }
        manifest.append(index, shard);
        Ok(())
    }
}

impl Shard {
    /// Whether a module can be there as far as the shard has a say in it.
    fn may_have(&self, module: &str, source: bool) -> bool {
        let path = module.replace('.', "/");
        let is_decided = closure::contains(&self.folder, &path) && self.folder != path;
        if !is_decided {
            return true;
        }
        let is_below = |inner: &str| closure::contains(&path, inner);
        let is_file = |file: &FileEntry| {
            let mounted = mounted_path(&file.path, source);
            is_below(&mounted) || module_name(&mounted).as_deref() == Some(module)
        };
        let is_shard =
            |entry: &ShardEntry| is_below(&entry.folder) || closure::contains(&entry.folder, &path);
        self.files.iter().any(is_file) || self.shards.iter().any(is_shard)
    }
}

impl Manifest {
    /// Checks that a reader can know these shards beside those that it knows already. For who fetches several at once,
    /// before they are fetched.
    ///
    /// # Errors
    /// [`VerifyError::TooLarge`].
    pub fn check_room(&self, shards: &[usize], limits: &Limits) -> Result<(), VerifyError> {
        let known = self.shards.iter().filter(|entry| entry.is_known);
        let wanted = shards.iter().filter_map(|index| self.shards.get(*index));
        let sizes = known.chain(wanted).map(|entry| entry.object.decoded_size);
        if sizes.fold(0, u64::saturating_add) > limits.shards {
            return Err(VerifyError::TooLarge {
                subject: format!("the list of files of {}", self.name),
                limit: limits.shards,
            });
        }
        Ok(())
    }

    fn append(&mut self, index: usize, shard: Shard) {
        let empty = self.objects.iter().position(|own| own.decoded_size == 0);
        let mut places = Vec::with_capacity(shard.objects.len());
        for object in shard.objects {
            // Empty modules share an object, as they do within one list.
            let known = empty.filter(|index| self.objects.get(*index) == Some(&object));
            places.push(known.unwrap_or(self.objects.len()));
            if known.is_none() {
                self.objects.push(object);
            }
        }
        // Below 2^32 by the limits that the shards were checked against.
        let first = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        for mut file in shard.files {
            if let Some(place) = places.get(file.object) {
                file.object = *place;
            }
            for target in &mut file.imports {
                *target = target.saturating_add(first);
            }
            self.files.push(file);
        }
        self.shards.extend(shard.shards);
        if let Some(entry) = self.shards.get_mut(index) {
            entry.is_known = true;
        }
    }

    /// The shards that were not added yet, by index.
    pub fn unknown_shards(&self) -> Vec<usize> {
        let shards = self.shards.iter().enumerate();
        let unknown = shards.filter(|(_, entry)| !entry.is_known);
        unknown.map(|(index, _)| index).collect()
    }

    /// The shards that were not added yet and are around a file or folder, by index; one at most, as others can only
    /// follow from it.
    pub fn unknown_around(&self, path: &str) -> Option<usize> {
        let is_it = |entry: &ShardEntry| !entry.is_known && closure::contains(&entry.folder, path);
        self.shards.iter().position(is_it)
    }

    /// Checks that the imports of files from one list in another lead to modules for the same interpreters, as far as
    /// the shards are known. A reader does not depend on it: it does not follow an import that leads nowhere.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`].
    pub fn check_elsewhere(&self, subject: &str) -> Result<(), VerifyError> {
        let files = self.files.iter().enumerate();
        let files = sorted(files.map(|(at, file)| (&*file.path, at)).collect());
        let tag = |file: &FileEntry| self.objects[file.object].tag.as_ref();
        let unknown = self.unknown_shards();
        for file in &self.files {
            for target in &file.imports_elsewhere {
                let found = files.binary_search_by(|(path, _)| (*path).cmp(target));
                let is_right = match found {
                    Ok(at) => {
                        let other = &self.files[files[at].1];
                        let (own, its) = (tag(file), tag(other));
                        is_module(other, its.is_some(), self.source)
                            && (its.is_none() || its == own)
                    }
                    Err(_) => unknown
                        .iter()
                        .any(|index| closure::contains(&self.shards[*index].folder, target)),
                };
                if !is_right {
                    return Err(VerifyError::Malformed {
                        subject: subject.to_owned(),
                        reason: format!(
                            "`{}` imports `{target}`, which is no module for it",
                            file.path
                        ),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Puts what is below each of these folders into a shard of its own: the publisher's half. `store` takes the bytes of a
/// shard and says what object they became; those below a folder come before the one around it. The folders are in
/// order, and no object that is not empty has files on both sides of a border.
///
/// # Errors
/// Those of `store`.
#[cfg(feature = "sign")]
pub fn split<E: From<serde_json::Error>>(
    mut manifest: Manifest,
    folders: &[String],
    mut store: impl FnMut(Vec<u8>) -> Result<ObjectEntry, E>,
) -> Result<Manifest, E> {
    if folders.is_empty() {
        return Ok(manifest);
    }
    let tags = manifest.tags();
    manifest.tags = tags.iter().filter_map(|tag| tag.parse().ok()).collect();
    // Lists by folder; that of the manifest is the last one.
    let root = folders.len();
    let around = |path: &str| {
        let ends = path.rmatch_indices('/').map(|(at, _)| &path[..at]);
        let mut lists = ends.filter_map(|folder| {
            let found = folders.binary_search_by(|it| (**it).cmp(folder));
            found.ok()
        });
        lists.next().unwrap_or(root)
    };
    let mut lists: Vec<Vec<FileEntry>> = Vec::new();
    lists.resize_with(root + 1, Vec::new);
    // By file of the whole: its list, its place there, its path.
    let mut places = Vec::with_capacity(manifest.files.len());
    for file in core::mem::take(&mut manifest.files) {
        let list = around(&file.path);
        places.push((list, lists[list].len(), file.path.clone()));
        lists[list].push(file);
    }
    for (list, files) in lists.iter_mut().enumerate() {
        for file in files {
            let mut imports = Vec::new();
            for target in core::mem::take(&mut file.imports) {
                let (its, place, path) = &places[target as usize];
                match u32::try_from(*place) {
                    Ok(place) if *its == list => imports.push(place),
                    _ => file.imports_elsewhere.push(path.clone()),
                }
            }
            file.imports = imports;
        }
    }
    let objects = core::mem::take(&mut manifest.objects);
    let mut shards: Vec<Vec<ShardEntry>> = Vec::new();
    shards.resize_with(root + 1, Vec::new);
    while let Some(mut files) = lists.pop() {
        let list = lists.len();
        let mut used: Vec<usize> = files.iter().map(|file| file.object).collect();
        used = sorted(used);
        used.dedup();
        for file in &mut files {
            file.object = used.partition_point(|object| *object < file.object);
        }
        let objects = used.iter().map(|object| objects[*object].clone()).collect();
        if list == root {
            (manifest.objects, manifest.files) = (objects, files);
            continue;
        }
        let folder = &folders[list];
        for file in &mut files {
            file.path.drain(..=folder.len());
        }
        // Those below came in the opposite order.
        let mut below = core::mem::take(&mut shards[list]);
        below.reverse();
        let shard = Shard {
            format: FORMAT.to_owned(),
            folder: folder.clone(),
            objects,
            files,
            shards: below,
        };
        let parent = around(folder);
        let start = folders.get(parent).map_or(0, |folder| folder.len() + 1);
        let entry = ShardEntry {
            folder: folder[start..].to_owned(),
            object: store(shard.to_bytes()?)?,
            is_known: false,
        };
        shards[parent].push(entry);
    }
    manifest.shards = core::mem::take(&mut shards[root]);
    manifest.shards.reverse();
    Ok(manifest)
}

/// The shard around a path, of a list in order.
pub(crate) fn around(shards: &[ShardEntry], path: &str) -> Option<usize> {
    let find = |(at, _): (usize, &str)| {
        let folder = &path[..at];
        let found = shards.binary_search_by(|entry| (*entry.folder).cmp(folder));
        found.ok()
    };
    path.match_indices('/').find_map(find)
}
