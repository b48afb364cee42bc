//! Serves a repository over HTTP, as browsers need it.
//!
//! Only `metadata/`, `targets/` and `objects/` are served, and of them only plain files: no listing, no
//! hidden or temporary files, nothing that a link reaches outside. Content-addressed and versioned files may
//! be kept for ever; `timestamp.json`, which alone changes in place, may not be kept at all. Files go out as
//! they are: an object that is gzip is bytes to readers, never a content encoding.

use std::io::{self, SeekFrom};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;
use webimport_core::digest::Sha256Digest;
use webimport_core::error::Coded;

/// The server cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The folder has no repository.
    #[error("`{}` is not a repository: it has no `metadata/1.root.json`", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// The address cannot be used.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address and port asked for.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The server broke down.
    #[error("the server stopped: {0}")]
    Stopped(io::Error),
}

impl Coded for ServeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "serve.repository",
            Self::Listen { .. } => "serve.listen",
            Self::Stopped(_) => "serve.stopped",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Missing { .. } => "give the folder that `webimport init` made",
            Self::Listen { .. } => "give another port, or --port 0 for any free one",
            Self::Stopped(_) => "start it again",
        }
        .into()
    }
}

/// A server that listens and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    root: PathBuf,
}

impl Server {
    /// Listens on `address` and `port` (0: any free one) for requests to the repository in the folder `root`.
    ///
    /// # Errors
    /// [`ServeError::Missing`], [`ServeError::Listen`].
    pub async fn bind(root: PathBuf, address: IpAddr, port: u16) -> Result<Self, ServeError> {
        if !root.join("metadata/1.root.json").is_file() {
            return Err(ServeError::Missing { path: root });
        }
        let address = SocketAddr::new(address, port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, root })
    }

    /// The base URL of the repository.
    ///
    /// # Errors
    /// [`ServeError::Stopped`].
    pub fn url(&self) -> Result<String, ServeError> {
        Ok(format!(
            "http://{}",
            self.listener.local_addr().map_err(ServeError::Stopped)?
        ))
    }

    /// Answers until `stop` is there. `log` gets a line for each request.
    ///
    /// # Errors
    /// [`ServeError::Stopped`].
    pub async fn run(
        self,
        log: Option<fn(&str)>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let mut router = router(self.root);
        if let Some(log) = log {
            router = router.layer(middleware::from_fn(move |request, next| {
                log_request(log, request, next)
            }));
        }
        // A body that follows its head would wait for the reader's acknowledgement, which a reader takes its time to send.
        let listener = self.listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router)
            .with_graceful_shutdown(stop)
            .await
            .map_err(ServeError::Stopped)
    }
}

/// What answers requests to the repository in the folder `root`. Tests wrap it.
pub fn router(root: PathBuf) -> Router {
    Router::new()
        .fallback(answer)
        .layer(middleware::from_fn(share))
        .with_state(Arc::new(root))
}

async fn log_request(log: fn(&str), request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let length = response
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|it| it.to_str().ok())
        .unwrap_or("-");
    log(&format!(
        "{method} {path} {} {length}",
        response.status().as_u16()
    ));
    response
}

/// Headers of every answer, errors too: a page may read it from anywhere, and its status.
async fn share(request: Request, next: Next) -> Response {
    const SHARED: [(HeaderName, &str); 5] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "accept-ranges, content-encoding, content-length, content-range, etag",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ),
        (HeaderName::from_static("timing-allow-origin"), "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in SHARED {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn answer(State(root): State<Arc<PathBuf>>, request: Request) -> Response {
    // No file has a use for a body.
    let (request, _) = request.into_parts();
    match request.method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return preflight(),
        _ => {
            let allow = [(header::ALLOW, "GET, HEAD, OPTIONS")];
            return (StatusCode::METHOD_NOT_ALLOWED, allow, "only GET and HEAD\n").into_response();
        }
    }
    let Some(wanted) = Wanted::parse(request.uri.path()) else {
        return not_found();
    };
    match send(&root, &wanted, &request).await {
        Ok(response) => response,
        Err(error) if error.kind() == io::ErrorKind::NotFound => not_found(),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the file cannot be read\n",
        )
            .into_response(),
    }
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "range, if-none-match, if-range, cache-control, pragma",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn not_found() -> Response {
    // Not to be remembered: the next root, asked for by every reader, may be there tomorrow.
    (
        StatusCode::NOT_FOUND,
        [(header::CACHE_CONTROL, "no-store")],
        "not found\n",
    )
        .into_response()
}

/// How long a file may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// It never changes under this name.
    Immutable,
    /// It changes in place.
    Changing,
}

