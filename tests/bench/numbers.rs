//! Medians, ratios, and a table of them.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The median of measurements, with the smallest and the largest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of at least one measurement.
    pub(crate) fn of(measured: &[f64]) -> Self {
        let mut sorted = measured.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self {
            median,
            least: sorted[0],
            most: sorted[sorted.len() - 1],
        }
    }

    /// The median under this key, and `[least, most]` under `KEY_range`.
    pub(crate) fn put(self, numbers: &mut Value, key: &str) {
        numbers[key] = json!(rounded(self.median, 1));
        numbers[range(key)] = json!([rounded(self.least, 1), rounded(self.most, 1)]);
    }
}

fn range(key: &str) -> String {
    format!("{key}_range")
}

/// To so many decimals.
pub(crate) fn rounded(number: f64, decimals: i32) -> f64 {
    let factor = 10_f64.powi(decimals);
    (number * factor).round() / factor
}

/// Without decimals.
pub(crate) fn whole(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "a count of bytes")]
    let whole = number.round() as i64;
    json!(whole)
}

/// Adds numbers to what there is of this bench already.
pub(crate) fn add(measured: &mut Map<String, Value>, bench: &str, numbers: Value) {
    let Value::Object(mut numbers) = numbers else {
        panic!("the numbers of a bench have names")
    };
    let bench = measured.entry(bench).or_insert_with(|| json!({}));
    bench
        .as_object_mut()
        .expect("written as an object above")
        .append(&mut numbers);
}

/// All numbers, in a group for each bench; a median has its spread behind: `312.4 (301.0 to 330.2)`.
pub(crate) fn table(measured: &Map<String, Value>) -> String {
    let mut text = String::new();
    group("", measured, &mut text);
    text
}

fn group(title: &str, numbers: &Map<String, Value>, into: &mut String) {
    let lines: Vec<(&String, String)> = numbers
        .iter()
        .filter(|(key, value)| !value.is_object() && !key.ends_with("_range"))
        .map(|(key, value)| (key, shown(value, numbers.get(&range(key)))))
        .collect();
    if !lines.is_empty() {
        writeln!(into, "\n{title}").expect("writing to a string works");
    }
    for (key, value) in lines {
        writeln!(into, "  {key:<30} {value}").expect("writing to a string works");
    }
    for (key, value) in numbers {
        if let Value::Object(inner) = value {
            group(format!("{title} {key}").trim_start(), inner, into);
        }
    }
}

fn shown(value: &Value, range: Option<&Value>) -> String {
    let one = |value: &Value| match value.as_f64() {
        Some(number) if value.is_f64() && range.is_some() => format!("{number:.1}"),
        _ => value.to_string(),
    };
    let median = format!("{:>12}", one(value));
    match range {
        Some(range) => format!("{median} ({} to {})", one(&range[0]), one(&range[1])),
        None => median,
    }
}
