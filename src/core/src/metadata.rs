//! The roles of TUF as values (TUF 1.0, section 4).
//!
//! These types say what is written; [`crate::trust`] says what is believed. Fields that are not known are
//! kept in `other`, so that a publisher who reads, changes and writes a role loses nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::delegations::Delegations;
use crate::digest::{Expected, Sha256Digest, Sha512Digest};
use crate::error::VerifyError;
use crate::json;
use crate::keys::{KeyId, PublicKey};
use crate::names::{Channel, ReleaseName, Version};
use crate::time::UnixTime;

/// Signatures that a file may have: each costs time before any of it is trusted.
pub const MAX_SIGNATURES: usize = 256;

/// Versions beyond this are refused: not every JSON parser reads them alike, and the next one must exist.
pub const MAX_VERSION: u64 = (1 << 53) - 2;

/// The specification that written metadata follows.
pub const SPEC_VERSION: &str = "1.0.31";

/// Fields that a later version of a format may add.
pub type Other = Map<String, Value>;

/// A top-level role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleKind {
    /// Names the keys of all four.
    Root,
    /// Names the current snapshot.
    Timestamp,
    /// Names the current version of every targets file.
    Snapshot,
    /// Names the releases.
    Targets,
}

impl RoleKind {
    /// As in `_type`, in `roles` and in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        }
    }

    /// The top-level role of that name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// A role's name as it stands in file names: percent-encoded, all but letters, digits, `-`, `.`, `_` and `~`.
/// A delegated role can have any name.
pub fn encode_role(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// What the `signed` part of each role has in common.
pub trait Role: serde::de::DeserializeOwned + Serialize {
    /// Which one.
    const KIND: RoleKind;
    /// The fields in common.
    fn common(&self) -> &Common;
}

/// The fields in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// The role's name.
    #[serde(rename = "_type")]
    pub role: String,
    /// `1.0` or `1.0.x`.
    pub spec_version: String,
    /// Counts up from 1.
    pub version: u64,
    /// Not valid from this time on.
    pub expires: UnixTime,
}

impl Common {
    /// The common fields of a role that is to be written.
    pub fn new(kind: RoleKind, version: u64, expires: UnixTime) -> Self {
        Self {
            role: kind.as_str().into(),
            spec_version: SPEC_VERSION.into(),
            version,
            expires,
        }
    }
}

/// The keys of a role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleKeys {
    /// Without repetition.
    pub keyids: Vec<KeyId>,
    /// At least 1.
    pub threshold: u64,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

impl RoleKeys {
    /// What they must be before signatures are counted. `subject` is the file that names them for `role`.
    pub(crate) fn check(&self, role: &str, subject: &str) -> Result<(), VerifyError> {
        let malformed = |reason: String| {
            Err(VerifyError::Malformed {
                subject: subject.to_owned(),
                reason,
            })
        };
        if self.threshold == 0 {
            return malformed(format!(
                "expected a threshold of at least 1 for `{role}`, got 0"
            ));
        }
        let mut ids = self.keyids.clone();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != self.keyids.len() {
            return malformed(format!("the role `{role}` lists a key id twice"));
        }
        Ok(())
    }
}

/// `N.root.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// Always true here.
    pub consistent_snapshot: bool,
    /// Every key by its id.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// The four top-level roles; others are refused by no one and used by no one.
    pub roles: BTreeMap<String, RoleKeys>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// What one metadata file says of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// The version that is current, at least 1.
    #[serde(deserialize_with = "positive")]
    pub version: u64,
    /// In bytes.
    #[serde(
        default,
        deserialize_with = "crate::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub length: Option<u64>,
    /// If present, at least one of a known algorithm.
    #[serde(
        default,
        deserialize_with = "crate::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub hashes: Option<Hashes>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom(
            "expected a version of at least 1, got 0",
        )),
        version => Ok(version),
    }
}

/// Digests by algorithm. Those of other algorithms are kept and not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    /// What a release manifest must have.
    #[serde(
        default,
        deserialize_with = "crate::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub sha256: Option<Sha256Digest>,
    /// Beside SHA-256 or in its place.
    #[serde(
        default,
        deserialize_with = "crate::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub sha512: Option<Sha512Digest>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

