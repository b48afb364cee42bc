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

import { type Progress, type Release, type Warning, WebImportError } from "../public/api.js";
import { type ConfigBlock, type Place, readConfigBlocks } from "./config_blocks.js";
import { toWebImportError } from "./errors.js";
import { dispatch } from "./events.js";
import { type Library, largeLibraries, preloadLibraries } from "./libraries.js";
import { type FileTree, type Listing, ReleaseMount } from "./mount.js";
import type { FileSystem } from "./pyodide.js";
import { type Description, releaseOf } from "./release.js";
import { VERSION } from "./version.js";
import { type Client, type Files, takeListing } from "./wasm.js";

/** A release whose first bytes are there, and what gets the others. */
interface Ready {
  readonly path: string;
  readonly tree: FileTree;
  readonly files: Files;
  /** The cache tag of the interpreter that it is for. */
  readonly tag: string;
  readonly partial: boolean;
  /** Whether shards list a part of its files. */
  readonly sharded: boolean;
}

/** A release that is mounted. */
interface Mounted {
  readonly mount: ReleaseMount;
  readonly files: Files;
  /** What is known of its files. */
  readonly listings: Listing[];
  /** The object of each path that needs nothing but its bytes; made when it is first asked for. */
  objects?: Map<string, number> | undefined;
  readonly tag: string;
  readonly partial: boolean;
  readonly sharded: boolean;
  /** Resolves when what was fetched last is in the mount, or could not be fetched. */
  turn: Promise<unknown>;
}

/** What the host asks of the Python package. */
export interface Python {
  /** Unloads a release, by its digest. */
  unload(sha256: string): void;
  /** Warns of what the release at `path` could not do. */
  trouble(path: string, message: string, hint: string): void;
}

/** The host of one Pyodide; `webimport._compat` in Python names the same methods. */
export class Host {
  readonly version = VERSION;
  /** Whether it is asked before a cell runs. */
  isAsked = false;
  readonly #client: Client;
  readonly #FS: FileSystem;
  readonly #python: Python;
  readonly #prepared = new Map<number, Ready | null>();
  readonly #mounts = new Map<string, Mounted>();
  readonly #releases = new Map<string, Release>();
  readonly #place: Place;
  #config: string | undefined;
  #last: Progress | undefined;

