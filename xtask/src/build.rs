//! Build: the WebAssembly module into `target/web`, and the page's script with it into `target/site`.
//!
//! Each step is skipped when its inputs are those of the last time. Order: the module first, because the
//! script carries its digest and its JavaScript side; then the generated Python module; then the script.

mod command_line;
pub(crate) mod page_script;
mod python_module;
pub(crate) mod snapshots;
mod types;
mod wasm;

use anyhow::Result;

use crate::Outcome;
use crate::progress::note;
use crate::rooms::Rooms;
use crate::setup::{self, Part};

pub(crate) use command_line::{Profile, build as command_line, conformance_client};
pub(crate) use types::check as check_types;
pub(crate) use wasm::{conformance as conformance_module, verifying_core};

/// What `site` needs to be installed.
pub(crate) const PARTS: &[Part] = &[Part::WasmTarget, Part::WasmTools, Part::Npm];

/// `cargo xtask build`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Result<Outcome> {
    if let Some(argument) = arguments.first() {
        return Ok(Outcome::Usage(format!(
            "`build` takes no argument, got `{argument}`"
        )));
    }
    setup::install(rooms, PARTS)?;
    site(rooms)?;
    for name in ["webimport.js", "webimport.wasm", "webimport.d.ts"] {
        let bytes = std::fs::metadata(rooms.site().join(name))?.len();
        note(&format!("target/site/{name}: {bytes} bytes"));
    }
    Ok(Outcome::Done)
}

/// Makes `target/site/webimport.js`, `.wasm` and `.d.ts`.
pub(crate) fn site(rooms: &Rooms) -> Result<()> {
    std::fs::create_dir_all(rooms.site())?;
    wasm::build(rooms)?;
    python_module::generate(rooms)?;
    page_script::bundle(rooms)?;
    types::declare(rooms)
}