/// A path that may be served.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// Relative, of plain components.
    path: String,
    /// The digest that the file's name promises.
    digest: Option<Sha256Digest>,
    lifetime: Lifetime,
    content_type: &'static str,
}

impl Wanted {
    /// Reads the path of a request URL; `None` for everything that is no file of a repository.
    fn parse(url_path: &str) -> Option<Self> {
        let path = percent_decoded(url_path.strip_prefix('/')?)?;
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .chars()
                    .all(|c| !c.is_control() && !matches!(c, '\\' | ':'))
        };
        let parts: Vec<&str> = path.split('/').collect();
        if !parts.iter().copied().all(plain) {
            return None;
        }
        let (digest, lifetime, content_type) = match parts[..] {
            ["metadata", "timestamp.json"] => (None, Lifetime::Changing, "application/json"),
            ["metadata", file] => {
                let (version, _) = file.strip_suffix(".json")?.split_once('.')?;
                if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                (None, Lifetime::Immutable, "application/json")
            }
            ["targets", .., file] => {
                let (digest, rest) = file.split_once('.')?;
                let content_type = if rest.ends_with("json") {
                    "application/json"
                } else {
                    "application/octet-stream"
                };
                (
                    Some(digest.parse().ok()?),
                    Lifetime::Immutable,
                    content_type,
                )
            }
            ["objects", folder, file] => {
                let digest = file.parse().ok()?;
                if !file.starts_with(folder) || folder.len() != 2 {
                    return None;
                }
                (
                    Some(digest),
                    Lifetime::Immutable,
                    "application/octet-stream",
                )
            }
            _ => return None,
        };
        Some(Self {
            path,
            digest,
            lifetime,
            content_type,
        })
    }

    fn cache_control(&self) -> &'static str {
        match self.lifetime {
            Lifetime::Immutable => "public, max-age=31536000, immutable",
            Lifetime::Changing => "no-store",
        }
    }
}

/// `None` for an incomplete escape, or bytes that are not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A metadata file is read whole to find its digest. None that readers accept is larger.
const METADATA_LIMIT: u64 = 8 * 1024 * 1024;

async fn send(root: &Path, wanted: &Wanted, request: &Parts) -> io::Result<Response> {
    let path = inside(root, &wanted.path).await?;
    let mut file = File::open(&path).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let length = metadata.len();
    let tag = match wanted.digest {
        Some(digest) => format!("\"{digest}\""),
        None if length <= METADATA_LIMIT => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).await?;
            file.rewind().await?;
            format!("\"{}\"", Sha256Digest::of(&bytes))
        }
        None => return Err(io::ErrorKind::FileTooLarge.into()),
    };

    let headers = &request.headers;
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    out.insert(header::ETAG, header_value(&tag)?);
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(wanted.cache_control()),
    );
    if matches_tag(headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(wanted.content_type),
    );

    let (start, end) = match range(headers, &tag, length) {
        Range::Whole => (0, length),
        Range::Part { start, end } => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let value = format!("bytes {start}-{}/{length}", end - 1);
            response
                .headers_mut()
                .insert(header::CONTENT_RANGE, header_value(&value)?);
            (start, end)
        }
        Range::Outside => {
            let value = format!("bytes */{length}");
            let headers = [(header::CONTENT_RANGE, header_value(&value)?)];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response());
        }
    };
    response.headers_mut().insert(
        header::CONTENT_LENGTH,
        header_value(&(end - start).to_string())?,
    );
    if request.method == Method::GET {
        file.seek(SeekFrom::Start(start)).await?;
        *response.body_mut() = Body::from_stream(ReaderStream::new(file.take(end - start)));
    }
    Ok(response)
}

