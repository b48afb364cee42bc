//! What can go wrong, a type for each stage.
//!
//! The message says what: the subject in backticks, expected and then got. [`Coded::hint`] says what to do
//! next and never suggests switching a check off. [`Coded::code`] is the same text in Rust, in
//! `error.code` in JavaScript and in `.code` in Python.

use crate::digest::{AnyDigest, Sha256Digest};
use crate::time::UnixTime;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A stable code and a hint beside the message.
pub trait Coded: core::error::Error {
    /// `stage.reason`, for programs.
    fn code(&self) -> &'static str;
    /// What to do next, for people.
    fn hint(&self) -> String;
}

/// The configuration or a release URL cannot be used as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value has the wrong form.
    #[error("`{key}` in the {layer} config: {reason}")]
    Invalid {
        /// Where, in TOML notation.
        key: String,
        /// `page`, `notebook` or `call`.
        layer: String,
        /// Expected and then got.
        reason: String,
    },
    /// A key that no version of the schema has: likely a typing error, and a pin that would be lost.
    #[error("unknown key `{key}` in the {layer} config")]
    UnknownKey {
        /// Where, in TOML notation.
        key: String,
        /// As in [`ConfigError::Invalid`].
        layer: String,
    },
    /// Two loaded releases that no config can pin together.
    #[error("a config has one `{key}`, {one} and {other} need two")]
    Conflict {
        /// Where, in TOML notation.
        key: String,
        /// A loaded release, in words.
        one: String,
        /// Another one.
        other: String,
    },
    /// Not a release or repository URL.
    #[error("`{url}` is not a release URL: {reason}")]
    Url {
        /// As given.
        url: String,
        /// Expected and then got.
        reason: String,
    },
    /// Plain `http:` to a host that is not loopback.
    #[error("`{url}` is not loaded over plain http")]
    Insecure {
        /// As given.
        url: String,
    },
}

impl Coded for ConfigError {
    fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "config.invalid",
            Self::UnknownKey { .. } => "config.unknown_key",
            Self::Conflict { .. } => "config.conflict",
            Self::Url { .. } => "url.invalid",
            Self::Insecure { .. } => "url.insecure",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Invalid { .. } => "correct the value; the README lists the forms".into(),
            Self::UnknownKey { .. } => {
                "known keys: frozen; repositories.<url>.root, .mirrors; releases.<name>.repository, \
                 .version, .channel, .sha256"
                    .into()
            }
            Self::Conflict { .. } => {
                "unload one of the two (`unload()` of what `loadRelease` returned for it), then freeze again"
                    .into()
            }
            Self::Url { .. } => {
                "write https://host/repository/name, with @version or @channel, or a bare name that the \
                 config gives a repository"
                    .into()
            }
            Self::Insecure { .. } => "serve the repository over https; http is for loopback alone".into(),
        }
    }
}

/// Whom to trust is not settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No root pin for the repository, and first-use trust was not asked for.
    #[error("no root pin for the repository `{repository}`")]
    NoRoot {
        /// Its base URL.
        repository: String,
    },
    /// `1.root.json` has another digest than the pin.
    #[error("`1.root.json` of `{repository}`: expected sha256:{expected}, got sha256:{got}")]
    RootMismatch {
        /// Its base URL.
        repository: String,
        /// The pin.
        expected: Sha256Digest,
        /// Of the bytes received.
        got: Sha256Digest,
    },
}

impl Coded for TrustError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoRoot { .. } => "trust.no_root",
            Self::RootMismatch { .. } => "trust.root_mismatch",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NoRoot { repository } => format!(
                "ask the publisher for the root pin and set [repositories.\"{repository}\"] root = \
                 \"sha256:…\", or pass root="
            ),
            Self::RootMismatch { .. } => {
                "the pin belongs to another repository, or the server is not the publisher's; compare the \
                 pin with the publisher by another way"
                    .into()
            }
        }
    }
}

