//! The roles of TUF as values (TUF 1.0, section 4).
//!
//! These types say what is written; [`crate::trust`] says what is believed. Fields that are not known are
//! kept in `other`, so that a publisher who reads, changes and writes a role loses nothing.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Serialize, Serializer};

use crate::delegations::Delegations;
use crate::digest::{Sha256Digest, Sha512Digest, check_digest};
use crate::error::{Fault, VerifyError, malformed};
use crate::fields::{self, Fields};
use crate::json::{self, Object, Value};
use crate::keys::{KeyId, PublicKey};
use crate::map::{Map, are_distinct};
use crate::names::{Channel, ReleaseName, Version};
use crate::time::UnixTime;
use crate::update::{MAX_UPDATES, UpdateEntry};

/// Signatures that a file may have: each costs time before any of it is trusted.
pub const MAX_SIGNATURES: usize = 256;

/// Versions beyond this are refused: not every JSON parser reads them alike, and the next one must exist.
pub const MAX_VERSION: u64 = (1 << 53) - 2;

/// The specification that written metadata follows.
pub const SPEC_VERSION: &str = "1.0.31";

/// Fields that a later version of a format may add.
pub type Other = Object;

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
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(match digit {
                    0..10 => b'0' + digit,
                    _ => b'A' - 10 + digit,
                }));
            }
        }
    }
    encoded
}

/// The name of a role's file with its version in front, but for the encoding of the role's name.
pub(crate) fn versioned(version: u64, role: &str) -> String {
    [&json::decimal(version), ".", role, ".json"].concat()
}

/// What the `signed` part of each role has in common.
pub trait Role: Serialize + Sized {
    /// Which one.
    const KIND: RoleKind;
    /// The fields in common.
    fn common(&self) -> &Common;
    /// Reads it.
    ///
    /// # Errors
    /// A field that is missing or has a value of another kind.
    fn read(value: Value) -> Result<Self, Fault>;
    /// Its JSON form.
    fn to_value(&self) -> Value;
}

/// The fields in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// The role's name.
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

    fn read(fields: &mut Fields) -> Result<Self, Fault> {
        Ok(Self {
            version: fields.number("version")?,
            expires: fields.parsed("expires")?,
            role: fields.text("_type")?,
            spec_version: fields.text("spec_version")?,
        })
    }

    fn check(&self) -> Result<(), Fault> {
        if !is_known(&self.spec_version) {
            return Err(Fault::new(format_args!(
                "expected spec_version 1.0.x, got `{}`",
                self.spec_version
            )));
        }
        check_version(self.version)
    }

    /// A role's object: these fields, and `other` ones.
    fn write(&self, other: &Other) -> Object {
        let mut object = other.clone();
        object.insert("_type".into(), self.role.as_str().into());
        object.insert("spec_version".into(), self.spec_version.as_str().into());
        object.insert("version".into(), self.version.into());
        object.insert("expires".into(), text(&self.expires));
        object
    }
}

fn check_version(version: u64) -> Result<(), Fault> {
    if !(1..=MAX_VERSION).contains(&version) {
        return Err(Fault::new(format_args!(
            "expected a version from 1 to {MAX_VERSION}, got {version}"
        )));
    }
    Ok(())
}

fn text(value: &impl ToString) -> Value {
    Value::String(value.to_string())
}

/// A JSON object of a map's values.
pub(crate) fn write_map<K: ToString, V>(map: &Map<K, V>, write: impl Fn(&V) -> Value) -> Value {
    let entries = map
        .iter()
        .map(|(key, value)| (key.to_string(), write(value)));
    Value::Object(entries.collect())
}

/// Keys, each under its id.
pub(crate) fn read_keys(object: Object) -> Result<Map<KeyId, PublicKey>, Fault> {
    // Ids in hex are in the order of their text.
    let mut keys = Vec::new();
    for (id, key) in object {
        keys.push((fields::parsed(&id)?, PublicKey::read(key)?));
    }
    Ok(Map::from_sorted(keys))
}

/// The keys of a role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Without repetition.
    pub keyids: Vec<KeyId>,
    /// At least 1.
    pub threshold: u64,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

impl RoleKeys {
    /// Takes what is left of an object whose other fields were taken.
    pub(crate) fn read(mut fields: Fields) -> Result<Self, Fault> {
        let threshold = fields.number("threshold")?;
        let mut keyids = Vec::new();
        for id in fields.list("keyids")? {
            keyids.push(fields::parsed(&fields::text(id)?)?);
        }
        Ok(Self {
            keyids,
            threshold,
            other: fields.rest(),
        })
    }

