//! One tab: runs Python in its Pyodide and JavaScript beside it, and flips bits in its storage.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fantoccini::wd::WindowHandle;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::browser::Session;
use crate::devtools::DevTools;

/// An exception: from Python with its class, or from JavaScript with the error's name.
#[derive(Debug, Clone, Deserialize)]
pub struct Raised {
    /// The class, `VerifyError`.
    #[serde(rename = "type")]
    pub class: String,
    /// The class's bases, nearest first, without `object`.
    pub bases: Vec<String>,
    /// `verify.digest` and the like, where the exception has one.
    pub code: Option<String>,
    /// The release or module that it is about.
    pub name: Option<String>,
    /// The exception's text.
    pub message: String,
    /// Python's notes; of a JavaScript error the hint.
    pub notes: Vec<String>,
    /// The formatted traceback or stack.
    pub traceback: String,
}

impl Raised {
    /// The code, or an empty text.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }

    /// All notes together.
    pub fn hint(&self) -> String {
        self.notes.join("\n")
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} [{}]\n{}",
            self.class,
            self.code(),
            self.traceback
        )?;
        self.notes
            .iter()
            .try_for_each(|note| write!(formatter, "\n{note}"))
    }
}

/// What a cell gave.
#[derive(Debug, Clone, Deserialize)]
pub struct Cell {
    /// The value of the last expression, as JSON; null after an exception.
    #[serde(default)]
    pub value: Value,
    /// The exception that ended the cell.
    pub error: Option<Raised>,
    /// What it printed.
    pub printed: Vec<String>,
}

/// A call that [`Page::start_python`] has started.
#[derive(Debug)]
#[must_use = "the call's outcome is read with `finish_python`"]
pub struct Started(u32);

/// A tab of a browser session.
#[derive(Clone)]
pub struct Page {
    session: Session,
    window: WindowHandle,
    calls: Arc<AtomicU32>,
}

impl Page {
    pub(crate) fn new(session: Session, window: WindowHandle) -> Self {
        Self {
            session,
            window,
            calls: Arc::default(),
        }
    }

    /// Goes to this URL and waits for its `load` event.
    pub async fn goto(&self, url: &str) {
        let client = self.session.in_window(&self.window).await;
        client
            .goto(url)
            .await
            .unwrap_or_else(|error| panic!("could not open {url}: {error}"));
    }

    /// Loads the same URL again.
    pub async fn reload(&self) {
        let client = self.session.in_window(&self.window).await;
        client.refresh().await.expect("the page loads again");
    }

    /// Waits until the cache has what the page brought: a load does not.
    pub async fn kept(&self) {
        self.run("import webimport\nawait webimport.cache.info()")
            .await;
    }