impl Hashes {
    /// SHA-256 alone.
    pub fn sha256(sha256: Sha256Digest) -> Self {
        Self {
            sha256: Some(sha256),
            sha512: None,
            other: Other::new(),
        }
    }

    /// Compares `bytes` with every digest that is known.
    ///
    /// # Errors
    /// [`VerifyError::Digest`]; [`VerifyError::Malformed`] if no digest is of a known algorithm.
    pub fn check(&self, bytes: &[u8], subject: &str) -> Result<(), VerifyError> {
        if self.sha256.is_none() && self.sha512.is_none() {
            return Err(VerifyError::Malformed {
                subject: subject.to_owned(),
                reason: "expected a digest by SHA-256 or SHA-512".into(),
            });
        }
        if let Some(sha256) = self.sha256 {
            Expected {
                subject: subject.to_owned(),
                length: None,
                sha256,
            }
            .check_bytes(bytes)?;
        }
        if let Some(expected) = self.sha512 {
            let got = Sha512Digest::of(bytes);
            if got != expected {
                return Err(VerifyError::Digest {
                    subject: subject.to_owned(),
                    expected: expected.into(),
                    got: got.into(),
                });
            }
        }
        Ok(())
    }
}

impl MetaFile {
    /// What is said of `bytes`, which are version `version`.
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self {
            version,
            length: Some(bytes.len() as u64),
            hashes: Some(Hashes::sha256(Sha256Digest::of(bytes))),
            other: Other::new(),
        }
    }
}

/// `timestamp.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// Has `snapshot.json`.
    pub meta: BTreeMap<String, MetaFile>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// `N.snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// Has `targets.json`.
    pub meta: BTreeMap<String, MetaFile>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// `N.targets.json`, and the file of a delegated role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// By target path, for a release `NAME/VERSION/release.json`.
    pub targets: BTreeMap<String, TargetFile>,
    /// Which other roles may name targets.
    #[serde(
        default,
        deserialize_with = "crate::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub delegations: Option<Delegations>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// What the targets metadata says of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFile {
    /// In bytes.
    pub length: u64,
    /// At least one of a known algorithm, or it cannot be had.
    pub hashes: Hashes,
    /// Where channels are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// The `custom` field of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    /// Present for a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webimport: Option<CustomRelease>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// What is said of a release beside its length and digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRelease {
    /// The channels that name this release now.
    #[serde(default)]
    pub channels: Vec<Channel>,
    #[serde(flatten)]
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

impl TargetFile {
    /// The channels that name this release now.
    pub fn channels(&self) -> &[Channel] {
        self.custom
            .as_ref()
            .and_then(|custom| custom.webimport.as_ref())
            .map_or(&[], |it| &it.channels)
    }
}

/// `NAME/VERSION/release.json`.
pub fn release_target(name: &ReleaseName, version: &Version) -> String {
    format!("{name}/{version}/release.json")
}

/// Name and version of a target path that is a release's.
pub fn parse_release_target(path: &str) -> Option<(ReleaseName, Version)> {
    let mut parts = path.split('/');
    let (name, version, file) = (parts.next()?, parts.next()?, parts.next()?);
    if file != "release.json" || parts.next().is_some() {
        return None;
    }
    Some((name.parse().ok()?, version.parse().ok()?))
}

macro_rules! role {
    ($($name:ident),*) => {$(
        impl Role for $name {
            const KIND: RoleKind = RoleKind::$name;

            fn common(&self) -> &Common {
                &self.common
            }
        }
    )*};
}
role!(Root, Timestamp, Snapshot, Targets);

/// A metadata file whose structure is checked and whose signatures are not.
#[derive(Debug, Clone)]
pub struct Envelope<T> {
    /// The role.
    pub signed: T,
    /// Key id and signature in hex, in the order of the file. Key ids that are not digests are left out: no
    /// role can name them.
    pub signatures: Vec<(KeyId, String)>,
    /// What the signatures cover.
    pub canonical: Vec<u8>,
}

