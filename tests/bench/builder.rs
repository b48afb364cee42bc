//! The builder as people run it: the native program, its time and its memory.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;
use webimport_browser_tests::fixture::Repository;

use crate::numbers::rounded;

/// After that the builder is ended.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often its memory is looked at. The system keeps the peak, so that only what is above it at the very end is missed.
const LOOK: Duration = Duration::from_millis(2);

/// What one release took.
pub(crate) struct Built {
    seconds: f64,
    /// Resident memory in bytes, where `/proc` says it.
    peak: Option<u64>,
    /// Why there is none.
    pub(crate) refused: Option<String>,
}

impl Built {
    pub(crate) fn numbers(&self) -> Value {
        let mut numbers = json!({
            "seconds": rounded(self.seconds, 2),
            "peak_memory": self.peak,
        });
        if let Some(refused) = &self.refused {
            numbers["refused"] = json!(refused);
        }
        numbers
    }
}

/// Releases these wheels as one, without bytecode.
pub(crate) async fn release(
    program: &Path,
    repository: &Repository,
    name: &str,
    version: &str,
    wheels: &[PathBuf],
) -> Built {
    let mut command = Command::new(program);
    command
        .args(["release", "--json", "--bytecode", "off"])
        .args(["--name", name, "--version", version, "--repo"])
        .arg(repository.root())
        .arg("--keys")
        .arg(repository.keys())
        .args(wheels)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let began = Instant::now();
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("could not start `{}`: {error}", program.display()));
    let status = child.id().map(|id| format!("/proc/{id}/status"));
    let mut peak = None;
    let output = {
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
        tokio::pin!(output);
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                output = &mut output => break output,
                _ = looks.tick() => peak = status.as_deref().and_then(peak_memory).or(peak),
            }
        }
    };
    let refused = match output {
        Err(_) => Some(format!("it took longer than {} s", PATIENCE.as_secs())),
        Ok(output) => {
            let output = output.expect("a process that was started ends");
            (!output.status.success()).then(|| said(&output.stdout))
        }
    };
    Built {
        seconds: began.elapsed().as_secs_f64(),
        peak,
        refused,
    }
}

/// The message of an error in JSON, and its code.
fn said(output: &[u8]) -> String {
    let text = || String::from_utf8_lossy(output).into_owned();
    let read = || {
        let said: Value = serde_json::from_slice(output).ok()?;
        let part = |key: &str| Some(said["error"][key].as_str()?.to_owned());
        Some(format!("{} [{}]", part("message")?, part("code")?))
    };
    read().unwrap_or_else(text)
}

/// The high-water mark of resident memory in bytes; `None` once the process has ended.
fn peak_memory(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
