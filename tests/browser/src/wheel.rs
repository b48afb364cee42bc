//! Writes small wheels, so that fixtures need no build tool.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Writes `NAME-VERSION-py3-none-any.whl` with these files into a folder, and says where.
pub fn write_wheel(folder: &Path, name: &str, version: &str, files: &[(&str, &str)]) -> PathBuf {
    let module = name.replace('-', "_");
    let info = format!("{module}-{version}.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    let wheel = "Wheel-Version: 1.0\nGenerator: webimport tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let paths = [
        format!("{info}/METADATA"),
        format!("{info}/WHEEL"),
        format!("{info}/RECORD"),
    ];
    let mut contents = files.to_vec();
    contents.extend([(paths[0].as_str(), metadata.as_str()), (&paths[1], wheel)]);
    let mut record = format!("{},,\n", paths[2]);
    for (path, text) in &contents {
        writeln!(record, "{path},,{}", text.len()).expect("writing to a string works");
    }
    contents.push((&paths[2], &record));

    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (path, text) in contents {
        archive.start_file(path, options).expect("a zip entry");
        archive.write_all(text.as_bytes()).expect("a zip entry");
    }
    let bytes = archive.finish().expect("a zip file").into_inner();
    let path = folder.join(format!("{module}-{version}-py3-none-any.whl"));
    std::fs::write(&path, bytes).expect("the scratch folder is writable");
    path
}
