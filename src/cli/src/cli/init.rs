//! `webimport init`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use webimport_core::metadata::RoleKind;

use super::Failure;
use super::console::{Console, Report};
use super::signing::{AlgorithmName, PassphraseArguments, lifetime};
use crate::clock::now;
use crate::keys::KeyFolder;
use crate::repository::{self, Lifetimes, Setup, Validity};

/// Make a repository and its keys, and print the root pin.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The repository's folder; everything in it is public.
    #[arg(value_name = "REPO")]
    repository: PathBuf,
    /// A folder for the private keys, outside of the repository.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Root keys to make.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    root_keys: u32,
    /// How many root keys have to sign a new root [default: more than half].
    #[arg(long, value_name = "M")]
    root_threshold: Option<u64>,
    /// How the keys sign; `ecdsa` is on the curve P-256.
    #[arg(long, value_enum, default_value_t)]
    algorithm: AlgorithmName,
    /// Days for which a role's metadata are valid [default: 365 for root and targets, 30 for the others].
    #[arg(long, value_name = "ROLE=DAYS", value_parser = lifetime)]
    expires: Vec<(RoleKind, u32)>,
    /// Encrypt the root keys with a passphrase.
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    passphrase: PassphraseArguments,
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
    let mut lifetimes = Lifetimes::default();
    for (role, days) in arguments.expires {
        lifetimes.set(role, days);
    }
    let setup = Setup {
        algorithm: arguments.algorithm.into(),
        root_keys: arguments.root_keys,
        root_threshold: arguments
            .root_threshold
            .unwrap_or(u64::from(arguments.root_keys) / 2 + 1),
        // There is nothing else that a passphrase could be for.
        passphrase: arguments
            .passphrase
            .for_new_key(arguments.encrypt || arguments.passphrase.is_named())?,
    };
    let validity = Validity {
        now: now(),
        lifetimes: Some(lifetimes),
    };
    let Arguments {
        repository, keys, ..
    } = arguments;
    let pin = repository::init(
        &repository,
        &KeyFolder::new(&keys),
        &setup,
        &validity,
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
