//! Compressed lengths, each at its format's best level.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use webimport_core::shards::FORMAT;

/// Bytes after `gzip -9`.
pub(crate) fn gzip(bytes: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory").len()
}

/// Bytes after brotli of quality 11.
pub(crate) fn brotli(bytes: &[u8]) -> usize {
    let mut compressed = Vec::new();
    {
        let mut writer = brotli::CompressorWriter::new(&mut compressed, 4_096, 11, 22);
        writer.write_all(bytes).expect("memory");
    }
    compressed.len()
}

/// The bytes of an object decoded, if it is a shard of a release manifest.
pub(crate) fn shard(stored: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let beginning = format!("{{\"format\":\"{FORMAT}\"").into_bytes();
    let mut start = vec![0; beginning.len()];
    GzDecoder::new(stored).read_exact(&mut start).ok()?;
    if start != beginning {
        return None;
    }
    GzDecoder::new(stored).read_to_end(&mut decoded).ok()?;
    Some(decoded)
}
