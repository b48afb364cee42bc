//! Makes updates: what a new release has that an earlier one has not, as ranges of the earlier one's bytes and the rest
//! as it is.
//!
//! Files are found by their digests and paths; what has changed, and the manifest, is searched for ranges that are in
//! the earlier bytes too. What does not save enough is left out: readers fetch it whole. The same two releases make the
//! same bytes.

use std::collections::{BTreeSet, HashMap};
use std::io;

use webimport_core::digest::Sha256Digest;
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, FileEntry, Manifest, ObjectEntry};
use webimport_core::map::Map;
use webimport_core::update::{Origin, Output, Part, Source, Update, UpdateEntry};

use crate::pack::gzip;

/// Literal bytes of what would be as well off alone, but for the request that it costs.
const SMALL: usize = 16 * 1024;

/// Bytes of an update of a partial release: whoever reads a small part of it gets the update of the whole.
const PARTIAL: u64 = 256 * 1024;

/// A release as one side of an update.
pub struct Release<'a> {
    /// Its manifest's bytes.
    pub bytes: &'a [u8],
    /// What they say.
    pub manifest: &'a Manifest,
    /// An object of it, decoded, if it can be had.
    pub object: &'a dyn Fn(&ObjectEntry) -> Option<Vec<u8>>,
}

/// An update: how metadata name it, and its bytes as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// For the new release's target.
    pub entry: UpdateEntry,
    /// Of it.
    pub sha256: Sha256Digest,
    /// The file.
    pub bytes: Vec<u8>,
}

/// What makes the `new` release out of the `old` one, of which all shards are known; `None` if it would be more than half
/// of what it replaces, or, for a partial release, more than a reader should get of what others use.
///
/// # Errors
/// Compression failed, which only lack of memory does.
pub fn make(old: &Release<'_>, new: &Release<'_>, limits: &Limits) -> io::Result<Option<Made>> {
    // Whole packs would be read for each module that is made of them.
    if old.manifest.partial != new.manifest.partial {
        return Ok(None);
    }
    let mut draft = Draft::default();
    let from = Sha256Digest::of(old.bytes);
    let mut replaced = new.bytes.len() as u64;
    if let Some(origin) = draft.source(from, old.bytes.len() as u64) {
        let parts = draft.changed(new.bytes, old.bytes, origin, 0);
        draft.keep(new.bytes, parts);
    }

    let mut earlier = Earlier::of(old);
    let mut seen = earlier.objects();
    let lists = old.manifest.shards.iter();
    let lists: HashMap<_, _> = lists.map(|it| (&*it.folder, &it.object)).collect();
    for shard in &new.manifest.shards {
        if seen.insert(shard.object.decoded_sha256)
            && let Some(list) = lists.get(&*shard.folder)
            && let Some(earlier) = (old.object)(list)
            && let Some(decoded) = (new.object)(&shard.object)
            && let Some(origin) = draft.source(list.decoded_sha256, list.decoded_size)
        {
            replaced += shard.object.size;
            let parts = draft.changed(&decoded, &earlier, origin, 0);
            draft.keep(&decoded, parts);
        }
    }
    let mut files = vec![Vec::new(); new.manifest.objects.len()];
    for file in &new.manifest.files {
        files[file.object].push(file);
    }
    // What saves nothing by itself, for the end.
    let mut small = Vec::new();
    for (object, files) in new.manifest.objects.iter().zip(files) {
        if !seen.insert(object.decoded_sha256) {
            continue;
        }
        let Some(decoded) = (new.object)(object) else {
            continue;
        };
        let start = draft.literals.len();
        let parts = earlier.parts(&mut draft, &files, &decoded);
        let own = draft.literals.len() - start;
        if own <= decoded.len() / 2 {
            replaced += object.size;
            draft.keep(&decoded, parts);
        } else {
            draft.literals.truncate(start);
            if own <= SMALL {
                small.push((object, decoded));
            }
        }
    }
    let mut room = SMALL;
    for (object, decoded) in small {
        let Some(rest) = room.checked_sub(decoded.len()) else {
            continue;
        };
        room = rest;
        replaced += object.size;
        let parts = draft.literal(&decoded).into_iter().collect();
        draft.keep(&decoded, parts);
    }
    let most = if new.manifest.partial {
        PARTIAL.min(replaced / 2)
    } else {
        replaced / 2
    };
    draft.finish(from, most, limits)
}

