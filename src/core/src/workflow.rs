//! The order of a metadata refresh (TUF 1.0, section 5), as a state machine without I/O.
//!
//! The caller asks for the next [`Step`], fetches what it says and hands the bytes back, until the step is
//! [`Step::Done`]. A cached role saves its request where the metadata above it names exactly those bytes.
//! Nothing is to be stored before [`Refresh::finish`] returns: state that was not verified whole is not kept.

use crate::digest::Sha256Digest;
use crate::error::{Error, ResolveError, VerifyError};
use crate::limits::Limits;
use crate::metadata::MetaFile;
use crate::time::UnixTime;
use crate::trust::{Expiry, Repository, TrustedMetadata, Update, Verified};

/// Metadata files as they were received, for one root pin. Not trusted: all of it is verified again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CachedMetadata {
    /// `1.root.json`, `2.root.json`, … without a gap.
    pub roots: Vec<Vec<u8>>,
    /// `timestamp.json`.
    pub timestamp: Option<Vec<u8>>,
    /// The snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// The top-level targets.
    pub targets: Option<Vec<u8>>,
}

impl CachedMetadata {
    /// How far it is: roots, and the timestamp's version as it says itself. For two writers that do not know of
    /// each other; nothing is trusted for it.
    pub fn progress(&self) -> (usize, u64) {
        let version = self.timestamp.as_deref().and_then(|bytes| {
            let timestamp = crate::json::parse(bytes, "timestamp.json").ok()?;
            timestamp.get("signed")?.get("version")?.as_u64()
        });
        (self.roots.len(), version.unwrap_or(0))
    }
}

/// How the first root is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootTrust {
    /// Its digest is given.
    Pin(Sha256Digest),
    /// Whatever the server offers now, because the caller asked for first-use trust by name.
    FirstUse,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Fetch this file and [`Refresh::supply`] it.
    Fetch(MetadataFetch),
    /// Call [`Refresh::finish`].
    Done,
}

/// A metadata file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataFetch {
    /// Inside the repository, such as `metadata/timestamp.json`.
    pub path: String,
    /// Bytes to read at most; a longer body is refused.
    pub limit: u64,
    /// What an answer of 404 (or 403, which object stores give for it) means.
    pub absence: Absence,
}

/// What it means that a file does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// The end of the root chain: supply `None`.
    Expected,
    /// A failure.
    Refused,
}

/// A refresh under way.
#[derive(Debug, Clone)]
pub struct Refresh {
    repository: String,
    pin: RootTrust,
    now: UnixTime,
    limits: Limits,
    cached: CachedMetadata,
    /// What was verified in this refresh, to be stored at the end.
    fresh: CachedMetadata,
    trusted: Option<TrustedMetadata>,
    /// Roots that this refresh has added.
    rotations: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FirstRoot,
    NextRoot,
    Timestamp,
    Snapshot,
    Targets,
    Done,
}

/// The result of a refresh.
#[derive(Debug, Clone)]
pub struct Refreshed {
    /// What the repository offers.
    pub repository: Verified<Repository>,
    /// The digest of the first root; new if trust was on first use.
    pub pin: Sha256Digest,
    /// What to store, in one transaction, in place of all that was cached for this pin.
    pub metadata: CachedMetadata,
    /// Whether it differs from what was cached.
    pub changed: bool,
}

impl Refresh {
    /// Starts from what is cached, which may be nothing. `repository` is the base URL, for messages.
    pub fn new(
        pin: RootTrust,
        repository: &str,
        cached: CachedMetadata,
        now: UnixTime,
        limits: Limits,
    ) -> Self {
        let mut refresh = Self {
            repository: repository.to_owned(),
            pin,
            now,
            limits,
            cached,
            fresh: CachedMetadata::default(),
            trusted: None,
            rotations: 0,
            state: State::FirstRoot,
        };
        if let Some((trusted, used)) = refresh.cached_roots(Expiry::Refuse) {
            refresh.fresh.roots = refresh.cached.roots[..used].to_vec();
            refresh.trusted = Some(trusted);
            refresh.state = State::NextRoot;
        }
        refresh
    }

