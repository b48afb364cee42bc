//! The attacks that TUF's specification names (1.0.34, section 1.5.2), a module for each, every one beside the
//! nearest thing that is none.

mod arbitrary_software;
mod endless_data;
mod extraneous_dependencies;
mod fast_forward;
mod indefinite_freeze;
mod key_compromise;
mod malicious_mirror;
mod mix_and_match;
mod rollback;
mod slow_retrieval;
mod wrong_software;
