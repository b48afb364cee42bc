//! Paths of files inside a release.
//!
//! A path is checked before it is used anywhere, against reaching outside the mount and against two files
//! that one reader takes for one and another for two (case or Unicode form).
//!
//! Unicode's tables are larger than all of the rest of this crate. A host that has them brings them ([`Unicode`]),
//! for others the feature `unicode` does. Versions of Unicode may differ between the two: what is assigned keeps its
//! normal form for ever, and its case folding, and a host that does not know a letter takes it for one without
//! capitals. So the younger tables refuse some names that the older ones pass, never the other way round; these differ
//! in letters that no file system of the older host's age takes for one either. ASCII needs no tables.

use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;

use crate::error::VerifyError;

/// Bytes that a path may have.
pub const MAX_LENGTH: usize = 1024;
/// Components that a path may have.
pub const MAX_COMPONENTS: usize = 32;

/// A change of a text that Unicode defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Normalization form C.
    Nfc,
    /// Normalization form KC.
    Nfkc,
    /// Full lower case, of no language.
    LowerCase,
    /// Full upper case, of no language.
    UpperCase,
}

/// Makes changes, one after another, by the host's Unicode tables.
pub type Unicode = fn(text: &str, changes: &[Change]) -> String;

/// [`Unicode`] by tables of this program's own.
#[cfg(feature = "unicode")]
pub fn tables(text: &str, changes: &[Change]) -> String {
    use unicode_normalization::UnicodeNormalization as _;

    changes
        .iter()
        .fold(text.to_owned(), |text, change| match change {
            Change::Nfc => text.nfc().collect(),
            Change::Nfkc => text.nfkc().collect(),
            Change::LowerCase => text.to_lowercase(),
            Change::UpperCase => text.to_uppercase(),
        })
}

