//! Published flaws of other TUF clients, one named test for each, with the nearest thing that is to be accepted.
//! What belongs to publishing (the other half of CVE-2026-6968) is among the tests of the command line.

mod paths;
mod searches;
mod shapes;
mod thresholds;
mod versions;

use webimport_core::error::Error;
use webimport_core::metadata::RoleKind;
use webimport_core::repository::Located;

use crate::simulator::{Client, Delegation, Simulator};

const PATH: &str = "mylib/2.0/x";

/// All kinds of role, from the top down.
const ALL: [&str; 5] = ["root", "timestamp", "snapshot", "targets", "a"];

/// A simulator in which `role`, one of [`ALL`], has these keys, from the first root on, and `a` has [`PATH`].
fn with_keys(role: &str, seeds: &[u8], threshold: u64) -> Simulator {
    let mut simulator = Simulator::new();
    simulator.forget_former_root_keys();
    let mut delegation = Delegation::to("a");
    match RoleKind::of(role) {
        Some(kind) => simulator.set_keys(kind, seeds, threshold),
        None => delegation = delegation.keys(seeds, threshold),
    }
    simulator.delegate("targets", delegation);
    simulator.add_target("a", PATH, b"x");
    simulator.rewrite(RoleKind::Root);
    simulator.rewrite_targets();
    simulator
}

/// Refreshes with an empty cache and searches for [`PATH`].
fn find(simulator: &Simulator) -> Result<Option<Located>, Error> {
    Client::new(simulator).find(simulator, PATH)
}
