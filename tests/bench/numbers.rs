//! Medians, ratios, and a table of them.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The median of times in milliseconds, with the smallest and the largest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of at least one time.
    pub(crate) fn of(times: &[f64]) -> Self {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        let middle = times.len() / 2;
        let median = if times.len() % 2 == 1 {
            times[middle]
        } else {
            f64::midpoint(times[middle - 1], times[middle])
        };
        Self {
            median,
            least: times[0],
            most: times[times.len() - 1],
        }
    }

    /// `[least, most]`.
    pub(crate) fn range(self) -> Value {
        json!([rounded(self.least, 1), rounded(self.most, 1)])
    }
}

/// To so many decimals.
pub(crate) fn rounded(number: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (number * factor).round() / factor
}

/// All numbers, a line each: `networkx.warm  312.4`.
pub(crate) fn table(measured: &Map<String, Value>) -> String {
    let mut lines = Vec::new();
    collect("", &Value::Object(measured.clone()), &mut lines);
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in lines {
        writeln!(text, "{name:<width$}  {value:>10}").expect("writing to a string works");
    }
    text
}

fn collect(name: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                collect(&name, value, into);
            }
        }
        other => into.push((name.to_owned(), other.to_string())),
    }
}
