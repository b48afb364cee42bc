//! Puts the files of a release into objects.
//!
//! Small files travel together: in path order, so that the files of one package are neighbours and compress
//! well, in packs of bounded size, so that a change of one file costs its readers one pack. In a partial release
//! readers fetch what they import: the modules of one folder that are always needed together travel together, each other
//! one is an object of its own, and the files beside the modules travel by folder. The bytes depend on the files alone,
//! however many threads make them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use webimport_core::closure::module_name;
use webimport_core::digest::Sha256Digest;
use webimport_core::manifest::{Encoding, FileEntry, ObjectEntry};
use webimport_core::names::CacheTag;

use crate::parallel;
use crate::together::Together;

/// Bytes that the files of one pack have at most.
pub(crate) const PACK: usize = 4 * 1024 * 1024;
/// A file above this many bytes is an object of its own.
pub(crate) const ALONE: usize = 1024 * 1024;
/// Bytes that modules of one pack have at most in a partial release: a change of one of them costs a reader all.
const MODULES: usize = 256 * 1024;

/// The value of the gzip header field `OS` for "unknown": the same on every machine.
const UNKNOWN_SYSTEM: u8 = 255;

/// What shares an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout<'a> {
    /// For readers that fetch everything.
    Whole,
    /// For readers that fetch what they import.
    Partial(&'a Together<'a>),
}

/// Objects and what is in them, as a manifest lists it.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(crate) objects: Vec<ObjectEntry>,
    /// In the order in which the files were packed.
    pub(crate) files: Vec<FileEntry>,
    /// The objects' bytes as stored.
    pub(crate) content: BTreeMap<Sha256Digest, Vec<u8>>,
}

/// The files of one object, one behind the other: path and content.
type Group<'a> = Vec<(&'a str, &'a [u8])>;

/// One object, which is not in its place in a manifest yet.
struct Object {
    entry: ObjectEntry,
    /// Paths, sizes and digests of its files.
    files: Vec<FileEntry>,
    /// As stored.
    content: Vec<u8>,
}

impl Packed {
    /// Packs files of one kind: sources behind bytecode, the bytecode of one tag, or all else. `advance` is told
    /// the decoded bytes that were packed so far in this call.
    pub(crate) fn add<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a str, &'a [u8])>,
        tag: Option<&CacheTag>,
        layout: Layout<'_>,
        mut advance: impl FnMut(u64),
    ) -> io::Result<()> {
        let groups = groups(files, tag, layout);
        let mut done = 0;
        let made = parallel::map(
            parallel::cores(),
            groups.iter(),
            |group| Object::of(group, tag),
            |object| {
                done += object.entry.decoded_size;
                advance(done);
            },
        )?;
        for object in made {
            let index = self.objects.len();
            let files = object.files.into_iter();
            self.files.extend(files.map(|file| FileEntry {
                object: index,
                ..file
            }));
            self.content.insert(object.entry.sha256, object.content);
            self.objects.push(object.entry);
        }
        Ok(())
    }

    /// What a manifest lists; the bytes stay.
    pub(crate) fn take_lists(&mut self) -> (Vec<ObjectEntry>, Vec<FileEntry>) {
        (
            std::mem::take(&mut self.objects),
            std::mem::take(&mut self.files),
        )
    }

    /// A shard of the manifest, as an object.
    pub(crate) fn shard(&mut self, bytes: &[u8]) -> io::Result<ObjectEntry> {
        let compressed = gzip(bytes)?;
        let sha256 = Sha256Digest::of(&compressed);
        let object = ObjectEntry {
            sha256,
            size: compressed.len() as u64,
            encoding: Encoding::Gzip,
            decoded_size: bytes.len() as u64,
            decoded_sha256: Sha256Digest::of(bytes),
            tag: None,
        };
        self.content.insert(sha256, compressed);
        Ok(object)
    }
}

