//! What a page downloads before it can load anything.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// The wasm module, and the script with the Python package inside: raw and compressed.
pub(crate) fn measure(site: &Path) -> Value {
    let part = |file: &str| {
        let path = site.join(file);
        let bytes = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&bytes).expect("memory");
        let mut brotli = Vec::new();
        {
            let mut writer = brotli::CompressorWriter::new(&mut brotli, 4_096, 11, 22);
            writer.write_all(&bytes).expect("memory");
        }
        json!({
            "raw": bytes.len(),
            "gzip": gzip.finish().expect("memory").len(),
            "brotli": brotli.len(),
        })
    };
    json!({"wasm": part("webimport.wasm"), "script_and_python": part("webimport.js")})
}
