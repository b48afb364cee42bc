//! What a page downloads before it can load anything.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use webimport_browser_tests::tools;

use crate::compressed::{brotli, gzip};

/// The wasm module, and the script as what is JavaScript in it and what is Python; beside them the script as it is
/// downloaded, as two parts compress better together.
pub(crate) fn measure(site: &Path) -> Value {
    let script = String::from_utf8(read(&site.join("webimport.js"))).expect("a script is text");
    let python = python_sources();
    json!({
        "wasm": lengths(&read(&site.join("webimport.wasm"))),
        "javascript": lengths(without(&script, &python).as_bytes()),
        "python": lengths(python.concat().as_bytes()),
        "script": lengths(script.as_bytes()),
    })
}

/// The part that has a limit. Brotli's best level takes its time in an unoptimized build.
pub(crate) fn measure_module(site: &Path) -> Value {
    json!({"wasm": {"gzip": gzip(&read(&site.join("webimport.wasm")))}})
}

fn lengths(bytes: &[u8]) -> Value {
    json!({"raw": bytes.len(), "gzip": gzip(bytes), "brotli": brotli(bytes)})
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("cannot read `{}`: {error}", path.display()))
}

/// The modules of the Python package, which `cargo xtask build` puts into the script.
fn python_sources() -> Vec<String> {
    let folder = tools::workspace().join("src/python/webimport");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the Python package")
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| String::from_utf8(read(path)).expect("Python in UTF-8"))
        .collect()
}

/// The script with an empty text in place of each of these.
fn without(script: &str, texts: &[String]) -> String {
    texts.iter().fold(script.to_owned(), |script, text| {
        // The bundler takes the shortest.
        let cut = ["`", "'", "\""].iter().find_map(|quote| {
            let (before, after) = script.split_once(&literal(text, quote))?;
            Some(format!("{before}{quote}{quote}{after}"))
        });
        cut.unwrap_or_else(|| {
            panic!(
                "`webimport.js` has no module that begins with {:?}; run `cargo xtask build`",
                text.lines().next()
            )
        })
    })
}

/// The text as JavaScript has it between such quotes.
fn literal(text: &str, quote: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace(quote, &format!("\\{quote}"));
    let escaped = match quote {
        "`" => escaped.replace("${", "\\${"),
        _ => escaped.replace('\n', "\\n"),
    };
    format!("{quote}{escaped}{quote}")
}
