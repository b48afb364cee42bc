//! The demo: releases real packages into a new repository, and serves it and the demo page on loopback.
//!
//! It does what a publisher and a page's author would do, with the same command line; nothing is prepared
//! beforehand.

mod page_server;
mod publish;

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use self::page_server::Layer;
use self::publish::Keep;
use crate::progress::note;
use crate::rooms::Rooms;
use crate::setup::{self, Part};
use crate::{Outcome, build, process};

/// Where the page is when nobody says otherwise. It stays the same, so that a second run of the demo finds
/// what the browser kept from the first.
const PORT: u16 = 8460;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    check: bool,
    screenshot: Option<PathBuf>,
    port: Option<u16>,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--check" => options.check = true,
                "--screenshot" => {
                    let file = arguments.next().ok_or("`--screenshot` takes a file name")?;
                    options.screenshot = Some(PathBuf::from(file));
                    options.check = true;
                }
                "--port" => {
                    let number = arguments.next().and_then(|text| text.parse().ok());
                    options.port = Some(number.ok_or("`--port` takes a number from 0 to 65535")?);
                }
                other => {
                    return Err(format!(
                        "`demo` takes --check, --screenshot FILE and --port PORT, got `{other}`"
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// `cargo xtask demo [--check] [--screenshot FILE] [--port PORT]`.
pub(crate) fn command(rooms: &Rooms, arguments: &[String]) -> Result<Outcome> {
    let Options {
        check,
        screenshot,
        port,
    } = match Options::read(arguments) {
        Ok(options) => options,
        Err(message) => return Ok(Outcome::Usage(message)),
    };
    let mut parts = build::PARTS.to_vec();
    parts.extend([Part::Venv, Part::Wheels]);
    if check {
        parts.push(Part::Browsers);
    }
    setup::install(rooms, &parts)?;
    build::site(rooms)?;
    let webimport = build::command_line(rooms, build::Profile::Debug)?;

    // A check starts from nothing, and leaves alone what a person may be looking at.
    let folder = rooms.at(if check {
        "target/demo-check"
    } else {
        "target/demo"
    });
    let keep = if check { Keep::Nothing } else { Keep::Current };
    let root = publish::all(rooms, &webimport, &folder, keep)?;
    let server = RepositoryServer::start(
        rooms,
        &webimport,
        &folder.join("repo"),
        port_after(port, check),
    )?;
    let config = folder.join("site/config.json");
    std::fs::create_dir_all(folder.join("site"))?;
    std::fs::write(
        &config,
        serde_json::to_string_pretty(&page_config(&server.url, &root))?,
    )
    .with_context(|| format!("cannot write `{}`", config.display()))?;
    let layers = vec![
        Layer {
            prefix: "",
            folder: folder.join("site"),
        },
        Layer {
            prefix: "",
            folder: rooms.at("www/demo"),
        },
        Layer {
            prefix: "",
            folder: rooms.site(),
        },
        Layer {
            prefix: "pyodide/",
            folder: rooms.node_modules().join("pyodide"),
        },
    ];
    let address = match port {
        Some(port) => page_server::start(layers, port)?,
        None if check => page_server::start(layers, 0)?,
        None => {
            page_server::start(layers.clone(), PORT).or_else(|_| page_server::start(layers, 0))?
        }
    };
    let url = format!("http://{address}/");
    if check {
        let passed = run_check(rooms, &url, screenshot.as_deref())?;
        return Ok(if passed {
            Outcome::Done
        } else {
            Outcome::Failed
        });
    }
    println!(
        "\nrepository  {}/\nroot pin    {root}\n\nThe demo page is at {url}\nCtrl-C ends it.",
        server.url
    );
    server.wait()
}

/// What the page's `<script type="application/webimport+json" src="config.json">` reads.
fn page_config(repository: &str, root: &str) -> Value {
    let releases: serde_json::Map<String, Value> = publish::names()
        .map(|name| (name.to_owned(), json!({"repository": repository})))
        .collect();
    json!({"repositories": {repository: {"root": root}}, "releases": releases})
}

/// The repository's port: next to the page's, or any free one.
fn port_after(port: Option<u16>, check: bool) -> u16 {
    let next = match port {
        Some(0) => None,
        Some(port) => port.checked_add(1),
        None if check => None,
        None => Some(PORT + 1),
    };
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    next.filter(is_free).unwrap_or(0)
}

/// `webimport serve`, ended with us.
struct RepositoryServer {
    process: Child,
    /// Base URL, without a final slash.
    url: String,
}

impl RepositoryServer {
    /// Starts it and waits until it says its URL. Port 0 takes any free one.
    fn start(rooms: &Rooms, webimport: &Path, repository: &Path, port: u16) -> Result<Self> {
        let mut process = process::command(rooms, webimport)
            .args(["serve", "--json", "--port", &port.to_string()])
            .arg(repository)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run `webimport serve`")?;
        let stdout = process.stdout.take();
        // From here on the process is ended with us, also by an error.
        let mut server = Self {
            process,
            url: String::new(),
        };
        let mut line = String::new();
        BufReader::new(stdout.context("`webimport serve` has no stdout")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)
            .with_context(|| format!("`webimport serve` did not start: {line}"))?;
        let url = said["url"]
            .as_str()
            .with_context(|| format!("`webimport serve` named no URL: {line}"))?;
        server.url.push_str(url.trim_end_matches('/'));
        Ok(server)
    }

    /// Waits until it ends, which it does by Ctrl-C.
    fn wait(mut self) -> Result<Outcome> {
        let status = self.process.wait()?;
        note(&format!("`webimport serve` ended ({status})"));
        Ok(if status.success() {
            Outcome::Done
        } else {
            Outcome::Failed
        })
    }
}

impl Drop for RepositoryServer {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Opens the page in a headless browser, which says on stdout what the cells showed.
fn run_check(rooms: &Rooms, url: &str, screenshot: Option<&Path>) -> Result<bool> {
    let mut command = process::cargo(rooms);
    command.args([
        "run",
        "--quiet",
        "-p",
        "webimport-browser-tests",
        "--bin",
        "demo-check",
        "--",
        url,
    ]);
    if let Some(file) = screenshot {
        command.arg("--screenshot").arg(file);
    }
    process::inherit(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, String> {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        Options::read(&arguments)
    }

    #[test]
    fn a_screenshot_is_part_of_a_check() {
        let options = read(&["--screenshot", "page.png", "--port", "0"]).expect("reads");
        assert_eq!(
            options,
            Options {
                check: true,
                screenshot: Some("page.png".into()),
                port: Some(0)
            }
        );
    }

    #[test]
    fn unknown_options_and_bad_ports_are_refused() {
        for arguments in [
            &["--port", "65536"][..],
            &["--port"],
            &["--screenshot"],
            &["check"],
        ] {
            assert!(read(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn the_page_config_pins_the_root_and_names_every_release() {
        let config = page_config("http://127.0.0.1:1", "sha256:ab");
        assert_eq!(
            config["repositories"]["http://127.0.0.1:1"]["root"],
            "sha256:ab"
        );
        for name in ["rich", "networkx", "my-package"] {
            assert_eq!(config["releases"][name]["repository"], "http://127.0.0.1:1");
        }
    }
}