/// Bytes that are not what signed metadata says, or metadata that breaks a rule of TUF.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Other bytes than announced.
    #[error("`{subject}`: expected {expected}, got {got}")]
    Digest {
        /// A path inside the repository.
        subject: String,
        /// From signed data or a pin.
        expected: AnyDigest,
        /// Of the bytes received.
        got: AnyDigest,
    },
    /// Another length than announced.
    #[error("`{subject}`: expected {expected} bytes, got {got}")]
    Length {
        /// A path inside the repository.
        subject: String,
        /// In bytes.
        expected: u64,
        /// In bytes.
        got: u64,
    },
    /// More bytes than a limit allows; endless data.
    #[error("`{subject}`: more than {limit} bytes")]
    TooLarge {
        /// A path inside the repository.
        subject: String,
        /// In bytes.
        limit: u64,
    },
    /// Too few valid signatures by distinct keys of the role.
    #[error("`{subject}`: expected {needed} valid signatures of the role `{role}`, got {valid}")]
    Threshold {
        /// A metadata file name.
        subject: String,
        /// The role whose keys count.
        role: String,
        /// The threshold.
        needed: u64,
        /// Distinct keys with a valid signature.
        valid: u64,
    },
    /// Past its `expires`; an indefinite freeze.
    #[error("`{subject}` expired at {expires}")]
    Expired {
        /// A metadata file name.
        subject: String,
        /// From the metadata.
        expires: UnixTime,
    },
    /// An older version than one seen before.
    #[error("`{subject}`: expected version {trusted} or later, got {got}")]
    Rollback {
        /// A metadata file name.
        subject: String,
        /// The version trusted before.
        trusted: u64,
        /// The version received.
        got: u64,
    },
    /// Another version than the metadata above it names.
    #[error("`{subject}`: expected version {expected}, got {got}")]
    MixAndMatch {
        /// A metadata file name.
        subject: String,
        /// From the metadata above.
        expected: u64,
        /// The version received.
        got: u64,
    },
    /// Not the JSON, or not the structure, that is required.
    #[error("`{subject}` is malformed: {reason}")]
    Malformed {
        /// A path inside the repository.
        subject: String,
        /// Expected and then got.
        reason: String,
    },
    /// A file path that could reach outside its folder or hide another file.
    #[error("the release has the unsafe path {path:?}: {reason}")]
    Path {
        /// As in the manifest.
        path: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// A file that Python would run at start-up.
    #[error("the release has {path:?}, which Python runs at start-up")]
    UnsafeFile {
        /// As in the manifest.
        path: String,
    },
}

impl Coded for VerifyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Digest { .. } => "verify.digest",
            Self::Length { .. } => "verify.length",
            Self::TooLarge { .. } => "verify.too_large",
            Self::Threshold { .. } => "verify.threshold",
            Self::Expired { .. } => "verify.expired",
            Self::Rollback { .. } => "verify.rollback",
            Self::MixAndMatch { .. } => "verify.mix_and_match",
            Self::Malformed { .. } => "verify.malformed",
            Self::Path { .. } => "verify.path",
            Self::UnsafeFile { .. } => "verify.unsafe_file",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Digest { .. } | Self::Length { .. } => {
                "the server or something in between changed the file; the publisher can compare with \
                 `webimport verify`"
            }
            Self::TooLarge { .. } => "the limits are in the README; the publisher can make smaller releases",
            Self::Threshold { .. } => {
                "the file was not signed by the keys that the root names; tell the publisher"
            }
            Self::Expired { .. } => {
                "if this device's clock is right, the publisher has to sign the metadata again"
            }
            Self::Rollback { .. } => {
                "the server offers older metadata than this device has seen: an old backup, a stale mirror, \
                 or an attack; tell the publisher"
            }
            Self::MixAndMatch { .. } => {
                "files of different states are mixed on the server; the publisher has to upload the whole \
                 `metadata` folder"
            }
            Self::Malformed { .. } => {
                "check that the URL is the repository's base, and that the server answers 404 for files \
                 that it does not have"
            }
            Self::Path { .. } => "the publisher has to rename the file",
            Self::UnsafeFile { .. } => "the publisher has to leave the file out of the release",
        }
        .into()
    }
}

