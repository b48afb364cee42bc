// Makes a memory snapshot: of a Pyodide with webimport attached, and, if the job says so, with a release imported.
//
// Argument: a file with the job,
//   {pyodide, webimport, version, release: {url, root, name, version, sha256} | null, imports, out, report}
// `pyodide`, `webimport`: the folders of the npm packages. `version`: of webimport, as it has to be. `release.url`:
// where the repository is served. `imports`: dotted names of modules. `out`: gets the snapshot. `report`: gets what it is of,
// or {error: {kind, message, …}}.
//
// Two runs of the same job by the same Node make the same bytes, today and in a year: nothing of the machine is in them, and
// nothing is by chance. So what the code takes for random is not, and the clock stands. What cannot be in a memory snapshot is refused: Pyodide stores
// some of it and fails when that is used.
//
// Needs Node 24, which suspends WebAssembly as browsers do: whether Python can wait is decided here for every page.

import nodeCrypto from "node:crypto";
import { constants, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));

/** 2026-01-01, where the clock stands, in milliseconds. Metadata that have not expired by the real clock, which who starts this
    has compared, have not by this one. */
const NOW = 1_767_225_600_000;

/** What the repository is called in the snapshot, wherever it was served: addresses of this machine say nothing. */
const REPOSITORY = "https://repository.invalid";

/** The last thing before the memory is stored, in Python. */
const SETTLE = `
import gc, importlib, sys

# Closes what importlib.metadata keeps open.
importlib.invalidate_caches()
# Forgets what is in the archive of the standard library, too, which takes a page long to read again.
for finder in list(sys.path_importer_cache.values()):
    if type(finder).__name__ == "zipimporter":
        finder.find_spec("webimport_snapshot")
if "random" in sys.modules:
    sys.modules["random"].seed(0)
gc.collect()

# The method of JavaScript that was called last is kept, and the object that it was called on. These two can be stored.
import js
js.Date.now()
`;

/** Something that a person can do something about. */
class Refusal extends Error {
  /** `kind`: which hint belongs to it. */
  constructor(kind, message, detail = {}) {
    super(message);
    this.kind = kind;
    this.detail = detail;
  }
}

async function make() {
  if (!("Suspending" in WebAssembly)) {
    throw new Refusal("node", `Node ${process.versions.node} cannot suspend WebAssembly`);
  }
  standStill();
  if (job.release) redirect(REPOSITORY, job.release.url);
  const { loadPyodide } = await module("pyodide", "pyodide.mjs");
  const webimport = await module("webimport", "webimport.js");
  if (webimport.version !== job.version) {
    throw new Refusal("webimport", `expected webimport ${job.version} in \`${job.webimport}\`, got ${webimport.version}`);
  }

  say("starting Pyodide");
  const pyodide = await loadPyodide({
    _makeSnapshot: true,
    // As in a browser.
    _sysExecutable: "/home/pyodide/this.program",
    args: [],
    // The order of sets must not differ from run to run, nor the language from machine to machine.
    env: { HOME: "/home/pyodide", LANG: "en_US.UTF-8", PYTHONHASHSEED: "0" },
    stdout: (line) => console.error(line),
    stderr: (line) => console.error(line),
  });
  const entries = pyodide._module.wasmTable.length;
  await webimport.attach(pyodide, undefined, { wasm: readFileSync(join(job.webimport, "webimport.wasm")) });

  const python = new Python(pyodide);
  if (job.release) {
    say("loading");
    await load(pyodide, python, job.release);
  }
  say("importing");
  const failed = await python.ask("import_all", job.imports);
  if (failed) throw new Refusal("import", `\`import ${failed.module}\` fails:\n${failed.traceback}`);
  const state = await python.ask("state");
  python.forget();
  settle(pyodide);
  refuse(pyodide, state, entries);

  say("storing the memory");
  const bytes = await stored(pyodide);
  writeFileSync(job.out, bytes);
  return {
    pyodide: pyodide.version,
    build: Buffer.from(bytes.subarray(16, 48)).toString("hex"),
    tag: state.tag,
    webimport: state.webimport,
    modules: state.modules,
  };
}

