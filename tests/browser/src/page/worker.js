// Runs Pyodide in a module worker, the same way as the main thread does.
for (const level of ["debug", "log", "info", "warn", "error"]) {
  const shown = console[level].bind(console);
  console[level] = (...parts) => {
    postMessage({ log: `worker ${level}: ${parts.map(String).join(" ")}` });
    shown(...parts);
  };
}
addEventListener("unhandledrejection", (event) => postMessage({ log: `worker rejection: ${event.reason?.stack ?? event.reason}` }));

let run;
addEventListener("message", async ({ data }) => {
  const { describe, start } = await import("/harness/realm.js");
  try {
    if (data.orders) {
      const webimport = data.orders.script ? await import(data.orders.script) : null;
      webimport?.events.addEventListener("progress", ({ detail }) => postMessage({ progress: detail }));
      webimport?.events.addEventListener("loaded", ({ detail }) => postMessage({ loaded: JSON.parse(JSON.stringify(detail)) }));
      run = await start(data.orders, webimport);
      postMessage({ id: data.id, done: { value: null, printed: [] } });
    } else {
      postMessage({ id: data.id, done: await run(data.code) });
    }
  } catch (error) {
    postMessage({ id: data.id, done: { error: describe(error), printed: [] } });
  }
});
