//! Chromium with its driver, and Firefox: Debian's packages where apt is, else what is on PATH.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::process::{self, which};
use crate::progress::step;
use crate::rooms::Rooms;

/// A program under Debian's name, which is the one that the tests use.
struct Program {
    name: &'static str,
    /// What it is called elsewhere.
    others: &'static [&'static str],
    /// Debian's package.
    package: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "chromium",
        others: &["chromium-browser", "google-chrome-stable", "google-chrome"],
        package: "chromium",
    },
    Program {
        name: "chromedriver",
        others: &["chromium.chromedriver"],
        package: "chromium-driver",
    },
    Program {
        name: "firefox-esr",
        others: &["firefox"],
        package: "firefox-esr",
    },
];

/// The browsers that wasm-pack drives, and their drivers.
#[derive(Debug, Clone)]
pub(crate) struct Browsers {
    pub(crate) chromium: PathBuf,
    pub(crate) chromedriver: PathBuf,
    pub(crate) firefox: PathBuf,
    pub(crate) geckodriver: PathBuf,
}

impl Browsers {
    /// Those that set-up left there.
    pub(crate) fn find(rooms: &Rooms) -> Result<Self> {
        let found = |name| find(rooms, name).with_context(|| format!("found no `{name}`"));
        Ok(Self {
            chromium: found("chromium")?,
            chromedriver: found("chromedriver")?,
            firefox: found("firefox-esr")?,
            geckodriver: found("geckodriver")?,
        })
    }
}

/// Installs the packages that are missing, or links what another system calls differently.
pub(crate) fn install(rooms: &Rooms) -> Result<()> {
    let mut missing = Vec::new();
    for program in &PROGRAMS {
        if find(rooms, program.name).is_some() {
            continue;
        }
        match which(program.others) {
            Some(other) => link(rooms, program.name, &other)?,
            None => missing.push(program.package),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = "hint: install Chromium, the chromedriver of its version, and Firefox, so that they are on PATH";
    if which(&["apt-get"]).is_none() {
        bail!(
            "missing {} and there is no apt-get to install from\n{by_hand}",
            missing.join(", ")
        );
    }
    step(
        &format!("installing {} by apt-get", missing.join(", ")),
        "about 1 min",
        || apt_install(rooms, &missing),
    )
    .with_context(|| format!("cannot install {}\n{by_hand}", missing.join(", ")))
}

/// Installs Debian packages, as root or by a sudo that asks for no password.
pub(super) fn apt_install(rooms: &Rooms, packages: &[&str]) -> Result<()> {
    let is_root = process::output(process::command(rooms, "id").arg("-u"))? == "0";
    let apt = |log: &str, arguments: &[&str]| {
        let mut command = process::command(rooms, if is_root { "apt-get" } else { "sudo" });
        if is_root {
            command.env("DEBIAN_FRONTEND", "noninteractive");
        } else {
            command.args(["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        }
        process::quiet(rooms, log, command.args(arguments))
    };
    apt("apt-update", &["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt("apt-install", &arguments)
}

fn find(rooms: &Rooms, name: &str) -> Option<PathBuf> {
    Some(rooms.tools_bin().join(name))
        .filter(|file| file.exists())
        .or_else(|| which(&[name]))
}

/// Makes a program known to the tests under Debian's name.
fn link(rooms: &Rooms, name: &str, program: &std::path::Path) -> Result<()> {
    let link = rooms.tools_bin().join(name);
    std::fs::create_dir_all(rooms.tools_bin())?;
    if link.is_symlink() {
        std::fs::remove_file(&link)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(program, &link)
        .with_context(|| format!("cannot make `{}`", link.display()))?;
    #[cfg(not(unix))]
    bail!("put `{}` on PATH as `{name}`", program.display());
    #[cfg(unix)]
    Ok(())
}
