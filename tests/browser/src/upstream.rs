//! Suites that other people wrote, run in a page: their files, their outcomes, and what is expected to fail.
//!
//! The suites are fetched by the set-up and used as they are. What they need of ours, such as a fixture that puts its
//! tree behind webimport, is in `tests/suites/python`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::browser::Browser;
use crate::page::Page;
use crate::site::Site;
use crate::{scratch, tools};

/// How a test ended, and its traceback or the reason why it was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Outcome(pub String, pub String);

/// Tests by name.
pub type Outcomes = BTreeMap<String, Outcome>;

impl Outcome {
    /// Whether it counts against what is tested.
    pub fn is_failure(&self) -> bool {
        matches!(self.0.as_str(), "failed" | "xpassed")
    }
}

/// Tests that are expected to fail, or to differ: names, and starts of names with a `*` behind.
#[derive(Debug, Default)]
pub struct Expected(Vec<String>);

impl Expected {
    /// One suite's table of `tests/suites/expected.toml`: reasons, and the tests that each is for.
    ///
    /// # Panics
    /// When the file cannot be read.
    pub fn of(suite: &str) -> Self {
        let file = tools::workspace().join("tests/suites/expected.toml");
        let text = std::fs::read_to_string(file).expect("the list of expected failures");
        let mut tables: BTreeMap<String, BTreeMap<String, Vec<String>>> =
            toml::from_str(&text).expect("tables of suites, in them reasons, with lists of tests");
        let reasons = tables.remove(suite).unwrap_or_default();
        Self(reasons.into_values().flatten().collect())
    }

    fn contains(&self, test: &str) -> bool {
        self.0.iter().any(|pattern| is_for(pattern, test))
    }

    /// Those that are for none of these tests.
    fn idle(&self, outcomes: &Outcomes) -> impl Iterator<Item = &String> {
        self.0
            .iter()
            .filter(|pattern| !outcomes.keys().any(|test| is_for(pattern, test)))
    }
}

fn is_for(pattern: &str, test: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => test.starts_with(start),
        None => test == pattern,
    }
}

/// What a suite in a browser comes to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Those that are as they should be.
    pub passed: usize,
    /// Those that are not, with what is to be read about them.
    pub failed: BTreeMap<String, String>,
    /// Those that the suite left out by itself.
    pub skipped: usize,
    /// Those that the list expects to fail, and that failed.
    pub expected: usize,
    /// Those that fail without webimport in just the same way.
    pub alike: usize,
}

impl Verdict {
    /// Judges a suite whose tests all have to pass but for the expected ones. One of those that passes is an error.
    pub fn of(outcomes: &Outcomes, expected: &Expected) -> Self {
        let mut verdict = Self::default();
        for (name, outcome) in outcomes {
            match (outcome.0.as_str(), expected.contains(name)) {
                ("skipped", false) => verdict.skipped += 1,
                (_, true) if outcome.is_failure() => verdict.expected += 1,
                (_, false) if outcome.is_failure() => verdict.fail(name, &outcome.1),
                (_, true) => verdict.fail(name, "it is expected to fail, and did not"),
                (_, false) => verdict.passed += 1,
            }
        }
        verdict.miss(outcomes, expected);
        verdict
    }

    /// Compares a suite with the same suite without webimport, test by test. Only the expected ones may differ.
    pub fn compare(with: &Outcomes, without: &Outcomes, expected: &Expected) -> Self {
        let mut verdict = Self::default();
        let names: std::collections::BTreeSet<&String> =
            with.keys().chain(without.keys()).collect();
        for name in names {
            let status = |outcomes: &Outcomes| {
                outcomes
                    .get(name)
                    .map_or_else(|| "not run".to_owned(), |outcome| outcome.0.clone())
            };
            let (ours, theirs) = (status(with), status(without));
            match (ours == theirs, expected.contains(name)) {
                (true, true) => verdict.fail(name, "it is expected to differ, and does not"),
                (false, true) => verdict.expected += 1,
                (false, false) => {
                    let text = with
                        .get(name)
                        .or(without.get(name))
                        .map(|outcome| &*outcome.1);
                    let text = format!(
                        "{ours} with webimport, {theirs} without\n{}",
                        text.unwrap_or_default()
                    );
                    verdict.fail(name, &text);
                }
                (true, false) if ours == "skipped" => verdict.skipped += 1,
                (true, false) if ours == "passed" || ours == "xfailed" => verdict.passed += 1,
                (true, false) => verdict.alike += 1,
            }
        }
        verdict.miss(with, expected);
        verdict
    }

    fn fail(&mut self, name: &str, text: &str) {
        self.failed.insert(name.to_owned(), text.to_owned());
    }

    fn miss(&mut self, outcomes: &Outcomes, expected: &Expected) {
        for name in expected.idle(outcomes) {
            self.fail(name, "it is expected to fail, and there is no such test");
        }
    }