    /// Waits until the cache has as many memory snapshots.
    pub async fn kept_snapshots(&self, count: usize) {
        let script = "const database = await new Promise((resolve, reject) => {
               const request = indexedDB.open('webimport');
               request.onsuccess = () => resolve(request.result);
               request.onerror = () => reject(request.error);
             });
             const records = database.transaction('snapshots').objectStore('snapshots').getAll();
             await new Promise((resolve) => { records.onsuccess = resolve; });
             database.close();
             return records.result.filter(([, blob]) => blob.size > 10_000_000).length === args[0]";
        let _: bool = self
            .wait_for("memory snapshots in the cache", script, json!([count]))
            .await;
    }

    /// Closes the tab when all is [`kept`](Self::kept).
    pub async fn leave(self) {
        self.kept().await;
        self.kill().await;
    }

    /// Closes the tab at once, whatever it is doing.
    pub async fn kill(self) {
        let client = self.session.in_window(&self.window).await;
        client.close_window().await.expect("a tab can be closed");
    }

    /// Waits until Pyodide is up and webimport attached.
    pub async fn ready(&self) -> Result<(), Raised> {
        let cell: Cell = self.value("return harness.ready", json!([])).await;
        cell.error.map_or(Ok(()), Err)
    }

    /// Runs a cell and gives the value of its last expression, as JSON; what JSON does not know, as its `repr`.
    pub async fn python(&self, code: &str) -> Result<Value, Raised> {
        let cell = self.cell(code).await;
        cell.error.map_or(Ok(cell.value), Err)
    }

    /// Runs a cell that has to succeed.
    pub async fn run(&self, code: &str) -> Value {
        self.python(code)
            .await
            .unwrap_or_else(|raised| panic!("the cell raised {raised}\n--- cell\n{code}"))
    }

    /// Runs a cell that has to raise.
    pub async fn raises(&self, code: &str) -> Raised {
        match self.python(code).await {
            Err(raised) => raised,
            Ok(value) => panic!("the cell was to raise, and gave {value}\n--- cell\n{code}"),
        }
    }

    /// Runs a cell and gives all that it gave.
    pub async fn cell(&self, code: &str) -> Cell {
        self.value("return harness.python(args[0])", json!([code]))
            .await
    }

    /// Starts a cell and comes back at once, so that the test can act meanwhile.
    pub async fn start_python(&self, code: &str) -> Started {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let _: Value = self
            .value("harness.start(...args)", json!([id, code]))
            .await;
        Started(id)
    }

    /// Waits for a started cell.
    pub async fn finish_python(&self, started: Started) -> Result<Value, Raised> {
        // A WebDriver command has its own deadline, and what runs in a worker may take longer.
        let script = "return Promise.race([harness.finish(args[0]), new Promise((resolve) => setTimeout(resolve, 60_000))])";
        loop {
            let cell: Option<Cell> = self.value(script, json!([started.0])).await;
            if let Some(cell) = cell {
                return cell.error.map_or(Ok(cell.value), Err);
            }
        }
    }

    /// Runs the body of an `async` function on the page's main thread; `args` is its array of arguments.
    pub async fn js(&self, body: &str, args: Value) -> Result<Value, Raised> {
        let script = format!(
            "const args = Array.from(arguments); const done = args.pop();
            (async () => {{ {body}\n }})().then(
              (value) => done({{ value: value === undefined ? null : value }}),
              (error) => done({{ error: {{
                type: error?.name ?? typeof error, bases: [], code: error?.code === undefined ? null : String(error.code),
                name: error?.detail?.name ?? null, message: String(error?.message ?? error),
                notes: error?.hint ? [String(error.hint)] : [], traceback: String(error?.stack ?? error) }} }}),
            );"
        );
        let Value::Array(args) = args else {
            panic!("arguments are an array")
        };
        let client = self.session.in_window(&self.window).await;
        let answer = client.execute_async(&script, args).await;
        let mut answer = answer
            .unwrap_or_else(|error| panic!("the page did not answer: {error}\n--- script\n{body}"));
        match answer.get_mut("error") {
            Some(error) => {
                Err(serde_json::from_value(error.take()).expect("an error has its fixed form"))
            }
            None => Ok(answer["value"].take()),
        }
    }

    /// Runs JavaScript that has to succeed, and reads its value.
    pub async fn value<T: DeserializeOwned>(&self, body: &str, args: Value) -> T {
        let value = self
            .js(body, args)
            .await
            .unwrap_or_else(|raised| panic!("the script threw {raised}\n--- script\n{body}"));
        serde_json::from_value(value.clone())
            .unwrap_or_else(|error| panic!("{error} in {value}\n--- script\n{body}"))
    }

    /// Waits until the body of an `async` function gives something true, and reads it. The page is asked again whenever
    /// its document changes, and at short intervals for what does not show there.
    pub async fn wait_for<T: DeserializeOwned>(&self, what: &str, body: &str, args: Value) -> T {
        let script = format!(
            "const condition = async (args) => {{ {body}\n }};
             const deadline = performance.now() + 90_000;
             for (;;) {{
               const value = await condition(args);
               if (value) return value;
               if (performance.now() > deadline) throw new Error('waited 90 s');
               await new Promise((resolve) => {{
                 const observer = new MutationObserver(resolve);
                 observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
                 setTimeout(() => {{ observer.disconnect(); resolve(); }}, 100);
               }});
             }}"
        );
        let value = self
            .js(&script, args)
            .await
            .unwrap_or_else(|raised| panic!("waiting for {what}: {raised}"));
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error} in {value}"))
    }

    /// The progress events so far.
    pub async fn progress(&self) -> Vec<Value> {
        self.value("return harness.progress", json!([])).await
    }

    /// The descriptions of all loads so far, as the `loaded` event gives them.
    pub async fn loads(&self) -> Vec<Value> {
        self.value("return harness.loads", json!([])).await
    }

    /// The description of the last load.
    pub async fn last_load(&self) -> Value {
        self.loads().await.pop().expect("something was loaded")
    }

    /// What the page has written to its console, uncaught errors and policy violations included.
    pub async fn log(&self) -> Vec<String> {
        self.value("return globalThis.harnessLog ?? []", json!([]))
            .await
    }

    /// Sends a command of the protocol of Chrome's developer tools, which Chromium alone has, and gives its answer.
    pub async fn devtools(&self, command: &'static str, parameters: Value) -> Value {
        let client = self.session.in_window(&self.window).await;
        let sent = DevTools {
            command,
            parameters,
        };
        let answer = client.issue_cmd(sent).await;
        answer.unwrap_or_else(|error| panic!("`{command}` failed: {error}"))
    }

    /// A picture of the tab, PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.session
            .in_window(&self.window)
            .await
            .screenshot()
            .await
            .expect("a screenshot")
    }

    /// The keys of the stored objects, in order. The page has to be of the site's origin.
    pub async fn stored_objects(&self) -> Vec<String> {
        self.value(
            &in_storage("objects", "readonly", "return wait(store.getAllKeys())"),
            json!([]),
        )
        .await
    }

    /// The size of one stored object.
    pub async fn stored_size(&self, sha256: &str) -> usize {
        self.value(
            &in_storage(
                "objects",
                "readonly",
                "return (await wait(store.get(args[0]))).length",
            ),
            json!([sha256]),
        )
        .await
    }

    /// Flips the lowest bit of one byte of a stored object.
    pub async fn flip_stored_bit(&self, sha256: &str, offset: usize) {
        let body = "const bytes = await wait(store.get(args[0])); bytes[args[1]] ^= 1; await wait(store.put(bytes, args[0]))";
        let _: Value = self
            .value(
                &in_storage("objects", "readwrite", body),
                json!([sha256, offset]),
            )
            .await;
    }

    /// What is stored of metadata, a record for each root pin: `{roots, timestamp, snapshot, targets}`, of each file its
    /// SHA-256 in hex, targets as pairs with the role's name.
    pub async fn stored_metadata(&self) -> Vec<Value> {
        let body = "const sha256 = async (bytes) =>
              Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
            const records = await wait(store.getAll());
            return Promise.all(records.map(async ({ roots, timestamp, snapshot, targets }) => ({
              roots: await Promise.all(roots.map(sha256)), timestamp: await sha256(timestamp), snapshot: await sha256(snapshot),
              targets: await Promise.all(targets.map(async ([role, bytes]) => [role, await sha256(bytes)])),
            })))";
        self.value(&in_storage("metadata", "readonly", body), json!([]))
            .await
    }
}

/// JavaScript with this object store of the database `webimport` as `store`. It opens no new database, so that a page
/// that has stored nothing shows as an error.
fn in_storage(store: &str, mode: &str, body: &str) -> String {
    format!(
        r#"const wait = (request) => new Promise((resolve, reject) => {{
             request.onsuccess = () => resolve(request.result);
             request.onerror = () => reject(request.error);
             request.onupgradeneeded = () => {{ request.transaction.abort(); }};
           }});
           const database = await wait(indexedDB.open("webimport"));
           try {{
             const store = database.transaction("{store}", "{mode}").objectStore("{store}");
             {body};
           }} finally {{ database.close(); }}"#
    )
}
