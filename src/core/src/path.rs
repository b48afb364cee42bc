//! Paths of files inside a release.
//!
//! A path is checked before it is used anywhere, against reaching outside the mount and against two files
//! that one reader takes for one and another for two (case or Unicode form).

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::error::VerifyError;

/// Bytes that a path may have.
pub const MAX_LENGTH: usize = 1024;
/// Components that a path may have.
pub const MAX_COMPONENTS: usize = 32;

/// Checks one path by itself.
///
/// # Errors
/// [`VerifyError::Path`] with the rule that it breaks; [`VerifyError::UnsafeFile`] for what Python runs at
/// start-up.
pub fn check(path: &str) -> Result<(), VerifyError> {
    let refuse = |reason: &str| {
        let path = path.chars().take(200).collect();
        Err(VerifyError::Path {
            path,
            reason: reason.to_owned(),
        })
    };
    if path.len() > MAX_LENGTH {
        return refuse("it is longer than 1,024 bytes");
    }
    if path.starts_with('/') {
        return refuse("it is absolute");
    }
    if let Some(bad) = path
        .chars()
        .find(|c| c.is_control() || matches!(c, '\\' | ':'))
    {
        return refuse(&format!("it holds the character {bad:?}"));
    }
    if !is_nfc(path) {
        return refuse("it is not in Unicode form NFC");
    }
    let mut count = 0;
    for component in path.split('/') {
        count += 1;
        match component {
            "" => return refuse("it has an empty component"),
            "." | ".." => return refuse("it has a relative component"),
            _ => {}
        }
    }
    if count > MAX_COMPONENTS {
        return refuse("it has more than 32 components");
    }
    let top = path.split('/').next().unwrap_or_default();
    let stem = top.split('.').next().unwrap_or_default();
    let top_folded = fold(top);
    let is_pth = top_folded
        .rsplit_once('.')
        .is_some_and(|(_, extension)| extension == "pth");
    if (count == 1 && is_pth) || ["sitecustomize", "usercustomize"].contains(&fold(stem).as_str()) {
        return Err(VerifyError::UnsafeFile {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// All paths of one release: finds files and folders that collide.
#[derive(Debug, Default)]
pub struct PathSet {
    /// Folded prefix to its exact spelling and whether it is a file.
    seen: BTreeMap<String, (String, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

impl PathSet {
    /// Checks `path` by itself and against all paths so far.
    ///
    /// # Errors
    /// As [`check`], and [`VerifyError::Path`] where it is there already, differs from another one by case or
    /// Unicode form only, or is a file and a folder at once.
    pub fn insert(&mut self, path: &str) -> Result<(), VerifyError> {
        check(path)?;
        let ends = path
            .match_indices('/')
            .map(|(index, _)| index)
            .chain([path.len()]);
        for end in ends {
            let exact = &path[..end];
            let kind = if end == path.len() {
                Kind::File
            } else {
                Kind::Folder
            };
            match self.seen.entry(fold(exact)) {
                Entry::Vacant(entry) => {
                    entry.insert((exact.to_owned(), kind));
                }
                Entry::Occupied(entry) => {
                    let (other, other_kind) = entry.get();
                    let reason = if other != exact {
                        format!("it differs from {other:?} by case or Unicode form only")
                    } else if kind == Kind::File && *other_kind == Kind::File {
                        "it is listed twice".to_owned()
                    } else if kind == *other_kind {
                        continue;
                    } else {
                        format!("{other:?} is a file and a folder")
                    };
                    return Err(VerifyError::Path {
                        path: path.to_owned(),
                        reason,
                    });
                }
            }
        }
        Ok(())
    }
}

/// One spelling for all that a file system or a reader may take for the same name: NFKC, lower case.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        // Upper case joins what has one capital and two small letters (`ß` and `ss`, final sigma), and lower case
        // before that a capital that is nobody's upper case (`ẞ`).
        text.nfkc()
            .collect::<String>()
            .to_lowercase()
            .to_uppercase()
            .to_lowercase()
            .nfkc()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn set(paths: &[&str]) -> Result<(), VerifyError> {
        let mut set = PathSet::default();
        paths.iter().try_for_each(|path| set.insert(path))
    }

    #[test]
    fn accepts_what_wheels_hold() {
        set(&[
            "a/__init__.py",
            "a/b.py",
            "a.dist-info/METADATA",
            "a/données/é.txt",
            "six.py",
            "a/weights.pth",
            "a/..data",
        ])
        .unwrap();
    }

    #[test]
    fn rejects_paths_that_leave_the_folder() {
        for bad in [
            "", "/a", "../a", "a/../b", "a/..", ".", "./a", "a//b", "a/", "a\\b", "C:/a", "a\0b",
            "a\nb", "a\u{7f}",
        ] {
            assert!(
                matches!(check(bad), Err(VerifyError::Path { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn rejects_what_is_too_long_or_too_deep() {
        assert!(check(&"x".repeat(MAX_LENGTH)).is_ok());
        assert!(check(&"x".repeat(MAX_LENGTH + 1)).is_err());
        assert!(check(&vec!["x"; MAX_COMPONENTS].join("/")).is_ok());
        assert!(check(&vec!["x"; MAX_COMPONENTS + 1].join("/")).is_err());
    }

    #[test]
    fn rejects_names_that_differ_by_case_or_form() {
        set(&["a/Foo.py", "a/Bar.py", "b/foo.py"]).unwrap();
        for twins in [
            ["a/Foo.py", "a/foo.py"],
            ["A/x.py", "a/y.py"],
            ["\u{212b}.py", "å.py"],
            ["ﬁ.py", "fi.py"],
            ["straße.py", "STRASSE.py"],
            ["straße.py", "STRA\u{1e9e}E.py"],
            ["a.py", "a.py"],
            ["a", "a/b"],
            ["a/b", "a"],
        ] {
            assert!(
                matches!(set(&twins), Err(VerifyError::Path { .. })),
                "{twins:?}"
            );
        }
        assert!(check("e\u{301}.py").is_err(), "not NFC");
    }

    #[test]
    fn a_letter_is_one_with_its_capital_and_its_small_letters() {
        let mut letters = 0;
        for letter in '\u{80}'..'\u{20000}' {
            for other in [
                letter.to_lowercase().collect::<String>(),
                letter.to_uppercase().collect(),
            ] {
                if !other.starts_with(letter) {
                    letters += 1;
                    assert_eq!(
                        fold(&other),
                        fold(letter.encode_utf8(&mut [0; 4])),
                        "{letter}"
                    );
                }
            }
        }
        assert!(letters > 2_000, "{letters}");
    }

    #[test]
    fn rejects_what_python_runs_at_start_up() {
        for bad in [
            "x.pth",
            "X.PTH",
            "sitecustomize.py",
            "sitecustomize/__init__.py",
            "usercustomize.pyc",
        ] {
            assert!(
                matches!(check(bad), Err(VerifyError::UnsafeFile { .. })),
                "{bad}"
            );
        }
        assert!(check("a/sitecustomize.py").is_ok());
    }
}
