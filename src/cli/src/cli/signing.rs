//! Where a command's keys come from: the arguments that the signing commands share.

use std::io::IsTerminal as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use console::Term;
use webimport_core::config::parse_root_pin;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::Algorithm;

use super::Failure;
use crate::keyring::{KEY_VARIABLE_PREFIX, Keyring, PASSPHRASE_VARIABLE, Passphrase};
use crate::keys::{self, KeyError, KeyFolder};
use crate::signer_command::SignerCommand;

/// Where keys are. Beside the folder, variables such as `WEBIMPORT_KEY_TARGETS` can hold keys in PEM form.
#[derive(Debug, Args)]
pub(super) struct KeyArguments {
    /// The folder with the keys; keys in PEM form in variables such as `WEBIMPORT_KEY_TARGETS` are found, too.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// A program that signs with keys that are nowhere else: it reads from standard input and prints the signature.
    #[arg(long, value_name = "COMMAND")]
    signer_command: Option<String>,
    /// The root pin that `webimport init` printed; needed where no folder with the keys remembers it.
    #[arg(long, value_name = "sha256:HEX", value_parser = root_pin)]
    root: Option<Sha256Digest>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
}

/// The passphrase of encrypted keys.
#[derive(Debug, Args)]
pub(super) struct PassphraseArguments {
    /// A file with the passphrase of encrypted keys [default: `WEBIMPORT_PASSPHRASE`, else you are asked].
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// No keys are given in any way.
#[derive(Debug, thiserror::Error)]
#[error("no keys are given")]
struct NoKeys;

impl Coded for NoKeys {
    fn code(&self) -> &'static str {
        "usage.keys"
    }

    fn hint(&self) -> String {
        "give a folder with --keys, a program with --signer-command, or keys in variables such as \
         WEBIMPORT_KEY_TARGETS"
            .into()
    }
}

impl KeyArguments {
    /// The keys, of which there must be some.
    pub(super) fn ring(self) -> Result<Keyring, Failure> {
        let ring = self.any()?;
        if ring.folder.is_none() && ring.command.is_none() && ring.variables.is_empty() {
            return Err(Box::new(NoKeys));
        }
        Ok(ring)
    }

    /// The keys that can be looked at without asking for a passphrase.
    pub(super) fn without_asking(self) -> Result<Keyring, Failure> {
        let mut ring = self.any()?;
        if let Passphrase::Ask(_) = ring.passphrase {
            ring.passphrase = Passphrase::None;
        }
        Ok(ring)
    }

    /// The keys, if there are any.
    pub(super) fn any(self) -> Result<Keyring, Failure> {
        let mut variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| name.starts_with(KEY_VARIABLE_PREFIX) && !value.is_empty())
            .collect();
        variables.sort();
        let mut ring = Keyring::new();
        ring.folder = self.keys.map(KeyFolder::new);
        ring.variables = variables;
        ring.root = self.root;
        ring.command = self.signer_command.map(SignerCommand::new);
        ring.passphrase = match self.passphrase.given()? {
            Some(passphrase) => Passphrase::Given(passphrase),
            None => Passphrase::Ask(|origin| ask(&format!("passphrase for {origin}: "))),
        };
        Ok(ring)
    }

    /// The passphrase for a new key of a role, if it is to be encrypted: on request, or because the one that it
    /// stands beside, or replaces, is.
    pub(super) fn new_passphrase(
        &self,
        encrypt: bool,
        role: RoleKind,
    ) -> Result<Option<String>, Failure> {
        let folder = self.keys.as_ref().map(KeyFolder::new);
        let beside = folder.is_some_and(|folder| folder.has_encrypted(role));
        self.passphrase.for_new_key(encrypt || beside)
    }
}

impl PassphraseArguments {
    fn given(&self) -> Result<Option<String>, Failure> {
        let text = match &self.passphrase_file {
            Some(path) => {
                Some(keys::read_private(path).map_err(|error| Box::new(error) as Failure)?)
            }
            None => std::env::var(PASSPHRASE_VARIABLE).ok(),
        };
        Ok(text
            .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            .filter(|text| !text.is_empty()))
    }

    /// Whether a file with a passphrase is named.
    pub(super) fn is_named(&self) -> bool {
        self.passphrase_file.is_some()
    }

    /// The passphrase for a new key, if it is to be encrypted.
    pub(super) fn for_new_key(&self, encrypt: bool) -> Result<Option<String>, Failure> {
        if !encrypt {
            return Ok(None);
        }
        let passphrase = match self.given()? {
            Some(passphrase) => Some(passphrase),
            // Twice, since nobody sees what was typed.
            None => ask("passphrase for the new key: ")
                .filter(|first| ask("the same again: ").as_ref() == Some(first)),
        };
        match passphrase.filter(|passphrase| !passphrase.is_empty()) {
            Some(passphrase) => Ok(Some(passphrase)),
            None => Err(Box::new(KeyError::NoPassphrase)),
        }
    }
}

/// Asks who is at the terminal, if somebody is.
fn ask(prompt: &str) -> Option<String> {
    let terminal = Term::stderr();
    if !terminal.is_term() {
        return None;
    }
    terminal.write_str(prompt).ok()?;
    terminal.read_secure_line().ok()
}

/// Asks a question that only `y` says yes to. `None` if nobody is at the terminal.
pub(super) fn confirm(question: &str) -> Option<bool> {
    let terminal = Term::stderr();
    if !terminal.is_term() || !std::io::stdin().is_terminal() {
        return None;
    }
    terminal.write_str(question).ok()?;
    let answer = terminal.read_line().ok()?;
    Some(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A role, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RoleName {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

impl From<RoleName> for RoleKind {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Root => Self::Root,
            RoleName::Targets => Self::Targets,
            RoleName::Snapshot => Self::Snapshot,
            RoleName::Timestamp => Self::Timestamp,
        }
    }
}

/// How a new key signs, as an argument. Without a text for each value, which would double the length of the help.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum AlgorithmName {
    #[default]
    Ed25519,
    Ecdsa,
}

impl From<AlgorithmName> for Algorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::Ed25519 => Self::Ed25519,
            AlgorithmName::Ecdsa => Self::EcdsaP256,
        }
    }
}

/// `ROLE=DAYS`.
pub(super) fn lifetime(text: &str) -> Result<(RoleKind, u32), String> {
    of_role(text, 1..=3650)
        .ok_or_else(|| "expected a role, `=` and 1 to 3650 days, such as `timestamp=7`".to_owned())
}

/// `ROLE=N`.
pub(super) fn threshold(text: &str) -> Result<(RoleKind, u64), String> {
    of_role(text, 1..=256)
        .ok_or_else(|| "expected a role, `=` and a number of keys, such as `root=2`".to_owned())
}

fn of_role<N: FromStr + PartialOrd>(text: &str, range: RangeInclusive<N>) -> Option<(RoleKind, N)> {
    let (role, number) = text.split_once('=')?;
    let number = number
        .parse()
        .ok()
        .filter(|number| range.contains(number))?;
    Some((RoleKind::of(role)?, number))
}

/// `sha256:` and 64 digits.
pub(super) fn root_pin(text: &str) -> Result<Sha256Digest, String> {
    parse_root_pin(text).ok_or_else(|| "expected `sha256:` and 64 lower-case hex digits".to_owned())
}
