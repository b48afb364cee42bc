//! A client that keeps what a refresh verified, and nothing that it refused.

use webimport_core::error::{Coded as _, Error, ResolveError};
use webimport_core::limits::Limits;
use webimport_core::metadata::RoleKind;
use webimport_core::repository::{Located, LocatedRelease, Lookup, Repository};
use webimport_core::time::UnixTime;
use webimport_core::trust::Expiry;
use webimport_core::workflow::{CachedMetadata, Chain, Refresh, RootTrust, Step};

use super::{NOW, Simulator, URL};

/// One device.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) trust: RootTrust,
    pub(crate) cached: CachedMetadata,
    pub(crate) now: UnixTime,
    pub(crate) limits: Limits,
    /// The files that the last refresh asked for, without `metadata/`.
    pub(crate) requests: Vec<String>,
}

impl Client {
    /// A client that pins the first root of `simulator` and has nothing cached.
    pub(crate) fn new(simulator: &Simulator) -> Self {
        Self {
            trust: RootTrust::Pin(simulator.pin()),
            cached: CachedMetadata::default(),
            now: NOW,
            limits: Limits::default(),
            requests: Vec::new(),
        }
    }

    /// A client that has refreshed once.
    pub(crate) fn warm(simulator: &Simulator) -> Self {
        let mut client = Self::new(simulator);
        client.refresh(simulator).unwrap();
        client
    }

    /// Starts a refresh.
    pub(crate) fn start(&self) -> Refresh {
        Refresh::new(
            self.trust,
            URL,
            self.cached.clone(),
            self.now,
            self.limits.clone(),
        )
    }

    /// Refreshes against `simulator` as the browser's driver does, and keeps what was verified, as the
    /// specification asks. After a refusal, whatever it is, what could be loaded before still loads offline and
    /// nothing else does, unless a root was verified on the way: that is checked here, so in every test.
    pub(crate) fn refresh(&mut self, simulator: &Simulator) -> Result<Repository, Error> {
        let mut refresh = self.start();
        let before = offline_state(&refresh);
        self.requests.clear();
        // The driver asks this first, to know how long to wait for a server. The time goes on with it.
        drop(refresh.offline(Expiry::Refuse));
        match self.drive(&mut refresh, simulator) {
            Ok(()) => {
                let repository = refresh.finish()?;
                self.cached = repository.verified().clone();
                self.trust = RootTrust::Pin(repository.pin());
                Ok(repository)
            }
            Err(error) => {
                let roots = self.cached.roots.clone();
                if let Some((_, verified)) = refresh.verified() {
                    self.cached = verified.clone();
                }
                if self.cached.roots == roots {
                    let after = offline_state(&self.start());
                    assert!(after == before, "it changed after {error}");
                }
                Err(error)
            }
        }
    }

    /// What the cache alone gives.
    pub(crate) fn offline(&self, expiry: Expiry) -> Result<Repository, Error> {
        self.start().offline(expiry)
    }

    /// A target by the cache alone, as the driver looks for it: where the newest chain has not been asked for a
    /// role, the last whole one may have it. With it, what is to be stored.
    pub(crate) fn find_offline(
        &self,
        path: &str,
        expiry: Expiry,
    ) -> (Result<Option<Located>, Error>, CachedMetadata) {
        let mut refresh = self.start();
        let found = refresh.offline(expiry).and_then(|mut newest| {
            let error = match newest.target(path) {
                Err(error @ Error::Resolve(ResolveError::Offline { .. })) => error,
                found => return found.map(without_network),
            };
            let mut whole = refresh.offline_whole(expiry).map_err(|_| error)?;
            whole.target(path).map(without_network)
        });
        let verified = refresh.verified();
        let stored = verified.map_or_else(|| self.cached.clone(), |(_, it)| it.clone());
        (found, stored)
    }

    /// Refreshes and searches for a target.
    pub(crate) fn find(
        &mut self,
        simulator: &Simulator,
        path: &str,
    ) -> Result<Option<Located>, Error> {
        let mut repository = self.refresh(simulator)?;
        self.target(simulator, &mut repository, path)
    }

