//! Files of a repository on disk: written whole or not at all, and by one publisher at a time.
//!
//! A file is written under a temporary name in its own folder, flushed to the disk and renamed, and then
//! its folder is flushed, so that a crash leaves the old file or the new one. What order files are written
//! in is the caller's business. Of many files whose order does not matter, each is flushed before it is renamed, and
//! all folders at the end: a disk that is asked for many at once takes a small part of the time.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use webimport_core::error::Coded;

use crate::observe::{Event, Observer, WriteStep};
use crate::parallel;

/// How temporary files start. No reader looks at such names, `serve` refuses them, and the next publisher
/// removes what a killed one left.
pub(crate) const TEMPORARY_PREFIX: &str = ".webimport-tmp-";

/// Beside `metadata/`; holds nothing, it is there to be locked.
const LOCK_FILE: &str = ".webimport-lock";

/// Files that have a temporary name at a time.
const BATCH: usize = 4096;

/// Threads that wait for the disk. File systems write what many wait for in one go; more than these gain nothing.
const WAITING: usize = 16;

/// A file or folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// What the operating system says.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// `read`, `write` and so on.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another publisher holds the repository's lock.
    #[error("another publisher is writing to `{}`", repository.display())]
    Locked {
        /// The repository's folder.
        repository: PathBuf,
    },
}

impl StorageError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl Coded for StorageError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "publish.storage",
            Self::Locked { .. } => "publish.locked",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "check the path, its permissions and the free space".into(),
            Self::Locked { .. } => "wait until it is done and run the command again".into(),
        }
    }
}

/// The right to write to a repository; given back on drop, and by the system if the process is killed.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the repository in the existing folder `root`.
    ///
    /// # Errors
    /// [`StorageError::Locked`] at once if somebody has it.
    pub(crate) fn take(root: &Path) -> Result<Self, StorageError> {
        let path = root.join(LOCK_FILE);
        refuse_link(&path)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StorageError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(StorageError::Locked {
                repository: root.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(StorageError::io("lock", &path)(error)),
        }
    }
}

impl Drop for Lock {
    /// By name, as closing is not enough: a process that another thread starts has a copy of the open file until
    /// its program runs, and the lock lasts as long as any copy.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Writes `bytes` to `path` in one step, making its folders.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    observer: &dyn Observer,
) -> Result<(), StorageError> {
    let folder = folder_of(path);
    make_folders(folder)?;
    observer.event(Event::Write {
        path,
        step: WriteStep::Start,
    });
    let file = temporary(path, bytes)?;
    file.as_file()
        .sync_all()
        .map_err(StorageError::io("write", path))?;
    observer.event(Event::Write {
        path,
        step: WriteStep::Temporary,
    });
    file.persist(path)
        .map_err(|error| StorageError::io("write", path)(error.error))?;
    sync_folder(folder)?;
    observer.event(Event::Write {
        path,
        step: WriteStep::Done,
    });
    Ok(())
}

/// As [`write`], of a path inside the repository in `root`. Nothing between the two may be a link: whoever put one
/// there would choose which folder outside is written to.
pub(crate) fn write_below(
    root: &Path,
    path: &str,
    bytes: &[u8],
    observer: &dyn Observer,
) -> Result<(), StorageError> {
    let target = root.join(path);
    for folder in folders_below(root, folder_of(&target)) {
        refuse_link(folder)?;
    }
    write(&target, bytes, observer)
}

/// As [`write_below`], of all `files` that are not there with the same bytes, in any order. When it returns, all are
/// on the disk under their names, also those that were there: whoever wrote them may have been killed before they
/// could tell.
pub(crate) fn write_missing_below(
    root: &Path,
    files: &[(String, &[u8])],
    observer: &dyn Observer,
) -> Result<(), StorageError> {
    let mut folders = BTreeSet::from([root.to_owned()]);
    for batch in files.chunks(BATCH) {
        let targets = batch.iter().map(|(path, bytes)| (root.join(path), *bytes));
        let targets: Vec<(PathBuf, &[u8])> = targets.collect();
        let missing = parallel::map(
            parallel::cores(),
            targets.iter(),
            |(path, bytes)| Ok((!has_bytes(path, bytes)).then_some((&**path, *bytes))),
            |_| (),
        )?;
        let missing: Vec<(&Path, &[u8])> = missing.into_iter().flatten().collect();
        let parents: BTreeSet<&Path> = missing.iter().map(|(path, _)| folder_of(path)).collect();
        for folder in parents {
            for folder in folders_below(root, folder) {
                refuse_link(folder)?;
            }
            fs::create_dir_all(folder).map_err(StorageError::io("make", folder))?;
        }
        write_batch(&missing, observer)?;
        for (path, _) in &targets {
            let folder = folder_of(path);
            if !folders.contains(folder) {
                folders.extend(folders_below(root, folder).map(Path::to_owned));
            }
        }
    }
    let sync = |folder: PathBuf| sync_folder(&folder);
    parallel::map(WAITING, folders.into_iter(), sync, |()| ())?;
    Ok(())
}

