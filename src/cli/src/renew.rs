//! Signing anew what expires soon: one line for a cron job.
//!
//! The root is renewed where its keys are at hand. Where they are not, that is said early enough for whoever has
//! them.

use serde::Serialize;
use webimport_core::error::Coded as _;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::Signing;
use webimport_core::time::UnixTime;

use crate::keyring::{Keyring, Needed};
use crate::observe::Observer;
use crate::repository::{ROLES, Repository, RepositoryError, State, Update, Validity};

/// Days before the end at which a role with a long life is renewed.
const LATEST: u32 = 30;

/// A role that was due.
#[derive(Debug, Clone, Serialize)]
pub struct Renewed {
    /// `root`, `targets`, `snapshot` or `timestamp`.
    pub role: &'static str,
    /// Its version now.
    pub version: u64,
    /// When that expires.
    pub expires: UnixTime,
}

/// What a renewal did.
#[derive(Debug, Clone, Serialize)]
pub struct Renewal {
    /// Roles that are signed anew.
    pub renewed: Vec<Renewed>,
    /// The root, which is due and could not be renewed.
    pub root_due: Option<RootDue>,
    /// When the first role expires.
    pub expires: UnixTime,
}

/// The root expires soon, and somebody with its keys has to sign it.
#[derive(Debug, Clone, Serialize)]
pub struct RootDue {
    /// When it expires.
    pub expires: UnixTime,
    /// Why it could not be renewed.
    pub reason: String,
    /// The code of that.
    pub code: &'static str,
}

impl Repository {
    /// Signs anew the roles that expire within so many days, and those that name them. `None` for a third of each
    /// role's lifetime, 30 days at most.
    ///
    /// # Errors
    /// [`RepositoryError::Key`] for a role other than root whose keys are not at hand, and any other.
    pub fn renew(
        &self,
        within: Option<u32>,
        ring: &Keyring,
        validity: &Validity,
        observer: &dyn Observer,
    ) -> Result<Renewal, RepositoryError> {
        let (_lock, state) = self.lock(ring)?;
        let lifetimes = validity.lifetimes(&state.root);
        let is_due = |role: RoleKind| {
            let days = within.unwrap_or_else(|| (lifetimes.days(role) / 3).min(LATEST));
            state.common(role).expires <= validity.now.plus_days(days)
        };

        let mut root_due = None;
        let mut root = None;
        if is_due(RoleKind::Root) {
            match next_root(&state, ring, validity) {
                Ok(next) => root = Some(next),
                Err(RepositoryError::Key(error)) => {
                    root_due = Some(RootDue {
                        expires: state.root.common.expires,
                        reason: error.to_string(),
                        code: error.code(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        let lowest = if state.behind {
            Some(RoleKind::Targets)
        } else {
            [RoleKind::Targets, RoleKind::Snapshot, RoleKind::Timestamp]
                .into_iter()
                .find(|role| is_due(*role))
        };
        if root.is_none() && lowest.is_none() {
            state.remember()?;
            return Ok(Renewal {
                renewed: Vec::new(),
                root_due,
                expires: first_expiry(&state),
            });
        }
        let update = Update {
            root,
            lowest,
            targets: state.targets.clone(),
        };
        self.commit(&state, update, ring, validity, observer)?;

        let after = self.remembered(ring)?;
        let renewed = ROLES.into_iter().filter_map(|role| {
            let common = after.common(role);
            (common.version != state.common(role).version).then(|| Renewed {
                role: role.as_str(),
                version: common.version,
                expires: common.expires,
            })
        });
        Ok(Renewal {
            renewed: renewed.collect(),
            root_due,
            expires: first_expiry(&after),
        })
    }
}

/// The same root with a later end.
fn next_root(
    state: &State,
    ring: &Keyring,
    validity: &Validity,
) -> Result<(webimport_core::metadata::Root, Vec<u8>), RepositoryError> {
    let mut root = state.root.clone();
    root.common = validity.common(&root, RoleKind::Root, root.common.version + 1);
    let mut signing = Signing::new(&root)?;
    ring.sign(&mut signing, &Needed::by(RoleKind::Root, &root))?;
    Ok((root, signing.to_bytes()?))
}

fn first_expiry(state: &State) -> UnixTime {
    ROLES
        .into_iter()
        .map(|role| state.common(role).expires)
        .min()
        .unwrap_or(state.root.common.expires)
}