/** Takes chance and time away, and gives what Pyodide and modules look for when they start. */
function standStill() {
  process.env.TZ = "UTC";
  const RealDate = Date;
  RealDate.now = () => NOW;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, values, made) => Reflect.construct(target, values.length === 0 ? [NOW] : values, made),
    apply: () => new RealDate(NOW).toString(),
  });
  performance.now = () => 1_000;
  // Apart, as other things of Node, which work beside, ask the former.
  const [byChance, byte] = [counted(), counted()];
  Math.random = () => (byChance() * 256 + byChance()) / 65_536;
  const fill = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let index = 0; index < bytes.length; index++) bytes[index] = byte();
    return array;
  };
  crypto.getRandomValues = fill;
  // This one is Python's, in Node.
  nodeCrypto.randomFillSync = fill;
  // Denied under Node's `--permission`, and nothing but these is asked for.
  process.binding = () => ({ fs: constants });
  // `pyodide.http` keeps the one that is there when it is imported; that of the page takes its place.
  globalThis.XMLHttpRequest ??= class XMLHttpRequest {};
}

/** Bytes that look like chance. */
function counted() {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return (state >> 16) & 0xff;
  };
}

/** Has requests to one base URL answered by another one. */
function redirect(base, served) {
  const realFetch = globalThis.fetch;
  globalThis.fetch = async (resource, options) => {
    const request = new Request(resource, options);
    if (!request.url.startsWith(`${base}/`)) return realFetch(request);
    const answer = await realFetch(served + request.url.slice(base.length), { signal: request.signal });
    return new Response(await answer.arrayBuffer(), { status: answer.status });
  };
}

async function module(name, file) {
  const path = join(job[name], file);
  try {
    return await import(pathToFileURL(path).href);
  } catch (error) {
    throw new Refusal(name, `\`${path}\` cannot be imported: ${shortened(error.message)}`);
  }
}

async function load(pyodide, python, { name, version, root, sha256 }) {
  const host = pyodide._webimport;
  const load = host.load;
  host.load = async (ticket, request) => {
    // Without progress: how often Python would be told depends on the network.
    const description = JSON.parse(await load.call(host, ticket, request, null));
    // What is so of this load alone: of the signed metadata, which are renewed, the size is in the one, and who signed them until
    // when in the other; that Node has no database is in the third.
    description.network = { files: 0, bytes: 0, requests: 0 };
    Object.assign(description.trust, { how: "pin", role: null, keyids: [], expires: null });
    description.warnings = description.warnings.filter(({ code }) => !code.startsWith("store."));
    return JSON.stringify(description);
  };
  const packages = [];
  pyodide.loadPackage = async (names) => {
    packages.push(...names);
    throw new Error("not for a memory snapshot");
  };
  const { path, error } = await python.ask("load", `${REPOSITORY}/${name}@${version}`, root, sha256);
  if (packages.length > 0) {
    const subject = "the release requires packages of Pyodide";
    throw new Refusal("package", `${subject}, whose files are not in a memory snapshot: ${listed(packages)}`);
  }
  delete host.load;
  if (error) {
    throw new Refusal("load", `the release cannot be loaded: ${error.message} (${error.code})`, { hint: error.hint });
  }
  // All of it, behind Python's back: what it finds of the release is what it finds on a page, but it never has to wait.
  await host.fetch(path, "[]");
}

/** The functions of `snapshot.py`. */
class Python {
  #pyodide;
  #namespace;

