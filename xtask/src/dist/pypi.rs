//! The wheel: the Python package with the script and its WebAssembly module as package data.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{copy, empty, version};
use crate::digest::files_below;
use crate::process;
use crate::rooms::Rooms;

/// The time that the wheel's files carry, in Unix seconds: 1980-01-02, since ZIP begins in 1980. The same
/// sources always give the same bytes.
const FILE_TIME: &str = "315619200";

/// Makes `dist/pypi/webimport-VERSION-py3-none-any.whl` with the package's own build backend.
pub(super) fn make(rooms: &Rooms) -> Result<()> {
    let source = rooms.at("src/python");
    let stage = rooms.at("target/dist/python");
    empty(&stage)?;
    for file in files_below(&source)? {
        let below = file.strip_prefix(&source)?;
        if below
            .components()
            .any(|part| part.as_os_str().to_string_lossy().ends_with(".egg-info"))
        {
            continue;
        }
        place(&file, &stage.join(below))?;
    }
    for name in ["webimport.js", "webimport.wasm"] {
        place(
            &rooms.site().join(name),
            &stage.join("webimport").join(name),
        )?;
    }
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        place(&rooms.at(name), &stage.join(name))?;
    }
    let folder = rooms.at("dist/pypi");
    empty(&folder)?;
    process::quiet(
        rooms,
        "wheel",
        // The files of `dist-info` are made by the backend with the umask's permissions.
        process::command(rooms, "sh")
            .args(["-c", "umask 022 && exec \"$@\"", "sh"])
            .arg(rooms.venv_bin("python"))
            .args([
                "-m",
                "pip",
                "wheel",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args([
                "--no-build-isolation",
                "--no-deps",
                "--no-index",
                "--wheel-dir",
            ])
            .arg(&folder)
            .arg(&stage)
            .env("SOURCE_DATE_EPOCH", FILE_TIME),
    )?;
    let wheel = folder.join(format!("webimport-{}-py3-none-any.whl", version()));
    if !wheel.is_file() {
        bail!(
            "expected `{}`, got {:?}",
            wheel.display(),
            files_below(&folder)?
        );
    }
    Ok(())
}

/// Copies a file with the same permissions on every machine, since a wheel records them.
fn place(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    copy(from, to)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}
