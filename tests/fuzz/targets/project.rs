//! `[tool.webimport]` of a project: what is accepted can be written as TOML and reads back the same.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use toml::{Table, Value};
use webimport_cli::bytecode::BytecodeChoice;
use webimport_cli::project::{Settings, settings};
use webimport_fuzz::{Outcome, refused, scratch, target};

target!(check);

static FOLDER: LazyLock<PathBuf> = LazyLock::new(scratch);

fn check(data: &[u8]) -> Outcome {
    fs::write(FOLDER.join("pyproject.toml"), data).expect("the file can be written");
    let read = match settings(&FOLDER) {
        Ok(read) => read,
        Err(error) => return refused(&error),
    };
    fs::write(FOLDER.join("pyproject.toml"), written(&read)).expect("the file can be written");
    assert_eq!(settings(&FOLDER).ok(), Some(read));
    Outcome::Accepted
}

fn written(settings: &Settings) -> String {
    let mut own = Table::new();
    if let Some(name) = &settings.name {
        own.insert("name".into(), name.to_string().into());
    }
    if let Some(channel) = &settings.channel {
        own.insert("channel".into(), channel.to_string().into());
    }
    let bytecode: Option<Value> = match &settings.bytecode {
        None => None,
        Some(BytecodeChoice::Auto) => Some("auto".into()),
        Some(BytecodeChoice::Off) => Some("off".into()),
        Some(BytecodeChoice::Interpreters(paths)) => {
            let paths = paths.iter().map(|path| path.to_string_lossy().into_owned());
            Some(Value::Array(paths.map(Value::from).collect()))
        }
    };
    own.extend(bytecode.map(|value| ("bytecode".to_owned(), value)));
    if !settings.entry.is_empty() {
        let modules = settings.entry.iter().map(String::as_str);
        let modules = modules.map(Value::from).collect();
        own.insert("entry".into(), Value::Array(modules));
    }
    let snapshot = settings.snapshot;
    own.extend(snapshot.map(|choice| ("snapshot".to_owned(), Value::Boolean(choice))));
    let tool = Table::from_iter([("webimport".to_owned(), Value::Table(own))]);
    Table::from_iter([("tool".to_owned(), Value::Table(tool))]).to_string()
}
