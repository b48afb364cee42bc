//! Bounded HTTP requests.
//!
//! A body is read at most to its limit, and has to come in at a minimum rate, so that a slow server cannot hold a
//! load for ever (TUF: endless data, slow retrieval). Only transient failures are tried again.
//! Nothing is verified here.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Request, RequestCache, RequestCredentials, RequestInit, Response,
    XmlHttpRequest,
};
use webimport_core::error::FetchError;
use webimport_core::url::is_secure;

use crate::bytes::{Chunks, allocate, describe};
use crate::timer::Timer;

/// Milliseconds until the answer begins, and over which the body must keep up with [`MINIMUM_RATE`].
const PATIENCE: u32 = 20_000;
/// Milliseconds until the answer begins when the cache can stand in for it.
const SHORT_PATIENCE: u32 = 6_000;
/// Bytes a second that a body must come in at least, seen over [`PATIENCE`].
const MINIMUM_RATE: u64 = 8 * 1024;
/// Milliseconds to wait before the second and the third try.
const BACK_OFF: [u32; 2] = [250, 1_000];

#[wasm_bindgen]
extern "C" {
    // Looked up on the global object, as pages, workers and Node have it in different classes. Pages do replace
    // it: what it returns may be anything.
    #[wasm_bindgen(js_name = fetch, catch)]
    fn global_fetch(request: &Request) -> Result<JsValue, JsValue>;

    /// Milliseconds on a clock that nobody sets back.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn monotonic() -> f64;
}

/// Which bytes are wanted, and how many at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Signed metadata says the length: fewer is a failure as well.
    Exactly(u64),
    /// Nothing is known but the limit.
    AtMost(u64),
}

impl Size {
    fn limit(self) -> u64 {
        match self {
            Self::Exactly(limit) | Self::AtMost(limit) => limit,
        }
    }
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// The cache can stand in: one try, and no long wait for the answer to begin.
    Short,
    /// Nothing can: two more tries after transient failures, and time for the whole body.
    Full,
}

/// Counts requests and bytes of one load.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: Cell<u32>,
    pub(crate) bytes: Cell<u64>,
}

/// Fetches `url`. `on_bytes` gets the length of each piece as it arrives; on another try it gets a negative
/// one for what was lost.
pub(crate) async fn fetch(
    url: &str,
    size: Size,
    patience: Patience,
    traffic: &Traffic,
    on_bytes: &dyn Fn(i64),
) -> Result<Uint8Array, FetchError> {
    let mut pauses = match patience {
        Patience::Short => [].iter(),
        Patience::Full => BACK_OFF.iter(),
    };
    loop {
        let seen = Cell::new(0_i64);
        let on_piece = |length: i64| {
            seen.set(seen.get() + length);
            on_bytes(length);
        };
        match once(url, size, patience, traffic, &on_piece).await {
            Err(error) if error.is_transient() => {
                on_bytes(-seen.get());
                let Some(pause) = pauses.next() else {
                    return Err(error);
                };
                Timer::new(*pause).await;
            }
            Err(error) => {
                on_bytes(-seen.get());
                return Err(error);
            }
            Ok(bytes) => return Ok(bytes),
        }
    }
}

async fn once(
    url: &str,
    size: Size,
    patience: Patience,
    traffic: &Traffic,
    on_bytes: &dyn Fn(i64),
) -> Result<Uint8Array, FetchError> {
    let fetched = async {
        let controller = AbortController::new()?;
        let wait = match patience {
            Patience::Short => SHORT_PATIENCE,
            Patience::Full => PATIENCE,
        };
        traffic.requests.set(traffic.requests.get() + 1);
        let response = within(wait, url, &controller, answer(url, &controller)).await?;
        let read = body(url, size, &response, &controller, traffic, on_bytes).await;
        if read.is_err() {
            controller.abort();
        }
        read
    };
    fetched.await.map_err(|error: Failure| match error {
        Failure::Fetch(error) => error,
        Failure::JavaScript(error) => FetchError::Network {
            url: url.to_owned(),
            reason: describe(&error),
        },
    })
}

