//! Writes small wheels, so that fixtures need no build tool.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Writes `NAME-VERSION-py3-none-any.whl` with these files into a folder, and says where.
pub fn write_wheel<Name: AsRef<str>, Content: AsRef<[u8]>>(
    folder: &Path,
    name: &str,
    version: &str,
    files: &[(Name, Content)],
) -> PathBuf {
    let module = name.replace('-', "_");
    let info = format!("{module}-{version}.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    let wheel = "Wheel-Version: 1.0\nGenerator: webimport tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let paths = [
        format!("{info}/METADATA"),
        format!("{info}/WHEEL"),
        format!("{info}/RECORD"),
    ];
    let mut contents: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(path, content)| (path.as_ref(), content.as_ref()))
        .collect();
    contents.extend([
        (paths[0].as_str(), metadata.as_bytes()),
        (&paths[1], wheel.as_bytes()),
    ]);
    let mut record = format!("{},,\n", paths[2]);
    for (path, content) in &contents {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        writeln!(record, "{path},sha256={digest},{}", content.len())
            .expect("writing to a string works");
    }
    contents.push((&paths[2], record.as_bytes()));

    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (path, content) in contents {
        archive.start_file(path, options).expect("a zip entry");
        archive.write_all(content).expect("a zip entry");
    }
    let bytes = archive.finish().expect("a zip file").into_inner();
    let path = folder.join(format!("{module}-{version}-py3-none-any.whl"));
    std::fs::write(&path, bytes).expect("the scratch folder is writable");
    path
}
