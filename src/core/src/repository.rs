//! What a repository offers, by verified metadata: the search for a target through delegated roles (TUF 5.6.7),
//! and for a release.
//!
//! A search that needs a role's file says so and is called again when it is there; it starts over each time,
//! over roles that are verified already. A role is verified anew on each way that leads to it: what one delegator
//! vouches for says nothing of what another one does.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use crate::delegations::{Delegations, Effort, Referral, Spent};
use crate::digest::{Expected, Sha256Digest, to_hex};
use crate::error::{Error, ResolveError, VerifyError, malformed, words};
use crate::keys::KeyId;
use crate::limits::Limits;
use crate::map::{Map, sorted};
use crate::metadata::{
    RoleKind, TargetFile, Targets, encode_role, parse_release_target, release_target, versioned,
};
use crate::names::{Channel, ReleaseName, Selector, Version};
use crate::time::UnixTime;
use crate::trust::{Network, Signed, TrustedMetadata};
use crate::update::UpdateEntry;
use crate::workflow::{Absence, CachedMetadata, MetadataFetch};

/// Versions that may be offered for one channel or digest, of which at most one is meant: by one role, and by all
/// that are passed over.
const MAX_CANDIDATES: usize = 32;

/// Steps of a search ([`Limits::search_steps`]) that a delegated role's file counts as when it is verified.
const VERIFICATION: usize = 1 << 17;

/// A search's answer, or what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// The answer.
    Found(T),
    /// The file of a delegated role, for [`Repository::supply`]. Then ask again.
    Fetch(MetadataFetch),
}

impl<T> Lookup<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(found) => Lookup::Found(change(found)),
            Self::Fetch(fetch) => Lookup::Fetch(fetch),
        }
    }
}

/// On whose word a target is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The role that names it.
    pub role: String,
    /// The keys whose valid signatures that role's file has.
    pub signers: Vec<KeyId>,
    /// When the first of the roles from the root to that one expires.
    pub expires: UnixTime,
}

/// A target, and what signed metadata says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// As in metadata, without a digest.
    pub path: String,
    /// Length and digests.
    pub file: TargetFile,
    /// Who says so.
    pub authority: Authority,
}

impl Located {
    /// Where the file is, relative to `targets/`, in a repository with consistent snapshots (TUF 5.7.1):
    /// the digest stands before the file name.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] if no digest is of a known algorithm; [`VerifyError::Path`] for a path that
    /// could lead out of `targets/`.
    pub fn consistent_path(&self) -> Result<String, VerifyError> {
        let is_name = |part: &str| !["", ".", ".."].contains(&part);
        if self.path.bytes().any(|byte| byte == b'\\') || !self.path.split('/').all(is_name) {
            return Err(VerifyError::Path {
                path: self.path.clone(),
                reason: "expected names between single slashes".into(),
            });
        }
        let hashes = &self.file.hashes;
        let digest = hashes
            .sha256
            .map(|digest| to_hex(digest.as_bytes()))
            .or_else(|| hashes.sha512.map(|digest| to_hex(digest.as_bytes())))
            .ok_or_else(|| {
                malformed(
                    &self.path,
                    format_args!("expected a digest by SHA-256 or SHA-512"),
                )
            })?;
        let slash = self.path.bytes().rposition(|byte| byte == b'/');
        let name_at = slash.map_or(0, |slash| slash + 1);
        let (folder, name) = self
            .path
            .split_at_checked(name_at)
            .unwrap_or(("", &self.path));
        Ok([folder, &digest, ".", name].concat())
    }

    /// Compares bytes as received with what is said of them.
    ///
    /// # Errors
    /// [`VerifyError::Length`], [`VerifyError::Digest`], [`VerifyError::Malformed`] if no digest is of a known
    /// algorithm.
    pub fn check_bytes(&self, bytes: &[u8]) -> Result<(), VerifyError> {
        let got = bytes.len() as u64;
        if got != self.file.length {
            return Err(VerifyError::Length {
                subject: self.path.clone(),
                expected: self.file.length,
                got,
            });
        }
        self.file.hashes.check(bytes, &self.path)
    }
}

/// A release as the targets metadata names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseTarget {
    /// Its name.
    pub name: ReleaseName,
    /// Its version.
    pub version: Version,
    /// The manifest's path inside the repository, with the digest in the file name.
    pub path: String,
    /// The manifest's length, in bytes.
    pub length: u64,
    /// The manifest's digest.
    pub sha256: Sha256Digest,
    /// What makes it out of earlier releases.
    pub updates: Vec<UpdateEntry>,
}

