//! `webimport release`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use webimport_core::names::{Channel, ReleaseName, Version};

use super::Failure;
use super::console::{Console, Report, bytes, counted};
use super::signing::KeyArguments;
use crate::bytecode::{BytecodeChoice, SourceChoice};
use crate::clock::now;
use crate::release::{ReleaseOptions, Released, release};
use crate::repository::{Published, Validity};

/// Publish projects and wheels as one release.
#[derive(Debug, Args)]
#[command(
    after_help = "Building a project runs its build backend with your rights, which can read your key files: \
    release projects that you trust, or wheels. A memory snapshot runs the code itself."
)]
pub(super) struct Arguments {
    /// Folders with `pyproject.toml`, and wheels; the first one gives the release its name and version.
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<PathBuf>,
    /// The repository's folder.
    #[arg(long = "repo", value_name = "REPO")]
    repository: PathBuf,
    #[command(flatten)]
    keys: KeyArguments,
    /// The release's name.
    #[arg(long)]
    name: Option<ReleaseName>,
    /// The release's version.
    #[arg(long)]
    version: Option<Version>,
    /// The channel that is to name the release [default: stable].
    #[arg(long)]
    channel: Option<Channel>,
    /// `auto`, `off`, or interpreters to compile with; a folder with npm's `pyodide` is one [default: auto].
    #[arg(long, value_name = "auto|off|PYTHON")]
    bytecode: Vec<String>,
    /// The folder of npm's `pyodide` package, for bytecode without Python 3.14, and for --snapshot.
    #[arg(long, value_name = "DIR", env = "WEBIMPORT_PYODIDE")]
    pyodide: Option<PathBuf>,
    /// Leave the sources out, with bytecode in their place: readers need an interpreter that it is for.
    #[arg(long)]
    no_source: bool,
    /// A module that readers of a large release fetch when they name none; repeat for more [default: the top-level packages, and what these import].
    #[arg(long, value_name = "MODULE")]
    entry: Vec<String>,
    /// Publish a memory snapshot of the release, too, made with Node and the package that --pyodide names.
    #[arg(long)]
    snapshot: bool,
    /// The folder of npm's `webimport` package, for --snapshot [default: beside this program, else as Node finds it].
    #[arg(long, value_name = "DIR")]
    webimport: Option<PathBuf>,
}

impl Report for Released {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            name,
            version,
            channel,
            ..
        } = self;
        match self.change {
            Published::New => {
                writeln!(out, "released {name} {version} on the channel `{channel}`")?;
            }
            Published::ChannelMoved => {
                writeln!(
                    out,
                    "{name} {version} was released already; the channel `{channel}` names it now"
                )?;
            }
            Published::Renewed => {
                writeln!(
                    out,
                    "{name} {version} was released already; its metadata are signed anew"
                )?;
            }
            Published::Nothing => {
                writeln!(
                    out,
                    "{name} {version} was released already on the channel `{channel}`"
                )?;
            }
        }
        writeln!(out, "  sha256    {}", self.sha256)?;
        writeln!(out, "  modules   {}", self.modules.join(", "))?;
        let distributions: Vec<String> = self
            .distributions
            .iter()
            .map(|it| format!("{} {}", it.name, it.version))
            .collect();
        writeln!(out, "  contains  {}", distributions.join(", "))?;
        if !self.requires.is_empty() {
            writeln!(out, "  requires  {}", self.requires.join(", "))?;
        }
        if self.bytecode.is_empty() {
            writeln!(out, "  bytecode  none")?;
        }
        for bytecode in &self.bytecode {
            let files = counted(bytecode.files, "file");
            writeln!(
                out,
                "  bytecode  {} by {}, {files}",
                bytecode.tag, bytecode.made_by
            )?;
        }
        if !self.source {
            writeln!(out, "  source    none")?;
        }
        let loading = if self.partial {
            "in part, as readers import it"
        } else {
            "whole"
        };
        writeln!(out, "  loading   {loading}")?;
        if !self.entry.is_empty() {
            writeln!(out, "  entry     {}", self.entry.join(", "))?;
        }
        writeln!(
            out,
            "  size      {} of {} in {} of {}",
            counted(self.files, "file"),
            bytes(self.decoded_bytes),
            counted(self.objects, "object"),
            bytes(self.bytes)
        )?;
        for update in &self.updates {
            let size = bytes(update.bytes);
            writeln!(out, "  update    {size} for readers of {}", update.from)?;
        }
        if let Some(snapshot) = &self.snapshot {
            let size = bytes(snapshot.bytes);
            writeln!(out, "  snapshot  {size} for Pyodide {}", snapshot.pyodide)?;
        }
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[derive(Debug, thiserror::Error)]
#[error("--bytecode: {0}")]
struct Choice(String);

impl webimport_core::error::Coded for Choice {
    fn code(&self) -> &'static str {
        "publish.bytecode"
    }

    fn hint(&self) -> String {
        "write --bytecode auto, --bytecode off, or --bytecode python3.14".into()
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    let bytecode = if arguments.bytecode.is_empty() {
        None
    } else {
        let choice = BytecodeChoice::parse(arguments.bytecode.iter().map(String::as_str));
        Some(choice.map_err(|reason| Box::new(Choice(reason)) as Failure)?)
    };
    let options = ReleaseOptions {
        sources: arguments.sources,
        repository: arguments.repository,
        keys: arguments.keys.ring()?,
        name: arguments.name,
        version: arguments.version,
        channel: arguments.channel,
        bytecode,
        pyodide: arguments.pyodide,
        source: if arguments.no_source {
            SourceChoice::LeftOut
        } else {
            SourceChoice::Included
        },
        entry: arguments.entry,
        snapshot: arguments.snapshot.then_some(true),
        webimport: arguments.webimport,
        validity: Validity::from(now()),
    };
    let released = release(&options, console).map_err(|error| Box::new(error) as Failure)?;
    console.report(&released);
    Ok(())
}
