//! Folders that go away with the test process.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// All of them are inside of one, because what statics hold is never dropped.
static ALL: Mutex<Option<TempDir>> = Mutex::new(None);

/// A new, empty folder. Its name starts with `kind`.
pub fn folder(kind: &str) -> PathBuf {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_with(|| {
        tempfile::Builder::new()
            .prefix("webimport-browser-tests-")
            .tempdir()
            .expect("the temporary folder is writable")
    });
    tempfile::Builder::new()
        .prefix(&format!("{kind}-"))
        .tempdir_in(all)
        .expect("the scratch folder is writable")
        .keep()
}

/// Removes them all.
pub fn remove_all() {
    ALL.lock().unwrap_or_else(PoisonError::into_inner).take();
}