/// Why bytes do not have the form that belongs there, before it is known whose bytes they are. Without the feature
/// `messages` it is nothing but the fact, so that the many places that may fail cost little.
#[derive(Debug)]
pub struct Fault {
    #[cfg(feature = "messages")]
    reason: String,
}

impl Fault {
    /// Why, in words.
    #[cold]
    #[inline(never)]
    pub fn new(reason: fmt::Arguments<'_>) -> Self {
        #[cfg(not(feature = "messages"))]
        let _ = reason;
        Self {
            #[cfg(feature = "messages")]
            reason: format!("{reason}"),
        }
    }

    /// The refusal of `subject`.
    #[cold]
    #[inline(never)]
    pub fn of(self, subject: &str) -> VerifyError {
        #[cfg(feature = "messages")]
        let reason = self.reason;
        #[cfg(not(feature = "messages"))]
        let reason = String::new();
        VerifyError::Malformed {
            subject: words(format_args!("{subject}")),
            reason,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "messages")]
        let reason = &self.reason;
        #[cfg(not(feature = "messages"))]
        let reason = "";
        f.write_str(reason)
    }
}

/// A refusal of bytes that do not have the form that belongs there.
pub(crate) fn malformed(subject: &str, reason: fmt::Arguments<'_>) -> VerifyError {
    Fault::new(reason).of(subject)
}

/// Words for people. Who goes by codes alone leaves the feature `messages` out, and with it all of formatting.
#[cold]
#[inline(never)]
pub(crate) fn words(words: fmt::Arguments<'_>) -> String {
    if cfg!(feature = "messages") {
        format!("{words}")
    } else {
        String::new()
    }
}

/// A file could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No answer: offline, refused, no CORS header, or a broken connection.
    #[error("`{url}` cannot be fetched: {reason}")]
    Network {
        /// The whole URL.
        url: String,
        /// What the platform says.
        reason: String,
    },
    /// An answer that is not 200 nor 404.
    #[error("`{url}` was answered with status {status}")]
    Status {
        /// The whole URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// 404, 403 or 410.
    #[error("`{url}` does not exist (status {status})")]
    NotFound {
        /// The whole URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Slower than the deadline or the minimum rate allows; slow retrieval.
    #[error("`{url}` took longer than {seconds} s")]
    Timeout {
        /// The whole URL.
        url: String,
        /// The deadline that passed.
        seconds: u32,
    },
    /// The body ended early.
    #[error("`{url}` ended after {got} of {expected} bytes")]
    Truncated {
        /// The whole URL.
        url: String,
        /// In bytes.
        expected: u64,
        /// In bytes.
        got: u64,
    },
    /// The server redirects to plain `http:` on a host that is not loopback.
    #[error("`{url}` redirects to plain http")]
    Insecure {
        /// The whole URL.
        url: String,
    },
    /// The body went on past the limit and was cut off.
    #[error("`{url}` is longer than {limit} bytes")]
    TooLarge {
        /// The whole URL.
        url: String,
        /// In bytes.
        limit: u64,
    },
}

impl FetchError {
    /// Another try, or another mirror, may well answer.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } | Self::Timeout { .. } | Self::Truncated { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 408 || *status == 429,
            Self::NotFound { .. } | Self::Insecure { .. } | Self::TooLarge { .. } => false,
        }
    }
}

impl FetchError {
    /// No server gave an answer that could be judged: what was verified before may stand in for it.
    pub fn is_absence(&self) -> bool {
        self.is_transient() || matches!(self, Self::Status { .. } | Self::NotFound { .. })
    }
}

