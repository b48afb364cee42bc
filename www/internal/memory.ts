/**
 * Starts a Pyodide from a memory snapshot. The only file that knows what Pyodide does not document.
 *
 * `_loadSnapshot` is read before Pyodide's module is made, and its length decides in some versions how much memory there is.
 * So Pyodide gets a stand-in, and the wrapper around the module's factory puts the real bytes in its place: they can come
 * while the module starts, the memory grows to what they need, and what the page's own engine decides is put into them. The
 * wrapper is this call's alone, or undone behind it. Measured with Pyodide 0.29 and 314; others are refused before
 * they see a byte.
 */

import { WebImportError } from "../public/api.js";

/** What `loadPyodide` and its module give. */
export interface Runtime {
  readonly version: string;
  readonly loadPyodide: (options: object) => Promise<object>;
  /** The folder of Pyodide's files; it ends with a slash. */
  readonly indexURL: string;
}

/** Pyodide's Emscripten module, as far as this file needs it. */
interface Module {
  readonly HEAP8: Int8Array;
  readonly HEAP32: Int32Array;
  readonly API: { restoreSnapshot: (bytes: Uint8Array) => unknown };
  readonly __PyRuntime: number;
  readonly __PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET?: number;
  readonly __PyEM_EMSCRIPTEN_COUNT_ARGS_OFFSET?: number;
  growMemory(bytes: number): unknown;
}

type Factory = (settings: { readonly noInitialRun?: boolean }) => Promise<Module>;

declare global {
  /** Pyodide 0.29 makes its module with it, if it is there; its script sets it. */
  var _createPyodideModule: Factory | undefined;
}

/** At least what Pyodide 0.29 takes for its memory. */
const STAND_IN = 20 << 20;
/** Milliseconds after which a start that does not end is given up: some errors of Emscripten end nothing. */
const PATIENCE = 60_000;

/** The versions whose interface is known, and the file with the factory. */
const FACTORIES: readonly [RegExp, string][] = [
  [/^314\.0\.[0-9]+$/, "pyodide.asm.mjs"],
  [/^0\.29\.[0-9]+$/, "pyodide.asm.js"],
];

/** Whether a Pyodide of this version can start from a snapshot. */
export function canRestore(version: string): boolean {
  return FACTORIES.some(([versions]) => versions.test(version));
}

/**
 * A Pyodide with this memory.
 *
 * @param bytes a verified snapshot, in a buffer of its own; it is written to
 * @throws what Pyodide throws; what was started is good for nothing then
 */
export async function restore(runtime: Runtime, options: object, bytes: Promise<Uint8Array>): Promise<object> {
  const { version, indexURL } = runtime;
  const file = FACTORIES.find(([versions]) => versions.test(version))?.[1];
  if (file === undefined) throw unknownVersion(version);
  const start = (own: object) => inTime(runtime.loadPyodide({ ...options, indexURL, _loadSnapshot: new Uint8Array(STAND_IN), ...own }));
  // Where it fails before anybody waits for them.
  bytes.catch(() => {});
  if (file.endsWith(".mjs")) {
    const { default: create } = (await import(`${indexURL}${file}`)) as { default: Factory };
    return start({ createPyodideModule: wrap(create, bytes) });
  }
  return alone(async () => {
    await import(`${indexURL}${file}`);
    const create = globalThis._createPyodideModule;
    if (create === undefined) throw unknownVersion(version);
    globalThis._createPyodideModule = wrap(create, bytes);
    try {
      return await start({});
    } finally {
      globalThis._createPyodideModule = create;
    }
  });
}

function wrap(create: Factory, snapshot: Promise<Uint8Array>): Factory {
  return async (settings) => {
    // Somebody else's start, in between: it has no snapshot.
    if (!settings.noInitialRun) return create(settings);
    const [module, bytes] = await Promise.all([create(settings), snapshot]);
    const at = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
    const heap = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.byteLength - at);
    if (module.HEAP8.length < heap.byteLength) module.growMemory(heap.byteLength);
    if (module.HEAP8.length < heap.byteLength) {
      throw new WebImportError("store.memory", `the browser gives no memory of ${heap.byteLength} bytes`, { hint: "close other pages" });
    }
    // How C calls functions by pointers with other signatures: by an index into this page's own table, or not at all.
    const offset = module.__PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET ?? module.__PyEM_EMSCRIPTEN_COUNT_ARGS_OFFSET;
    if (offset === undefined) throw new WebImportError("host.snapshot", "this build of Pyodide is not known", { hint: "start without a snapshot" });
    const trampoline = module.__PyRuntime + (module.HEAP32[offset >>> 2] as number);
    heap.setInt32(trampoline, module.HEAP32[trampoline >>> 2] as number, true);
    const own = module.API.restoreSnapshot;
    module.API.restoreSnapshot = () => own(bytes);
    return module;
  };
}

let turn: Promise<unknown> = Promise.resolve();

/** One after the other: what they set is there once. */
function alone<Value>(work: () => Promise<Value>): Promise<Value> {
  const result = turn.then(work);
  turn = result.catch(() => {});
  return result;
}

async function inTime<Value>(work: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new WebImportError("host.snapshot", "Pyodide did not start from the snapshot", { hint: "start without it" })), PATIENCE);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function unknownVersion(version: string): WebImportError {
  return new WebImportError("host.snapshot", `Pyodide ${version} is not known to start from snapshots`, { hint: "start without one" });
}
