//! Facts about `webimport-core`, each checked from outside, without network, clock or files.
//!
//! [`simulator`] plays the server, the attacker on it, and the client that keeps what it verified.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod closure;
#[cfg(test)]
mod config;
#[cfg(test)]
mod delegated_releases;
#[cfg(test)]
mod delegated_roles;
#[cfg(test)]
mod delegations;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod manifest_schema;
#[cfg(test)]
mod metadata_format;
#[cfg(test)]
mod offline;
#[cfg(test)]
mod other_parser;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod published_flaws;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod resolve;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod shards;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod updates;
