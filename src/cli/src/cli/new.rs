//! `webimport new`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::console::{Console, Report};
use crate::template;

/// Make a new package from the template.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A folder that is empty or does not exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The package's name [default: the folder's name].
    #[arg(long)]
    name: Option<String>,
}

#[derive(Serialize)]
struct Made {
    folder: PathBuf,
    name: String,
    module: String,
}

impl Report for Made {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let folder = self.folder.display();
        writeln!(
            out,
            "made `{}` in `{folder}`, imported as `{}`",
            self.name, self.module
        )?;
        writeln!(
            out,
            "release it with `webimport release {folder} --repo REPO --keys KEYS`"
        )
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    let Arguments { folder, name } = arguments;
    let made =
        template::create(&folder, name.as_deref()).map_err(|error| Box::new(error) as Failure)?;
    console.report(&Made {
        folder,
        name: made.name,
        module: made.module,
    });
    Ok(())
}
