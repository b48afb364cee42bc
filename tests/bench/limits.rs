//! What may not grow: bytes and requests, which are the same on every machine. No time has a limit.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The most that one figure may be.
struct Limit {
    what: &'static str,
    /// Its place in the JSON object.
    key: &'static [&'static str],
    most: f64,
    taken: Taken,
}

/// Which runs have a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Always,
    /// Making what it is measured of takes minutes.
    InFull,
}

/// Bytes of metadata until a first import, after gzip, however many modules the release has.
const METADATA: f64 = 65_536.0;

/// Bytes of what every page downloads first. It may shrink; docs/performance.md says what it should be, and what is in it.
const MODULE: f64 = 230_400.0;

const LIMITS: [Limit; 8] = [
    Limit {
        what: "first visit of networkx, over its wheel",
        key: &["networkx", "cold_bytes_over_wheels"],
        most: 1.0,
        taken: Taken::Always,
    },
    Limit {
        what: "first visit of rich, over its wheels",
        key: &["rich", "cold_bytes_over_wheels"],
        most: 1.0,
        taken: Taken::Always,
    },
    Limit {
        what: "update of one module, bytes beyond it",
        key: &["update", "bytes_beyond_module"],
        most: 16_384.0,
        taken: Taken::Always,
    },
    Limit {
        what: "update of one module, requests",
        key: &["update", "requests"],
        most: 5.0,
        taken: Taken::Always,
    },
    Limit {
        what: "metadata at 100 modules, gzip",
        key: &["scale", "100", "metadata_gzip"],
        most: METADATA,
        taken: Taken::Always,
    },
    Limit {
        what: "metadata at 10,000 modules, gzip",
        key: &["scale", "10000", "metadata_gzip"],
        most: METADATA,
        taken: Taken::Always,
    },
    Limit {
        what: "metadata at 100,000 modules, gzip",
        key: &["scale", "100000", "metadata_gzip"],
        most: METADATA,
        taken: Taken::InFull,
    },
    Limit {
        what: "the WebAssembly module, gzip",
        key: &["size", "wasm", "gzip"],
        most: MODULE,
        taken: Taken::Always,
    },
];

/// How a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Within,
    Above,
    /// A measurement failed, or the table names what there is not.
    Missing,
    NotTaken,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Within => "ok",
            Self::Above => "ABOVE",
            Self::Missing => "MISSING",
            Self::NotTaken => "not taken",
        }
    }
}

impl Limit {
    fn figure(&self, measured: &Map<String, Value>) -> Option<f64> {
        let (bench, inner) = self.key.split_first()?;
        let mut found = measured.get(*bench)?;
        for key in inner {
            found = found.get(key)?;
        }
        found.as_f64()
    }

    fn verdict(&self, figure: Option<f64>) -> Verdict {
        match figure {
            Some(figure) if figure <= self.most => Verdict::Within,
            Some(_) => Verdict::Above,
            None if self.taken == Taken::InFull => Verdict::NotTaken,
            None => Verdict::Missing,
        }
    }
}

/// All figures beside their limits.
pub(crate) struct Report {
    /// A table, and under it a line in the form that `cargo xtask test` counts.
    pub(crate) text: String,
    pub(crate) holds: bool,
}

/// Compares a short run's figures with their limits.
pub(crate) fn compare(measured: &Map<String, Value>) -> Report {
    let mut text = format!("{:<40} {:>12} {:>12}\n", "limits", "measured", "limit");
    let mut verdicts = Vec::new();
    for limit in &LIMITS {
        let figure = limit.figure(measured);
        let verdict = limit.verdict(figure);
        let shown = figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string());
        let (what, most, word) = (limit.what, limit.most, verdict.word());
        writeln!(text, "{what:<40} {shown:>12} {most:>12} {word}")
            .expect("writing to a string works");
        verdicts.push(verdict);
    }
    let count = |of: Verdict| verdicts.iter().filter(|verdict| **verdict == of).count();
    let failed = count(Verdict::Above) + count(Verdict::Missing);
    let (passed, skipped) = (count(Verdict::Within), count(Verdict::NotTaken));
    write!(
        text,
        "\nsuite result: limits: {passed} passed; {failed} failed; {skipped} skipped"
    )
    .expect("writing to a string works");
    Report {
        text,
        holds: failed == 0,
    }
}
