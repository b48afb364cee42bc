//! What a publisher, or whoever has its keys, can do to a repository: change a metadata file, sign it, and let the
//! files above name it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use webimport_core::digest::{Sha256Digest, Sha512Digest};
use webimport_core::metadata::encode_role;
use webimport_core::sign::{Algorithm, SigningKey};

use crate::files::Files;

/// Private keys by key id.
pub type Keyring = BTreeMap<String, SigningKey>;

/// A key that is the same each time.
pub fn key(algorithm: Algorithm, number: u8) -> SigningKey {
    SigningKey::generate(algorithm, [number; 32]).expect("bytes that are a key")
}

/// The id of a key, as text.
pub fn id(key: &SigningKey) -> String {
    key.public().id().to_string()
}

/// The keys by their ids.
pub fn keyring(keys: impl IntoIterator<Item = SigningKey>) -> Keyring {
    keys.into_iter().map(|key| (id(&key), key)).collect()
}

/// A metadata file that clients read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its role; of a delegated one the name.
    pub role: String,
    /// Its path in the repository.
    pub path: String,
}

impl Document {
    fn new(role: &str, file: &str) -> Self {
        Self {
            role: role.into(),
            path: format!("metadata/{file}"),
        }
    }

    /// Whether its name has its version.
    fn is_numbered(&self) -> bool {
        !["root", "timestamp"].contains(&self.role.as_str())
    }
}

/// The JSON of a metadata file.
pub fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("a metadata file")
}

/// The metadata file for `signed`.
pub fn sign<'a>(signed: &Value, keys: impl IntoIterator<Item = &'a SigningKey>) -> Vec<u8> {
    envelope(signed, &signatures(signed, keys))
}

/// The signatures of `keys` over `signed`, as metadata files have them.
pub fn signatures<'a>(signed: &Value, keys: impl IntoIterator<Item = &'a SigningKey>) -> Value {
    let message = canonical(signed);
    let signatures = keys
        .into_iter()
        .map(|key| json!({"keyid": id(key), "sig": key.sign_bytes(&message)}));
    signatures.collect()
}

/// A metadata file.
pub fn envelope(signed: &Value, signatures: &Value) -> Vec<u8> {
    json!({"signatures": signatures, "signed": signed})
        .to_string()
        .into_bytes()
}

/// A repository that is being changed.
#[derive(Clone)]
pub struct Workshop<'a> {
    /// As it is now.
    pub files: Files,
    keys: &'a Keyring,
}

impl<'a> Workshop<'a> {
    /// Begins with `files`.
    pub fn new(files: Files, keys: &'a Keyring) -> Self {
        Self { files, keys }
    }

    /// The metadata files, from the first root down.
    pub fn documents(&self) -> Vec<Document> {
        let roots = (1..).map(|version| Document::new("root", &format!("{version}.root.json")));
        let roots = roots.take_while(|root| self.files.contains_key(&root.path));
        let mut documents: Vec<Document> = roots.collect();
        let snapshot = self.current("snapshot");
        let meta = self.signed(&snapshot)["meta"].take();
        documents.extend([self.current("timestamp"), snapshot]);
        let files = meta.as_object().into_iter().flat_map(|meta| meta.keys());
        let mut roles: Vec<&str> = files.map(|file| file.trim_end_matches(".json")).collect();
        // The delegator before what it delegates to.
        roles.sort_by_key(|role| *role != "targets");
        documents.extend(roles.into_iter().map(|role| self.current(role)));
        documents
    }

    /// The current file of a role. Only the files above it are looked at.
    pub fn current(&self, role: &str) -> Document {
        let named_by = |above: &str| {
            let above = self.current(above);
            let version = &self.signed(&above)["meta"][format!("{role}.json")]["version"];
            Document::new(role, &format!("{version}.{}.json", encode_role(role)))
        };
        match role {
            "root" => {
                let roots =
                    (1..).map(|version| Document::new(role, &format!("{version}.root.json")));
                let there = roots.take_while(|root| self.files.contains_key(&root.path));
                there.last().expect("a first root")
            }
            "timestamp" => Document::new(role, "timestamp.json"),
            "snapshot" => named_by("timestamp"),
            _ => named_by("snapshot"),
        }
    }

    /// What a file says.
    pub fn signed(&self, document: &Document) -> Value {
        parse(&self.files[&document.path])["signed"].take()
    }

    /// The keys that have signed a file.
    pub fn signers(&self, document: &Document) -> Vec<&'a SigningKey> {
        let file = parse(&self.files[&document.path]);
        let signatures = file["signatures"].as_array().into_iter().flatten();
        signatures
            .filter_map(|signature| self.keys.get(signature["keyid"].as_str()?))
            .collect()
    }

    /// Every key that there is.
    pub fn all_keys(&self) -> impl Iterator<Item = &'a SigningKey> + use<'a> {
        self.keys.values()
    }

    /// Lets a file say something else, signed by those who signed it before, under the name that goes with its
    /// version, and the files above name it.
    pub fn publish(&mut self, document: &Document, signed: &Value) {
        let bytes = sign(signed, self.signers(document));
        let file = document.path.rsplit('.').nth(1).unwrap_or_default();
        let moved = match signed["version"].as_u64() {
            Some(version) if document.is_numbered() => {
                Document::new(&document.role, &format!("{version}.{file}.json"))
            }
            _ => document.clone(),
        };
        self.publish_bytes(&moved, bytes);
    }

    /// Gives a file other bytes, and lets the files above name them.
    pub fn publish_bytes(&mut self, document: &Document, bytes: Vec<u8>) {
        let above = match document.role.as_str() {
            "root" | "timestamp" => None,
            "snapshot" => Some(self.current("timestamp")),
            _ => Some(self.current("snapshot")),
        };
        if let Some(above) = above {
            let mut signed = self.signed(&above);
            point(
                &mut signed["meta"][format!("{}.json", document.role)],
                &bytes,
            );
            self.publish(&above, &signed);
        }
        self.files.insert(document.path.clone(), bytes);
    }
}

/// Lets what one file says of another be true of `bytes`: the version, and whatever else it says.
pub fn point(meta: &mut Value, bytes: &[u8]) {
    let file = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    if file["signed"]["version"].is_u64() {
        meta["version"] = file["signed"]["version"].clone();
    }
    if meta.get("length").is_some() {
        meta["length"] = json!(bytes.len());
    }
    let Some(hashes) = meta.get_mut("hashes").and_then(Value::as_object_mut) else {
        return;
    };
    for (algorithm, digest) in hashes {
        *digest = match algorithm.as_str() {
            "sha256" => json!(Sha256Digest::of(bytes).to_string()),
            "sha512" => json!(Sha512Digest::of(bytes).to_string()),
            other => panic!("no such digest here: {other}"),
        };
    }
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