    /// Prints the counts, in the form that `cargo xtask test` reads.
    ///
    /// # Panics
    /// With all that failed, or when nothing ran.
    pub fn report(&self, suite: &str, browser: Browser) {
        let mut line = format!(
            "suite result: {suite} in {browser}: {} passed; {} failed; {} skipped; {} expected failures",
            self.passed,
            self.failed.len(),
            self.skipped,
            self.expected
        );
        if self.alike > 0 {
            let _ = write!(line, "; {} that fail without webimport too", self.alike);
        }
        println!("{line}");
        let mut text = String::new();
        for (name, why) in &self.failed {
            let _ = write!(text, "\n--- {name}\n{why}\n");
        }
        assert!(self.failed.is_empty(), "{line}{text}");
        assert!(self.passed > 0, "{line}");
    }
}

/// Puts our Python modules for suites where the page's Pyodide finds them.
pub async fn prepare(page: &Page) {
    let folder = tools::workspace().join("tests/suites/python");
    for (name, text) in files(&folder, "", &is_python) {
        let text = Value::from(String::from_utf8(text).expect("UTF-8"));
        page.run(&format!(
            "import pathlib\n(folder := pathlib.Path('/suites')).mkdir(exist_ok=True)\n\
             (folder / '{name}').write_text({text})"
        ))
        .await;
    }
    page.run("import sys; sys.path.append('/suites')").await;
}

/// Lets the modules of [`prepare`] mount trees with the product's mount. The page's policy has to allow evaluation.
pub async fn give_mount(site: &Site, page: &Page) {
    let hook = site.add_file("/suites/mount.js", bundled_hook());
    page.run(&format!(
        "from pyodide.code import run_js\nawait run_js(\"import('{hook}')\")\nNone"
    ))
    .await;
}

/// Runs a cell that gives outcomes, however long it takes: what it runs in has to leave the page's main thread alone, or
/// to be done within the time that a WebDriver command has.
///
/// # Panics
/// When the cell raises.
pub async fn outcomes(page: &Page, cell: &str) -> Outcomes {
    let started = page.start_python(cell).await;
    let value = page
        .finish_python(started)
        .await
        .unwrap_or_else(|raised| panic!("the cell raised {raised}\n--- cell\n{cell}"));
    serde_json::from_value(value).expect("outcomes by test")
}

/// `tests/suites/mount.ts` with what it imports.
fn bundled_hook() -> Vec<u8> {
    let output = Command::new(tools::tool("npm/node_modules/.bin/esbuild"))
        .arg(tools::workspace().join("tests/suites/mount.ts"))
        .args(["--bundle", "--format=esm", "--log-level=warning"])
        .output()
        .expect("esbuild starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Whether a path is that of a Python source.
pub fn is_python(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "py")
}

/// The file of a source distribution.
pub fn sdist(name: &str) -> PathBuf {
    let start = format!("{}-", name.replace('-', "_"));
    std::fs::read_dir(tools::tool("sdists"))
        .expect("the source distributions")
        .map(|entry| entry.expect("a folder entry").path())
        .find(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            file.starts_with(&start) && file.ends_with(".tar.gz")
        })
        .unwrap_or_else(|| panic!("no source distribution of `{name}`; run `cargo xtask setup`"))
}

/// Unpacks a source distribution, and says where its files are.
pub fn unpacked(name: &str) -> PathBuf {
    let (archive, folder) = (sdist(name), scratch::folder("sdist"));
    let status = Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(&folder)
        .status();
    assert!(
        status.expect("tar starts").success(),
        "{}",
        archive.display()
    );
    let mut entries = std::fs::read_dir(&folder).expect("a folder");
    entries
        .next()
        .expect("one folder inside")
        .expect("a folder entry")
        .path()
}

/// The files below a folder that the condition takes, by their paths below `prefix`.
pub fn files(folder: &Path, prefix: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a folder entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            if !name.ends_with("__pycache__") {
                found.extend(files(&path, &format!("{name}/"), wanted));
            }
        } else if wanted(&name) {
            found.push((name, std::fs::read(&path).expect("a file")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(tests: &[(&str, &str)]) -> Outcomes {
        tests
            .iter()
            .map(|&(name, status)| {
                let outcome = Outcome(status.to_owned(), String::new());
                (name.to_owned(), outcome)
            })
            .collect()
    }

    fn expected(tests: &[&str]) -> Expected {
        Expected(tests.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn only_an_expected_test_may_fail_and_it_has_to() {
        let found = outcomes(&[("a", "passed"), ("b", "failed"), ("c", "skipped")]);
        let verdict = Verdict::of(&found, &expected(&["b"]));
        assert!(verdict.failed.is_empty());
        assert_eq!(
            (verdict.passed, verdict.skipped, verdict.expected),
            (1, 1, 1)
        );
        assert!(Verdict::of(&found, &expected(&["b*"])).failed.is_empty());
        for wrong in [&[][..], &["a", "b"], &["b", "absent"], &["b", "absent*"]] {
            let failed = Verdict::of(&found, &expected(wrong)).failed;
            assert_eq!(failed.len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn a_test_that_fails_with_and_without_is_no_difference() {
        let with = outcomes(&[("a", "passed"), ("b", "failed")]);
        assert!(
            Verdict::compare(&with, &with, &expected(&[]))
                .failed
                .is_empty()
        );
        let without = outcomes(&[("a", "passed"), ("b", "passed"), ("c", "passed")]);
        let failed = Verdict::compare(&with, &without, &expected(&[])).failed;
        assert_eq!(failed.keys().collect::<Vec<_>>(), ["b", "c"]);
    }
}
