//! What a release needs from outside: the requirements of its distributions that no distribution inside
//! satisfies.
//!
//! [Dependency specifiers](https://packaging.python.org/en/latest/specifications/dependency-specifiers/) are
//! read for the environment in which releases run. Where a marker cannot be decided here, or a requirement
//! cannot be read, it is kept: a reader may know better.

use std::collections::{BTreeMap, BTreeSet};

use webimport_core::resolve::python_matches;

use crate::wheel::{Wheel, normalized_name};

/// The oldest Python of a supported Pyodide.
const OLDEST_PYTHON: [u32; 2] = [3, 13];

/// Markers with one value wherever a release runs.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("os_name", "posix"),
    ("sys_platform", "emscripten"),
    ("platform_system", "Emscripten"),
    ("platform_machine", "wasm32"),
    ("implementation_name", "cpython"),
    ("platform_python_implementation", "CPython"),
];

/// Requirements that the wheels of a release do not satisfy among themselves, sorted.
pub(crate) fn unsatisfied(wheels: &[Wheel]) -> Vec<String> {
    let versions: BTreeMap<String, &str> = wheels
        .iter()
        .map(|wheel| (normalized_name(&wheel.name), &*wheel.version))
        .collect();
    // A requirement inside may ask another distribution inside for an extra, which then needs more.
    let mut extras: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    loop {
        let mut missing = BTreeSet::new();
        let mut asked = extras.clone();
        let none = BTreeSet::new();
        for wheel in wheels {
            let active = extras.get(&normalized_name(&wheel.name)).unwrap_or(&none);
            for text in &wheel.requires {
                let requirement = Requirement::parse(text);
                let applies = requirement
                    .marker
                    .map_or(Answer::Yes, |marker| decide(marker, active));
                if applies == Answer::No {
                    continue;
                }
                match versions.get(&requirement.name) {
                    Some(version)
                        if python_matches(requirement.specifier, version) != Some(false) =>
                    {
                        asked
                            .entry(requirement.name)
                            .or_default()
                            .extend(requirement.extras);
                    }
                    _ if applies == Answer::Yes => {
                        missing.insert(requirement.without_marker.to_owned());
                    }
                    _ => {
                        missing.insert(text.trim().to_owned());
                    }
                }
            }
        }
        if asked == extras {
            return missing.into_iter().collect();
        }
        extras = asked;
    }
}

/// A requirement, read leniently.
struct Requirement<'a> {
    /// Normalised.
    name: String,
    extras: Vec<String>,
    /// Without parentheses; empty for a direct reference.
    specifier: &'a str,
    marker: Option<&'a str>,
    without_marker: &'a str,
}

impl<'a> Requirement<'a> {
    fn parse(text: &'a str) -> Self {
        // In a direct reference the URL may hold `;`, so the marker needs white space before it.
        let is_direct = text
            .split([';', '<', '>', '=', '!', '~', '('])
            .next()
            .is_some_and(|it| it.contains('@'));
        let separator = if is_direct { " ;" } else { ";" };
        let (without_marker, marker) = match text.split_once(separator) {
            Some((before, marker)) => (before.trim(), Some(marker)),
            None => (text.trim(), None),
        };
        let end = without_marker
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(without_marker.len());
        let (name, mut rest) = without_marker.split_at(end);
        rest = rest.trim_start();
        let mut extras = Vec::new();
        if let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        {
            extras = inside
                .split(',')
                .map(normalized_name)
                .filter(|extra| !extra.is_empty())
                .collect();
            rest = after.trim_start();
        }
        let specifier = if rest.starts_with('@') {
            ""
        } else {
            rest.strip_prefix('(')
                .and_then(|rest| rest.strip_suffix(')'))
                .unwrap_or(rest)
        };
        Self {
            name: normalized_name(name),
            extras,
            specifier,
            marker,
            without_marker,
        }
    }
}

/// Whether a marker holds where releases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// It depends on the interpreter, or the marker cannot be read.
    Depends,
}

impl Answer {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Depends,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, Self::No) => Self::No,
            _ => Self::Depends,
        }
    }
}