impl Coded for FetchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Network { .. } => "fetch.network",
            Self::Status { .. } => "fetch.status",
            Self::NotFound { .. } => "fetch.not_found",
            Self::Timeout { .. } => "fetch.timeout",
            Self::Truncated { .. } => "fetch.truncated",
            Self::Insecure { .. } => "url.insecure",
            Self::TooLarge { .. } => "verify.too_large",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Network { .. } => {
                "check the connection and the URL; from a browser the server must also send \
                 `access-control-allow-origin`, and the page's Content-Security-Policy must allow the \
                 server in `connect-src`"
            }
            Self::Status { .. } | Self::Timeout { .. } | Self::Truncated { .. } => {
                "try again later, or add a mirror to the config"
            }
            Self::NotFound { .. } => {
                "check that the URL is the repository's base, and that the publisher uploaded every folder"
            }
            Self::Insecure { .. } => "the server has to answer over https, or redirect to https",
            Self::TooLarge { .. } => {
                "the server sends more than the signed metadata or the limit allows; tell the publisher"
            }
        }
        .into()
    }
}

/// What is asked for does not exist, or is not allowed here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// No release of that name.
    #[error("`{repository}` has no release named `{name}`")]
    UnknownName {
        /// Its base URL.
        repository: String,
        /// The name asked for.
        name: String,
        /// What it has, for the hint.
        known: Vec<String>,
    },
    /// The name exists, the version does not.
    #[error("`{name}` has no version `{version}`")]
    UnknownVersion {
        /// The name asked for.
        name: String,
        /// The version asked for.
        version: String,
        /// What it has, for the hint.
        known: Vec<String>,
    },
    /// The name exists, the channel does not.
    #[error("`{name}` has no channel `{channel}`")]
    UnknownChannel {
        /// The name asked for.
        name: String,
        /// The channel asked for.
        channel: String,
        /// What it has, for the hint.
        known: Vec<String>,
    },
    /// The release does not have an import name that is asked for.
    #[error("`{name}` has no module `{module}`")]
    UnknownModule {
        /// The release's name.
        name: String,
        /// The import name asked for.
        module: String,
        /// What it has, for the hint.
        known: Vec<String>,
    },
    /// The signed release is not the pinned one.
    #[error("`{name}` {version} is pinned to sha256 {pinned}, got {got}")]
    PinMismatch {
        /// The release's name.
        name: String,
        /// The version that was resolved.
        version: String,
        /// From the config or the call.
        pinned: Sha256Digest,
        /// From signed metadata.
        got: Sha256Digest,
    },
    /// The config is frozen and the release has no `sha256` pin.
    #[error("`{name}` has no sha256 pin and the config is frozen")]
    NotPinned {
        /// The release's name.
        name: String,
    },
    /// A top-level name that something else owns.
    #[error("`{name}` claims the import name `{module}`, which belongs to {owner}")]
    Shadow {
        /// The release's name.
        name: String,
        /// The import name.
        module: String,
        /// Who has it.
        owner: String,
    },
    /// This interpreter is not one that the release supports.
    #[error("`{name}` {version} requires Python {required}, this is Python {python}")]
    Python {
        /// The release's name.
        name: String,
        /// Its version.
        version: String,
        /// A PEP 440 specifier.
        required: String,
        /// The interpreter's version.
        python: String,
    },
    /// A release without source, for other interpreters.
    #[error("`{name}` {version} has no source, and no bytecode for {tag}")]
    Bytecode {
        /// The release's name.
        name: String,
        /// Its version.
        version: String,
        /// The cache tags that it has bytecode for, for the hint.
        known: Vec<String>,
        /// The interpreter's cache tag.
        tag: String,
    },
    /// No request is allowed and the cache does not have it.
    #[error("`{subject}` is not in the cache")]
    Offline {
        /// What is missing.
        subject: String,
    },
}

