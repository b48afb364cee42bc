//! Compressed lengths, each at its format's best level.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

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
