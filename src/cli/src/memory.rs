//! What a publisher remembers of a repository: its root pin, and the state that they committed last.
//!
//! The repository's folder may be one that others can write to, such as a synced bucket. What is in it is believed
//! only as far as it follows from what is remembered here. It is kept beside the keys, as `published.json`, and
//! never in the repository. Where it is not there, the root pin has to be given; then all that follows from that pin
//! is believed, older states too.
//!
//! Before a state is committed it is noted as pending, and when all is written as committed. An interruption
//! leaves both, and the folder at either.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, VerifyError};
use webimport_core::metadata::{Envelope, RoleKind, Root};

use crate::keyring::Keyring;
use crate::keys::{self, KeyError, KeyFolder};
use crate::repository::{ROLES, State};
use crate::storage::{self, StorageError};

/// The file, in the folder of the keys.
pub(crate) const FILE: &str = "published.json";

/// What is remembered cannot be used, or the repository is not what is remembered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// Neither is there a file, nor is a pin given.
    #[error("nothing says which root the repository began with")]
    NoPin,
    /// Another pin is given than the one that is remembered.
    #[error("the root pin is not the one in `{}`", path.display())]
    OtherPin {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("`{}` cannot be understood: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody took something away from the repository, or put something in its place.
    #[error("`{}` is not what was published: {reason}", repository.display())]
    Changed {
        /// The repository's folder.
        repository: PathBuf,
        /// The first difference.
        reason: String,
    },
    /// Reading.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Writing.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Coded for MemoryError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoPin | Self::OtherPin { .. } => "usage.root",
            Self::Syntax { .. } => "publish.memory",
            Self::Changed { .. } => "publish.changed",
            Self::Key(error) => error.code(),
            Self::Storage(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NoPin => {
                "give the folder that `webimport init` put the keys into with --keys, or the pin that it printed \
                 with --root"
                    .into()
            }
            Self::OtherPin { .. } => {
                "give this repository's own keys with --keys, and the pin that `webimport init` printed with --root"
                    .into()
            }
            Self::Syntax { .. } => {
                "restore it from your copy of the keys, or remove it and give the pin that `webimport init` printed \
                 with --root"
                    .into()
            }
            Self::Changed { .. } => {
                "sign nothing yet: give this repository's own keys with --keys; if they are, restore the `metadata` \
                 folder from what was uploaded last, and find out who changed it"
                    .into()
            }
            Self::Key(error) => error.hint(),
            Self::Storage(error) => error.hint(),
        }
    }
}

/// One metadata file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    version: u64,
    sha256: Sha256Digest,
}

impl Mark {
    pub(crate) fn of(version: u64, bytes: &[u8]) -> Self {
        Self {
            version,
            sha256: Sha256Digest::of(bytes),
        }
    }
}

/// The four files of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marks {
    pub(crate) root: Mark,
    pub(crate) targets: Mark,
    pub(crate) snapshot: Mark,
    pub(crate) timestamp: Mark,
}

impl Marks {
    pub(crate) fn get_mut(&mut self, role: RoleKind) -> &mut Mark {
        match role {
            RoleKind::Root => &mut self.root,
            RoleKind::Targets => &mut self.targets,
            RoleKind::Snapshot => &mut self.snapshot,
            RoleKind::Timestamp => &mut self.timestamp,
        }
    }

    fn get(mut self, role: RoleKind) -> Mark {
        *self.get_mut(role)
    }
}

/// The file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The digest of the first root.
    pin: Sha256Digest,
    committed: Marks,
    pending: Option<Marks>,
}

/// What is remembered of one repository.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// Where it is kept, if anywhere.
    file: Option<PathBuf>,
    pin: Sha256Digest,
    record: Option<Record>,
}

impl Memory {
    /// What whoever has these keys remembers. `None` if not even the root pin is known.
    pub(crate) fn of(ring: &Keyring) -> Result<Option<Self>, MemoryError> {
        // A folder that is not there has no keys, and is not made for this.
        let file = ring
            .folder
            .as_ref()
            .filter(|folder| folder.path().is_dir())
            .map(|folder| folder.path().join(FILE));
        let record = match &file {
            Some(path) if path.symlink_metadata().is_ok() => Some(read(path)?),
            _ => None,
        };
        let pin = match (ring.root, &record) {
            (Some(pin), Some(record)) if pin != record.pin => {
                return Err(MemoryError::OtherPin {
                    path: file.unwrap_or_default(),
                });
            }
            (Some(pin), _) => pin,
            (None, Some(record)) => record.pin,
            (None, None) => return Ok(None),
        };
        Ok(Some(Self { file, pin, record }))
    }

    /// The memory of a new repository, to be kept beside its keys.
    pub(crate) fn new(folder: &KeyFolder, pin: Sha256Digest) -> Self {
        Self {
            file: Some(folder.path().join(FILE)),
            ..Self::only(pin)
        }
    }