impl ReleaseTarget {
    /// What the manifest's bytes must be.
    pub fn expected(&self) -> Expected {
        Expected {
            subject: self.path.clone(),
            length: Some(self.length),
            sha256: self.sha256,
        }
    }
}

/// A release, and on whose word.
pub type LocatedRelease = (ReleaseTarget, Authority);

/// The roles from the top-level targets to one that it delegates to, by way of others.
type Trail = Vec<String>;

/// How often a search comes to a role that several ways lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    /// Once (TUF 5.6.7.1).
    First,
    /// On each of them, since each may cover other targets.
    All,
}

/// What a repository offers now. Only a verified chain from the root pin makes one.
#[derive(Debug, Clone)]
pub struct Repository {
    label: String,
    pin: Sha256Digest,
    limits: Limits,
    trusted: TrustedMetadata,
    /// Until when the four top-level roles are all valid.
    expires: UnixTime,
    roles: Map<Trail, Signed<Targets>>,
    /// Bytes of the files of all `roles` but the first one, each way by itself: as often as one is parsed.
    in_use: u64,
    /// What was asked for last.
    wanted: Option<Trail>,
    kept: CachedMetadata,
    /// Where roles are looked for before they are fetched, if that is not what is to be kept.
    source: Option<Map<String, Vec<u8>>>,
    stored: CachedMetadata,
}

impl Repository {
    /// The repository whose chain `trusted` holds. `kept` is what was verified of it, `stored` what the cache has.
    pub(crate) fn new(
        label: &str,
        pin: Sha256Digest,
        limits: &Limits,
        mut trusted: TrustedMetadata,
        kept: CachedMetadata,
        stored: CachedMetadata,
    ) -> Result<Self, Error> {
        let expires = trusted.chain()?;
        let targets = trusted.take_targets()?;
        let mut repository = Self {
            label: label.to_owned(),
            pin,
            limits: limits.clone(),
            expires,
            roles: Map::from([(top(), targets)]),
            in_use: 0,
            trusted,
            wanted: None,
            kept,
            source: None,
            stored,
        };
        repository.settle();
        Ok(repository)
    }

    /// Takes roles from a chain that is not the one to be kept.
    pub(crate) fn read_from(&mut self, targets: Map<String, Vec<u8>>) {
        self.source = Some(targets);
    }

    /// Forgets the last whole chain once the newest one has all that it had.
    fn settle(&mut self) {
        let online = self.trusted.policy().network == Network::Online;
        let lacks = |role: &String| {
            !self.kept.targets.contains_key(role) && self.trusted.version_of(role).is_some()
        };
        if online
            && let Some(whole) = &self.kept.whole
            && !whole.targets.keys().any(lacks)
        {
            self.kept.whole = None;
        }
    }

    /// The digest of the first root; new if trust was on first use.
    pub fn pin(&self) -> Sha256Digest {
        self.pin
    }

    /// When the first of the four top-level roles expires.
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// What to store, in one transaction, in place of all that was stored for the pin.
    pub fn verified(&self) -> &CachedMetadata {
        &self.kept
    }

    /// Whether that differs from what was stored.
    pub fn changed(&self) -> bool {
        self.kept != self.stored
    }

    /// Every release that the roles known so far name, by name and version as text.
    pub fn releases(&self) -> impl Iterator<Item = (ReleaseName, Version, &TargetFile)> {
        self.roles
            .values()
            .flat_map(|signed| releases(&signed.role))
    }

