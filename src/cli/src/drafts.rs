//! A root on its way: a file that goes from one holder of root keys to the next until enough have signed it.
//!
//! Whoever wrote the file may be anybody. It is judged as readers would judge it as the next root, the number of
//! signatures left out, and all that it changes is there to be shown before it is signed.

use std::fs;
use std::path::{Path, PathBuf};

use webimport_core::error::VerifyError;
use webimport_core::limits::Limits;
use webimport_core::metadata::{Envelope, RoleKind, Root};
use webimport_core::sign::Signing;
use webimport_core::trust::check_root;

use crate::keyring::{Keyring, Needed};
use crate::observe::Observer;
use crate::repository::{
    LIFETIMES_FIELD, Lifetimes, ROLES, Repository, RepositoryError, State, Update, Validity,
    check_thresholds,
};
use crate::roots::{NewRoot, Signatures, new_root, signed_from};
use crate::storage::{self, Lock, StorageError};

/// Days that a role may be valid.
const LONGEST: u32 = 3650;

/// The next root of a repository, in a file. What was read is what is signed, whatever becomes of the file.
pub struct Draft<'a> {
    repository: &'a Repository,
    path: PathBuf,
    state: State,
    root: Root,
    signing: Signing,
}

impl Repository {
    /// Reads a root that [`change_root`](Self::change_root) wrote to a file, and checks that it is the next one and
    /// locks nobody out.
    ///
    /// # Errors
    /// [`RepositoryError::Draft`], [`RepositoryError::Lockout`], [`RepositoryError::Memory`].
    pub fn draft(&self, path: &Path, ring: &Keyring) -> Result<Draft<'_>, RepositoryError> {
        ring.refuse_overlap(self.path())?;
        let state = self.remembered(ring)?;
        let (root, signing) = read(path, &state)?;
        Ok(Draft {
            repository: self,
            path: path.to_owned(),
            state,
            root,
            signing,
        })
    }
}

impl Draft<'_> {
    /// What it changes, and who has signed it.
    pub fn changes(&self) -> NewRoot {
        new_root(&self.state, &self.root, &self.signing)
    }

    /// Whether it can be published as it is.
    pub fn is_signed(&self) -> bool {
        [&self.state.root, &self.root]
            .iter()
            .all(|root| Signatures::of(&self.signing, root).are_enough())
    }

    /// Fails unless these keys and the signatures that are there are enough.
    ///
    /// # Errors
    /// [`RepositoryError::Key`].
    pub fn check_keys(&self, ring: &Keyring) -> Result<(), RepositoryError> {
        Ok(ring.check_more(&self.signing, &self.needed())?)
    }

    /// Adds signatures and writes the file.
    ///
    /// # Errors
    /// [`RepositoryError::Key`] if no key that could sign it is at hand.
    pub fn sign(
        mut self,
        ring: &Keyring,
        observer: &dyn Observer,
    ) -> Result<NewRoot, RepositoryError> {
        let needed = self.needed();
        let before = needed.signed(&self.signing);
        let mut more = self.signing.clone();
        let result = ring.sign(&mut more, &needed);
        let after = needed.signed(&more);
        // Fewer than all is what this is for; none is not.
        if after == before {
            result?;
        } else {
            storage::write(&self.path, &more.to_bytes()?, observer)?;
            self.signing = more;
        }
        // Somebody may have published while this one was thinking, and whoever can only read the repository cannot
        // know.
        if let Ok(_lock) = Lock::take(self.repository.path())
            && self.state.memory.is_current()
        {
            self.state.remember()?;
        }
        Ok(self.changes())
    }

    /// Publishes it, with signatures of these keys if it lacks some.
    ///
    /// # Errors
    /// [`RepositoryError::Draft`] if it is no longer the next root; [`RepositoryError::Key`] for too few
    /// signatures, or if a role has to be signed anew whose keys are not at hand.
    pub fn publish(
        mut self,
        ring: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<NewRoot, RepositoryError> {
        let (_lock, state) = self.repository.lock(ring)?;
        if state.marks.root != self.state.marks.root {
            return Err(RepositoryError::Draft {
                path: self.path,
                reason: "another root was published meanwhile".into(),
            });
        }
        let expires = self.root.common.expires;
        if expires <= validity.now {
            return Err(RepositoryError::Draft {
                path: self.path,
                reason: format!("it expired at {expires}; make another one"),
            });
        }
        self.state = state;
        let mut signing = self.signing.clone();
        ring.sign(&mut signing, &self.needed())?;
        self.signing = signing;
        let lowest = self.state.lowest_invalid(&self.root);
        let mut made = self.changes();
        made.signed = signed_from(lowest);
        let update = Update {
            root: Some((self.root.clone(), self.signing.to_bytes()?)),
            lowest,
            targets: self.state.targets.clone(),
        };
        self.repository
            .commit(&self.state, update, ring, validity, observer)?;
        made.published = true;
        Ok(made)
    }

    fn needed(&self) -> Needed<'_> {
        Needed::by(RoleKind::Root, &self.root).and_by(&self.state.root)
    }
}

fn read(path: &Path, state: &State) -> Result<(Root, Signing), RepositoryError> {
    let refuse = |reason: String| RepositoryError::Draft {
        path: path.to_owned(),
        reason,
    };
    let length = fs::metadata(path)
        .map_err(StorageError::io("read", path))?
        .len();
    if length > Limits::default().root {
        return Err(refuse(format!("it has {length} bytes")));
    }
    let bytes = fs::read(path).map_err(StorageError::io("read", path))?;
    let malformed = |error: VerifyError| match error {
        VerifyError::Malformed { reason, .. } => refuse(reason),
        error => refuse(error.to_string()),
    };
    let subject = path.display().to_string();
    let parsed = Envelope::<Root>::parse(&bytes, &subject);
    let root = parsed.map_err(malformed)?.signed;
    let expected = state.root.common.version + 1;
    if root.common.version != expected {
        return Err(refuse(format!(
            "expected version {expected}, got {}",
            root.common.version
        )));
    }
    check_thresholds(&root)?;
    check_lifetimes(&root).map_err(refuse)?;
    // Readers would refuse it, with all signatures that are still to come.
    check_root(&root, &subject).map_err(malformed)?;
    Ok((root, Signing::open(&bytes)?))
}

fn check_lifetimes(root: &Root) -> Result<(), String> {
    let Some(value) = root.other.get(LIFETIMES_FIELD) else {
        return Ok(());
    };
    let right = Lifetimes::of(value).is_some_and(|it| {
        ROLES
            .iter()
            .all(|role| (1..=LONGEST).contains(&it.days(*role)))
    });
    if right {
        Ok(())
    } else {
        Err(format!(
            "expected lifetimes of 1 to {LONGEST} days, got `{LIFETIMES_FIELD}` {value}"
        ))
    }
}
