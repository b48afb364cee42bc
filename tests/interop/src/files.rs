//! Repositories in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A repository's files by path, such as `metadata/timestamp.json`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Files that are other ones, or gone.
pub type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// Every file below `folder`.
pub fn read(folder: &Path) -> Files {
    fn walk(folder: &Path, prefix: &str, found: &mut Files) {
        for entry in fs::read_dir(folder).expect("a folder that can be read") {
            let entry = entry.expect("a folder that can be read");
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{path}/"), found);
            } else {
                let bytes = fs::read(entry.path()).expect("a file that can be read");
                found.insert(path, bytes);
            }
        }
    }
    let mut found = Files::new();
    walk(folder, "", &mut found);
    found
}

/// Writes all files below `folder`.
pub fn write(files: &Files, folder: &Path) {
    for (path, bytes) in files {
        let path = folder.join(path);
        let parent = path.parent().expect("a file in a folder");
        fs::create_dir_all(parent).expect("a folder that can be written");
        fs::write(path, bytes).expect("a folder that can be written");
    }
}

/// What leads from `before` to `after`.
pub fn difference(before: &Files, after: &Files) -> Changes {
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let mut changes: Changes = gone.map(|path| (path.clone(), None)).collect();
    for (path, bytes) in after {
        if before.get(path) != Some(bytes) {
            changes.insert(path.clone(), Some(bytes.clone()));
        }
    }
    changes
}

/// `before` with `changes`.
pub fn changed(before: &Files, changes: &Changes) -> Files {
    let mut after = before.clone();
    for (path, bytes) in changes {
        match bytes {
            Some(bytes) => after.insert(path.clone(), bytes.clone()),
            None => after.remove(path),
        };
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_leads_from_one_to_the_other() {
        let files = |entries: &[(&str, &str)]| -> Files {
            let entries = entries.iter();
            entries
                .map(|(path, text)| ((*path).into(), (*text).into()))
                .collect()
        };
        let before = files(&[("same", "1"), ("gone", "2"), ("other", "3")]);
        let after = files(&[("same", "1"), ("other", "4"), ("new", "5")]);
        let changes = difference(&before, &after);
        assert_eq!(changes.len(), 3);
        assert_eq!(changed(&before, &changes), after);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = Files::from([("a/b/c".into(), vec![1]), ("d".into(), vec![])]);
        write(&files, folder.path());
        assert_eq!(read(folder.path()), files);
    }
}
