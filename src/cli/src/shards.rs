//! Which folders of a release are shards of its manifest, and reading all of them.

use std::collections::BTreeMap;

use webimport_core::error::VerifyError;
use webimport_core::limits::Limits;
use webimport_core::manifest::{FileEntry, Manifest, ObjectEntry};
use webimport_core::path::tables;
use webimport_core::trust::Verified;

/// Files that a manifest lists by itself: about 180 KB, compressed, or what two more round trips take.
const UNDIVIDED: usize = 2_000;
/// Files and shards above which a list is divided, if it can be. An import reads a list for each folder that it comes
/// through, one after another.
const LIST: usize = 256;
/// Files and shards that a list then has: what else is below the folder is another request away anyway, and each entry
/// is read by everybody who comes through.
const DIVIDED: usize = 64;
/// A folder with fewer files is no shard: its entry would be as long as they are.
const LEAST: usize = 4;

/// The folders of a release that are shards, in order. If a folder's list is longer than [`LIST`], folders in it become
/// shards, the largest first, until it has no more than [`DIVIDED`]. A shard of any size is cut off there alone, so that a change in one folder moves no files
/// between the lists of others but those around it.
pub(crate) fn folders(manifest: &Manifest) -> Vec<String> {
    let mut folders = Vec::new();
    if manifest.partial && manifest.files.len() > UNDIVIDED {
        let mut root = Folder::default();
        for file in &manifest.files {
            root.insert(manifest, file);
        }
        root.divide("", &mut folders);
    }
    folders.sort_unstable();
    folders
}

/// Adds all shards of a release; `fetch` gets the decoded bytes of one.
pub(crate) fn add_all<E: From<VerifyError>>(
    manifest: &mut Verified<Manifest>,
    limits: &Limits,
    mut fetch: impl FnMut(&ObjectEntry) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let mut next = 0;
    // More are listed in those that are added.
    while let Some(entry) = manifest.shards.get(next) {
        let bytes = fetch(&entry.object)?;
        manifest.add_shard(next, &bytes, limits, tables)?;
        next += 1;
    }
    manifest.check_elsewhere("release.json")?;
    Ok(())
}

#[derive(Default)]
struct Folder<'a> {
    /// With those in its `__pycache__`.
    files: usize,
    /// Those that are no modules.
    data: usize,
    is_regular: bool,
    inside: BTreeMap<&'a str, Folder<'a>>,
}

/// What a folder's list has after it was divided.
struct Divided {
    entries: usize,
    /// Data files without a regular package around them in the folder: it can be no shard then.
    loose: usize,
    /// What can still be cut off: entries and folder.
    candidates: Vec<(usize, String)>,
}

impl<'a> Folder<'a> {
    fn insert(&mut self, manifest: &Manifest, file: &'a FileEntry) {
        let mut at = self;
        let (folders, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        for folder in folders.split('/').filter(|it| !it.is_empty()) {
            if folder == "__pycache__" {
                break;
            }
            at = at.inside.entry(folder).or_default();
        }
        at.files += 1;
        at.data += usize::from(manifest.is_data(file));
        at.is_regular |= name.starts_with("__init__.") && !manifest.is_data(file);
    }

    fn divide(&self, path: &str, folders: &mut Vec<String>) -> Divided {
        let (mut entries, mut loose) = (self.files, self.data);
        let mut candidates = Vec::new();
        for (name, folder) in &self.inside {
            let separator = if path.is_empty() { "" } else { "/" };
            let inner = format!("{path}{separator}{name}");
            let divided = folder.divide(&inner, folders);
            entries += divided.entries;
            loose += divided.loose;
            if divided.loose == 0 && inner.contains('/') {
                candidates.push((divided.entries, inner));
            } else {
                candidates.extend(divided.candidates);
            }
        }
        if entries > LIST {
            candidates.sort_by(|(one, first), (other, second)| (other, first).cmp(&(one, second)));
            while entries > DIVIDED
                && let Some((most, _)) = candidates.first()
                && *most >= LEAST
            {
                let (cut, folder) = candidates.remove(0);
                entries -= cut - 1;
                folders.push(folder);
            }
        }
        Divided {
            entries,
            loose: if self.is_regular { 0 } else { loose },
            candidates,
        }
    }
}
