//! What the fuzz targets share: how a target reports, and a folder for the parsers that read files.
//!
//! A target states what holds for any input at all, beyond that nothing panics. Its answer to one input is an
//! [`Outcome`]; `cargo xtask test fuzz` first gives it the seeds, whose names say what the answer has to be, so
//! that a target which refuses everything shows nothing and is noticed.

pub mod repository;

use std::path::PathBuf;
use std::sync::OnceLock;

pub use libfuzzer_sys;
use webimport_core::error::Coded;

/// What a parser made of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It means something.
    Accepted,
    /// It does not.
    Refused,
}

/// The environment variable that says what every input of this run has to be: `accepted` or `refused`.
pub const EXPECT: &str = "WEBIMPORT_FUZZ_EXPECT";

/// Ends one run of a target.
///
/// # Panics
/// If [`EXPECT`] asks for another outcome.
pub fn settle(outcome: Outcome) {
    static EXPECTED: OnceLock<Option<Outcome>> = OnceLock::new();
    let expected = EXPECTED.get_or_init(|| match std::env::var(EXPECT).ok()?.as_str() {
        "accepted" => Some(Outcome::Accepted),
        "refused" => Some(Outcome::Refused),
        other => panic!("{EXPECT}: expected `accepted` or `refused`, got `{other}`"),
    });
    if let Some(expected) = expected {
        assert_eq!(outcome, *expected, "the seed's name says otherwise");
    }
}

/// A refusal has a code and says what and what next.
pub fn refused(error: &impl Coded) -> Outcome {
    let code = error.code();
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'0'..=b'9'))
    };
    assert!(
        code.split_once('.')
            .is_some_and(|(stage, reason)| is_word(stage) && is_word(reason)),
        "{code}"
    );
    assert!(!error.to_string().is_empty(), "{code}");
    assert!(!error.hint().is_empty(), "{code}");
    Outcome::Refused
}

/// [`refused`] for an error, [`Outcome::Accepted`] for anything else.
pub fn outcome<T>(result: Result<T, impl Coded>) -> Outcome {
    match result {
        Ok(_) => Outcome::Accepted,
        Err(error) => refused(&error),
    }
}

/// A folder of this process alone, below the system's temporary folder. It stays behind: libfuzzer leaves the
/// process without dropping anything.
pub fn scratch() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("webimport-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written to");
    folder
}

/// RFC 4648 section 5, without padding: how `RECORD` writes digests.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
        .collect();
    bits.chunks(6)
        .map(|chunk| (0..6).fold(0, |sum, at| sum * 2 + chunk.get(at).copied().unwrap_or(0)))
        .map(|index| char::from(ALPHABET[usize::from(index)]))
        .collect()
}

/// Makes a libfuzzer program of a function from bytes to [`Outcome`].
#[macro_export]
macro_rules! target {
    ($check:path) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| { $crate::settle($check(data)) });
    };
}
