//! The fuzz targets, each for a moment: seeds that have to be accepted or refused, then inputs that libfuzzer
//! makes of them.
//!
//! The targets are built by the toolchain that builds everything else: without a sanitizer, cargo-fuzz asks
//! for nothing unstable, and a sanitizer finds nothing in a program without `unsafe`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};

use super::counts::Counts;
use crate::process;
use crate::progress::note;
use crate::rooms::Rooms;

/// New inputs for each target, the same ones in each run: what fails here fails for what was changed, and not by
/// chance. To search further, run the program of a target without these limits.
const INPUTS: u32 = 300_000;

/// Seconds after which a slow target gets no more of them.
const SECONDS: u32 = 5;

/// Seconds that one input may take.
const TIMEOUT: u32 = 10;

/// What the targets read; see `tests/fuzz/src/lib.rs`.
const EXPECT: &str = "WEBIMPORT_FUZZ_EXPECT";

/// How the names of seeds begin, and what their target has to answer.
const SEEDS: [(&str, &str); 2] = [("valid-", "accepted"), ("nearly-", "refused")];

/// Builds and runs all targets, as many at once as there are processors.
pub(crate) fn run(rooms: &Rooms, counts: &mut Counts) -> Result<()> {
    let targets = Targets::build(rooms)?;
    let work = Mutex::new(VecDeque::from(targets.names.clone()));
    let next = || work.lock().ok()?.pop_front();
    let found = Mutex::new(Counts::default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let result = targets.run(&name);
                    match &result {
                        Ok(inputs) => note(&format!("{name}: {inputs} inputs")),
                        Err(error) => note(&format!("error: {name}: {error:#}")),
                    }
                    if let Ok(mut found) = found.lock() {
                        found.add(Counts::of(result.is_ok()));
                    }
                }
            });
        }
    });
    if let Ok(found) = found.into_inner() {
        counts.add(found);
    }
    Ok(())
}

/// The built targets.
struct Targets<'a> {
    rooms: &'a Rooms,
    /// Where the programs are.
    programs: PathBuf,
    names: Vec<String>,
}

impl<'a> Targets<'a> {
    fn build(rooms: &'a Rooms) -> Result<Self> {
        let fuzz = |command: &str| {
            let mut cargo = process::cargo(rooms);
            cargo.args(["fuzz", command, "--fuzz-dir", "tests/fuzz"]);
            cargo
        };
        let host = host(rooms)?;
        let built = process::stream(
            fuzz("build")
                .args(["--sanitizer", "none", "--target", &host, "--target-dir"])
                .arg(rooms.at("target/fuzz")),
            |_| {},
        )?;
        if !built {
            bail!("the fuzz targets cannot be built");
        }
        let names = process::output(&mut fuzz("list"))?;
        Ok(Self {
            rooms,
            programs: rooms.at("target/fuzz").join(host).join("release"),
            names: names.lines().map(str::to_owned).collect(),
        })
    }

    /// Runs one target and says how many inputs it had.
    fn run(&self, name: &str) -> Result<u64> {
        let seeds = self.rooms.at("tests/fuzz/seeds").join(name);
        for (prefix, expected) in SEEDS {
            let files = files(&seeds, prefix)?;
            if files.is_empty() {
                bail!("no seed in `{}` begins with `{prefix}`", seeds.display());
            }
            self.libfuzzer(name, files.into_iter().map(OsString::from), Some(expected))?;
        }
        let crashes = self.rooms.at("target/fuzz/artifacts").join(name);
        let found = self.rooms.at("target/fuzz/found").join(name);
        // What an earlier run found would change what this one makes of the seeds.
        if found.is_dir() {
            fs::remove_dir_all(&found)
                .with_context(|| format!("cannot remove `{}`", found.display()))?;
        }
        for folder in [&crashes, &found] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        let mut prefix = OsString::from("-artifact_prefix=");
        prefix.push(crashes.join(""));
        let mut words = OsString::from("-dict=");
        words.push(self.rooms.at("tests/fuzz/words.dict"));
        let arguments = [
            "-seed=1".into(),
            format!("-runs={INPUTS}").into(),
            format!("-max_total_time={SECONDS}").into(),
            format!("-timeout={TIMEOUT}").into(),
            "-print_final_stats=1".into(),
            prefix,
            words,
            // libfuzzer writes what it finds into the first folder.
            found.into(),
            seeds.into(),
        ];
        let said = self.libfuzzer(name, arguments, None)?;
        executed(&said).context("it did not say how many inputs it had")
    }

