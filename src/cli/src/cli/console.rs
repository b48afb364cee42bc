//! What the user sees.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use webimport_core::error::Coded;

use crate::observe::{Event, Observer, Unit, WriteStep};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One object, for programs.
    Json,
}

/// What a command has to say when it is done. Its JSON form is what `--json` writes.
pub(super) trait Report: Serialize {
    /// Writes it for people.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;

    /// What the user should know besides; part of the JSON form, too.
    fn notes(&self) -> &[String] {
        &[]
    }
}

/// Standard output and error of one command.
pub(super) struct Console {
    format: Format,
    bar: RefCell<Option<ProgressBar>>,
}

impl Console {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            bar: RefCell::new(None),
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes a result. A reader that went away is no failure of the command.
    pub(super) fn report(&self, report: &impl Report) {
        self.clear();
        let mut out = anstream::stdout().lock();
        let _ = match self.format {
            Format::Json => json_line(&mut out, report),
            Format::Text => {
                for note in report.notes() {
                    labelled("note", AnsiColor::Yellow, note);
                }
                report.write(&mut out)
            }
        };
        let _ = out.flush();
    }

    /// Says something on the way to a result.
    pub(super) fn show(&self, text: &str) {
        self.clear();
        let _ = write!(anstream::stderr(), "{text}");
    }

    pub(super) fn failure(&self, failure: &dyn Coded) {
        self.clear();
        let (code, hint) = (failure.code(), failure.hint());
        match self.format {
            Format::Json => write_error(code, &failure.to_string(), &hint),
            Format::Text => {
                labelled("error", AnsiColor::Red, failure);
                labelled("hint", AnsiColor::Cyan, hint);
                labelled("code", AnsiColor::BrightBlack, code);
            }
        }
    }

    fn clear(&self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

/// Whether the command line is not valid, or asks for help.
pub(super) fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() {
        let text = error.render().to_string();
        // The first paragraph; usage and tips follow.
        let lines = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.is_empty());
        let message = lines.collect::<Vec<_>>().join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        write_error("usage.invalid", message, "run the command with --help");
    } else {
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[derive(Serialize)]
struct Failed<'a> {
    error: Described<'a>,
}

#[derive(Serialize)]
struct Described<'a> {
    code: &'a str,
    message: &'a str,
    hint: &'a str,
}

fn write_error(code: &str, message: &str, hint: &str) {
    let mut out = anstream::stdout().lock();
    let _ = json_line(
        &mut out,
        &Failed {
            error: Described {
                code,
                message,
                hint,
            },
        },
    );
    let _ = out.flush();
}

fn json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

fn labelled(label: &str, color: AnsiColor, text: impl Display) {
    let style = Style::new().bold().fg_color(Some(color.into()));
    let text = printable(&text.to_string());
    let _ = writeln!(anstream::stderr(), "{style}{label}:{style:#} {text}");
}

/// Parts of a message may come from files of anybody: nothing in it moves the cursor.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Bytes for people.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| count >= *unit) {
        // In tenths, rounded to the nearest; exact in integers.
        Some((unit, name)) => {
            let tenths = (count * 10 + unit / 2) / unit;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

/// A count and its noun.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

impl Observer for Console {
    fn event(&self, event: Event<'_>) {
        if self.format == Format::Json {
            return;
        }
        match event {
            Event::Stage { title, unit, total } => {
                self.clear();
                if io::stderr().is_terminal() {
                    *self.bar.borrow_mut() = Some(bar(title, unit, total));
                } else {
                    let _ = writeln!(anstream::stderr(), "{title}");
                }
            }
            Event::Progress(done) => {
                if let Some(bar) = &*self.bar.borrow() {
                    bar.set_position(done);
                }
            }
            Event::Write {
                step: WriteStep::Done,
                ..
            } => {
                if let Some(bar) = &*self.bar.borrow() {
                    bar.inc(1);
                }
            }
            // Notes are part of the result.
            Event::Write { .. } | Event::Note(_) => {}
        }
    }
}

fn bar(title: &str, unit: Unit, total: u64) -> ProgressBar {
    let template = match (unit, total) {
        (_, 0) => "{spinner} {msg}",
        (Unit::Files, _) => "{spinner} {msg} [{bar:30}] {pos}/{len}",
        (Unit::Bytes, _) => "{spinner} {msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes}",
    };
    let bar = if total == 0 {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::new(total)
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_do_not_move_the_cursor() {
        assert_eq!(
            printable("a\tb\n\u{1b}[2J\u{9b}2J\r…"),
            "a\tb\n\\u{1b}[2J\\u{9b}2J\\r…"
        );
    }

    #[test]
    fn byte_counts_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_250, "1.3 kB"),
            (12_345_678, "12.3 MB"),
            (5_000_000_000, "5.0 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