/// Checks one path by itself.
///
/// # Errors
/// [`VerifyError::Path`] with the rule that it breaks; [`VerifyError::UnsafeFile`] for what Python runs at
/// start-up.
pub fn check(path: &str, unicode: Unicode) -> Result<(), VerifyError> {
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
    if !path.is_ascii() && unicode(path, &[Change::Nfc]) != path {
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
    let is_pth = || {
        let top = fold(top, unicode);
        matches!(top.rsplit_once('.'), Some((_, "pth")))
    };
    if (count == 1 && is_pth())
        || matches!(&*fold(stem, unicode), "sitecustomize" | "usercustomize")
    {
        return Err(VerifyError::UnsafeFile {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// All paths of one release: finds files and folders that collide.
#[derive(Debug)]
pub struct PathSet<'a> {
    unicode: Unicode,
    /// Whether some are listed elsewhere, so that each component has to be one by itself.
    has_shards: bool,
    /// Folded prefix to its exact spelling and what it is.
    seen: BTreeMap<Cow<'a, str>, (&'a str, Kind)>,
    /// The folder around the last path, exact and folded: the next one is likely to be in it, too.
    folder: (&'a str, Cow<'a, str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    Shard,
}

#[cfg(feature = "unicode")]
impl Default for PathSet<'_> {
    fn default() -> Self {
        Self::new(tables)
    }
}

impl<'a> PathSet<'a> {
    /// No paths.
    pub fn new(unicode: Unicode) -> Self {
        Self {
            unicode,
            has_shards: false,
            seen: BTreeMap::new(),
            folder: ("", Cow::Borrowed("")),
        }
    }

    /// No paths, of a list beside which others list what is in some folders. Two paths of different lists can then
    /// only collide where these folders do, as no component may fold to two (`℅` to `c/o`).
    pub(crate) fn beside_shards(unicode: Unicode) -> Self {
        Self {
            has_shards: true,
            ..Self::new(unicode)
        }
    }

    /// Checks `path` by itself and against all paths so far.
    ///
    /// # Errors
    /// As [`check`], and [`VerifyError::Path`] where it is there already, differs from another one by case or
    /// Unicode form only, or is a file and a folder at once.
    pub fn insert(&mut self, path: &'a str) -> Result<(), VerifyError> {
        self.add(path, Kind::File)
    }

    /// As [`insert`](Self::insert), for a folder whose files are listed elsewhere: none of them may be listed here.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub(crate) fn insert_shard(&mut self, folder: &'a str) -> Result<(), VerifyError> {
        self.add(folder, Kind::Shard)
    }

    fn add(&mut self, path: &'a str, own: Kind) -> Result<(), VerifyError> {
        check(path, self.unicode)?;
        let (around, _) = path.rsplit_once('/').unwrap_or_default();
        let (mut folded, mut start) = if around == self.folder.0 {
            // It is a folder, as are all around it.
            (self.folder.1.clone(), around.len())
        } else {
            (Cow::Borrowed(""), 0)
        };
        while start < path.len() {
            // A slash goes before each component but the first.
            let name = start + usize::from(start > 0);
            let slash = path[name..].find('/');
            let end = slash.map_or(path.len(), |at| name + at);
            if end == path.len() {
                self.folder = (around, folded.clone());
            }
            // Folding a slash, or up to one, does not depend on what follows.
            let component = fold(&path[start..end], self.unicode);
            if self.has_shards && component.rfind('/').is_some_and(|at| at > 0) {
                return Err(VerifyError::Path {
                    path: path.to_owned(),
                    reason: "a part of it stands for a slash".to_owned(),
                });
            }
            folded = if folded == path[..start] && component == path[start..end] {
                Cow::Borrowed(&path[..end])
            } else {
                Cow::Owned(folded.into_owned() + &component)
            };
            start = end;
            let kind = if end == path.len() { own } else { Kind::Folder };
            self.put(folded.clone(), &path[..end], kind)
                .map_err(|reason| VerifyError::Path {
                    path: path.to_owned(),
                    reason,
                })?;
        }
        Ok(())
    }

    /// Takes a file, a folder or a shard; says why not, if it collides with another one.
    fn put(&mut self, folded: Cow<'a, str>, exact: &'a str, kind: Kind) -> Result<(), String> {
        let (other, other_kind) = match self.seen.entry(folded) {
            Entry::Vacant(entry) => {
                entry.insert((exact, kind));
                return Ok(());
            }
            Entry::Occupied(entry) => *entry.get(),
        };
        if other != exact {
            Err(format!(
                "it differs from {other:?} by case or Unicode form only"
            ))
        } else if kind == Kind::File && other_kind == Kind::File {
            Err("it is listed twice".to_owned())
        } else if kind == other_kind {
            Ok(())
        } else if kind == Kind::Shard || other_kind == Kind::Shard {
            Err(format!("what is in {other:?} is in a shard of its own"))
        } else {
            Err(format!("{other:?} is a file and a folder"))
        }
    }
}

/// One spelling for all that a file system or a reader may take for the same name: NFKC, lower case.
fn fold(text: &str, unicode: Unicode) -> Cow<'_, str> {
    if text.is_ascii() {
        let is_folded = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if is_folded {
            text.into()
        } else {
            text.to_ascii_lowercase().into()
        };
    }
    // Upper case joins what has one capital and two small letters (`ß` and `ss`, final sigma), and lower case
    // before that a capital that is nobody's upper case (`ẞ`).
    let changes = [
        Change::Nfkc,
        Change::LowerCase,
        Change::UpperCase,
        Change::LowerCase,
        Change::Nfkc,
    ];
    unicode(text, &changes).into()
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
                matches!(check(bad, tables), Err(VerifyError::Path { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn rejects_what_is_too_long_or_too_deep() {
        assert!(check(&"x".repeat(MAX_LENGTH), tables).is_ok());
        assert!(check(&"x".repeat(MAX_LENGTH + 1), tables).is_err());
        assert!(check(&vec!["x"; MAX_COMPONENTS].join("/"), tables).is_ok());
        assert!(check(&vec!["x"; MAX_COMPONENTS + 1].join("/"), tables).is_err());
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
            ["ὈΔΟΣ/x.py", "ὀδος/y.py"],
            ["a\u{ff0f}b.py", "a/b.py"],
            ["a.py", "a.py"],
            ["a", "a/b"],
            ["a/b", "a"],
        ] {
            assert!(
                matches!(set(&twins), Err(VerifyError::Path { .. })),
                "{twins:?}"
            );
        }
        assert!(check("e\u{301}.py", tables).is_err(), "not NFC");
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
                        fold(&other, tables),
                        fold(letter.encode_utf8(&mut [0; 4]), tables),
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
                matches!(check(bad, tables), Err(VerifyError::UnsafeFile { .. })),
                "{bad}"
            );
        }
        assert!(check("a/sitecustomize.py", tables).is_ok());
    }
}
