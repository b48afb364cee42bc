//! `webimport-tuf-client`: webimport's verifier behind the command line of the TUF conformance suite.
//!
//! The only purpose of this program is that suite; it is not the command `webimport`. It adds one signature
//! scheme that nothing else of webimport accepts, RSA, because the suite asks for it. Its exit codes are the
//! suite's: 0 done, 1 anything else.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test fails by panicking")
)]

extern crate alloc;

mod fetch;
mod folder;
mod rsa;
mod scheme;
mod session;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use webimport_cli::clock::now;
use webimport_core::error::{Coded, Error, FetchError, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::workflow::{Absence, MetadataFetch};

use fetch::Fetcher;
use folder::FolderError;
use session::{Found, ROOT_FILE, Session, Target};

/// A TUF client with the command line of the TUF conformance suite.
#[derive(Debug, Parser)]
#[command(name = "webimport-tuf-client", version)]
struct Arguments {
    /// The folder of trusted metadata.
    #[arg(long, value_name = "DIR")]
    metadata_dir: PathBuf,
    /// The base URL of the metadata.
    #[arg(long, value_name = "URL")]
    metadata_url: Option<String>,
    /// A target to download; may be given more than once.
    #[arg(long, value_name = "PATH")]
    target_name: Vec<String>,
    /// The base URL of the targets.
    #[arg(long, value_name = "URL")]
    target_base_url: Option<String>,
    /// The folder of downloaded targets.
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Trust a root from now on. Nothing is fetched.
    Init {
        /// The file with the root metadata.
        trusted_root: PathBuf,
    },
    /// Bring the trusted metadata up to date.
    Refresh,
    /// The same, and download the targets that are named.
    Download,
}

/// What is to be done, with all that it needs.
enum Task {
    Init {
        trusted_root: PathBuf,
    },
    Refresh {
        metadata_url: String,
    },
    Download {
        metadata_url: String,
        targets: Targets,
    },
}

/// What to download, from where and to where.
struct Targets {
    names: Vec<String>,
    base_url: String,
    folder: PathBuf,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Not fetched, or not believed.
    #[error(transparent)]
    Refused(#[from] Error),
    /// Not read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

// Of each kind of refusal, since `?` converts once.
impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::Refused(error.into())
    }
}

impl Coded for Failure {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Folder(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Refused(error) => error.hint(),
            Self::Folder(error) => error.hint(),
        }
    }
}

fn main() -> ExitCode {
    let (folder, task) = match Arguments::try_parse().and_then(task) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match run(&folder, task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!(
                "error: {failure}\nhint: {}\ncode: {}",
                failure.hint(),
                failure.code()
            );
            ExitCode::FAILURE
        }
    }
}

/// The options that a subcommand needs stand before it, where clap cannot require them.
fn task(arguments: Arguments) -> Result<(PathBuf, Task), clap::Error> {
    let missing = |option: &str| {
        Arguments::command().error(
            ErrorKind::MissingRequiredArgument,
            format!("expected {option} before the subcommand"),
        )
    };
    let metadata_url = arguments
        .metadata_url
        .ok_or_else(|| missing("--metadata-url"));
    let task = match arguments.command {
        Command::Init { trusted_root } => Task::Init { trusted_root },
        Command::Refresh => Task::Refresh {
            metadata_url: metadata_url?,
        },
        Command::Download => Task::Download {
            metadata_url: metadata_url?,
            targets: Targets {
                names: Some(arguments.target_name)
                    .filter(|names| !names.is_empty())
                    .ok_or_else(|| missing("--target-name"))?,
                base_url: arguments
                    .target_base_url
                    .ok_or_else(|| missing("--target-base-url"))?,
                folder: arguments
                    .target_dir
                    .ok_or_else(|| missing("--target-dir"))?,
            },
        },
    };
    Ok((arguments.metadata_dir, task))
}

