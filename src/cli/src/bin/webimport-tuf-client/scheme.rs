//! The signature scheme `rsassa-pss-sha256`, which the specification names and the conformance suite asks for.
//!
//! Only the conformance clients accept it; `webimport` and the browser do not. What verifies is the host's own RSA.

use serde_json::Value;
use webimport_core::digest::from_hex;

/// Asks `verify` with the public key in PEM form and the signature's bytes; false for any other scheme.
pub(crate) fn rsassa_pss(
    key: &Value,
    signature: &str,
    verify: impl FnOnce(&str, &[u8]) -> bool,
) -> bool {
    key["keytype"] == "rsa"
        && key["scheme"] == "rsassa-pss-sha256"
        && key["keyval"]["public"]
            .as_str()
            .zip(from_hex(signature))
            .is_some_and(|(pem, signature)| verify(pem, &signature))
}
