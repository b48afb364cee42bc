//! Bytecode for a release: finds an interpreter and lets it compile the sources in one batch.
//!
//! The same script runs in CPython and, through Node, in Pyodide. The sources are compiled, never run. What
//! does not compile is left without bytecode and fails where it would fail without: at its import.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use webimport_core::error::Coded;
use webimport_core::names::CacheTag;

use crate::observe::{Event, Observer, Unit};
use crate::program;

/// The cache tag that `auto` looks for: that of the main Pyodide release line.
pub const MAIN_TAG: &str = "cpython-314";

const SCRIPT: &str = include_str!("../assets/compile.py");
const PYODIDE_SCRIPT: &str = include_str!("../assets/compile.mjs");

/// Names under which a Python is looked for on `PATH`.
const PYTHON_NAMES: [&str; 3] = ["python3.14", "python3", "python"];

/// Whether and how a release gets bytecode.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BytecodeChoice {
    /// For [`MAIN_TAG`], by what this machine has; without, if it has nothing.
    #[default]
    Auto,
    /// None.
    Off,
    /// By these interpreters, each for its own tag. A folder that holds `pyodide.mjs` is a Pyodide.
    Interpreters(Vec<PathBuf>),
}

impl BytecodeChoice {
    /// Reads what a command line or a project says: `auto`, `off`, or interpreters, several with commas or as
    /// several values.
    ///
    /// # Errors
    /// A reason, if `auto` or `off` stand beside other values, or a value is empty.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let values: Vec<&str> = values
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        match values[..] {
            ["auto"] => Ok(Self::Auto),
            ["off"] => Ok(Self::Off),
            _ if values.is_empty() || values.contains(&"") => {
                Err("expected `auto`, `off` or an interpreter, got nothing".into())
            }
            _ if values.contains(&"auto") || values.contains(&"off") => {
                Err("expected `auto` and `off` alone, got them beside other values".into())
            }
            _ => Ok(Self::Interpreters(
                values.into_iter().map(PathBuf::from).collect(),
            )),
        }
    }
}

/// Before the path in a code object's file name, where the release has no source: tracebacks say so.
pub(crate) const NO_SOURCE: &str = "<no source>/";

/// Whether a release has the sources that its bytecode is compiled from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceChoice {
    /// It has them.
    #[default]
    Included,
    /// It has bytecode in their place.
    LeftOut,
}

/// Bytecode cannot be made as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BytecodeError {
    /// The interpreter that was asked for does not run, or fails.
    #[error("`{interpreter}` does not compile the release: {reason}")]
    Interpreter {
        /// As given.
        interpreter: String,
        /// What happened.
        reason: String,
    },
    /// Two of the interpreters that were asked for have the same tag.
    #[error("`{interpreter}` has the cache tag `{tag}`, which another interpreter has too")]
    SameTag {
        /// The second one.
        interpreter: String,
        /// The tag.
        tag: CacheTag,
    },
    /// The folder for the work cannot be used.
    #[error("cannot use a temporary folder for compiling: {0}")]
    Io(#[from] io::Error),
}

impl Coded for BytecodeError {
    fn code(&self) -> &'static str {
        "publish.bytecode"
    }

    fn hint(&self) -> String {
        match self {
            Self::Interpreter { .. } => {
                "give a Python 3.8 or later, or a folder with npm's `pyodide` package, or use `--bytecode off`"
            }
            Self::SameTag { .. } => "give one interpreter for each cache tag",
            Self::Io(_) => "check the space and the permissions of the temporary folder",
        }
        .into()
    }
}

/// The bytecode of one tag.
#[derive(Debug)]
pub(crate) struct Bytecode {
    pub(crate) tag: CacheTag,
    /// What made it, for people: `CPython 3.14.2`.
    pub(crate) made_by: String,
    /// Path of the pyc inside the release to content.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Path of the source to reason.
    pub(crate) failed: BTreeMap<String, String>,
}