    /// Nothing but the root pin.
    pub(crate) fn only(pin: Sha256Digest) -> Self {
        Self {
            file: None,
            pin,
            record: None,
        }
    }

    pub(crate) fn pin(&self) -> Sha256Digest {
        self.pin
    }

    /// Fails unless the chain of roots leads through the one that was committed last: a root that is gone would
    /// be made a second time, with keys that it has revoked.
    pub(crate) fn check_roots(
        &self,
        repository: &Path,
        roots: &[Vec<u8>],
    ) -> Result<(), MemoryError> {
        let Some(record) = &self.record else {
            return Ok(());
        };
        let committed = record.committed.root;
        if roots.iter().any(|root| mark(root) == Some(committed)) {
            return Ok(());
        }
        Err(changed(
            repository,
            format!(
                "root {}, which was published, is gone or another one",
                committed.version
            ),
        ))
    }

    /// Fails unless the state is the one that was committed last, the one that was about to be committed, or a later
    /// one. `state` was verified from the pin, or, if it is behind, from the root before the newest.
    pub(crate) fn check(&self, repository: &Path, state: &State) -> Result<(), MemoryError> {
        self.check_roots(repository, &state.kept.roots)?;
        let Some(record) = &self.record else {
            // Keys that were revoked may have signed this.
            return if state.behind {
                Err(changed(
                    repository,
                    "the keys of its newest root did not sign the rest of it".into(),
                ))
            } else {
                Ok(())
            };
        };
        let pending = record.pending.map(|pending| pending.root);
        if state.behind && ![Some(record.committed.root), pending].contains(&Some(state.marks.root))
        {
            return Err(changed(
                repository,
                format!(
                    "root {} is somebody else's, and its keys did not sign the rest",
                    state.marks.root.version
                ),
            ));
        }
        for role in ROLES.into_iter().filter(|role| *role != RoleKind::Root) {
            let (committed, found) = (record.committed.get(role), state.marks.get(role));
            if found == committed || !state.behind && found.version > committed.version {
                continue;
            }
            let name = role.as_str();
            let (was, is) = (committed.version, found.version);
            return Err(changed(
                repository,
                if was == is {
                    format!("{name} version {is} is another file")
                } else {
                    format!("{name} has version {is}, and version {was} was published")
                },
            ));
        }
        Ok(())
    }

    /// Whether nobody remembered anything else meanwhile.
    pub(crate) fn is_current(&self) -> bool {
        let Some(file) = &self.file else {
            return true;
        };
        match (&self.record, file.symlink_metadata()) {
            (None, Err(_)) => true,
            (Some(record), Ok(_)) => read(file).is_ok_and(|now| now == *record),
            _ => false,
        }
    }

    /// To be called before the first byte of a new state is written.
    pub(crate) fn begin(&self, committed: Marks, pending: Marks) -> Result<(), MemoryError> {
        self.write(committed, Some(pending))
    }

    /// To be called when a state is there.
    pub(crate) fn end(&self, committed: Marks) -> Result<(), MemoryError> {
        self.write(committed, None)
    }

    fn write(&self, committed: Marks, pending: Option<Marks>) -> Result<(), MemoryError> {
        let record = Record {
            pin: self.pin,
            committed,
            pending,
        };
        let Some(file) = self.file.as_ref().filter(|_| self.record != Some(record)) else {
            return Ok(());
        };
        let syntax = |error: serde_json::Error| MemoryError::Syntax {
            path: file.clone(),
            reason: error.to_string(),
        };
        let mut bytes = serde_json::to_vec_pretty(&record).map_err(syntax)?;
        bytes.push(b'\n');
        match storage::write_private(file, &bytes) {
            // A folder of keys that nobody may write to is begun with the pin each time. What is remembered once is
            // kept up.
            Err(StorageError::Io { source, .. })
                if self.record.is_none()
                    && matches!(
                        source.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
            {
                Ok(())
            }
            other => Ok(other?),
        }
    }
}

fn read(path: &Path) -> Result<Record, MemoryError> {
    let text = keys::read_private(path)?;
    serde_json::from_str(&text).map_err(|error| MemoryError::Syntax {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn mark(root: &[u8]) -> Option<Mark> {
    let parsed: Result<Envelope<Root>, VerifyError> = Envelope::parse(root, "root");
    Some(Mark::of(parsed.ok()?.signed.common.version, root))
}

fn changed(repository: &Path, reason: String) -> MemoryError {
    MemoryError::Changed {
        repository: repository.to_owned(),
        reason,
    }
}

/// The folder began with another root.
pub(crate) fn other_root(repository: &Path) -> MemoryError {
    changed(
        repository,
        "its first root is not the one of the root pin".into(),
    )
}