  constructor(pyodide) {
    this.#pyodide = pyodide;
    this.#namespace = pyodide.toPy({});
    const source = readFileSync(fileURLToPath(new URL("snapshot.py", import.meta.url)), "utf8");
    pyodide.runPython(source, { globals: this.#namespace });
  }

  /** Text goes in and comes out. */
  async ask(name, ...values) {
    return this.#answer(`await answer(${name}, ${JSON.stringify(JSON.stringify(values))})`);
  }

  /** Where Python has the objects that `isHeld` knows. */
  async holders(isHeld) {
    this.#namespace.set("is_held", isHeld);
    return this.#answer(`await answer(lambda: holders(is_held), "[]")`);
  }

  async #answer(code) {
    return JSON.parse(await this.#pyodide.runPythonAsync(code, { globals: this.#namespace }));
  }

  forget() {
    this.#namespace.destroy();
  }
}

function settle(pyodide) {
  // The notebook's variables are none of ours.
  const globals = pyodide.toPy({});
  pyodide.runPython(SETTLE, { globals });
  globals.destroy();
}

/** Refuses what Pyodide would store and could not use. */
function refuse(pyodide, { releases, tasks }, entries) {
  const { _module: module, FS } = pyodide;
  if (releases.map(({ sha256 }) => sha256).join() !== (job.release?.sha256 ?? "")) {
    const loaded = releases.map(({ name, version }) => `${name} ${version}`);
    throw new Refusal("release", `a memory snapshot has its own release and no other; loaded are: ${listed(loaded) || "none"}`);
  }
  const libraries = Object.keys(module.LDSO.loadedLibsByName).filter((name) => name !== "__main__");
  if (libraries.length > 0) {
    throw new Refusal("library", `compiled modules are loaded, which cannot be in a memory snapshot: ${listed(libraries)}`);
  }
  const packages = Object.keys(pyodide.loadedPackages);
  if (packages.length > 0) {
    throw new Refusal("package", `packages of Pyodide are loaded, whose files are not in a memory snapshot: ${listed(packages)}`);
  }
  const open = FS.streams.filter((stream, descriptor) => stream && descriptor > 2).map((stream) => stream.path ?? "a pipe");
  if (open.length > 0) {
    throw new Refusal("file", `files are open, which cannot be in a memory snapshot: ${listed(open)}`);
  }
  if (module.wasmTable.length > entries) {
    throw new Refusal("callback", "functions are in WebAssembly's table, as `ctypes` puts them there, which cannot be in a memory snapshot");
  }
  if (tasks.length > 0) {
    throw new Refusal("task", `tasks of asyncio are running, which cannot go on in a memory snapshot: ${listed(tasks)}`);
  }
}

/** The snapshot; refused with the place of what cannot be stored. */
async function stored(pyodide) {
  try {
    return pyodide.makeMemorySnapshot();
  } catch (error) {
    const objects = [];
    const serializer = (object) => {
      objects.push(object);
      return null;
    };
    try {
      pyodide.makeMemorySnapshot({ serializer });
    } catch {
      // Nothing that a serializer is asked about.
    }
    if (objects.length === 0) throw error;
    const python = new Python(pyodide);
    const places = await python.holders((object) => objects.includes(object));
    const where =
      places.length > 0 ? `held by ${listed(places)}` : `${listed(objects.map(kindOf))}, which no attribute of a module holds`;
    throw new Refusal("object", `objects of JavaScript cannot be in a memory snapshot: ${where}`);
  }
}

function kindOf(object) {
  const kind = Object.prototype.toString.call(object);
  return typeof object === "function" && object.name ? `${kind} ${object.name}` : kind;
}

function listed(names) {
  return names.map((name) => `\`${name}\``).join(", ");
}

function shortened(text) {
  return String(text).slice(-4_000);
}

/** Progress. */
function say(text) {
  console.log(`stage ${text}`);
}

let code = 0;
let report;
try {
  report = await make();
} catch (error) {
  code = 1;
  const { kind = "failed", message, detail = {} } = error;
  // Uncaught, Node would print the line that it comes from: of Pyodide, all of its source.
  report = { error: { kind, message: shortened(message ?? error), ...detail } };
}
writeFileSync(job.report, JSON.stringify(report));
process.exit(code);
