//! Source distributions from PyPI, pinned by hash in `sdists.txt`, in `target/tools/sdists`. Nothing unpacks them here.

use anyhow::{Context, Result, bail};

use super::wheels::{normal, read};
use crate::digest::fingerprint;
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// Downloads them, checked against their hashes by pip.
pub(crate) fn install(rooms: &Rooms) -> Result<()> {
    let list = rooms.at("xtask/sdists.txt");
    let folder = rooms.at("target/tools/sdists");
    let stamp = Stamp::new(
        folder.join("downloaded"),
        fingerprint(std::slice::from_ref(&list), "sdists 1")?,
    );
    if stamp.is_current(&[]) {
        return Ok(());
    }
    let pinned = read(&list)?;
    step(
        &format!(
            "downloading {} source distributions from PyPI",
            pinned.len()
        ),
        "2 MB",
        || {
            if folder.exists() {
                std::fs::remove_dir_all(&folder)
                    .with_context(|| format!("cannot empty `{}`", folder.display()))?;
            }
            std::fs::create_dir_all(&folder)?;
            process::quiet(
                rooms,
                "pip-download-sdists",
                process::command(rooms, rooms.venv_bin("python"))
                    .args(["-m", "pip", "download", "--quiet"])
                    .args(["--disable-pip-version-check", "--require-hashes"])
                    // pip asks the build backend for the metadata, and those are in the environment.
                    .args(["--no-deps", "--no-binary", ":all:"])
                    .arg("--no-build-isolation")
                    .arg("--dest")
                    .arg(&folder)
                    .arg("--requirement")
                    .arg(&list),
            )
        },
    )?;
    let found: Vec<String> = std::fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    for sdist in &pinned {
        let end = format!("-{}.tar.gz", sdist.version);
        if !found.iter().any(|file| {
            file.strip_suffix(&end)
                .is_some_and(|name| normal(name) == sdist.name)
        }) {
            bail!(
                "pip downloaded no source distribution of `{}` {}",
                sdist.name,
                sdist.version
            );
        }
    }
    stamp.write()
}
