//! The tests that `docs/security.md` names exist.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rooms::Rooms;

/// All Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of tests") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether `tests/SUITE` has a module or a function of that name.
fn exists(rooms: &Rooms, suite: &str, name: &str) -> bool {
    let mut files = Vec::new();
    sources(&rooms.at("tests").join(suite), &mut files);
    let function = format!("fn {name}(");
    files.iter().any(|file| {
        let module = file.with_extension("");
        module.iter().any(|part| part == name)
            || fs::read_to_string(file).is_ok_and(|text| text.contains(&function))
    })
}

#[test]
fn every_test_that_the_security_page_names_exists() {
    let rooms = Rooms::find().expect("the repository");
    let page = fs::read_to_string(rooms.at("docs/security.md")).expect("the page");
    let mut names = 0;
    for quoted in page.split('`').skip(1).step_by(2) {
        let Some((suite, test)) = quoted.split_once("::") else {
            continue;
        };
        if !["browser", "cli", "core", "interop"].contains(&suite) {
            continue;
        }
        for name in test.split("::") {
            assert!(exists(&rooms, suite, name), "`{quoted}`: no `{name}`");
        }
        names += 1;
    }
    assert!(names > 30, "only {names} tests are named");
}