/// An update that is being made.
#[derive(Default)]
struct Draft {
    sources: Vec<Source>,
    /// Their places among them.
    known: HashMap<Sha256Digest, usize>,
    outputs: Map<Sha256Digest, Output>,
    literals: Vec<u8>,
}

impl Draft {
    /// Bytes to start from; `None` if they are too many.
    fn source(&mut self, sha256: Sha256Digest, size: u64) -> Option<Origin> {
        let size = u32::try_from(size).ok()?;
        let index = *self.known.entry(sha256).or_insert_with(|| {
            self.sources.push(Source { sha256, size });
            self.sources.len() - 1
        });
        Some(Origin::Source(index))
    }

    /// Adds bytes to the literals.
    fn literal(&mut self, bytes: &[u8]) -> Option<Part> {
        let part = Part {
            origin: Origin::Literals,
            offset: small(self.literals.len())?,
            length: small(bytes.len()).filter(|length| *length > 0)?,
        };
        self.literals.extend_from_slice(bytes);
        Some(part)
    }

    /// The parts of `new` bytes, of which some are in `old`, which begins at `offset` in its source.
    fn changed(&mut self, new: &[u8], old: &[u8], origin: Origin, offset: usize) -> Vec<Part> {
        let mut parts = Vec::new();
        for range in Ranges::of(new, old) {
            parts.extend(self.literal(&new[range.literal]));
            parts.extend(copy(origin, offset + range.from, range.length));
        }
        parts
    }

    /// Has bytes made of these parts, if that is all of them.
    fn keep(&mut self, bytes: &[u8], parts: Vec<Part>) {
        let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
        for part in parts {
            match joined.last_mut() {
                Some(last) if last.origin == part.origin && last.end() == part.offset => {
                    last.length += part.length;
                }
                _ => joined.push(part),
            }
        }
        let made: u64 = joined.iter().map(|part| u64::from(part.length)).sum();
        if let Some(size) = small(bytes.len()).filter(|size| u64::from(*size) == made) {
            let output = Output {
                size,
                parts: joined,
            };
            self.outputs.insert(Sha256Digest::of(bytes), output);
        }
    }

    fn finish(self, from: Sha256Digest, most: u64, limits: &Limits) -> io::Result<Option<Made>> {
        let update = Update {
            sources: self.sources,
            outputs: self.outputs,
        };
        let decoded = update.to_bytes(&self.literals);
        let bytes = gzip(&decoded)?;
        let sha256 = Sha256Digest::of(&bytes);
        let entry = UpdateEntry::new(
            from,
            ObjectEntry {
                sha256,
                size: bytes.len() as u64,
                encoding: Encoding::Gzip,
                decoded_size: decoded.len() as u64,
                decoded_sha256: Sha256Digest::of(&decoded),
                tag: None,
            },
        );
        let is_read = entry.object(limits).is_ok()
            && webimport_core::update::Whole::parse(&decoded, "update", limits).is_ok();
        let is_worth_it = bytes.len() as u64 <= most;
        Ok((is_read && is_worth_it).then_some(Made {
            entry,
            sha256,
            bytes,
        }))
    }
}

/// The files of the earlier release.
struct Earlier<'a> {
    release: &'a Release<'a>,
    by_digest: HashMap<Sha256Digest, &'a FileEntry>,
    by_path: HashMap<String, &'a FileEntry>,
    /// Those objects that were needed, decoded.
    decoded: HashMap<usize, Option<Vec<u8>>>,
}

impl<'a> Earlier<'a> {
    fn of(release: &'a Release<'a>) -> Self {
        let files = &release.manifest.files;
        Self {
            release,
            by_digest: files.iter().map(|file| (file.sha256, file)).collect(),
            by_path: files.iter().map(|it| (stable(&it.path), it)).collect(),
            decoded: HashMap::new(),
        }
    }

    fn objects(&self) -> BTreeSet<Sha256Digest> {
        let Manifest {
            objects, shards, ..
        } = self.release.manifest;
        let shards = shards.iter().map(|shard| &shard.object);
        let all = objects.iter().chain(shards);
        all.map(|object| object.decoded_sha256).collect()
    }

