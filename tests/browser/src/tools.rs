//! Where the set-up has put the things that tests need. It installs nothing.

use std::path::{Path, PathBuf};

/// The workspace's root folder.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .expect("tests/browser is two levels below the workspace")
        .to_path_buf()
}

/// A path below `target/tools`, which `cargo xtask setup` fills.
pub fn tool(relative: &str) -> PathBuf {
    existing(
        workspace().join("target/tools").join(relative),
        "cargo xtask setup",
    )
}

/// A built file below the workspace's root, for instance `target/site/webimport.js`, and the command that makes it.
pub fn built(relative: &str, command: &str) -> PathBuf {
    existing(workspace().join(relative), command)
}

/// A program below `target/tools/bin`, or else on PATH.
pub fn program(name: &str) -> PathBuf {
    let kept = workspace().join("target/tools/bin").join(name);
    if kept.exists() {
        return kept;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("`{name}` is neither in target/tools/bin nor on PATH; run `cargo xtask setup`")
        })
}

fn existing(path: PathBuf, command: &str) -> PathBuf {
    assert!(
        path.exists(),
        "`{}` is missing; run `{command}`",
        path.display()
    );
    path
}
