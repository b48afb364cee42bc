//! TypeScript: checks `www`, and makes `webimport.d.ts`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::python_module;
use crate::digest::fingerprint;
use crate::process;
use crate::progress::step;
use crate::rooms::Rooms;
use crate::stamp::Stamp;

/// The files of `www/public` whose declarations make `webimport.d.ts`, in this order.
const PUBLIC: &[&str] = &["api", "index"];

/// Type-checks `www`. The WebAssembly module has to be built, for its types.
pub(crate) fn check(rooms: &Rooms) -> Result<()> {
    step("type-checking www", "", || {
        tsc(rooms, "tsc-check", &["--noEmit", "-p", "www"])
    })
}

/// Type-checks `www` too, and writes the declarations of what `www/public` exports, as one file, into
/// `target/site/webimport.d.ts`.
pub(crate) fn declare(rooms: &Rooms) -> Result<()> {
    let declarations = rooms.site().join("webimport.d.ts");
    let inputs: Vec<PathBuf> = vec![
        rooms.at("www/public"),
        rooms.at("www/internal"),
        rooms.at("www/tsconfig.json"),
        rooms.at("www/package-lock.json"),
        rooms.web().join("webimport.d.ts"),
        python_module::path(rooms),
    ];
    let stamp = Stamp::new(
        rooms.web().join("declared"),
        fingerprint(&inputs, "types 1")?,
    );
    if stamp.is_current(&[&declarations]) {
        return Ok(());
    }
    stamp.clear()?;
    step("making webimport.d.ts", "", || {
        tsc(
            rooms,
            "tsc-declare",
            &[
                "-p",
                "www",
                "--noEmit",
                "false",
                "--declaration",
                "--emitDeclarationOnly",
                "--rootDir",
                "www",
                "--outDir",
                "target/types",
            ],
        )?;
        let mut texts = Vec::new();
        for name in PUBLIC {
            let file = rooms.at(&format!("target/types/public/{name}.d.ts"));
            texts.push(
                std::fs::read_to_string(&file)
                    .with_context(|| format!("cannot read `{}`", file.display()))?,
            );
        }
        std::fs::write(&declarations, joined(&texts)?)
            .with_context(|| format!("cannot write `{}`", declarations.display()))?;
        // What was joined has to stand alone.
        tsc(
            rooms,
            "tsc-joined",
            &[
                "--noEmit",
                "--strict",
                "--lib",
                "es2022,dom",
                "--types",
                "",
                "target/site/webimport.d.ts",
            ],
        )
    })?;
    stamp.write()
}

fn tsc(rooms: &Rooms, log: &str, arguments: &[&str]) -> Result<()> {
    process::quiet(
        rooms,
        log,
        process::command(rooms, rooms.npm_bin("tsc")).args(arguments),
    )
}

/// One declaration file of several that name only each other.
fn joined(texts: &[String]) -> Result<String> {
    let mut joined = String::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let is_between_them = PUBLIC
            .iter()
            .any(|name| line.ends_with(&format!(" from \"./{name}.js\";")));
        if is_between_them || line == "export {};" {
            continue;
        }
        if (line.starts_with("import ") || line.starts_with("export ")) && line.contains(" from \"")
        {
            bail!("`www/public` exports something that its own files do not declare: {line}");
        }
        // A type of the module itself, as `typeof import("./index.js")`.
        joined.push_str(&line.replace("import(\"./index.js\")", "import(\"./webimport.js\")"));
        joined.push('\n');
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_between_the_public_files_are_left_out() {
        let api = "export interface Release {\n}\nexport {};\n".to_owned();
        let index = "import { type Release } from \"./api.js\";\nexport * from \"./api.js\";\nexport declare const a: 1;\n";
        let text = joined(&[api, index.to_owned()]).expect("joins");
        assert_eq!(
            text,
            "export interface Release {\n}\nexport declare const a: 1;\n"
        );
    }

    #[test]
    fn the_module_names_itself_by_its_published_name() {
        let text =
            joined(&["var webimport: typeof import(\"./index.js\");".to_owned()]).expect("joins");
        assert_eq!(text, "var webimport: typeof import(\"./webimport.js\");\n");
    }

    #[test]
    fn an_import_from_another_room_is_refused() {
        assert!(
            joined(&["import type { Host } from \"../internal/host.js\";\n".to_owned()]).is_err()
        );
    }
}
