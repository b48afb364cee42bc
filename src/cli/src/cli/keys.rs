//! `webimport keys`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use webimport_core::error::Coded;
use webimport_core::keys::PublicKey;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::public_key_from_pem;

use super::Failure;
use super::console::{Console, Report, counted};
use super::signing::{self, AlgorithmName, KeyArguments, RoleName, lifetime, threshold};
use crate::clock::now;
use crate::drafts::Draft;
use crate::keys::KeyError;
use crate::repository::{Repository, RepositoryError, Validity};
use crate::roots::{NewKey, NewRoot, RoleInfo, RootChange};
use crate::storage::StorageError;

/// Show and change who signs.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the roles, their keys, and which of these are at hand.
    List {
        #[command(flatten)]
        repository: RepositoryArgument,
        #[command(flatten)]
        keys: KeyArguments,
    },
    /// Give a role one more key.
    Add {
        #[command(flatten)]
        repository: RepositoryArgument,
        /// The role.
        #[arg(long, value_enum)]
        role: RoleName,
        #[command(flatten)]
        new: NewArguments,
        /// How many of the role's keys have to sign from now on.
        #[arg(long, value_name = "N")]
        threshold: Option<u64>,
        #[command(flatten)]
        keys: RootArguments,
    },
    /// Put a new key in the place of an old one.
    Rotate {
        #[command(flatten)]
        repository: RepositoryArgument,
        /// The old key's id or its start, where the role has several keys.
        #[arg(value_name = "KEYID")]
        keyid: Option<String>,
        /// The role.
        #[arg(long, value_enum)]
        role: RoleName,
        #[command(flatten)]
        new: NewArguments,
        #[command(flatten)]
        keys: RootArguments,
    },
    /// Take a key away from a role.
    Revoke {
        #[command(flatten)]
        repository: RepositoryArgument,
        /// The key's id, or its start.
        #[arg(value_name = "KEYID")]
        keyid: String,
        /// The role.
        #[arg(long, value_enum)]
        role: RoleName,
        /// How many of the role's keys have to sign from now on.
        #[arg(long, value_name = "N")]
        threshold: Option<u64>,
        #[command(flatten)]
        keys: RootArguments,
    },
    /// Change thresholds, and for how long metadata are valid.
    Set {
        #[command(flatten)]
        repository: RepositoryArgument,
        /// How many of a role's keys have to sign from now on.
        #[arg(long, value_name = "ROLE=N", value_parser = threshold, required_unless_present = "expires")]
        threshold: Vec<(RoleKind, u64)>,
        /// Days for which a role's metadata are valid when they are signed the next time.
        #[arg(long, value_name = "ROLE=DAYS", value_parser = lifetime)]
        expires: Vec<(RoleKind, u32)>,
        #[command(flatten)]
        keys: RootArguments,
    },
    /// Sign a new root that somebody wrote to a file with --out, after showing what it changes.
    Sign {
        #[command(flatten)]
        repository: RepositoryArgument,
        /// The new root.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        keys: KeyArguments,
    },
    /// Publish a new root from a file that enough people have signed.
    Publish {
        #[command(flatten)]
        repository: RepositoryArgument,
        /// The new root.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        keys: KeyArguments,
    },
}

#[derive(Debug, Args)]
struct Consent {
    /// Sign the new root without asking.
    #[arg(long)]
    yes: bool,
}

/// Nobody said that the new root is to be signed.
#[derive(Debug, thiserror::Error)]
enum NoConsent {
    #[error("nobody is there to say that this is to be signed")]
    Unasked,
    #[error("the new root is not signed")]
    Declined,
}

impl Coded for NoConsent {
    fn code(&self) -> &'static str {
        match self {
            Self::Unasked => "usage.confirm",
            Self::Declined => "publish.declined",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unasked => {
                "run the command on a terminal, or look at the changes and add --yes".into()
            }
            Self::Declined => {
                "ask whoever wrote the file what the changes are for; nothing was written".into()
            }
        }
    }
}

#[derive(Debug, Args)]
struct RepositoryArgument {
    /// The repository's folder.
    #[arg(value_name = "REPO")]
    repository: PathBuf,
}

/// A new key.
#[derive(Debug, Args)]
struct NewArguments {
    /// How the new key signs [default: as the role's other keys]; `ecdsa` is on the curve P-256.
    #[arg(long, value_enum)]
    algorithm: Option<AlgorithmName>,
    /// Encrypt the new key with a passphrase, as is done anyway where the role has encrypted keys in the folder.
    #[arg(long)]
    encrypt: bool,
    /// The public half, as PEM, of a key that is kept elsewhere; no key is made then.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["algorithm", "encrypt"])]
    public: Option<PathBuf>,
}