    /// What to do next.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] only if steps were taken out of order.
    pub fn step(&self) -> Result<Step, Error> {
        let fetch = |file: String, limit, absence| {
            Step::Fetch(MetadataFetch {
                path: format!("metadata/{file}"),
                limit,
                absence,
            })
        };
        let versioned = |meta: &MetaFile, file: &str, limit: u64| {
            let limit = meta.length.map_or(limit, |length| length.min(limit));
            fetch(format!("{}.{file}", meta.version), limit, Absence::Refused)
        };
        Ok(match self.state {
            State::FirstRoot => fetch("1.root.json".into(), self.limits.root, Absence::Refused),
            State::NextRoot => {
                let next = self.trusted()?.root_version() + 1;
                fetch(
                    format!("{next}.root.json"),
                    self.limits.root,
                    Absence::Expected,
                )
            }
            State::Timestamp => fetch(
                "timestamp.json".into(),
                self.limits.timestamp,
                Absence::Refused,
            ),
            State::Snapshot => versioned(
                self.trusted()?.snapshot_meta()?,
                "snapshot.json",
                self.limits.snapshot,
            ),
            State::Targets => versioned(
                self.trusted()?.targets_meta()?,
                "targets.json",
                self.limits.targets,
            ),
            State::Done => Step::Done,
        })
    }

    /// Takes the file that [`step`](Self::step) asked for; `None` if it does not exist and may be absent.
    ///
    /// # Errors
    /// The rule that the file breaks. The refresh cannot go on afterwards; what was cached stays valid.
    pub fn supply(&mut self, file: Option<Vec<u8>>) -> Result<(), Error> {
        match (self.state, file) {
            (State::FirstRoot, Some(bytes)) => {
                let pin = match self.pin {
                    RootTrust::Pin(pin) => pin,
                    RootTrust::FirstUse => Sha256Digest::of(&bytes),
                };
                let trusted = TrustedMetadata::from_pin(
                    &bytes,
                    pin,
                    &self.repository,
                    self.now,
                    Expiry::Refuse,
                )?;
                self.pin = RootTrust::Pin(pin);
                self.trusted = Some(trusted);
                self.fresh.roots.push(bytes);
                self.state = State::NextRoot;
            }
            (State::NextRoot, Some(bytes)) => {
                // TUF 5.3.3: the walk is bounded, or a hostile chain would go on for ever.
                if self.rotations >= self.limits.root_rotations {
                    return Err(VerifyError::TooLarge {
                        subject: "metadata/N.root.json".into(),
                        limit: u64::from(self.limits.root_rotations),
                    }
                    .into());
                }
                self.trusted_mut()?.update_root(&bytes)?;
                self.rotations += 1;
                self.fresh.roots.push(bytes);
                // TUF 5.3.8: kept whatever comes after, so that a key that was seen to be revoked does not serve
                // again when the rest of the refresh fails.
                self.cached.roots.clone_from(&self.fresh.roots);
            }
            (State::NextRoot, None) => {
                // Before anything is taken out of the cache: a refusal leaves it whole.
                self.trusted()?.finish_root()?;
                let (timestamp, snapshot) =
                    (self.cached.timestamp.take(), self.cached.snapshot.take());
                let trusted = self.trusted_mut()?;
                // A timestamp that the root's keys no longer sign takes the snapshot's memory with it: after a
                // key was lost and replaced, version numbers of its time mean nothing (TUF 5.3.11).
                if timestamp
                    .as_ref()
                    .is_some_and(|bytes| trusted.remember_timestamp(bytes))
                    && let Some(bytes) = &snapshot
                {
                    trusted.remember_snapshot(bytes);
                }
                (self.cached.timestamp, self.cached.snapshot) = (timestamp, snapshot);
                self.state = State::Timestamp;
            }
            (State::Timestamp, Some(bytes)) => {
                let update = self.trusted_mut()?.update_timestamp(&bytes)?;
                self.fresh.timestamp = match update {
                    Update::New => Some(bytes),
                    Update::Same => self.cached.timestamp.clone(),
                };
                self.state = State::Snapshot;
                if let Some(cached) = self.cached.snapshot.clone()
                    && self.trusted_mut()?.update_snapshot(&cached).is_ok()
                {
                    self.take_snapshot(cached)?;
                }
            }
            (State::Snapshot, Some(bytes)) => {
                self.trusted_mut()?.update_snapshot(&bytes)?;
                self.take_snapshot(bytes)?;
            }
            (State::Targets, Some(bytes)) => {
                self.trusted_mut()?.update_targets(&bytes)?;
                self.fresh.targets = Some(bytes);
                self.state = State::Done;
            }
            (state, file) => {
                let given = if file.is_some() { "a file" } else { "no file" };
                return Err(out_of_order(&format!("{given} in the state {state:?}")));
            }
        }
        Ok(())
    }

