//! Updates: how to make bytes of a release out of those of an earlier one, so that readers of that one transfer what
//! changed.
//!
//! An update is no authority. What it makes is used only where signed metadata, or a manifest that they name, state its
//! digest and size; so all that a wrong update can do is to make nothing. docs/format.md
//! describes the file: the length of the header in four bytes, the header, and the literal bytes. A reader whose bytes
//! are elsewhere than in this module's memory gives it the header alone, and copies by what it says.
//!
//! Ordering: the digest of the file as transferred, its decompression, [`Update::parse`], then the parts of one output,
//! source by source. No output is larger than it says, all outputs together have a limit, and no part is outside of its
//! source, whose size and digest a reader checks first.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use crate::digest::{Expected, Sha256Digest};
use crate::error::{Fault, VerifyError};
use crate::fields::{self, Fields};
use crate::json::{self, Object, Value};
use crate::limits::Limits;
use crate::manifest::{Encoding, ObjectEntry};
use crate::map::{Map, sorted};
use crate::metadata::Other;

/// The value of `format`.
const FORMAT: &str = "webimport-update/1";

/// Updates that metadata may name for one release.
pub const MAX_UPDATES: usize = 8;

/// Bytes in front of the header, which say its length, the least significant first.
pub const PREFIX: u32 = 4;

/// An update as signed metadata names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateEntry {
    /// The manifest of the release that it starts from.
    pub from: Sha256Digest,
    object: ObjectEntry,
    other: Other,
}

impl UpdateEntry {
    /// An update that is stored as `object`, with gzip.
    pub fn new(from: Sha256Digest, object: ObjectEntry) -> Self {
        Self {
            from,
            object,
            other: Other::new(),
        }
    }

    /// The file.
    ///
    /// # Errors
    /// [`VerifyError::TooLarge`].
    pub fn object(&self, limits: &Limits) -> Result<&ObjectEntry, VerifyError> {
        for (size, limit) in [
            (self.object.size, limits.update),
            (self.object.decoded_size, limits.update_decoded),
        ] {
            if size > limit {
                let subject = self.object.path();
                return Err(VerifyError::TooLarge { subject, limit });
            }
        }
        Ok(&self.object)
    }

    pub(crate) fn read(mut fields: Fields) -> Result<Self, Fault> {
        Ok(Self {
            from: fields.parsed("from")?,
            object: ObjectEntry {
                sha256: fields.parsed("sha256")?,
                size: fields.number("size")?,
                encoding: Encoding::Gzip,
                decoded_size: fields.number("decoded_size")?,
                decoded_sha256: fields.parsed("decoded_sha256")?,
                tag: None,
            },
            other: fields.rest(),
        })
    }

    pub(crate) fn write(&self) -> Value {
        let mut object = self.other.clone();
        for (name, digest) in [
            ("from", self.from),
            ("sha256", self.object.sha256),
            ("decoded_sha256", self.object.decoded_sha256),
        ] {
            object.insert(name.into(), Value::String(digest.to_string()));
        }
        object.insert("size".into(), self.object.size.into());
        object.insert("decoded_size".into(), self.object.decoded_size.into());
        Value::Object(object)
    }
}

/// Bytes that a reader of the earlier release may have, or their place in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Of all of them, decoded.
    pub sha256: Sha256Digest,
    /// In bytes.
    pub size: u32,
}

impl Source {
    /// What the bytes must be.
    pub fn expected(&self) -> Expected {
        Expected {
            subject: format!("{}, which an update starts from", self.sha256),
            length: Some(self.size.into()),
            sha256: self.sha256,
        }
    }
}

/// Where a part is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The literal bytes of the update.
    Literals,
    /// A source, by its index.
    Source(usize),
}

/// A range of an output. It is not empty, and inside of what it is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Where it is taken from.
    pub origin: Origin,
    /// Where it begins there, in bytes.
    pub offset: u32,
    /// In bytes.
    pub length: u32,
}

impl Part {
    /// Where it ends in what it is taken from, in bytes.
    pub fn end(&self) -> u32 {
        self.offset.saturating_add(self.length)
    }
}

/// Bytes that can be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Output {
    /// In bytes: those of all its parts.
    pub size: u32,
    /// One behind the other.
    pub parts: Vec<Part>,
}

impl Output {
    /// The parts, those of one origin together, and where in the output each of them goes.
    pub fn by_origin(&self) -> Vec<(Part, u32)> {
        let mut at = 0_u32;
        let mut placed = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            placed.push((*part, at));
            at = at.saturating_add(part.length);
        }
        sorted(placed)
    }
}

/// The header of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What it starts from.
    pub sources: Vec<Source>,
    /// What it makes, by digest.
    pub outputs: Map<Sha256Digest, Output>,
}

