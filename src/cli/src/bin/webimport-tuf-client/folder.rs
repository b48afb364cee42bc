//! The folders of metadata and of targets: read with bounds, written whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use webimport_core::error::Coded;

use crate::session::Files;

/// A file or folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// What the operating system says.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// More than a file of its kind may have.
    #[error("`{}` is longer than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// In bytes.
        limit: u64,
    },
}

impl FolderError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl Coded for FolderError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "client.storage",
            Self::TooLarge { .. } => "client.too-large",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "check the path, its permissions and the free space".into(),
            Self::TooLarge { .. } => "check that it is the file that was meant".into(),
        }
    }
}

/// The `.json` files of `folder`; those longer than `limit` bytes are left out, as nothing but a cache is lost.
///
/// # Errors
/// [`FolderError::Io`], also for a folder that does not exist.
pub(crate) fn read_metadata(folder: &Path, limit: u64) -> Result<Files, FolderError> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).map_err(FolderError::io("read", folder))? {
        let entry = entry.map_err(FolderError::io("read", folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if Path::new(&name).extension() != Some(OsStr::new("json")) {
            continue;
        }
        match read(&entry.path(), limit) {
            Ok(bytes) => files.push((name, bytes)),
            Err(FolderError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// A file of `limit` bytes at most.
///
/// # Errors
/// [`FolderError`].
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FolderError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(FolderError::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(FolderError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Writes `name` in `folder`, which is made if it is not there: under another name first, which no reader takes
/// for metadata, and then renamed.
///
/// # Errors
/// [`FolderError::Io`].
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
    let path = folder.join(name);
    let written = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".webimport-tmp-")
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    };
    written().map_err(FolderError::io("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_metadata_that_it_wrote_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("made");
        write(&folder, "root.json", b"old").unwrap();
        write(&folder, "root.json", b"new").unwrap();
        write(&folder, "note.txt", b"x").unwrap();
        let read = read_metadata(&folder, 3).unwrap();
        assert_eq!(read, [("root.json".to_owned(), b"new".to_vec())]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn leaves_metadata_out_that_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.json", b"abc").unwrap();
        assert_eq!(read_metadata(folder.path(), 3).unwrap().len(), 1);
        assert_eq!(read_metadata(folder.path(), 2).unwrap().len(), 0);
        assert!(matches!(
            super::read(&folder.path().join("a.json"), 2),
            Err(FolderError::TooLarge { limit: 2, .. })
        ));
    }
}
