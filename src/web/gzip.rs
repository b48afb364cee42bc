//! gzip (RFC 1952) by this module itself, for a reader that cannot wait for the platform's decompression.
//!
//! One member, and nothing after it. `flate2` would do this too, with 16 KiB of tables for checksums that every page
//! downloads: what is read here is small, and its checksum is the least of what is checked of it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Flags of a header: what follows its ten bytes.
const HEADER_CHECKSUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// Why there is no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is no gzip stream, or a damaged one.
    Corrupt,
    /// It goes on after its end.
    Trailing,
    /// There is more than was announced.
    TooLarge,
    /// There is no memory for what was announced.
    Memory,
}

/// The content of `gzip`, of at most `size` bytes.
pub(crate) fn inflate(gzip: &[u8], size: usize) -> Result<Vec<u8>, Refusal> {
    let deflated = skip_header(gzip).ok_or(Refusal::Corrupt)?;
    // One byte more than there may be, for what is too long to show.
    let room = size.checked_add(1).ok_or(Refusal::Memory)?;
    let mut content = Vec::new();
    content
        .try_reserve_exact(room)
        .map_err(|_| Refusal::Memory)?;
    content.resize(room, 0);
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let (status, read, written) = decompress(&mut state, deflated, &mut content, 0, flags);
    if written > size {
        return Err(Refusal::TooLarge);
    }
    content.truncate(written);
    let trailer = match status {
        TINFLStatus::Done => deflated.get(read..),
        _ => None,
    };
    let (trailer, rest) = trailer
        .and_then(<[u8]>::split_first_chunk::<8>)
        .ok_or(Refusal::Corrupt)?;
    // The checksum of the content, and its length. Addresses have 32 bits here, so lengths have no more.
    let length = u32::try_from(written).map_err(|_| Refusal::Corrupt)?;
    let expected = [CRC.checksum(&content).to_le_bytes(), length.to_le_bytes()];
    if trailer[..] != *expected.as_flattened() {
        return Err(Refusal::Corrupt);
    }
    if rest.is_empty() {
        Ok(content)
    } else {
        Err(Refusal::Trailing)
    }
}

/// What comes after the header.
fn skip_header(gzip: &[u8]) -> Option<&[u8]> {
    let ([0x1f, 0x8b, 8, flags, ..], mut rest) = gzip.split_first_chunk::<10>()? else {
        return None;
    };
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (length, after) = rest.split_first_chunk()?;
        rest = after.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & HEADER_CHECKSUM != 0 {
        let header = gzip.get(..gzip.len() - rest.len())?;
        let (checksum, after) = rest.split_first_chunk()?;
        if u32::from(u16::from_le_bytes(*checksum)) != CRC.checksum(header) & 0xffff {
            return None;
        }
        rest = after;
    }
    Some(rest)
}
