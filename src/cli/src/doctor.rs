//! A checkup of a repository as it is served, or in its folder: everything that keeps readers from loading
//! releases, and what will.
//!
//! Each check stands by itself where it can, so that one fault does not hide the next. Nothing is kept.

mod delegated;

use std::collections::BTreeSet;

use serde::Serialize;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded, ConfigError, Error, FetchError, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Manifest, ObjectEntry};
use webimport_core::metadata::{Envelope, Role, RoleKind, Root, Snapshot, Targets, Timestamp};
use webimport_core::names::{PyodideVersion, ReleaseName, Selector, Version};
use webimport_core::repository::Repository;
use webimport_core::snapshot::{SnapshotRelease, parse_snapshot_target};
use webimport_core::time::UnixTime;
use webimport_core::workflow::{Absence, CachedMetadata, Refresh, RootTrust, Step};

use crate::lookup;
use crate::observe::{Event, Observer, Unit};
use crate::repository::{Lifetimes, ROLES};
use crate::shards;
use crate::source::{Answer, ORIGIN, Source, Transport};
use crate::verify;

/// What to check.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// A repository's base URL, or its folder.
    pub repository: String,
    /// The digest of `1.root.json`. `None` takes what is there, which says nothing of a server.
    pub root: Option<Sha256Digest>,
    /// The time against which expiry is judged.
    pub now: UnixTime,
    /// How much of each object is looked at.
    pub depth: Depth,
    /// How to fetch.
    pub transport: Transport,
}

/// How objects are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Whether they are there, with the right size.
    Presence,
    /// All of their bytes.
    Content,
}

/// Of which release a snapshot is, and for which Pyodide.
type SnapshotName = (ReleaseName, Version, PyodideVersion);

/// What files are whose bytes were read.
const AS_SIGNED: &str = "as signed";

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, and could be better.
    Note,
    /// Works now; somebody has to do something soon.
    Warn,
    /// Readers are kept out.
    Fail,
}

/// One line of the list.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The whole list.
#[derive(Debug, Clone, Serialize)]
pub struct Checkup {
    /// The base URL or folder.
    pub repository: String,
    /// The root pin that was used.
    pub root: String,
    /// Whether somebody has to do something.
    pub healthy: bool,
    /// In the order in which readers depend on them.
    pub checks: Vec<Check>,
}

/// A checkup could not even begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoctorError {
    /// The URL.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A server's own root proves nothing.
    #[error("a URL is checked against a root pin")]
    NoPin,
    /// There is no repository.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl Coded for DoctorError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::NoPin => "usage.root",
            Self::Fetch(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Config(error) => error.hint(),
            Self::NoPin => "give the pin that `webimport init` printed with --root".into(),
            Self::Fetch(error) => error.hint(),
        }
    }
}

/// Looks at everything that a reader needs.
///
/// # Errors
/// [`DoctorError`] if nothing can be looked at; faults of the repository are in the result.
pub fn doctor(options: &DoctorOptions, observer: &dyn Observer) -> Result<Checkup, DoctorError> {
    let limits = Limits::default();
    let source = Source::of_repository(&options.repository, &options.transport)?;
    let pin = match (options.root, &source) {
        (Some(pin), _) => pin,
        (None, Source::Folder(_)) => {
            Sha256Digest::of(&source.fetch("metadata/1.root.json", limits.root)?)
        }
        (None, Source::Http { .. }) => return Err(DoctorError::NoPin),
    };
    let mut doctor = Doctor {
        source,
        options,
        limits,
        checks: Vec::new(),
        answers: Vec::new(),
    };
    observer.event(Event::Stage {
        title: "checking metadata",
        unit: Unit::Files,
        total: 0,
    });
    doctor.transport();
    doctor.missing_file();
    if let Some(mut repository) = doctor.metadata(pin) {
        doctor.expiry_and_thresholds(&repository);
        let delegated = doctor.delegated_roles(&repository);
        // Before a search for a release adds what other roles name.
        let top = repository.targets().filter_map(parse_snapshot_target);
        let top: BTreeSet<SnapshotName> = top.collect();
        let mut objects = doctor.releases(&mut repository, delegated.releases);
        objects.extend(doctor.snapshots(&mut repository, &top, delegated.snapshots));
        doctor.objects(&objects, observer);
    }
    doctor.headers();
    let checks = doctor.checks;
    Ok(Checkup {
        repository: doctor.source.to_string(),
        root: format!("sha256:{pin}"),
        healthy: checks.iter().all(|check| check.verdict < Verdict::Warn),
        checks,
    })
}

