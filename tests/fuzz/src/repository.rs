//! Repositories that a target signs itself, made of plain JSON, so that little of the code under test is relied
//! on.

use serde_json::{Value, json};
use webimport_core::digest::Sha256Digest;
use webimport_core::json;
use webimport_core::sign::SigningKey;
use webimport_core::time::UnixTime;

/// The time at which everything is valid.
pub const NOW: UnixTime = UnixTime(1_800_000_000);

/// The Ed25519 key with this number.
pub fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([number; 32])
}

/// A key that signs metadata.
pub trait Key {
    /// As metadata lists it.
    fn public(&self) -> Value;
    /// In hex.
    fn sign(&self, message: &[u8]) -> String;
}

impl Key for SigningKey {
    fn public(&self) -> Value {
        json!(Self::public(self))
    }

    fn sign(&self, message: &[u8]) -> String {
        self.sign_bytes(message)
    }
}

/// A key of a scheme for fuzzing alone: who knows the public half can sign. It takes a hundredth of the time of
/// a real one, and the order of a workflow is the same.
#[derive(Debug, Clone, Copy)]
pub struct Toy(pub u8);

impl Toy {
    /// The scheme, for a client to know.
    pub fn verifies(key: &json::Value, message: &[u8], signature: &str) -> bool {
        let public = key.get("keyval").and_then(|it| it.get("public")?.as_str());
        key.get("scheme").and_then(json::Value::as_str) == Some("toy")
            && toy_signature(public.unwrap_or_default(), message) == signature
    }

    fn text(self) -> String {
        format!("toy {}", self.0)
    }
}

fn toy_signature(public: &str, message: &[u8]) -> String {
    Sha256Digest::of(&[public.as_bytes(), message].concat()).to_string()
}

impl Key for Toy {
    fn public(&self) -> Value {
        json!({"keytype": "toy", "scheme": "toy", "keyval": {"public": self.text()}})
    }

    fn sign(&self, message: &[u8]) -> String {
        toy_signature(&self.text(), message)
    }
}

fn id(key: &impl Key) -> Sha256Digest {
    Sha256Digest::of(&canonical(&key.public()))
}

/// The `signed` part of a role that expires `days` after [`NOW`], with the fields of `rest`.
pub fn role(kind: &str, version: u64, days: u32, rest: Value) -> Value {
    let mut signed = json!({
        "_type": kind,
        "spec_version": "1.0.31",
        "version": version,
        "expires": NOW.plus_days(days),
    });
    if let (Some(signed), Value::Object(rest)) = (signed.as_object_mut(), rest) {
        signed.extend(rest);
    }
    signed
}

/// The file of a role.
pub fn signed(role: &Value, keys: &[impl Key]) -> Vec<u8> {
    let message = canonical(role);
    let signatures: Vec<Value> = keys
        .iter()
        .map(|key| json!({"keyid": id(key), "sig": key.sign(&message)}))
        .collect();
    let file = json!({"signatures": signatures, "signed": role});
    file.to_string().into_bytes()
}

/// The keys of some roles, as root and delegations list them: `keys` and, by role, `keyids` and `threshold`.
pub fn trusted<K: Key>(roles: &[(&str, &[K], u64)]) -> (Value, Value) {
    let (mut keys, mut by_role) = (json!({}), json!({}));
    for (name, signers, threshold) in roles {
        let mut ids = Vec::new();
        for signer in *signers {
            let id = id(signer).to_string();
            keys[&id] = signer.public();
            ids.push(id);
        }
        by_role[*name] = json!({"keyids": ids, "threshold": threshold});
    }
    (keys, by_role)
}

/// What one file says of another one.
pub fn meta(version: u64, bytes: &[u8]) -> Value {
    json!({
        "version": version,
        "length": bytes.len(),
        "hashes": {"sha256": Sha256Digest::of(bytes)},
    })
}

/// What is signed of a value: the canonical form, also of values that no client accepts.
pub fn canonical(value: &Value) -> Vec<u8> {
    let quoted = |text: &str| {
        let text = text.replace('\\', r"\\").replace('"', r#"\""#);
        format!("\"{text}\"").into_bytes()
    };
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            [b"[", &*items.join(&b','), b"]"].concat()
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(key, item)| [quoted(key), canonical(item)].join(&b':'))
                .collect();
            [b"{", &*entries.join(&b','), b"}"].concat()
        }
        _ => value.to_string().into_bytes(),
    }
}
