//! The signature scheme `rsassa-pss-sha256`, which the specification names and the conformance suite asks for.
//!
//! Only the conformance clients accept it; `webimport` and the browser do not. What verifies is the host's own RSA.

use webimport_core::digest::from_hex;
use webimport_core::json::Value;

/// Asks `verify` with the public key in PEM form and the signature's bytes; false for any other scheme.
pub(crate) fn rsassa_pss(
    key: &Value,
    signature: &str,
    verify: impl FnOnce(&str, &[u8]) -> bool,
) -> bool {
    let says = |name: &str, expected: &str| text(key, name) == Some(expected);
    says("keytype", "rsa")
        && says("scheme", "rsassa-pss-sha256")
        && key
            .get("keyval")
            .and_then(|keyval| text(keyval, "public"))
            .zip(from_hex(signature))
            .is_some_and(|(pem, signature)| verify(pem, &signature))
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}
