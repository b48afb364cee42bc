//! Changes to a valid repository, the same ones each time.
//!
//! Some are what anybody between the publisher and the client can do: bytes, signatures, files in each other's
//! place. Others have valid signatures, as if made by the publisher or by a thief of the keys: there the rules beyond
//! signatures decide.

mod constructions;
mod edits;
mod signatures;
mod texts;

use std::collections::BTreeSet;

use serde_json::json;

use crate::files::{Changes, difference};
use crate::repositories::{Specimen, manifest};
use crate::workshop::{Document, Workshop, parse};

/// A changed repository.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// What it is an example of, for counting.
    pub kind: &'static str,
    /// What was done to it.
    pub what: String,
    /// The files that are other ones.
    pub changes: Changes,
    /// What the client knows.
    pub seen: Seen,
}

/// What a client knows when it is shown a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first root.
    Nothing,
    /// The repository as it was before.
    Earlier,
    /// The repository as it is.
    Current,
}

/// A sequence of numbers that look random and are the same each time (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence with that seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.any() % bound as u64).expect("less than `bound`")
    }
}

/// How many mutants there are.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Flipped bits, for each file.
    pub flips: usize,
    /// Two changes to one repository.
    pub pairs: usize,
    /// The same change to files of the same role, and to other repositories: one of so many.
    pub repetitions: usize,
}

/// Makes mutants of one repository after the other.
#[derive(Debug, Clone)]
pub struct Mutator {
    effort: Effort,
    numbers: Numbers,
    /// What was done already, to whatever file of the role.
    done: BTreeSet<String>,
}

impl Mutator {
    /// The random part follows from `seed`.
    pub fn new(effort: Effort, seed: u64) -> Self {
        Self {
            effort,
            numbers: Numbers::new(seed),
            done: BTreeSet::new(),
        }
    }

    /// What is done to `specimen`.
    pub fn mutants(&mut self, specimen: &Specimen) -> Vec<Mutant> {
        let mut studio = Studio::new(specimen, self);
        studio.bytes();
        studio.exchanged_files();
        studio.target_file();
        studio.histories();
        signatures::make(&mut studio);
        texts::make(&mut studio);
        edits::make(&mut studio);
        constructions::make(&mut studio);
        studio.pairs();
        studio.mutants
    }

    /// Whether to do it: what is new always, what is not sometimes.
    fn chooses(&mut self, kind: &str, what: &str) -> bool {
        let same: Vec<String> = what.split(' ').map(without_numbers).collect();
        self.done.insert(format!("{kind} {}", same.join(" ")))
            || self.numbers.below(self.effort.repetitions) == 0
    }
}

