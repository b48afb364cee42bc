//! Signing, for the publisher and for tests. Randomness, key files and whatever else holds a key are the
//! caller's.
//!
//! Ed25519 (RFC 8032), and ECDSA on P-256 with SHA-256, deterministic (RFC 6979), signatures in DER. A signature
//! is verified before it is used, wherever it comes from.

use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use serde::Serialize;

use crate::digest::to_hex;
use crate::error::{Fault, VerifyError};
use crate::fields::Fields;
use crate::json::{self, Value};
use crate::keys::{KeyId, PublicKey};

/// How a new key signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Short keys and signatures; every reader knows it.
    #[default]
    Ed25519,
    /// ECDSA on the curve P-256 with SHA-256, which most key services have.
    EcdsaP256,
}

/// Something that signs with one key: a private key, or whoever keeps it.
pub trait Signer {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// The signature over `message`, in hex.
    ///
    /// # Errors
    /// [`SignError::Signer`] with the reason.
    fn sign(&self, message: &[u8]) -> Result<String, SignError>;
}

/// There is no signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The role has no JSON form.
    #[error("cannot write metadata: {0}")]
    Json(#[from] serde_json::Error),
    /// The file is not one that readers would take.
    #[error("cannot read metadata: {0}")]
    Read(#[from] VerifyError),
    /// Whoever keeps the key gave no signature.
    #[error("{0}")]
    Signer(String),
    /// What came back is not this key's signature over this message.
    #[error("the signature for the key `{keyid}` does not verify")]
    Wrong {
        /// The key that was asked for.
        keyid: KeyId,
    },
}

/// A private key.
#[derive(Clone)]
pub struct SigningKey {
    secret: Secret,
    public: PublicKey,
}

#[derive(Clone)]
enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    EcdsaP256(p256::ecdsa::SigningKey),
}

/// The text is not a key in PEM form that this crate can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an Ed25519 or P-256 key in PKCS#8 PEM form")]
pub struct KeySyntax;

impl SigningKey {
    /// The Ed25519 key that belongs to 32 secret random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::ed25519(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The key that belongs to 32 secret random bytes.
    ///
    /// # Errors
    /// [`KeySyntax`] for bytes that are no scalar of P-256: fewer than one in 2^32; try others.
    pub fn generate(algorithm: Algorithm, random: [u8; 32]) -> Result<Self, KeySyntax> {
        match algorithm {
            Algorithm::Ed25519 => Ok(Self::from_seed(random)),
            Algorithm::EcdsaP256 => p256::SecretKey::from_slice(&random)
                .map_err(|_| KeySyntax)
                .and_then(|key| Self::p256(&key)),
        }
    }

    /// Reads PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`).
    ///
    /// # Errors
    /// [`KeySyntax`].
    pub fn from_pem(pem: &str) -> Result<Self, KeySyntax> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_pem(pem) {
            return Ok(Self::ed25519(key));
        }
        p256::SecretKey::from_pkcs8_pem(pem)
            .map_err(|_| KeySyntax)
            .and_then(|key| Self::p256(&key))
    }

    /// Reads PKCS#8 DER.
    ///
    /// # Errors
    /// [`KeySyntax`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeySyntax> {
        if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            return Ok(Self::ed25519(key));
        }
        p256::SecretKey::from_pkcs8_der(der)
            .map_err(|_| KeySyntax)
            .and_then(|key| Self::p256(&key))
    }

    /// Writes PKCS#8 PEM. For Ed25519 version 1 (without the public key), which every tool reads.
    ///
    /// # Errors
    /// [`KeySyntax`], which an existing key never gives.
    pub fn to_pem(&self) -> Result<String, KeySyntax> {
        match &self.secret {
            Secret::Ed25519(key) => keypair(key).to_pkcs8_pem(LineEnding::LF),
            Secret::EcdsaP256(key) => key.to_pkcs8_pem(LineEnding::LF),
        }
        .map(|pem| pem.to_string())
        .map_err(|_| KeySyntax)
    }

    /// Writes PKCS#8 DER, for whoever encrypts it.
    ///
    /// # Errors
    /// [`KeySyntax`], which an existing key never gives.
    pub fn to_der(&self) -> Result<Vec<u8>, KeySyntax> {
        match &self.secret {
            Secret::Ed25519(key) => keypair(key).to_pkcs8_der(),
            Secret::EcdsaP256(key) => key.to_pkcs8_der(),
        }
        .map(|der| der.as_bytes().to_vec())
        .map_err(|_| KeySyntax)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }

    /// The signature over `message`, in hex.
    pub fn sign_bytes(&self, message: &[u8]) -> String {
        match &self.secret {
            Secret::Ed25519(key) => to_hex(&key.sign(message).to_bytes()),
            Secret::EcdsaP256(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign(message);
                to_hex(signature.as_bytes())
            }
        }
    }

    fn ed25519(key: ed25519_dalek::SigningKey) -> Self {
        Self {
            public: PublicKey::from_verifying_key(key.verifying_key()),
            secret: Secret::Ed25519(key),
        }
    }

    fn p256(key: &p256::SecretKey) -> Result<Self, KeySyntax> {
        let key = p256::ecdsa::SigningKey::from(key);
        Ok(Self {
            public: p256_public(key.verifying_key())?,
            secret: Secret::EcdsaP256(key),
        })
    }
}

