//! What an update makes out of the cache: the manifest of a release, and its objects as they are asked for.
//!
//! The update itself comes like an object and is not kept: what it makes is. Its literals and all that is copied stay in
//! JavaScript's memory. Whatever it does not make, for want of a source or because something about it is wrong, is fetched
//! whole; nobody has to know but for the warning.

use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};

use js_sys::Uint8Array;
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Error, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::update::{Origin, PREFIX, Part, Update, UpdateEntry};

use crate::bytes;
use crate::objects::{Objects, Watch};

/// The update of one load, if there is one.
#[derive(Default)]
pub(crate) struct Updating {
    current: OnceCell<Current>,
    trouble: RefCell<Option<Error>>,
}

struct Current {
    update: Update,
    literals: Uint8Array,
}

impl Updating {
    /// What was wrong with it. Since then it makes nothing.
    pub(crate) fn trouble(&self) -> Option<Error> {
        self.trouble.borrow().clone()
    }

    /// The digests of what it makes, in whole or in part, out of these sources, which are in order.
    pub(crate) fn made_of(&self, used: &[Sha256Digest]) -> Vec<Sha256Digest> {
        let Some(Current { update, .. }) = self.current.get() else {
            return Vec::new();
        };
        let is_used = |part: &Part| match part.origin {
            Origin::Literals => false,
            Origin::Source(index) => update
                .sources
                .get(index)
                .is_some_and(|source| used.binary_search(&source.sha256).is_ok()),
        };
        let outputs = update.outputs.iter();
        let made = outputs.filter(|(_, output)| output.parts.iter().any(is_used));
        made.map(|(sha256, _)| *sha256).collect()
    }
}

impl Objects {
    /// Fetches an update, out of which [`make`](Self::make) makes what it can.
    pub(crate) async fn update(&self, entry: &UpdateEntry, limits: &Limits, watch: &Watch<'_>) {
        let started = async {
            let entry = entry.object(limits)?;
            let bytes = self.download(entry, watch).await?;
            let current = Current::parse(&bytes, &entry.path(), limits)?;
            // The first one stays: a load has one.
            let _ = self.updating.current.set(current);
            Ok(())
        };
        if let Err(error) = started.await {
            self.give_up(error);
        }
    }

    /// Bytes that the update makes out of what is in the cache, verified.
    pub(crate) async fn make(&self, expected: &Expected, watch: &Watch<'_>) -> Option<Uint8Array> {
        let current = self.updating.current.get()?;
        if self.updating.trouble.borrow().is_some() {
            return None;
        }
        let made = self.assemble(current, expected, watch).await;
        made.unwrap_or_else(|error| {
            self.give_up(error);
            None
        })
    }

    async fn assemble(
        &self,
        current: &Current,
        expected: &Expected,
        watch: &Watch<'_>,
    ) -> Result<Option<Uint8Array>, Error> {
        let Some(output) = current.update.outputs.get(&expected.sha256) else {
            return Ok(None);
        };
        // Before there is memory for it.
        expected.check_length(output.size.into())?;
        let made = bytes::allocate(output.size.into(), &expected.subject)?;
        let placed = output.by_origin();
        for parts in placed.chunk_by(|(one, _), (other, _)| one.origin == other.origin) {
            let Some((Part { origin, .. }, _)) = parts.first() else {
                continue;
            };
            let source = match origin {
                Origin::Literals => Some(current.literals.clone()),
                Origin::Source(index) => match current.update.sources.get(*index) {
                    Some(source) => self.look(&source.expected(), watch).await?,
                    None => None,
                },
            };
            let Some(source) = source else {
                return Ok(None);
            };
            // No part ends behind its source, whose length was checked, nor behind all parts together.
            for (part, at) in parts {
                made.set(&source.subarray(part.offset, part.end()), *at);
            }
        }
        bytes::check(expected, &made).await?;
        Ok(Some(made))
    }

    fn give_up(&self, error: Error) {
        self.updating.trouble.borrow_mut().get_or_insert(error);
    }
}

impl Current {
    fn parse(bytes: &Uint8Array, subject: &str, limits: &Limits) -> Result<Self, VerifyError> {
        let size = bytes.length();
        let mut prefix = [0; PREFIX as usize];
        let start = bytes.subarray(0, PREFIX);
        if start.length() == PREFIX {
            start.copy_to(&mut prefix);
        }
        let end = Update::header_end(prefix, size.into(), subject, limits)?;
        let header = bytes.subarray(PREFIX, end).to_vec();
        let literals = bytes.subarray(end, size);
        Ok(Self {
            update: Update::parse(&header, literals.length().into(), subject, limits)?,
            literals,
        })
    }
}