impl Coded for ResolveError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownName { .. } => "resolve.unknown_name",
            Self::UnknownVersion { .. } => "resolve.unknown_version",
            Self::UnknownChannel { .. } => "resolve.unknown_channel",
            Self::UnknownModule { .. } => "resolve.unknown_module",
            Self::PinMismatch { .. } => "resolve.pin_mismatch",
            Self::NotPinned { .. } => "resolve.not_pinned",
            Self::Shadow { .. } => "resolve.shadow",
            Self::Python { .. } => "resolve.python",
            Self::Bytecode { .. } => "resolve.bytecode",
            Self::Offline { .. } => "resolve.offline",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::UnknownName { known, .. } => listing("the repository has", known),
            Self::UnknownVersion { known, .. } => listing("versions:", known),
            Self::UnknownChannel { known, .. } => listing("channels:", known),
            Self::UnknownModule { known, .. } => listing("it has", known),
            Self::PinMismatch { .. } => {
                "a release never changes, so the pin belongs to another version or another repository; \
                 correct the version or the sha256 of the pin"
                    .into()
            }
            Self::NotPinned { name } => {
                format!("load it with an unfrozen config and paste what `webimport.freeze()` says of `{name}`")
            }
            Self::Shadow { owner, .. } if owner.starts_with("the release ") => {
                "unload that release first (`unload()` of what `loadRelease` returned for it), then load this one"
                    .into()
            }
            Self::Shadow { module, .. } => {
                format!("pass allow_shadow=[\"{module}\"] if this release may provide it")
            }
            Self::Python { .. } => "ask for another version of the release, or use another Pyodide".into(),
            Self::Bytecode { known, .. } => format!(
                "use another Pyodide ({}), or ask the publisher for a release with source",
                listing("it has bytecode for", known)
            ),
            Self::Offline { .. } => "load it once with the network; afterwards it is there without".into(),
        }
    }
}

fn listing(lead: &str, known: &[String]) -> String {
    const SHOWN: usize = 8;
    if known.is_empty() {
        return format!("{lead} none");
    }
    let more = known.len().saturating_sub(SHOWN);
    let shown = known
        .iter()
        .rev()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        format!("{lead} {shown} and {more} more")
    } else {
        format!("{lead} {shown}")
    }
}

/// The cache could not be used. Mostly a warning: loads go on from memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be opened, read or written.
    #[error("the browser's storage cannot be used: {reason}")]
    Unavailable {
        /// What the platform says.
        reason: String,
    },
    /// There is no room.
    #[error("the browser's storage is full: {reason}")]
    Quota {
        /// What the platform says.
        reason: String,
    },
    /// The browser does not give the memory for it.
    #[error("there is no memory for the {bytes} bytes of `{subject}`")]
    Memory {
        /// A path inside the repository.
        subject: String,
        /// How many were asked for.
        bytes: u64,
    },
    /// A record does not have the digest that it is stored under.
    #[error("a stored copy of `{subject}` was damaged")]
    Damaged {
        /// A path inside the repository.
        subject: String,
    },
}

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "store.unavailable",
            Self::Quota { .. } => "store.quota",
            Self::Damaged { .. } => "store.damaged",
            Self::Memory { .. } => "store.memory",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unavailable { .. } => {
                "the release works from memory and is fetched again next time; private windows and blocked \
                 site data have this effect"
            }
            Self::Quota { .. } => {
                "the release works from memory and is fetched again next time; `webimport.cache.clear()` \
                 makes room"
            }
            Self::Memory { .. } => "close other tabs, or unload releases that are not needed",
            Self::Damaged { .. } => "it was dropped and is fetched again; nothing needs to be done",
        }
        .into()
    }
}

/// Any refusal of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Configuration and URLs.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Root pins.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Metadata, manifests and objects.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The network.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Names, versions, pins, shadowing.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The cache.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::Verify(error) => error.code(),
            Self::Fetch(error) => error.code(),
            Self::Resolve(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Config(error) => error.hint(),
            Self::Trust(error) => error.hint(),
            Self::Verify(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::Resolve(error) => error.hint(),
            Self::Store(error) => error.hint(),
        }
    }
}
