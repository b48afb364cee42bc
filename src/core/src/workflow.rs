//! The order of a metadata refresh (TUF 1.0, section 5), as a state machine without I/O.
//!
//! The caller asks for the next [`Step`], fetches what it says and hands the bytes back, until the step is
//! [`Step::Done`]. A cached role saves its request where the metadata above it names exactly those bytes.
//!
//! What was verified is kept even if the rest fails ([`Refresh::verified`]): a key that was seen to be revoked
//! stays revoked, and a version that was seen stays seen. What was not verified is never kept.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use crate::digest::Sha256Digest;
use crate::error::{Error, ResolveError, VerifyError, malformed, words};
use crate::json;
use crate::keys::ForeignScheme;
use crate::limits::Limits;
use crate::map::Map;
use crate::metadata::{MetaFile, RoleKind, versioned};
use crate::repository::Repository;
use crate::time::UnixTime;
use crate::trust::{
    Expiry, Network, OnlineKeys, Policy, TrustedMetadata, Update, keeps_online_files,
};

/// How far the clock may go on before that alone is worth storing, in seconds.
const CLOCK_STEP: i64 = 3_600;

/// Metadata files as they were received, for one root pin. Not trusted: all of it is verified again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CachedMetadata {
    /// From the pinned root on, without a gap.
    pub roots: Vec<Vec<u8>>,
    /// `timestamp.json`.
    pub timestamp: Option<Vec<u8>>,
    /// The snapshot.
    pub snapshot: Option<Vec<u8>>,
    /// Targets files by role name: `targets`, and delegated roles.
    pub targets: Map<String, Vec<u8>>,
    /// The last chain that was whole, while the files above are not all that it had: a refresh broke off, or
    /// other roles have not been asked for since. What was loaded before still loads from it, until it expires.
    pub whole: Option<Chain>,
    /// A time that has passed: what expired by it has expired, whatever the clock says later.
    pub clock_floor: Option<UnixTime>,
}

impl CachedMetadata {
    /// Of two records whose writers do not know of each other: the longer chain of roots, and of each file the
    /// higher version, as each says itself. Where a root that only one of them has takes versions back (TUF
    /// 5.3.11), that one alone. Nothing is trusted for it.
    #[must_use]
    pub fn further(one: &Self, other: &Self) -> Self {
        let (one, other) = if one.roots.len() > other.roots.len() {
            (other, one)
        } else {
            (one, other)
        };
        let known = one.roots.len();
        let new = other.roots.get(known.saturating_sub(1)..);
        let mut steps = new.unwrap_or_default().windows(2);
        if known < other.roots.len()
            && (known == 0 || !steps.all(|pair| keeps_online_files(&pair[0], &pair[1])))
        {
            return other.clone();
        }
        let mut next = other.clone();
        next.timestamp = higher(one.timestamp.as_ref(), other.timestamp.as_ref());
        next.snapshot = higher(one.snapshot.as_ref(), other.snapshot.as_ref());
        for (role, file) in &one.targets {
            if let Some(file) = higher(Some(file), other.targets.get(role)) {
                next.targets.insert(role.clone(), file);
            }
        }
        // Newest files of both need not belong together. Those of one that has no other chain do.
        let whole = |of: &Self| of.whole.clone().or_else(|| of.newest());
        next.whole = match (whole(one), whole(other)) {
            (Some(one), Some(other)) if version(&one.timestamp) > version(&other.timestamp) => {
                Some(one)
            }
            (one, other) => other.or(one),
        };
        if next.whole == next.newest() {
            next.whole = None;
        }
        next
    }

    /// The newest files, whether or not they belong together.
    fn newest(&self) -> Option<Chain> {
        Some(Chain {
            timestamp: self.timestamp.clone()?,
            snapshot: self.snapshot.clone()?,
            targets: self.targets.clone(),
        })
    }

    /// As [`newest`](Self::newest), for a look alone.
    fn links(&self) -> Option<Links<'_>> {
        Some(Links {
            timestamp: self.timestamp.as_deref()?,
            snapshot: self.snapshot.as_deref()?,
            targets: self.targets.get(RoleKind::Targets.as_str())?,
        })
    }

    /// Raises the clock's floor to `time`; it never goes back.
    pub fn raise_floor(&mut self, time: UnixTime) {
        if self.clock_floor.is_none_or(|floor| floor < time) {
            self.clock_floor = Some(time);
        }
    }
}

