//! The product in real browsers.

mod config;
mod demo_page;
mod fidelity;
mod harness_facts;
mod packages;
mod partial;
mod prefetch;
mod refusals;
mod shards;
mod storage;
mod trust;
mod updates;
mod whole_path;

fn main() {
    let tests = [
        harness_facts::tests(),
        whole_path::tests(),
        refusals::tests(),
        storage::tests(),
        updates::tests(),
        trust::tests(),
        config::tests(),
        packages::tests(),
        partial::tests(),
        prefetch::tests(),
        shards::tests(),
        fidelity::tests(),
        demo_page::tests(),
    ];
    webimport_browser_tests::suite::run(&tests.concat())
}
