//! RSA-PSS with SHA-256 by `node:crypto`: keys of 2,048 to 8,192 bits, a salt as long as the digest.

use alloc::string::String;

use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use webimport_core::json::Value;

use crate::scheme;

/// `RSA_PKCS1_PSS_PADDING` of `crypto.constants`.
const PSS: u32 = 6;

/// Bytes of a SHA-256 digest.
const SALT: u32 = 32;

#[wasm_bindgen(module = "node:crypto")]
extern "C" {
    type KeyObject;

    #[wasm_bindgen(catch, js_name = createPublicKey)]
    fn create_public_key(pem: &str) -> Result<KeyObject, JsValue>;

    #[wasm_bindgen(method, getter, js_name = asymmetricKeyType)]
    fn kind(this: &KeyObject) -> Option<String>;

    #[wasm_bindgen(method, getter, js_name = asymmetricKeyDetails)]
    fn details(this: &KeyObject) -> JsValue;

    #[wasm_bindgen(catch)]
    fn verify(
        digest: &str,
        message: &[u8],
        key: &Object,
        signature: &[u8],
    ) -> Result<bool, JsValue>;
}

/// Whether `signature` (hex) is over `message` by `key`, in the scheme `rsassa-pss-sha256`.
pub(crate) fn verifies(key: &Value, message: &[u8], signature: &str) -> bool {
    scheme::rsassa_pss(key, signature, |pem, signature| {
        ask(pem, message, signature).unwrap_or(false)
    })
}

/// What Node says; an error where it cannot read the key.
fn ask(pem: &str, message: &[u8], signature: &[u8]) -> Result<bool, JsValue> {
    let public = create_public_key(pem)?;
    let bits = Reflect::get(&public.details(), &"modulusLength".into())?.as_f64();
    let is_strong = bits.is_some_and(|bits| (2048.0..=8192.0).contains(&bits));
    if public.kind().as_deref() != Some("rsa") || !is_strong {
        return Ok(false);
    }
    let key = Object::new();
    Reflect::set(&key, &"key".into(), &public)?;
    Reflect::set(&key, &"padding".into(), &PSS.into())?;
    Reflect::set(&key, &"saltLength".into(), &SALT.into())?;
    verify("sha256", message, &key, signature)
}