/// What `work` gives, or a timeout after so many milliseconds. Whatever fails, nobody reads on.
async fn within<T>(
    milliseconds: u32,
    url: &str,
    controller: &AbortController,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let (mut work, mut deadline) = (pin!(work), pin!(Timer::new(milliseconds)));
    let result = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending => deadline.as_mut().poll(context).map(|()| {
            Err(FetchError::Timeout {
                url: url.to_owned(),
                seconds: milliseconds.div_ceil(1_000),
            }
            .into())
        }),
        ready @ Poll::Ready(_) => ready,
    })
    .await;
    if result.is_err() {
        controller.abort();
    }
    result
}

enum Failure {
    Fetch(FetchError),
    JavaScript(JsValue),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<JsValue> for Failure {
    fn from(error: JsValue) -> Self {
        Self::JavaScript(error)
    }
}

/// Fetches `url` while the whole page waits. There is no deadline and no limit but the browser's own: a
/// synchronous request has neither on the main thread. So it is the last resort, for bytes that a reader needs
/// before anything else can run; what came is held to `size` before it is used.
pub(crate) fn fetch_now(url: &str, size: Size) -> Result<Vec<u8>, FetchError> {
    let owned = || url.to_owned();
    let answer = || -> Result<(u16, String, Body), JsValue> {
        let request = XmlHttpRequest::new()?;
        request.open_with_async("GET", url, false)?;
        // Refused on the main thread, which gets text alone from a request like this.
        let has_bytes =
            Reflect::set(&request, &"responseType".into(), &"arraybuffer".into()).is_ok();
        if !has_bytes {
            // Bytes as they are, but for a byte order mark, which is taken off: publishers pack what begins with one.
            request.override_mime_type("text/plain; charset=x-user-defined")?;
        }
        request.send()?;
        let body = if has_bytes {
            Body::Bytes(Uint8Array::new(&request.response()?))
        } else {
            Body::Text(request.response_text()?.unwrap_or_default())
        };
        Ok((request.status()?, request.response_url(), body))
    };
    let (status, from, body) = answer().map_err(|error| FetchError::Network {
        url: owned(),
        reason: describe(&error),
    })?;
    if from != url && !is_secure(&from) {
        return Err(FetchError::Insecure { url: owned() });
    }
    check_status(status, url)?;
    let limit = size.limit();
    let bytes = body.at_most(limit).ok_or_else(|| FetchError::TooLarge {
        url: owned(),
        limit,
    })?;
    check_length(size, bytes.len() as u64, url)?;
    Ok(bytes)
}

/// What a synchronous request brings.
enum Body {
    Bytes(Uint8Array),
    /// In the encoding x-user-defined, whose 0x80 to 0xFF are U+F780 to U+F7FF.
    Text(String),
}

impl Body {
    /// `None` if there are more than `limit` bytes.
    fn at_most(&self, limit: u64) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => (u64::from(bytes.length()) <= limit).then(|| bytes.to_vec()),
            Self::Text(text) => {
                let mut bytes = Vec::new();
                for char in text.chars() {
                    if bytes.len() as u64 == limit {
                        return None;
                    }
                    bytes.push((u32::from(char) & 0xff) as u8);
                }
                Some(bytes)
            }
        }
    }
}

fn check_status(status: u16, url: &str) -> Result<(), FetchError> {
    let url = || url.to_owned();
    match status {
        200 => Ok(()),
        // Object stores answer 403 for what does not exist when the caller may not list.
        403 | 404 | 410 => Err(FetchError::NotFound { url: url(), status }),
        _ => Err(FetchError::Status { url: url(), status }),
    }
}

