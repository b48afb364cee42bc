//! What a long operation tells while it runs.

use std::path::Path;

/// Something happened.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A stage begins. `total` is in the stage's own unit, 0 where it is not known.
    Stage {
        /// For people: `building mylib`.
        title: &'a str,
        /// Files or bytes.
        unit: Unit,
        /// In `unit`.
        total: u64,
    },
    /// The stage has come so far, in the unit of its stage.
    Progress(u64),
    /// A repository file is being written.
    Write {
        /// The final path.
        path: &'a Path,
        /// How far it is.
        step: WriteStep,
    },
    /// Something the publisher should know; nothing is wrong.
    Note(&'a str),
}

/// What a stage counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Whole files.
    Files,
    /// Bytes.
    Bytes,
}

/// The steps of writing one file. A process that is killed at any of them leaves the old state or the new. Of objects,
/// which are written together, each step is told of all before the next one is of any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteStep {
    /// Nothing is there yet.
    Start,
    /// The bytes are on disk under a temporary name.
    Temporary,
    /// The file has its name.
    Done,
}

/// Who is told.
pub trait Observer {
    /// Called on the thread that works; a slow observer slows the work.
    fn event(&self, event: Event<'_>);
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}
