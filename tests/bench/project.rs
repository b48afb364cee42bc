//! A project of any size: packages of ten modules, a hundred packages to a team.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use webimport_browser_tests::wheel::write_wheel;

/// Its name, and that of its top-level package.
pub(crate) const NAME: &str = "acme";

/// Of a package, its `__init__` among them.
const MODULES: u32 = 10;
const PACKAGES_OF_A_TEAM: u32 = 100;

/// Functions of a module, which make it 1.9 KB long: ten thousand modules are more than readers fetch at once.
const FUNCTIONS: u32 = 14;

/// Packages of a wheel: the builder takes no wheel of more than 100,000 files. Several make one release.
const PACKAGES_OF_A_WHEEL: u32 = 5_000;

/// A project of so many modules, not counting the empty ones of its teams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Project {
    pub(crate) modules: u32,
}

/// Which state of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    First,
    /// With one module changed.
    Changed,
}

impl State {
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::First => "1.0",
            Self::Changed => "1.1",
        }
    }
}

impl Project {
    fn packages(self) -> u32 {
        self.modules / MODULES
    }

    /// The package that is imported, from the middle.
    fn imported(self) -> u32 {
        self.packages() / 2
    }

    /// Its dotted name.
    pub(crate) fn imported_name(self) -> String {
        folder(self.imported()).replace('/', ".")
    }

    /// A cell that imports that package, and fails unless all of its modules have run.
    pub(crate) fn import(self) -> String {
        let sum: u32 = (1..MODULES).sum();
        format!(
            "import {name}\nassert {name}.TOTAL == {sum}",
            name = self.imported_name()
        )
    }

    /// Writes its wheels into this folder.
    pub(crate) fn wheels(self, state: State, into: &Path) -> Vec<PathBuf> {
        let wheels = self.packages().div_ceil(PACKAGES_OF_A_WHEEL);
        (0..wheels)
            .map(|wheel| {
                let first = wheel * PACKAGES_OF_A_WHEEL;
                let end = self.packages().min(first + PACKAGES_OF_A_WHEEL);
                let files: Vec<_> = self.files(state, first..end).into_iter().collect();
                let name = format!("{NAME}-{wheel}");
                write_wheel(into, &name, state.version(), &files)
            })
            .collect()
    }

    fn files(self, state: State, packages: std::ops::Range<u32>) -> BTreeMap<String, String> {
        let mut files = BTreeMap::from([(format!("{NAME}/__init__.py"), String::new())]);
        for package in packages {
            files.insert(format!("{}/__init__.py", team(package)), String::new());
            for module in 0..MODULES {
                let mut text = text(package, module);
                if state == State::Changed && package == self.imported() && module == 1 {
                    text.push_str("\n\nCHANGED = True\n");
                }
                files.insert(format!("{}/{}.py", folder(package), stem(module)), text);
            }
        }
        files
    }
}

fn team(package: u32) -> String {
    format!("{NAME}/team_{:02}", package / PACKAGES_OF_A_TEAM)
}

fn folder(package: u32) -> String {
    format!("{}/lib_{:02}", team(package), package % PACKAGES_OF_A_TEAM)
}

fn stem(module: u32) -> String {
    match module {
        0 => "__init__".to_owned(),
        module => format!("part_{module}"),
    }
}

/// A package's `__init__` imports its other modules, which import nothing. No two modules are the same.
fn text(package: u32, module: u32) -> String {
    let mut text = format!("\"\"\"Part {module} of package {package}.\"\"\"\n\n");
    if module == 0 {
        let parts: Vec<String> = (1..MODULES).map(stem).collect();
        let values: Vec<String> = parts.iter().map(|part| format!("{part}.VALUE")).collect();
        let (parts, values) = (parts.join(", "), values.join(" + "));
        write!(text, "from . import {parts}\n\nTOTAL = {values}\n").expect(WRITTEN);
    } else {
        writeln!(text, "VALUE = {module}").expect(WRITTEN);
    }
    let mut number = package * MODULES + module;
    for function in 0..FUNCTIONS {
        // Knuth's multiplicative hash: numbers that do not compress.
        number = number.wrapping_add(1).wrapping_mul(2_654_435_769);
        write!(
            text,
            "\n\ndef step_{function}(value, scale={}):\n    \
             \"\"\"Scales a value, and adds what step {function} of part {module} adds.\"\"\"\n    \
             return value * scale + {number}\n",
            number >> 22,
        )
        .expect(WRITTEN);
    }
    text
}

const WRITTEN: &str = "writing to a string works";
