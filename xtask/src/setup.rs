//! Set-up: finds what is missing and installs it under `target/tools`.
//!
//! Each part looks first at what is there, by version, and says and does nothing when it is right. Rust
//! (rustup's), Node 20 and Python 3.11 have to be there beforehand; nothing here installs those.

mod browsers;
mod cargo_tools;
mod conformance;
mod fuzz;
mod jupyterlite;
mod npm;
mod python;
mod sdists;
mod wasm_target;
mod wheels;

use anyhow::{Context, Result};

pub(crate) use browsers::Browsers;
pub(crate) use cargo_tools::CargoTool;
pub(crate) use conformance::install as conformance;
pub(crate) use jupyterlite::make as make_jupyterlite_pyodide;
pub(crate) use wheels::wheel;

use crate::Outcome;
use crate::rooms::Rooms;

/// A separable part of the set-up. Parts that need another come after it in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The `wasm32-unknown-unknown` target of the Rust toolchain.
    WasmTarget,
    /// wasm-pack and the wasm-bindgen that `Cargo.lock` asks for.
    WasmTools,
    /// cargo-deny.
    Deny,
    /// cargo-fuzz, and a C++ compiler.
    Fuzz,
    /// geckodriver.
    Geckodriver,
    /// Pyodide, binaryen, esbuild, typescript and Node 24.
    Npm,
    /// Chromium with its driver, and Firefox.
    Browsers,
    /// The Python environment of `requirements.txt`.
    Venv,
    /// The wheels of `wheels.txt`.
    Wheels,
    /// The source distributions of `sdists.txt`.
    Sdists,
    /// The Pyodide folder for a JupyterLite site.
    Jupyterlite,
}

impl Part {
    pub(crate) const ALL: [Self; 11] = [
        Self::WasmTarget,
        Self::WasmTools,
        Self::Deny,
        Self::Fuzz,
        Self::Geckodriver,
        Self::Npm,
        Self::Browsers,
        Self::Venv,
        Self::Wheels,
        Self::Sdists,
        Self::Jupyterlite,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::WasmTarget => "wasm-target",
            Self::WasmTools => "wasm-tools",
            Self::Deny => "deny",
            Self::Fuzz => "fuzz",
            Self::Geckodriver => "geckodriver",
            Self::Npm => "npm",
            Self::Browsers => "browsers",
            Self::Venv => "venv",
            Self::Wheels => "wheels",
            Self::Sdists => "sdists",
            Self::Jupyterlite => "jupyterlite",
        }
    }

    fn install(self, rooms: &Rooms) -> Result<()> {
        match self {
            Self::WasmTarget => wasm_target::install(rooms),
            Self::WasmTools => {
                CargoTool::WasmPack.install(rooms)?;
                CargoTool::WasmBindgen.install(rooms)
            }
            Self::Deny => CargoTool::CargoDeny.install(rooms),
            Self::Fuzz => fuzz::install(rooms),
            Self::Geckodriver => CargoTool::Geckodriver.install(rooms),
            Self::Npm => npm::install(rooms),
            Self::Browsers => browsers::install(rooms),
            Self::Venv => python::install(rooms),
            Self::Wheels => wheels::install(rooms),
            Self::Sdists => sdists::install(rooms),
            Self::Jupyterlite => make_jupyterlite_pyodide(rooms),
        }
        .with_context(|| format!("set-up of `{}` failed", self.name()))
    }
}

/// `cargo xtask setup [PART…]`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Result<Outcome> {
    let mut parts = Vec::new();
    for argument in arguments {
        let Some(part) = Part::ALL.into_iter().find(|part| part.name() == argument) else {
            let names: Vec<&str> = Part::ALL.iter().map(|part| part.name()).collect();
            return Ok(Outcome::Usage(format!(
                "unknown part `{argument}`, expected one of: {}",
                names.join(" ")
            )));
        };
        parts.push(part);
    }
    if parts.is_empty() {
        parts.extend(Part::ALL);
    }
    install(rooms, &parts)?;
    Ok(Outcome::Done)
}

/// Installs the named parts and what they need, each once.
pub(crate) fn install(rooms: &Rooms, parts: &[Part]) -> Result<()> {
    let needs = |part: Part| -> &'static [Part] {
        match part {
            Part::Wheels | Part::Sdists => &[Part::Venv],
            Part::Jupyterlite => &[Part::Npm, Part::Venv, Part::Wheels],
            _ => &[],
        }
    };
    for part in Part::ALL {
        if parts
            .iter()
            .any(|&wanted| wanted == part || needs(wanted).contains(&part))
        {
            part.install(rooms)?;
        }
    }
    Ok(())
}