fn higher(one: Option<&Vec<u8>>, other: Option<&Vec<u8>>) -> Option<Vec<u8>> {
    match (one, other) {
        (Some(one), Some(other)) if version(one) <= version(other) => Some(other.clone()),
        (one, other) => one.or(other).cloned(),
    }
}

/// The version that a metadata file claims.
fn version(file: &[u8]) -> Option<u64> {
    let value = json::parse(file, "metadata").ok()?;
    value.get("signed")?.get("version")?.as_u64()
}

/// Timestamp, snapshot and targets files that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// `timestamp.json`.
    pub timestamp: Vec<u8>,
    /// The snapshot that it names.
    pub snapshot: Vec<u8>,
    /// Targets files by role name, as in [`CachedMetadata::targets`].
    pub targets: Map<String, Vec<u8>>,
}

impl Chain {
    fn links(&self) -> Option<Links<'_>> {
        Some(Links {
            timestamp: &self.timestamp,
            snapshot: &self.snapshot,
            targets: self.targets.get(RoleKind::Targets.as_str())?,
        })
    }
}

/// A chain's files of the top-level roles.
#[derive(Clone, Copy)]
struct Links<'a> {
    timestamp: &'a [u8],
    snapshot: &'a [u8],
    targets: &'a [u8],
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
    /// Inside the repository, such as `metadata/timestamp.json`. Percent-encoded.
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
    trust: RootTrust,
    /// Known from the start, or with the first root.
    pin: Option<Sha256Digest>,
    policy: Policy,
    limits: Limits,
    /// As the cache had it.
    cached: CachedMetadata,
    /// The same, with what this refresh has verified in its place.
    kept: CachedMetadata,
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

impl Refresh {
    /// Starts from what is cached, which may be nothing. `repository` is the base URL, for messages. Where the
    /// cache knows of a later time than `now`, expiry is judged by that.
    pub fn new(
        trust: RootTrust,
        repository: &str,
        cached: CachedMetadata,
        now: UnixTime,
        limits: Limits,
    ) -> Self {
        let policy = Policy {
            now: cached.clock_floor.map_or(now, |floor| floor.max(now)),
            expiry: Expiry::Refuse,
            network: Network::Online,
            foreign: None,
        };
        let mut refresh = Self {
            repository: repository.to_owned(),
            trust,
            pin: match trust {
                RootTrust::Pin(pin) => Some(pin),
                RootTrust::FirstUse => None,
            },
            policy,
            limits,
            kept: CachedMetadata::default(),
            cached,
            trusted: None,
            rotations: 0,
            state: State::FirstRoot,
        };
        refresh.start();
        refresh
    }

    /// Starts again with a signature scheme that the host adds.
    #[must_use]
    pub fn with_foreign_scheme(mut self, scheme: ForeignScheme) -> Self {
        self.policy.foreign = Some(scheme);
        self.start();
        self
    }

    fn start(&mut self) {
        self.kept = self.cached.clone();
        match self.cached_roots(self.policy) {
            Some((trusted, used)) => {
                self.kept.roots.truncate(used);
                self.trusted = Some(trusted);
                self.state = State::NextRoot;
            }
            None => self.kept.roots.clear(),
        }
    }

    /// Whether the cache has the pinned root.
    pub fn has_root(&self) -> bool {
        self.trusted.is_some()
    }

    /// What to do next.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] only if steps were taken out of order.
    pub fn step(&self) -> Result<Step, Error> {
        let announced = |meta: &MetaFile, role: RoleKind, limit: u64| {
            let limit = meta.length.map_or(limit, |length| length.min(limit));
            let file = versioned(meta.version, role.as_str());
            fetch(&file, limit, Absence::Refused)
        };
        Ok(Step::Fetch(match self.state {
            State::FirstRoot => fetch("1.root.json", self.limits.root, Absence::Refused),
            State::NextRoot => {
                let next = self.trusted()?.root_version() + 1;
                fetch(
                    &versioned(next, "root"),
                    self.limits.root,
                    Absence::Expected,
                )
            }
            State::Timestamp => self.timestamp(),
            State::Snapshot => announced(
                self.trusted()?.snapshot_meta()?,
                RoleKind::Snapshot,
                self.limits.snapshot,
            ),
            State::Targets => announced(
                self.trusted()?.targets_meta()?,
                RoleKind::Targets,
                self.limits.targets,
            ),
            State::Done => return Ok(Step::Done),
        }))
    }