    /// The parts of a new object, file by file.
    fn parts(&mut self, draft: &mut Draft, files: &[&FileEntry], decoded: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        for file in files {
            let Some(new) = content(file, decoded) else {
                continue;
            };
            match self.parts_of(draft, file, new) {
                Some(found) => parts.extend(found),
                None => parts.extend(draft.literal(new)),
            }
        }
        parts
    }

    /// The parts of a new file; `None` if there is nothing to take them from.
    fn parts_of(&mut self, draft: &mut Draft, file: &FileEntry, new: &[u8]) -> Option<Vec<Part>> {
        let by_path = self.by_path.get(&stable(&file.path)).copied();
        let is_same = |old: &&FileEntry| old.sha256 == file.sha256;
        // Of several that are alike, the one in the same place: a reader has that most likely.
        let same = by_path.filter(is_same);
        let same = same.or_else(|| self.by_digest.get(&file.sha256).copied());
        let old = same.or(by_path)?;
        let object = self.release.manifest.objects.get(old.object)?;
        let origin = draft.source(object.decoded_sha256, object.decoded_size)?;
        let offset = usize::try_from(old.offset).ok()?;
        Some(if is_same(&old) {
            copy(origin, offset, new.len()).into_iter().collect()
        } else {
            draft.changed(new, self.content(old)?, origin, offset)
        })
    }

    fn content(&mut self, file: &FileEntry) -> Option<&[u8]> {
        let release = self.release;
        let decoded = self.decoded.entry(file.object).or_insert_with(|| {
            let entry = release.manifest.objects.get(file.object)?;
            (release.object)(entry)
        });
        content(file, decoded.as_ref()?)
    }
}

/// The range of an object that a file is.
fn content<'a>(file: &FileEntry, decoded: &'a [u8]) -> Option<&'a [u8]> {
    let start = usize::try_from(file.offset).ok()?;
    let size = usize::try_from(file.size).ok()?;
    decoded.get(start..start.checked_add(size)?)
}

/// A path without the version in the name of its `.dist-info` folder.
fn stable(path: &str) -> String {
    if let Some((top, rest)) = path.split_once('/')
        && let Some(distribution) = top.strip_suffix(".dist-info")
    {
        let name = distribution.split('-').next().unwrap_or_default();
        return format!("{name}.dist-info/{rest}");
    }
    path.to_owned()
}

fn small(number: usize) -> Option<u32> {
    u32::try_from(number).ok()
}

fn copy(origin: Origin, offset: usize, length: usize) -> Option<Part> {
    Some(Part {
        origin,
        offset: small(offset)?,
        length: small(length).filter(|length| *length > 0)?,
    })
}

/// Bytes that are looked up at once. A range that is found has one such block at a multiple of this in the old bytes.
const BLOCK: usize = 16;
/// A range that is shorter costs as much as its bytes.
const SHORTEST: usize = 32;
/// Places of one block that are tried.
const TRIES: usize = 16;

/// New bytes, and then a range of the old ones.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    literal: std::ops::Range<usize>,
    /// Where the range begins in the old bytes.
    from: usize,
    /// Zero at the end.
    length: usize,
}

/// Finds ranges of the old bytes in the new ones, from front to back, the longest at each place.
struct Ranges<'a> {
    new: &'a [u8],
    old: &'a [u8],
    /// The last place of each block, as its number.
    last: HashMap<&'a [u8], usize>,
    /// For each block, the place before that has the same bytes.
    before: Vec<Option<usize>>,
    /// Where the bytes begin that nothing has been said of.
    done: usize,
    /// What is in the old bytes where `done` is in the new ones, if only a few bytes were replaced.
    along: usize,
    ended: bool,
}

impl<'a> Ranges<'a> {
    fn of(new: &'a [u8], old: &'a [u8]) -> Self {
        let mut last = HashMap::new();
        let blocks = old.chunks_exact(BLOCK).enumerate();
        let before = blocks.map(|(at, block)| last.insert(block, at)).collect();
        Self {
            new,
            old,
            last,
            before,
            done: 0,
            along: 0,
            ended: false,
        }
    }

    /// The longest range around the place `at` of the new bytes that the old ones have around `from`.
    fn around(&self, at: usize, from: usize) -> Range {
        let back = self.new[self.done..at].iter().rev();
        let back = back.zip(self.old[..from].iter().rev());
        let back = back.take_while(|(new, old)| new == old).count();
        let on = self.new[at..].iter().zip(&self.old[from..]);
        let on = on.take_while(|(new, old)| new == old).count();
        Range {
            literal: self.done..at - back,
            from: from - back,
            length: back + on,
        }
    }

