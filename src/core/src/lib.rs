//! Verification and resolution of webimport releases, without I/O.
//!
//! Bytes, limits and the current time come in as arguments; what comes out is the next step: fetch this
//! file, at most so many bytes; store that; done. The WebAssembly module and the command line drive the
//! same steps, so what a browser accepts is what `webimport verify` accepts.
//!
//! Absent on purpose: clocks, randomness, sockets, files, threads, JavaScript. Nothing here needs `Send`.
//!
//! The flow: [`config`] and [`resolve`] say what is asked for and whom to trust, [`workflow`] walks the
//! TUF metadata (specification 1.0, section 5) through [`trust`], [`manifest`] reads the release that the
//! metadata names, to which [`shards`] add what it does not list itself, [`closure`] says which objects of it are
//! needed; [`snapshot`] reads what describes a memory snapshot of it. Only this crate makes a
//! [`trust::Verified`].

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod closure;
pub mod config;
pub mod delegations;
mod der;
pub mod digest;
pub mod error;
pub mod fields;
pub mod json;
pub mod keys;
pub mod limits;
pub mod manifest;
pub mod map;
pub mod metadata;
pub mod names;
pub mod path;
pub mod repository;
pub mod resolve;
pub mod shards;
#[cfg(feature = "sign")]
pub mod sign;
pub mod snapshot;
pub mod time;
pub mod trust;
pub mod update;
pub mod url;
pub mod workflow;