/// Gives files their names when all of them are on the disk. Their folders are there, and are not flushed.
fn write_batch(files: &[(&Path, &[u8])], observer: &dyn Observer) -> Result<(), StorageError> {
    let tell = |step| {
        for (path, _) in files {
            observer.event(Event::Write { path, step });
        }
    };
    tell(WriteStep::Start);
    // Closed, as a process may have few open.
    let write = |(path, bytes): &(&Path, &[u8])| Ok(temporary(path, bytes)?.into_temp_path());
    let written = parallel::map(parallel::cores(), files.iter(), write, |_| ())?;
    let flush = |(file, (path, _)): (&tempfile::TempPath, &(&Path, &[u8]))| {
        // Windows flushes only what can be written to.
        File::options()
            .write(true)
            .open(file)
            .and_then(|file| file.sync_all())
            .map_err(StorageError::io("write", path))
    };
    parallel::map(WAITING, written.iter().zip(files), flush, |()| ())?;
    tell(WriteStep::Temporary);
    let rename = |(file, (path, _)): (tempfile::TempPath, &(&Path, &[u8]))| {
        file.persist(path)
            .map_err(|error| StorageError::io("write", path)(error.error))
    };
    parallel::map(
        parallel::cores(),
        written.into_iter().zip(files),
        rename,
        |()| (),
    )?;
    tell(WriteStep::Done);
    Ok(())
}

/// Whether a file is there, with these bytes.
fn has_bytes(path: &Path, bytes: &[u8]) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut there = Vec::with_capacity(bytes.len() + 1);
    let read = file.take(bytes.len() as u64 + 1).read_to_end(&mut there);
    read.is_ok() && there == bytes
}

/// A file with these bytes under a temporary name beside `path`.
fn temporary(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, StorageError> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions_if_unix()
        .tempfile_in(folder)
        .map_err(StorageError::io("write to", folder))?;
    file.write_all(bytes)
        .map_err(StorageError::io("write", path))?;
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A folder inside of `root` and those between the two.
fn folders_below<'a>(root: &Path, folder: &'a Path) -> impl Iterator<Item = &'a Path> {
    folder.ancestors().take_while(move |folder| *folder != root)
}

/// Fails if the path is a link. What does not exist is none.
fn refuse_link(path: &Path) -> Result<(), StorageError> {
    if path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
    {
        return Err(StorageError::io("write through the link", path)(
            io::Error::other("links in a repository are not followed"),
        ));
    }
    Ok(())
}

/// Writes a file in one step that its owner alone can read, into a folder that exists.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let folder = folder_of(path);
    // Temporary files are private.
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(folder)
        .map_err(StorageError::io("write to", folder))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(StorageError::io("write", path))?;
    file.persist(path)
        .map_err(|error| StorageError::io("write", path)(error.error))?;
    sync_folder(folder)
}

/// Makes `folder` and what is above it, each flushed into the folder that holds it.
fn make_folders(folder: &Path) -> Result<(), StorageError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        make_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(StorageError::io("make", folder)(error)),
    }
    match folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// Makes a rename or a new name durable. Only Unix can open a folder for this.
fn sync_folder(folder: &Path) -> Result<(), StorageError> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|file| file.sync_all())
            .map_err(StorageError::io("flush", folder))?;
    }
    Ok(())
}

