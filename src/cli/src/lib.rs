//! The publisher's half of webimport: what the command `webimport` does, as plain functions.
//!
//! [`repository`] makes a repository and publishes into it, [`release`] turns projects and wheels into a
//! release, [`snapshot`] adds the memory of a Pyodide that has imported it, [`roots`] changes who signs, [`drafts`] lets several people sign that,
//! [`renew`] signs anew what expires, [`serve`] serves a repository,
//! [`verify`] checks a published release and [`doctor`] a whole repository, [`template`] makes a new project.
//! Keys come from a [`keyring`], and what the publisher last did from its [`memory`]. [`cli`] is the command line
//! around them: the only module that writes to the terminal.
//!
//! Formats, signatures and every rule that a reader applies are in `webimport-core`; nothing here decides what
//! is valid. The time and the observer of a long operation are arguments.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test fails by panicking")
)]

pub mod bytecode;
pub mod cli;
pub mod clock;
pub mod doctor;
pub mod drafts;
mod imports;
pub mod keyring;
pub mod keys;
mod lookup;
pub mod memory;
pub mod observe;
mod pack;
mod parallel;
mod program;
pub mod project;
pub mod release;
pub mod renew;
pub mod repository;
mod requirement;
pub mod roots;
pub mod serve;
mod shards;
pub mod signer_command;
pub mod snapshot;
mod source;
pub mod storage;
pub mod template;
mod together;
pub mod update;
pub mod verify;
pub mod wheel;