impl From<bool> for Answer {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

fn decide(marker: &str, extras: &BTreeSet<String>) -> Answer {
    let read = || {
        let tokens = tokens(marker)?;
        let mut parser = Parser {
            tokens: &tokens,
            extras,
        };
        let answer = parser.any(0)?;
        parser.tokens.is_empty().then_some(answer)
    };
    read().unwrap_or(Answer::Depends)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Text(&'a str),
    /// A variable, `and`, `or`, `in`, `not`.
    Word(&'a str),
    /// An operator or a parenthesis.
    Sign(&'a str),
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end;
        match first {
            '"' | '\'' => {
                let (inside, _) = rest[1..].split_once(first)?;
                tokens.push(Token::Text(inside));
                end = inside.len() + 2;
            }
            '(' | ')' => {
                tokens.push(Token::Sign(&rest[..1]));
                end = 1;
            }
            '<' | '>' | '=' | '!' | '~' => {
                end = rest
                    .find(|c| !matches!(c, '<' | '>' | '=' | '!' | '~'))
                    .unwrap_or(rest.len());
                tokens.push(Token::Sign(&rest[..end]));
            }
            c if c.is_ascii_alphabetic() => {
                end = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
                    .unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..end]));
            }
            _ => return None,
        }
        rest = rest[end..].trim_start();
    }
    Some(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    extras: &'a BTreeSet<String>,
}

impl<'a> Parser<'a> {
    /// Parentheses that may be open at once.
    const DEPTH: u32 = 16;

