/**
 * Both Pyodides in Node, and the bundle with a stand-in for the wasm module.
 *
 * Needs esbuild, `pyodide` and `pyodide-0.29` in `target/tools/npm`, or in the folder that the environment
 * variable WEBIMPORT_NODE_MODULES names.
 */

import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "..", "..", "..");
const MODULES = process.env.WEBIMPORT_NODE_MODULES ?? join(ROOT, "target", "tools", "npm", "node_modules");
const require = createRequire(join(MODULES, "package.json"));

/** The npm names of the Pyodides that are supported. */
export const PYODIDES = ["pyodide", "pyodide-0.29"];

/** The smallest module that compiles. */
export const WASM = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

// What suspends Python is tested in browsers. Here it cannot be, also in a Node that could.
delete WebAssembly.Suspending;

export async function startPyodide(name, options = {}) {
  const { loadPyodide } = await import(pathToFileURL(join(MODULES, name, "pyodide.mjs")));
  return loadPyodide(options);
}

let bundles = 0;

/** A fresh copy of the module `www/public/index.ts`; `entry` bundles another file of `www`. */
export async function importBundle(entry = "public/index.ts") {
  const out = join(mkdtempSync(join(tmpdir(), "webimport-")), `bundle-${bundles++}.mjs`);
  await require("esbuild").build({
    entryPoints: [join(ROOT, "www", entry)],
    outfile: out,
    bundle: true,
    format: "esm",
    logLevel: "warning",
    define: { __WASM_SHA256__: JSON.stringify(createHash("sha256").update(WASM).digest("hex")) },
    plugins: [{ name: "stand-ins", setup: standIns }],
  });
  return import(pathToFileURL(out));
}

function standIns(build) {
  build.onResolve({ filter: /target\/web\/webimport\.js$/ }, () => ({ path: join(HERE, "client.mjs"), external: true }));
  build.onResolve({ filter: /^webimport:python$/ }, ({ path }) => ({ path, namespace: "python" }));
  build.onLoad({ filter: /.*/, namespace: "python" }, () => ({ contents: JSON.stringify(sources()), loader: "json" }));
}

function sources() {
  const folder = join(ROOT, "src", "python", "webimport");
  const names = readdirSync(folder).filter((name) => name.endsWith(".py"));
  return Object.fromEntries(names.map((name) => [`webimport/${name}`, readFileSync(join(folder, name), "utf8")]));
}

const NO_SHARDS = { folders: [], shards: new Uint32Array() };

/** Files, path to text or bytes, in the form in which the wasm module hands them over. */
export function treeOf(files) {
  const paths = Object.keys(files);
  const parts = paths.map((path) => Buffer.from(files[path]));
  const spans = new Uint32Array(3 * paths.length);
  let offset = 0;
  parts.forEach(({ length }, index) => {
    spans.set([0, offset, length], 3 * index);
    offset += length;
  });
  return { paths, spans, ...NO_SHARDS, objects: Uint32Array.of(0), buffers: [new Uint8Array(Buffer.concat(parts))] };
}

/** The tree as it crosses the border: paths are text, a line each. */
export function listed(tree) {
  return { ...tree, paths: tree.paths.map((path) => `${path}\n`).join(""), folders: "" };
}

/** As `treeOf`, with an object for each file; `given` are the paths of those that are there. */
export function sparseTreeOf(files, given) {
  const paths = Object.keys(files);
  const contents = paths.map((path) => new Uint8Array(Buffer.from(files[path])));
  const objects = Uint32Array.from(given, (path) => paths.indexOf(path));
  const spans = Uint32Array.from(contents.flatMap(({ length }, index) => [index, 0, length]));
  return { paths, spans, ...NO_SHARDS, objects, buffers: Array.from(objects, (index) => contents[index]), contents };
}