/// Which files share an object, in the order of the objects.
fn groups<'a>(
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
    tag: Option<&CacheTag>,
    layout: Layout<'_>,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut empty: Option<usize> = None;
    // The last group of modules that are together in one folder, and its bytes.
    let mut modules: HashMap<(usize, &str), (usize, usize)> = HashMap::new();
    let mut together: BTreeMap<&str, Group> = BTreeMap::new();
    for (path, content) in files {
        let is_module =
            matches!(layout, Layout::Partial(_)) && (tag.is_some() || module_name(path).is_some());
        if is_module && content.is_empty() {
            // One object is enough for nothing.
            if let Some(group) = empty.and_then(|index| groups.get_mut(index)) {
                group.push((path, content));
            } else {
                empty = Some(groups.len());
                groups.push(vec![(path, content)]);
            }
        } else if is_module
            && let Layout::Partial(together) = layout
            && let Some(own) = together.group(path)
        {
            // A shard lists all of a folder, so that no object is in two.
            let last = modules.entry((own, folder(path))).or_default();
            match groups.get_mut(last.0) {
                Some(group) if last.1 > 0 && last.1 + content.len() <= MODULES => {
                    group.push((path, content));
                    last.1 += content.len();
                }
                _ => {
                    *last = (groups.len(), content.len());
                    groups.push(vec![(path, content)]);
                }
            }
        } else if is_module || content.len() > ALONE {
            groups.push(vec![(path, content)]);
        } else {
            let key = match layout {
                Layout::Whole => "",
                Layout::Partial(_) => group(path),
            };
            together.entry(key).or_default().push((path, content));
        }
    }
    for files in together.into_values() {
        let mut pack = Group::new();
        let mut size = 0;
        for (path, content) in files {
            if size + content.len() > PACK {
                groups.push(std::mem::take(&mut pack));
                size = 0;
            }
            size += content.len();
            pack.push((path, content));
        }
        groups.push(pack);
    }
    groups
}

impl Object {
    fn of(files: &Group<'_>, tag: Option<&CacheTag>) -> io::Result<Self> {
        let mut offset = 0;
        let entries: Vec<FileEntry> = files
            .iter()
            .map(|(path, content)| {
                let size = content.len() as u64;
                offset += size;
                FileEntry {
                    path: (*path).to_owned(),
                    size,
                    sha256: Sha256Digest::of(content),
                    object: 0,
                    offset: offset - size,
                    imports: Vec::new(),
                    imports_elsewhere: Vec::new(),
                }
            })
            .collect();
        let decoded = match files[..] {
            [(_, content)] => Cow::Borrowed(content),
            _ => Cow::Owned(
                files
                    .iter()
                    .flat_map(|(_, content)| *content)
                    .copied()
                    .collect(),
            ),
        };
        let decoded_sha256 = match &entries[..] {
            [file] => file.sha256,
            _ => Sha256Digest::of(&decoded),
        };
        let decoded_size = decoded.len() as u64;
        let compressed = gzip(&decoded)?;
        let (encoding, content) = if compressed.len() < decoded.len() || has_mark(&decoded) {
            (Encoding::Gzip, compressed)
        } else {
            (Encoding::Identity, decoded.into_owned())
        };
        Ok(Self {
            entry: ObjectEntry {
                sha256: Sha256Digest::of(&content),
                size: content.len() as u64,
                encoding,
                decoded_size,
                decoded_sha256,
                tag: tag.cloned(),
            },
            files: entries,
            content,
        })
    }
}