    fn next(&mut self) -> Option<&'a Token<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn take(&mut self, token: &Token<'_>) -> bool {
        let found = self.tokens.first() == Some(token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn any(&mut self, depth: u32) -> Option<Answer> {
        let mut answer = self.all(depth)?;
        while self.take(&Token::Word("or")) {
            answer = answer.or(self.all(depth)?);
        }
        Some(answer)
    }

    fn all(&mut self, depth: u32) -> Option<Answer> {
        let mut answer = self.one(depth)?;
        while self.take(&Token::Word("and")) {
            answer = answer.and(self.one(depth)?);
        }
        Some(answer)
    }

    fn one(&mut self, depth: u32) -> Option<Answer> {
        if self.take(&Token::Sign("(")) {
            let answer = (depth < Self::DEPTH).then(|| self.any(depth + 1))??;
            return self.take(&Token::Sign(")")).then_some(answer);
        }
        let left = self.next()?;
        let operator = match self.next()? {
            Token::Sign(sign) => *sign,
            Token::Word("in") => "in",
            Token::Word("not") if self.take(&Token::Word("in")) => "not in",
            _ => return None,
        };
        let right = self.next()?;
        Some(match (left, right) {
            (Token::Word(variable), Token::Text(value)) => self.compare(variable, operator, value),
            (Token::Text(value), Token::Word(variable)) => {
                self.compare(variable, mirrored(operator)?, value)
            }
            _ => return None,
        })
    }

    fn compare(&self, variable: &str, operator: &str, value: &str) -> Answer {
        if variable == "extra" {
            let active = self.extras.contains(&normalized_name(value));
            return match operator {
                "==" => active.into(),
                "!=" => (!active).into(),
                _ => Answer::Depends,
            };
        }
        if matches!(variable, "python_version" | "python_full_version") {
            return compare_python(operator, value);
        }
        let Some((_, own)) = ENVIRONMENT.iter().find(|(name, _)| *name == variable) else {
            return Answer::Depends;
        };
        match operator {
            "==" => (*own == value).into(),
            "!=" => (*own != value).into(),
            "in" => value.contains(own).into(),
            "not in" => (!value.contains(own)).into(),
            _ => Answer::Depends,
        }
    }
}

/// The operator for exchanged sides; those that have none are rare enough to give up.
fn mirrored(operator: &str) -> Option<&str> {
    Some(match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        "==" | "!=" => operator,
        _ => return None,
    })
}

/// Compares every Python from the oldest one up, so only what is the same for all of them is decided.
fn compare_python(operator: &str, value: &str) -> Answer {
    let numbers: Option<Vec<u32>> = value
        .strip_suffix(".*")
        .unwrap_or(value)
        .split('.')
        .map(|part| part.parse().ok())
        .collect();
    let Some(numbers) = numbers else {
        return Answer::Depends;
    };
    // Releases of one minor version count as equal, so that nothing about them is decided.
    let minor = [numbers[0], numbers.get(1).copied().unwrap_or(0)];
    if minor >= OLDEST_PYTHON {
        let is_oldest = numbers[..] == OLDEST_PYTHON;
        return match operator {
            ">=" if is_oldest => Answer::Yes,
            "<" if is_oldest => Answer::No,
            _ => Answer::Depends,
        };
    }
    match operator {
        // `~=3.8` and `== 3.*` allow later ones.
        "==" if numbers.len() > 1 => Answer::No,
        "!=" if numbers.len() > 1 => Answer::Yes,
        "<" | "<=" => Answer::No,
        ">" | ">=" => Answer::Yes,
        _ => Answer::Depends,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(name: &str, version: &str, requires: &[&str]) -> Wheel {
        Wheel {
            name: name.into(),
            version: version.into(),
            requires: requires.iter().map(|text| (*text).into()).collect(),
            requires_python: None,
            files: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_is_inside_is_not_required() {
        let wheels = [
            wheel(
                "rich",
                "14.0",
                &[
                    "pygments<3.0.0,>=2.13.0",
                    "Markdown_It-py>=2.2.0",
                    "numpy (>=2)",
                ],
            ),
            wheel("Pygments", "2.19.1", &[]),
            wheel("markdown-it-py", "2.1.0", &["mdurl~=0.1"]),
        ];
        assert_eq!(
            unsatisfied(&wheels),
            ["Markdown_It-py>=2.2.0", "mdurl~=0.1", "numpy (>=2)"]
        );
    }

    #[test]
    fn extras_count_only_when_asked_for() {
        let requires = &[
            "a; extra == 'fast'",
            "b; extra == \"slow\" and python_version >= '3.8'",
        ];
        assert!(unsatisfied(&[wheel("x", "1", requires)]).is_empty());
        assert_eq!(
            unsatisfied(&[wheel("x", "1", requires), wheel("y", "1", &["x[Fast]"])]),
            ["a"]
        );
    }

    #[test]
    fn markers_are_decided_for_pyodide() {
        for (marker, answer) in [
            ("sys_platform == 'win32'", Answer::No),
            ("sys_platform != 'win32'", Answer::Yes),
            ("platform_system=='Emscripten'", Answer::Yes),
            ("'linux' in sys_platform", Answer::Depends),
            ("sys_platform in 'linux darwin'", Answer::No),
            ("sys_platform not in 'linux darwin'", Answer::Yes),
            ("python_version < '3.11'", Answer::No),
            ("'3.11' > python_version", Answer::No),
            ("python_version < '3.13'", Answer::No),
            ("python_version >= '3.13'", Answer::Yes),
            ("python_version < '3.14'", Answer::Depends),
            ("python_version >= '3'", Answer::Yes),
            ("python_version == '3.9'", Answer::No),
            ("python_full_version <= '3.11.0a6'", Answer::Depends),
            (
                "(python_version < '3.8' or sys_platform == 'win32') and os_name == 'posix'",
                Answer::No,
            ),
            (
                "python_version < '3.15' and sys_platform == 'win32'",
                Answer::No,
            ),
            ("platform_release >= '20'", Answer::Depends),
            ("python_version <", Answer::Depends),
            (
                "((((((((((((((((((((os_name == 'posix'))))))))))))))))))))",
                Answer::Depends,
            ),
            ("", Answer::Depends),
        ] {
            assert_eq!(decide(marker, &BTreeSet::new()), answer, "{marker}");
        }
    }

    #[test]
    fn a_requirement_that_depends_keeps_its_marker() {
        let wheels = [wheel(
            "x",
            "1",
            &[
                "a ; python_version < '3.14'",
                "b @ https://h/b.whl ; os_name == 'posix'",
            ],
        )];
        assert_eq!(
            unsatisfied(&wheels),
            ["a ; python_version < '3.14'", "b @ https://h/b.whl"]
        );
    }
}
