// The demo page: starts Pyodide, attaches webimport to it and runs cells, one after the other.
//
// The address `?start=NAME` loads that release with Python itself: from the second visit on, out of its memory snapshot.
//
// For whoever drives the page by program: `data-ready` on the root element is booting, ready or failed; `data-run` is
// idle, running or done, where done means that no cell waits any more; each cell has `data-cell` and `data-state`
// (idle, queued, running, ok, error); the address `?run=all` runs all cells once Python is there.

import { Cell, emptyCell } from "./cell.js";
import { CachePanel, Releases } from "./panel.js";

const root = document.documentElement;
const status = document.getElementById("status");
const notebook = document.getElementById("notebook");
const addButton = document.getElementById("add-cell");
const runAllButton = document.getElementById("run-all");

const cells = [...notebook.querySelectorAll(".cell")].map((section) => addCell(new Cell(section)));
const queue = [];
let current = null;
let runs = 0;
let python = null;

runAllButton.addEventListener("click", runAll);
addButton.addEventListener("click", () => {
  const section = emptyCell(cells.length + 1);
  addButton.before(section);
  const cell = addCell(new Cell(section));
  cells.push(cell);
  cell.focus();
});

boot().then(
  () => {
    root.dataset.ready = "ready";
    runAllButton.disabled = false;
    if (new URLSearchParams(location.search).get("run") === "all") runAll();
    else work();
  },
  (error) => {
    root.dataset.ready = "failed";
    status.textContent = "Not running";
    const failure = document.getElementById("failure");
    failure.textContent = [error.message, error.hint].filter(Boolean).join(". ");
    failure.hidden = false;
    for (const cell of queue.splice(0)) cell.setState("idle");
    console.error(error);
  },
);

async function boot() {
  // Imported here and not above: a file that is missing is then told on the page, not only in the console.
  const [webimport, kernel] = await Promise.all([
    import("./webimport.js"),
    fetch("kernel.py").then((response) => {
      if (!response.ok) throw new Error(`kernel.py: the server answered ${response.status}`);
      return response.text();
    }),
  ]);
  const releases = new Releases(document.getElementById("releases"));
  const cache = new CachePanel(webimport.cache);
  webimport.events.addEventListener("progress", ({ detail }) => current?.progress.show(detail));
  webimport.events.addEventListener("loaded", ({ detail }) => {
    releases.add(detail);
    cache.refresh();
  });
  webimport.events.addEventListener("unloaded", ({ detail }) => releases.remove(detail.sha256));
  const began = performance.now();
  const { pyodide, from } = await webimport.boot({
    indexURL: new URL("pyodide/", document.baseURI).href,
    releases: new URLSearchParams(location.search).getAll("start"),
  });
  const took = Math.round(performance.now() - began);
  pyodide.setStdout(stream("stdout"));
  pyodide.setStderr(stream("stderr"));
  await cache.refresh();

  const namespace = pyodide.toPy({});
  pyodide.runPython(kernel, { globals: namespace, filename: "kernel.py" });
  python = async (source, file) => {
    namespace.set("request", pyodide.toPy([source, file]));
    // `runPythonAsync` enters Python the way notebooks do, where the browser can suspend it (`run_sync`).
    return JSON.parse(await pyodide.runPythonAsync("await run(*request)", { globals: namespace }));
  };
  const version = pyodide.runPython("import platform; platform.python_version()");
  status.textContent = `Python ${version}, ready in ${took} ms${from === "snapshot" ? ", from a signed snapshot" : ""}`;
  status.title = `Pyodide ${pyodide.version}`;
}

/** What Python writes goes to the cell that runs, or to the one that ran last, byte by byte. */
function stream(name) {
  const decoder = new TextDecoder();
  return {
    write(buffer) {
      const text = decoder.decode(buffer, { stream: true });
      if (current) current.output.write(name, text);
      else console.log(text);
      return buffer.length;
    },
  };
}

function addCell(cell) {
  cell.onRun(
    () => enqueue(cell),
    () => {
      enqueue(cell);
      const next = cells[cells.indexOf(cell) + 1];
      if (next) next.focus();
      else addButton.click();
    },
  );
  return cell;
}

function runAll() {
  cells.forEach(enqueue);
}

function enqueue(cell) {
  if (root.dataset.ready === "failed" || queue.includes(cell)) return;
  queue.push(cell);
  cell.setState("queued");
  work();
}

/** Run what waits. One cell at a time: they share an interpreter, and the streams belong to one cell. */
async function work() {
  if (!python || root.dataset.run === "running" || !queue.length) return;
  root.dataset.run = "running";
  while (queue.length) await runCell(queue.shift());
  root.dataset.run = "done";
}

async function runCell(cell) {
  current = cell;
  cell.output.clear();
  cell.progress.clear();
  cell.setState("running");
  await painted();
  const start = performance.now();
  // A new name for each run: functions from an earlier run keep the source that they were made from.
  const file = `cell ${cell.id} [${++runs}]`;
  let state = "error";
  try {
    const { result, error } = await python(cell.source, file);
    cell.output.flush();
    if (error) {
      cell.progress.abandon();
      cell.output.error(error, file);
    } else {
      if (result) cell.output.result(result, `Result of the cell ${cell.id}`);
      state = "ok";
    }
  } catch (error) {
    // Python itself gave up, or the page has a mistake: there is no traceback to take apart.
    cell.output.write("stderr", `${error}\n`);
    cell.output.flush();
  }
  cell.setState(state, performance.now() - start);
}

/** Let the browser show the new state before Python takes the thread; a hidden page gets no frames, hence the timer. */
function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 60);
  });
}
