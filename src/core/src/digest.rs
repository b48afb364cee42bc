//! Digests as values.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::VerifyError;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $hash:ty, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The digest of `bytes`.
            pub fn of(bytes: &[u8]) -> Self {
                Self(<$hash>::digest(bytes).into())
            }

            /// Its bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = DigestSyntax;

            fn from_str(text: &str) -> Result<Self, DigestSyntax> {
                from_hex(text)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or(DigestSyntax { digits: 2 * $bytes })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <alloc::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest!(
    /// A SHA-256 digest. Its text form is 64 lower-case hex digits; nothing else parses.
    Sha256Digest,
    Sha256,
    32
);

digest!(
    /// A SHA-512 digest, which TUF metadata may state beside or in place of SHA-256. Its text form is 128
    /// lower-case hex digits.
    Sha512Digest,
    Sha512,
    64
);

impl Sha256Digest {
    /// A digest that the host calculated, for example with `crypto.subtle`.
    pub fn from_raw(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// The first 32 bits, as a number.
    pub(crate) fn head(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The first 12 hex digits, as mount paths show them.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

/// A digest and its algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the algorithms")]
pub enum AnyDigest {
    Sha256(Sha256Digest),
    // Elsewhere, so that an error of the common kind stays small.
    Sha512(Box<Sha512Digest>),
}

impl From<Sha256Digest> for AnyDigest {
    fn from(digest: Sha256Digest) -> Self {
        Self::Sha256(digest)
    }
}

impl From<Sha512Digest> for AnyDigest {
    fn from(digest: Sha512Digest) -> Self {
        Self::Sha512(Box::new(digest))
    }
}

impl fmt::Display for AnyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256 {digest}"),
            Self::Sha512(digest) => write!(f, "sha512 {digest}"),
        }
    }
}

/// The text is not a digest in lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} lower-case hex digits")]
pub struct DigestSyntax {
    /// How many belong there.
    digits: usize,
}

/// The length and digest that signed data announce for some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What the bytes are, for messages: a path inside the repository.
    pub subject: String,
    /// In bytes; `None` where only the digest is known, as with a `sha256` pin.
    pub length: Option<u64>,
    /// Of the bytes as transferred.
    pub sha256: Sha256Digest,
}

impl Expected {
    /// Compares `length` and `digest`, measured on the bytes as received, with what is expected.
    ///
    /// # Errors
    /// [`VerifyError::Length`], then [`VerifyError::Digest`].
    pub fn check(&self, length: u64, digest: Sha256Digest) -> Result<(), VerifyError> {
        self.check_length(length)?;
        check_digest(&self.subject, self.sha256, digest)
    }

    /// The first half of [`check`](Self::check), for a caller who hashes only what has the right length.
    ///
    /// # Errors
    /// [`VerifyError::Length`].
    pub fn check_length(&self, length: u64) -> Result<(), VerifyError> {
        match self.length {
            Some(expected) if expected != length => Err(VerifyError::Length {
                subject: self.subject.clone(),
                expected,
                got: length,
            }),
            _ => Ok(()),
        }
    }

    /// [`check`](Self::check) on bytes that this crate hashes itself.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_bytes(&self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.check(bytes.len() as u64, Sha256Digest::of(bytes))
    }
}

/// Compares a digest with what signed data announce for `subject`.
pub(crate) fn check_digest<T: Eq + Into<AnyDigest>>(
    subject: &str,
    expected: T,
    got: T,
) -> Result<(), VerifyError> {
    if expected == got {
        return Ok(());
    }
    Err(VerifyError::Digest {
        subject: subject.to_owned(),
        expected: expected.into(),
        got: got.into(),
    })
}

/// Lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes behind lower-case hex; `None` for an odd length or any other character.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn text_form_round_trips() {
        let digest = Sha256Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.short(), "ba7816bf8f01");
    }

    #[test]
    fn rejects_upper_case_and_other_lengths() {
        let text = Sha256Digest::of(b"abc").to_string();
        assert!(text.to_uppercase().parse::<Sha256Digest>().is_err());
        assert!(text[1..].parse::<Sha256Digest>().is_err());
        assert!(format!("{text}00").parse::<Sha256Digest>().is_err());
    }

    #[test]
    fn compares_length_before_digest() {
        let expected = Expected {
            subject: "x".into(),
            length: Some(3),
            sha256: Sha256Digest::of(b"abc"),
        };
        assert!(expected.check_bytes(b"abc").is_ok());
        assert!(matches!(
            expected.check_bytes(b"abcd"),
            Err(VerifyError::Length { .. })
        ));
        assert!(matches!(
            expected.check_bytes(b"abd"),
            Err(VerifyError::Digest { .. })
        ));
    }
}