    pub(crate) fn write(&self) -> Object {
        let mut object = self.other.clone();
        let ids = self.keyids.iter().map(text).collect();
        object.insert("keyids".into(), Value::Array(ids));
        object.insert("threshold".into(), self.threshold.into());
        object
    }

    /// What they must be before signatures are counted.
    pub(crate) fn check(&self, role: &str) -> Result<(), Fault> {
        if self.threshold == 0 {
            return Err(Fault::new(format_args!(
                "expected a threshold of at least 1 for `{role}`, got 0"
            )));
        }
        if !are_distinct(self.keyids.iter().map(KeyId::as_bytes).collect()) {
            return Err(Fault::new(format_args!(
                "the role `{role}` lists a key id twice"
            )));
        }
        Ok(())
    }
}

/// `N.root.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// Always true here.
    pub consistent_snapshot: bool,
    /// Every key by its id.
    pub keys: Map<KeyId, PublicKey>,
    /// The four top-level roles; others are refused by no one and used by no one.
    pub roles: Map<String, RoleKeys>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

impl Role for Root {
    const KIND: RoleKind = RoleKind::Root;

    fn common(&self) -> &Common {
        &self.common
    }

    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let consistent_snapshot = fields.truth("consistent_snapshot")?;
        let common = Common::read(&mut fields)?;
        let keys = read_keys(fields.object("keys")?)?;
        let roles = fields::map(fields.object("roles")?, |role| {
            RoleKeys::read(Fields::of(role)?)
        })?;
        Ok(Self {
            common,
            consistent_snapshot,
            keys,
            roles,
            other: fields.rest(),
        })
    }

    fn to_value(&self) -> Value {
        let mut object = self.common.write(&self.other);
        object.insert(
            "consistent_snapshot".into(),
            Value::Bool(self.consistent_snapshot),
        );
        object.insert(
            "keys".into(),
            write_map(&self.keys, |key| key.value().clone()),
        );
        let roles = write_map(&self.roles, |role| Value::Object(role.write()));
        object.insert("roles".into(), roles);
        Value::Object(object)
    }
}

/// What one metadata file says of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// The version that is current, from 1 to [`MAX_VERSION`].
    pub version: u64,
    /// In bytes.
    pub length: Option<u64>,
    /// If present, at least one of a known algorithm.
    pub hashes: Option<Hashes>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
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

    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let version = fields.number("version")?;
        check_version(version)?;
        let length = match fields.optional("length") {
            Some(length) => Some(fields::number(&length)?),
            None => None,
        };
        let hashes = match fields.optional("hashes") {
            Some(hashes) => Some(Hashes::read(hashes)?),
            None => None,
        };
        Ok(Self {
            version,
            length,
            hashes,
            other: fields.rest(),
        })
    }

    fn write(&self) -> Value {
        let mut object = self.other.clone();
        object.insert("version".into(), self.version.into());
        if let Some(length) = self.length {
            object.insert("length".into(), length.into());
        }
        if let Some(hashes) = &self.hashes {
            object.insert("hashes".into(), hashes.write());
        }
        Value::Object(object)
    }
}

/// Digests by algorithm. Those of other algorithms are kept and not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// What a release manifest must have.
    pub sha256: Option<Sha256Digest>,
    /// Beside SHA-256 or in its place.
    pub sha512: Option<Sha512Digest>,
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
            return Err(malformed(
                subject,
                format_args!("expected a digest by SHA-256 or SHA-512"),
            ));
        }
        if let Some(expected) = self.sha256 {
            check_digest(subject, expected, Sha256Digest::of(bytes))?;
        }
        if let Some(expected) = self.sha512 {
            check_digest(subject, expected, Sha512Digest::of(bytes))?;
        }
        Ok(())
    }

    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let sha256 = match fields.optional("sha256") {
            Some(digest) => Some(fields::parsed(&fields::text(digest)?)?),
            None => None,
        };
        let sha512 = match fields.optional("sha512") {
            Some(digest) => Some(fields::parsed(&fields::text(digest)?)?),
            None => None,
        };
        Ok(Self {
            sha256,
            sha512,
            other: fields.rest(),
        })
    }

    fn write(&self) -> Value {
        let mut object = self.other.clone();
        if let Some(sha256) = &self.sha256 {
            object.insert("sha256".into(), text(sha256));
        }
        if let Some(sha512) = &self.sha512 {
            object.insert("sha512".into(), text(sha512));
        }
        Value::Object(object)
    }
}

