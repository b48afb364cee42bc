/**
 * Starts the wasm module. The only file that knows wasm-pack's output.
 *
 * The bytes are hashed before they are compiled: the script tag's `integrity` covers this file, this file
 * covers the module.
 */

import init, { Client as WasmClient } from "../../target/web/webimport.js";
import { WebImportError } from "../public/api.js";
import type { Listing, Objects } from "./mount.js";

/** What the module exports; JSON crosses the border as text. Failures are thrown as `ErrorRecord`s. */
export interface Client {
  configure(layer: string, json: string): void;
  /** Loads a release for a `load` of the same that is to come; `config` is the page's, the last one the strongest. */
  prefetch(request: string, config: string[], onProgress?: (progress: string) => void): Promise<string | undefined>;
  /** `config`: in place of the layers. */
  load(request: string, onProgress?: (progress: string) => void, config?: string[]): Promise<Prepared>;
  /** The memory snapshot of a pinned release; from the cache, unless `fetch`. */
  snapshot(request: string, config: string[], pyodide: string, fetch: boolean): Promise<Snapshot | undefined>;
  /** That of Pyodide alone, which is below `folder`. */
  plainSnapshot(folder: string, description: string, pyodide: string, fetch: boolean): Promise<Snapshot | undefined>;
  /** Whether the cache has a snapshot of any release of that name, or, of "", of none. */
  holdsSnapshot(name: string, pyodide: string): Promise<boolean>;
  freeze(loaded: string): string;
  cacheInfo(): Promise<string>;
  cacheClear(): Promise<void>;
  cacheVerify(): Promise<string>;
}

/** Files of a release as they cross the border. Lives in the module's memory until `free`. */
export interface Listed extends Pick<Listing, "spans" | "shards"> {
  /** Paths, a line each. */
  readonly paths: string;
  /** Folders whose files a shard lists, a line each. */
  readonly folders: string;
  free(): void;
}

/** A verified memory snapshot. Lives in the module's memory until `free`. */
export interface Snapshot {
  /** JSON. */
  readonly description: string;
  readonly bytes: Uint8Array;
  free(): void;
}

/** A release whose first objects are there and verified. Lives in the module's memory until `free`. */
export interface Prepared extends Listed, Objects {
  readonly description: string;
  readonly path: string;
  readonly files: Files;
}

/** What of a release comes after its load. Lives in the module's memory until `free`. */
export interface Files {
  /** What these modules and their imports need and was not handed over yet. */
  fetch(modules: string[]): Promise<Supply>;
  /** Those of these objects that were not handed over yet. */
  give(objects: Uint32Array): Promise<Supply>;
  /** The mount has these objects: they count as handed over from now on. */
  supplied(objects: Uint32Array): void;
  /** Gets what the load left for later, or the sources that the `fetch` of these modules did. */
  follow(modules?: string[]): Promise<void>;
  /** Gets everything that the release has for this interpreter into the cache, and holds what there is room for. */
  complete(): Promise<void>;
  /** What is known of the files of the release and was not said before. */
  listing(): Listed;
  /** Whether a path is in a shard that is not known, or is one. */
  hides(path: string): boolean;
  /** Gets the shards around these paths and at them; `listing` then has their files. */
  reveal(paths: string[]): Promise<void>;
  /** As `reveal`, for one shard and at once. */
  revealNow(shard: number): void;
  /** Whether `read` gives an object without the network. */
  holds(object: number): boolean;
  /** An object that was not handed over yet, at once. */
  read(object: number): Uint8Array;
  free(): void;
}

/** Objects that came after the load. Lives in the module's memory until `free`. */
export interface Supply extends Objects {
  /** JSON: `{fetched, bytes, requests, cached}`. */
  readonly report: string;
  free(): void;
}

/** Takes files over from the module's memory. */
export function takeListing(listed: Listed): Listing {
  const { paths, spans, folders, shards } = listed;
  return { paths: lines(paths), spans, folders: lines(folders), shards };
}

/** Each line ends with a line feed, which is in no path. */
function lines(text: string): string[] {
  return text.split("\n").slice(0, -1);
}

let started: Promise<unknown> | undefined;

/** A new client; `bytes` is the module where it cannot be fetched from beside this script. */
export async function startClient(bytes?: Uint8Array): Promise<Client> {
  started ??= start(bytes);
  try {
    await started;
  } catch (error) {
    started = undefined;
    throw error;
  }
  return new WasmClient();
}

async function start(bytes?: Uint8Array): Promise<unknown> {
  return init({ module_or_path: await compile(bytes ? await verified(bytes) : await fetchVerified()) });
}

async function fetchVerified(): Promise<Uint8Array> {
  const bytes = await fetchModule("default");
  if ((await sha256(bytes)) === __WASM_SHA256__) return bytes;
  // The browser's HTTP cache may still hold the module of an earlier build.
  return verified(await fetchModule("reload"));
}

async function fetchModule(cache: RequestCache): Promise<Uint8Array> {
  const url = new URL("webimport.wasm", import.meta.url);
  const hint = "`webimport.wasm` has to be in the same folder as `webimport.js`";
  let response: Response;
  try {
    response = await fetch(url, { cache });
  } catch (cause) {
    throw new WebImportError("fetch.network", `\`${url}\` cannot be fetched`, { hint, cause });
  }
  if (!response.ok) {
    const detail = { name: url.href, status: response.status };
    throw new WebImportError("fetch.status", `\`${url}\` was answered with status ${response.status}`, { hint, detail });
  }
  return new Uint8Array(await response.arrayBuffer());
}

async function verified(bytes: Uint8Array): Promise<Uint8Array> {
  const got = await sha256(bytes);
  if (got !== __WASM_SHA256__) {
    throw new WebImportError("verify.digest", `\`webimport.wasm\`: expected sha256 ${__WASM_SHA256__}, got ${got}`, {
      hint: "`webimport.js` and `webimport.wasm` have to come from the same build",
      detail: { name: "webimport.wasm" },
    });
  }
  return bytes;
}

/** SHA-256 in lower-case hex. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new WebImportError("host.insecure_context", "the page has no `crypto.subtle`", {
      hint: "serve the page over https, or from localhost",
    });
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function compile(bytes: Uint8Array): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes as BufferSource);
  } catch (cause) {
    throw new WebImportError("host.csp", "the page does not allow WebAssembly", {
      hint: "add 'wasm-unsafe-eval' to script-src in the Content-Security-Policy",
      cause,
    });
  }
}
