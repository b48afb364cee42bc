//! `webimport snapshot`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use webimport_core::names::{Channel, PyodideVersion, ReleaseName, Selector};

use super::Failure;
use super::console::{Console, Report, bytes, counted};
use super::signing::KeyArguments;
use crate::clock::now;
use crate::repository::{SnapshotPublished, Validity};
use crate::snapshot::{RemovalOptions, Removed, SnapshotOptions, Snapshotted, remove, snapshot};

/// Publish the memory of a Pyodide that has imported a release, so that pages start from it.
#[derive(Debug, Args)]
#[command(
    after_help = "Importing a release runs its code. Node is told to keep that from your files and from other programs, \
    which is no sandbox, and has none of your environment variables. The network is open to the code, with what only this \
    machine reaches: make snapshots of releases that you trust. All that the modules keep, secrets too, is public \
    then, and what they took for random is the same on every page. A snapshot that is taken back with --remove is in the metadata \
    no more: readers start without it from their next look at the repository. Pages that are offline, or pin the release \
    by its digest, go on with what they have."
)]
pub(super) struct Arguments {
    /// The name of a release, and which one [default: the one on the channel `stable`].
    #[arg(value_name = "NAME[@VERSION|@CHANNEL]", value_parser = release)]
    release: (ReleaseName, Selector),
    /// The repository's folder.
    #[arg(long = "repo", value_name = "REPO")]
    repository: PathBuf,
    #[command(flatten)]
    keys: KeyArguments,
    /// The folder of npm's `pyodide` package, of the version that pages use [default: as Node finds it].
    #[arg(long, value_name = "DIR", env = "WEBIMPORT_PYODIDE")]
    pyodide: Option<PathBuf>,
    /// The folder of npm's `webimport` package [default: beside this program, else as Node finds it].
    #[arg(long, value_name = "DIR")]
    webimport: Option<PathBuf>,
    /// A module to import; repeat for more [default: the release's entry, else its top-level modules].
    #[arg(long = "import", value_name = "MODULE", value_parser = module)]
    imports: Vec<String>,
    /// Take a snapshot back instead: the one for this version of Pyodide, or `all` of the release. Objects stay.
    #[arg(long, value_name = "PYODIDE|all", value_parser = removal, conflicts_with_all = ["imports", "webimport"])]
    remove: Option<Removal>,
}

/// Which snapshots are taken back.
#[derive(Debug, Clone)]
enum Removal {
    /// All.
    All,
    /// The one for this Pyodide.
    Of(PyodideVersion),
}

/// `all`, or the version of a Pyodide, which starts with a digit.
fn removal(text: &str) -> Result<Removal, String> {
    if text == "all" {
        return Ok(Removal::All);
    }
    let version = text.parse().map(Removal::Of);
    version.map_err(|error| format!("{error}"))
}

/// `NAME`, `NAME@VERSION` or `NAME@CHANNEL`.
fn release(text: &str) -> Result<(ReleaseName, Selector), String> {
    let (name, selector) = match text.split_once('@') {
        Some((name, selector)) => (name, selector.parse()),
        None => (text, Ok(Selector::Channel(Channel::stable()))),
    };
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok((name, selector.map_err(|error| format!("{error}"))?))
}

/// A dotted name.
fn module(text: &str) -> Result<String, String> {
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c == '_' || c.is_alphanumeric())
    };
    if text.split('.').all(is_name) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a module, such as `package.module`".into())
    }
}

impl Report for Snapshotted {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            name,
            version,
            pyodide,
            ..
        } = self;
        match self.change {
            SnapshotPublished::New => {
                writeln!(
                    out,
                    "published a snapshot of {name} {version} for Pyodide {pyodide}"
                )?;
            }
            SnapshotPublished::Replaced => {
                writeln!(
                    out,
                    "replaced the snapshot of {name} {version} for Pyodide {pyodide}"
                )?;
            }
            SnapshotPublished::Renewed => {
                writeln!(
                    out,
                    "the snapshot of {name} {version} for Pyodide {pyodide} was there already; its metadata are signed anew"
                )?;
            }
            SnapshotPublished::Nothing => {
                writeln!(
                    out,
                    "the snapshot of {name} {version} for Pyodide {pyodide} was there already"
                )?;
            }
        }
        writeln!(out, "  target     {}", self.target)?;
        writeln!(out, "  sha256     {}", self.sha256)?;
        writeln!(out, "  webimport  {}", self.webimport)?;
        writeln!(out, "  imports    {}", self.imports.join(", "))?;
        let modules = counted(self.modules, "module");
        writeln!(out, "  contains   {modules} of {name}")?;
        writeln!(
            out,
            "  size       {}, as transferred {}",
            bytes(self.decoded_bytes),
            bytes(self.bytes)
        )
    }
}

impl Report for Removed {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { name, version, .. } = self;
        for pyodide in &self.removed {
            writeln!(
                out,
                "removed the snapshot of {name} {version} for Pyodide {pyodide}"
            )?;
        }
        Ok(())
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    let (name, selector) = arguments.release;
    if let Some(removal) = arguments.remove {
        let options = RemovalOptions {
            repository: arguments.repository,
            keys: arguments.keys.ring()?,
            name,
            selector,
            pyodide: match removal {
                Removal::All => None,
                Removal::Of(pyodide) => Some(pyodide),
            },
            validity: Validity::from(now()),
        };
        let removed = remove(&options, console).map_err(|error| Box::new(error) as Failure)?;
        console.report(&removed);
        return Ok(());
    }
    let options = SnapshotOptions {
        repository: arguments.repository,
        keys: arguments.keys.ring()?,
        name,
        selector,
        pyodide: arguments.pyodide,
        webimport: arguments.webimport,
        imports: arguments.imports,
        validity: Validity::from(now()),
    };
    let made = snapshot(&options, console).map_err(|error| Box::new(error) as Failure)?;
    console.report(&made);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_name_and_perhaps_which_one() {
        let shown = |text| release(text).map(|(name, selector)| format!("{name} {selector}"));
        assert_eq!(shown("greet").as_deref(), Ok("greet stable"));
        assert_eq!(shown("greet@1.0").as_deref(), Ok("greet 1.0"));
        assert_eq!(shown("greet@next").as_deref(), Ok("greet next"));
        for bad in ["", "@1.0", "greet@", "Greet", "greet@1/0", "a@b@c"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modules_have_dotted_names() {
        for good in ["greet", "greet.more_1", "_x", "größe"] {
            assert_eq!(module(good).as_deref(), Ok(good));
        }
        for bad in ["", ".", "a.", "a..b", "1a", "a-b", "a b", "a;b"] {
            assert!(module(bad).is_err(), "{bad}");
        }
    }
}
