//! Facts about `webimport-core`, each checked from outside, without network, clock or files.
//!
//! [`simulator`] plays the server, the attacker on it, and the client that keeps what it verified.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod config;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod manifest_schema;
#[cfg(test)]
mod metadata_format;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod resolve;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod simulator;
