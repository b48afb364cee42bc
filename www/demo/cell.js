// One cell: editor, run button, progress, output, state. The notebook decides when it runs.

import { makeEditor } from "./editor.js";
import { element } from "./format.js";
import { Output } from "./output.js";
import { ProgressLines } from "./progress.js";

const seconds = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

/** The states that `data-state` takes. */
const LABELS = { idle: "not run yet", queued: "waiting", running: "running", ok: "done", error: "failed" };

export class Cell {
  #textarea;
  #button;
  #note;

  /** @param {HTMLElement} section `<section class="cell" data-cell="…">` with a textarea */
  constructor(section) {
    this.section = section;
    this.id = section.dataset.cell;
    this.#textarea = section.querySelector("textarea");
    const title = section.querySelector("h2")?.textContent ?? this.id;
    this.#textarea.setAttribute("aria-label", `Python code: ${title}`);

    const frame = makeEditor(this.#textarea);
    this.#button = element("button", "run");
    this.#button.type = "button";
    this.#button.title = "Run (Shift+Enter)";
    this.#button.setAttribute("aria-label", `Run: ${title}`);
    this.#note = element("p", "note-line");
    const progress = element("div", "progress");
    const output = element("div", "output");
    output.setAttribute("role", "group");
    output.setAttribute("aria-label", `Output: ${title}`);
    frame.append(this.#button);
    frame.after(element("div", "under", progress, this.#note), output);

    this.progress = new ProgressLines(progress);
    this.output = new Output(output);
    this.setState("idle");
  }

  get source() {
    return this.#textarea.value;
  }

  focus() {
    this.#textarea.focus();
    this.section.scrollIntoView({ block: "nearest" });
  }

  /** @param {keyof LABELS} state @param {number} [milliseconds] how long the run took */
  setState(state, milliseconds) {
    this.section.dataset.state = state;
    const took = milliseconds === undefined ? "" : ` in ${seconds.format(milliseconds / 1000)} s`;
    const expected = state === "error" && this.section.dataset.expect === "error" ? ", as it should" : "";
    this.#note.textContent = state === "idle" ? "" : `${LABELS[state]}${took}${expected}`;
    this.#button.disabled = state === "running" || state === "queued";
  }

  /** @param {() => void} run @param {() => void} runAndMoveOn */
  onRun(run, runAndMoveOn) {
    this.#button.addEventListener("click", run);
    this.#textarea.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      if (event.shiftKey) runAndMoveOn();
      else if (event.ctrlKey || event.metaKey) run();
      else return;
      event.preventDefault();
    });
  }
}

/** A new, empty cell. */
export function emptyCell(number) {
  const section = element("section", "cell", element("h2", "quiet-title", `Cell ${number}`), element("textarea"));
  section.dataset.cell = `cell-${number}`;
  return section;
}
