//! A new project from the template that is built into this program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use webimport_core::error::Coded;

use crate::wheel::normalized_name;

/// Path in the template to text.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/template.rs"));

/// The distribution's name in the template.
const NAME: &str = "my-package";
/// The import name in the template.
const MODULE: &str = "my_package";

/// A project cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Something is there.
    #[error("`{}` is not an empty folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// No package can be called so.
    #[error("`{name}` is not a name for a package: {reason}")]
    Name {
        /// As given, or the folder's name.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A file or folder cannot be made.
    #[error("cannot write `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl Coded for TemplateError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotEmpty { .. } => "new.not_empty",
            Self::Name { .. } => "new.name",
            Self::Io { .. } => "new.storage",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NotEmpty { .. } => "give a folder that does not exist yet",
            Self::Name { .. } => "give another one with --name, such as `my-package`",
            Self::Io { .. } => "check the path, its permissions and the free space",
        }
        .into()
    }
}

/// A project that was made.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The distribution's and the release's name.
    pub name: String,
    /// The import name.
    pub module: String,
    /// Its files, relative, in order.
    pub files: Vec<String>,
}

/// Python's keywords that a package name could be.
const KEYWORDS: [&str; 32] = [
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
    "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Makes a project in `folder`, named `name` or else as the folder.
///
/// # Errors
/// [`TemplateError`]; [`TemplateError::NotEmpty`] and [`TemplateError::Name`] before anything is written.
pub fn create(folder: &Path, name: Option<&str>) -> Result<NewProject, TemplateError> {
    let given = match name {
        Some(name) => name.to_owned(),
        None => std::path::absolute(folder)
            .ok()
            .and_then(|path| {
                path.file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            })
            .unwrap_or_default(),
    };
    let (name, module) = names(&given)?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| TemplateError::Io { path, source }
    };
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_free {
        return Err(TemplateError::NotEmpty {
            path: folder.to_owned(),
        });
    }
    let rename = |text: &str| text.replace(NAME, &name).replace(MODULE, &module);
    let mut files = Vec::with_capacity(FILES.len());
    for (path, text) in FILES {
        let path = rename(path);
        let target = folder.join(&path);
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(io(parent))?;
        fs::write(&target, rename(text)).map_err(io(&target))?;
        files.push(path);
    }
    Ok(NewProject {
        name,
        module,
        files,
    })
}

/// The distribution name and the import name for what was given.
fn names(given: &str) -> Result<(String, String), TemplateError> {
    let refuse = |reason| TemplateError::Name {
        name: given.to_owned(),
        reason,
    };
    if !given
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        return Err(refuse("expected ASCII letters, digits, `-`, `_` and `.`"));
    }
    let name = normalized_name(given);
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(refuse("expected a letter first"));
    }
    if name.len() > 100 {
        return Err(refuse("expected at most 100 characters"));
    }
    let module = name.replace('-', "_");
    if KEYWORDS.contains(&&*module) {
        return Err(refuse("it is a keyword of Python"));
    }
    Ok((name, module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_and_become_identifiers() {
        assert_eq!(
            names("Data.Tools_2").unwrap(),
            ("data-tools-2".into(), "data_tools_2".into())
        );
        for bad in ["", "2x", "é", "a b", "--", "class", "a/b"] {
            assert!(names(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_package_is_renamed_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new-lib");
        let project = create(&path, None).unwrap();
        assert_eq!((&*project.name, &*project.module), ("new-lib", "new_lib"));
        assert!(project.files.contains(&"pyproject.toml".to_owned()));
        assert!(path.join("src/new_lib/__init__.py").is_file());
        for file in &project.files {
            let text = fs::read_to_string(path.join(file)).unwrap();
            assert!(
                !file.contains(MODULE) && !text.contains(MODULE) && !text.contains(NAME),
                "{file}"
            );
        }
    }

    #[test]
    fn a_folder_with_files_is_refused_and_an_empty_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(create(folder.path(), Some("a")).is_ok());
        assert!(matches!(
            create(folder.path(), Some("a")),
            Err(TemplateError::NotEmpty { .. })
        ));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            create(&file, Some("a")),
            Err(TemplateError::NotEmpty { .. })
        ));
    }
}
