//! The WebAssembly module beside Pyodide: it fetches, has `webimport-core` verify, keeps and hands over.
//!
//! The only room that names `web-sys` and `js-sys`. It decides nothing about trust: [`driver`] asks core for
//! the next step and does the I/O. Bytes of objects stay in JavaScript's memory from the network or the cache
//! to the mount; only metadata and manifests are copied into the module.
//!
//! | module | does |
//! | --- | --- |
//! | `fetch` | bounded HTTP requests |
//! | `timer` | the time, and pauses |
//! | `concurrent` | futures that run at once |
//! | `store` | the cache in `IndexedDB`, or in memory |
//! | `bytes` | hashing and decompression by the platform |
//! | `gzip` | decompression at once |
//! | `unicode` | case and normal forms by the platform |
//! | `driver` | the steps of a load |
//! | `objects` | the objects of a release, from the cache or the network |
//! | `prefetch` | loads before there is a Python |
//! | `request` | what the facade asks for |
//! | `files` | what of a loaded release comes later |
//! | `snapshot` | memory snapshots of releases and of Pyodide alone |
//! | `exports` | the border to JavaScript |
//! | `bare` | what the standard library would bring |

#![cfg(target_arch = "wasm32")]
#![cfg_attr(feature = "bare", no_std)]

extern crate alloc;

#[cfg(feature = "bare")]
mod bare;
mod bytes;
mod concurrent;
mod driver;
mod exports;
mod fetch;
mod files;
mod gzip;
mod objects;
mod prefetch;
mod request;
mod shards;
mod snapshot;
mod store;
mod timer;
mod unicode;
mod update;

pub use exports::{Client, Files};

#[cfg(test)]
#[path = "../../tests/wasm/mod.rs"]
mod tests;
