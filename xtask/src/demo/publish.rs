//! The demo's publisher: a repository with keys of its own, and its releases, by the command line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::digest::fingerprint;
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::setup::wheel;
use crate::stamp::Stamp;

/// Releases made of PyPI's wheels: name, and the projects inside, whose first gives the version.
const RELEASES: &[(&str, &[&str])] = &[
    ("rich", &["rich", "pygments", "markdown-it-py", "mdurl"]),
    ("networkx", &["networkx"]),
];

/// The release that has a memory snapshot, too; the page's address can name it.
const WITH_SNAPSHOT: &str = "networkx";

/// The release made from `pkg-template` by `webimport new`.
const OWN_PACKAGE: &str = "my-package";

/// How long a repository is served before it is made anew, well below the life of its signed metadata.
const FRESH: Duration = Duration::from_hours(7 * 24);

/// What becomes of a repository that an earlier run made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is used again if it is fresh and would be made of the same things: the root stays the same, and
    /// a browser that was there before has its releases.
    Current,
    /// It is made anew.
    Nothing,
}

/// The names of the releases.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RELEASES.iter().map(|(name, _)| *name).chain([OWN_PACKAGE])
}

/// Makes `repo`, `keys` and the releases in `folder`. Gives the root pin.
pub(super) fn all(rooms: &Rooms, webimport: &Path, folder: &Path, keep: Keep) -> Result<String> {
    let inputs: Vec<PathBuf> = [
        "xtask/wheels.txt",
        "xtask/src/demo/publish.rs",
        "pkg-template",
        "src/cli",
        "src/core",
        "target/site/webimport.js",
    ]
    .iter()
    .map(|path| rooms.at(path))
    .collect();
    let stamp_file = folder.join("published");
    let stamp = Stamp::new(stamp_file.clone(), fingerprint(&inputs, "demo 2")?);
    let root_file = folder.join("root-pin");
    if keep == Keep::Current && is_fresh(&stamp_file) && stamp.is_current(&[&root_file]) {
        return std::fs::read_to_string(&root_file)
            .with_context(|| format!("cannot read `{}`", root_file.display()));
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot empty `{}`", folder.display()))?;
    }
    std::fs::create_dir_all(folder)?;
    let publisher = Publisher {
        rooms,
        webimport,
        repository: folder.join("repo"),
        keys: folder.join("keys"),
    };
    let root = publisher.init()?;
    for (name, projects) in RELEASES {
        let wheels: Vec<PathBuf> = projects
            .iter()
            .map(|project| wheel(rooms, project))
            .collect::<Result<_>>()?;
        publisher.release(name, &wheels)?;
    }
    publisher.snapshot(WITH_SNAPSHOT)?;
    let own = folder.join(OWN_PACKAGE);
    publisher.run(&["new".as_ref(), own.as_ref()])?;
    publisher.release(OWN_PACKAGE, &[own])?;
    std::fs::write(&root_file, &root)
        .with_context(|| format!("cannot write `{}`", root_file.display()))?;
    stamp.write()?;
    Ok(root)
}

struct Publisher<'a> {
    rooms: &'a Rooms,
    webimport: &'a Path,
    repository: PathBuf,
    keys: PathBuf,
}

impl Publisher<'_> {
    fn init(&self) -> Result<String> {
        let said = self.run(&[
            "init".as_ref(),
            self.repository.as_ref(),
            "--keys".as_ref(),
            self.keys.as_ref(),
        ])?;
        let root = said["root"].as_str();
        Ok(root
            .with_context(|| format!("`webimport init` named no root pin: {said}"))?
            .to_owned())
    }

    fn release(&self, name: &str, sources: &[PathBuf]) -> Result<()> {
        step(&format!("releasing {name}"), "about 10 s", || {
            let mut arguments: Vec<&OsStr> = vec!["release".as_ref()];
            arguments.extend(sources.iter().map(|source| source.as_os_str()));
            arguments.extend(["--repo".as_ref(), self.repository.as_os_str()]);
            arguments.extend(["--keys".as_ref(), self.keys.as_os_str()]);
            arguments.extend(["--name".as_ref(), OsStr::new(name)]);
            self.run(&arguments).map(|_| ())
        })
    }

    fn snapshot(&self, name: &str) -> Result<()> {
        step(
            &format!("making a memory snapshot of {name}"),
            "about 10 s",
            || {
                let (pyodide, site) =
                    (self.rooms.node_modules().join("pyodide"), self.rooms.site());
                let options: [(&str, &Path); 4] = [
                    ("--repo", &self.repository),
                    ("--keys", &self.keys),
                    ("--pyodide", &pyodide),
                    ("--webimport", &site),
                ];
                let mut arguments: Vec<&OsStr> = vec!["snapshot".as_ref(), name.as_ref()];
                for (option, value) in options {
                    arguments.extend([option.as_ref(), value.as_os_str()]);
                }
                self.run(&arguments).map(|_| ())
            },
        )
    }

    fn run(&self, arguments: &[&OsStr]) -> Result<Value> {
        let mut command = process::command(self.rooms, self.webimport);
        let command = process::with_publishing_tools(self.rooms, &mut command);
        let text = process::output(command.args(arguments).arg("--json"))?;
        serde_json::from_str(&text).with_context(|| format!("`webimport` printed no JSON: {text}"))
    }
}

/// Whether a file was written lately. One from the future was not: the clock was set.
fn is_fresh(file: &Path) -> bool {
    let written = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    written.is_ok_and(|time| {
        SystemTime::now()
            .duration_since(time)
            .is_ok_and(|age| age < FRESH)
    })
}