    /// Ends a refresh that is [`Step::Done`].
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] only if steps were left out.
    pub fn finish(self) -> Result<Refreshed, Error> {
        let RootTrust::Pin(pin) = self.pin else {
            return Err(out_of_order("no root"));
        };
        let trusted = self.trusted.ok_or_else(|| out_of_order("no root"))?;
        let repository = trusted.into_repository()?;
        let changed = self.rotations > 0 || self.fresh != self.cached;
        Ok(Refreshed {
            repository,
            pin,
            metadata: self.fresh,
            changed,
        })
    }

    /// The state of the repository by cached metadata alone, for when the server cannot be reached.
    ///
    /// # Errors
    /// [`ResolveError::Offline`] if the cache does not hold a whole chain from the pin;
    /// [`VerifyError::Expired`] unless `expiry` accepts stale metadata.
    pub fn offline(&self, expiry: Expiry) -> Result<Refreshed, Error> {
        let incomplete = || ResolveError::Offline {
            subject: format!("the metadata of {}", self.repository),
        };
        let RootTrust::Pin(pin) = self.pin else {
            return Err(incomplete().into());
        };
        let (mut trusted, used) = self.cached_roots(expiry).ok_or_else(incomplete)?;
        let (Some(timestamp), Some(snapshot), Some(targets)) = (
            &self.cached.timestamp,
            &self.cached.snapshot,
            &self.cached.targets,
        ) else {
            return Err(incomplete().into());
        };
        if used < self.cached.roots.len() || !trusted.remember_timestamp(timestamp) {
            return Err(incomplete().into());
        }
        trusted.finish_root()?;
        trusted.use_remembered_timestamp()?;
        trusted.update_snapshot(snapshot)?;
        trusted.update_targets(targets)?;
        let repository = trusted.into_repository()?;
        Ok(Refreshed {
            repository,
            pin,
            metadata: self.cached.clone(),
            changed: false,
        })
    }

    /// What is to be stored although the refresh failed: what was cached, with the roots that were added.
    /// `None` if none were, or if trust was on first use and has not been settled.
    pub fn newer_roots(&self) -> Option<(Sha256Digest, &CachedMetadata)> {
        match self.pin {
            RootTrust::Pin(pin) if self.rotations > 0 => Some((pin, &self.cached)),
            _ => None,
        }
    }

    /// Walks the cached roots as far as they verify; `None` if not even the first one does.
    fn cached_roots(&self, expiry: Expiry) -> Option<(TrustedMetadata, usize)> {
        let RootTrust::Pin(pin) = self.pin else {
            return None;
        };
        let (first, rest) = self.cached.roots.split_first()?;
        let mut trusted =
            TrustedMetadata::from_pin(first, pin, &self.repository, self.now, expiry).ok()?;
        let mut used = 1;
        for root in rest {
            if trusted.update_root(root).is_err() {
                break;
            }
            used += 1;
        }
        Some((trusted, used))
    }

    fn take_snapshot(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.fresh.snapshot = Some(bytes);
        self.state = State::Targets;
        if let Some(cached) = self.cached.targets.clone()
            && self.trusted_mut()?.update_targets(&cached).is_ok()
        {
            self.fresh.targets = Some(cached);
            self.state = State::Done;
        }
        Ok(())
    }

    fn trusted(&self) -> Result<&TrustedMetadata, Error> {
        self.trusted.as_ref().ok_or_else(|| out_of_order("no root"))
    }

    fn trusted_mut(&mut self) -> Result<&mut TrustedMetadata, Error> {
        self.trusted.as_mut().ok_or_else(|| out_of_order("no root"))
    }
}

fn out_of_order(what: &str) -> Error {
    VerifyError::Malformed {
        subject: "metadata".into(),
        reason: format!("a step is out of order: {what}"),
    }
    .into()
}
