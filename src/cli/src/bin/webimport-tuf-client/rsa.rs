//! RSA-PSS with SHA-256 by `ring`: keys of 2,048 to 8,192 bits, a salt as long as the digest.

use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use spki::der::Document;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use webimport_core::json::Value;

use crate::scheme;

/// `rsaEncryption` of PKCS #1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Whether `signature` (hex) is over `message` by `key`, in the scheme `rsassa-pss-sha256`.
pub(crate) fn verifies(key: &Value, message: &[u8], signature: &str) -> bool {
    scheme::rsassa_pss(key, signature, |pem, signature| {
        public_key(pem).is_some_and(|der| {
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, der)
                .verify(message, signature)
                .is_ok()
        })
    })
}

/// The `RSAPublicKey` inside the PEM form of a `SubjectPublicKeyInfo`.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    let (label, document) = Document::from_pem(pem).ok()?;
    let key = SubjectPublicKeyInfoRef::try_from(document.as_bytes()).ok()?;
    let is_rsa = label == "PUBLIC KEY" && key.algorithm.oid == RSA;
    is_rsa.then(|| key.subject_public_key.raw_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use webimport_core::json;

    use super::*;

    #[test]
    fn answers_every_vector_right() {
        let vectors: serde_json::Value = serde_json::from_str(include_str!(
            "../../../../../tests/vectors/rsassa-pss-sha256.json"
        ))
        .unwrap();
        let message = vectors["message"].as_str().unwrap().as_bytes();
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 18);
        for case in cases {
            let key = json::parse(case["key"].to_string().as_bytes(), "key").unwrap();
            assert_eq!(
                verifies(&key, message, case["signature"].as_str().unwrap()),
                case["valid"].as_bool().unwrap(),
                "{}",
                case["fact"]
            );
        }
    }
}