/// Keys for a new root.
#[derive(Debug, Args)]
struct RootArguments {
    /// Publish nothing: write the new root to a file, for others to sign.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArguments,
}

#[derive(Serialize)]
struct Roles {
    repository: PathBuf,
    roles: Vec<RoleInfo>,
}

impl Report for Roles {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for role in &self.roles {
            let count = counted(role.keys.len(), "key");
            writeln!(
                out,
                "{}: {} of {count}, version {}, expires {}",
                role.role, role.threshold, role.version, role.expires
            )?;
            for key in &role.keys {
                let place = key.at_hand.as_deref().unwrap_or("not at hand");
                writeln!(out, "  {} {} {place}", key.keyid, key.scheme)?;
            }
            if let Some(problem) = &role.problem {
                writeln!(out, "  {problem}")?;
            }
        }
        Ok(())
    }
}

/// A new root, and the file that it is in if it is not published.
#[derive(Serialize)]
struct Changed {
    #[serde(flatten)]
    root: NewRoot,
    draft: Option<PathBuf>,
}

impl Report for Changed {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let root = &self.root;
        match &self.draft {
            None => writeln!(out, "published root {}", root.version)?,
            Some(draft) => writeln!(out, "root {} is in `{}`", root.version, draft.display())?,
        }
        write_changes(root, out)?;
        if !root.signed.is_empty() {
            writeln!(out, "  signed    {}", root.signed.join(", "))?;
        }
        let (former, own) = (root.by_former, root.by_own);
        if self.draft.is_some() {
            writeln!(
                out,
                "  by keys of the root before  {} of {}",
                former.have, former.needed
            )?;
            writeln!(
                out,
                "  by its own keys             {} of {}",
                own.have, own.needed
            )?;
        }
        match (&self.draft, former.are_enough() && own.are_enough()) {
            (Some(_), true) => writeln!(out, "publish it with `webimport keys publish`"),
            (Some(_), false) => {
                writeln!(
                    out,
                    "let others sign it with `webimport keys sign`, then publish it with `webimport keys publish`"
                )
            }
            (None, _) => writeln!(
                out,
                "upload `metadata/{}.root.json` after everything else",
                root.version
            ),
        }
    }
}

pub(super) fn run(arguments: Arguments, console: &Console) -> Result<(), Failure> {
    match arguments.command {
        Command::List { repository, keys } => list(repository, keys, console),
        Command::Add {
            repository,
            role,
            new,
            threshold,
            keys,
        } => {
            let change = RootChange::Add {
                role: role.into(),
                key: new_key(new, role.into(), &keys)?,
                threshold,
            };
            change_root(repository, &change, keys, console)
        }
        Command::Rotate {
            repository,
            keyid,
            role,
            new,
            keys,
        } => {
            let change = RootChange::Rotate {
                role: role.into(),
                keyid,
                key: new_key(new, role.into(), &keys)?,
            };
            change_root(repository, &change, keys, console)
        }
        Command::Revoke {
            repository,
            keyid,
            role,
            threshold,
            keys,
        } => {
            let change = RootChange::Revoke {
                role: role.into(),
                keyid,
                threshold,
            };
            change_root(repository, &change, keys, console)
        }
        Command::Set {
            repository,
            threshold,
            expires,
            keys,
        } => {
            let change = RootChange::Set {
                thresholds: threshold,
                lifetimes: expires,
            };
            change_root(repository, &change, keys, console)
        }
        Command::Sign {
            repository,
            file,
            consent,
            keys,
        } => {
            let ring = keys.ring()?;
            let repository = open(repository)?;
            let draft = refusal(repository.draft(&file, &ring))?;
            consent.ask(&draft, &file, console)?;
            report(draft.sign(&ring, console), Some(file), console)
        }
        Command::Publish {
            repository,
            file,
            consent,
            keys,
        } => {
            let ring = keys.any()?;
            let validity = Validity::from(now());
            let repository = open(repository)?;
            let draft = refusal(repository.draft(&file, &ring))?;
            if !draft.is_signed() {
                // With root keys that are here it is signed on the way.
                refusal(draft.check_keys(&ring))?;
                consent.ask(&draft, &file, console)?;
            }
            report(draft.publish(&ring, &validity, console), None, console)
        }
    }
}