    /// A file that will be asked for soon unless this one fails. A host that would rather have an answer early
    /// than a request less fetches it at the same time; it is judged in its turn.
    pub fn speculate(&self) -> Option<MetadataFetch> {
        (self.state == State::NextRoot).then(|| self.timestamp())
    }

    fn timestamp(&self) -> MetadataFetch {
        fetch("timestamp.json", self.limits.timestamp, Absence::Refused)
    }

    /// Takes the file that [`step`](Self::step) asked for; `None` if it does not exist and may be absent.
    ///
    /// # Errors
    /// The rule that the file breaks. The refresh cannot go on afterwards; what was verified stays valid.
    pub fn supply(&mut self, file: Option<Vec<u8>>) -> Result<(), Error> {
        let role = match self.state {
            State::FirstRoot | State::NextRoot => Some(RoleKind::Root),
            State::Timestamp => Some(RoleKind::Timestamp),
            State::Snapshot => Some(RoleKind::Snapshot),
            State::Targets => Some(RoleKind::Targets),
            State::Done => None,
        };
        let result = self.take(file);
        self.note_expiry(&result, role);
        result
    }

    fn take(&mut self, file: Option<Vec<u8>>) -> Result<(), Error> {
        match (self.state, file) {
            (State::FirstRoot, Some(bytes)) => {
                let pin = self.pin.unwrap_or_else(|| Sha256Digest::of(&bytes));
                let trusted =
                    TrustedMetadata::from_pin(&bytes, pin, &self.repository, self.policy)?;
                if trusted.root_version() != 1 {
                    return Err(VerifyError::MixAndMatch {
                        subject: "1.root.json".into(),
                        expected: 1,
                        got: trusted.root_version(),
                    }
                    .into());
                }
                self.pin = Some(pin);
                self.trusted = Some(trusted);
                self.kept.roots.push(bytes);
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
                // One that takes the place of a damaged record was new when that was stored.
                let new = self.kept.roots.len() >= self.cached.roots.len();
                let keys = self.trusted_mut()?.update_root(&bytes)?;
                if new && keys == OnlineKeys::TakenAway {
                    (self.kept.timestamp, self.kept.snapshot) = (None, None);
                    self.kept.whole = None;
                }
                self.rotations += 1;
                self.kept.roots.push(bytes);
            }
            (State::NextRoot, None) => {
                let (known, got) = (self.cached.roots.len(), self.kept.roots.len());
                // A record that was damaged is made good by the server. One that withholds a root that was seen
                // before would have its keys believed again.
                if got < known {
                    let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
                    return Err(VerifyError::Rollback {
                        subject: "root.json".into(),
                        trusted: count(known),
                        got: count(got),
                    }
                    .into());
                }
                self.trusted()?.finish_root()?;
                self.remember();
                self.state = State::Timestamp;
            }
            (State::Timestamp, Some(bytes)) => {
                if self.trusted_mut()?.update_timestamp(&bytes)? == Update::New {
                    if self.walk(self.kept.links(), Expiry::AcceptStale).is_ok() {
                        self.kept.whole = self.kept.newest();
                    }
                    self.kept.timestamp = Some(bytes);
                }
                self.state = State::Snapshot;
                if let Some(cached) = self.kept.snapshot.clone()
                    && self.take_snapshot(cached).is_err()
                {
                    self.state = State::Snapshot;
                }
            }
            (State::Snapshot, Some(bytes)) => self.take_snapshot(bytes)?,
            (State::Targets, Some(bytes)) => {
                self.trusted_mut()?.update_targets(&bytes)?;
                self.kept.targets.insert(top(), bytes);
                self.state = State::Done;
            }
            (state, file) => {
                let given = if file.is_some() { "a file" } else { "no file" };
                return Err(out_of_order(format_args!("{given} in the state {state:?}")));
            }
        }
        Ok(())
    }

