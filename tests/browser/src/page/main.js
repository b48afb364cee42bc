// The page's end of the harness: `harness.python(code)` wherever Pyodide runs, `harness.start` and `harness.finish`
// for calls that outlast one WebDriver command.
import { describe, start } from "./realm.js";

const orders = JSON.parse(document.getElementById("orders").textContent);
const calls = new Map();
const progress = [];
const loads = [];
let run;

if (orders.worker) {
  const worker = new Worker(orders.worker, { type: "module" });
  worker.addEventListener("error", (event) => harnessLog.push(`worker error: ${event.message}`));
  const waiting = new Map();
  worker.addEventListener("message", ({ data }) => {
    if (data.log) harnessLog.push(data.log);
    if (data.progress) progress.push(data.progress);
    if (data.loaded) loads.push(data.loaded);
    waiting.get(data.id)?.(data.done);
    waiting.delete(data.id);
  });
  let last = 0;
  const send = (message) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, resolve);
      // A worker that cannot even start never answers.
      worker.addEventListener("error", (event) => reject(new Error(event.message ?? "the worker did not start")), { once: true });
      worker.postMessage({ id: last, ...message });
    });
  run = (code) => send({ code });
  globalThis.harness = { ready: send({ orders }).catch((error) => ({ error: describe(error), printed: [] })) };
} else {
  const boot = async () => {
    const webimport = orders.script ? globalThis.webimport : null;
    if (orders.script && !webimport) throw new Error("the script tag has set no global `webimport`");
    webimport?.events.addEventListener("progress", ({ detail }) => progress.push(detail));
    // As JSON, because a release also has functions.
    webimport?.events.addEventListener("loaded", ({ detail }) => loads.push(JSON.parse(JSON.stringify(detail))));
    run = await start(orders, webimport);
    return { value: null, printed: [] };
  };
  globalThis.harness = { ready: boot().catch((error) => ({ error: describe(error), printed: [] })) };
}

Object.assign(harness, {
  progress,
  loads,
  describe,
  async python(code) {
    const ready = await harness.ready;
    if (ready.error) return ready;
    return run(code);
  },
  start(id, code) {
    calls.set(id, harness.python(code).catch((error) => ({ error: describe(error), printed: [] })));
  },
  finish: (id) => calls.get(id),
});