impl Consent {
    /// Shows what is to be signed, and asks.
    fn ask(self, draft: &Draft<'_>, file: &Path, console: &Console) -> Result<(), Failure> {
        if console.is_json() {
            return if self.yes {
                Ok(())
            } else {
                Err(Box::new(NoConsent::Unasked))
            };
        }
        let root = draft.changes();
        let mut text = Vec::new();
        let written = writeln!(text, "root {} in `{}`", root.version, file.display())
            .and_then(|()| write_changes(&root, &mut text));
        // Memory takes all.
        drop(written);
        console.show(&String::from_utf8_lossy(&text));
        if self.yes {
            return Ok(());
        }
        match signing::confirm("sign this? [y/N] ") {
            Some(true) => Ok(()),
            Some(false) => Err(Box::new(NoConsent::Declined)),
            None => Err(Box::new(NoConsent::Unasked)),
        }
    }
}

fn refusal<T>(result: Result<T, RepositoryError>) -> Result<T, Failure> {
    result.map_err(|error| Box::new(error) as Failure)
}

/// All that a new root changes.
fn write_changes(root: &NewRoot, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  expires   {}", root.expires)?;
    for key in &root.added {
        let (role, keyid, scheme) = (key.role, key.keyid, shown(&key.scheme));
        match &root.file {
            Some(file) => writeln!(
                out,
                "  new key   {role} {keyid} {scheme} in `{}`",
                file.display()
            )?,
            None => writeln!(out, "  new key   {role} {keyid} {scheme}")?,
        }
    }
    for key in &root.removed {
        let (role, keyid, scheme) = (key.role, key.keyid, shown(&key.scheme));
        writeln!(out, "  retired   {role} {keyid} {scheme}")?;
    }
    for it in &root.thresholds {
        writeln!(
            out,
            "  needs     {} {}, before {}",
            it.role, it.threshold, it.before
        )?;
    }
    for it in &root.lifetimes {
        writeln!(
            out,
            "  lifetime  {} {}, before {}",
            it.role,
            counted(it.days as usize, "day"),
            it.before
        )?;
    }
    for other in &root.others {
        writeln!(out, "  other     {}", shown(other))?;
    }
    Ok(())
}

/// Characters of a text from a file that are shown: what is longer would push the rest out of sight.
const SHOWN: usize = 200;

/// A text from a file that anybody may have written: nothing in it moves the cursor.
fn shown(text: &str) -> String {
    let count = text.chars().count();
    let mut shown = String::new();
    for character in text.chars().take(SHOWN) {
        if matches!(character, '"' | '\'' | '\\') {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    if count > SHOWN {
        return format!("{shown}… ({count} characters)");
    }
    shown
}

fn open(argument: RepositoryArgument) -> Result<Repository, Failure> {
    Repository::open(argument.repository).map_err(|error| Box::new(error) as Failure)
}

fn list(
    repository: RepositoryArgument,
    keys: KeyArguments,
    console: &Console,
) -> Result<(), Failure> {
    let ring = keys.without_asking()?;
    let path = repository.repository.clone();
    let roles = open(repository)?
        .roles(&ring)
        .map_err(|error| Box::new(error) as Failure)?;
    console.report(&Roles {
        repository: path,
        roles,
    });
    Ok(())
}

fn change_root(
    repository: RepositoryArgument,
    change: &RootChange,
    keys: RootArguments,
    console: &Console,
) -> Result<(), Failure> {
    let RootArguments { out, keys } = keys;
    let ring = keys.ring()?;
    let validity = Validity::from(now());
    let made = open(repository)?.change_root(change, out.as_deref(), &ring, &validity, console);
    report(made, out, console)
}

fn report(
    made: Result<NewRoot, RepositoryError>,
    draft: Option<PathBuf>,
    console: &Console,
) -> Result<(), Failure> {
    let root = made.map_err(|error| Box::new(error) as Failure)?;
    console.report(&Changed { root, draft });
    Ok(())
}

fn new_key(new: NewArguments, role: RoleKind, keys: &RootArguments) -> Result<NewKey, Failure> {
    match new.public {
        Some(path) => Ok(NewKey::Public(Box::new(public_key(&path)?))),
        None => Ok(NewKey::Make {
            algorithm: new.algorithm.map(Into::into),
            passphrase: keys.keys.new_passphrase(new.encrypt, role)?,
        }),
    }
}

fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(StorageError::io("read", path))
        .map_err(|error| Box::new(error) as Failure)?;
    public_key_from_pem(text.trim()).map_err(|_| {
        Box::new(KeyError::Syntax {
            origin: path.display().to_string(),
        }) as Failure
    })
}
