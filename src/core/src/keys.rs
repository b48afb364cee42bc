//! Public keys and key ids (TUF 4.2.1).
//!
//! Known are `ed25519` and `ecdsa-sha2-nistp256`. A key of another scheme is kept, so that metadata that holds
//! it stays valid, and never counts towards a threshold.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use serde::{Serialize, Serializer};

use crate::der;
use crate::digest::{Sha256Digest, from_hex, to_hex};
use crate::error::{Fault, VerifyError};
use crate::json::{self, Object, Value};

/// The SHA-256 of the canonical form of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Sha256Digest);

impl KeyId {
    /// Its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = crate::digest::DigestSyntax;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Whether `signature` (hex) is over `message` by `key`, the JSON object with `keytype`, `scheme` and `keyval`,
/// for a scheme that this crate does not know. A host may bring one of its own; no browser does.
pub type ForeignScheme = fn(key: &Value, message: &[u8], signature: &str) -> bool;

/// A public key as metadata holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    raw: Value,
    scheme: Scheme,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scheme {
    Ed25519(Box<VerifyingKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    Foreign,
}

impl PublicKey {
    /// An Ed25519 key.
    pub fn from_verifying_key(key: VerifyingKey) -> Self {
        let raw = raw("ed25519", "ed25519", to_hex(key.as_bytes()));
        Self::new(raw, Scheme::Ed25519(Box::new(key)))
    }

    /// An ECDSA key on the curve P-256, and its PEM form.
    #[cfg(feature = "sign")]
    pub(crate) fn from_p256(key: &p256::ecdsa::VerifyingKey, pem: String) -> Self {
        let raw = raw("ecdsa", "ecdsa-sha2-nistp256", pem);
        Self::new(raw, Scheme::P256(Box::new(*key)))
    }

    /// A key from its JSON form; fields that are not known are kept, as the key id covers them.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] if a field is missing or a key of a known scheme does not parse.
    pub fn from_value(raw: Value) -> Result<Self, VerifyError> {
        Self::read(raw).map_err(|fault| fault.of("key"))
    }

    pub(crate) fn read(raw: Value) -> Result<Self, Fault> {
        let text = |value: &Value, name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .map(String::from)
                .ok_or_else(|| Fault::new(format_args!("expected the text `{name}` of a key")))
        };
        let (keytype, scheme) = (text(&raw, "keytype")?, text(&raw, "scheme")?);
        let Some(keyval @ Value::Object(_)) = raw.get("keyval") else {
            return Err(Fault::new(format_args!(
                "expected the object `keyval` of a key"
            )));
        };
        let scheme = match (keytype.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => from_hex(&text(keyval, "public")?)
                .and_then(|bytes| VerifyingKey::try_from(bytes.as_slice()).ok())
                .map(|key| Scheme::Ed25519(Box::new(key))),
            // The specification's key type, and the one that securesystemslib wrote before.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                der::p256_key(&text(keyval, "public")?).map(|key| Scheme::P256(Box::new(key)))
            }
            _ => Some(Scheme::Foreign),
        };
        let Some(scheme) = scheme else {
            let expected = match keytype.as_str() {
                "ed25519" => "the 64 hex digits of an Ed25519 key",
                _ => "a P-256 key in PEM form",
            };
            return Err(Fault::new(format_args!(
                "expected {expected} in `keyval.public`"
            )));
        };
        Ok(Self::new(raw, scheme))
    }

    fn new(raw: Value, scheme: Scheme) -> Self {
        let id = KeyId(Sha256Digest::of(&json::canonical(&raw)));
        Self { id, raw, scheme }
    }

    /// The key's JSON form, as metadata holds it.
    pub fn value(&self) -> &Value {
        &self.raw
    }

    /// The key's id, calculated from the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature scheme, as metadata names it.
    pub fn scheme(&self) -> &str {
        let scheme = self.raw.get("scheme").and_then(Value::as_str);
        scheme.unwrap_or_default()
    }

    /// Whether both have the same secret half, whatever their key ids.
    pub fn is_same_key(&self, other: &Self) -> bool {
        match (&self.scheme, &other.scheme) {
            (Scheme::Ed25519(own), Scheme::Ed25519(other)) => own == other,
            (Scheme::P256(own), Scheme::P256(other)) => own == other,
            (Scheme::Foreign, Scheme::Foreign) => self.raw.get("keyval") == other.raw.get("keyval"),
            _ => false,
        }
    }

    /// Whether `signature` (hex) is this key's over `message`. False for a scheme that is not known.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        self.verifies_with(message, signature, None)
    }

    /// As [`verifies`](Self::verifies), with one more scheme.
    pub(crate) fn verifies_with(
        &self,
        message: &[u8],
        signature: &str,
        foreign: Option<ForeignScheme>,
    ) -> bool {
        let Some(bytes) = from_hex(signature) else {
            return false;
        };
        match &self.scheme {
            // Strict: refuses keys of small order, for which one signature fits many messages.
            Scheme::Ed25519(key) => ed25519_dalek::Signature::from_slice(&bytes)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Scheme::P256(key) => der::p256_signature(&bytes)
                .is_some_and(|signature| key.verify(message, &signature).is_ok()),
            Scheme::Foreign => foreign.is_some_and(|verify| verify(&self.raw, message, signature)),
        }
    }
}

/// The JSON form of a new key.
fn raw(keytype: &str, scheme: &str, public: String) -> Value {
    let keyval = Object::from([("public".into(), Value::String(public))]);
    Value::Object(Object::from([
        ("keytype".into(), keytype.into()),
        ("keyval".into(), Value::Object(keyval)),
        ("scheme".into(), scheme.into()),
    ]))
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::SigningKey;

    fn value(text: &str) -> Value {
        json::parse(text.as_bytes(), "test").unwrap()
    }

    #[test]
    fn verifies_its_own_signature_and_no_other() {
        let key = SigningKey::from_seed([7; 32]);
        let public = key.public();
        let signature = key.sign_bytes(b"message");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"messagf", &signature));
        assert!(
            !SigningKey::from_seed([8; 32])
                .public()
                .verifies(b"message", &signature)
        );
        assert!(!public.verifies(b"message", &signature.to_uppercase()));
        assert!(!public.verifies(b"message", ""));
    }

    #[test]
    fn rejects_a_key_of_small_order() {
        // The neutral element: with lax verification it signs everything.
        let mut point = [0; 32];
        point[0] = 1;
        let key = PublicKey::from_verifying_key(VerifyingKey::from_bytes(&point).unwrap());
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!key.verifies(b"anything", &to_hex(&forged)));
    }

    #[test]
    fn keeps_a_key_of_an_unknown_scheme_without_trusting_it() {
        let key = PublicKey::from_value(value(
            r#"{"keytype": "future", "scheme": "future", "keyval": {"public": "00"}, "x": 1}"#,
        ))
        .unwrap();
        assert!(!key.verifies(b"", ""));
    }

    #[test]
    fn the_id_covers_every_field() {
        let raw = value(r#"{"keytype": "future", "scheme": "future", "keyval": {"public": "00"}}"#);
        let other = value(
            r#"{"keytype": "future", "scheme": "future", "keyval": {"public": "00"}, "x": 1}"#,
        );
        assert_ne!(
            PublicKey::from_value(raw).unwrap().id(),
            PublicKey::from_value(other).unwrap().id()
        );
    }
}
