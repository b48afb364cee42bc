//! Wheels with bytecode in place of sources, as `pyodide py-compile` makes them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use webimport_browser_tests::fixture::Repository;
use webimport_browser_tests::scratch;
use webimport_browser_tests::wheel::write_wheel;

/// The bytecode of a release, by the path of its source.
pub(crate) fn bytecode(
    repository: &Repository,
    name: &str,
    version: &str,
    sha256: &str,
) -> BTreeMap<String, Vec<u8>> {
    let manifest = repository.manifest(name, version, sha256);
    let objects: Vec<Vec<u8>> = manifest["objects"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|object| {
            let sha256 = object["sha256"].as_str().expect("a digest");
            let file = repository
                .root()
                .join("objects")
                .join(&sha256[..2])
                .join(sha256);
            let stored = std::fs::read(file).expect("a published object");
            if object["encoding"] == "identity" {
                return stored;
            }
            let mut decoded = Vec::new();
            GzDecoder::new(&stored[..])
                .read_to_end(&mut decoded)
                .expect("gzip");
            decoded
        })
        .collect();
    let mut ends = vec![0; objects.len()];
    let mut bytecode = BTreeMap::new();
    for file in manifest["files"].as_array().expect("a list") {
        let number =
            |key: &str| usize::try_from(file[key].as_u64().expect("a number")).expect("small");
        let (object, size) = (number("object"), number("size"));
        let start = ends[object];
        ends[object] += size;
        let path = file["path"].as_str().expect("a path");
        if let Some((folder, name)) = path.rsplit_once("/__pycache__/")
            && let Some(stem) = name.strip_suffix(".cpython-314.pyc")
        {
            let bytes = objects[object][start..start + size].to_vec();
            bytecode.insert(format!("{folder}/{stem}.py"), bytes);
        }
    }
    bytecode
}

/// The wheel with `x.pyc` in place of each `x.py` that there is bytecode of, compressed.
pub(crate) fn compiled(wheel: &Path, bytecode: &BTreeMap<String, Vec<u8>>) -> PathBuf {
    let name = wheel
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let mut parts = name.split('-');
    let (name, version) = (
        parts.next().expect("a name"),
        parts.next().expect("a version"),
    );
    let files: Vec<(String, Vec<u8>)> = contents(wheel)
        .into_iter()
        .filter(|(path, _)| !path.contains(".dist-info/"))
        .map(|(path, bytes)| match bytecode.get(&path) {
            Some(pyc) => (format!("{path}c"), pyc.clone()),
            None => (path, bytes),
        })
        .collect();
    write_wheel(&scratch::folder("compiled"), name, version, &files)
}

/// The files of a wheel.
pub(crate) fn contents(wheel: &Path) -> Vec<(String, Vec<u8>)> {
    let file = std::fs::File::open(wheel).expect("a wheel");
    let mut archive = zip::ZipArchive::new(file).expect("a zip archive");
    (0..archive.len())
        .filter_map(|index| {
            let mut entry = archive.by_index(index).expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("an entry");
            let name = entry.name().expect("a name").into_owned();
            (!entry.is_dir()).then_some((name, bytes))
        })
        .collect()
}