impl Update {
    /// Where the header of an update of `size` bytes ends, which begins with `prefix`, and the literals begin.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`], [`VerifyError::TooLarge`].
    pub fn header_end(
        prefix: [u8; PREFIX as usize],
        size: u64,
        subject: &str,
        limits: &Limits,
    ) -> Result<u32, VerifyError> {
        let header = u32::from_le_bytes(prefix);
        if u64::from(header) > limits.update_header {
            return Err(VerifyError::TooLarge {
                subject: subject.to_owned(),
                limit: limits.update_header,
            });
        }
        let end = header.checked_add(PREFIX);
        end.filter(|end| u64::from(*end) <= size).ok_or_else(|| {
            Fault::new(format_args!(
                "expected a header of {header} bytes, got {size} bytes in all"
            ))
            .of(subject)
        })
    }

    /// Reads the header of an update with so many `literals` (bytes).
    ///
    /// # Errors
    /// [`VerifyError::Malformed`], [`VerifyError::TooLarge`].
    pub fn parse(
        header: &[u8],
        literals: u64,
        subject: &str,
        limits: &Limits,
    ) -> Result<Self, VerifyError> {
        let value = json::parse(header, subject)?;
        let update = Self::read(value, literals, limits).map_err(|fault| fault.of(subject))?;
        let made = update.outputs.values();
        let made = made.fold(0_u64, |sum, output| sum.saturating_add(output.size.into()));
        if made > limits.release_decoded {
            return Err(VerifyError::TooLarge {
                subject: subject.to_owned(),
                limit: limits.release_decoded,
            });
        }
        Ok(update)
    }

    fn read(value: Value, literals: u64, limits: &Limits) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let format = fields.text("format")?;
        if format != FORMAT {
            return Err(Fault::new(format_args!(
                "expected the format `{FORMAT}`, got `{format}`"
            )));
        }
        let sources = fields::items(fields.required("sources")?, |mut fields| {
            Ok(Source {
                sha256: fields.parsed("sha256")?,
                size: small(&fields.required("size")?)?,
            })
        })?;
        let mut outputs = Vec::new();
        let mut left = limits.update_parts;
        let mut read = 0_u64;
        for output in fields.list("outputs")? {
            let mut fields = Fields::of(output)?;
            let sha256: Sha256Digest = fields.parsed("sha256")?;
            let size = small(&fields.required("size")?)?;
            let numbers = fields.list("parts")?;
            left = left.checked_sub(numbers.len() / 3).ok_or_else(|| {
                Fault::new(format_args!(
                    "expected at most {} parts",
                    limits.update_parts
                ))
            })?;
            let parts = read_parts(&numbers, &sources, literals)?;
            read = read.saturating_add(bytes_read(&parts, &sources));
            if read > limits.release_decoded {
                return Err(Fault::new(format_args!(
                    "expected sources of at most {} bytes, counted for each output",
                    limits.release_decoded
                )));
            }
            let made = parts.iter().map(|part| u64::from(part.length)).sum::<u64>();
            if made != u64::from(size) {
                return Err(Fault::new(format_args!(
                    "expected parts of {size} bytes for {sha256}, got {made}"
                )));
            }
            outputs.push((sha256, Output { size, parts }));
        }
        let outputs = sorted(outputs);
        if outputs
            .windows(2)
            .any(|pair| matches!(pair, [(a, _), (b, _)] if a == b))
        {
            return Err(Fault::new(format_args!("an output is repeated")));
        }
        Ok(Self {
            sources,
            outputs: Map::from_sorted(outputs),
        })
    }

    /// The whole file, before it is compressed.
    pub fn to_bytes(&self, literals: &[u8]) -> Vec<u8> {
        let number = |number: u32| Value::from(u64::from(number));
        let text = |digest: Sha256Digest| Value::String(digest.to_string());
        let sources = self.sources.iter().map(|source| {
            Value::Object(Object::from([
                ("sha256".to_owned(), text(source.sha256)),
                ("size".to_owned(), number(source.size)),
            ]))
        });
        let outputs = self.outputs.iter().map(|(sha256, output)| {
            let parts = output.parts.iter().flat_map(|part| {
                let origin = match part.origin {
                    Origin::Literals => 0,
                    Origin::Source(index) => index as u64 + 1,
                };
                [origin.into(), number(part.offset), number(part.length)]
            });
            Value::Object(Object::from([
                ("parts".to_owned(), Value::Array(parts.collect())),
                ("sha256".to_owned(), text(*sha256)),
                ("size".to_owned(), number(output.size)),
            ]))
        });
        let header = json::canonical(&Value::Object(Object::from([
            ("format".to_owned(), FORMAT.into()),
            ("outputs".to_owned(), Value::Array(outputs.collect())),
            ("sources".to_owned(), Value::Array(sources.collect())),
        ])));
        // A header beyond 4 GiB is one that no reader takes, whatever its prefix says.
        let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes(), header.as_slice(), literals].concat()
    }
}

