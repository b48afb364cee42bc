//! The server that all sides load from: the repository and the wheels, at full speed or over a slow link.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::RwLock;
use tokio::time::{Instant, sleep_until};
use webimport_browser_tests::http_server::{HttpServer, Reply, ask};

use crate::compressed::{gzip, shard};

/// What lies between server and browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// As fast as the machine.
    Loopback,
    /// 20 Mbit/s, and 40 ms until an answer begins.
    Slow,
}

const LATENCY: Duration = Duration::from_millis(40);
const BYTES_PER_SECOND: u64 = 20_000_000 / 8;
/// What is sent at once over a slow link, about ten packets.
const PIECE: usize = 16 * 1024;

/// What was asked for since the counts were last taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transferred {
    pub(crate) requests: u64,
    /// Bodies only, all of each answer: how much has arrived already is different in every run.
    pub(crate) bytes: u64,
}

/// One answer.
struct Answered {
    /// When it was asked for, in milliseconds since 1970.
    at: f64,
    bytes: u64,
}

#[derive(Default)]
struct Counters {
    answered: Mutex<Vec<Answered>>,
    /// The files below `metadata/` and `targets/` that were sent, and the shards, decoded.
    metadata: Mutex<Vec<Bytes>>,
    /// Held for reading from a request's arrival until its answer is counted.
    answering: RwLock<()>,
}

impl Counters {
    fn answered(&self) -> MutexGuard<'_, Vec<Answered>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metadata(&self) -> MutexGuard<'_, Vec<Bytes>> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a repository, and wheels below `/wheels/`.
pub(crate) struct Server {
    http: HttpServer,
    wheels: Arc<Vec<PathBuf>>,
    counters: Arc<Counters>,
}

impl Server {
    pub(crate) async fn start(repository: PathBuf, wheels: Vec<PathBuf>, link: Link) -> Self {
        let counters = Arc::<Counters>::default();
        let router = webimport_cli::serve::router(repository);
        let wheels = Arc::new(wheels);
        // When the link is free again: all connections share it.
        let free = Arc::new(Mutex::new(Instant::now()));
        let (inner, served) = (Arc::clone(&counters), Arc::clone(&wheels));
        let http = HttpServer::start(move |request| {
            let (router, wheels) = (router.clone(), Arc::clone(&served));
            let (counters, free) = (Arc::clone(&inner), Arc::clone(&free));
            async move {
                let is_preflight = request.method() == "OPTIONS";
                let at = now();
                let answering = counters.answering.read().await;
                let path = request.uri().path();
                let is_object = path.starts_with("/objects/");
                let is_metadata = path.starts_with("/metadata/") || path.starts_with("/targets/");
                let (parts, body) = answer(router, &wheels, request).await.into_parts();
                let body = body.collect().await.expect("a body from memory or disk");
                let body = body.to_bytes();
                if !is_preflight {
                    let bytes = u64::try_from(body.len()).expect("in memory");
                    counters.answered().push(Answered { at, bytes });
                }
                if is_metadata && parts.status.is_success() {
                    counters.metadata().push(body.clone());
                }
                if is_object && let Some(shard) = shard(&body) {
                    counters.metadata().push(shard.into());
                }
                drop(answering);
                if link == Link::Slow {
                    tokio::time::sleep(LATENCY).await;
                }
                let mut response = Response::from_parts(parts, ());
                response
                    .headers_mut()
                    .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
                let body = Body::from_stream(paced(body, link, free));
                Reply::Answer(response.map(|()| body))
            }
        })
        .await;
        Self {
            http,
            wheels,
            counters,
        }
    }

    /// The URL of one of its wheels.
    pub(crate) fn wheel(&self, wheel: &Path) -> String {
        let index = self.wheels.iter().position(|it| it == wheel);
        let path = wheel_path(index.expect("one of its wheels"), wheel);
        format!("{}/wheels/{path}", self.url())
    }

    pub(crate) fn url(&self) -> String {
        self.http.origin()
    }

    pub(crate) async fn stop(&self) {
        self.http.stop().await;
    }

    pub(crate) async fn start_again(&self) {
        self.http.start_again().await;
    }

    /// Starts counting anew.
    pub(crate) fn forget(&self) {
        self.counters.answered().clear();
        self.counters.metadata().clear();
    }

    /// What would be transferred of metadata, manifests and shards if each file was compressed: bytes after gzip.
    pub(crate) fn metadata_gzip(&self) -> usize {
        self.counters.metadata().iter().map(|file| gzip(file)).sum()
    }

    /// What was asked for until then, in milliseconds since 1970; once all that was asked for is counted.
    pub(crate) async fn transferred(&self, until: f64) -> Transferred {
        let _counted = self.counters.answering.write().await;
        let mut all = Transferred::default();
        for answered in self.counters.answered().iter().filter(|it| it.at <= until) {
            all.requests += 1;
            all.bytes += answered.bytes;
        }
        all
    }
}

/// Milliseconds since 1970, on the clock that pages of this machine have, too.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("the clock is right").as_secs_f64() * 1_000.0
}

/// Where the wheel of this index is, as two wheels may have one name.
fn wheel_path(index: usize, wheel: &Path) -> String {
    let name = wheel.file_name().expect("a name").to_string_lossy();
    format!("{index}/{name}")
}

async fn answer(
    router: axum::Router,
    wheels: &[PathBuf],
    request: Request<Body>,
) -> Response<Body> {
    let Some(path) = request.uri().path().strip_prefix("/wheels/") else {
        return ask(router, request).await;
    };
    let file = wheels
        .iter()
        .enumerate()
        .find(|(index, wheel)| wheel_path(*index, wheel) == path)
        .map_or_else(|| panic!("no wheel at `{path}`"), |(_, wheel)| wheel);
    let mut response = Response::new(Body::from(std::fs::read(file).expect("a wheel")));
    response
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The body in pieces, as the link takes them.
fn paced(
    body: Bytes,
    link: Link,
    free: Arc<Mutex<Instant>>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    stream::unfold(body, move |mut left| {
        let free = Arc::clone(&free);
        async move {
            if left.is_empty() {
                return None;
            }
            let piece = left.split_to(match link {
                Link::Loopback => left.len(),
                Link::Slow => PIECE.min(left.len()),
            });
            if link == Link::Slow {
                let length = u64::try_from(piece.len()).expect("a small number");
                let takes = Duration::from_nanos(length * 1_000_000_000 / BYTES_PER_SECOND);
                let sent = {
                    let mut free = free.lock().unwrap_or_else(PoisonError::into_inner);
                    *free = (*free).max(Instant::now()) + takes;
                    *free
                };
                sleep_until(sent).await;
            }
            Some((Ok(piece), left))
        }
    })
}
