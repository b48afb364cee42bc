//! The demo page, driven by its `data-` attributes: which cells there are, what they show, what was transferred.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::page::Page;

/// The demo page in a tab.
pub struct Demo {
    page: Page,
}

/// A cell that has run.
#[derive(Debug, Clone, Deserialize)]
pub struct CellShown {
    /// `data-cell`.
    pub cell: String,
    /// `data-state`: `ok` or `error`.
    pub state: String,
    /// `data-expect`, where the cell is meant to fail.
    pub expect: Option<String>,
    /// The line that says how long it took.
    pub note: String,
    /// The output's text, that of framed results included.
    pub output: String,
    /// Of each output, its kind: `stdout`, `text`, `html`, `svg`, `traceback`.
    pub kinds: Vec<String>,
}

impl CellShown {
    /// Whether the cell ended as it is meant to, and showed something.
    pub fn is_as_meant(&self) -> bool {
        self.state == self.expect.as_deref().unwrap_or("ok") && !self.kinds.is_empty()
    }
}

/// A release in the panel, as its `data-` attributes say.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as on the page")]
pub struct ReleaseShown {
    pub release: String,
    pub version: String,
    pub network_files: String,
    pub network_bytes: String,
    pub cache_files: String,
    pub cache_bytes: String,
    /// The card's text.
    pub text: String,
}

impl Demo {
    /// Opens the page and waits until Python is there.
    ///
    /// # Errors
    /// What the page says when it has failed to start.
    pub async fn open(page: Page, url: &str) -> Result<Self, String> {
        page.goto(url).await;
        let ready: Value = page
            .wait_for(
                "the page to start",
                "const { ready } = document.documentElement.dataset;
                 return ready === 'booting' ? null : [ready, document.getElementById('failure')?.innerText ?? '']",
                json!([]),
            )
            .await;
        if ready[0] == "ready" {
            Ok(Self { page })
        } else {
            Err(format!("the page did not start: {}", ready[1]))
        }
    }

    /// The tab.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// The names of all cells, in order.
    pub async fn cells(&self) -> Vec<String> {
        self.page.value("return Array.from(document.querySelectorAll('[data-cell]'), (cell) => cell.dataset.cell)", json!([])).await
    }

    /// Runs one cell with its button.
    pub async fn run(&self, cell: &str) -> CellShown {
        let _: Value = self
            .page
            .value(
                "document.querySelector(`[data-cell=\"${args[0]}\"] button.run`).click()",
                json!([cell]),
            )
            .await;
        self.page
            .wait_for(
                &format!("the cell `{cell}`"),
                "const section = document.querySelector(`[data-cell=\"${args[0]}\"]`);
                 const { cell, state, expect = null } = section.dataset;
                 if (state !== 'ok' && state !== 'error') return null;
                 const outputs = Array.from(section.querySelectorAll('.output [data-output]'));
                 const frames = outputs.filter((output) => output.tagName === 'IFRAME');
                 // What is framed loads by itself.
                 if (frames.some((frame) => !frame.contentDocument?.body?.childElementCount)) return null;
                 const text = (output) => output.contentDocument?.body.textContent ?? output.innerText;
                 return {
                   cell, state, expect,
                   note: section.querySelector('.note-line').textContent,
                   output: outputs.map(text).join('\\n'),
                   kinds: outputs.map((output) => output.dataset.output),
                 }",
                json!([cell]),
            )
            .await
    }

    /// The releases in the panel.
    pub async fn releases(&self) -> Vec<ReleaseShown> {
        self.page
            .value(
                "return Array.from(document.querySelectorAll('[data-release]'),
                   (card) => ({ ...card.dataset, text: card.innerText }))",
                json!([]),
            )
            .await
    }

    /// What the page says of Python.
    pub async fn status(&self) -> String {
        self.page
            .value(
                "return document.getElementById('status').innerText",
                json!([]),
            )
            .await
    }

    /// What the panel says of the cache.
    pub async fn cache(&self) -> String {
        self.page
            .value(
                "return document.getElementById('cache-info').innerText",
                json!([]),
            )
            .await
    }
}
