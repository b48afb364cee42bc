//! Programs that run in the Python environment of the tests: python-tuf's client, and a publisher that uses it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use webimport_core::digest::{from_hex, to_hex};
use webimport_core::time::UnixTime;

use crate::clients::Outcome;
use crate::files::{Changes, Files};

/// A program of this crate, in the environment that `cargo xtask setup venv` makes.
fn program(name: &str) -> Command {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("WEBIMPORT_TEST_PYTHON").map_or_else(
        || room.join("../../target/tools/venv/bin/python"),
        PathBuf::from,
    );
    assert!(
        python.is_file(),
        "`{}` does not exist; run `cargo xtask setup venv`",
        python.display()
    );
    let mut command = Command::new(python);
    command.arg("-B").arg(room.join("python").join(name));
    command
}

/// Makes a repository with python-tuf, from a specification as `python/publish.py` says.
pub fn publish(specification: &Value) {
    let mut child = program("publish.py")
        .stdin(Stdio::piped())
        .spawn()
        .expect("a Python that starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin
        .write_all(specification.to_string().as_bytes())
        .expect("a program that reads");
    drop(stdin);
    let status = child.wait().expect("a program that ends");
    assert!(status.success(), "python-tuf does not publish: {status}");
}

/// What a client of python-tuf is asked.
#[derive(Debug, Clone)]
pub struct Question {
    server: Value,
    root: Vec<u8>,
    seen: Option<String>,
    target: String,
    now: Option<UnixTime>,
}

impl Question {
    /// For `target`, of the kept repository `base` with `changes`.
    pub fn of_kept(
        base: &str,
        changes: &Changes,
        root: &[u8],
        target: &str,
        now: UnixTime,
    ) -> Self {
        let changes: serde_json::Map<String, Value> = changes
            .iter()
            .map(|(path, bytes)| (path.clone(), json!(bytes.as_deref().map(to_hex))))
            .collect();
        Self {
            server: json!({"base": base, "changes": changes}),
            root: root.to_vec(),
            seen: None,
            target: target.into(),
            now: Some(now),
        }
    }

    /// For `target`, of the server at `url`, by the library as it is: with its own way to fetch and its own clock.
    pub fn of_server(url: &str, root: &[u8], target: &str) -> Self {
        Self {
            server: json!({"url": url}),
            root: root.to_vec(),
            seen: None,
            target: target.into(),
            now: None,
        }
    }

    /// By a client that has refreshed from the kept repository `base` before.
    #[must_use]
    pub fn having_seen(mut self, base: Option<&str>) -> Self {
        self.seen = base.map(str::to_owned);
        self
    }

    fn to_line(&self) -> String {
        let mut request = self.server.clone();
        request["root"] = json!(to_hex(&self.root));
        request["warm"] = json!(self.seen);
        request["target"] = json!(self.target);
        request["now"] = json!(self.now.map(|now| now.0));
        json!({ "load": request }).to_string()
    }
}

/// One process that answers questions for as long as it is kept.
pub struct PythonTuf(Child);

impl PythonTuf {
    /// Starts it.
    pub fn start() -> Self {
        let child = program("client.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python that starts");
        Self(child)
    }

    /// Gives it repositories to keep by name.
    pub fn keep<'a>(&mut self, repositories: impl IntoIterator<Item = (&'a str, &'a Files)>) {
        let lines = repositories.into_iter().map(|(name, files)| {
            let files: serde_json::Map<String, Value> = files
                .iter()
                .map(|(path, bytes)| (path.clone(), json!(to_hex(bytes))))
                .collect();
            json!({"base": name, "files": files}).to_string()
        });
        for answer in self.exchange(lines.collect()) {
            assert_eq!(answer, json!({}));
        }
    }

    /// Its answers, in order.
    pub fn ask(&mut self, questions: &[Question]) -> Vec<Outcome> {
        let answers = self.exchange(questions.iter().map(Question::to_line).collect());
        answers.into_iter().map(|answer| outcome(&answer)).collect()
    }

    fn exchange(&mut self, lines: Vec<String>) -> Vec<Value> {
        let stdin = self.0.stdin.as_mut().expect("its input");
        let stdout = self.0.stdout.as_mut().expect("its output");
        let count = lines.len();
        thread::scope(|scope| {
            // Both at the same time: neither pipe holds all of it.
            scope.spawn(move || {
                for line in lines {
                    writeln!(stdin, "{line}").expect("a program that reads");
                }
                stdin.flush().expect("a program that reads");
            });
            let answers = BufReader::new(stdout).lines().take(count);
            let answers: Vec<Value> = answers
                .map(|line| line.expect("a program that answers in text"))
                .map(|line| serde_json::from_str(&line).expect("an answer in JSON"))
                .collect();
            assert_eq!(answers.len(), count, "python-tuf's client has ended");
            answers
        })
    }
}

impl Drop for PythonTuf {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn outcome(answer: &Value) -> Outcome {
    match (&answer["accepted"], &answer["refused"]) {
        (Value::String(hex), _) => Outcome::Accepted(from_hex(hex).expect("hex digits")),
        (_, Value::String(reason)) => Outcome::Refused(reason.clone()),
        _ => panic!("neither accepted nor refused: {answer}"),
    }
}
