//! Wheels as bytes: within its limits whatever an archive claims, and what comes out has paths and code that a
//! release may have.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use webimport_cli::wheel::{WheelLimits, read};
use webimport_fuzz::{Outcome, refused, scratch, target};

target!(check);

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("mylib-1.0-py3-none-any.whl"));

fn check(data: &[u8]) -> Outcome {
    let limits = WheelLimits {
        archive: 64 * 1024,
        entries: 50,
        file: 2 * 1024 * 1024,
        total: 3 * 1024 * 1024,
        ratio: 400,
    };
    fs::write(&*FILE, data).expect("the file can be written");
    let wheel = match read(&FILE, &limits) {
        Ok(wheel) => wheel,
        Err(error) => return refused(&error),
    };
    assert!(data.len() as u64 <= limits.archive);
    assert!(wheel.files.len() <= limits.entries);
    let total: u64 = wheel
        .files
        .values()
        .map(|content| content.len() as u64)
        .sum();
    assert!(total <= limits.total);
    assert_eq!(wheel.name.to_lowercase(), "mylib");
    for (path, content) in &wheel.files {
        assert!(content.len() as u64 <= limits.file, "{path}");
        assert!(!path.starts_with('/') && !path.contains('\\'), "{path}");
        assert!(
            path.split('/').all(|part| !matches!(part, "" | "." | "..")),
            "{path}"
        );
        assert!(
            path.rsplit('.').next() != Some("so") || content.starts_with(b"\0asm"),
            "{path}"
        );
    }
    Outcome::Accepted
}