/// An update whose bytes are all in memory.
#[derive(Debug, Clone)]
pub struct Whole<'a> {
    /// Its header.
    pub update: Update,
    literals: &'a [u8],
}

impl<'a> Whole<'a> {
    /// Reads a whole file, decompressed.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`], [`VerifyError::TooLarge`].
    pub fn parse(bytes: &'a [u8], subject: &str, limits: &Limits) -> Result<Self, VerifyError> {
        let short = || Fault::new(format_args!("expected the length of a header")).of(subject);
        let (prefix, _) = bytes.split_first_chunk().ok_or_else(short)?;
        let end = Update::header_end(*prefix, bytes.len() as u64, subject, limits)?;
        let (head, literals) = bytes.split_at_checked(end as usize).ok_or_else(short)?;
        let header = head.get(PREFIX as usize..).ok_or_else(short)?;
        Ok(Self {
            update: Update::parse(header, literals.len() as u64, subject, limits)?,
            literals,
        })
    }

    /// Makes the bytes that are expected out of sources, which `bytes_of` gives; `None` if it lacks one of them, or if
    /// the update does not say how.
    ///
    /// # Errors
    /// [`VerifyError::Length`] and [`VerifyError::Digest`] of a source or of what was made.
    pub fn make<'b>(
        &self,
        expected: &Expected,
        mut bytes_of: impl FnMut(&Source) -> Option<&'b [u8]>,
    ) -> Result<Option<Vec<u8>>, VerifyError> {
        let Some(output) = self.update.outputs.get(&expected.sha256) else {
            return Ok(None);
        };
        // Before there is memory for it.
        expected.check_length(output.size.into())?;
        let mut made = vec![0; output.size as usize];
        let placed = output.by_origin();
        for parts in placed.chunk_by(|(one, _), (other, _)| one.origin == other.origin) {
            let Some((Part { origin, .. }, _)) = parts.first() else {
                continue;
            };
            let bytes = match origin {
                Origin::Literals => self.literals,
                Origin::Source(index) => {
                    let Some(source) = self.update.sources.get(*index) else {
                        return Ok(None);
                    };
                    let Some(bytes) = bytes_of(source) else {
                        return Ok(None);
                    };
                    source.expected().check_bytes(bytes)?;
                    bytes
                }
            };
            for (part, at) in parts {
                let at = *at as usize;
                let from = bytes.get(part.offset as usize..part.end() as usize);
                let to = made.get_mut(at..at + part.length as usize);
                // Both are there, by the sizes that were checked.
                if let (Some(from), Some(to)) = (from, to) {
                    to.copy_from_slice(from);
                }
            }
        }
        expected.check_bytes(&made)?;
        Ok(Some(made))
    }
}

/// The sizes of all sources that an output is made of, each of which is read and hashed for it.
fn bytes_read(parts: &[Part], sources: &[Source]) -> u64 {
    let mut origins = sorted(parts.iter().map(|part| part.origin).collect());
    origins.dedup();
    let sizes = origins.iter().map(|origin| match origin {
        Origin::Literals => 0,
        Origin::Source(index) => sources.get(*index).map_or(0, |source| source.size.into()),
    });
    sizes.fold(0, u64::saturating_add)
}

/// Three numbers for each part: its origin, 0 for the literals and from 1 on a source; offset and length.
fn read_parts(numbers: &[Value], sources: &[Source], literals: u64) -> Result<Vec<Part>, Fault> {
    let (triples, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(Fault::new(format_args!(
            "expected three numbers for each part"
        )));
    }
    let mut parts = Vec::with_capacity(triples.len());
    for [origin, offset, length] in triples {
        let number = fields::number(origin)?;
        let (origin, size) = match number.checked_sub(1) {
            None => (Origin::Literals, literals),
            Some(index) => usize::try_from(index)
                .ok()
                .and_then(|index| Some((Origin::Source(index), sources.get(index)?.size.into())))
                .ok_or_else(|| Fault::new(format_args!("there is no source {number}")))?,
        };
        let (offset, length) = (small(offset)?, small(length)?);
        if length == 0 || u64::from(offset) + u64::from(length) > size {
            return Err(Fault::new(format_args!(
                "expected a part inside of {size} bytes, got {length} from {offset} on"
            )));
        }
        parts.push(Part {
            origin,
            offset,
            length,
        });
    }
    Ok(parts)
}

/// A size or offset: no object is larger.
fn small(value: &Value) -> Result<u32, Fault> {
    let number = fields::number(value)?;
    u32::try_from(number)
        .map_err(|_| Fault::new(format_args!("expected less than 4 GiB, got {number}")))
}