/// `timestamp.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// Has `snapshot.json`.
    pub meta: Map<String, MetaFile>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// `N.snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// Has `targets.json`.
    pub meta: Map<String, MetaFile>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// Both have the same fields.
macro_rules! names_files {
    ($($name:ident),*) => {$(
        impl Role for $name {
            const KIND: RoleKind = RoleKind::$name;

            fn common(&self) -> &Common {
                &self.common
            }

            fn read(value: Value) -> Result<Self, Fault> {
                let (common, meta, other) = read_meta(value)?;
                Ok(Self { common, meta, other })
            }

            fn to_value(&self) -> Value {
                let mut object = self.common.write(&self.other);
                object.insert("meta".into(), write_map(&self.meta, MetaFile::write));
                Value::Object(object)
            }
        }
    )*};
}
names_files!(Timestamp, Snapshot);

fn read_meta(value: Value) -> Result<(Common, Map<String, MetaFile>, Other), Fault> {
    let mut fields = Fields::of(value)?;
    let common = Common::read(&mut fields)?;
    let meta = fields::map(fields.object("meta")?, MetaFile::read)?;
    Ok((common, meta, fields.rest()))
}

/// `N.targets.json`, and the file of a delegated role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    #[expect(missing_docs, reason = "see `Common`")]
    pub common: Common,
    /// By target path, for a release `NAME/VERSION/release.json`.
    pub targets: Map<String, TargetFile>,
    /// Which other roles may name targets.
    pub delegations: Option<Delegations>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

impl Role for Targets {
    const KIND: RoleKind = RoleKind::Targets;

    fn common(&self) -> &Common {
        &self.common
    }

    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let common = Common::read(&mut fields)?;
        let targets = fields::map(fields.object("targets")?, TargetFile::read)?;
        let delegations = match fields.optional("delegations") {
            Some(delegations) => Some(Delegations::read(delegations)?),
            None => None,
        };
        Ok(Self {
            common,
            targets,
            delegations,
            other: fields.rest(),
        })
    }

    fn to_value(&self) -> Value {
        let mut object = self.common.write(&self.other);
        let targets = write_map(&self.targets, TargetFile::write);
        object.insert("targets".into(), targets);
        if let Some(delegations) = &self.delegations {
            object.insert("delegations".into(), delegations.write());
        }
        Value::Object(object)
    }
}

/// What the targets metadata says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFile {
    /// In bytes.
    pub length: u64,
    /// At least one of a known algorithm, or it cannot be had.
    pub hashes: Hashes,
    /// Where channels are.
    pub custom: Option<Custom>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// The `custom` field of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Custom {
    /// Present for a release.
    pub webimport: Option<CustomRelease>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// What is said of a release beside its length and digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomRelease {
    /// The channels that name this release now.
    pub channels: Vec<Channel>,
    /// What makes it out of earlier releases.
    pub updates: Vec<UpdateEntry>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

impl TargetFile {
    /// The channels that name this release now.
    pub fn channels(&self) -> &[Channel] {
        self.release().map_or(&[], |it| &it.channels)
    }

    /// What makes this release out of earlier ones.
    pub fn updates(&self) -> &[UpdateEntry] {
        self.release().map_or(&[], |it| &it.updates)
    }

    fn release(&self) -> Option<&CustomRelease> {
        self.custom.as_ref()?.webimport.as_ref()
    }

    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        Ok(Self {
            length: fields.number("length")?,
            hashes: Hashes::read(fields.required("hashes")?)?,
            // Here alone, `null` is as good as nothing: the specification leaves the field to applications.
            custom: match fields.optional("custom") {
                Some(Value::Null) | None => None,
                Some(custom) => Some(Custom::read(custom)?),
            },
            other: fields.rest(),
        })
    }

    fn write(&self) -> Value {
        let mut object = self.other.clone();
        object.insert("length".into(), self.length.into());
        object.insert("hashes".into(), self.hashes.write());
        if let Some(custom) = &self.custom {
            object.insert("custom".into(), custom.write());
        }
        Value::Object(object)
    }
}

impl Custom {
    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        Ok(Self {
            webimport: match fields.optional("webimport") {
                Some(Value::Null) | None => None,
                Some(release) => Some(CustomRelease::read(release)?),
            },
            other: fields.rest(),
        })
    }

    fn write(&self) -> Value {
        let mut object = self.other.clone();
        if let Some(release) = &self.webimport {
            let mut inner = release.other.clone();
            let channels = release.channels.iter().map(text).collect();
            inner.insert("channels".into(), Value::Array(channels));
            if !release.updates.is_empty() {
                let updates = release.updates.iter().map(UpdateEntry::write).collect();
                inner.insert("updates".into(), Value::Array(updates));
            }
            object.insert("webimport".into(), Value::Object(inner));
        }
        Value::Object(object)
    }
}

