//! `webimport renew`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::console::{Console, Report};
use super::signing::KeyArguments;
use crate::clock::now;
use crate::renew::Renewal;
use crate::repository::{Repository, Validity};

/// Sign anew what expires soon: for a cron job.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The repository's folder.
    #[arg(value_name = "REPO")]
    repository: PathBuf,
    /// What expires within so many days is due [default: a third of a role's lifetime, at most 30].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=3650))]
    within: Option<u32>,
    #[command(flatten)]
    keys: KeyArguments,
}

impl Report for Renewal {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for role in &self.renewed {
            writeln!(
                out,
                "renewed {} as version {}, expires {}",
                role.role, role.version, role.expires
            )?;
        }
        if let Some(due) = &self.root_due {
            writeln!(
                out,
                "root expires {} and was not renewed: {}",
                due.expires, due.reason
            )?;
            writeln!(
                out,
                "run `webimport renew` where the root keys are, before that"
            )?;
        } else if self.renewed.is_empty() {
            writeln!(
                out,
                "nothing is due; the first role expires {}",
                self.expires
            )?;
        }
        Ok(())
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<ExitCode, Failure> {
    let ring = arguments.keys.ring()?;
    let renewal = Repository::open(arguments.repository)
        .and_then(|repository| {
            repository.renew(arguments.within, &ring, &Validity::from(now()), console)
        })
        .map_err(|error| Box::new(error) as Failure)?;
    console.report(&renewal);
    Ok(match renewal.root_due {
        Some(_) => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    })
}
