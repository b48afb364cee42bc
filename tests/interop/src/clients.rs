//! The three clients, each asked for one target.
//!
//! They get the same files, the same first root and the same time, and start from the same knowledge.

use std::panic;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{MemoryStore, Updater};
use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Coded as _, Error, FetchError, ResolveError};
use webimport_core::limits::Limits;
use webimport_core::repository::Lookup;
use webimport_core::time::UnixTime;
use webimport_core::workflow::{Absence, CachedMetadata, MetadataFetch, Refresh, RootTrust, Step};

use crate::files::Files;
use crate::provider;

/// A target to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    /// What the server has.
    pub files: &'a Files,
    /// The first root, which the client has from its owner.
    pub root: &'a [u8],
    /// What the server had when the client refreshed before; `None` for a new client.
    pub seen: Option<&'a Files>,
    /// The target's path.
    pub target: &'a str,
    /// The time.
    pub now: UnixTime,
}

/// What a client made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target's bytes.
    Accepted(Vec<u8>),
    /// Why not. Of ours, the code and the message.
    Refused(String),
}

impl Outcome {
    /// Whether the target was loaded.
    pub fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

/// Our own client.
pub fn webimport(load: &Load<'_>) -> Outcome {
    match load_with_webimport(load) {
        Ok(bytes) => Outcome::Accepted(bytes),
        Err(error) => Outcome::Refused(format!("{}: {error}", error.code())),
    }
}

fn load_with_webimport(load: &Load<'_>) -> Result<Vec<u8>, Error> {
    let cached = match load.seen {
        None => CachedMetadata::default(),
        Some(seen) => {
            let refresh = refreshed(seen, load, CachedMetadata::default())?;
            refresh.finish()?.verified().clone()
        }
    };
    let mut repository = refreshed(load.files, load, cached)?.finish()?;
    let found = loop {
        match repository.target(load.target)? {
            Lookup::Found(found) => break found,
            Lookup::Fetch(fetch) => repository.supply(fetched(load.files, &fetch)?)?,
        }
    };
    let located = found.ok_or_else(|| ResolveError::UnknownName {
        repository: String::new(),
        name: load.target.into(),
        known: Vec::new(),
    })?;
    let fetch = MetadataFetch {
        path: format!("targets/{}", located.consistent_path()?),
        limit: located.file.length,
        absence: Absence::Refused,
    };
    let bytes = fetched(load.files, &fetch)?;
    located.check_bytes(&bytes)?;
    Ok(bytes)
}

fn refreshed(files: &Files, load: &Load<'_>, cached: CachedMetadata) -> Result<Refresh, Error> {
    let trust = RootTrust::Pin(Sha256Digest::of(load.root));
    let mut refresh = Refresh::new(trust, "memory", cached, load.now, Limits::default());
    while let Step::Fetch(fetch) = refresh.step()? {
        let file = match fetched(files, &fetch) {
            Err(FetchError::NotFound { .. }) if fetch.absence == Absence::Expected => None,
            other => Some(other?),
        };
        refresh.supply(file)?;
    }
    Ok(refresh)
}

fn fetched(files: &Files, fetch: &MetadataFetch) -> Result<Vec<u8>, FetchError> {
    let url = fetch.path.clone();
    match files.get(&fetch.path) {
        None => Err(FetchError::NotFound { url, status: 404 }),
        Some(bytes) if bytes.len() as u64 > fetch.limit => Err(FetchError::TooLarge {
            url,
            limit: fetch.limit,
        }),
        Some(bytes) => Ok(bytes.clone()),
    }
}

/// `sigstore-tuf`.
pub fn sigstore(load: &Load<'_>) -> Outcome {
    sigstore_outcome(|| {
        let mut client = refreshed_sigstore(load)?;
        at_once(client.get_target(load.target, time(load.now)))
    })
}

/// `sigstore-tuf`, asked for the four top-level roles and no target. What it accepts then is `content`.
pub fn sigstore_metadata(load: &Load<'_>, content: &[u8]) -> Outcome {
    sigstore_outcome(|| refreshed_sigstore(load).map(|_| content.to_vec()))
}

fn sigstore_outcome(
    ask: impl FnOnce() -> sigstore_tuf::Result<Vec<u8>> + panic::UnwindSafe,
) -> Outcome {
    provider::install();
    // It panics where it adds to the greatest version number. That is no acceptance.
    match panic::catch_unwind(ask) {
        Ok(Ok(bytes)) => Outcome::Accepted(bytes),
        Ok(Err(error)) => Outcome::Refused(error.to_string()),
        Err(_) => Outcome::Refused("it panics".into()),
    }
}

fn refreshed_sigstore(load: &Load<'_>) -> sigstore_tuf::Result<Updater> {
    let store = SharedStore::default();
    let refreshed = |files: &Files| {
        let mut client = Updater::new(Server(files.clone()), load.root)?.with_store(store.clone());
        at_once(client.refresh(time(load.now)))?;
        Ok(client)
    };
    if let Some(seen) = load.seen {
        refreshed(seen)?;
    }
    refreshed(load.files)
}

fn time(time: UnixTime) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.0).expect("a time in this millennium")
}

/// Nothing that is fetched from memory has to be waited for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a client waits for something"),
    }
}

/// What one client stores and the next one finds.
#[derive(Debug, Clone, Default)]
struct SharedStore(Arc<MemoryStore>);

impl sigstore_tuf::MetadataStore for SharedStore {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        self.0.load(name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        self.0.store(name, bytes)
    }
}

struct Server(Files);

impl Server {
    fn answer(&self, path: &str, limit: u64) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        match self.0.get(path) {
            Some(bytes) if bytes.len() as u64 > limit => {
                Err(sigstore_tuf::Error::transport("too large"))
            }
            found => Ok(found.cloned()),
        }
    }
}

impl sigstore_tuf::Repository for Server {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let answer = self.answer(&format!("metadata/{name}"), max_length);
        Box::pin(std::future::ready(answer))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let answer = self.answer(&format!("targets/{path}"), max_length);
        Box::pin(std::future::ready(answer))
    }
}
