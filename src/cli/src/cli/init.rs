//! `webimport init`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::console::{Console, Report};
use super::{Failure, now};
use crate::keys::KeyFolder;
use crate::repository::{self, Validity};

/// Make a repository and its keys, and print the root pin.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The repository's folder; everything in it is public.
    #[arg(value_name = "REPO")]
    repository: PathBuf,
    /// A folder for the private keys, outside of the repository.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
}

#[derive(Serialize)]
struct Made {
    repository: PathBuf,
    keys: PathBuf,
    root: String,
    config: String,
}

impl Report for Made {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "made the repository `{}`", self.repository.display())?;
        writeln!(
            out,
            "made its keys in `{}`: keep them secret, and keep a copy",
            self.keys.display()
        )?;
        writeln!(out)?;
        writeln!(out, "root pin: {}", self.root)?;
        writeln!(out)?;
        writeln!(
            out,
            "for `webimport.toml`, with the URL that you will serve the folder at:"
        )?;
        writeln!(out)?;
        for line in self.config.lines() {
            writeln!(out, "    {line}")?;
        }
        Ok(())
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    let Arguments { repository, keys } = arguments;
    let pin = repository::init(
        &repository,
        &KeyFolder::new(&keys),
        &Validity::from(now()),
        console,
    )
    .map_err(|error| Box::new(error) as Failure)?;
    let root = format!("sha256:{pin}");
    let config = format!("[repositories.\"https://code.example.org/repo\"]\nroot = \"{root}\"\n");
    console.report(&Made {
        repository,
        keys,
        root,
        config,
    });
    Ok(())
}