  /** `place`: where the page's config blocks count. */
  constructor(client: Client, FS: FileSystem, place: Place, python: Python) {
    this.#client = client;
    this.#FS = FS;
    this.#place = place;
    this.#python = python;
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

  /** Gets and verifies a release and keeps it for `mount(ticket)`; resolves to its description. `config`: in place of its layers. */
  async load(ticket: number, request: string, onProgress: ((json: string) => void) | null, config?: string[]): Promise<string> {
    this.#prepared.set(ticket, null);
    try {
      const prepared = await this.#client.load(request, (json) => this.#progress(json, onProgress), config);
      const { description, path, objects, buffers, files } = prepared;
      const listing = takeListing(prepared);
      prepared.free();
      const { tag } = (JSON.parse(request) as { python: { tag: string } }).python;
      const { partial, sharded } = JSON.parse(description) as Description;
      const ready = { path, tree: { ...listing, objects, buffers }, files, tag, partial, sharded };
      await preloadLibraries(this.#FS, path, largeLibraries(ready.tree, tag), ready.tree);
      if (this.#prepared.has(ticket)) this.#prepared.set(ticket, ready);
      else files.free();
      return description;
    } catch (error) {
      this.#prepared.delete(ticket);
      throw toWebImportError(error);
    }
  }

  /** Puts a release that `load` got into the file system. Its other bytes follow. */
  mount(ticket: number): void {
    const ready = this.#prepared.get(ticket);
    guarded(() => {
      if (!ready) throw new Error(`nothing is prepared under the ticket ${ticket}`);
      const { path, tree, files, tag, partial, sharded } = ready;
      const source = {
        read: (object: number) => files.read(object),
        reveal: (shard: number) => {
          files.revealNow(shard);
          grow(mounted);
        },
        onTrouble: (error: unknown) => this.#warn(path, error),
      };
      const mount = new ReleaseMount(this.#FS, path, tree, source);
      // Without the buffers of the tree, which go when the release does.
      const { paths, spans, folders, shards } = tree;
      const listings = [{ paths, spans, folders, shards }];
      const mounted: Mounted = { mount, files, listings, tag, partial, sharded, turn: Promise.resolve() };
      this.#mounts.set(path, mounted);
      this.#prepared.delete(ticket);
      this.#follow(path, files);
    });
  }

  /** Drops what `load` keeps or will keep under the ticket. */
  discard(ticket: number): void {
    this.#prepared.get(ticket)?.files.free();
    this.#prepared.delete(ticket);
  }

  /** Takes a release out of the file system. Does nothing when it is not there. */
  unmount(path: string): void {
    const mounted = this.#mounts.get(path);
    this.#mounts.delete(path);
    guarded(() => {
      mounted?.mount.unmount();
      mounted?.files.free();
    });
  }

  /** The module files, a line each, that can be loaded at once. */
  loadable(path: string): string {
    const mounted = this.#mounts.get(path);
    return mounted === undefined ? "" : loadable(path, mounted).join("\n");
  }

  /** Whether the bytes of a file are still to come. */
  lacks(path: string, file: string): boolean {
    return this.#mounts.get(path)?.mount.lacks(file) ?? false;
  }

  /** The bytes of a file of a release; undefined if they are still to come, and for other files. */
  read(file: string): Uint8Array | undefined {
    for (const [path, { mount }] of this.#mounts) {
      if (file.startsWith(`${path}/`)) return mount.peek(file);
    }
    return undefined;
  }

  /** Whether a folder is in one that nobody has looked into yet, or is one. */
  hides(path: string, folder: string): boolean {
    return this.#mounts.get(path)?.files.hides(folder.slice(path.length + 1)) ?? false;
  }

  /** Fetches what is to be known of what is in folders: a JSON list of them, inside of the release. */
  async reveal(path: string, folders: string): Promise<void> {
    const mounted = this.#mounts.get(path);
    if (mounted === undefined) throw unloaded(path);
    await guardedAsync(mounted.files.reveal(JSON.parse(folders) as string[]));
    if (this.#mounts.get(path) !== mounted) throw unloaded(path);
    grow(mounted);
  }

  /** As `reveal`, for one folder, at once. */
  look(path: string, folder: string): void {
    guarded(() => this.#mounts.get(path)?.mount.reveal(folder));
  }

  /** Whether the bytes of a file that the mount lacks are here, so that `bring` gives them without the network. */
  ready(path: string, file: string): boolean {
    const mounted = this.#mounts.get(path);
    if (mounted === undefined) return false;
    mounted.objects ??= readable(mounted);
    const object = mounted.objects.get(file.slice(path.length + 1));
    return object !== undefined && mounted.files.holds(object);
  }

  /**
   * Fetches what `modules` (a JSON list of dotted names) and their imports need; what that took, as JSON. An empty
   * list: everything, into the cache, and into memory what there is room for.
   */
  async fetch(path: string, modules: string): Promise<string> {
    const mounted = this.#mounts.get(path);
    if (mounted === undefined) throw unloaded(path);
    const names = JSON.parse(modules) as string[];
    try {
      // Not in turn: an import that waits for one module does not wait for all others.
      if (names.length === 0) await this.#complete(path, mounted);
      // Of two that want the same, the second finds it in the mount; and nobody is told that something is there before
      // it is, whoever got it. A fetch that fails lets the next one begin.
      const supplied = mounted.turn.then(() => this.#supply(path, mounted, names));
      mounted.turn = supplied.catch(() => {});
      return await supplied;
    } catch (error) {
      throw toWebImportError(error);
    }
  }

  async #complete(path: string, mounted: Mounted): Promise<void> {
    await mounted.files.complete();
    if (this.#mounts.get(path) !== mounted) throw unloaded(path);
    if (mounted.sharded) grow(mounted);
  }

  async #supply(path: string, mounted: Mounted, names: string[]): Promise<string> {
    const { mount, files } = mounted;
    // It may have been unloaded in the meantime; another mount at this path has files of its own.
    const check = () => {
      if (this.#mounts.get(path) !== mounted) throw unloaded(path);
    };
    check();
    const large = Uint32Array.from(libraries(mounted), ({ object }) => object);
    // Of everything, what cannot be made ready in the middle of an import.
    const supply = await (names.length === 0 ? files.give(large) : files.fetch(names));
    const { objects, buffers, report } = supply;
    supply.free();
    check();
    if (mounted.sharded) grow(mounted);
    await preloadLibraries(this.#FS, path, libraries(mounted), { objects, buffers });
    check();
    mount.supply({ objects, buffers });
    files.supplied(objects);
    if (names.length > 0) this.#follow(path, files, names);
    return report;
  }

  /**
   * Whether the thread may wait for a request: where no page stands still for it, or, for the release at `path`, where
   * that is the last resort for the moment after the load.
   */
  mayBlock(path?: string): boolean {
    const mounted = path === undefined ? undefined : this.#mounts.get(path);
    return typeof document === "undefined" || mounted?.partial === false;
  }

  /** Gets the bytes of a file at once. */
  bring(path: string, file: string): void {
    guarded(() => this.#mounts.get(path)?.mount.bring(file));
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
    const release = releaseOf(description, {
      unload: () => {
        if (this.#releases.has(sha256)) this.#python.unload(sha256);
      },
      prefetch: async (modules = []) => {
        if (!Array.isArray(modules) || !modules.every((module) => typeof module === "string")) {
          throw new WebImportError("config.invalid", "`prefetch`: expected a list of names of modules", {
            hint: 'write prefetch(["package.module"])',
          });
        }
        await this.fetch(description.path, JSON.stringify(modules));
      },
    });
    this.#releases.set(sha256, release);
    dispatch("loaded", release);
  }

  #unloaded({ name, version, sha256 }: Description): void {
    this.#releases.delete(sha256);
    dispatch("unloaded", { name, version, sha256 });
  }

  /** Gets what nobody waits for. */
  #follow(path: string, files: Files, modules?: string[]): void {
    whenQuiet(() => {
      if (this.#mounts.get(path)?.files !== files) return;
      files.follow(modules).catch((error) => {
        if (this.#mounts.get(path)?.files === files) this.#warn(path, error);
      });
    });
  }

  #warn(path: string, error: unknown): void {
    const { code, message, hint } = toWebImportError(error);
    const loaded = [...this.#releases.values()].find((release) => release.path === path);
    const release = loaded ? `${loaded.name}@${loaded.version}` : path.slice(path.lastIndexOf("/") + 1);
    dispatch("warning", { code, message, hint, release });
    // Later: while Python opens a file it cannot be called.
    queueMicrotask(() => this.#python.trouble(path, message, hint ?? ""));
  }

  /** Tells that the last load is over, where Python does not. */
  done(): void {
    if (this.#last !== undefined) dispatch("progress", { ...this.#last, phase: "done" });
  }

  #progress(json: string, onProgress: ((json: string) => void) | null): void {
    this.#last = JSON.parse(json) as Progress;
    dispatch("progress", this.#last);
    onProgress?.(json);
  }
}

/** Has the mount know the files that its `Files` know. */
function grow(mounted: Mounted): void {
  const listed = mounted.files.listing();
  const listing = takeListing(listed);
  listed.free();
  mounted.mount.add(listing);
  mounted.listings.push(listing);
  mounted.objects = undefined;
}

function libraries({ listings, tag }: Mounted): Library[] {
  return listings.flatMap((listing) => largeLibraries(listing, tag));
}

function readable(mounted: Mounted): Map<string, number> {
  const objects = new Map<string, number>();
  for (const { paths, spans } of mounted.listings) {
    paths.forEach((file, index) => objects.set(file, spans[3 * index] as number));
  }
  for (const { file } of libraries(mounted)) objects.delete(file);
  return objects;
}

/** Milliseconds after a load in which its imports have the network, the cache and the processor for themselves. */
const QUIET = 1_000;

/** Work that can wait until the page has nothing else to do. */
export function whenQuiet(work: () => void): void {
  setTimeout(() => {
    if (typeof requestIdleCallback === "function") requestIdleCallback(work, { timeout: QUIET });
    else work();
  }, QUIET);
}

/** The module files whose code is there: the bytecode of a source, where it has one. */
function loadable(path: string, { mount, listings, tag }: Mounted): string[] {
  const there = listings.flatMap(({ paths, spans }) => paths.filter((_, index) => mount.has(spans[3 * index] as number)));
  const cached = `.${tag}.pyc`;
  const compiled = new Set(there.filter((file) => file.endsWith(cached)));
  const isLoadable = (file: string) => {
    if (!file.endsWith(".py")) return /\.(pyc|so)$/.test(file) && !compiled.has(file);
    const slash = file.lastIndexOf("/") + 1;
    const bytecode = `${file.slice(0, slash)}__pycache__/${file.slice(slash, -3)}${cached}`;
    return !mount.lacks(`${path}/${bytecode}`);
  };
  const sources = [...compiled].map((file) => file.replace("__pycache__/", "").replace(cached, ".py"));
  return [...new Set([...there.filter(isLoadable), ...sources])];
}

function unloaded(path: string): WebImportError {
  return new WebImportError("host.unloaded", `\`${path}\` is no longer loaded`, { hint: "load the release again" });
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