/// What files beside modules travel with: those of their folder. The metadata of all distributions are always
/// fetched, and so travel together; but not the lists of their files, which are as long as these are many.
fn group(path: &str) -> &str {
    let is_metadata = path
        .split_once('/')
        .is_some_and(|(top, _)| top.ends_with(".dist-info"));
    if is_metadata && path.ends_with(".dist-info/RECORD") {
        ".dist-info/RECORD"
    } else if is_metadata {
        ".dist-info"
    } else {
        folder(path)
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a browser that is made to take bytes for text takes a byte order mark off them: a page's synchronous
/// requests have no other kind of answer.
fn has_mark(bytes: &[u8]) -> bool {
    [&b"\xef\xbb\xbf"[..], b"\xfe\xff", b"\xff\xfe"]
        .iter()
        .any(|mark| bytes.starts_with(mark))
}

pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(UNKNOWN_SYSTEM)
        .write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn pack(files: &[(&str, Vec<u8>)]) -> Packed {
        let mut packed = Packed::default();
        packed
            .add(
                files.iter().map(|(path, content)| (*path, &**content)),
                None,
                Layout::Whole,
                |_| (),
            )
            .unwrap();
        packed
    }

    /// Bytes that do not compress.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(length)
        .collect()
    }

    fn paths_by_object(packed: &Packed) -> Vec<Vec<&str>> {
        let mut objects = vec![Vec::new(); packed.objects.len()];
        for file in &packed.files {
            objects[file.object].push(&*file.path);
        }
        objects
    }

    #[test]
    fn small_files_share_a_pack_and_large_ones_are_alone() {
        let packed = pack(&[
            ("a.py", b"print()\n".repeat(100)),
            ("b.bin", vec![7; ALONE + 1]),
            ("c.py", b"print()\n".repeat(50)),
            ("d.txt", Vec::new()),
        ]);
        let objects: Vec<usize> = packed.files.iter().map(|file| file.object).collect();
        assert_eq!(
            packed
                .files
                .iter()
                .map(|file| &*file.path)
                .collect::<Vec<_>>(),
            ["b.bin", "a.py", "c.py", "d.txt"]
        );
        assert_eq!(objects, [0, 1, 1, 1]);
        assert_eq!(packed.files[2].offset, 800);
        assert_eq!(packed.objects[1].decoded_size, 1200);
    }

    #[test]
    fn in_a_partial_release_modules_are_alone_and_the_rest_travels_by_folder() {
        let files = [
            ("a-1.dist-info/METADATA", "a"),
            ("a-1.dist-info/RECORD", "r"),
            ("a/__init__.py", ""),
            ("a/b.py", "b"),
            ("a/b/__init__.py", ""),
            ("a/b/table.csv", "1"),
            ("a/b/x.so", "so"),
            ("a/data.txt", "2"),
            ("a/more.txt", "3"),
            ("a/py.typed", ""),
            ("b-1.dist-info/METADATA", "b"),
            ("b-1.dist-info/licenses/LICENSE", "c"),
        ];
        let mut packed = Packed::default();
        let content = files.map(|(path, text)| (path, text.as_bytes()));
        packed
            .add(
                content.into_iter(),
                None,
                Layout::Partial(&Together::default()),
                |_| (),
            )
            .unwrap();
        assert_eq!(
            paths_by_object(&packed),
            [
                &["a/__init__.py", "a/b/__init__.py"][..],
                &["a/b.py"],
                &["a/b/x.so"],
                &[
                    "a-1.dist-info/METADATA",
                    "b-1.dist-info/METADATA",
                    "b-1.dist-info/licenses/LICENSE"
                ],
                &["a-1.dist-info/RECORD"],
                &["a/data.txt", "a/more.txt", "a/py.typed"],
                &["a/b/table.csv"],
            ]
        );
        let tag = "cpython-314".parse().unwrap();
        let mut packed = Packed::default();
        let content = [
            ("a/__pycache__/b-c.cpython-314.pyc", &b"x"[..]),
            ("b", b"y"),
        ];
        packed
            .add(
                content.into_iter(),
                Some(&tag),
                Layout::Partial(&Together::default()),
                |_| (),
            )
            .unwrap();
        assert_eq!(packed.objects.len(), 2);
    }

    #[test]
    fn modules_of_one_folder_that_need_each_other_share_a_pack_of_bounded_size() {
        let imports = [
            (
                "a/__init__.py".into(),
                ["a/in/__init__.py".into(), "a/x.py".into()].into(),
            ),
            ("a/in/__init__.py".into(), ["a/in/z.py".into()].into()),
            (
                "a/x.py".into(),
                ["a/empty.py".into(), "a/large.py".into()].into(),
            ),
        ]
        .into();
        let files = [
            ("a/__init__.py", 10),
            ("a/data.txt", 10),
            ("a/empty.py", 0),
            ("a/in/__init__.py", 10),
            ("a/in/z.py", 10),
            ("a/large.py", MODULES),
            ("a/other.py", 10),
            ("a/x.py", 10),
            ("a/y.py", 10),
        ]
        .map(|(path, length)| (path, vec![b' '; length]));
        let together = Together::of(&imports);
        let mut packed = Packed::default();
        let content = files.iter().map(|(path, content)| (*path, &**content));
        packed
            .add(content, None, Layout::Partial(&together), |_| ())
            .unwrap();
        assert_eq!(
            paths_by_object(&packed),
            [
                &["a/__init__.py"][..],
                &["a/empty.py"],
                &["a/in/__init__.py", "a/in/z.py"],
                &["a/large.py"],
                &["a/other.py"],
                &["a/x.py"],
                &["a/y.py"],
                &["a/data.txt"],
            ]
        );
    }

    #[test]
    fn packs_are_bounded() {
        let files: Vec<(String, Vec<u8>)> = (0..10)
            .map(|index| (format!("{index}"), vec![index; ALONE]))
            .collect();
        let mut packed = Packed::default();
        packed
            .add(
                files.iter().map(|(path, content)| (&**path, &**content)),
                None,
                Layout::Whole,
                |_| (),
            )
            .unwrap();
        let sizes: Vec<u64> = packed
            .objects
            .iter()
            .map(|object| object.decoded_size)
            .collect();
        assert_eq!(sizes, [PACK as u64, PACK as u64, 2 * ALONE as u64]);
    }

    #[test]
    fn what_does_not_compress_stays_as_it_is() {
        let content = noise(10_000);
        let packed = pack(&[("noise", content.clone())]);
        assert_eq!(packed.objects[0].encoding, Encoding::Identity);
        assert_eq!(packed.content[&packed.objects[0].sha256], content);
        let packed = pack(&[("text", b"text ".repeat(1000))]);
        assert_eq!(packed.objects[0].encoding, Encoding::Gzip);
        let mut decoded = Vec::new();
        flate2::read::GzDecoder::new(&*packed.content[&packed.objects[0].sha256])
            .read_to_end(&mut decoded)
            .unwrap();
        assert_eq!(decoded, b"text ".repeat(1000));
    }

    #[test]
    fn what_begins_with_a_byte_order_mark_is_compressed_even_where_that_is_longer() {
        for mark in [&b"\xef\xbb\xbf"[..], b"\xfe\xff", b"\xff\xfe"] {
            let packed = pack(&[("marked", [mark, b"x"].concat())]);
            assert_eq!(packed.objects[0].encoding, Encoding::Gzip, "{mark:?}");
            assert!(packed.objects[0].size > packed.objects[0].decoded_size);
            let packed = pack(&[("unmarked", [b"x", mark].concat())]);
            assert_eq!(packed.objects[0].encoding, Encoding::Identity, "{mark:?}");
        }
    }

    #[test]
    fn every_file_is_what_its_entry_says() {
        let contents = [
            ("a.py", b"print()\n".repeat(100)),
            ("b.bin", noise(ALONE + 1)),
            ("c.bin", noise(1000)),
            ("d.txt", Vec::new()),
            ("e.txt", b"text ".repeat(ALONE)),
        ];
        let packed = pack(&contents);
        assert_eq!(packed.files.len(), contents.len());
        for (path, content) in &contents {
            let file = packed.files.iter().find(|file| file.path == *path).unwrap();
            let object = &packed.objects[file.object];
            let stored = &packed.content[&object.sha256];
            let mut decoded = Vec::new();
            match object.encoding {
                Encoding::Identity => decoded.clone_from(stored),
                Encoding::Gzip => {
                    flate2::read::GzDecoder::new(&**stored)
                        .read_to_end(&mut decoded)
                        .unwrap();
                }
            }
            let start = usize::try_from(file.offset).unwrap();
            let end = start + usize::try_from(file.size).unwrap();
            assert_eq!(&decoded[start..end], &**content, "{path}");
            assert_eq!(file.sha256, Sha256Digest::of(content), "{path}");
        }
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let files = [("a", b"abc".repeat(1000)), ("b", noise(100))];
        assert_eq!(pack(&files).content, pack(&files).content);
        let packed = pack(&files);
        let bytes = &packed.content[&packed.objects[0].sha256];
        assert_eq!(bytes[4..8], [0; 4], "no time in the header");
        assert_eq!(bytes[9], UNKNOWN_SYSTEM);
    }
}
