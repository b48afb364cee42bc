//! A project folder: its `[tool.webimport]` settings, and its wheel, built by its own build backend.
//!
//! The backend works on a copy, so that what it leaves behind (`build/`, `*.egg-info`) is not left in the
//! user's folder, and what an earlier build left there does not get into the wheel. Building runs the
//! project's code, as every Python build does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use webimport_core::error::Coded;
use webimport_core::names::{Channel, ReleaseName};

use crate::bytecode::BytecodeChoice;
use crate::observe::{Event, Observer, Unit};
use crate::program;

/// `[tool.webimport]` in `pyproject.toml`. What it does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The release's name.
    pub name: Option<ReleaseName>,
    /// The channel that names a new release.
    pub channel: Option<Channel>,
    /// Whether and how it gets bytecode.
    pub bytecode: Option<BytecodeChoice>,
    /// The modules that readers of a partial release take when they name none; empty if it does not say.
    pub entry: Vec<String>,
    /// Whether a memory snapshot is made of each release.
    pub snapshot: Option<bool>,
}

/// A project cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// Neither a project nor a wheel.
    #[error("`{}` is neither a wheel nor a folder with `pyproject.toml`", path.display())]
    NoSource {
        /// As given.
        path: PathBuf,
    },
    /// `pyproject.toml` cannot be used.
    #[error("`{}`: {reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Expected and then got.
        reason: String,
    },
    /// A key that no version has: likely a typing error.
    #[error("`{}`: unknown key `{key}` in `[tool.webimport]`", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// No program that could build it.
    #[error("`{}` cannot be built: neither Python with pip nor uv is on PATH", path.display())]
    NoBuilder {
        /// The project.
        path: PathBuf,
    },
    /// The build failed.
    #[error("`{}` cannot be built: `{builder}` says\n{output}", path.display())]
    Build {
        /// The project.
        path: PathBuf,
        /// The program.
        builder: &'static str,
        /// The last lines that it wrote.
        output: String,
    },
    /// Files cannot be read or copied.
    #[error("cannot copy `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl Coded for ProjectError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSource { .. } => "publish.no_source",
            Self::Settings { .. } => "config.invalid",
            Self::UnknownKey { .. } => "config.unknown_key",
            Self::NoBuilder { .. } | Self::Build { .. } | Self::Io { .. } => "publish.build",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NoSource { .. } => {
                "give the project's folder, or a file whose name ends in `.whl`"
            }
            Self::Settings { .. } => "correct the value in `pyproject.toml`",
            Self::UnknownKey { .. } => "known keys: name, channel, bytecode, entry, snapshot",
            Self::NoBuilder { .. } => "install pip or uv, or give a wheel that was built elsewhere",
            Self::Build { .. } => "the project has to build with `pip wheel --no-deps .` first",
            Self::Io { .. } => "check the permissions, and the space of the temporary folder",
        }
        .into()
    }
}

/// Reads `[tool.webimport]` of the project in `folder`.
///
/// # Errors
/// [`ProjectError::NoSource`], [`ProjectError::Settings`], [`ProjectError::UnknownKey`].
pub fn settings(folder: &Path) -> Result<Settings, ProjectError> {
    let path = folder.join("pyproject.toml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(ProjectError::NoSource {
                path: folder.to_owned(),
            });
        }
        Err(source) => return Err(ProjectError::Io { path, source }),
    };
    let invalid = |reason: String| ProjectError::Settings {
        path: path.clone(),
        reason,
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        invalid(format!("line {line}: {}", error.message()))
    })?;
    let Some(own) = table.get("tool").and_then(|tool| tool.get("webimport")) else {
        return Ok(Settings::default());
    };
    let own = own
        .as_table()
        .ok_or_else(|| invalid("expected `[tool.webimport]` to be a table".into()))?;

    let mut settings = Settings::default();
    for (key, value) in own {
        let text = || {
            value
                .as_str()
                .ok_or_else(|| invalid(format!("expected `{key}` to be a string")))
        };
        match key.as_str() {
            "name" => {
                settings.name = Some(
                    text()?
                        .parse()
                        .map_err(|error| invalid(format!("{error}")))?,
                );
            }
            "channel" => {
                settings.channel = Some(
                    text()?
                        .parse()
                        .map_err(|error| invalid(format!("{error}")))?,
                );
            }
            "bytecode" => {
                let values: Option<Vec<&str>> = match value {
                    toml::Value::Array(values) => values.iter().map(toml::Value::as_str).collect(),
                    other => other.as_str().map(|value| vec![value]),
                };
                let values = values.ok_or_else(|| {
                    invalid(format!(
                        "expected `{key}` to be a string or a list of strings"
                    ))
                })?;
                let choice = BytecodeChoice::parse(values)
                    .map_err(|reason| invalid(format!("`{key}`: {reason}")))?;
                settings.bytecode = Some(choice);
            }
            "entry" => {
                let modules = value.as_array().and_then(|values| {
                    let modules = values
                        .iter()
                        .map(|module| module.as_str().map(str::to_owned));
                    modules.collect::<Option<Vec<_>>>()
                });
                settings.entry = modules
                    .ok_or_else(|| invalid(format!("expected `{key}` to be a list of strings")))?;
            }
            "snapshot" => {
                let choice = value.as_bool();
                settings.snapshot = Some(
                    choice
                        .ok_or_else(|| invalid(format!("expected `{key}` to be true or false")))?,
                );
            }
            _ => {
                return Err(ProjectError::UnknownKey {
                    path: path.clone(),
                    key: key.clone(),
                });
            }
        }
    }
    Ok(settings)
}

