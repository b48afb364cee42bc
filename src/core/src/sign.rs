//! Signing, for the publisher and for tests. Randomness and key files are the caller's.

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use serde::Serialize;
use serde_json::{Value, json};

use crate::digest::to_hex;
use crate::json;
use crate::keys::PublicKey;

/// A private Ed25519 key.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// The text is not an Ed25519 private key in PKCS#8 PEM form (RFC 8410).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an Ed25519 private key in PKCS#8 PEM form")]
pub struct KeySyntax;

impl SigningKey {
    /// The key that belongs to 32 secret random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Reads PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    /// [`KeySyntax`].
    pub fn from_pem(pem: &str) -> Result<Self, KeySyntax> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| KeySyntax)
    }

    /// Writes PKCS#8 PEM, version 1 (without the public key), which every tool reads.
    ///
    /// # Errors
    /// [`KeySyntax`], which an existing key never gives.
    pub fn to_pem(&self) -> Result<String, KeySyntax> {
        let pair = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        pair.to_pkcs8_pem(LineEnding::LF)
            .map(|pem| pem.to_string())
            .map_err(|_| KeySyntax)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::from_verifying_key(self.0.verifying_key())
    }

    /// The signature over `message`, in hex.
    pub fn sign_bytes(&self, message: &[u8]) -> String {
        to_hex(&self.0.sign(message).to_bytes())
    }
}

/// The metadata file for `signed`, signed by `keys`: what goes to the server, byte for byte.
///
/// # Errors
/// [`serde_json::Error`] if `signed` has no JSON form.
pub fn sign_role<T: Serialize>(
    signed: &T,
    keys: &[SigningKey],
) -> Result<Vec<u8>, serde_json::Error> {
    let signed = serde_json::to_value(signed)?;
    let message = json::canonical(&signed);
    let signatures: Vec<Value> = keys
        .iter()
        .map(|key| json!({"keyid": key.public().id(), "sig": key.sign_bytes(&message)}))
        .collect();
    serde_json::to_vec(&json!({"signatures": signatures, "signed": signed}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_round_trips() {
        let key = SigningKey::from_seed([3; 32]);
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), key.public());
    }

    #[test]
    fn rejects_other_and_truncated_pem() {
        let pem = SigningKey::from_seed([3; 32]).to_pem().unwrap();
        assert!(SigningKey::from_pem(&pem[..60]).is_err());
        assert!(SigningKey::from_pem(&pem.replace("PRIVATE", "PUBLIC")).is_err());
        assert!(SigningKey::from_pem("").is_err());
    }
}