/// Removes temporary files that a killed publisher left under `folder`. The caller holds the lock.
pub(crate) fn sweep(folder: &Path) -> Result<(), StorageError> {
    refuse_link(folder)?;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StorageError::io("read", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(StorageError::io("read", folder))?;
        let kind = entry
            .file_type()
            .map_err(StorageError::io("read", folder))?;
        if kind.is_dir() {
            sweep(&entry.path())?;
        } else if entry
            .file_name()
            .to_string_lossy()
            .starts_with(TEMPORARY_PREFIX)
        {
            fs::remove_file(entry.path()).map_err(StorageError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Temporary files are private to their owner, but these become public ones.
trait PublicPermissions {
    fn permissions_if_unix(&mut self) -> &mut Self;
}

impl PublicPermissions for tempfile::Builder<'_, '_> {
    #[cfg(unix)]
    fn permissions_if_unix(&mut self) -> &mut Self {
        use std::os::unix::fs::PermissionsExt as _;
        // The umask still applies.
        self.permissions(fs::Permissions::from_mode(0o666))
    }

    #[cfg(not(unix))]
    fn permissions_if_unix(&mut self) -> &mut Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::observe::Silent;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        write(&path, b"old and long", &Silent).unwrap();
        write(&path, b"new", &Silent).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    /// What is below the folder at each step.
    struct Watch<'a> {
        folder: &'a Path,
        seen: RefCell<Vec<(WriteStep, usize, usize)>>,
    }

    impl Observer for Watch<'_> {
        fn event(&self, event: Event<'_>) {
            let Event::Write { step, .. } = event else {
                return;
            };
            let mut counts = (0, 0);
            for entry in fs::read_dir(self.folder).unwrap() {
                let name = entry.unwrap().file_name();
                if name.to_string_lossy().starts_with(TEMPORARY_PREFIX) {
                    counts.0 += 1;
                } else {
                    counts.1 += 1;
                }
            }
            self.seen.borrow_mut().push((step, counts.0, counts.1));
        }
    }

    #[test]
    fn of_many_files_none_has_its_name_before_all_are_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["many/a", "many/b", "many/c"].map(|path| (path.to_owned(), path.as_bytes()));
        let watch = Watch {
            folder: &folder.path().join("many"),
            seen: RefCell::default(),
        };
        write_missing_below(folder.path(), &files, &watch).unwrap();
        let expected = [
            (WriteStep::Start, 0, 0),
            (WriteStep::Temporary, 3, 0),
            (WriteStep::Done, 0, 3),
        ];
        assert_eq!(
            watch.seen.into_inner(),
            expected.map(|counts| [counts; 3]).as_flattened()
        );
        for (path, bytes) in &files {
            assert_eq!(fs::read(folder.path().join(path)).unwrap(), *bytes);
        }
    }

    #[test]
    fn of_many_files_those_that_are_whole_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b", "c", "d"].map(|name| (format!("many/{name}"), &b"whole"[..]));
        fs::create_dir(folder.path().join("many")).unwrap();
        for (name, bytes) in [("a", &b"whole"[..]), ("b", b"whol"), ("c", b"wholes")] {
            fs::write(folder.path().join("many").join(name), bytes).unwrap();
        }
        let watch = Watch {
            folder: &folder.path().join("many"),
            seen: RefCell::default(),
        };
        write_missing_below(folder.path(), &files, &watch).unwrap();
        assert_eq!(watch.seen.into_inner().len(), 3 * 3);
        for (path, bytes) in &files {
            assert_eq!(fs::read(folder.path().join(path)).unwrap(), *bytes);
        }
    }

    #[test]
    fn more_files_than_have_a_temporary_name_at_a_time_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<(String, &[u8])> = (0..=BATCH)
            .map(|index| (format!("{}/{index}", index % 2), &b"x"[..]))
            .collect();
        write_missing_below(folder.path(), &files, &Silent).unwrap();
        assert!(
            files
                .iter()
                .all(|(path, _)| folder.path().join(path).is_file())
        );
    }

    #[test]
    fn two_publishers_exclude_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        assert!(matches!(
            Lock::take(folder.path()),
            Err(StorageError::Locked { .. })
        ));
        drop(first);
        assert!(Lock::take(folder.path()).is_ok());
    }

    #[test]
    fn a_lock_is_given_back_though_a_copy_of_its_file_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        assert!(Lock::take(folder.path()).is_ok());
        drop(copy);
    }

    #[test]
    fn a_sweep_removes_temporary_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, left) = (
            folder.path().join("a/kept"),
            folder.path().join("a/.webimport-tmp-x"),
        );
        write(&kept, b"", &Silent).unwrap();
        fs::write(&left, b"").unwrap();
        sweep(folder.path()).unwrap();
        assert!(kept.exists() && !left.exists());
    }
}