    /// Ends a refresh that is [`Step::Done`].
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] only if steps were left out.
    pub fn finish(mut self) -> Result<Repository, Error> {
        let trusted = self
            .trusted
            .take()
            .ok_or_else(|| out_of_order(format_args!("no root")))?;
        self.note_time(&trusted)?;
        let (kept, stored) = (mem::take(&mut self.kept), mem::take(&mut self.cached));
        self.repository(trusted, kept, stored)
    }

    /// The state of the repository by cached metadata alone, for when the server cannot be reached: by the newest
    /// files if they are a whole chain, else by the last ones that were.
    ///
    /// # Errors
    /// [`ResolveError::Offline`] if the cache does not hold a whole chain from the pin;
    /// [`VerifyError::Expired`] unless `expiry` accepts stale metadata.
    pub fn offline(&mut self, expiry: Expiry) -> Result<Repository, Error> {
        match self.walk(self.kept.links(), expiry) {
            Ok(trusted) => self.offline_repository(trusted, self.kept.targets.clone()),
            Err(error @ Error::Verify(VerifyError::Expired { .. })) => {
                self.note_expiry::<()>(&Err(error.clone()), None);
                Err(error)
            }
            Err(error) => self.offline_whole(expiry).map_err(|other| match other {
                Error::Resolve(_) => error,
                other => other,
            }),
        }
    }

    /// As [`offline`](Self::offline), by the last whole chain: for a role that the newest one does not have yet.
    ///
    /// # Errors
    /// As [`offline`](Self::offline).
    pub fn offline_whole(&mut self, expiry: Expiry) -> Result<Repository, Error> {
        let chain = self.kept.whole.as_ref();
        let walked = self.walk(chain.and_then(Chain::links), expiry);
        let targets = chain.map(|chain| chain.targets.clone());
        self.note_expiry(&walked, None);
        self.offline_repository(walked?, targets.unwrap_or_default())
    }

    fn offline_repository(
        &mut self,
        trusted: TrustedMetadata,
        targets: Map<String, Vec<u8>>,
    ) -> Result<Repository, Error> {
        self.note_time(&trusted)?;
        let (kept, stored) = (self.kept.clone(), self.cached.clone());
        let mut repository = self.repository(trusted, kept, stored)?;
        repository.read_from(targets);
        Ok(repository)
    }

    fn incomplete(&self) -> Error {
        ResolveError::Offline {
            subject: words(format_args!("the metadata of {}", self.repository)),
        }
        .into()
    }

    /// Verifies a cached chain as a refresh would; there is none to verify if it lacks a file.
    fn walk(&self, chain: Option<Links<'_>>, expiry: Expiry) -> Result<TrustedMetadata, Error> {
        let policy = Policy {
            expiry,
            network: Network::Offline,
            ..self.policy
        };
        let (mut trusted, used) = self.cached_roots(policy).ok_or_else(|| self.incomplete())?;
        // The newest root may be the one that is damaged, and may be the one that revoked a key.
        let newest = self.kept.roots.len().max(self.cached.roots.len());
        let chain = chain.ok_or_else(|| self.incomplete())?;
        if used < newest || !trusted.remember_timestamp(chain.timestamp) {
            return Err(self.incomplete());
        }
        trusted.finish_root()?;
        trusted.use_remembered_timestamp()?;
        trusted.update_snapshot(chain.snapshot)?;
        trusted.update_targets(chain.targets)?;
        Ok(trusted)
    }

    fn repository(
        &self,
        trusted: TrustedMetadata,
        kept: CachedMetadata,
        stored: CachedMetadata,
    ) -> Result<Repository, Error> {
        let pin = self
            .pin
            .ok_or_else(|| out_of_order(format_args!("no root")))?;
        Repository::new(&self.repository, pin, &self.limits, trusted, kept, stored)
    }

    /// The time by which `trusted` was judged has passed. A clock that runs ahead raises the floor no further than
    /// to the first expiry that was signed, so that a repository that is kept up comes back once the clock is
    /// right again.
    fn note_time(&mut self, trusted: &TrustedMetadata) -> Result<(), Error> {
        let expires = trusted.chain()?;
        let passed = self.policy.now.min(expires);
        let worthwhile = |floor: UnixTime| passed.0.saturating_sub(floor.0) >= CLOCK_STEP;
        // Who accepts stale metadata says nothing of the clock.
        if trusted.policy().expiry == Expiry::Refuse
            && (self.kept != self.cached || self.kept.clock_floor.is_none_or(worthwhile))
        {
            self.kept.raise_floor(passed);
        }
        Ok(())
    }

    /// What has expired by a time that has passed has expired once and for all. The floor goes no further than
    /// to the first expiry of the whole chain that is kept, with the role `offered` in place of the kept one: by
    /// a clock that ran ahead the root has expired, too, and would keep out all that is signed until then.
    fn note_expiry<T>(&mut self, result: &Result<T, Error>, offered: Option<RoleKind>) {
        let Err(Error::Verify(VerifyError::Expired { expires, .. })) = result else {
            return;
        };
        let whole = self.kept.whole.as_ref().and_then(Chain::links);
        let kept = self
            .walk(self.kept.links(), Expiry::AcceptStale)
            .or_else(|_| self.walk(whole, Expiry::AcceptStale));
        if let Ok(kept) = kept {
            let others = kept.first_expiry(offered);
            self.kept
                .raise_floor(others.map_or(*expires, |it| it.min(*expires)));
        }
    }

    /// What has been verified so far, to be stored in one transaction in place of all that is stored for the
    /// pin, whether or not the refresh goes on to succeed (TUF 5.3.8, 5.4.5, 5.5.7, 5.6.6). `None` if nothing
    /// new was, or if trust is on first use: that is settled by a whole chain alone.
    pub fn verified(&self) -> Option<(Sha256Digest, &CachedMetadata)> {
        match self.trust {
            // A record whose newest roots are damaged is not replaced by one that never had them.
            RootTrust::Pin(pin)
                if !self.kept.roots.is_empty()
                    && self.kept.roots.len() >= self.cached.roots.len()
                    && self.kept != self.cached =>
            {
                Some((pin, &self.kept))
            }
            _ => None,
        }
    }

    /// Walks the cached roots as far as they verify; `None` if not even the first one does.
    fn cached_roots(&self, policy: Policy) -> Option<(TrustedMetadata, usize)> {
        let pin = self.pin?;
        let (first, rest) = self.kept.roots.split_first()?;
        let mut trusted = TrustedMetadata::from_pin(first, pin, &self.repository, policy).ok()?;
        let mut used = 1;
        for root in rest {
            if trusted.update_root(root).is_err() {
                break;
            }
            used += 1;
        }
        Some((trusted, used))
    }

    /// Takes the cached timestamp and snapshot as the references for rollback, as far as the root's keys sign them.
    fn remember(&mut self) {
        let Some(trusted) = &mut self.trusted else {
            return;
        };
        if let Some(timestamp) = &self.kept.timestamp {
            trusted.remember_timestamp(timestamp);
        }
        if let Some(snapshot) = &self.kept.snapshot {
            trusted.remember_snapshot(snapshot);
        }
    }

    fn take_snapshot(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let trusted = self
            .trusted
            .as_mut()
            .ok_or_else(|| out_of_order(format_args!("no root")))?;
        let roles = self.kept.targets.keys();
        let before: Vec<Option<u64>> = roles.map(|role| trusted.version_of(role)).collect();
        trusted.update_snapshot(&bytes)?;
        self.kept.snapshot = Some(bytes);
        self.state = State::Targets;
        // A delegated role that has another version now is no use, and one that is not named is nobody's.
        let mut before = before.into_iter();
        self.kept.targets.retain(|role, _| {
            let (then, now) = (before.next().flatten(), trusted.version_of(role));
            *role == top() || now.is_some() && (then.is_none() || then == now)
        });
        if let Some(cached) = self.kept.targets.get(&top())
            && trusted.update_targets(cached).is_ok()
        {
            self.state = State::Done;
        }
        Ok(())
    }

    fn trusted(&self) -> Result<&TrustedMetadata, Error> {
        self.trusted
            .as_ref()
            .ok_or_else(|| out_of_order(format_args!("no root")))
    }

    fn trusted_mut(&mut self) -> Result<&mut TrustedMetadata, Error> {
        self.trusted
            .as_mut()
            .ok_or_else(|| out_of_order(format_args!("no root")))
    }
}

fn top() -> String {
    RoleKind::Targets.as_str().to_owned()
}

fn fetch(file: &str, limit: u64, absence: Absence) -> MetadataFetch {
    MetadataFetch {
        path: ["metadata/", file].concat(),
        limit,
        absence,
    }
}

fn out_of_order(what: fmt::Arguments<'_>) -> Error {
    malformed("metadata", format_args!("a step is out of order: {what}")).into()
}
