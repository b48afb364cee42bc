//! A client that keeps what a refresh verified, and nothing of one that was refused.

use webimport_core::error::{Coded as _, Error};
use webimport_core::limits::Limits;
use webimport_core::time::UnixTime;
use webimport_core::trust::{Expiry, Repository, Verified};
use webimport_core::workflow::{CachedMetadata, Refresh, Refreshed, RootTrust, Step};

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

    /// Refreshes against `simulator` and keeps the result. After a refusal, whatever it is, what was cached
    /// still serves offline, unless a newer root was verified on the way: that is checked here, so in every
    /// test. Newer roots are kept, as the specification asks.
    pub(crate) fn refresh(&mut self, simulator: &Simulator) -> Result<Refreshed, Error> {
        let mut refresh = self.start();
        let before = offline_state(&refresh);
        self.requests.clear();
        match self.drive(&mut refresh, simulator) {
            Ok(()) => {
                let refreshed = refresh.finish()?;
                self.cached = refreshed.metadata.clone();
                self.trust = RootTrust::Pin(refreshed.pin);
                Ok(refreshed)
            }
            Err(error) => {
                match refresh.newer_roots() {
                    None => assert!(
                        offline_state(&refresh) == before,
                        "it changed after {error}"
                    ),
                    Some((_, newer)) => self.cached = newer.clone(),
                }
                Err(error)
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

/// What a refresh could serve from the cache alone.
fn offline_state(refresh: &Refresh) -> Result<(Verified<Repository>, CachedMetadata), Error> {
    refresh
        .offline(Expiry::AcceptStale)
        .map(|refreshed| (refreshed.repository, refreshed.metadata))
}

/// The refusal has this code, and its message names this subject.
#[track_caller]
pub(crate) fn assert_refused(result: Result<Refreshed, Error>, code: &str, subject: &str) {
    let error = result.map(drop).expect_err("expected a refusal");
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    assert!(message.contains(subject), "`{subject}` in: {message}");
}
