/**
 * webimport: verified HTTP imports of Python code in Pyodide.
 *
 * ```js
 * import { attach } from "./webimport.js";
 * const pyodide = await loadPyodide();
 * await attach(pyodide, { repositories: { "https://code.example.org/repo": { root: "sha256:…" } } });
 * await pyodide.runPythonAsync(`
 *   await loadRelease("https://code.example.org/repo/mylib@1.4.2")
 *   import mylib
 * `);
 * ```
 *
 * Works on the main thread and in module workers. Loaded by a script tag, the module is also the global
 * `webimport`. The functions of the module act on the Pyodide that was attached last; `attach` returns the
 * same functions bound to its own.
 */

import { boot as bootPyodide } from "../internal/boot.js";
import type { Place } from "../internal/config_blocks.js";
import { events as sharedEvents } from "../internal/events.js";
import { Host } from "../internal/host.js";
import { configText, loadRequest } from "../internal/options.js";
import { prefetch as prefetchRelease } from "../internal/prefetch.js";
import type { Pyodide } from "../internal/pyodide.js";
import { awaitBridge, callBridge, installPackage, otherVersion } from "../internal/python.js";
import { VERSION } from "../internal/version.js";
import { type Client, startClient } from "../internal/wasm.js";
import { type Attached, type BootOptions, type Booted, type Cache, type Config, type Events, type LoadOptions, type PrefetchOptions, type Release, WebImportError } from "./api.js";

export * from "./api.js";

/** The version of this module. */
export const version: string = VERSION;

/**
 * `progress` while a release loads, `loaded` and `unloaded` when it can and can no longer be imported, and
 * `warning`; from every attached Pyodide, also for loads that Python asked for. The details are in
 * {@link EventDetails}.
 */
export const events: Events = sharedEvents;

/**
 * Brings webimport into a Pyodide: installs the Python package `webimport` and puts `loadRelease` into the
 * notebook's namespace (`pyodide.globals`).
 *
 * Attaching the same Pyodide again changes nothing but the config.
 *
 * @param pyodide what `loadPyodide()` resolved to
 * @param config goes over the page's `<script type="application/webimport+json">` blocks, key by key
 * @throws {WebImportError} `config.invalid`: a key of the config is undefined; `host.version`: another version of
 *   webimport is there; `host.insecure_context`: neither https nor localhost; `host.csp`: WebAssembly is not
 *   allowed; `fetch.*` and `verify.digest`: `webimport.wasm` is not beside this script, or from another build
 */
export function attach(pyodide: object, config?: Config): Promise<Attached>;
export async function attach(target: object, config?: Config | null, wheel?: { wasm: Uint8Array } | null): Promise<Attached> {
  return attachWith(target, config ?? undefined, wheel?.wasm, () => takeClient(wheel?.wasm));
}

/**
 * Starts a Pyodide and leaves it as `attach` and `loadRelease` do. From the second visit on it comes from a memory snapshot,
 * if the first release has one, or this copy of webimport has one of Pyodide alone: then the modules that were imported into it
 * need no import, and all takes a fraction of the time. Where there is none, or it does not fit, Pyodide starts as usual, and
 * `reason` says why.
 *
 * ```js
 * const { pyodide, from } = await boot({ indexURL: "./pyodide/", releases: ["https://code.example.org/repo/mylib"] });
 * ```
 *
 * @throws {WebImportError} as `attach` and `loadRelease`; `host.pyodide`: Pyodide is not where `indexURL` says
 */
export async function boot(options: BootOptions): Promise<Booted> {
  return bootPyodide(options, {
    place: PLACE,
    takeClient,
    attach: (pyodide, config, client) => attachWith(pyodide, config, undefined, () => Promise.resolve(client)),
    host: (pyodide, client) => newHost(pyodide, client, PLACE),
  });
}

/**
 * Loads a release before there is a Pyodide, so that the `loadRelease` of the same that follows within two minutes, with
 * the same options and the same config, takes it over; later it finds it in the cache. To be called as soon as
 * the page opens, beside `loadPyodide()`:
 *
 * ```js
 * const fetching = prefetch("https://code.example.org/repo/mylib");
 * fetching.catch(() => {}); // `loadRelease` tries again, and says what is wrong
 * ```
 *
 * Config blocks in TOML cannot be read without Python.
 *
 * @throws {WebImportError} those of `loadRelease`; what the interpreter decides, such as names that are taken, is decided there
 */
export async function prefetch(url: string, options: PrefetchOptions = {}): Promise<void> {
  await prefetchRelease(() => spare ?? adopted ?? spareClient(), PLACE, url, options);
}

/**
 * Loads a release, all of it verified, so that Python can import its modules.
 *
 * @param url `<repository>/<name>[@<version or channel>]`, or a bare name that the config gives a repository
 * @throws {WebImportError} nothing is loaded then, and what was loaded before still is
 */
export async function loadRelease(url: string, options?: LoadOptions): Promise<Release> {
  return last().loadRelease(url, options);
}

/**
 * Sets the config of the notebook's author, the nearest to the call: it replaces what an earlier `configure`
 * said, in JavaScript or in Python.
 *
 * @throws {WebImportError} `config.*`
 */
export function configure(config: Config): void {
  last().configure(config);
}

/**
 * Config text (TOML) that pins exactly what is loaded now.
 *
 * @throws {WebImportError} `config.conflict` where two releases of one name are loaded, or one repository was
 * trusted by two root pins.
 */
export function freeze(): string {
  return last().freeze();
}

