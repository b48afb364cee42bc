/**
 * Python's half: installs the package, and calls it.
 *
 * There is one orchestrator of a load, and it is in Python (`webimport._load`); calls from JavaScript go
 * there through `webimport._bridge`, as text.
 */

import files from "webimport:python";
import { WebImportError } from "../public/api.js";
import { type ErrorRecord, toWebImportError } from "./errors.js";
import type { Pyodide, PythonProxy } from "./pyodide.js";
import { VERSION } from "./version.js";

/** Gives the version of the package that Python finds, and "" when it finds none. */
const FIND = `
try:
    import webimport
    found = str(getattr(webimport, "__version__", "unknown"))
except ModuleNotFoundError as error:
    if error.name != "webimport":
        raise
    found = ""
found
`;

const SITE_PACKAGES = "import site; site.getsitepackages()[0]";

const AFTER_INSTALL = "import importlib; importlib.invalidate_caches()";

/**
 * Makes `import webimport` work and puts `loadRelease` into the notebook's namespace.
 *
 * A wheel of this version that is there already is left alone.
 */
export function installPackage(pyodide: Pyodide): void {
  let found = run(pyodide, FIND);
  if (found === "") {
    writePackage(pyodide);
    run(pyodide, AFTER_INSTALL);
    found = run(pyodide, FIND);
  }
  if (found !== VERSION) throw otherVersion(`the Python package \`webimport\` ${found}`);
  pyodide.runPython("from webimport import loadRelease", { globals: pyodide.globals });
}

/** The error for two versions in one Pyodide. */
export function otherVersion(other: string): WebImportError {
  return new WebImportError("host.version", `expected ${other} to have the version ${VERSION} of webimport.js`, {
    hint: "use one version of webimport.js and of the wheel",
  });
}

/** Calls a function of `webimport._bridge` that answers at once. */
export function callBridge(pyodide: Pyodide, name: string, ...values: string[]): unknown {
  return unwrap(withBridge(pyodide, name, (call) => call(...values)) as string);
}

/** Calls a function of `webimport._bridge` that is a coroutine. */
export async function awaitBridge(pyodide: Pyodide, name: string, ...values: string[]): Promise<unknown> {
  const coroutine = withBridge(pyodide, name, (call) => call(...values)) as PromiseLike<string> & PythonProxy;
  try {
    return unwrap(await coroutine);
  } finally {
    coroutine.destroy();
  }
}

function run(pyodide: Pyodide, code: string): string {
  // A namespace of its own: the notebook's variables are none of ours.
  const globals = pyodide.toPy({});
  try {
    return pyodide.runPython(code, { globals }) as string;
  } finally {
    globals.destroy();
  }
}

/** Puts the package into the file system. */
export function writePackage(pyodide: Pyodide): void {
  const folder = run(pyodide, SITE_PACKAGES);
  const all = { ...files, ...distributionInfo(Object.keys(files)) };
  for (const [path, text] of Object.entries(all)) {
    const file = `${folder}/${path}`;
    pyodide.FS.mkdirTree(file.slice(0, file.lastIndexOf("/")));
    pyodide.FS.writeFile(file, text);
  }
}

/** So that `importlib.metadata` and micropip know that the package is there. */
function distributionInfo(paths: string[]): Record<string, string> {
  const folder = `webimport-${VERSION}.dist-info`;
  const record = [...paths, `${folder}/METADATA`, `${folder}/INSTALLER`, `${folder}/RECORD`];
  return {
    [`${folder}/METADATA`]: `Metadata-Version: 2.1\nName: webimport\nVersion: ${VERSION}\n`,
    [`${folder}/INSTALLER`]: "webimport\n",
    [`${folder}/RECORD`]: record.map((path) => `${path},,\n`).join(""),
  };
}

function withBridge(pyodide: Pyodide, name: string, use: (call: (...values: string[]) => unknown) => unknown): unknown {
  const bridge = pyodide.pyimport("webimport._bridge");
  const call = bridge[name] as PythonProxy & ((...values: string[]) => unknown);
  try {
    return use(call);
  } finally {
    call.destroy();
    bridge.destroy();
  }
}

/** The bridge answers `{"value": …}` or `{"error": …}`. */
function unwrap(json: string): unknown {
  const answer = JSON.parse(json) as { value?: unknown; error?: ErrorRecord };
  if (answer.error !== undefined) throw toWebImportError(answer.error);
  return answer.value;
}