    /// The path of every target that the roles known so far name, whether or not they may.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let roles = self.roles.values();
        roles.flat_map(|signed| signed.role.targets.iter().map(|(path, _)| path.as_str()))
    }

    /// The target of that path, found by pre-order search; `None` if no role that may names it.
    ///
    /// # Errors
    /// The rule that a delegated role breaks; [`ResolveError::Offline`] without a network, for a role that is
    /// not there; [`VerifyError::TooLarge`] for too many roles, and for patterns that take too long.
    pub fn target(&mut self, path: &str) -> Result<Lookup<Option<Located>>, Error> {
        self.target_within(path, &mut Effort::new(self.limits.search_steps))
    }

    fn target_within(
        &mut self,
        path: &str,
        effort: &mut Effort,
    ) -> Result<Lookup<Option<Located>>, Error> {
        self.search(
            Ways::First,
            effort,
            |delegations, effort| delegations.for_target(path, effort),
            |trail, signed, expires| {
                let file = signed.role.targets.get(path)?;
                Some(Located {
                    path: path.to_owned(),
                    file: file.clone(),
                    authority: Authority {
                        role: role_at(trail).to_owned(),
                        signers: signed.signers.clone(),
                        expires,
                    },
                })
            },
        )
    }

    /// The release that `selector` names now.
    ///
    /// # Errors
    /// [`ResolveError::UnknownName`], [`ResolveError::UnknownVersion`], [`ResolveError::UnknownChannel`]
    /// (also for a channel that names two releases); and as [`target`](Self::target).
    pub fn release(
        &mut self,
        name: &ReleaseName,
        selector: &Selector,
    ) -> Result<Lookup<LocatedRelease>, Error> {
        let found = match selector {
            Selector::Version(version) => {
                let path = release_target(name, version);
                self.target(&path)?
                    .map(|found| found.map(|it| (version.clone(), it)))
            }
            Selector::Channel(channel) => {
                self.named(name, |file| file.channels().contains(channel))?
            }
        };
        match found {
            Lookup::Fetch(fetch) => Ok(Lookup::Fetch(fetch)),
            Lookup::Found(Some((version, located))) => {
                Ok(Lookup::Found(release_of(name, version, located)?))
            }
            Lookup::Found(None) => Err(self.unknown(name, selector).into()),
        }
    }

    /// The release of that name whose manifest has the digest `sha256`, whatever its version.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub fn release_by_digest(
        &mut self,
        name: &ReleaseName,
        sha256: Sha256Digest,
    ) -> Result<Lookup<Option<LocatedRelease>>, Error> {
        Ok(
            match self.named(name, |file| file.hashes.sha256 == Some(sha256))? {
                Lookup::Fetch(fetch) => Lookup::Fetch(fetch),
                Lookup::Found(None) => Lookup::Found(None),
                Lookup::Found(Some((version, located))) => {
                    Lookup::Found(Some(release_of(name, version, located)?))
                }
            },
        )
    }

    /// Takes the file that the last search asked for.
    ///
    /// # Errors
    /// The rule that it breaks. What was verified before stays.
    pub fn supply(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let trail = self.wanted.take().ok_or_else(|| {
            malformed(
                "metadata",
                format_args!("a step is out of order: no role was asked for"),
            )
        })?;
        let verified = self.verify(&trail, &bytes)?;
        let role = role_at(&trail).to_owned();
        self.admit(trail, verified, bytes.len() as u64)?;
        self.keep(&role, bytes);
        self.settle();
        Ok(())
    }

    /// Walks the roles that `asked` leads to, from the top, each before those that it delegates to and those
    /// before the next one (TUF 5.6.7), until `answer` has one.
    fn search<T>(
        &mut self,
        ways: Ways,
        effort: &mut Effort,
        asked: impl Fn(&Delegations, &mut Effort) -> Result<Vec<Referral>, Spent>,
        answer: impl Fn(&Trail, &Signed<Targets>, UnixTime) -> Option<T>,
    ) -> Result<Lookup<Option<T>>, Error> {
        let mut visited: Vec<String> = Vec::new();
        let mut stack = vec![(top(), self.expires)];
        while let Some((trail, expires)) = stack.pop() {
            let (role, before) = (role_at(&trail), trail.len() - 1);
            let met = match ways {
                Ways::First => visited.as_slice(),
                Ways::All => &trail[..before],
            };
            // So that cycles end (TUF 5.6.7.1).
            if met.iter().any(|other| other == role) {
                continue;
            }
            visited.push(role.to_owned());
            if visited.len() > self.limits.delegated_roles + 1 {
                return Err(too_large(self.limits.delegated_roles as u64));
            }
            if !self.roles.contains_key(&trail) {
                effort.spend(VERIFICATION)?;
                if let Some(fetch) = self.recall(&trail)? {
                    self.wanted = Some(trail);
                    return Ok(Lookup::Fetch(fetch));
                }
            }
            let Some(signed) = self.roles.get(&trail) else {
                continue;
            };
            let expires = expires.min(signed.role.common.expires);
            if let Some(found) = answer(&trail, signed, expires) {
                return Ok(Lookup::Found(Some(found)));
            }
            let Some(delegations) = &signed.role.delegations else {
                continue;
            };
            let referrals = asked(delegations, effort)?;
            let last = referrals
                .iter()
                .position(|referral| referral.terminating)
                .map_or(referrals.len(), |at| {
                    // Nobody after a terminating role has a say, here or further up.
                    stack.clear();
                    at + 1
                });
            let length: usize = trail.iter().map(|role| role.len() + 1).sum();
            for referral in referrals.into_iter().take(last).rev() {
                // Each holds all the names again.
                effort.spend(length)?;
                let mut further = trail.clone();
                further.push(referral.role);
                stack.push((further, expires));
            }
        }
        Ok(Lookup::Found(None))
    }

    /// Verifies a delegated role from what is kept of it. If that does not do, it has to be fetched.
    fn recall(&mut self, trail: &Trail) -> Result<Option<MetadataFetch>, Error> {
        let role = role_at(trail);
        let meta = self.trusted.delegated_meta(role)?;
        let fetch = MetadataFetch {
            path: ["metadata/", &versioned(meta.version, &encode_role(role))].concat(),
            limit: meta.length.unwrap_or(u64::MAX).min(self.limits.targets),
            absence: Absence::Refused,
        };
        let offline = self.trusted.policy().network == Network::Offline;
        let source = self.source.as_ref().unwrap_or(&self.kept.targets);
        if let Some(bytes) = source.get(role) {
            match self.verify(trail, bytes) {
                Ok(verified) => {
                    let size = bytes.len() as u64;
                    self.admit(trail.clone(), verified, size)?;
                    return Ok(None);
                }
                Err(error @ VerifyError::Expired { .. }) if offline => return Err(error.into()),
                Err(_) => {}
            }
        }
        if offline {
            return Err(ResolveError::Offline {
                subject: words(format_args!("the role `{role}` of {}", self.label)),
            }
            .into());
        }
        Ok(Some(fetch))
    }

    /// Takes a role into use, whose file has `size` bytes: parsed, it has a multiple of that in memory.
    fn admit(&mut self, trail: Trail, verified: Signed<Targets>, size: u64) -> Result<(), Error> {
        let limit = self.limits.delegated_bytes;
        if size > limit - self.in_use {
            return Err(too_large(limit));
        }
        self.in_use += size;
        self.roles.insert(trail, verified);
        Ok(())
    }

    /// Keeps a delegated role's file, and others only as long as there is room.
    fn keep(&mut self, role: &str, bytes: Vec<u8>) {
        let is_used = |role: &str| self.roles.keys().any(|trail| role_at(trail) == role);
        let mut of_all = bytes.len() as u64;
        for (other, bytes) in &self.kept.targets {
            if other != RoleKind::Targets.as_str() && other != role {
                of_all += bytes.len() as u64;
            }
        }
        if of_all > self.limits.delegated_bytes {
            self.kept.targets.retain(|role, _| is_used(role));
        }
        self.kept.targets.insert(role.to_owned(), bytes);
    }

    fn verify(&self, trail: &Trail, bytes: &[u8]) -> Result<Signed<Targets>, VerifyError> {
        let role = role_at(trail);
        let delegations = trail
            .split_last()
            .and_then(|(_, delegator)| self.roles.get(delegator))
            .and_then(|signed| signed.role.delegations.as_ref())
            .ok_or_else(|| malformed(role, format_args!("nobody delegates to this role")))?;
        self.trusted.delegated(role, delegations, bytes)
    }

    /// The release of that name whose entry `says` so, in the first role that has one and may have it. Two in
    /// one role are none.
    fn named(
        &mut self,
        name: &ReleaseName,
        says: impl Fn(&TargetFile) -> bool,
    ) -> Result<Lookup<Option<(Version, Located)>>, Error> {
        let effort = &mut Effort::new(self.limits.search_steps);
        let mut passed: Vec<Trail> = Vec::new();
        let mut looked_up = 0;
        loop {
            let candidates = self.search(
                Ways::All,
                effort,
                |delegations, effort| {
                    let mut referrals = delegations.for_release(name, effort)?;
                    // Who has the last word on one version need not have it on all.
                    for referral in &mut referrals {
                        referral.terminating = false;
                    }
                    Ok(referrals)
                },
                |trail, signed, _| {
                    if passed.contains(trail) {
                        return None;
                    }
                    let targets = signed.role.targets.iter();
                    let versions: Vec<Version> = targets
                        .filter(|(path, file)| path.starts_with(name.as_str()) && says(file))
                        .filter_map(|(path, _)| parse_release_target(path))
                        .filter(|(other, _)| other == name)
                        .map(|(_, version)| version)
                        .collect();
                    (!versions.is_empty()).then(|| (trail.clone(), versions))
                },
            )?;
            let (trail, offered) = match candidates {
                Lookup::Fetch(fetch) => return Ok(Lookup::Fetch(fetch)),
                Lookup::Found(None) => return Ok(Lookup::Found(None)),
                Lookup::Found(Some(found)) => found,
            };
            let mut versions = Vec::new();
            for version in offered {
                // What a role has no right to on this way is as if it were not there. Otherwise whoever may name
                // one version could talk a channel to death that is about others.
                if self.covers(&trail, &release_target(name, &version), effort)? {
                    versions.push(version);
                }
                // One is what a role can mean. Of a list without an end nothing is looked up.
                if versions.len() > MAX_CANDIDATES {
                    return Ok(Lookup::Found(None));
                }
            }
            looked_up += versions.len();
            if looked_up > MAX_CANDIDATES {
                return Err(too_large(MAX_CANDIDATES as u64));
            }
            let mut confirmed = Vec::new();
            for version in versions {
                // A role may say anything; what counts is what the search for that very path finds, which may
                // lead to the role on another way, where it says something else.
                match self.target_within(&release_target(name, &version), effort)? {
                    Lookup::Fetch(fetch) => return Ok(Lookup::Fetch(fetch)),
                    Lookup::Found(Some(located))
                        if located.authority.role == role_at(&trail) && says(&located.file) =>
                    {
                        confirmed.push((version, located));
                    }
                    Lookup::Found(_) => {}
                }
            }
            match confirmed.len() {
                0 => passed.push(trail),
                1 => return Ok(Lookup::Found(confirmed.pop())),
                _ => return Ok(Lookup::Found(None)),
            }
        }
    }

    /// Whether each delegation on the way to a role covers the target `path`.
    fn covers(&self, trail: &[String], path: &str, effort: &mut Effort) -> Result<bool, Spent> {
        for at in 1..trail.len() {
            let (way, further) = trail.split_at(at);
            let delegations = self.roles.get(way).map(|it| &it.role.delegations);
            if let (Some(Some(delegations)), Some(role)) = (delegations, further.first())
                && delegations.cover(role, path, effort)?
            {
                continue;
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn unknown(&self, name: &ReleaseName, selector: &Selector) -> ResolveError {
        let of_name: Vec<_> = self
            .releases()
            .filter(|(other, _, _)| other == name)
            .collect();
        if of_name.is_empty() {
            let known = self.releases().map(|(name, _, _)| name.to_string());
            let mut known: Vec<String> = sorted(known.collect());
            known.dedup();
            return ResolveError::UnknownName {
                repository: self.label.clone(),
                name: name.to_string(),
                known,
            };
        }
        match selector {
            Selector::Version(version) => ResolveError::UnknownVersion {
                name: name.to_string(),
                version: version.to_string(),
                known: of_name
                    .iter()
                    .map(|(_, version, _)| version.to_string())
                    .collect(),
            },
            Selector::Channel(channel) => {
                let known = of_name.iter().flat_map(|(_, _, file)| file.channels());
                let mut known = sorted(known.map(Channel::to_string).collect());
                known.dedup();
                ResolveError::UnknownChannel {
                    name: name.to_string(),
                    channel: channel.to_string(),
                    known,
                }
            }
        }
    }
}

/// More roles, more of their files, or more that they offer, than a search takes.
fn too_large(limit: u64) -> Error {
    VerifyError::TooLarge {
        subject: "delegated roles".into(),
        limit,
    }
    .into()
}

fn top() -> Trail {
    vec![RoleKind::Targets.as_str().to_owned()]
}

/// The role that a trail leads to; none is empty.
fn role_at(trail: &[String]) -> &str {
    trail.last().map_or("", String::as_str)
}

fn releases(targets: &Targets) -> impl Iterator<Item = (ReleaseName, Version, &TargetFile)> {
    targets.targets.iter().filter_map(|(path, file)| {
        let (name, version) = parse_release_target(path)?;
        Some((name, version, file))
    })
}

fn release_of(
    name: &ReleaseName,
    version: Version,
    located: Located,
) -> Result<LocatedRelease, VerifyError> {
    let Some(sha256) = located.file.hashes.sha256 else {
        return Err(malformed(
            &located.path,
            format_args!("expected a SHA-256 digest"),
        ));
    };
    let release = ReleaseTarget {
        path: format!("targets/{name}/{version}/{sha256}.release.json"),
        name: name.clone(),
        version,
        length: located.file.length,
        sha256,
        updates: located.file.updates().to_vec(),
    };
    Ok((release, located.authority))
}
