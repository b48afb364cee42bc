//! `webimport doctor`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use webimport_core::digest::Sha256Digest;

use super::Failure;
use super::console::{Console, Report};
use super::signing::root_pin;
use crate::clock::now;
use crate::doctor::{Checkup, Depth, DoctorOptions, Verdict, doctor};
use crate::source::Transport;

/// Look for everything that keeps readers from a repository, or soon will.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A repository's base URL, or its folder.
    #[arg(value_name = "URL|DIR")]
    repository: String,
    /// The root pin that the publisher gives; of a folder, the one that is there if it is left out.
    #[arg(long, value_name = "sha256:HEX", value_parser = root_pin)]
    root: Option<Sha256Digest>,
    /// Fetch and hash every object, not only look whether it is there.
    #[arg(long)]
    deep: bool,
}

impl Report for Checkup {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for check in &self.checks {
            let verdict = match check.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Note => "note",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            writeln!(out, "{verdict}  {}: {}", check.name, check.message)?;
            if let Some(hint) = &check.hint {
                writeln!(out, "      hint: {hint}")?;
            }
        }
        Ok(())
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<ExitCode, Failure> {
    let options = DoctorOptions {
        repository: arguments.repository,
        root: arguments.root,
        now: now(),
        depth: if arguments.deep {
            Depth::Content
        } else {
            Depth::Presence
        },
        transport: Transport::default(),
    };
    let checkup = doctor(&options, console).map_err(|error| Box::new(error) as Failure)?;
    console.report(&checkup);
    Ok(if checkup.healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
