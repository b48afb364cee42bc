//! The clock: the command line asks it once for each command, and everything below gets the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use webimport_core::time::UnixTime;

/// The time of this machine. One before 1970 is read as 1970.
pub fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