    /// The delegated roles that the last refresh and what was searched for after it asked the server for.
    pub(crate) fn roles_asked(&self) -> Vec<&str> {
        let roles = self.requests.iter().map(|file| {
            let file = file.strip_suffix(".json").unwrap();
            file.split_once('.').map_or(file, |(_, role)| role)
        });
        roles.filter(|role| RoleKind::of(role).is_none()).collect()
    }

    /// Searches for a target, and fetches and keeps the delegated roles that this needs.
    pub(crate) fn target(
        &mut self,
        simulator: &Simulator,
        repository: &mut Repository,
        path: &str,
    ) -> Result<Option<Located>, Error> {
        self.search(simulator, repository, |repository| repository.target(path))
    }

    /// Searches for a release, and fetches and keeps the delegated roles that this needs.
    pub(crate) fn release(
        &mut self,
        simulator: &Simulator,
        repository: &mut Repository,
        name: &str,
        selector: &str,
    ) -> Result<LocatedRelease, Error> {
        let (name, selector) = (name.parse().unwrap(), selector.parse().unwrap());
        self.search(simulator, repository, |repository| {
            repository.release(&name, &selector)
        })
    }

    /// Asks until there is an answer, and fetches and keeps what that needs.
    pub(crate) fn search<T>(
        &mut self,
        simulator: &Simulator,
        repository: &mut Repository,
        ask: impl Fn(&mut Repository) -> Result<Lookup<T>, Error>,
    ) -> Result<T, Error> {
        loop {
            match ask(repository)? {
                Lookup::Found(found) => return Ok(found),
                Lookup::Fetch(fetch) => {
                    let file = fetch.path.strip_prefix("metadata/").unwrap();
                    self.requests.push(file.to_owned());
                    let answer = simulator.answer(&fetch)?.unwrap();
                    let before = repository.verified().clone();
                    if let Err(error) = repository.supply(answer) {
                        assert_eq!(*repository.verified(), before, "kept despite {error}");
                        return Err(error);
                    }
                    self.cached = repository.verified().clone();
                }
            }
        }
    }

    fn drive(&mut self, refresh: &mut Refresh, simulator: &Simulator) -> Result<(), Error> {
        while let Step::Fetch(fetch) = refresh.step()? {
            let file = fetch.path.strip_prefix("metadata/").unwrap();
            self.requests.push(file.to_owned());
            refresh.supply(simulator.answer(&fetch)?)?;
        }
        Ok(())
    }
}

/// What a refresh could serve from the cache alone. Which of the damaged files it is that keeps it from serving
/// can change.
fn offline_state(refresh: &Refresh) -> Option<Vec<String>> {
    let repository = refresh.clone().offline(Expiry::AcceptStale).ok()?;
    Some(describe(&repository))
}

/// The answer of a search that cannot ask for anything.
#[track_caller]
fn without_network<T>(found: Lookup<T>) -> T {
    match found {
        Lookup::Found(found) => found,
        Lookup::Fetch(fetch) => panic!("{} was asked for without a network", fetch.path),
    }
}

/// Every release that a repository names, with its digest.
pub(crate) fn describe(repository: &Repository) -> Vec<String> {
    let releases = repository.releases();
    releases
        .map(|(name, version, file)| format!("{name} {version} {:?}", file.hashes.sha256))
        .collect()
}

/// The files of a record as one chain.
pub(crate) fn whole_chain(cached: &CachedMetadata) -> Chain {
    Chain {
        timestamp: cached.timestamp.clone().unwrap(),
        snapshot: cached.snapshot.clone().unwrap(),
        targets: cached.targets.clone(),
    }
}

/// The refusal has this code, and its message names this subject.
#[track_caller]
pub(crate) fn assert_refused<T>(result: Result<T, Error>, code: &str, subject: &str) {
    let error = result.map(drop).expect_err("expected a refusal");
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    assert!(message.contains(subject), "`{subject}` in: {message}");
}
