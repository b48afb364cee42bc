/**
 * What the Python package calls: the wasm client, the file system, the page's config, the events.
 *
 * `attach` sets one as `pyodide._webimport`. Only text and numbers cross the border, so neither side has
 * proxies to destroy; every failure is a `WebImportError`, because Pyodide cannot turn a rejection with
 * anything but an `Error` into a Python exception.
 *
 * A load has two steps. `load` gets the bytes and keeps them under the caller's ticket; `mount`, which waits
 * for nothing, puts them in place. What becomes of names and modules in between is Python's concern.
 */

import type { Progress, Release, Warning } from "../public/api.js";
import { type ConfigBlock, type Place, readConfigBlocks } from "./config_blocks.js";
import { toWebImportError } from "./errors.js";
import { dispatch } from "./events.js";
import { type FileTree, ReleaseMount } from "./mount.js";
import type { FileSystem } from "./pyodide.js";
import { type Description, releaseOf } from "./release.js";
import { VERSION } from "./version.js";
import type { Client } from "./wasm.js";

/** The host of one Pyodide; `webimport._compat` in Python names the same methods. */
export class Host {
  readonly version = VERSION;
  readonly #client: Client;
  readonly #FS: FileSystem;
  readonly #unload: (sha256: string) => void;
  readonly #prepared = new Map<number, (FileTree & { path: string }) | null>();
  readonly #mounts = new Map<string, ReleaseMount>();
  readonly #releases = new Map<string, Release>();
  readonly #place: Place;
  #config: string | undefined;

  /** `place`: where the page's config blocks count. `unload` asks Python to unload a release, by its digest. */
  constructor(client: Client, FS: FileSystem, place: Place, unload: (sha256: string) => void) {
    this.#client = client;
    this.#FS = FS;
    this.#place = place;
    this.#unload = unload;
    // The first load finds them fetched; a failure is reported there, after another try.
    readConfigBlocks(place).catch(() => {});
  }

  /** What `attach` was given, as JSON; it goes over the page's blocks, key by key. */
  setPageConfig(config: string): void {
    this.#config = config;
  }

  /** The loaded release of that digest. */
  release(sha256: string): Release | undefined {
    return this.#releases.get(sha256);
  }

  /** Gets and verifies a release and keeps it for `mount(ticket)`; resolves to its description. */
  async load(ticket: number, request: string, onProgress: ((json: string) => void) | null): Promise<string> {
    this.#prepared.set(ticket, null);
    try {
      const prepared = await this.#client.load(request, (json) => this.#progress(json, onProgress));
      const { description, path, paths, spans, buffers } = prepared;
      prepared.free();
      if (this.#prepared.has(ticket)) this.#prepared.set(ticket, { path, paths, spans, buffers });
      return description;
    } catch (error) {
      this.#prepared.delete(ticket);
      throw toWebImportError(error);
    }
  }

  /** Puts a release that `load` got into the file system. */
  mount(ticket: number): void {
    const prepared = this.#prepared.get(ticket);
    this.#prepared.delete(ticket);
    guarded(() => {
      if (!prepared) throw new Error(`nothing is prepared under the ticket ${ticket}`);
      this.#mounts.set(prepared.path, new ReleaseMount(this.#FS, prepared.path, prepared));
    });
  }

  /** Drops what `load` keeps or will keep under the ticket. */
  discard(ticket: number): void {
    this.#prepared.delete(ticket);
  }

  /** Takes a release out of the file system. Does nothing when it is not there. */
  unmount(path: string): void {
    const mounted = this.#mounts.get(path);
    this.#mounts.delete(path);
    guarded(() => mounted?.unmount());
  }

  /** Replaces a layer of the config: `page`, `notebook` or `call`. */
  configure(layer: string, json: string): void {
    guarded(() => this.#client.configure(layer, json));
  }

  /** Config text that pins these releases: a list of name, version, sha256, repository, root. */
  freeze(loaded: string): string {
    return guarded(() => this.#client.freeze(loaded));
  }

  cacheInfo(): Promise<string> {
    return guardedAsync(this.#client.cacheInfo());
  }

  cacheClear(): Promise<void> {
    return guardedAsync(this.#client.cacheClear());
  }

  cacheVerify(): Promise<string> {
    return guardedAsync(this.#client.cacheVerify());
  }

  /** The page's config, unparsed: a list of format, source and text, the last one the strongest. */
  async pageConfig(): Promise<string> {
    let blocks: ConfigBlock[];
    try {
      blocks = await readConfigBlocks(this.#place);
    } catch (error) {
      throw toWebImportError(error);
    }
    if (this.#config !== undefined) {
      blocks.push({ format: "json", source: "the config given to attach()", text: this.#config });
    }
    return JSON.stringify(blocks);
  }

  /** Tells listeners what Python did with a release. */
  announce(event: string, json: string): void {
    const detail: unknown = JSON.parse(json);
    if (event === "loaded") this.#loaded(detail as Description);
    else if (event === "unloaded") this.#unloaded(detail as Description);
    else if (event === "warning") dispatch("warning", detail as Warning & { release: string });
    else if (event === "progress") dispatch("progress", detail as Progress);
  }

  #loaded(description: Description): void {
    const { sha256 } = description;
    const release = releaseOf(description, () => {
      if (this.#releases.has(sha256)) this.#unload(sha256);
    });
    this.#releases.set(sha256, release);
    dispatch("loaded", release);
  }

  #unloaded({ name, version, sha256 }: Description): void {
    this.#releases.delete(sha256);
    dispatch("unloaded", { name, version, sha256 });
  }

  #progress(json: string, onProgress: ((json: string) => void) | null): void {
    dispatch("progress", JSON.parse(json) as Progress);
    onProgress?.(json);
  }
}

function guarded<Value>(call: () => Value): Value {
  try {
    return call();
  } catch (error) {
    throw toWebImportError(error);
  }
}

async function guardedAsync<Value>(call: Promise<Value>): Promise<Value> {
  try {
    return await call;
  } catch (error) {
    throw toWebImportError(error);
  }
}
