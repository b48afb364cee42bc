//! Running other programs: quietly with a log, for their output, or streamed line by line.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};

use crate::rooms::Rooms;

/// How many lines of a failed program's log are shown with the error.
const LOG_TAIL: usize = 30;

/// A command that runs in the top folder with our tools first on PATH.
///
/// wasm-pack looks for wasm-bindgen and wasm-opt on PATH and downloads them otherwise.
pub(crate) fn command(rooms: &Rooms, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&rooms.top).env("PATH", path(rooms));
    // What `cargo run` tells us about our own crate is not meant for the programs that we start.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Lets a command that builds and publishes Python projects do so with what set-up installed: build
/// backends from the environment instead of a package index, and bytecode by npm's Pyodide.
pub(crate) fn with_publishing_tools<'a>(
    rooms: &Rooms,
    command: &'a mut Command,
) -> &'a mut Command {
    command
        // pip's name for it is a double negation: 0 is no isolation.
        .env("PIP_NO_BUILD_ISOLATION", "0")
        .env("WEBIMPORT_PYODIDE", rooms.node_modules().join("pyodide"))
}

/// The cargo that runs us, so that toolchain overrides hold.
pub(crate) fn cargo(rooms: &Rooms) -> Command {
    command(
        rooms,
        std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
    )
}

fn path(rooms: &Rooms) -> std::ffi::OsString {
    let ours = [
        rooms.tools_bin(),
        rooms.node_modules().join(".bin"),
        rooms.at("target/tools/venv/bin"),
    ];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let all = ours.into_iter().chain(std::env::split_paths(&inherited));
    // A folder whose name holds `:` cannot be on PATH at all; then PATH stays as it was.
    std::env::join_paths(all).unwrap_or(inherited)
}

/// The first of `names` that is an executable file on PATH.
pub(crate) fn which(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
    })
}

/// What a program wrote to stdout, trimmed; an error if it could not be started or failed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        // A program that was asked for JSON says there what went wrong.
        let said = if output.stderr.is_empty() {
            &output.stdout
        } else {
            &output.stderr
        };
        let said = String::from_utf8_lossy(said);
        bail!("`{shown}` failed ({})\n{}", output.status, said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a program with its output in `target/tools/log/NAME.log`; the log's end is part of the error.
pub(crate) fn quiet(rooms: &Rooms, name: &str, command: &mut Command) -> Result<()> {
    let folder = rooms.tools().join("log");
    std::fs::create_dir_all(&folder)?;
    let log = folder.join(format!("{name}.log"));
    let file =
        std::fs::File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
    let shown = show(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!(
            "`{shown}` failed ({status}); the end of `{}`:\n{}",
            log.display(),
            tail(&log)
        );
    }
    Ok(())
}

/// Runs a program with our own stdin, stdout and stderr. Says whether it succeeded.
pub(crate) fn inherit(command: &mut Command) -> Result<bool> {
    let shown = show(command);
    Ok(command
        .status()
        .with_context(|| format!("cannot run `{shown}`"))?
        .success())
}

/// Runs a program, passes its output on as it comes, and hands each line to `read`, without colours.
/// Says whether it succeeded.
pub(crate) fn stream(command: &mut Command, mut read: impl FnMut(&str)) -> Result<bool> {
    let shown = show(command);
    if std::io::stdout().is_terminal() {
        // The program sees a pipe and would leave its colours away.
        command
            .env("CARGO_TERM_COLOR", "always")
            .env("FORCE_COLOR", "1")
            .env("PY_COLORS", "1");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    let (sender, lines) = mpsc::channel();
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| forward(pipe, Output::Stdout, sender.clone())),
        child
            .stderr
            .take()
            .map(|pipe| forward(pipe, Output::Stderr, sender)),
    ];
    for (output, line) in lines {
        output.write(&line);
        read(&without_colours(&String::from_utf8_lossy(&line)));
    }
    for reader in readers.into_iter().flatten() {
        // A reader that panicked has already ended its channel; the exit status decides.
        let _ = reader.join();
    }
    Ok(child.wait()?.success())
}

#[derive(Clone, Copy)]
enum Output {
    Stdout,
    Stderr,
}

impl Output {
    fn write(self, line: &[u8]) {
        // A closed pipe on our side must not end a test run half-way.
        let _ = match self {
            Self::Stdout => std::io::stdout().write_all(line),
            Self::Stderr => std::io::stderr().write_all(line),
        };
    }
}

fn forward(
    pipe: impl Read + Send + 'static,
    output: Output,
    sender: mpsc::Sender<(Output, Vec<u8>)>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    if sender.send((output, line)).is_err() {
                        break;
                    }
                }
            }
        }
    })
}

fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A control sequence ends with a letter: ESC [ 1 ; 32 m.
            for skipped in characters.by_ref() {
                if skipped.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            text.push(character);
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out_of_a_line() {
        assert_eq!(
            without_colours("test result: \u{1b}[32mok\u{1b}[0m. 3 passed\r\n"),
            "test result: ok. 3 passed"
        );
    }
}
