//! Times: an accepted text is the only text of its time, and texts sort as times do.
//!
//! The input: two times, each on a line of its own. A line of 8 bytes is a number of seconds, too.
#![no_main]

use webimport_core::time::UnixTime;
use webimport_fuzz::{Outcome, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (first, second) = (read(lines.next()), read(lines.next()));
    if let (Some(first), Some(second)) = (first, second) {
        assert_eq!(
            first.cmp(&second),
            first.to_string().cmp(&second.to_string())
        );
    }
    if first.is_some() && second.is_some() {
        Outcome::Accepted
    } else {
        Outcome::Refused
    }
}

/// Seconds on either side of 1970 that a browser's clock can show (ECMA-262, 21.4.1.1).
const CLOCK: i64 = 8_640_000_000_000 + 1;

/// A time of a year of four digits.
fn read(line: Option<&[u8]>) -> Option<UnixTime> {
    let line = line?;
    if let Ok(seconds) = line.try_into() {
        let time = UnixTime(i64::from_le_bytes(seconds) % CLOCK);
        let text = time.to_string();
        let is_common = (-62_167_219_200..253_402_300_800).contains(&time.0);
        assert_eq!(
            text.len() == 20 && !text.starts_with('-'),
            is_common,
            "{text}"
        );
        assert!(!is_common || text.parse() == Ok(time), "{text}");
        assert!(time.plus_days(u32::MAX) >= time);
        return is_common.then_some(time);
    }
    let text = std::str::from_utf8(line).ok()?;
    let time: UnixTime = text.parse().ok()?;
    assert_eq!(time.to_string(), text);
    Some(time)
}
