//! The publisher's half of webimport: what the command `webimport` does, as plain functions.
//!
//! [`repository`] makes a repository and publishes into it, [`release`] turns projects and wheels into a
//! release, [`serve`] serves a repository, [`verify`] checks a published release, [`template`] makes a new
//! project. [`cli`] is the command line around them: the only module that writes to the terminal.
//!
//! Formats, signatures and every rule that a reader applies are in `webimport-core`; nothing here decides what
//! is valid. The time and the observer of a long operation are arguments.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test fails by panicking")
)]

pub mod bytecode;
pub mod cli;
pub mod keys;
pub mod observe;
mod pack;
mod program;
pub mod project;
pub mod release;
pub mod repository;
mod requirement;
pub mod serve;
pub mod storage;
pub mod template;
pub mod verify;
pub mod wheel;