/// A wheel in a temporary folder that goes away with it.
#[derive(Debug)]
pub(crate) struct BuiltWheel {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

/// Builds the wheel of the project in `folder`.
pub(crate) fn build(folder: &Path, observer: &dyn Observer) -> Result<BuiltWheel, ProjectError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ProjectError::Io { path, source }
    };
    let real = folder.canonicalize().map_err(io(folder))?;
    let title = format!(
        "building {}",
        real.file_name().unwrap_or_default().to_string_lossy()
    );
    observer.event(Event::Stage {
        title: &title,
        unit: Unit::Files,
        total: 0,
    });

    let (name, mut command) = builder().ok_or_else(|| ProjectError::NoBuilder {
        path: folder.to_owned(),
    })?;
    let temporary = tempfile::tempdir().map_err(io(Path::new("temporary folder")))?;
    // Some backends name things after the folder.
    let copy = temporary
        .path()
        .join("source")
        .join(real.file_name().unwrap_or("project".as_ref()));
    copy_folder(&real, &copy, &real)?;
    let output = temporary.path().join("wheel");
    fs::create_dir(&output).map_err(io(&output))?;
    command.arg(&output).arg(&copy).current_dir(&copy);
    let failed = |output: String| ProjectError::Build {
        path: folder.to_owned(),
        builder: name,
        output,
    };
    let ended = program::run(&mut command, |_| ()).map_err(|error| failed(error.to_string()))?;
    if !ended.success {
        return Err(failed(ended.tail));
    }
    let mut wheels = Vec::new();
    for entry in fs::read_dir(&output).map_err(io(&output))? {
        let path = entry.map_err(io(&output))?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            wheels.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(wheels) {
        Ok([path]) => Ok(BuiltWheel {
            _folder: temporary,
            path,
        }),
        Err(wheels) => Err(failed(format!("expected one wheel, got {}", wheels.len()))),
    }
}

/// A command that builds a wheel, ready for the output folder and the project.
fn builder() -> Option<(&'static str, Command)> {
    for name in ["python3", "python"] {
        let Some(python) = program::find(name) else {
            continue;
        };
        if program::output(Command::new(&python).args(["-m", "pip", "--version"])).is_some() {
            let mut command = Command::new(python);
            // The release runs on another Python than this one, so this one's version says nothing.
            command.args([
                "-m",
                "pip",
                "wheel",
                "--no-deps",
                "--no-input",
                "--ignore-requires-python",
            ]);
            command.args(["--disable-pip-version-check", "--quiet", "--wheel-dir"]);
            return Some(("pip wheel", command));
        }
    }
    let uv = program::find("uv")?;
    let mut command = Command::new(uv);
    command.args(["build", "--wheel", "--no-progress", "--out-dir"]);
    Some(("uv build", command))
}

/// Folders that no build needs and that may be large.
const LEFT_OUT: [&str; 10] = [
    "__pycache__",
    "node_modules",
    ".venv",
    "venv",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
];

/// Copies a folder. `.git` goes along: some backends read the version from it.
fn copy_folder(from: &Path, to: &Path, project: &Path) -> Result<(), ProjectError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ProjectError::Io { path, source }
    };
    fs::create_dir_all(to).map_err(io(to))?;
    for entry in fs::read_dir(from).map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(io(&path))?;
        if kind.is_symlink() {
            copy_link(&path, &target, project)?;
        } else if kind.is_dir() {
            if !is_left_out(&path, project) {
                copy_folder(&path, &target, project)?;
            }
        } else if kind.is_file() {
            fs::copy(&path, &target).map_err(io(&path))?;
        }
    }
    Ok(())
}

fn is_left_out(folder: &Path, project: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    LEFT_OUT.contains(&&*name)
        || name.ends_with(".egg-info")
        // What setuptools left there would get into the wheel. A package may be called so, too.
        || (name == "build"
            && folder.parent() == Some(project)
            && !folder.join("__init__.py").exists()
            && folder.join("lib").is_dir())
}

