//! gzip streams that writers make, and what is none.

use wasm_bindgen_test::wasm_bindgen_test;

use super::bytes::{GZIPPED, PLAIN};
use crate::gzip::{Refusal, inflate};

/// The same content behind a header of these flags, which these bytes follow.
fn with_header(flags: u8, more: &[u8]) -> Vec<u8> {
    let mut bytes = GZIPPED[..10].to_vec();
    bytes[3] = flags;
    bytes.extend(more);
    bytes.extend(&GZIPPED[10..]);
    bytes
}

#[wasm_bindgen_test]
fn any_header_will_do() {
    for (flags, more) in [
        (0x00, &b""[..]),
        (0x01, b""),
        (0x04, b"\x03\x00abc"),
        (0x08, b"name\0"),
        (0x10, b"comment\0"),
        (0x1c, b"\x00\x00name\0\0"),
        // The CRC-32 of these ten bytes ends in 0xab12.
        (0x02, b"\x12\xab"),
    ] {
        let bytes = with_header(flags, more);
        assert_eq!(
            inflate(&bytes, PLAIN.len()).as_deref(),
            Ok(PLAIN),
            "{flags}"
        );
    }
    for (flags, more) in [
        (0x20, &b""[..]),
        (0x80, b""),
        (0x02, b"\0\0"),
        (0x04, b"\xff\xffabc"),
        (0x08, b""),
    ] {
        let bytes = with_header(flags, more);
        assert_eq!(inflate(&bytes, 100), Err(Refusal::Corrupt), "{flags}");
    }
}

#[wasm_bindgen_test]
fn one_whole_stream_of_the_announced_size_passes() {
    assert_eq!(inflate(&GZIPPED, 100).as_deref(), Ok(PLAIN));
    assert_eq!(inflate(&GZIPPED, PLAIN.len() - 1), Err(Refusal::TooLarge));
    assert_eq!(inflate(&GZIPPED, 0), Err(Refusal::TooLarge));
    for end in 0..GZIPPED.len() {
        let refused = inflate(&GZIPPED[..end], 100);
        assert_eq!(refused, Err(Refusal::Corrupt), "{end}");
    }
    let twice = [GZIPPED, GZIPPED].concat();
    assert_eq!(inflate(&twice, 100), Err(Refusal::Trailing));
    // The checksum, and the length.
    for at in 24..GZIPPED.len() {
        let mut bytes = GZIPPED;
        bytes[at] ^= 1;
        assert_eq!(inflate(&bytes, 100), Err(Refusal::Corrupt), "{at}");
    }
}
