//! A release repository on loopback: the product's own server, with faults put between it and the browser.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::watch;

use crate::http_server::{HttpServer, Reply, ask};

/// How an answer is spoilt. Bodies are changed as they are sent; announced lengths stay what they were.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status and a short text.
    Status(u16),
    /// The announced length is that of the whole body, and the connection ends after this many bytes.
    Truncate(usize),
    /// The body is followed by these bytes, and the announced length covers them.
    Append(Vec<u8>),
    /// The lowest bit of the byte at this offset, counted from the end when negative, is flipped.
    FlipBit(isize),
    /// Other bytes instead of the body, with status 200.
    Replace(Vec<u8>),
    /// An HTML page with status 200, as hosts with a catch-all page send.
    HtmlPage,
    /// No answer at all until [`RepositoryServer::release_held`].
    Hold,
    /// The headers and this many bytes of the body, and the rest after [`RepositoryServer::release_held`].
    Stall(usize),
    /// The body is followed by spaces without end, as fast as they are read, with status 200.
    Endless,
    /// The body byte by byte, ten in a second, followed by spaces without end.
    Drip,
    /// The connection is closed without an answer.
    HangUp,
}

/// One request that the server has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The HTTP method.
    pub method: String,
    /// The path and query inside the repository, without a first slash.
    pub path: String,
    /// The status that was answered; 0 while it is held or when the connection was closed.
    pub status: u16,
    /// The length of the body that was handed to the connection.
    pub bytes: usize,
    /// The client has closed the connection of a body without end.
    pub cut_off: bool,
    /// Tells it from all other requests.
    number: u64,
}

/// How long a test waits for a request.
const DEADLINE: Duration = Duration::from_mins(1);

/// The time between two bytes of [`Fault::Drip`].
const DRIP: Duration = Duration::from_millis(100);

struct Rule {
    pattern: String,
    fault: Fault,
}

struct Shared {
    router: axum::Router,
    rules: Mutex<Vec<Rule>>,
    log: watch::Sender<Vec<Logged>>,
    asked: AtomicU64,
    held: watch::Sender<u64>,
}

impl Shared {
    /// Completes the entry of a request, unless the log was forgotten meanwhile.
    fn note(&self, number: u64, complete: impl FnOnce(&mut Logged)) {
        self.log.send_modify(|log| {
            if let Some(logged) = log.iter_mut().find(|logged| logged.number == number) {
                complete(logged);
            }
        });
    }
}

/// Held by a body without end: it goes when the connection does.
struct Connected {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.shared
            .note(self.number, |logged| logged.cut_off = true);
    }
}

/// A served repository.
pub struct RepositoryServer {
    root: PathBuf,
    server: HttpServer,
    shared: Arc<Shared>,
}

impl RepositoryServer {
    /// Serves the repository in this folder with `webimport serve`'s router.
    pub async fn start(root: &Path) -> Self {
        Self::with_router(root, webimport_cli::serve::router(root.to_path_buf())).await
    }

    /// Serves whatever this router answers.
    pub async fn with_router(root: &Path, router: axum::Router) -> Self {
        let shared = Arc::new(Shared {
            router,
            rules: Mutex::new(Vec::new()),
            log: watch::Sender::new(Vec::new()),
            asked: AtomicU64::new(0),
            held: watch::Sender::new(0),
        });
        let inner = Arc::clone(&shared);
        let server = HttpServer::start(move |request| answer(Arc::clone(&inner), request)).await;
        Self {
            root: root.to_path_buf(),
            server,
            shared,
        }
    }

    /// The repository's base URL, without a final slash.
    pub fn url(&self) -> String {
        self.server.origin()
    }

    /// The served folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Spoils the answers for paths that match; `*` stands for any characters. The newest matching rule counts.
    pub fn fault(&self, pattern: &str, fault: Fault) {
        self.rules().push(Rule {
            pattern: pattern.to_owned(),
            fault,
        });
    }

