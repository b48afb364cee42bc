// What a cell shows: streams, results, tracebacks. Knows nothing of Pyodide or of releases.

import { copy, count, element } from "./format.js";
import { terminalText } from "./text.js";

// Characters of stdout and stderr that one run of a cell may show.
const LARGEST_STREAM = 200_000;
// Frames shown at either end of a long traceback.
const FIRST_FRAMES = 5;
const LAST_FRAMES = 8;

/** The output area of one cell. */
export class Output {
  #area;
  #stream = null;
  #painting = false;
  #written = 0;

  /** @param {HTMLElement} area */
  constructor(area) {
    this.#area = area;
  }

  clear() {
    this.#area.replaceChildren();
    this.#stream = null;
    this.#written = 0;
  }

  /**
   * Text as it arrives; consecutive writes to one stream share a block.
   *
   * @param {"stdout" | "stderr"} name
   * @param {string} text
   */
  write(name, text) {
    const room = LARGEST_STREAM - this.#written;
    if (!text || room < 0) return;
    this.#written += text.length;
    if (text.length > room) text = `${text.slice(0, room)}\n… the rest is not shown`;
    if (this.#stream?.name !== name) {
      this.flush();
      const block = element("pre", "stream");
      block.dataset.output = name;
      block.tabIndex = 0; // wide output scrolls, so the keyboard must reach it
      this.#area.append(block);
      this.#stream = { name, block, text: "" };
    }
    this.#stream.text += text;
    if (this.#painting) return;
    this.#painting = true;
    setTimeout(() => this.flush(), 30);
  }

  /** Show what was written so far. */
  flush() {
    this.#painting = false;
    this.#stream?.block.replaceChildren(terminalText(this.#stream.text.replace(/\n$/, "")));
  }

  /** @param {{mime: string, text: string}} result @param {string} title what the frame of a rich result is called */
  result({ mime, text }, title) {
    this.flush();
    this.#stream = null;
    if (mime === "text/plain") {
      const block = element("pre", "result", text);
      block.dataset.output = "text";
      block.tabIndex = 0;
      this.#area.append(block);
    } else {
      this.#area.append(resultFrame(text, mime === "image/svg+xml" ? "svg" : "html", title));
    }
  }

  /** @param {{text: string, chain: object[]}} error what `kernel.py` says of an exception @param {string} cellFile */
  error(error, cellFile) {
    this.flush();
    this.#stream = null;
    const box = element("div", "traceback");
    box.dataset.output = "traceback";
    const last = error.chain.at(-1);
    box.append(heading(last));
    if (error.chain.some((one) => one.frames.length || one.inside.length)) {
      const copyButton = element("button", "quiet", "Copy");
      copyButton.type = "button";
      copyButton.addEventListener("click", async () => {
        copyButton.textContent = (await copy(error.text)) ? "Copied" : "Not copied";
        setTimeout(() => (copyButton.textContent = "Copy"), 1200);
      });
      box.append(element("p", "order", "Most recent call last ", copyButton));
    }
    for (const one of error.chain) {
      box.append(frameList(one.frames, cellFile));
      for (const inner of one.inside) box.append(element("div", "inside", heading(inner), frameList(inner.frames, cellFile)));
      if (one === last) continue;
      box.append(heading(one), element("p", "order", LINKS[one.link]));
    }
    this.#area.append(box);
  }
}

const LINKS = {
  cause: "That led directly to:",
  context: "While that was handled, another exception came up:",
};

function heading({ type, message, code, notes }) {
  const name = element("strong", "", type.split(".").at(-1));
  name.title = type;
  const head = element("p", "exception", name);
  if (code) head.append(" ", element("code", "chip", code));
  const box = element("div", "what", head);
  if (message) box.append(element("p", "message", message));
  for (const note of notes) box.append(element("p", "note", note));
  return box;
}

function frameList(allFrames, cellFile) {
  const list = element("ol", "frames");
  const frames = withoutRepetition(allFrames);
  frames.forEach((frame, index) => {
    if (frames.length > FIRST_FRAMES + LAST_FRAMES + 1) {
      if (index === FIRST_FRAMES) {
        list.append(element("li", "skipped", `… ${frames.length - FIRST_FRAMES - LAST_FRAMES} more calls …`));
      }
      if (index >= FIRST_FRAMES && index < frames.length - LAST_FRAMES) return;
    }
    // The reader's own line and the line that failed get their surroundings; the calls between them one line each.
    const whole = frame.file === cellFile || index === frames.length - 1;
    const item = element("li", "", place(frame, cellFile));
    if (!GENERATED.test(frame.file)) item.append(sourceLines(frame, whole));
    list.append(item);
    if (frame.repeated) list.append(element("li", "skipped", `… and the same ${count(frame.repeated, "more time")}`));
  });
  return list;
}

// A name such as `<class 'argmap'> compilation 12`: what linecache finds under it is some other source.
const GENERATED = /^</;

/** A recursion calls itself from one place again and again: that place once, and how often it came back. */
function withoutRepetition(frames) {
  const kept = [];
  for (const frame of frames) {
    const before = kept.at(-1);
    const same = before && ["file", "line", "name"].every((key) => before[key] === frame[key]);
    if (same) before.repeated += 1;
    else kept.push({ ...frame, repeated: 0 });
  }
  return kept;
}

function place({ file, line, name }, cellFile) {
  const where = element("p", "where");
  const mounted = /^\/webimport\/(.+)-([^-]+)-[0-9a-f]{12}\/(.+)$/.exec(file);
  const standard = /^\/lib\/python[\d.]+(?:\.zip)?\/(.+)$/.exec(file);
  if (file === cellFile) where.append(element("span", "origin own", "this cell"));
  else if (mounted) where.append(element("span", "origin", `${mounted[1]} ${mounted[2]}`), " ", element("code", "", mounted[3]));
  else if (GENERATED.test(file)) where.append(element("span", "origin", "generated code"));
  else if (standard) where.append(element("span", "origin", "Python"), " ", element("code", "", standard[1]));
  else where.append(element("code", "", file));
  where.append(`, line ${line}`);
  if (name && name !== "<module>") where.append(", in ", element("code", "", name));
  where.title = file;
  return where;
}

function sourceLines({ first, line, lines, mark }, whole) {
  const block = element("pre", "source");
  block.tabIndex = 0;
  lines.forEach((text, index) => {
    const number = first + index;
    if (!whole && number !== line) return;
    const row = element("span", number === line ? "line failing" : "line");
    row.append(element("span", "number", `${number}`));
    const code = element("span", "code");
    if (number === line && mark) {
      code.append(text.slice(0, mark[0]), element("mark", "", text.slice(...mark)), text.slice(mark[1]));
    } else {
      code.append(text);
    }
    row.append(code);
    block.append(row);
  });
  return block;
}

/**
 * HTML that came out of Python, in a frame of its own.
 *
 * Whatever runs in this page can read the cache and speak for the reader, and the HTML may hold text from anywhere, so
 * it must never run scripts. Sanitising means knowing every way in which markup can act; a sandbox means knowing none:
 * without `allow-scripts` the browser itself runs no script, event handler, `javascript:` link, form or refresh, and
 * without `allow-popups` and `allow-top-navigation` a link cannot leave the frame. `allow-same-origin` is harmless where
 * nothing runs, and lets this page measure the content and hand over the theme. The policy in the frame's own head keeps
 * it from fetching anything either, so that showing a result tells nobody about it; it names this origin, because
 * Firefox finds nothing that is `'self'` in such a frame.
 */
function resultFrame(markup, kind, title) {
  const frame = element("iframe", "result-frame");
  frame.dataset.output = kind;
  frame.title = title;
  frame.setAttribute("sandbox", "allow-same-origin");
  frame.srcdoc =
    `<!doctype html><html data-theme="${document.documentElement.dataset.theme}"><head><meta charset="utf-8">` +
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${location.origin} 'unsafe-inline'; ` +
    `img-src data:; font-src data:"><link rel="stylesheet" href="output.css"></head><body>${markup}</body></html>`;
  frame.addEventListener("load", () => {
    const content = frame.contentDocument;
    if (!content?.body) return;
    content.documentElement.dataset.theme = document.documentElement.dataset.theme;
    const fit = () => (frame.height = Math.ceil(content.body.getBoundingClientRect().height));
    new ResizeObserver(fit).observe(content.body);
    fit();
  });
  return frame;
}
