//! What P-256 brings in DER: a public key in PEM form (RFC 5480, RFC 7468) and a signature (RFC 3279, 2.2.3).
//!
//! Both are short and of one shape, so a general reader of ASN.1 would be more to trust than to gain. Only DER is
//! read: one encoding for one value. BER, other curves and what follows the end are refused.

use alloc::vec::Vec;

use p256::ecdsa::{Signature, VerifyingKey};

/// What a public key on this curve begins with: SEQUENCE of the object identifiers `id-ecPublicKey` and
/// `prime256v1`.
const ALGORITHM: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07,
];

/// The key between `-----BEGIN PUBLIC KEY-----` and its end; text may stand before.
pub(crate) fn p256_key(pem: &str) -> Option<VerifyingKey> {
    let der = from_pem(pem)?;
    let (all, rest) = element(0x30, &der)?;
    if !rest.is_empty() {
        return None;
    }
    let (bits, rest) = element(0x03, all.strip_prefix(&ALGORITHM)?)?;
    match (bits, rest) {
        // No bits are unused. A point is compressed or not: there is a compact form, too, which other readers refuse.
        ([0, point @ ..], []) if matches!(point, [2..=4, ..]) => {
            VerifyingKey::from_sec1_bytes(point).ok()
        }
        _ => None,
    }
}

/// The signature: SEQUENCE of two INTEGERs, both positive and of at most 32 bytes.
pub(crate) fn p256_signature(der: &[u8]) -> Option<Signature> {
    let (both, rest) = element(0x30, der)?;
    let (r, more) = element(0x02, both)?;
    let (s, after) = element(0x02, more)?;
    if !rest.is_empty() || !after.is_empty() {
        return None;
    }
    // Refuses zero, and what is not below the order of the group.
    Signature::from_scalars(scalar(r)?, scalar(s)?).ok()
}

/// The content of the element that stands first, and what follows it. None is longer than 127 bytes, so its length
/// is one byte.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    match der {
        [first, length @ ..0x80, rest @ ..] if *first == tag => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

/// A positive INTEGER: a zero byte stands in front if and only if it would be negative without.
fn scalar(integer: &[u8]) -> Option<[u8; 32]> {
    let digits = match integer {
        [0, digits @ ..] if digits.first()? >= &0x80 => digits,
        [0x01..0x80, ..] => integer,
        _ => return None,
    };
    let mut scalar = [0; 32];
    let at = scalar.len().checked_sub(digits.len())?;
    scalar.get_mut(at..)?.copy_from_slice(digits);
    Some(scalar)
}

/// The bytes in PEM: lines of 64 characters, but for the last.
fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let mut lines = pem
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line));
    if lines.find(|line| line.starts_with("-----BEGIN "))? != "-----BEGIN PUBLIC KEY-----" {
        return None;
    }
    let mut text = Vec::new();
    loop {
        let line = lines.next()?;
        if line == "-----END PUBLIC KEY-----" {
            break;
        }
        if !text.len().is_multiple_of(64) || line.is_empty() || line.len() > 64 {
            return None;
        }
        text.extend_from_slice(line.as_bytes());
    }
    match (lines.next(), lines.next()) {
        (None | Some(""), None) => from_base64(&text),
        _ => None,
    }
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|it| **it == b'=').count();
    if padding > 2 || !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for character in text.iter().take(text.len() - padding) {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    // What is left over of the last character says nothing.
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use p256::ecdsa::signature::Verifier as _;
    use p256::pkcs8::DecodePublicKey as _;

    use super::*;

    // `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkey -pubout`, of the key of 32
    // bytes 3.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWRq3ceu8/W2cuQlNEGUordGmnUTC\n\
        wfYn8InsWLnGGt+fTmq/DQRcDGk6PGitfJfKcr5k3vSib+zSY92YqSeA8A==\n\
        -----END PUBLIC KEY-----\n";
    // The same point in compressed form.
    const SHORT: &str = "-----BEGIN PUBLIC KEY-----\n\
        MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACWRq3ceu8/W2cuQlNEGUordGmnUTC\n\
        wfYn8InsWLnGGt8=\n\
        -----END PUBLIC KEY-----\n";

    /// Another reader of the same structures.
    fn other(pem: &str) -> Option<VerifyingKey> {
        VerifyingKey::from_public_key_pem(pem).ok()
    }

    #[test]
    fn keys_are_read_as_another_reader_reads_them() {
        for pem in [
            PEM,
            SHORT,
            &PEM.replace('\n', "\r\n"),
            PEM.trim_end(),
            &alloc::format!("a key:\n{PEM}"),
        ] {
            assert!(p256_key(pem).is_some(), "{pem}");
            assert_eq!(p256_key(pem), other(pem), "{pem}");
        }
        assert_eq!(p256_key(PEM), p256_key(SHORT));
    }

    #[test]
    fn a_point_in_compact_form_is_refused() {
        // The first character that the point's form is in.
        let at = SHORT.find("IgACWR").unwrap() + 3;
        for (form, accepted) in [('C', true), ('D', true), ('F', false), ('G', false)] {
            let mut pem = String::from(SHORT);
            pem.replace_range(at..=at, form.encode_utf8(&mut [0; 4]));
            assert_eq!(p256_key(&pem).is_some(), accepted, "{form}");
        }
        // There is a reader that takes it.
        let point = [&[5], &p256_key(SHORT).unwrap().to_sec1_bytes()[1..33]].concat();
        assert!(VerifyingKey::from_sec1_bytes(&point).is_ok());
    }

    #[test]
    fn what_another_reader_refuses_is_refused() {
        let mut changed: Vec<String> = Vec::new();
        for pem in [PEM, SHORT] {
            for (at, _) in pem.char_indices() {
                for new in ["", "\n", "=", "A", "-", " ", "\r", "==", "/"] {
                    let (before, after) = pem.split_at(at);
                    changed.push([before, new, after].concat());
                    changed.push([before, new, &after[1..]].concat());
                }
                changed.push(pem[..at].into());
            }
        }
        let mut accepted = 0;
        for pem in changed {
            let read = p256_key(&pem);
            accepted += usize::from(read.is_some());
            assert!(read.is_none() || read == other(&pem), "{pem:?}");
        }
        assert!(accepted > 50, "{accepted}");
    }

    #[test]
    fn signatures_are_read_as_another_reader_reads_them() {
        let key = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
        let signature: p256::ecdsa::DerSignature =
            p256::ecdsa::signature::Signer::sign(&key, b"message");
        let der = signature.as_bytes();
        let read = p256_signature(der).unwrap();
        assert!(key.verifying_key().verify(b"message", &read).is_ok());
        for at in 0..der.len() {
            for new in 0..=255 {
                let mut changed = der.to_vec();
                changed[at] = new;
                assert_eq!(
                    p256_signature(&changed),
                    Signature::from_der(&changed).ok(),
                    "{at} {new}"
                );
                changed.truncate(at);
                assert_eq!(p256_signature(&changed), Signature::from_der(&changed).ok());
                let mut longer = der.to_vec();
                longer.insert(at, new);
                assert_eq!(p256_signature(&longer), Signature::from_der(&longer).ok());
            }
        }
    }
}
