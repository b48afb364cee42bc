//! Other programs: found on `PATH`, run with what they write kept for error messages.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::keyring::{KEY_VARIABLE_PREFIX, PASSPHRASE_VARIABLE};

/// Lines of a failed program's output that a message shows.
const SHOWN_LINES: usize = 12;

/// Bytes of a program's output that are kept to show those, and of one line that is read at once.
const KEPT: usize = 16 * 1024;

/// Lines that a program may be ahead of who reads them.
const AHEAD: usize = 64;

/// Between two looks whether a program has ended that is about to.
const POLL: Duration = Duration::from_millis(10);

/// The first executable file called `name` on `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(format!("{name}{}", env::consts::EXE_SUFFIX)))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

/// A Python that sees nothing of its user's settings and packages.
pub(crate) fn python(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["-s", "-S", "-B"]);
    for variable in [
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONOPTIMIZE",
        "PYTHONWARNINGS",
    ] {
        command.env_remove(variable);
    }
    // The order of sets must not differ from run to run.
    command.env("PYTHONHASHSEED", "0").env("PYTHONUTF8", "1");
    command
}

/// Keeps the keys in the environment from a program that has no business with them, such as a project's build backend.
/// It runs with the user's rights all the same, and can read what the user can.
pub(crate) fn hide_keys(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with(KEY_VARIABLE_PREFIX) || name == PASSPHRASE_VARIABLE
        }) {
            command.env_remove(name);
        }
    }
    command
}

/// How a program ended that was run to its end.
pub(crate) struct Ended {
    pub(crate) success: bool,
    /// The last lines of standard output and error.
    pub(crate) tail: String,
}

/// Runs a program; each line of its standard output goes to `line`, a very long one in parts.
pub(crate) fn run(command: &mut Command, line: impl FnMut(&str)) -> io::Result<Ended> {
    run_within(command, None, line)
}