fn keypair(key: &ed25519_dalek::SigningKey) -> KeypairBytes {
    KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    }
}

impl Signer for SigningKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<String, SignError> {
        Ok(self.sign_bytes(message))
    }
}

/// Reads a public key as PEM (`-----BEGIN PUBLIC KEY-----`), for example of a key service.
///
/// # Errors
/// [`KeySyntax`].
pub fn public_key_from_pem(pem: &str) -> Result<PublicKey, KeySyntax> {
    if let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_pem(pem) {
        return Ok(PublicKey::from_verifying_key(key));
    }
    p256::ecdsa::VerifyingKey::from_public_key_pem(pem)
        .map_err(|_| KeySyntax)
        .and_then(|key| p256_public(&key))
}

fn p256_public(key: &p256::ecdsa::VerifyingKey) -> Result<PublicKey, KeySyntax> {
    let pem = key
        .to_public_key_pem(LineEnding::LF)
        .map_err(|_| KeySyntax)?;
    Ok(PublicKey::from_p256(key, pem))
}

/// A metadata file while signatures are added to it.
#[derive(Debug, Clone)]
pub struct Signing {
    signed: Value,
    message: Vec<u8>,
    signatures: Vec<(KeyId, String)>,
}

impl Signing {
    /// A file for `signed`, without signatures.
    ///
    /// # Errors
    /// [`SignError::Json`].
    pub fn new<T: Serialize>(signed: &T) -> Result<Self, SignError> {
        // The one parser, so that nothing is signed which no reader takes.
        let signed = json::parse(&serde_json::to_vec(signed)?, "role")?;
        Ok(Self {
            message: json::canonical(&signed),
            signed,
            signatures: Vec::new(),
        })
    }

    /// A file that has signatures. They are kept as they are; whether they count is for who verifies it.
    ///
    /// # Errors
    /// [`SignError::Json`].
    pub fn open(bytes: &[u8]) -> Result<Self, SignError> {
        Ok(Self::read(bytes).map_err(|fault| fault.of("metadata"))?)
    }

    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::of(json::read(bytes)?)?;
        let signed = fields.required("signed")?;
        let mut signatures = Vec::new();
        for entry in fields.list("signatures")? {
            let mut entry = Fields::of(entry)?;
            signatures.push((entry.parsed("keyid")?, entry.text("sig")?));
        }
        Ok(Self {
            message: json::canonical(&signed),
            signed,
            signatures,
        })
    }

    /// What is signed.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The ids of the keys that have signed.
    pub fn keyids(&self) -> impl Iterator<Item = KeyId> {
        self.signatures.iter().map(|(keyid, _)| *keyid)
    }

    /// Whether there is a valid signature by this key.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signatures
            .iter()
            .any(|(id, sig)| *id == key.id() && key.verifies(&self.message, sig))
    }

    /// Adds a signature, in place of an older one by the same key.
    ///
    /// # Errors
    /// [`SignError::Signer`], [`SignError::Wrong`].
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), SignError> {
        let signature = signer.sign(&self.message)?;
        let keyid = signer.public().id();
        if !signer.public().verifies(&self.message, &signature) {
            return Err(SignError::Wrong { keyid });
        }
        self.signatures.retain(|(other, _)| *other != keyid);
        self.signatures.push((keyid, signature));
        Ok(())
    }

    /// The file, byte for byte as it goes to the server.
    ///
    /// # Errors
    /// [`SignError::Json`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, SignError> {
        #[derive(Serialize)]
        struct Wire<'a> {
            signatures: Vec<WireSignature<'a>>,
            signed: &'a Value,
        }
        #[derive(Serialize)]
        struct WireSignature<'a> {
            keyid: &'a KeyId,
            sig: &'a str,
        }
        let signatures = self.signatures.iter();
        Ok(serde_json::to_vec(&Wire {
            signatures: signatures
                .map(|(keyid, sig)| WireSignature { keyid, sig })
                .collect(),
            signed: &self.signed,
        })?)
    }
}