impl<T: Role> Envelope<T> {
    /// Parses a metadata file.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] for bad JSON, a missing field, another role's file, an unknown specification
    /// version, version 0, or a key id that signs twice.
    pub fn parse(bytes: &[u8], subject: &str) -> Result<Self, VerifyError> {
        #[derive(Deserialize)]
        struct Wire {
            signatures: Vec<WireSignature>,
            signed: Value,
        }
        #[derive(Deserialize)]
        struct WireSignature {
            keyid: String,
            sig: String,
        }

        let malformed = |reason: String| VerifyError::Malformed {
            subject: subject.to_owned(),
            reason,
        };
        let value = json::parse(bytes, subject)?;
        json::check_objects(&value, &["signatures"], subject)?;
        let wire: Wire = json::typed(value, subject)?;
        let canonical = json::canonical(&wire.signed);
        if wire.signatures.len() > MAX_SIGNATURES {
            return Err(malformed(format!(
                "expected at most {MAX_SIGNATURES} signatures, got {}",
                wire.signatures.len()
            )));
        }
        let mut signatures: Vec<(KeyId, String)> = Vec::with_capacity(wire.signatures.len());
        for WireSignature { keyid, sig } in wire.signatures {
            let Ok(keyid) = keyid.parse::<KeyId>() else {
                continue;
            };
            if signatures.iter().any(|(other, _)| *other == keyid) {
                return Err(malformed(format!("the key `{keyid}` signs twice")));
            }
            signatures.push((keyid, sig));
        }
        let found = wire
            .signed
            .get("_type")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if found != T::KIND.as_str() {
            return Err(malformed(format!(
                "expected the role `{}`, got `{found}`",
                T::KIND.as_str()
            )));
        }
        let signed: T = json::typed(wire.signed, subject)?;
        let common = signed.common();
        if !is_known(&common.spec_version) {
            return Err(malformed(format!(
                "expected spec_version 1.0.x, got `{}`",
                common.spec_version
            )));
        }
        if !(1..=MAX_VERSION).contains(&common.version) {
            return Err(malformed(format!(
                "expected a version from 1 to {MAX_VERSION}, got {}",
                common.version
            )));
        }
        Ok(Self {
            signed,
            signatures,
            canonical,
        })
    }
}

/// `1.0` and `1.0.x`, with a number for x: whatever else begins like that is another version's or no version.
fn is_known(spec_version: &str) -> bool {
    let Some(rest) = spec_version.strip_prefix("1.0") else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.is_empty() || rest.strip_prefix('.').is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_versions_of_the_specification_are_known() {
        for known in ["1.0", "1.0.0", "1.0.31"] {
            assert!(is_known(known), "{known}");
        }
        for other in [
            "1", "1.0.", "1.0.x", "1.0.0.0", "1.0.31-x", "1.00", "1.1.0", "2.0", "",
        ] {
            assert!(!is_known(other), "{other}");
        }
    }

    #[test]
    fn fields_that_are_there_have_values_that_can_be() {
        let read = |meta: &str| serde_json::from_str::<MetaFile>(meta);
        assert!(read(r#"{"version": 1}"#).is_ok());
        assert!(read(r#"{"version": 1, "length": 5, "hashes": {}, "x": null}"#).is_ok());
        assert!(read(r#"{"version": 0}"#).is_err());
        assert!(read(r#"{"version": 1, "length": null}"#).is_err());
        assert!(read(r#"{"version": 1, "hashes": null}"#).is_err());
        assert!(read(r#"{"version": 1, "hashes": {"sha256": null}}"#).is_err());
        let read = |delegations: &str| serde_json::from_str::<Delegations>(delegations);
        assert!(read(r#"{"keys": {}, "roles": []}"#).is_ok());
        assert!(read(r#"{"keys": {}, "roles": [], "succinct_roles": null}"#).is_err());
    }

    #[test]
    fn release_targets_parse_back() {
        let name: ReleaseName = "my-lib".parse().unwrap();
        let version: Version = "1.0+x".parse().unwrap();
        let path = release_target(&name, &version);
        assert_eq!(path, "my-lib/1.0+x/release.json");
        assert_eq!(parse_release_target(&path), Some((name, version)));
        for other in [
            "my-lib/release.json",
            "a/1/b/release.json",
            "a/1/other.json",
            "a/x/release.json",
        ] {
            assert_eq!(parse_release_target(other), None, "{other}");
        }
    }
}