impl CustomRelease {
    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let mut channels = Vec::new();
        if let Some(listed) = fields.optional("channels") {
            for channel in fields::texts(listed)? {
                channels.push(fields::parsed(&channel)?);
            }
        }
        let updates = match fields.optional("updates") {
            Some(listed) => fields::items(listed, UpdateEntry::read)?,
            None => Vec::new(),
        };
        if updates.len() > MAX_UPDATES {
            return Err(Fault::new(format_args!(
                "expected at most {MAX_UPDATES} updates, got {}",
                updates.len()
            )));
        }
        Ok(Self {
            channels,
            updates,
            other: fields.rest(),
        })
    }
}

macro_rules! serialize_as_value {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.to_value().serialize(serializer)
            }
        }
    )*};
}
serialize_as_value!(Root, Timestamp, Snapshot, Targets);

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
        Self::read(bytes).map_err(|fault| fault.of(subject))
    }

    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        Sealed::open(bytes, T::KIND)?.read()
    }
}

/// A metadata file of which nothing is read but the signatures. Decoding its keys takes longer than the rest: that
/// is for after the signatures have been checked, where it is known whose they have to be.
pub(crate) struct Sealed {
    signed: Value,
    pub(crate) signatures: Vec<(KeyId, String)>,
    /// What the signatures cover.
    pub(crate) canonical: Vec<u8>,
}

impl Sealed {
    pub(crate) fn open(bytes: &[u8], kind: RoleKind) -> Result<Self, Fault> {
        let (signed, signatures) = open(bytes, kind)?;
        Ok(Self {
            canonical: json::canonical(&signed),
            signed,
            signatures,
        })
    }

    pub(crate) fn read<T: Role>(self) -> Result<Envelope<T>, Fault> {
        let signed = T::read(self.signed)?;
        signed.common().check()?;
        Ok(Envelope {
            signed,
            signatures: self.signatures,
            canonical: self.canonical,
        })
    }
}

/// What is in a file of that role: what is signed, and the signatures.
fn open(bytes: &[u8], kind: RoleKind) -> Result<(Value, Vec<(KeyId, String)>), Fault> {
    let mut fields = Fields::of(json::read(bytes)?)?;
    let signed = fields.required("signed")?;
    let role = signed.get("_type").and_then(Value::as_str);
    let (role, expected) = (role.unwrap_or_default(), kind.as_str());
    if role != expected {
        return Err(Fault::new(format_args!(
            "expected the role `{expected}`, got `{role}`"
        )));
    }
    let entries = fields.list("signatures")?;
    if entries.len() > MAX_SIGNATURES {
        return Err(Fault::new(format_args!(
            "expected at most {MAX_SIGNATURES} signatures, got {}",
            entries.len()
        )));
    }
    let mut signatures: Vec<(KeyId, String)> = Vec::new();
    for entry in entries {
        let mut entry = Fields::of(entry)?;
        let (keyid, signature) = (entry.text("keyid")?, entry.text("sig")?);
        let Ok(keyid) = keyid.parse::<KeyId>() else {
            continue;
        };
        if signatures.iter().any(|(other, _)| *other == keyid) {
            return Err(Fault::new(format_args!("the key `{keyid}` signs twice")));
        }
        signatures.push((keyid, signature));
    }
    Ok((signed, signatures))
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
        let value = |text: &str| json::parse(text.as_bytes(), "test").unwrap();
        let read = |meta: &str| MetaFile::read(value(meta));
        assert!(read(r#"{"version": 1}"#).is_ok());
        assert!(read(r#"{"version": 1, "length": 5, "hashes": {}, "x": null}"#).is_ok());
        assert!(read(r#"{"version": 0}"#).is_err());
        assert!(read(r#"{"version": 9007199254740990}"#).is_ok());
        assert!(read(r#"{"version": 9007199254740991}"#).is_err());
        assert!(read(r#"{"version": 1, "length": null}"#).is_err());
        assert!(read(r#"{"version": 1, "hashes": null}"#).is_err());
        assert!(read(r#"{"version": 1, "hashes": {"sha256": null}}"#).is_err());
        let read = |delegations: &str| Delegations::read(value(delegations));
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