fn check_length(size: Size, got: u64, url: &str) -> Result<(), FetchError> {
    match size {
        Size::Exactly(expected) if got < expected => Err(FetchError::Truncated {
            url: url.to_owned(),
            expected,
            got,
        }),
        _ => Ok(()),
    }
}

/// A response that is worth reading.
async fn answer(url: &str, controller: &AbortController) -> Result<Response, Failure> {
    let owned = || url.to_owned();
    let options = RequestInit::new();
    // What is verified is kept by this module. A second copy in the HTTP cache could be a bad one, which a
    // server's `304 Not Modified` would bring back for as long as the file does not change.
    options.set_cache(RequestCache::NoStore);
    options.set_credentials(RequestCredentials::Omit);
    options.set_signal(Some(&controller.signal()));
    let request = Request::new_with_str_and_init(url, &options)?;
    let answer = Promise::resolve(&global_fetch(&request)?);
    let response: Response = JsFuture::from(answer).await?.dyn_into()?;
    if response.redirected() && !is_secure(&response.url()) {
        return Err(FetchError::Insecure { url: owned() }.into());
    }
    check_status(response.status(), url)?;
    Ok(response)
}

/// When the next piece of a body must arrive, in milliseconds of [`monotonic`].
struct Deadline(f64);

impl Deadline {
    fn from(now: f64) -> Self {
        Self(now + f64::from(PATIENCE))
    }

    /// Each byte buys time at the minimum rate, up to [`PATIENCE`]: what came fast does not pay for a stall.
    fn extend(&mut self, now: f64, bytes: u32) {
        #[expect(clippy::cast_precision_loss, reason = "a small constant")]
        let bought = f64::from(bytes) * 1_000.0 / MINIMUM_RATE as f64;
        self.0 = (self.0 + bought).min(now + f64::from(PATIENCE));
    }

    fn left(&self, now: f64) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to PATIENCE"
        )]
        let left = (self.0 - now).clamp(0.0, f64::from(PATIENCE)) as u32;
        left
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
fn seconds(milliseconds: f64) -> u32 {
    (milliseconds as u32).div_ceil(1_000)
}

async fn body(
    url: &str,
    size: Size,
    response: &Response,
    controller: &AbortController,
    traffic: &Traffic,
    on_bytes: &dyn Fn(i64),
) -> Result<Uint8Array, Failure> {
    let owned = || url.to_owned();
    let limit = size.limit();
    let mut pieces: Vec<Uint8Array> = Vec::new();
    let mut total = 0_u64;
    if let Some(body) = response.body() {
        let mut chunks = Chunks::new(&body)?;
        let began = monotonic();
        let mut deadline = Deadline::from(began);
        loop {
            let wait = deadline.left(monotonic());
            let next = async { Ok(chunks.next().await?) };
            let piece = match within(wait, url, controller, next).await {
                Err(Failure::Fetch(FetchError::Timeout { url, .. })) => {
                    return Err(FetchError::Timeout {
                        url,
                        seconds: seconds(monotonic() - began),
                    }
                    .into());
                }
                piece => piece?,
            };
            let Some(piece) = piece else {
                break;
            };
            let length = piece.length();
            deadline.extend(monotonic(), length);
            total += u64::from(length);
            traffic.bytes.set(traffic.bytes.get() + u64::from(length));
            if total > limit {
                return Err(FetchError::TooLarge {
                    url: owned(),
                    limit,
                }
                .into());
            }
            on_bytes(i64::from(length));
            pieces.push(piece);
        }
    }
    check_length(size, total, url)?;
    if let [whole] = pieces.as_slice() {
        return Ok(whole.clone());
    }
    let bytes = allocate(total, url).map_err(|error| FetchError::Network {
        url: owned(),
        reason: error.to_string(),
    })?;
    let mut filled = 0;
    for piece in pieces {
        bytes.set(&piece, filled);
        filled += piece.length();
    }
    Ok(bytes)
}
