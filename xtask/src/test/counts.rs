//! Counts of tests, read from what the runners print.

/// How many tests passed, failed and were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Counts {
    /// One check that passed or failed as a whole.
    pub(crate) fn of(passed: bool) -> Self {
        Self {
            passed: u32::from(passed),
            failed: u32::from(!passed),
            skipped: 0,
        }
    }

    /// Adds what a line of output says, if it is a summary.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(found) = libtest(line)
            .or_else(|| pytest(line))
            .or_else(|| node(line))
            .or_else(|| suite(line))
        {
            self.add(found);
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`, as
/// libtest, libtest-mimic and wasm-bindgen-test print it.
fn libtest(line: &str) -> Option<Counts> {
    let (_, summary) = line
        .trim()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    let mut counts = Counts::default();
    for part in summary.split("; ") {
        match number_and_word(part) {
            Some((number, "passed")) => counts.passed = number,
            Some((number, "failed")) => counts.failed = number,
            Some((number, "ignored")) => counts.skipped = number,
            _ => {}
        }
    }
    Some(counts)
}

/// `suite result: click in chromium: 12 passed; 0 failed; 1 skipped; 2 expected failures`, as the suites print it
/// that run other people's tests in a page.
fn suite(line: &str) -> Option<Counts> {
    let (_, summary) = line
        .trim()
        .strip_prefix("suite result: ")?
        .split_once(": ")?;
    let mut counts = Counts::default();
    for part in summary.split("; ") {
        match number_and_word(part)? {
            (number, "passed" | "expected failures") => counts.passed += number,
            (number, "failed") => counts.failed += number,
            (number, "skipped") => counts.skipped += number,
            _ => {}
        }
    }
    Some(counts)
}

/// `ℹ pass 76`, a line for each count, as Node's test runner prints it.
fn node(line: &str) -> Option<Counts> {
    let (word, number) = line.trim().strip_prefix("ℹ ")?.split_once(' ')?;
    let number = number.parse().ok()?;
    let mut counts = Counts::default();
    match word {
        "pass" => counts.passed = number,
        "fail" | "cancelled" => counts.failed = number,
        "skipped" | "todo" => counts.skipped = number,
        _ => return None,
    }
    Some(counts)
}

/// `==== 2 failed, 30 passed, 1 skipped in 1.02s ====`, with or without the rule.
fn pytest(line: &str) -> Option<Counts> {
    let (summary, time) = line
        .trim_matches(|character| character == '=' || character == ' ')
        .rsplit_once(" in ")?;
    // `1.02s`, or `75.10s (0:01:15)`.
    let seconds = time.split(' ').next()?.strip_suffix('s')?;
    seconds.parse::<f64>().ok()?;
    let mut counts = Counts::default();
    for part in summary.split(", ") {
        match number_and_word(part)? {
            (number, "passed" | "xfailed") => counts.passed += number,
            (number, "failed" | "error" | "errors" | "xpassed") => counts.failed += number,
            (number, "skipped") => counts.skipped += number,
            _ => {}
        }
    }
    Some(counts)
}

fn number_and_word(part: &str) -> Option<(u32, &str)> {
    let (number, word) = part.trim().split_once(' ')?;
    Some((number.parse().ok()?, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Counts {
        let mut counts = Counts::default();
        counts.read(line);
        counts
    }

    #[test]
    fn reads_the_summary_of_node() {
        let mut counts = Counts::default();
        for line in [
            "ℹ tests 9",
            "ℹ pass 6",
            "ℹ fail 2",
            "ℹ skipped 1",
            "ℹ duration_ms 12.5",
        ] {
            counts.read(line);
        }
        let expected = Counts {
            passed: 6,
            failed: 2,
            skipped: 1,
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn reads_the_summary_of_libtest() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(
            read(line),
            Counts {
                passed: 12,
                failed: 2,
                skipped: 1
            }
        );
    }

    #[test]
    fn reads_the_summary_of_pytest_with_and_without_its_rule() {
        let expected = Counts {
            passed: 30,
            failed: 3,
            skipped: 1,
        };
        assert_eq!(
            read("===== 2 failed, 30 passed, 1 skipped, 4 warnings, 1 error in 1.02s ====="),
            expected
        );
        assert_eq!(
            read("2 failed, 30 passed, 1 skipped, 1 error in 75.10s (0:01:15)"),
            expected
        );
    }

    #[test]
    fn reads_the_summary_of_a_suite_in_a_page() {
        let expected = Counts {
            passed: 14,
            failed: 3,
            skipped: 1,
        };
        let line =
            "suite result: click in chromium: 12 passed; 3 failed; 1 skipped; 2 expected failures";
        assert_eq!(read(line), expected);
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in [
            "test result",
            "3 passed",
            "12 files checked in 0.1s",
            "Finished `dev` profile in 2.31s",
            "",
        ] {
            assert_eq!(read(line), Counts::default(), "{line}");
        }
    }
}