/**
 * Fetches what the imports in a cell's code need of the partial releases that are loaded. `attach` has
 * `pyodide.loadPackagesFromImports` do it, too, which notebook hosts call before each cell.
 */
export async function prefetchImports(code: string): Promise<void> {
  return last().prefetchImports(code);
}

/** The verified files kept in the browser. */
export const cache: Cache = Object.freeze({
  info: async () => last().cache.info(),
  clear: async () => last().cache.clear(),
  verify: async () => last().cache.verify(),
});

/** The wheel has no other way to be imported than as a Blob; another Pyodide may find it as the global. */
const FROM_WHEEL = import.meta.url.startsWith("blob:");

/** Where the page's config blocks count. */
const PLACE = FROM_WHEEL ? "head" : "document";

const hosts = new WeakMap<Pyodide, Promise<Host>>();
/** The client of `prefetch`, until a Pyodide is attached and takes it over with all that it has. */
let spare: Promise<Client> | undefined;
/** That of the Pyodide that was attached last. */
let adopted: Promise<Client> | undefined;
let current: Attached | undefined;

function last(): Attached {
  if (current === undefined) {
    throw new WebImportError("host.not_attached", "no Pyodide is attached", { hint: "call `await attach(pyodide)` first" });
  }
  return current;
}

async function attachWith(target: object, config: Config | undefined, wasm: Uint8Array | undefined, client: () => Promise<Client>): Promise<Attached> {
  const pyodide = target as Pyodide;
  if (typeof pyodide?.runPython !== "function") {
    throw new WebImportError("host.pyodide", "`attach` expects a Pyodide", {
      hint: "pass what `await loadPyodide()` gives; is the `await` missing?",
    });
  }
  const text = config ? configText(config) : undefined;
  let attaching = hosts.get(pyodide);
  if (attaching === undefined) {
    attaching = start(pyodide, wasm ? "head" : PLACE, client);
    hosts.set(pyodide, attaching);
    attaching.catch(() => hosts.delete(pyodide));
  }
  const host = await attaching;
  if (text !== undefined) host.setPageConfig(text);
  current = attached(pyodide, host);
  return current;
}

async function start(pyodide: Pyodide, place: Place, client: () => Promise<Client>): Promise<Host> {
  // Another copy of this module, such as the wheel's, may have been faster, also while this one starts.
  const own = pyodide._webimport ? undefined : await client();
  const host = pyodide._webimport ?? newHost(pyodide, own as Client, place);
  if (host.version !== VERSION) throw otherVersion("the attached webimport.js");
  pyodide._webimport = host;
  installPackage(pyodide);
  prefetchBeforeCells(pyodide, host);
  return host;
}

function newHost(pyodide: Pyodide, client: Client, place: Place): Host {
  return new Host(client, pyodide.FS, place, {
    unload: (sha256: string) => void callBridge(pyodide, "unload", sha256),
    trouble: (path: string, message: string, hint: string) => void callBridge(pyodide, "trouble", path, message, hint),
  });
}

function takeClient(wasm?: Uint8Array): Promise<Client> {
  const client = (wasm ? undefined : spare) ?? startClient(wasm);
  spare = undefined;
  adopted = client;
  client.catch(forget);
  return client;

  function forget() {
    if (adopted === client) adopted = undefined;
  }
}

function spareClient(): Promise<Client> {
  const client = startClient();
  spare = client;
  client.catch(forget);
  return client;

  function forget() {
    if (spare === client) spare = undefined;
  }
}

/** Hosts of notebooks call this method of Pyodide with the code of a cell, before they run it. */
function prefetchBeforeCells(pyodide: Pyodide, host: Host): void {
  if (host.isAsked) return;
  host.isAsked = true;
  const loadPackages = pyodide.loadPackagesFromImports;
  pyodide.loadPackagesFromImports = async (code, ...options) => {
    // What cannot be fetched is an error of the import, if the cell comes to it.
    await prefetchImportsOf(pyodide, code).catch(() => {});
    return loadPackages.call(pyodide, code, ...options);
  };
}

async function prefetchImportsOf(pyodide: Pyodide, code: string): Promise<void> {
  await awaitBridge(pyodide, "prefetch_imports", code);
}

function attached(pyodide: Pyodide, host: Host): Attached {
  return Object.freeze({
    async loadRelease(url: string, options: LoadOptions = {}): Promise<Release> {
      const sha256 = (await awaitBridge(pyodide, "load", url, loadRequest(options))) as string;
      const release = host.release(sha256);
      if (release === undefined) {
        throw new WebImportError("host.unloaded", `\`${url}\` was unloaded while it loaded`, { hint: "load it again" });
      }
      return release;
    },
    prefetchImports: (code: string) => prefetchImportsOf(pyodide, code),
    configure: (config: Config) => void callBridge(pyodide, "configure", configText(config)),
    freeze: () => callBridge(pyodide, "freeze") as string,
    cache: Object.freeze({
      info: async () => JSON.parse(await host.cacheInfo()),
      clear: () => host.cacheClear(),
      verify: async () => JSON.parse(await host.cacheVerify()),
    }),
  });
}

const facade = Object.freeze({ WebImportError, attach, boot, cache, configure, events, freeze, loadRelease, prefetch, prefetchImports, version });

declare global {
  /** Set where `webimport.js` is loaded, by a script tag or otherwise. */
  var webimport: typeof facade | undefined;
}

// An element with this id would be there, too; another copy of this module keeps its place.
if (typeof globalThis.webimport?.attach !== "function") globalThis.webimport = facade;