/// As [`run`], for so long at most: then the program is ended, which is [`io::ErrorKind::TimedOut`].
pub(crate) fn run_within(
    command: &mut Command,
    limit: Option<Duration>,
    mut line: impl FnMut(&str),
) -> io::Result<Ended> {
    let child = hide_keys(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut child = Guard(child);
    let deadline = limit.map(|limit| Instant::now() + limit);
    // Both pipes are read at once, or a program that fills one while the other is read would wait for ever.
    let errors = child.0.stderr.take().map(|mut stderr| {
        thread::spawn(move || {
            let (mut kept, mut part) = (Vec::new(), [0; 8 * 1024]);
            while let Ok(length @ 1..) = stderr.read(&mut part) {
                keep(&mut kept, &part[..length]);
            }
            kept
        })
    });
    let (sender, lines) = mpsc::sync_channel(AHEAD);
    if let Some(stdout) = child.0.stdout.take() {
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut bytes = Vec::new();
                let read = (&mut stdout)
                    .take(KEPT as u64)
                    .read_until(b'\n', &mut bytes);
                if matches!(read, Ok(0)) || sender.send(read.map(|_| bytes)).is_err() {
                    break;
                }
            }
        });
    }
    let mut output = Vec::new();
    loop {
        let received = match deadline {
            None => lines.recv().map_err(RecvTimeoutError::from),
            // Not a moment more, whatever there is to receive.
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                Some(left) => lines.recv_timeout(left),
                None => Err(RecvTimeoutError::Timeout),
            },
        };
        match received {
            Ok(bytes) => {
                let bytes = bytes?;
                line(String::from_utf8_lossy(&bytes).trim_end());
                keep(&mut output, &bytes);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // The guard ends it.
            Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    // It has closed its standard output, so it is about to end.
    let status = match deadline {
        None => child.0.wait()?,
        Some(deadline) => loop {
            match child.0.try_wait()? {
                Some(status) => break status,
                None if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
                None => thread::sleep(POLL),
            }
        },
    };
    let errors = errors.and_then(|errors| errors.join().ok());
    output.extend(errors.unwrap_or_default());
    Ok(Ended {
        success: status.success(),
        tail: tail(&String::from_utf8_lossy(&output)),
    })
}

/// Adds to the output of a program, of which no more is kept than its end.
fn keep(output: &mut Vec<u8>, part: &[u8]) {
    output.extend(part);
    if output.len() > 2 * KEPT {
        output.drain(..output.len() - KEPT);
    }
}

/// The folder of an npm package, as Node finds it from the current folder.
pub(crate) fn npm_package(node: &Path, name: &str) -> Option<PathBuf> {
    let find = "console.log(require('node:path').dirname(require.resolve(process.argv[1])))";
    output(Command::new(node).args(["-e", find, name])).map(PathBuf::from)
}

/// Standard output of a short program, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = hide_keys(command)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// `name` as a program that a message can show.
pub(crate) fn shown(program: impl AsRef<OsStr>) -> String {
    program.as_ref().to_string_lossy().into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// Says that the running test did nothing, and why. Written past the test runner, which keeps what a test that
/// passes prints to itself.
#[cfg(test)]
pub(crate) fn skipped(reason: &str) {
    use std::io::Write as _;
    let thread = thread::current();
    let name = thread.name().unwrap_or("a test");
    let _ = writeln!(io::stderr(), "{name}: skipped: {reason}");
}

/// Ends the program with us if we fail half-way, or it does not do what it should.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_short_and_has_no_empty_lines() {
        let lines: Vec<String> = (0..40).map(|index| index.to_string()).collect();
        let tail = tail(&lines.join("\n\n"));
        assert_eq!(tail.lines().count(), SHOWN_LINES);
        assert!(tail.ends_with("38\n39"));
    }

    #[test]
    fn of_an_output_without_end_the_end_is_kept() {
        let mut output = Vec::new();
        for index in 0..1_000_u32 {
            keep(&mut output, format!("{index:1000}\n").as_bytes());
            assert!(output.len() <= 2 * KEPT);
        }
        assert!(output.len() >= KEPT && output.ends_with(b" 999\n"));
    }

    #[cfg(unix)]
    #[test]
    fn a_line_without_end_is_read_in_parts() {
        let Some(shell) = find("sh") else {
            skipped("no shell is on PATH");
            return;
        };
        let mut lengths = Vec::new();
        let script = "head -c 200000 /dev/zero; head -c 500000 /dev/zero >&2; echo end >&2";
        let mut command = Command::new(&shell);
        let ended = run(command.args(["-c", script]), |line| {
            lengths.push(line.len());
        });
        let ended = ended.unwrap();
        assert_eq!(lengths.iter().sum::<usize>(), 200_000);
        assert!(lengths.iter().all(|length| *length <= KEPT));
        assert!(ended.success && ended.tail.ends_with("end"));
        assert!(ended.tail.len() <= 4 * KEPT);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let Some(shell) = find("sh") else {
            skipped("no shell is on PATH");
            return;
        };
        let run = |script: &str, limit| {
            let mut lines = Vec::new();
            let mut command = Command::new(&shell);
            let ended = run_within(command.args(["-c", script]), Some(limit), |line| {
                lines.push(line.to_owned());
            });
            (
                ended.map(|ended| ended.success).map_err(|it| it.kind()),
                lines,
            )
        };
        let hour = Duration::from_hours(1);
        assert_eq!(
            run("echo one; echo two", hour),
            (Ok(true), vec!["one".into(), "two".into()])
        );
        assert_eq!(run("exit 3", hour), (Ok(false), Vec::new()));
        let soon = Duration::from_millis(50);
        for script in [
            "exec sleep 3600",
            "exec >&-; exec sleep 3600",
            "while :; do echo on; done",
        ] {
            assert_eq!(
                run(script, soon).0,
                Err(io::ErrorKind::TimedOut),
                "{script}"
            );
        }
    }

    #[test]
    fn programs_that_do_not_exist_are_not_found() {
        assert!(find("no-program-has-this-name").is_none());
        assert!(output(&mut Command::new("no-program-has-this-name")).is_none());
    }
}