/// Compiles the Python sources among `files`. `pyodide` is the folder of npm's package, if the caller named
/// one.
pub(crate) fn compile(
    choice: &BytecodeChoice,
    pyodide: Option<&Path>,
    source: SourceChoice,
    files: &BTreeMap<String, Vec<u8>>,
    observer: &dyn Observer,
) -> Result<Vec<Bytecode>, BytecodeError> {
    let sources: Vec<(&str, &[u8])> = files
        .iter()
        .filter(|(path, _)| cache_path(path, MAIN_TAG).is_some())
        .map(|(path, content)| (&**path, &**content))
        .collect();
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let job = Job {
        sources: &sources,
        prefix: match source {
            SourceChoice::Included => "",
            SourceChoice::LeftOut => NO_SOURCE,
        },
        observer,
    };
    match choice {
        BytecodeChoice::Off => Ok(Vec::new()),
        BytecodeChoice::Auto => Ok(job.auto(pyodide)?.into_iter().collect()),
        BytecodeChoice::Interpreters(paths) => {
            let mut all: Vec<Bytecode> = Vec::new();
            for path in paths {
                let interpreter = Interpreter::given(path)?;
                let bytecode = job.run(&interpreter, None)?;
                if all.iter().any(|other| other.tag == bytecode.tag) {
                    return Err(BytecodeError::SameTag {
                        interpreter: interpreter.shown(),
                        tag: bytecode.tag,
                    });
                }
                all.push(bytecode);
            }
            Ok(all)
        }
    }
}

/// `DIR/__pycache__/STEM.TAG.pyc` for `DIR/STEM.py`; `None` if `path` is no source.
pub(crate) fn cache_path(path: &str, tag: &str) -> Option<String> {
    let (folder, file) = match path.rsplit_once('/') {
        Some((folder, file)) => (format!("{folder}/"), file),
        None => (String::new(), path),
    };
    let stem = file.strip_suffix(".py").filter(|stem| !stem.is_empty())?;
    (!folder.ends_with("__pycache__/")).then(|| format!("{folder}__pycache__/{stem}.{tag}.pyc"))
}

#[derive(Debug)]
enum Interpreter {
    Python(PathBuf),
    Pyodide { node: PathBuf, package: PathBuf },
}

impl Interpreter {
    /// One that was asked for by name.
    fn given(path: &Path) -> Result<Self, BytecodeError> {
        if path.join("pyodide.mjs").is_file() {
            return Self::pyodide(path);
        }
        // A bare name is looked for on `PATH` by the system.
        Ok(Self::Python(path.to_owned()))
    }

    fn pyodide(package: &Path) -> Result<Self, BytecodeError> {
        let fail = |reason: &str| BytecodeError::Interpreter {
            interpreter: program::shown(package),
            reason: reason.to_owned(),
        };
        if !package.join("pyodide.mjs").is_file() {
            return Err(fail("it has no `pyodide.mjs`"));
        }
        let node = program::find("node").ok_or_else(|| fail("`node` is not on PATH"))?;
        // Node resolves relative paths against another folder.
        let package = std::path::absolute(package)?;
        Ok(Self::Pyodide { node, package })
    }

    fn shown(&self) -> String {
        match self {
            Self::Python(path) | Self::Pyodide { package: path, .. } => program::shown(path),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Python(_) => "CPython",
            Self::Pyodide { .. } => "Pyodide's CPython",
        }
    }
}

/// What the script reports.
#[derive(Deserialize)]
struct Report {
    tag: String,
    python: String,
    #[serde(rename = "final")]
    is_final: bool,
    failed: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Request<'a> {
    tag: Option<&'a str>,
    prefix: &'a str,
    paths: Vec<&'a str>,
}

struct Job<'a> {
    sources: &'a [(&'a str, &'a [u8])],
    prefix: &'static str,
    observer: &'a dyn Observer,
}

