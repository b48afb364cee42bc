//! Bounded HTTP requests.
//!
//! A body is read at most to its limit, within a deadline that grows with its size, so that a slow server
//! cannot hold a load for ever (TUF: endless data, slow retrieval). Only transient failures are tried again.
//! Nothing is verified here.

use std::cell::Cell;
use std::pin::pin;

use futures_util::future::{Either, select};
use gloo_net::http::RequestBuilder;
use gloo_timers::future::TimeoutFuture;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, RequestCache, RequestCredentials, Response};
use webimport_core::error::FetchError;
use webimport_core::url::is_secure;

use crate::bytes::{Chunks, describe};

/// Seconds that a request may take.
const SECONDS: u64 = 20;
/// Seconds that a request may take when the cache can stand in for its answer.
const SHORT_SECONDS: u64 = 6;
/// Bytes a second that a body must come in at least, beyond [`SECONDS`].
const MINIMUM_RATE: u64 = 8 * 1024;
/// Milliseconds to wait before the second and the third try.
const BACK_OFF: [u32; 2] = [250, 1_000];

#[wasm_bindgen]
extern "C" {
    // Not gloo-net's own `send`, which panics on a rejection that is not an `Error` and on a `Response` of
    // another realm; pages do replace `fetch`.
    #[wasm_bindgen(js_name = fetch, catch)]
    fn global_fetch(request: &web_sys::Request) -> Result<JsValue, JsValue>;
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
    /// The cache can stand in: one try, and not long.
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
                TimeoutFuture::new(*pause).await;
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
    let network = |error: &JsValue| FetchError::Network {
        url: url.to_owned(),
        reason: describe(error),
    };
    let controller = AbortController::new().map_err(|error| network(&error))?;
    let seconds = match patience {
        Patience::Short => SHORT_SECONDS,
        Patience::Full => SECONDS + size.limit() / MINIMUM_RATE,
    };
    // Timers count milliseconds in 31 bits.
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).min(2_000_000);
    let request = pin!(answer(url, size, &controller, traffic, on_bytes));
    let deadline = pin!(TimeoutFuture::new(seconds * 1_000));
    match select(request, deadline).await {
        Either::Left((result, _)) => result.map_err(|error| match error {
            Failure::Fetch(error) => error,
            Failure::JavaScript(error) => network(&error),
        }),
        Either::Right(_) => {
            controller.abort();
            Err(FetchError::Timeout {
                url: url.to_owned(),
                seconds,
            })
        }
    }
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

async fn answer(
    url: &str,
    size: Size,
    controller: &AbortController,
    traffic: &Traffic,
    on_bytes: &dyn Fn(i64),
) -> Result<Uint8Array, Failure> {
    let request = RequestBuilder::new(url)
        // What is verified is kept by this module. A second copy in the HTTP cache could be a bad one, which a
        // server's `304 Not Modified` would bring back for as long as the file does not change.
        .cache(RequestCache::NoStore)
        .credentials(RequestCredentials::Omit)
        .abort_signal(Some(&controller.signal()))
        .build()
        .map_err(|error| FetchError::Network {
            url: url.to_owned(),
            reason: error.to_string(),
        })?;
    traffic.requests.set(traffic.requests.get() + 1);
    let answer = Promise::resolve(&global_fetch(&request.into())?);
    let response: Response = JsFuture::from(answer).await?.dyn_into()?;
    let owned = || url.to_owned();
    if response.redirected() && !is_secure(&response.url()) {
        controller.abort();
        return Err(FetchError::Insecure { url: owned() }.into());
    }
    match response.status() {
        200 => {}
        // Object stores answer 403 for what does not exist when the caller may not list.
        status @ (403 | 404 | 410) => {
            return Err(FetchError::NotFound {
                url: owned(),
                status,
            }
            .into());
        }
        status => {
            return Err(FetchError::Status {
                url: owned(),
                status,
            }
            .into());
        }
    }

    let limit = size.limit();
    let mut pieces: Vec<Uint8Array> = Vec::new();
    let mut total = 0_u64;
    if let Some(body) = response.body() {
        let mut chunks = Chunks::new(&body)?;
        while let Some(piece) = chunks.next().await? {
            let length = piece.length();
            total += u64::from(length);
            traffic.bytes.set(traffic.bytes.get() + u64::from(length));
            if total > limit {
                controller.abort();
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
    if let Size::Exactly(expected) = size
        && total < expected
    {
        return Err(FetchError::Truncated {
            url: owned(),
            expected,
            got: total,
        }
        .into());
    }
    if let [whole] = pieces.as_slice() {
        return Ok(whole.clone());
    }
    let length = u32::try_from(total).map_err(|_| FetchError::TooLarge {
        url: owned(),
        limit,
    })?;
    let bytes = Uint8Array::new_with_length(length);
    let mut filled = 0;
    for piece in pieces {
        bytes.set(&piece, filled);
        filled += piece.length();
    }
    Ok(bytes)
}