    fn longest(&self, at: usize) -> Option<Range> {
        let along = self.along + (at - self.done);
        let along = (along < self.old.len()).then(|| self.around(at, along));
        let block = self.new.get(at..at + BLOCK);
        let found = block.and_then(|block| self.last.get(block).copied());
        let places = std::iter::successors(found, |place| self.before[*place]);
        let others = places.take(TRIES).map(|it| self.around(at, it * BLOCK));
        along
            .into_iter()
            .chain(others)
            .filter(|range| range.length >= SHORTEST)
            .max_by_key(|range| range.length)
    }
}

impl Iterator for Ranges<'_> {
    type Item = Range;

    fn next(&mut self) -> Option<Range> {
        let range = (self.done..self.new.len()).find_map(|at| self.longest(at));
        let range = match range {
            Some(range) => range,
            None if self.ended => return None,
            None => {
                self.ended = true;
                Range {
                    literal: self.done..self.new.len(),
                    from: 0,
                    length: 0,
                }
            }
        };
        self.done = range.literal.end + range.length;
        self.along = range.from + range.length;
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(new: &str, old: &str) -> Vec<(String, String)> {
        Ranges::of(new.as_bytes(), old.as_bytes())
            .map(|range| {
                let literal = new[range.literal].to_owned();
                let copied = old[range.from..range.from + range.length].to_owned();
                (literal, copied)
            })
            .collect()
    }

    fn joined(ranges: &[(String, String)]) -> String {
        let parts = ranges
            .iter()
            .flat_map(|(literal, copied)| [literal, copied]);
        parts.map(String::as_str).collect()
    }

    fn lines(numbers: std::ops::Range<u32>) -> String {
        let lines: Vec<String> = numbers
            .map(|it| format!("line {it} of some text\n"))
            .collect();
        lines.concat()
    }

    #[test]
    fn what_was_replaced_added_and_taken_away_is_all_that_is_literal() {
        let old = lines(100..200);
        for (new, most) in [
            (old.clone(), 0),
            (old.replace("line 150 of", "line X of"), 3),
            (format!("{}added\n{}", lines(100..150), lines(150..200)), 6),
            (lines(100..150) + &lines(160..200), 0),
            (lines(150..200) + &lines(100..150), 0),
            (lines(100..200) + "end", 3),
        ] {
            let ranges = ranges(&new, &old);
            assert_eq!(joined(&ranges), new);
            let literal: usize = ranges.iter().map(|(literal, _)| literal.len()).sum();
            assert!(literal <= most, "{literal} of {ranges:?}");
        }
    }

    #[test]
    fn literals_and_ranges_are_the_new_bytes_whatever_was_changed() {
        let mut state = 1_u64;
        let mut below = |limit: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % limit
        };
        for _ in 0..500 {
            // Few different letters, so that much is there more than once.
            let length = below(600);
            let old: String = (0..length).map(|_| ["a", "b"][below(2)]).collect();
            let mut new = old.clone();
            for _ in 0..below(5) {
                let mut places = [below(new.len() + 1), below(new.len() + 1)];
                places.sort_unstable();
                let [from, to] = places;
                let moved = old[..below(old.len() + 1)].to_owned();
                let put = ["", "c", &moved][below(3)];
                new.replace_range(from..to, put);
            }
            assert_eq!(joined(&ranges(&new, &old)), new, "{old}");
        }
    }

    #[test]
    fn what_has_nothing_in_common_is_literal() {
        let (new, old) = ("n".repeat(100), "o".repeat(100));
        assert_eq!(ranges(&new, &old), [(new, String::new())]);
        assert_eq!(ranges("", "old"), [(String::new(), String::new())]);
        assert_eq!(ranges("new", ""), [("new".into(), String::new())]);
    }

    #[test]
    fn a_version_in_a_path_hides_nothing() {
        assert_eq!(stable("a-1.0.dist-info/METADATA"), "a.dist-info/METADATA");
        assert_eq!(stable("a-1.0/METADATA"), "a-1.0/METADATA");
        assert_eq!(stable("a.py"), "a.py");
    }
}
