//! Python version specifiers: clauses are a conjunction in any order and spacing, an operator and its opposite
//! never agree, and a zero at the end changes nothing.
//!
//! The input: a specifier and an interpreter's version, each on a line of its own.
#![no_main]

use webimport_core::resolve::python_matches;
use webimport_fuzz::{Outcome, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    let (specifier, python) = text.split_once('\n').unwrap_or((text, "3.14.2"));
    let Some(answer) = python_matches(specifier, python) else {
        return Outcome::Refused;
    };
    let clauses: Vec<&str> = specifier
        .split(',')
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .collect();
    let each = clauses.iter().map(|clause| python_matches(clause, python));
    assert_eq!(
        each.collect::<Option<Vec<_>>>()
            .map(|all| all.into_iter().all(|it| it)),
        Some(answer)
    );
    let reversed: Vec<&str> = clauses.iter().rev().copied().collect();
    assert_eq!(python_matches(&reversed.join(" , "), python), Some(answer));
    assert_eq!(
        python_matches(specifier, &format!("{python}.0")),
        Some(answer)
    );
    for clause in clauses {
        for (operator, opposite) in [("==", "!="), (">=", "<"), ("<=", ">")] {
            if let Some(version) = clause.strip_prefix(operator)
                && !version.starts_with('=')
            {
                let own = python_matches(clause, python);
                let other = python_matches(&format!("{opposite}{version}"), python);
                assert_eq!(own, other.map(|it| !it), "{clause}");
            }
        }
    }
    Outcome::Accepted
}
