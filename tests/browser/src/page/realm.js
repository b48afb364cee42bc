// What runs where Pyodide runs: on the page's main thread or in the worker.

const DESCRIBE = `
import json, sys, traceback
error = sys.last_exc
cls = type(error)
json.dumps({
    "type": cls.__name__,
    "bases": [base.__name__ for base in cls.__mro__[1:-1]],
    "code": getattr(error, "code", None) if isinstance(getattr(error, "code", None), str) else None,
    "name": getattr(error, "name", None) if isinstance(getattr(error, "name", None), str) else None,
    "message": str(error),
    "notes": list(getattr(error, "__notes__", ())),
    "traceback": "".join(traceback.format_exception(error)),
})`;

/** A JavaScript error as JSON. */
export function describe(error) {
  return {
    type: error?.name ?? typeof error,
    bases: [],
    code: error?.code === undefined ? null : String(error.code),
    name: error?.detail?.name ?? null,
    message: String(error?.message ?? error),
    notes: error?.hint ? [String(error.hint)] : [],
    traceback: String(error?.stack ?? error),
  };
}

/** Starts Pyodide, attaches webimport where it is asked for, and gives the function that runs cells. */
export async function start({ pyodide: folder, attach, boot, config, prefetch }, webimport) {
  if (prefetch) {
    globalThis.prefetching = webimport.prefetch(...prefetch);
    prefetching.catch(() => {});
  }
  const pyodide = boot ? await booted(folder, boot, config, webimport) : await loaded(folder);
  globalThis.pyodide = pyodide;
  let printed = [];
  pyodide.setStdout({ batched: (line) => printed.push(line) });
  pyodide.setStderr({ batched: (line) => printed.push(line) });
  if (webimport && attach && !boot) await webimport.attach(pyodide, config ?? undefined);
  const json = pyodide.pyimport("json");
  const { repr } = pyodide.pyimport("builtins");

  return async (code) => {
    printed = [];
    try {
      const value = await pyodide.runPythonAsync(code, { filename: "<cell>" });
      // What JSON does not know comes as its text.
      const text = json.dumps.callKwargs(value, { default: repr });
      value?.destroy?.();
      return { value: JSON.parse(text), printed };
    } catch (error) {
      if (error?.constructor?.name !== "PythonError") return { error: describe(error), printed };
      const scope = pyodide.toPy({});
      const described = JSON.parse(pyodide.runPython(DESCRIBE, { globals: scope }));
      scope.destroy();
      return { error: described, printed };
    }
  };
}

async function loaded(folder) {
  const { loadPyodide } = await import(`${folder}pyodide.mjs`);
  return loadPyodide({ indexURL: new URL(folder, location.origin).href });
}

/** By `boot`; the global `booted` says how it came. */
async function booted(folder, options, config, webimport) {
  const began = performance.now();
  const { pyodide, from, reason, releases } = await webimport.boot({ indexURL: folder, config: config ?? undefined, ...options });
  const took = performance.now() - began;
  globalThis.booted = { from, reason, took, releases: releases.map(({ name, version }) => `${name}@${version}`) };
  return pyodide;
}
