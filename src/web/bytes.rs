//! Hashing and decompression by the platform, on bytes that stay in JavaScript's memory.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, ReadableStreamDefaultReader, ReadableWritablePair, Response};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Error, StoreError, VerifyError};
use webimport_core::manifest::{Encoding, ObjectEntry};

use crate::gzip::{self, Refusal};

#[wasm_bindgen]
extern "C" {
    // Looked up on the global object, as pages, workers and Node have it in different classes. Missing in
    // insecure contexts, which `catch` turns into an error.
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = digest, catch)]
    async fn subtle_digest(algorithm: &str, bytes: &Uint8Array) -> Result<JsValue, JsValue>;

    // `web-sys` has it behind a compiler flag. It has the two properties of a `ReadableWritablePair`.
    #[wasm_bindgen(extends = ReadableWritablePair)]
    type DecompressionStream;
    #[wasm_bindgen(constructor, catch)]
    fn new(format: &str) -> Result<DecompressionStream, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    // `web-sys` takes it that this never throws; it does for a body that a page's own `fetch` has read.
    #[wasm_bindgen(extends = ReadableStream, js_name = ReadableStream)]
    type ByteStream;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn get_reader(this: &ByteStream) -> Result<ReadableStreamDefaultReader, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    // `js-sys` takes it that this never throws; it does when there is no memory.
    #[wasm_bindgen(extends = Uint8Array, js_name = Uint8Array)]
    type Allocated;
    #[wasm_bindgen(constructor, catch, js_class = "Uint8Array")]
    fn new(length: u32) -> Result<Allocated, JsValue>;
}

/// Memory for `length` bytes of `subject`.
pub(crate) fn allocate(length: u64, subject: &str) -> Result<Uint8Array, StoreError> {
    u32::try_from(length)
        .ok()
        .and_then(|length| Allocated::new(length).ok())
        .map(Uint8Array::from)
        .ok_or_else(|| StoreError::Memory {
            subject: subject.to_owned(),
            bytes: length,
        })
}

/// Bytes that this module hashes by itself where the browser does not: they are copied for it.
const FALLBACK_LIMIT: u32 = 256 * 1024 * 1024;

/// The SHA-256 of `bytes`; `None` if the browser does not hash them and they are too many to copy.
pub(crate) async fn sha256(bytes: &Uint8Array) -> Option<Sha256Digest> {
    if let Ok(buffer) = subtle_digest("SHA-256", bytes).await
        && let Ok(raw) = Uint8Array::new(&buffer).to_vec().try_into()
    {
        return Some(Sha256Digest::from_raw(raw));
    }
    (bytes.length() <= FALLBACK_LIMIT).then(|| Sha256Digest::of(&bytes.to_vec()))
}

/// Checks `bytes` against what signed metadata says of them: the length before anything is done with them. Their digest.
pub(crate) async fn check(expected: &Expected, bytes: &Uint8Array) -> Result<Sha256Digest, Error> {
    let length = u64::from(bytes.length());
    expected.check_length(length)?;
    let digest = sha256(bytes).await.ok_or_else(|| StoreError::Memory {
        subject: expected.subject.clone(),
        bytes: length,
    })?;
    expected.check(length, digest)?;
    Ok(digest)
}

/// Undoes an object's encoding. `bytes` are verified; the size of what comes out is held to what the manifest
/// says all the same, so that nothing is allocated that was not announced.
pub(crate) async fn decode(object: &ObjectEntry, bytes: Uint8Array) -> Result<Uint8Array, Error> {
    if object.encoding == Encoding::Identity {
        return Ok(bytes);
    }
    let malformed = |reason: String| VerifyError::Malformed {
        subject: object.path(),
        reason,
    };
    let failed =
        |error: JsValue| malformed(format!("it cannot be decompressed: {}", describe(&error)));
    let decoded = allocate(object.decoded_size, &object.path())?;
    let size = decoded.length();

    let stream = Response::new_with_opt_js_u8_array(Some(&bytes))
        .map_err(failed)?
        .body()
        .ok_or_else(|| malformed("it is empty".into()))?;
    let inflate = DecompressionStream::new("gzip").map_err(failed)?;
    let mut reader = Chunks::new(&stream.pipe_through(&inflate)).map_err(failed)?;
    let mut filled = 0;
    while let Some(chunk) = reader.next().await.map_err(failed)? {
        if chunk.length() > size - filled {
            reader.cancel();
            let limit = object.decoded_size;
            return Err(VerifyError::TooLarge {
                subject: object.path(),
                limit,
            }
            .into());
        }
        decoded.set(&chunk, filled);
        filled += chunk.length();
    }
    if filled < size {
        let reason = format!("expected {size} bytes after decompression, got {filled}");
        return Err(malformed(reason).into());
    }
    Ok(decoded)
}

/// As [`decode`], while everything else of the page waits.
pub(crate) fn decode_now(object: &ObjectEntry, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if object.encoding == Encoding::Identity {
        return Ok(bytes);
    }
    let malformed = |reason: String| VerifyError::Malformed {
        subject: object.path(),
        reason,
    };
    let out_of_memory = || StoreError::Memory {
        subject: object.path(),
        bytes: object.decoded_size,
    };
    let size = usize::try_from(object.decoded_size).map_err(|_| out_of_memory())?;
    let decoded = gzip::inflate(&bytes, size).map_err(|refusal| match refusal {
        Refusal::Corrupt => {
            malformed("it cannot be decompressed: corrupt gzip stream".into()).into()
        }
        Refusal::Trailing => malformed("something follows after its end".into()).into(),
        Refusal::TooLarge => Error::from(VerifyError::TooLarge {
            subject: object.path(),
            limit: object.decoded_size,
        }),
        Refusal::Memory => out_of_memory().into(),
    })?;
    if decoded.len() < size {
        let got = decoded.len();
        let reason = format!("expected {size} bytes after decompression, got {got}");
        return Err(malformed(reason).into());
    }
    Ok(decoded)
}

/// The chunks of a byte stream.
pub(crate) struct Chunks(ReadableStreamDefaultReader);

impl Chunks {
    pub(crate) fn new(stream: &ReadableStream) -> Result<Self, JsValue> {
        stream.unchecked_ref::<ByteStream>().get_reader().map(Self)
    }

    /// `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Uint8Array>, JsValue> {
        let result = JsFuture::from(self.0.read()).await?;
        if Reflect::get(&result, &"done".into())?.is_truthy() {
            return Ok(None);
        }
        Reflect::get(&result, &"value".into())?.dyn_into().map(Some)
    }

    /// Nobody reads on. What the platform says to that does not matter any more.
    pub(crate) fn cancel(&self) {
        let _ = self.0.cancel();
    }
}

/// What a thrown value says, for messages; bounded, as a server can have a hand in it.
pub(crate) fn describe(error: &JsValue) -> String {
    let text = Reflect::get(error, &"message".into())
        .ok()
        .and_then(|message| message.as_string())
        .filter(|message| !message.is_empty())
        .or_else(|| error.as_string())
        .unwrap_or_else(|| "no reason given".to_owned());
    text.chars().take(300).collect()
}
