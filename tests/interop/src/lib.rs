//! The interoperability test room: repositories and clients of python-tuf and sigstore-tuf, beside ours.
//!
//! [`repositories`] has valid repositories, published by webimport and by python-tuf. [`clients`] lets each of the
//! three clients fetch a target from files in memory. [`mutants`] changes a valid repository in many ways, from
//! flipped bits to what a thief of a key could sign, and [`verdict`] compares what the three make of it.
//!
//! The other implementations are witnesses in tests and part of nothing that is shipped. Nothing leaves the machine.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test harness reports by panicking"
)]

pub mod clients;
pub mod files;
pub mod mutants;
mod provider;
pub mod python;
pub mod repositories;
pub mod verdict;
pub mod wheel;
pub mod workshop;

pub use clients::{Load, Outcome};
pub use files::{Changes, Files};
pub use repositories::Specimen;