    /// Runs a target's program; what it wrote if it ended well.
    fn libfuzzer(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = OsString>,
        expected: Option<&str>,
    ) -> Result<String> {
        let scratch = scratch(name);
        fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make `{}`", scratch.display()))?;
        let program = self.programs.join(name);
        let mut command = process::command(self.rooms, &program);
        command.args(arguments).env("TMPDIR", &scratch);
        match expected {
            Some(expected) => command.env(EXPECT, expected),
            None => command.env_remove(EXPECT),
        };
        let output = command.output();
        fs::remove_dir_all(&scratch)
            .with_context(|| format!("cannot remove `{}`", scratch.display()))?;
        let output = output.with_context(|| format!("cannot run `{}`", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        let expectation = expected.map_or(String::new(), |it| format!("{EXPECT}={it} "));
        let again = input(&said).map_or_else(
            || "it left no input behind".to_owned(),
            |input| {
                format!(
                    "to run it again: {expectation}{} {input}",
                    program.display()
                )
            },
        );
        bail!("{}\n{}\n{again}", output.status, report(&said));
    }
}

/// A folder for the files of a target that reads files: in memory where the system has that, as a disk would
/// slow it down a hundredfold.
fn scratch(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    base.join(format!("webimport-fuzz-{}-{name}", std::process::id()))
}

/// The target triple of this machine.
fn host(rooms: &Rooms) -> Result<String> {
    let said = process::output(process::command(rooms, "rustc").arg("-vV"))?;
    said.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("`rustc -vV` names no host")
}

fn files(folder: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read `{}`", folder.display()))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// `stat::number_of_executed_units: 1019103`.
fn executed(said: &str) -> Option<u64> {
    said.lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .and_then(|number| number.trim().parse().ok())
}

/// The file with the input of a failure: written by libfuzzer, or the seed that it ran last.
fn input(said: &str) -> Option<&str> {
    let written = said.lines().find_map(|line| {
        line.split_once("Test unit written to ")
            .map(|(_, file)| file)
    });
    let seed = || {
        let mut lines = said.lines().rev();
        lines.find_map(|line| line.strip_prefix("Running: "))
    };
    written.or_else(seed)
}

/// The lines of a failure, without libfuzzer's progress and the stack.
fn report(said: &str) -> String {
    let from = said
        .lines()
        .position(|line| line.contains(" panicked at ") || line.contains("ERROR: libFuzzer"));
    let lines = said.lines().skip(from.unwrap_or(0));
    let lines: Vec<&str> = lines
        .take_while(|line| !line.starts_with("stack backtrace"))
        .take(20)
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const CRASH: &str = "INFO: Seed: 1\n\
        #2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 27Mb\n\
        thread '<unnamed>' (7) panicked at targets/json.rs:9:5:\n\
        broken\n\
        stack backtrace:\n   0: main\n\
        ==7== ERROR: libFuzzer: deadly signal\n\
        artifact_prefix='/t/'; Test unit written to /t/crash-1\n";

    #[test]
    fn a_crash_names_its_input_and_its_message() {
        assert_eq!(input(CRASH), Some("/t/crash-1"));
        assert_eq!(
            report(CRASH),
            "thread '<unnamed>' (7) panicked at targets/json.rs:9:5:\nbroken"
        );
        let seeds = "Running: a\nExecuted a in 0 ms\nRunning: b\nthread 'x' panicked at y";
        assert_eq!(input(seeds), Some("b"));
        assert_eq!(input("INFO: Seed: 1"), None);
    }

    #[test]
    fn the_number_of_inputs_is_read() {
        assert_eq!(
            executed("Done\nstat::number_of_executed_units: 12\n"),
            Some(12)
        );
        assert_eq!(executed(CRASH), None);
    }

    /// Packages and their versions.
    fn packages(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for package in lock.split("[[package]]\n").skip(1) {
            let field = |key: &str| {
                let mut lines = package.lines();
                lines.find_map(|line| line.strip_prefix(key)?.strip_suffix('"'))
            };
            if let (Some(name), Some(version)) = (field("name = \""), field("version = \"")) {
                found.entry(name).or_default().insert(version);
            }
        }
        found
    }

    #[test]
    fn what_is_fuzzed_is_what_is_shipped() {
        let rooms = Rooms::find().expect("the repository is there");
        let read = |path: &str| fs::read_to_string(rooms.at(path)).expect("it can be read");
        let (own, fuzz) = (read("Cargo.lock"), read("tests/fuzz/Cargo.lock"));
        let (own, fuzz) = (packages(&own), packages(&fuzz));
        assert!(fuzz.contains_key("serde_json"));
        for (name, versions) in fuzz {
            let own = own.get(name);
            assert!(
                own.is_none_or(|own| own.is_superset(&versions)),
                "{name}: expected {own:?} in tests/fuzz/Cargo.lock, got {versions:?}"
            );
        }
    }
}