impl Job<'_> {
    /// By what this machine has for [`MAIN_TAG`]; `None`, and a note, if that is nothing.
    fn auto(&self, pyodide: Option<&Path>) -> Result<Option<Bytecode>, BytecodeError> {
        if let Some(package) = pyodide {
            // Named by the caller, so that a failure is one.
            return self
                .run(&Interpreter::pyodide(package)?, Some(MAIN_TAG))
                .map(Some);
        }
        for name in PYTHON_NAMES {
            let Some(python) = program::find(name) else {
                continue;
            };
            let probe =
                "import sys; print(sys.implementation.cache_tag, sys.version_info.releaselevel)";
            // The bytecode of a pre-release may have the tag of the final one and another magic number.
            if program::output(program::python(&python).args(["-c", probe]))
                .is_some_and(|answer| answer == format!("{MAIN_TAG} final"))
            {
                return self
                    .run(&Interpreter::Python(python), Some(MAIN_TAG))
                    .map(Some);
            }
        }
        let without = |reason: &str| {
            self.observer.event(Event::Note(&format!(
                "no bytecode for {MAIN_TAG}: {reason}; readers will compile the sources at each start"
            )));
            Ok(None)
        };
        let Some(node) = program::find("node") else {
            return without("neither Python 3.14 nor Node is on PATH");
        };
        let Some(package) = program::npm_package(&node, "pyodide") else {
            return without(
                "Python 3.14 is not on PATH, and Node finds no `pyodide` package (see --pyodide)",
            );
        };
        match self.run(&Interpreter::Pyodide { node, package }, Some(MAIN_TAG)) {
            Ok(bytecode) => Ok(Some(bytecode)),
            Err(BytecodeError::Interpreter {
                interpreter,
                reason,
            }) => without(&format!("`{interpreter}`: {reason}")),
            Err(error) => Err(error),
        }
    }

    fn run(&self, interpreter: &Interpreter, tag: Option<&str>) -> Result<Bytecode, BytecodeError> {
        let fail = |reason: String| BytecodeError::Interpreter {
            interpreter: interpreter.shown(),
            reason,
        };
        let folder = tempfile::tempdir()?;
        let job = folder.path();
        fs::create_dir(job.join("in"))?;
        fs::create_dir(job.join("out"))?;
        // Files are known by number, so that no path of the release is a path of this machine.
        for (index, (_, source)) in self.sources.iter().enumerate() {
            fs::write(job.join("in").join(index.to_string()), source)?;
        }
        let request = Request {
            tag,
            prefix: self.prefix,
            paths: self.sources.iter().map(|(path, _)| *path).collect(),
        };
        fs::write(
            job.join("job.json"),
            serde_json::to_vec(&request).map_err(io::Error::from)?,
        )?;
        fs::write(job.join("compile.py"), SCRIPT)?;

        let mut command = match interpreter {
            Interpreter::Python(python) => {
                let mut command = program::python(python);
                command.arg(job.join("compile.py")).arg(job);
                command
            }
            Interpreter::Pyodide { node, package } => {
                fs::write(job.join("compile.mjs"), PYODIDE_SCRIPT)?;
                let mut command = Command::new(node);
                command.arg(job.join("compile.mjs")).arg(package).arg(job);
                command
            }
        };
        let title = format!("compiling with {}", interpreter.kind());
        let total = self.sources.len() as u64;
        self.observer.event(Event::Stage {
            title: &title,
            unit: Unit::Files,
            total,
        });
        let ended = program::run(&mut command, |line| {
            if let Some(done) = line
                .strip_prefix("compiled ")
                .and_then(|done| done.parse().ok())
            {
                self.observer.event(Event::Progress(done));
            }
        })
        .map_err(|error| fail(format!("it does not run: {error}")))?;
        if !ended.success {
            return Err(fail(format!("it failed\n{}", ended.tail)));
        }
        self.observer.event(Event::Progress(total));

        let report = fs::read(job.join("result.json"))?;
        let report: Report = serde_json::from_slice(&report)
            .map_err(|error| fail(format!("its report: {error}")))?;
        if let Some(tag) = tag
            && (report.tag != tag || !report.is_final)
        {
            let kind = if report.is_final {
                ""
            } else {
                " (a pre-release)"
            };
            return Err(fail(format!(
                "expected the cache tag {tag}, got {}{kind}",
                report.tag
            )));
        }
        let tag: CacheTag = report
            .tag
            .parse()
            .map_err(|error| fail(format!("its cache tag: {error}")))?;
        let mut files = BTreeMap::new();
        for (index, (path, _)) in self.sources.iter().enumerate() {
            if report.failed.contains_key(*path) {
                continue;
            }
            let content = fs::read(job.join("out").join(index.to_string()))?;
            if let Some(target) = cache_path(path, tag.as_str()) {
                files.insert(target, content);
            }
        }
        let made_by = format!("{} {}", interpreter.kind(), report.python);
        Ok(Bytecode {
            tag,
            made_by,
            files,
            failed: report.failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Silent;

    #[test]
    fn choices_are_auto_off_or_interpreters() {
        assert_eq!(BytecodeChoice::parse(["auto"]), Ok(BytecodeChoice::Auto));
        assert_eq!(BytecodeChoice::parse(["off"]), Ok(BytecodeChoice::Off));
        let two = BytecodeChoice::Interpreters(vec!["python3.13".into(), "/opt/python".into()]);
        assert_eq!(
            BytecodeChoice::parse(["python3.13", "/opt/python"]).as_ref(),
            Ok(&two)
        );
        assert_eq!(BytecodeChoice::parse(["python3.13, /opt/python"]), Ok(two));
        for bad in [&["off", "python3"][..], &["auto,off"], &[""], &["python3,"]] {
            assert!(
                BytecodeChoice::parse(bad.iter().copied()).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn bytecode_stands_beside_its_source() {
        assert_eq!(
            cache_path("a/b.py", "t").as_deref(),
            Some("a/__pycache__/b.t.pyc")
        );
        assert_eq!(
            cache_path("a.b.py", "t").as_deref(),
            Some("__pycache__/a.b.t.pyc")
        );
        for other in [
            "a/b.pyi",
            "a/.py",
            "a/py",
            "__pycache__/a.py",
            "a/__pycache__/b.py",
        ] {
            assert_eq!(cache_path(other, "t"), None, "{other}");
        }
    }

    #[test]
    fn an_interpreter_compiles_to_unchecked_hash_based_bytecode_every_time_the_same() {
        let works =
            |python: &PathBuf| program::output(Command::new(python).arg("--version")).is_some();
        let Some(python) = program::find("python3").filter(works) else {
            program::skipped("no Python is on PATH");
            return;
        };
        let files = BTreeMap::from([
            ("a/good.py".to_owned(), b"x = 1 in {1, 'b', 'c'}\n".to_vec()),
            ("a/bad.py".to_owned(), b"def (\n".to_vec()),
            ("a/data.txt".to_owned(), b"def (\n".to_vec()),
        ]);
        let choice = BytecodeChoice::Interpreters(vec![python]);
        let run = || {
            compile(&choice, None, SourceChoice::Included, &files, &Silent)
                .unwrap()
                .pop()
                .unwrap()
        };
        let (first, second) = (run(), run());
        assert_eq!(first.files, second.files);
        assert_eq!(first.failed.keys().collect::<Vec<_>>(), ["a/bad.py"]);
        let path = format!("a/__pycache__/good.{}.pyc", first.tag);
        assert_eq!(first.files.keys().collect::<Vec<_>>(), [&path]);
        // PEP 552: bit 0 hash-based, bit 1 checked.
        assert_eq!(first.files[&path][4..8], [1, 0, 0, 0]);
        let text = String::from_utf8_lossy(&first.files[&path]).into_owned();
        assert!(
            text.contains("a/good.py"),
            "the file name is the path inside the release"
        );
    }

    #[test]
    fn an_interpreter_that_does_not_run_is_refused() {
        let files = BTreeMap::from([("a.py".to_owned(), Vec::new())]);
        let choice = BytecodeChoice::Interpreters(vec!["no-program-has-this-name".into()]);
        assert!(matches!(
            compile(&choice, None, SourceChoice::Included, &files, &Silent),
            Err(BytecodeError::Interpreter { .. })
        ));
    }
}