    /// Forgets all faults. What is held stays held.
    pub fn mend(&self) {
        self.rules().clear();
    }

    /// Lets the answers go on that [`Fault::Hold`] and [`Fault::Stall`] have kept back until now.
    pub fn release_held(&self) {
        self.shared.held.send_modify(|generation| *generation += 1);
    }

    /// What was asked for since the start or since [`Self::forget_requests`].
    pub fn requests(&self) -> Vec<Logged> {
        self.shared.log.borrow().clone()
    }

    /// How many requests for paths that match were answered with status 200.
    pub fn served(&self, pattern: &str) -> usize {
        self.requests()
            .iter()
            .filter(|logged| logged.status == 200 && matches(pattern, &logged.path))
            .count()
    }

    /// Starts the request log anew.
    pub fn forget_requests(&self) {
        self.shared.log.send_modify(Vec::clear);
    }

    /// Waits until the log satisfies the condition.
    pub async fn wait_for_requests(&self, what: &str, condition: impl Fn(&[Logged]) -> bool) {
        let mut log = self.shared.log.subscribe();
        let waited = tokio::time::timeout(DEADLINE, log.wait_for(|log| condition(log))).await;
        assert!(
            waited.is_ok(),
            "waited long for {what}; the server saw {:#?}",
            self.requests()
        );
    }

    /// Stops listening and cuts all connections.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port.
    pub async fn start_again(&self) {
        self.server.start_again().await;
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.shared
            .rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(shared: Arc<Shared>, mut request: Request<Body>) -> Reply {
    let method = request.method().to_string();
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |uri| uri.as_str())
        .trim_start_matches('/')
        .to_owned();
    // Faults are for what a client asks; a preflight is the browser's business.
    let fault = if method == "OPTIONS" {
        None
    } else {
        let rules = shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules
            .iter()
            .rev()
            .find(|rule| matches(&rule.pattern, &path))
            .map(|rule| rule.fault.clone())
    };
    if fault.is_some() {
        // A fault is in a whole body, so that one has to be sent.
        for condition in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE] {
            request.headers_mut().remove(condition);
        }
    }
    let mut held = shared.held.subscribe();
    // The request is noted when it comes and completed when it is answered, so that a test can wait for a held one.
    let number = shared.asked.fetch_add(1, Ordering::Relaxed);
    shared.log.send_modify(|log| {
        log.push(Logged {
            method,
            path,
            status: 0,
            bytes: 0,
            cut_off: false,
            number,
        });
    });
    let released = async move { drop(held.changed().await) };
    let note = |status: StatusCode, bytes: usize| {
        shared.note(number, |logged| {
            (logged.status, logged.bytes) = (status.as_u16(), bytes);
        });
    };

    if matches!(fault, Some(Fault::HangUp)) {
        return Reply::HangUp;
    }
    if matches!(fault, Some(Fault::Hold)) {
        released.await;
        let response = ask(shared.router.clone(), request).await;
        note(response.status(), 0);
        return Reply::Answer(response);
    }
    let (parts, body) = ask(shared.router.clone(), request).await.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let Some(fault) = fault else {
        note(parts.status, body.len());
        return Reply::Answer(Response::from_parts(parts, Body::from(body)));
    };
    let connected = || Connected {
        shared: Arc::clone(&shared),
        number,
    };
    let response = spoil(fault, parts, &body, released, connected);
    let length = axum::body::HttpBody::size_hint(response.body()).exact();
    note(
        response.status(),
        length.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX)),
    );
    Reply::Answer(response)
}