fn run(folder: &Path, task: Task) -> Result<(), Failure> {
    let (metadata_url, targets) = match task {
        Task::Init { trusted_root } => {
            let root = folder::read(&trusted_root, Limits::default().root)?;
            return Ok(folder::write(folder, ROOT_FILE, &root)?);
        }
        Task::Refresh { metadata_url } => (metadata_url, None),
        Task::Download {
            metadata_url,
            targets,
        } => (metadata_url, Some(targets)),
    };
    let files = folder::read_metadata(folder, Limits::default().targets)?;
    let mut session = Session::open(files, now(), Some(rsa::verifies))?;
    let client = Client {
        fetcher: Fetcher::new(),
        metadata_url,
    };
    let done = client.run(&mut session, targets.as_ref());
    // Also of a run that failed: what was verified by then is not to be rolled back (TUF 5.3.8, 5.4.5, 5.5.7).
    for (name, bytes) in session.files() {
        folder::write(folder, &name, bytes)?;
    }
    done
}

struct Client {
    fetcher: Fetcher,
    metadata_url: String,
}

impl Client {
    fn run(&self, session: &mut Session, targets: Option<&Targets>) -> Result<(), Failure> {
        while let Some(fetch) = session.next()? {
            let file = self.metadata(&fetch)?;
            session.supply(file)?;
        }
        let Some(targets) = targets else {
            return Ok(());
        };
        for name in &targets.names {
            let target = loop {
                match session.look_up(name)? {
                    Found::Target(target) => break target,
                    Found::Fetch(fetch) => {
                        let file = self.metadata(&fetch)?;
                        session.supply(file)?;
                    }
                }
            };
            self.download(&target, targets)?;
        }
        Ok(())
    }

    /// `None` for a file that does not exist and need not.
    fn metadata(&self, fetch: &MetadataFetch) -> Result<Option<Vec<u8>>, FetchError> {
        // The suite's URL is that of the metadata, not of a repository with metadata in it.
        let path = fetch.path.strip_prefix("metadata/").unwrap_or(&fetch.path);
        match self
            .fetcher
            .get(&join(&self.metadata_url, path), fetch.limit)
        {
            Err(FetchError::NotFound { .. }) if fetch.absence == Absence::Expected => Ok(None),
            other => other.map(Some),
        }
    }

    /// Fetches a target unless the very bytes are there.
    fn download(&self, target: &Target, targets: &Targets) -> Result<(), Failure> {
        let limit = Limits::default().object.min(target.length);
        match folder::read(&targets.folder.join(&target.file_name), limit) {
            Ok(bytes) if target.check(&bytes).is_ok() => return Ok(()),
            // Of an older version, or not there.
            Ok(_) | Err(FolderError::TooLarge { .. } | FolderError::Io { .. }) => {}
        }
        let url = join(&targets.base_url, &target.url_path);
        let bytes = self.fetcher.get(&url, limit)?;
        target.check(&bytes)?;
        Ok(folder::write(&targets.folder, &target.file_name, &bytes)?)
    }
}

fn join(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}

/// The one place that reads the clock.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    fn parse(line: &str) -> Result<(PathBuf, Task), ErrorKind> {
        let words = std::iter::once("client").chain(line.split(' '));
        Arguments::try_parse_from(words)
            .and_then(task)
            .map_err(|error| error.kind())
    }

    #[test]
    fn takes_the_suites_command_lines() {
        assert!(matches!(
            parse("--metadata-dir D init R"),
            Ok((_, Task::Init { .. }))
        ));
        assert!(matches!(
            parse("--metadata-url U --metadata-dir D refresh"),
            Ok((_, Task::Refresh { .. }))
        ));
        let download = "--metadata-url U --metadata-dir D --target-name a --target-name b --target-dir X --target-base-url T download";
        let Ok((folder, Task::Download { targets, .. })) = parse(download) else {
            panic!("expected a download");
        };
        assert_eq!(folder, Path::new("D"));
        assert_eq!(targets.names, ["a", "b"]);
    }

    #[test]
    fn rejects_a_command_line_without_what_the_subcommand_needs() {
        for line in [
            "--metadata-dir D refresh",
            "--metadata-url U refresh",
            "--metadata-dir D init",
            "--metadata-dir D",
            "--metadata-url U --metadata-dir D --target-dir X --target-base-url T download",
            "--metadata-url U --metadata-dir D --target-name a --target-base-url T download",
            "--metadata-url U --metadata-dir D --target-name a --target-dir X download",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
