//! Public keys and key ids (TUF 4.2.1).
//!
//! Known are `ed25519` and `ecdsa-sha2-nistp256`. A key of another scheme is kept, so that metadata that holds
//! it stays valid, and never counts towards a threshold.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::digest::{Sha256Digest, from_hex, to_hex};
use crate::error::VerifyError;
use crate::json;

/// The SHA-256 of the canonical form of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Sha256Digest);

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

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Sha256Digest::deserialize(deserializer).map(Self)
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
    Ed25519(VerifyingKey),
    P256(Box<p256::ecdsa::VerifyingKey>),
    Foreign,
}

impl PublicKey {
    /// An Ed25519 key.
    pub fn from_verifying_key(key: VerifyingKey) -> Self {
        let raw = json!({
            "keytype": "ed25519",
            "keyval": {"public": to_hex(key.as_bytes())},
            "scheme": "ed25519",
        });
        Self::new(raw, Scheme::Ed25519(key))
    }

    /// An ECDSA key on the curve P-256.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`], which a key that exists never gives.
    pub fn from_p256(key: &p256::ecdsa::VerifyingKey) -> Result<Self, VerifyError> {
        let pem = key
            .to_public_key_pem(LineEnding::LF)
            .map_err(|_| malformed("not a P-256 key"))?;
        let raw = json!({
            "keytype": "ecdsa",
            "keyval": {"public": pem},
            "scheme": "ecdsa-sha2-nistp256",
        });
        Ok(Self::new(raw, Scheme::P256(Box::new(*key))))
    }

    /// A key from its JSON form; fields that are not known are kept, as the key id covers them.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] if a field is missing or a key of a known scheme does not parse.
    pub fn from_value(raw: Value) -> Result<Self, VerifyError> {
        let text = |map: &Map<String, Value>, key: &str| {
            map.get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| malformed(&format!("expected the text field `{key}`")))
        };
        let map = raw
            .as_object()
            .ok_or_else(|| malformed("expected an object"))?;
        let (keytype, scheme) = (text(map, "keytype")?, text(map, "scheme")?);
        let keyval = map
            .get("keyval")
            .and_then(Value::as_object)
            .ok_or_else(|| malformed("expected the object `keyval`"))?;
        let scheme = match (keytype.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => {
                let bytes: [u8; 32] = from_hex(&text(keyval, "public")?)
                    .and_then(|bytes| bytes.try_into().ok())
                    .ok_or_else(|| malformed("expected 64 hex digits in `keyval.public`"))?;
                VerifyingKey::from_bytes(&bytes)
                    .map(Scheme::Ed25519)
                    .map_err(|_| malformed("not an Ed25519 key"))?
            }
            // The specification's key type, and the one that securesystemslib wrote before.
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                let pem = text(keyval, "public")?;
                p256::ecdsa::VerifyingKey::from_public_key_pem(&pem)
                    .map(|key| Scheme::P256(Box::new(key)))
                    .map_err(|_| malformed("expected a P-256 key in PEM form in `keyval.public`"))?
            }
            _ => Scheme::Foreign,
        };
        Ok(Self::new(raw, scheme))
    }

    fn new(raw: Value, scheme: Scheme) -> Self {
        let id = KeyId(Sha256Digest::of(&json::canonical(&raw)));
        Self { id, raw, scheme }
    }

    /// The key's id, calculated from the key.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature scheme, as metadata names it.
    pub fn scheme(&self) -> &str {
        self.raw["scheme"].as_str().unwrap_or_default()
    }

    /// Whether both have the same secret half, whatever their key ids.
    pub fn is_same_key(&self, other: &Self) -> bool {
        match (&self.scheme, &other.scheme) {
            (Scheme::Ed25519(own), Scheme::Ed25519(other)) => own == other,
            (Scheme::P256(own), Scheme::P256(other)) => own == other,
            (Scheme::Foreign, Scheme::Foreign) => self.raw["keyval"] == other.raw["keyval"],
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
            Scheme::P256(key) => p256::ecdsa::Signature::from_der(&bytes)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Scheme::Foreign => foreign.is_some_and(|verify| verify(&self.raw, message, signature)),
        }
    }
}

fn malformed(reason: &str) -> VerifyError {
    VerifyError::Malformed {
        subject: "key".into(),
        reason: reason.into(),
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::SigningKey;

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
        let key = PublicKey::from_value(json!({
            "keytype": "future", "scheme": "future", "keyval": {"public": "00"}, "x": 1
        }))
        .unwrap();
        assert!(!key.verifies(b"", ""));
    }

    #[test]
    fn the_id_covers_every_field() {
        let raw = json!({"keytype": "future", "scheme": "future", "keyval": {"public": "00"}});
        let mut other = raw.clone();
        other["x"] = json!(1);
        assert_ne!(
            PublicKey::from_value(raw).unwrap().id(),
            PublicKey::from_value(other).unwrap().id()
        );
    }
}