/// The answer with its fault. What is stalled waits for `released`, what has no end keeps what `connected` makes.
fn spoil(
    fault: Fault,
    mut parts: http::response::Parts,
    body: &Bytes,
    released: impl Future<Output = ()> + Send + 'static,
    connected: impl FnOnce() -> Connected,
) -> Response<Body> {
    // Hosts that answer wrongly still send the CORS header; without it a browser could not tell the faults apart.
    parts
        .headers
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    parts.headers.remove(CONTENT_LENGTH);
    // Another body is another entity. A bit that changes on the way leaves the headers as they are.
    if !matches!(
        fault,
        Fault::FlipBit(_) | Fault::Truncate(_) | Fault::Stall(_)
    ) {
        parts.headers.remove(ETAG);
        parts.headers.remove(LAST_MODIFIED);
    }
    let whole = HeaderValue::from(body.len());
    let body = match fault {
        Fault::Status(status) => {
            parts.status = StatusCode::from_u16(status).expect("a status code");
            Body::from(format!("answered with {status} on purpose"))
        }
        Fault::Append(more) => Body::from([&body[..], &more[..]].concat()),
        Fault::FlipBit(offset) => {
            let mut changed = body.to_vec();
            let offset =
                usize::try_from(offset).unwrap_or_else(|_| changed.len() - offset.unsigned_abs());
            changed[offset] ^= 1;
            Body::from(changed)
        }
        Fault::Replace(other) => {
            parts.status = StatusCode::OK;
            Body::from(other)
        }
        Fault::HtmlPage => {
            parts.status = StatusCode::OK;
            parts
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
            Body::from(
                "<!doctype html><title>Welcome</title><p>This host answers every path with this page.",
            )
        }
        Fault::Truncate(kept) => {
            parts.headers.insert(CONTENT_LENGTH, whole);
            let start = body.slice(..kept.min(body.len()));
            let cut: io::Result<Bytes> = Err(io::Error::other("cut off on purpose"));
            Body::from_stream(stream::iter([Ok(start), cut]))
        }
        Fault::Stall(kept) => {
            parts.headers.insert(CONTENT_LENGTH, whole);
            let kept = kept.min(body.len());
            let (start, rest) = (body.slice(..kept), body.slice(kept..));
            let rest = stream::once(async move {
                released.await;
                io::Result::Ok(rest)
            });
            Body::from_stream(stream::iter([Ok(start)]).chain(rest))
        }
        Fault::Endless => {
            parts.status = StatusCode::OK;
            let spaces = Bytes::from_static(&[b' '; 4_096]);
            let rest = stream::unfold(connected(), move |connected| {
                let piece = spaces.clone();
                async move { Some((io::Result::Ok(piece), connected)) }
            });
            Body::from_stream(stream::iter([Ok(body.clone())]).chain(rest))
        }
        Fault::Drip => {
            let start = (body.clone(), tokio::time::interval(DRIP), connected());
            Body::from_stream(stream::unfold(
                start,
                |(mut left, mut pace, connected)| async {
                    pace.tick().await;
                    let piece = if left.is_empty() {
                        Bytes::from_static(b" ")
                    } else {
                        left.split_to(1)
                    };
                    Some((io::Result::Ok(piece), (left, pace, connected)))
                },
            ))
        }
        Fault::Hold | Fault::HangUp => unreachable!("these give no answer of their own"),
    };
    Response::from_parts(parts, body)
}

/// Whether the path matches the pattern, in which `*` stands for any characters.
fn matches(pattern: &str, path: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == path;
    };
    let Some(path) = path.strip_prefix(start) else {
        return false;
    };
    (0..=path.len())
        .filter(|&at| path.is_char_boundary(at))
        .any(|at| matches(rest, &path[at..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_characters() {
        assert!(matches("objects/*", "objects/ab/abc"));
        assert!(matches("*.release.json", "targets/a/1/ff.release.json"));
        assert!(matches(
            "metadata/*.targets.json",
            "metadata/2.targets.json"
        ));
        assert!(!matches(
            "metadata/*.targets.json",
            "metadata/2.snapshot.json"
        ));
        assert!(!matches(
            "metadata/timestamp.json",
            "metadata/timestamp.json?x"
        ));
    }
}
