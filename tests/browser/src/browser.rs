//! Browsers under WebDriver: a pool of sessions, each with its driver, and their end.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::page::Page;
use crate::{scratch, tools};

/// A browser that the tests know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Browser {
    /// Chromium, through chromedriver.
    Chromium,
    /// Firefox ESR, through geckodriver.
    Firefox,
}

impl fmt::Display for Browser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        })
    }
}

impl Browser {
    /// The driver, and what its standard output says before the port.
    fn driver(self) -> (PathBuf, &'static [&'static str], &'static str) {
        match self {
            Self::Chromium => (
                tools::program("chromedriver"),
                &["--port=0"],
                "successfully on port ",
            ),
            Self::Firefox => (
                tools::program("geckodriver"),
                &["--port=0", "--websocket-port=0"],
                "Listening on 127.0.0.1:",
            ),
        }
    }

    fn capabilities(self, profile: &Path) -> serde_json::Map<String, Value> {
        let timeouts = json!({"script": 180_000, "pageLoad": 60_000});
        let profile = profile.to_string_lossy();
        let capabilities = match self {
            Self::Chromium => json!({
                "browserName": "chrome",
                "timeouts": timeouts,
                "goog:chromeOptions": {"args": [
                    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
                    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    // A test's other tabs are never in front, and have to go on all the same.
                    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
                    "--disable-backgrounding-occluded-windows",
                    "--window-size=1200,1400",
                    format!("--user-data-dir={profile}"),
                ]},
            }),
            Self::Firefox => json!({
                "browserName": "firefox",
                "timeouts": timeouts,
                "moz:firefoxOptions": {
                    "binary": tools::program("firefox-esr").to_string_lossy(),
                    "args": ["-headless", "--width=1200", "--height=1400", "-profile", profile],
                    "prefs": {
                        "browser.shell.checkDefaultBrowser": false,
                        "browser.startup.page": 0,
                        "datareporting.policy.dataSubmissionEnabled": false,
                        "toolkit.telemetry.enabled": false,
                        "app.update.enabled": false,
                    },
                },
            }),
        };
        let Value::Object(capabilities) = capabilities else {
            unreachable!("written as an object above")
        };
        capabilities
    }
}

/// A driver process in a process group of its own.
///
/// It is started by a shell that waits for the end of its standard input, and then ends the whole group. The input's
/// other end is held here. So the browsers go when this is dropped, and also when the test process is killed.
struct Driver {
    shell: Child,
    lifeline: Option<ChildStdin>,
    url: String,
}

impl Driver {
    async fn start(browser: Browser) -> Self {
        let (program, arguments, marker) = browser.driver();
        let mut shell = Command::new("sh")
            .args(["-c", "\"$@\" & read -r _; kill -s KILL -- -$$", "sh"])
            .arg(&program)
            .args(arguments)
            // Drivers put profiles of their own here, which go with the folder.
            .env("TMPDIR", scratch::folder("driver"))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start `{}`: {error}", program.display()));
        let lifeline = shell.stdin.take();
        let mut lines = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
        let port = async {
            while let Some(line) = lines.next_line().await.expect("the driver speaks UTF-8") {
                if let Some((_, rest)) = line.split_once(marker) {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    return digits;
                }
            }
            panic!("`{}` ended before it listened", program.display());
        };
        let port = tokio::time::timeout(Duration::from_secs(30), port)
            .await
            .expect("the driver says its port within 30 s");
        // The pipe is read to its end, so that the driver never blocks on it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            shell,
            lifeline,
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    async fn end(&mut self) {
        self.lifeline = None;
        drop(tokio::time::timeout(Duration::from_secs(10), self.shell.wait()).await);
    }
}

/// A browser process with a profile of its own, and its driver: geckodriver knows one session at a time.
#[derive(Clone)]
pub struct Session {
    client: Arc<AsyncMutex<Client>>,
    driver: Arc<AsyncMutex<Driver>>,
}

/// The session's client while a command runs; one command at a time, because the chosen window is the session's state.
pub(crate) struct InWindow<'a>(MutexGuard<'a, Client>);

impl Deref for InWindow<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Session {
    /// Opens an empty tab.
    pub async fn open(&self) -> Page {
        let client = self.client.lock().await;
        // The window that was chosen last may have been closed.
        let windows = client.windows().await.expect("a session has a window");
        client
            .switch_to_window(windows[0].clone())
            .await
            .expect("a window that is there");
        let window = client.new_window(true).await.expect("a new tab");
        let window = window.handle;
        Page::new(self.clone(), window)
    }

    pub(crate) async fn in_window(&self, window: &WindowHandle) -> InWindow<'_> {
        let client = self.client.lock().await;
        client
            .switch_to_window(window.clone())
            .await
            .unwrap_or_else(|error| panic!("the tab is gone: {error}"));
        InWindow(client)
    }

    /// Closes all tabs but one, and leaves the page in that one.
    async fn clean(&self) -> Result<(), fantoccini::error::CmdError> {
        let client = self.client.lock().await;
        let windows = client.windows().await?;
        let (last, others) = windows.split_last().expect("a session has a window");
        for window in others {
            client.switch_to_window(window.clone()).await?;
            client.close_window().await?;
        }
        client.switch_to_window(last.clone()).await?;
        client.goto("about:blank").await
    }

    /// Ends the browser.
    pub async fn close(self) {
        let client = self.client.lock().await.clone();
        drop(tokio::time::timeout(Duration::from_secs(20), client.close()).await);
        self.driver.lock().await.end().await;
    }
}

/// The browsers of one test process.
#[derive(Default)]
pub struct Browsers {
    idle: Mutex<HashMap<Browser, Vec<Session>>>,
}

impl Browsers {
    /// An idle session, or a new one.
    pub async fn session(&self, browser: Browser) -> Session {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(browser)
            .or_default()
            .pop();
        match idle {
            Some(session) => session,
            None => {
                self.session_with_profile(browser, &scratch::folder("profile"))
                    .await
            }
        }
    }

    /// A new browser process on this profile, which no other process uses.
    pub async fn session_with_profile(&self, browser: Browser, profile: &Path) -> Session {
        let driver = Driver::start(browser).await;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder
            .capabilities(browser.capabilities(profile))
            .connect(&driver.url)
            .await;
        let client = client.unwrap_or_else(|error| panic!("{browser} did not start: {error}"));
        Session {
            client: Arc::new(AsyncMutex::new(client)),
            driver: Arc::new(AsyncMutex::new(driver)),
        }
    }

    /// Takes a session back for the next test.
    pub async fn give_back(&self, browser: Browser, session: Session) {
        if session.clean().await.is_ok() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(browser)
                .or_default()
                .push(session);
        } else {
            session.close().await;
        }
    }

    /// Ends all idle browsers.
    pub async fn end(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for session in idle.into_values().flatten() {
            session.close().await;
        }
    }
}