/// A link inside the project stays one; one that leads out is made to lead to the same place.
#[cfg(unix)]
fn copy_link(path: &Path, target: &Path, project: &Path) -> Result<(), ProjectError> {
    let io = |source| ProjectError::Io {
        path: path.to_owned(),
        source,
    };
    let written = fs::read_link(path).map_err(io)?;
    let destination = match path.canonicalize() {
        Ok(real) if written.is_absolute() || !real.starts_with(project) => real,
        // Also a link that leads nowhere.
        _ => written,
    };
    std::os::unix::fs::symlink(destination, target).map_err(io)
}

#[cfg(not(unix))]
fn copy_link(path: &Path, target: &Path, project: &Path) -> Result<(), ProjectError> {
    if path.is_dir() {
        return copy_folder(path, target, project);
    }
    fs::copy(path, target)
        .map(drop)
        .map_err(|source| ProjectError::Io {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(toml: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pyproject.toml"), toml).unwrap();
        folder
    }

    #[test]
    fn settings_are_read_and_unknown_keys_refused() {
        let folder = project(
            "[tool.webimport]\nname = \"a\"\nchannel = \"next\"\nbytecode = [\"python3.13\"]\nentry = [\"a.b\"]\nsnapshot = true\n",
        );
        let settings = settings(folder.path()).unwrap();
        assert_eq!(settings.name.unwrap().as_str(), "a");
        assert_eq!(settings.channel.unwrap().as_str(), "next");
        assert_eq!(
            settings.bytecode,
            Some(BytecodeChoice::Interpreters(vec!["python3.13".into()]))
        );

        assert_eq!(settings.entry, ["a.b"]);
        assert_eq!(settings.snapshot, Some(true));

        assert_eq!(
            super::settings(project("[project]\n").path()).unwrap(),
            Settings::default()
        );
        let refused = |toml: &str| super::settings(project(toml).path()).unwrap_err().code();
        assert_eq!(
            refused("[tool.webimport]\nnames = \"a\"\n"),
            "config.unknown_key"
        );
        assert_eq!(
            refused("[tool.webimport]\nname = \"A/b\"\n"),
            "config.invalid"
        );
        assert_eq!(refused("[tool.webimport]\nname = 1\n"), "config.invalid");
        assert_eq!(
            refused("[tool.webimport]\nbytecode = [1]\n"),
            "config.invalid"
        );
        assert_eq!(
            refused("[tool.webimport]\nsnapshot = \"yes\"\n"),
            "config.invalid"
        );
        for entry in ["\"a\"", "[1]", "{}"] {
            let toml = format!("[tool.webimport]\nentry = {entry}\n");
            assert_eq!(refused(&toml), "config.invalid");
        }
        assert_eq!(refused("[tool]\nwebimport = 1\n"), "config.invalid");
        assert_eq!(refused("[tool"), "config.invalid");
        assert_eq!(
            super::settings(Path::new("no-such-folder"))
                .unwrap_err()
                .code(),
            "publish.no_source"
        );
    }

    #[test]
    fn what_earlier_builds_left_is_not_copied() {
        let folder = project("");
        let root = folder.path().canonicalize().unwrap();
        for file in [
            "src/a/__init__.py",
            "src/a/build/lib/x.py",
            "src/a.egg-info/PKG-INFO",
            "src/a/__pycache__/a.pyc",
            "build/lib/a/old.py",
            ".venv/bin/python",
            ".git/HEAD",
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let target = tempfile::tempdir().unwrap();
        copy_folder(&root, &target.path().join("copy"), &root).unwrap();
        let there = |path: &str| target.path().join("copy").join(path).exists();
        for kept in [
            "pyproject.toml",
            "src/a/__init__.py",
            "src/a/build/lib/x.py",
            ".git/HEAD",
        ] {
            assert!(there(kept), "{kept}");
        }
        for left in ["src/a.egg-info", "src/a/__pycache__", "build", ".venv"] {
            assert!(!there(left), "{left}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_keep_their_meaning() {
        let (folder, outside) = (project(""), tempfile::tempdir().unwrap());
        let root = folder.path().canonicalize().unwrap();
        fs::write(outside.path().join("LICENSE"), "text").unwrap();
        std::os::unix::fs::symlink(outside.path().join("LICENSE"), root.join("LICENSE")).unwrap();
        std::os::unix::fs::symlink("pyproject.toml", root.join("inside")).unwrap();
        std::os::unix::fs::symlink(".", root.join("loop")).unwrap();
        let target = tempfile::tempdir().unwrap();
        let copy = target.path().join("copy");
        copy_folder(&root, &copy, &root).unwrap();
        assert_eq!(fs::read_to_string(copy.join("LICENSE")).unwrap(), "text");
        assert_eq!(
            fs::read_link(copy.join("inside")).unwrap(),
            Path::new("pyproject.toml")
        );
        assert_eq!(fs::read_link(copy.join("loop")).unwrap(), Path::new("."));
    }
}