/// Of a path and of a digest, what does not differ between versions and keys.
fn without_numbers(word: &str) -> String {
    if word.starts_with("metadata/") {
        return word.replace(|character: char| character.is_ascii_digit(), "");
    }
    let parts = word.split('/');
    let parts = parts.map(|part| if part.len() == 64 { "*" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Mutants of one repository in the making.
struct Studio<'a> {
    specimen: &'a Specimen,
    mutator: &'a mut Mutator,
    pristine: Workshop<'a>,
    documents: Vec<Document>,
    mutants: Vec<Mutant>,
}

impl<'a> Studio<'a> {
    fn new(specimen: &'a Specimen, mutator: &'a mut Mutator) -> Self {
        let pristine = specimen.workshop();
        Self {
            specimen,
            mutator,
            documents: pristine.documents(),
            pristine,
            mutants: Vec::new(),
        }
    }

    /// Lets `change` be done to the repository, if it is chosen.
    fn add(&mut self, kind: &'static str, what: String, change: impl FnOnce(&mut Workshop<'_>)) {
        self.add_seen(Seen::Nothing, kind, what, change);
    }

    fn add_seen(
        &mut self,
        seen: Seen,
        kind: &'static str,
        what: String,
        change: impl FnOnce(&mut Workshop<'_>),
    ) {
        if !self.mutator.chooses(kind, &format!("{what} {seen:?}")) {
            return;
        }
        let mut workshop = self.pristine.clone();
        change(&mut workshop);
        let changes = difference(&self.specimen.files, &workshop.files);
        if !changes.is_empty() || seen != Seen::Nothing {
            self.mutants.push(Mutant {
                kind,
                what,
                changes,
                seen,
            });
        }
    }

    /// A file with other bytes, which the files above name, as if the publisher had made it so. And if they do
    /// not: then digests tell, where there are any, whatever the bytes are.
    fn add_bytes(&mut self, kind: &'static str, what: &str, document: &Document, bytes: &[u8]) {
        let what = format!("{}: {what}", document.path);
        self.add(kind, what.clone(), |workshop| {
            workshop.publish_bytes(document, bytes.to_vec());
        });
        if self.mutator.chooses(kind, &document.path) {
            self.add(kind, format!("{what}, not named above"), |workshop| {
                workshop.files.insert(document.path.clone(), bytes.to_vec());
            });
        }
    }

    fn bytes(&mut self) {
        for document in self.documents.clone() {
            let original = self.specimen.files[&document.path].clone();
            for _ in 0..self.mutator.effort.flips {
                let numbers = &mut self.mutator.numbers;
                let (at, bit) = (numbers.below(original.len()), numbers.below(8));
                let mut bytes = original.clone();
                bytes[at] ^= 1 << bit;
                self.add_bytes(
                    "a flipped bit",
                    &format!("bit {bit} of byte {at}"),
                    &document,
                    &bytes,
                );
            }
            let cut = self.mutator.numbers.below(original.len());
            let (half, more) = (&original[..cut], [&original[..], b"\n \t\r\n"].concat());
            let twice = [&original[..], &original[..]].concat();
            let nested = "[".repeat(100_000).into_bytes();
            for (what, bytes) in [
                ("cut", half),
                ("empty", b""),
                ("with white space behind", &more),
                ("twice", &twice),
                ("an empty object", b"{}"),
                ("an empty list", b"[]"),
                ("null", b"null"),
                ("many brackets", &nested),
                ("a page", b"<!doctype html><p>Not found</p>"),
            ] {
                self.add_bytes("other bytes", what, &document, bytes);
            }
            let file = parse(&original);
            let spaced = serde_json::to_vec_pretty(&file).expect("JSON");
            self.add_bytes("other bytes", "with other white space", &document, &spaced);
            // Without its first root a client has nothing to begin with.
            if document.path != "metadata/1.root.json" {
                self.add("a missing file", document.path.clone(), |workshop| {
                    workshop.files.remove(&document.path);
                });
            }
        }
    }

    fn exchanged_files(&mut self) {
        let files = &self.specimen.files;
        let newest = self.pristine.signed(&self.pristine.current("root"));
        let next = newest["version"].as_u64().expect("a version") + 1;
        for document in self.documents.clone() {
            let others = files
                .iter()
                .filter(|(path, _)| path.starts_with("metadata/"));
            for (other, bytes) in others {
                let what = format!("{other} as {}", document.path);
                self.add("another file", what, |workshop| {
                    workshop.files.insert(document.path.clone(), bytes.clone());
                });
            }
            let what = format!("{} as the next root", document.path);
            self.add("another file", what, |workshop| {
                let bytes = files[&document.path].clone();
                workshop
                    .files
                    .insert(format!("metadata/{next}.root.json"), bytes);
            });
        }
    }

    fn target_file(&mut self) {
        let path = &manifest(&self.specimen.files, self.specimen.target);
        let original = self.specimen.content();
        let mut flipped = original.to_vec();
        flipped[self.mutator.numbers.below(original.len())] ^= 1;
        let longer = [original, b" "].concat();
        for (what, bytes) in [
            ("a flipped bit", Some(&flipped[..])),
            ("cut", Some(&original[..original.len() - 1])),
            ("longer", Some(&longer)),
            ("empty", Some(b"")),
            ("missing", None),
        ] {
            self.add("another target", what.into(), |workshop| {
                match bytes {
                    Some(bytes) => workshop.files.insert(path.clone(), bytes.to_vec()),
                    None => workshop.files.remove(path),
                };
            });
        }
        let what = "without the digest in its name";
        self.add("another target", what.into(), |workshop| {
            workshop.files.remove(path);
            let bare = format!("targets/{}", self.specimen.target);
            workshop.files.insert(bare, original.to_vec());
        });
    }

    /// What is shown to a client that has been there before.
    fn histories(&mut self) {
        for seen in [Seen::Earlier, Seen::Current] {
            self.add_seen(seen, "a valid history", "as it is".into(), |_| ());
        }
        let earlier = Workshop::new(self.specimen.earlier.clone(), &self.specimen.keys);
        // All of it, and each single file of then beside those of now.
        self.add_seen(
            Seen::Current,
            "a rollback",
            "everything".into(),
            |workshop| {
                workshop.files.clone_from(&earlier.files);
            },
        );
        for document in earlier.documents() {
            for seen in [Seen::Current, Seen::Nothing] {
                let what = format!("{} as it was", document.path);
                self.add_seen(seen, "a rollback", what, |workshop| {
                    let bytes = earlier.files[&document.path].clone();
                    workshop.files.insert(document.path.clone(), bytes);
                });
            }
        }
        for (role, delta) in ["timestamp", "snapshot", "targets"]
            .into_iter()
            .flat_map(|role| [-1_i64, 0, 1].map(|delta| (role, delta)))
        {
            let sign_anew = |workshop: &mut Workshop<'_>| {
                let document = workshop.current(role);
                let mut signed = workshop.signed(&document);
                let version = signed["version"].as_i64().expect("a version");
                signed["version"] = json!(version + delta);
                signed["x-changed"] = json!(true);
                workshop.publish(&document, &signed);
            };
            let what = format!("{role} is signed anew, version {delta:+}");
            self.add_seen(Seen::Current, "a version", what.clone(), sign_anew);
            // Where what is above counts up, too, only what is inside tells.
            if role != "timestamp" {
                let what = format!("{what}, those above count up");
                self.add_seen(Seen::Current, "a version", what, |workshop| {
                    sign_anew(workshop);
                    count_up(workshop, &["snapshot", "timestamp"], role);
                });
            }
        }
        let what = "delegated roles disappear";
        self.add_seen(Seen::Current, "a version", what.into(), |workshop| {
            let snapshot = workshop.current("snapshot");
            let mut signed = workshop.signed(&snapshot);
            let version = signed["version"].as_u64().expect("a version");
            signed["version"] = json!(version + 1);
            let meta = signed["meta"]
                .as_object_mut()
                .expect("the files of a snapshot");
            meta.retain(|file, _| file == "targets.json");
            workshop.publish(&snapshot, &signed);
            count_up(workshop, &["timestamp"], "");
        });
    }

    /// Two changes at once: of files that both change, the second one's. Not to hash bins: sigstore-tuf has no word
    /// on those, and of two changes it could not be told which one it means.
    fn pairs(&mut self) {
        if self.specimen.has_bins {
            return;
        }
        let single = self.mutants.len();
        for _ in 0..self.mutator.effort.pairs {
            let numbers = &mut self.mutator.numbers;
            let (first, second) = (numbers.below(single), numbers.below(single));
            let (first, second) = (self.mutants[first].clone(), self.mutants[second].clone());
            let mut changes = first.changes;
            changes.extend(second.changes);
            self.mutants.push(Mutant {
                kind: "two changes",
                what: format!(
                    "{} ({}), and {} ({})",
                    first.what, first.kind, second.what, second.kind
                ),
                // Another first root is another repository, which nobody has seen.
                seen: if changes.contains_key("metadata/1.root.json") {
                    Seen::Nothing
                } else {
                    second.seen
                },
                changes,
            });
        }
    }
}

/// Signs the current files of `roles` with the next version, but `except`.
fn count_up(workshop: &mut Workshop<'_>, roles: &[&str], except: &str) {
    for role in roles.iter().filter(|role| **role != except) {
        let document = workshop.current(role);
        let mut signed = workshop.signed(&document);
        if let Some(version) = signed["version"].as_u64() {
            signed["version"] = json!(version + 1);
        }
        workshop.publish(&document, &signed);
    }
}