/// The metadata file for `signed`, signed by all `signers`.
///
/// # Errors
/// [`SignError`].
pub fn sign_role<T: Serialize, S: Signer>(signed: &T, signers: &[S]) -> Result<Vec<u8>, SignError> {
    let mut signing = Signing::new(signed)?;
    for signer in signers {
        signing.sign(signer)?;
    }
    signing.to_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALGORITHMS: [Algorithm; 2] = [Algorithm::Ed25519, Algorithm::EcdsaP256];

    fn key(algorithm: Algorithm) -> SigningKey {
        SigningKey::generate(algorithm, [3; 32]).unwrap()
    }

    #[test]
    fn pem_and_der_round_trip() {
        for algorithm in ALGORITHMS {
            let key = key(algorithm);
            let pem = key.to_pem().unwrap();
            assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
            assert_eq!(SigningKey::from_pem(&pem).unwrap().public(), key.public());
            let der = key.to_der().unwrap();
            assert_eq!(SigningKey::from_der(&der).unwrap().public(), key.public());
        }
    }

    #[test]
    fn rejects_other_and_truncated_pem() {
        for algorithm in ALGORITHMS {
            let key = key(algorithm);
            let pem = key.to_pem().unwrap();
            assert!(SigningKey::from_pem(&pem[..60]).is_err());
            assert!(SigningKey::from_pem(&pem.replace("PRIVATE", "PUBLIC")).is_err());
            let der = key.to_der().unwrap();
            assert!(SigningKey::from_der(&der[..der.len() - 1]).is_err());
        }
        assert!(SigningKey::from_pem("").is_err());
        // The order of P-256 and what is beyond it are no secret keys.
        assert!(SigningKey::generate(Algorithm::EcdsaP256, [0xff; 32]).is_err());
    }

    /// A signer that answers with what it was told to.
    struct Fixed(PublicKey, String);

    impl Signer for Fixed {
        fn public(&self) -> &PublicKey {
            &self.0
        }

        fn sign(&self, _: &[u8]) -> Result<String, SignError> {
            Ok(self.1.clone())
        }
    }

    #[test]
    fn a_signature_is_used_only_if_it_verifies() {
        for algorithm in ALGORITHMS {
            let key = key(algorithm);
            let mut signing = Signing::new(&json!({"a": 1})).unwrap();
            let right = key.sign_bytes(signing.message());
            let other = key.sign_bytes(b"another message");
            for wrong in [other, String::new(), right.to_uppercase()] {
                let refused = signing.sign(&Fixed(key.public(), wrong));
                assert!(matches!(refused, Err(SignError::Wrong { .. })));
            }
            assert_eq!(signing.keyids().count(), 0);
            assert!(!signing.is_signed_by(&key.public()));
            signing.sign(&Fixed(key.public(), right)).unwrap();
            assert!(signing.is_signed_by(&key.public()));
            assert_eq!(signing.keyids().collect::<Vec<_>>(), [key.public().id()]);
        }
    }

    #[test]
    fn signatures_are_added_to_a_file_and_kept() {
        let keys = ALGORITHMS.map(key);
        let role = json!({"b": [1, 2], "a": "x"});
        let first = sign_role(&role, &keys[..1]).unwrap();
        let mut signing = Signing::open(&first).unwrap();
        signing.sign(&keys[1]).unwrap();
        // Again is no second signature.
        signing.sign(&keys[0]).unwrap();
        let [one, two] = keys.map(|key| key.public().id());
        assert_eq!(signing.keyids().collect::<Vec<_>>(), [two, one]);
        let file: serde_json::Value = serde_json::from_slice(&signing.to_bytes().unwrap()).unwrap();
        assert_eq!(file["signed"], role);
        assert_eq!(file["signatures"].as_array().unwrap().len(), 2);
        assert!(Signing::open(b"{}").is_err());
    }

    // Made with `openssl pkey -pubout` from the keys of 32 bytes 3.
    #[test]
    fn public_keys_are_read_from_pem() {
        for (algorithm, pem) in [
            (
                Algorithm::Ed25519,
                "-----BEGIN PUBLIC KEY-----\n\
                 MCowBQYDK2VwAyEA7UkoxijRwsbq6QM4kFmVYSlZJzpcY/k2NsFGFKyHN9E=\n\
                 -----END PUBLIC KEY-----\n",
            ),
            (
                Algorithm::EcdsaP256,
                "-----BEGIN PUBLIC KEY-----\n\
                 MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWRq3ceu8/W2cuQlNEGUordGmnUTC\n\
                 wfYn8InsWLnGGt+fTmq/DQRcDGk6PGitfJfKcr5k3vSib+zSY92YqSeA8A==\n\
                 -----END PUBLIC KEY-----\n",
            ),
        ] {
            assert_eq!(public_key_from_pem(pem), Ok(key(algorithm).public()));
            assert_eq!(public_key_from_pem(&pem[..70]), Err(KeySyntax));
        }
    }
}