/// The real path of a file, if no link on the way leads out of the repository.
async fn inside(root: &Path, path: &str) -> io::Result<PathBuf> {
    let root = tokio::fs::canonicalize(root).await?;
    let real = tokio::fs::canonicalize(root.join(path)).await?;
    if real.starts_with(&root) {
        Ok(real)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn header_value(text: &str) -> io::Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(io::Error::other)
}

/// Whether `if-none-match` names `tag`, by the weak comparison that it asks for (RFC 9110, 13.1.2).
fn matches_tag(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// What a request asks for of a file.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// From `start`, before `end`.
    Part {
        start: u64,
        end: u64,
    },
    /// Nothing of the file.
    Outside,
}

/// Reads `range` (RFC 9110, 14.2). One range is served; several, or another unit, get the whole file, which is
/// allowed.
fn range(headers: &HeaderMap, tag: &str, length: u64) -> Range {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(spec) = text(header::RANGE).and_then(|value| value.strip_prefix("bytes=")) else {
        return Range::Whole;
    };
    // A part of another file than the one that the reader has a part of would be worthless.
    if headers.contains_key(header::IF_RANGE) && text(header::IF_RANGE) != Some(tag) {
        return Range::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Range::Whole;
    };
    let number = |text: &str| {
        // `parse` would take a sign.
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<u64>().ok())
            .flatten()
    };
    match (number(first), number(last)) {
        (Some(start), Some(last)) if start > last => Range::Whole,
        (Some(start), _) if start >= length && (last.is_empty() || number(last).is_some()) => {
            Range::Outside
        }
        (Some(start), Some(last)) => Range::Part {
            start,
            end: last.saturating_add(1).min(length),
        },
        (Some(start), None) if last.is_empty() => Range::Part { start, end: length },
        (None, Some(0)) if first.is_empty() => Range::Outside,
        (None, Some(_)) if first.is_empty() && length == 0 => Range::Outside,
        (None, Some(suffix)) if first.is_empty() => Range::Part {
            start: length.saturating_sub(suffix),
            end: length,
        },
        _ => Range::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn files_of_a_repository_are_wanted() {
        let object = Wanted::parse(&format!("/objects/ba/{DIGEST}")).unwrap();
        assert_eq!(object.lifetime, Lifetime::Immutable);
        assert_eq!(object.digest.unwrap().to_string(), DIGEST);
        let manifest =
            Wanted::parse(&format!("/targets/mylib/1%2B2/{DIGEST}.release.json")).unwrap();
        assert_eq!(
            manifest.path,
            format!("targets/mylib/1+2/{DIGEST}.release.json")
        );
        assert_eq!(manifest.content_type, "application/json");
        assert_eq!(
            Wanted::parse("/metadata/12.root.json").unwrap().lifetime,
            Lifetime::Immutable
        );
        assert_eq!(
            Wanted::parse("/metadata/timestamp.json").unwrap().lifetime,
            Lifetime::Changing
        );
    }

    #[test]
    fn everything_else_is_not() {
        for path in [
            "",
            "/",
            "/metadata",
            "/metadata/",
            "/metadata/.webimport-tmp-1.root.json",
            "/metadata/x.root.json",
            "/metadata/root.json",
            "/.webimport-lock",
            "/keys/root.pem",
            "/metadata/../keys/root.pem",
            "/metadata/%2e%2e/1.root.json",
            "/metadata/..%2f..%2fetc%2fpasswd",
            "/metadata//1.root.json",
            "//etc/passwd",
            "/metadata/1.root.json%00",
            "/metadata\\1.root.json",
            "/metadata/1.root.jso%6",
            "/metadata/%ff.json",
            "/objects/ba/short",
            &format!("/objects/ab/{DIGEST}"),
            &format!("/objects/{DIGEST}"),
            "/targets/mylib/1/release.json",
        ] {
            assert_eq!(Wanted::parse(path), None, "{path}");
        }
    }

    #[test]
    fn one_range_is_read_and_others_are_left() {
        let read = |value: &str| {
            let headers =
                HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(value).unwrap())]);
            range(&headers, "\"t\"", 100)
        };
        assert_eq!(read("bytes=0-0"), Range::Part { start: 0, end: 1 });
        assert_eq!(
            read("bytes=10-"),
            Range::Part {
                start: 10,
                end: 100
            }
        );
        assert_eq!(
            read("bytes=90-1000"),
            Range::Part {
                start: 90,
                end: 100
            }
        );
        assert_eq!(
            read("bytes=-10"),
            Range::Part {
                start: 90,
                end: 100
            }
        );
        assert_eq!(read("bytes=-1000"), Range::Part { start: 0, end: 100 });
        for outside in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(read(outside), Range::Outside, "{outside}");
        }
        for whole in [
            "bytes=5-1",
            "bytes=0-1,5-6",
            "items=0-1",
            "bytes=",
            "bytes=-",
            "bytes=+1-2",
            "bytes=a-b",
        ] {
            assert_eq!(read(whole), Range::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_of_another_version_gets_the_whole_file() {
        let with = |tag: &'static str| {
            let headers = HeaderMap::from_iter([
                (header::RANGE, HeaderValue::from_static("bytes=0-0")),
                (header::IF_RANGE, HeaderValue::from_static(tag)),
            ]);
            range(&headers, "\"t\"", 100)
        };
        assert_eq!(with("\"t\""), Range::Part { start: 0, end: 1 });
        assert_eq!(with("\"other\""), Range::Whole);
        assert_eq!(with("W/\"t\""), Range::Whole);
    }
}