/// What a file is, as far as servers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Changes under its name.
    Timestamp,
    /// Never changes: it has a number or a digest in its name.
    Fixed,
    /// Is not there, and readers have to see that.
    Missing,
}

struct Doctor<'a> {
    source: Source,
    options: &'a DoctorOptions,
    limits: Limits,
    checks: Vec<Check>,
    /// What came back over HTTP, without the bodies.
    answers: Vec<(Kind, String, Answer)>,
}

/// No repository has that many roots.
const NO_ROOT: &str = "metadata/999999999.root.json";

/// Seconds for which a cache may keep the timestamp.
const TIMESTAMP_AGE: u64 = 300;

/// Faults of one kind that a message names.
const SHOWN: usize = 3;

impl Doctor<'_> {
    fn add(&mut self, name: &str, verdict: Verdict, message: impl Into<String>, hint: &str) {
        self.checks.push(Check {
            name: name.to_owned(),
            verdict,
            message: message.into(),
            hint: (!hint.is_empty()).then(|| hint.to_owned()),
        });
    }

    fn is_served(&self) -> bool {
        matches!(self.source, Source::Http { .. })
    }

    fn keep(&mut self, kind: Kind, path: &str, answer: &Answer) {
        if self.is_served() {
            let answer = Answer {
                status: answer.status,
                headers: answer.headers.clone(),
                body: Vec::new(),
            };
            self.answers.push((kind, path.to_owned(), answer));
        }
    }

    fn fetch(&mut self, path: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let answer = self.source.answer(path, limit)?;
        let kind = match (path, answer.status) {
            (_, 403 | 404 | 410) => Kind::Missing,
            ("metadata/timestamp.json", _) => Kind::Timestamp,
            _ => Kind::Fixed,
        };
        self.keep(kind, path, &answer);
        answer.into_file(self.source.url(path))
    }

    fn transport(&mut self) {
        match &self.source {
            Source::Http { base, .. } if base.as_str().starts_with("https:") => {
                self.add("transport", Verdict::Ok, "served over https", "");
            }
            Source::Http { .. } => self.add(
                "transport",
                Verdict::Note,
                "served over http, which readers accept from loopback alone",
                "serve it over https for others",
            ),
            Source::Folder(_) => {}
        }
    }

    /// Readers ask for the next root each time: that it is not there has to be said so that they understand it.
    fn missing_file(&mut self) {
        if !self.is_served() {
            return;
        }
        let name = "missing file";
        match self.source.answer(NO_ROOT, self.limits.root) {
            Ok(answer) => {
                let status = answer.status;
                let (verdict, hint) = match status {
                    404 | 410 => (Verdict::Ok, ""),
                    403 => (
                        Verdict::Note,
                        "readers take it for 404; let the server answer 404 to tell a wrong permission from a missing file",
                    ),
                    _ => (
                        Verdict::Fail,
                        "let the server answer 404 for what is not there, without a page in its place",
                    ),
                };
                let message = format!("the answer for a file that is not there is {status}");
                self.add(name, verdict, message, hint);
                self.keep(Kind::Missing, NO_ROOT, &answer);
            }
            Err(error) => self.add(name, Verdict::Fail, error.to_string(), &error.hint()),
        }
    }

    /// The chain from the pin down, expired or not.
    fn metadata(&mut self, pin: Sha256Digest) -> Option<Repository> {
        let mut refresh = Refresh::new(
            RootTrust::Pin(pin),
            &self.source.to_string(),
            CachedMetadata::default(),
            // Expiry is a check of its own.
            UnixTime(0),
            self.limits.clone(),
        );
        let walked = loop {
            match refresh.step() {
                Ok(Step::Fetch(fetch)) => {
                    let file = match self.fetch(&fetch.path, fetch.limit) {
                        Err(FetchError::NotFound { .. }) if fetch.absence == Absence::Expected => {
                            None
                        }
                        Ok(file) => Some(file),
                        Err(error) => break Err(error.into()),
                    };
                    if let Err(error) = refresh.supply(file) {
                        break Err(error);
                    }
                }
                Ok(Step::Done) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let roots = refresh.verified().map_or(0, |(_, kept)| kept.roots.len());
        match walked.and_then(|()| refresh.finish()) {
            Ok(repository) => {
                let message = format!("{}, verified from the pin down", counted(roots, "root"));
                self.add("metadata", Verdict::Ok, message, "");
                Some(repository)
            }
            Err(error) => {
                self.add("metadata", Verdict::Fail, error.to_string(), &error.hint());
                None
            }
        }
    }

    fn expiry_and_thresholds(&mut self, repository: &Repository) {
        let kept = repository.verified();
        let newest = kept.roots.last().map(Vec::as_slice);
        let root = newest.and_then(open::<Root>);
        let lifetimes = root.as_ref().map(Lifetimes::recorded).unwrap_or_default();
        let targets = kept
            .targets
            .get(RoleKind::Targets.as_str())
            .map(Vec::as_slice);
        let roles = [
            (RoleKind::Root, newest.and_then(expires::<Root>)),
            (RoleKind::Targets, targets.and_then(expires::<Targets>)),
            (
                RoleKind::Snapshot,
                kept.snapshot.as_deref().and_then(expires::<Snapshot>),
            ),
            (
                RoleKind::Timestamp,
                kept.timestamp.as_deref().and_then(expires::<Timestamp>),
            ),
        ];
        for (role, expires) in roles {
            let Some(expires) = expires else { continue };
            let lifetime = lifetimes.days(role);
            // Later than `renew` does it by itself, where it can.
            let early = match role {
                RoleKind::Root => (lifetime / 3).min(30),
                _ => (lifetime / 6).min(15),
            };
            let name = format!("{} expiry", role.as_str());
            let hint = match role {
                RoleKind::Root => "run `webimport renew` where the root keys are",
                _ => "run `webimport renew` each day",
            };
            if expires <= self.options.now {
                self.add(&name, Verdict::Fail, format!("expired {expires}"), hint);
            } else if expires <= self.options.now.plus_days(early) {
                self.add(&name, Verdict::Warn, format!("expires {expires}"), hint);
            } else {
                self.add(&name, Verdict::Ok, format!("expires {expires}"), "");
            }
        }
        let Some(root) = root else { return };
        for role in ROLES {
            let Some(keys) = root.roles.get(role.as_str()) else {
                continue;
            };
            let count = keys.keyids.len();
            let name = format!("{} keys", role.as_str());
            let message = format!("needs {} of {}", keys.threshold, counted(count, "key"));
            if keys.threshold > count as u64 {
                self.add(
                    &name,
                    Verdict::Fail,
                    message,
                    "publish a new root with the keys that there are: nobody can sign for the role",
                );
            } else if role == RoleKind::Root && count == 1 {
                self.add(
                    &name,
                    Verdict::Note,
                    message,
                    "with one key, who loses it cannot replace any; `webimport keys add` and `webimport keys set`",
                );
            } else {
                self.add(&name, Verdict::Ok, message, "");
            }
        }
    }

    /// Every manifest; the objects that they name, and updates. `delegated` are the releases that delegated roles name.
    fn releases(
        &mut self,
        repository: &mut Repository,
        delegated: Vec<(ReleaseName, Version)>,
    ) -> Vec<ObjectEntry> {
        let mut names: Vec<(ReleaseName, Version)> = repository
            .releases()
            .map(|(name, version, _)| (name, version))
            .collect();
        let top = names.len();
        for release in delegated {
            if !names.contains(&release) {
                names.push(release);
            }
        }
        let (mut objects, mut seen) = (Vec::new(), BTreeSet::new());
        let mut faults = Vec::new();
        let mut strays = Vec::new();
        for (index, (name, version)) in names.iter().enumerate() {
            match self.release(repository, name, version) {
                // No role that may name it does.
                Err(Error::Resolve(_)) if index >= top => strays.push(format!("{name} {version}")),
                Ok(listed) => {
                    for object in listed {
                        if seen.insert(object.sha256) {
                            objects.push(object);
                        }
                    }
                }
                Err(error) => faults.push((format!("{name} {version}: {error}"), error.hint())),
            }
        }
        let count = names.len() - strays.len();
        self.add_all("releases", "release", count, AS_SIGNED, &faults);
        if !strays.is_empty() {
            let more = if strays.len() > SHOWN { ", …" } else { "" };
            let shown = strays[..strays.len().min(SHOWN)].join(", ");
            self.add(
                "delegated releases",
                Verdict::Note,
                format!("named by a role that may not name it: {shown}{more}"),
                "give the role a pattern for it, or take it out of the role's file: readers do not find it",
            );
        }
        objects
    }

    fn release(
        &mut self,
        repository: &mut Repository,
        name: &ReleaseName,
        version: &Version,
    ) -> Result<Vec<ObjectEntry>, Error> {
        let selector = Selector::Version(version.clone());
        let (target, _) = lookup::answer(
            repository,
            |repository| repository.release(name, &selector),
            |path, limit| self.fetch(path, limit),
        )?;
        let bytes = self.fetch(&target.path, target.length.min(self.limits.manifest))?;
        let expected = target.expected();
        let mut manifest = Manifest::parse(&bytes, &expected, name, Some(version), &self.limits)?;
        let limits = self.limits.clone();
        shards::add_all(&mut manifest, &limits, |object| {
            let bytes = self.fetch(&object.path(), object.size)?;
            Ok::<_, Error>(verify::decoded(object, bytes)?)
        })?;
        let manifest = manifest.into_inner();
        let shards = manifest.shards.into_iter().map(|shard| shard.object);
        let mut objects: Vec<ObjectEntry> = shards.chain(manifest.objects).collect();
        for update in &target.updates {
            objects.push(update.object(&self.limits)?.clone());
        }
        Ok(objects)
    }

    /// The description of every memory snapshot that the top-level role or `delegated` ones name; the objects that they
    /// name.
    fn snapshots(
        &mut self,
        repository: &mut Repository,
        top: &BTreeSet<SnapshotName>,
        delegated: Vec<SnapshotName>,
    ) -> Vec<ObjectEntry> {
        let names: BTreeSet<SnapshotName> = top.iter().cloned().chain(delegated).collect();
        let (mut objects, mut faults) = (Vec::new(), Vec::new());
        for name in &names {
            match self.snapshot(repository, name) {
                Ok(Some(object)) => objects.push(object),
                // No role that may name it, or the release, does, so that nobody asks for it.
                Ok(None) => {}
                Err(Error::Resolve(_)) if !top.contains(name) => {}
                Err(error) => {
                    let (release, version, pyodide) = name;
                    faults.push((
                        format!("{release} {version} for Pyodide {pyodide}: {error}"),
                        error.hint(),
                    ));
                }
            }
        }
        let count = objects.len() + faults.len();
        // Most repositories have none.
        if count > 0 {
            self.add_all("memory snapshots", "snapshot", count, AS_SIGNED, &faults);
        }
        objects
    }

    /// The object of a snapshot; `None` if no role that may name it does, so that readers do not find it.
    fn snapshot(
        &mut self,
        repository: &mut Repository,
        (name, version, pyodide): &SnapshotName,
    ) -> Result<Option<ObjectEntry>, Error> {
        let selector = Selector::Version(version.clone());
        let mut fetch = |path: &str, limit| self.fetch(path, limit);
        let ask = |repository: &mut Repository| repository.release(name, &selector);
        let (target, _) = lookup::answer(repository, ask, &mut fetch)?;
        let release = SnapshotRelease {
            name: target.name,
            version: target.version,
            sha256: target.sha256,
        };
        let snapshot = lookup::snapshot(repository, &release, pyodide, fetch)?;
        Ok(snapshot.map(|snapshot| snapshot.object))
    }

    fn objects(&mut self, objects: &[ObjectEntry], observer: &dyn Observer) {
        observer.event(Event::Stage {
            title: "checking objects",
            unit: Unit::Files,
            total: objects.len() as u64,
        });
        let mut faults = Vec::new();
        for (done, object) in (1..).zip(objects) {
            if let Err(error) = self.object(object) {
                faults.push((error.to_string(), error.hint()));
            }
            observer.event(Event::Progress(done));
        }
        let right = match self.options.depth {
            Depth::Content => AS_SIGNED,
            Depth::Presence => "of the signed size; `--deep` reads what is in them",
        };
        self.add_all("objects", "object", objects.len(), right, &faults);
    }

    fn object(&mut self, object: &ObjectEntry) -> Result<(), Error> {
        let path = object.path();
        if self.options.depth == Depth::Content {
            let bytes = self.fetch(&path, object.size)?;
            return Ok(object.expected().check_bytes(&bytes)?);
        }
        let answer = self.source.head(&path)?;
        self.keep(Kind::Fixed, &path, &answer);
        let length = answer.header("content-length").parse().ok();
        answer.into_file(self.source.url(&path))?;
        // A server need not say it.
        match length {
            Some(got) if got != object.size => Err(VerifyError::Length {
                subject: path,
                expected: object.size,
                got,
            }
            .into()),
            _ => Ok(()),
        }
    }

    fn add_all(
        &mut self,
        name: &str,
        noun: &str,
        count: usize,
        right: &str,
        faults: &[(String, String)],
    ) {
        let Some((_, hint)) = faults.first().cloned() else {
            let message = format!("{}, {right}", counted(count, noun));
            return self.add(name, Verdict::Ok, message, "");
        };
        let mut message = format!(
            "{} of {}, not as signed: ",
            faults.len(),
            counted(count, noun)
        );
        let shown: Vec<String> = faults
            .iter()
            .take(SHOWN)
            .map(|(it, _)| it.clone())
            .collect();
        message.push_str(&shown.join("; "));
        if faults.len() > SHOWN {
            message.push_str("; …");
        }
        self.add(name, Verdict::Fail, message, &hint);
    }

    /// What every answer said besides.
    fn headers(&mut self) {
        if !self.is_served() {
            return;
        }
        let answers = std::mem::take(&mut self.answers);
        let closed = paths(&answers, |_, answer| {
            let allowed = answer.header("access-control-allow-origin");
            allowed != "*" && allowed != ORIGIN
        });
        match closed {
            None => self.add("cross-origin", Verdict::Ok, "every page may read it", ""),
            Some(paths) => self.add(
                "cross-origin",
                Verdict::Fail,
                format!("no page of another origin can read {paths}"),
                "send `access-control-allow-origin: *` with every answer, also with 404",
            ),
        }

        let timestamps: Vec<String> = answers
            .iter()
            .filter(|(kind, _, _)| *kind == Kind::Timestamp)
            .map(|(_, _, answer)| answer.header("cache-control").to_ascii_lowercase())
            .collect();
        for control in timestamps {
            let hint = "send `cache-control: no-store` with `metadata/timestamp.json`";
            match freshness(&control) {
                Some(age) if age <= TIMESTAMP_AGE => {
                    self.add("timestamp caching", Verdict::Ok, control, "");
                }
                Some(age) => self.add(
                    "timestamp caching",
                    Verdict::Fail,
                    format!("caches keep `metadata/timestamp.json` for {age} s"),
                    hint,
                ),
                None => self.add(
                    "timestamp caching",
                    Verdict::Warn,
                    "caches choose how long they keep `metadata/timestamp.json`",
                    hint,
                ),
            }
        }

        let unkept = paths(&answers, |kind, answer| {
            kind == Kind::Fixed
                && answer.status == 200
                && freshness(&answer.header("cache-control").to_ascii_lowercase())
                    .is_none_or(|age| age <= TIMESTAMP_AGE)
        });
        match unkept {
            None => self.add("caching", Verdict::Ok, "what never changes is kept", ""),
            Some(paths) => self.add(
                "caching",
                Verdict::Note,
                format!("caches do not keep {paths}, which never change"),
                "send `cache-control: public, max-age=31536000, immutable` with everything else",
            ),
        }

        let encoded = paths(&answers, |kind, answer| {
            let encoding = answer.header("content-encoding");
            kind != Kind::Missing && !encoding.is_empty() && encoding != "identity"
        });
        match encoded {
            None => self.add("encoding", Verdict::Ok, "bytes are sent as they are", ""),
            Some(paths) => self.add(
                "encoding",
                Verdict::Fail,
                format!("the server says unasked that it has encoded {paths}"),
                "remove `content-encoding`: browsers undo it, and the digest fits no more",
            ),
        }
    }
}

/// The first paths of which something is true, for a message.
fn paths(
    answers: &[(Kind, String, Answer)],
    is_so: impl Fn(Kind, &Answer) -> bool,
) -> Option<String> {
    let found: BTreeSet<&str> = answers
        .iter()
        .filter(|(kind, _, answer)| is_so(*kind, answer))
        .map(|(_, path, _)| path.as_str())
        .collect();
    if found.is_empty() {
        return None;
    }
    let shown: Vec<String> = found
        .iter()
        .take(SHOWN)
        .map(|path| format!("`{path}`"))
        .collect();
    let rest = found.len().saturating_sub(SHOWN);
    let text = shown.join(", ");
    Some(match rest {
        0 => text,
        _ => format!("{text} and {rest} more"),
    })
}

/// For how many seconds a cache may keep an answer without asking again (RFC 9111, 5.2.2); `None` if the header
/// leaves it to the cache. In lower case.
fn freshness(control: &str) -> Option<u64> {
    let mut age = None;
    for directive in control.split(',').map(str::trim) {
        if matches!(directive, "no-store" | "no-cache") {
            return Some(0);
        }
        let Some((name, value)) = directive.split_once('=') else {
            continue;
        };
        // The former is for shared caches, which many readers are behind.
        if matches!(name, "s-maxage" | "max-age") {
            age = age.max(value.trim_matches('"').parse().ok());
        }
    }
    age
}

fn open<T: Role>(bytes: &[u8]) -> Option<T> {
    Envelope::parse(bytes, T::KIND.as_str())
        .ok()
        .map(|envelope| envelope.signed)
}

fn expires<T: Role>(bytes: &[u8]) -> Option<UnixTime> {
    open::<T>(bytes).map(|role| role.common().expires)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_is_read() {
        for (control, age) in [
            ("", None),
            ("public", None),
            ("no-store", Some(0)),
            ("max-age=600, no-cache", Some(0)),
            ("max-age=60", Some(60)),
            ("public, max-age=\"60\"", Some(60)),
            ("max-age=60, s-maxage=3600", Some(3600)),
            ("max-age=soon", None),
        ] {
            assert_eq!(freshness(control), age, "{control}");
        }
    }
}
