/**
 * Starts Pyodide, from a memory snapshot where there is one, and leaves it as `attach` and `loadRelease` do.
 *
 * The snapshot of the first release counts, else that of Pyodide alone. One that the cache does not have is no gain, as it
 * has as many bytes as Pyodide itself: this page starts without, and fetches it for the next one. Nothing of a snapshot is
 * used before all of it is verified, and if anything is wrong with it, what was started is left alone and a plain
 * Pyodide is started.
 */

import type { Attached, BootOptions, Booted, Config, LoadOptions, Progress, Release } from "../public/api.js";
import { WebImportError } from "../public/api.js";
import { type Place, readCapped } from "./config_blocks.js";
import { toWebImportError } from "./errors.js";
import { dispatch } from "./events.js";
import { type Host, whenQuiet } from "./host.js";
import { canRestore, type Runtime, restore } from "./memory.js";
import { loadRequest } from "./options.js";
import { cacheTag, canWait, pageLayers } from "./prefetch.js";
import type { Pyodide } from "./pyodide.js";
import { callBridge, writePackage } from "./python.js";
import type { Description } from "./release.js";
import { VERSION } from "./version.js";
import { type Client, sha256, type Snapshot } from "./wasm.js";

/** What the functions of the module do. */
export interface Facade {
  readonly place: Place;
  takeClient(): Promise<Client>;
  /** Attaches a Pyodide with this client. */
  attach(pyodide: object, config: Config | undefined, client: Client): Promise<Attached>;
  /** The host of a Pyodide that has webimport in its memory. */
  host(pyodide: Pyodide, client: Client): Host;
}

/** What `webimport-snapshot/1` says, as far as this file needs it. */
interface Described {
  readonly wasm: string;
  readonly stdlib: string;
  readonly webimport: string;
  readonly releases: readonly { readonly sha256: string }[];
}

/** A release that is asked for. */
interface Wanted {
  readonly url: string;
  readonly options: LoadOptions;
}

/** A verified snapshot, and the release in it as this page has verified it. */
interface Found {
  readonly bytes: Uint8Array;
  /** JSON of its load. */
  readonly request?: string;
}

/** A Pyodide that is attached, with the first of the releases. */
interface Restored {
  readonly pyodide: object;
  readonly attached: Attached;
  readonly releases: readonly Release[];
}

/** One call of `boot`. */
interface Call {
  readonly runtime: Runtime;
  readonly client: Client;
  /** The page's config, the last one the strongest. */
  readonly layers: string[];
  readonly wanted: readonly Wanted[];
  readonly options: BootOptions;
  readonly facade: Facade;
}

/** Bytes that a file of Pyodide may have. */
const MAX_FILE = 128 * 1024 * 1024;

export async function boot(options: BootOptions, facade: Facade): Promise<Booted> {
  checkOptions(options);
  const wanted = (options.releases ?? []).map(toWanted);
  const runtime = await runtimeOf(options);
  const client = await facade.takeClient();
  const call = { client, wanted, options, facade };
  if (!("version" in runtime)) return plain(call, runtime.loadPyodide, "host.snapshot", "`indexURL` does not say where Pyodide is");
  let layers: string[];
  try {
    layers = await pageLayers(facade.place, options.config);
  } catch (error) {
    return plainAfter(call, runtime.loadPyodide, error);
  }
  const whole: Call = { ...call, runtime, layers };
  const start = await likelySnapshot(whole);
  if (start === undefined) {
    fetchAhead(whole);
    const booted = plain(call, runtime.loadPyodide, "resolve.no_snapshot", "the cache has no memory snapshot for this page yet");
    booted.then((it) => fetchSnapshot(whole, it)).catch(() => {});
    return booted;
  }
  if (start === "pyodide") fetchAhead(whole);
  let restored: Restored;
  try {
    restored = await fromSnapshot(whole, start);
  } catch (error) {
    const booted = plainAfter(call, runtime.loadPyodide, error);
    booted.then((it) => fetchSnapshot(whole, it)).catch(() => {});
    return booted;
  }
  const booted = await loaded(call, restored, "snapshot", null);
  if (start === "pyodide" && wanted.length > 0) fetchSnapshot(whole, booted);
  return booted;
}

const OPTIONS: readonly string[] = ["indexURL", "loadPyodide", "pyodide", "releases", "config"];

/** A misspelt option would be a release that is not loaded. */
function checkOptions(options: BootOptions): void {
  const unknown = Object.keys(options).find((key) => !OPTIONS.includes(key));
  if (unknown !== undefined) {
    throw new WebImportError("config.unknown_key", `unknown option \`${unknown}\``, { hint: `known options: ${OPTIONS.join(", ")}` });
  }
  const { releases } = options;
  const isRelease = (it: unknown) => typeof it === "string" || typeof (it as { url?: unknown } | null)?.url === "string";
  if (releases !== undefined && !(Array.isArray(releases) && releases.every(isRelease))) {
    throw new WebImportError("config.invalid", "`releases`: expected a list of URLs, or of objects with a `url`", {
      hint: 'write releases: ["https://…/mylib"]',
    });
  }
}

function toWanted(release: string | (LoadOptions & { readonly url: string })): Wanted {
  if (typeof release === "string") return { url: release, options: {} };
  const { url, ...options } = release;
  return { url, options };
}

/** Where Pyodide is; without a version, if nobody says where its files are. */
async function runtimeOf({ indexURL, loadPyodide }: BootOptions): Promise<Runtime | Pick<Runtime, "loadPyodide">> {
  if (indexURL === undefined) {
    if (loadPyodide !== undefined) return { loadPyodide };
    throw new WebImportError("host.pyodide", "`boot` has to know where Pyodide is", { hint: 'pass indexURL: "<folder of pyodide.mjs>"' });
  }
  const folder = new URL(indexURL.endsWith("/") ? indexURL : `${indexURL}/`, globalThis.location?.href ?? import.meta.url).href;
  let module: Pick<Runtime, "version" | "loadPyodide">;
  try {
    module = (await import(`${folder}pyodide.mjs`)) as Runtime;
  } catch (cause) {
    throw new WebImportError("host.pyodide", `\`${folder}pyodide.mjs\` cannot be imported`, { hint: "pass the folder of Pyodide's files", cause });
  }
  return { version: module.version, loadPyodide: loadPyodide ?? module.loadPyodide, indexURL: folder };
}

function plainAfter(call: Omit<Call, "runtime" | "layers">, loadPyodide: Runtime["loadPyodide"], error: unknown): Promise<Booted> {
  const { code, message } = toWebImportError(error);
  return plain(call, loadPyodide, code, message);
}

async function plain(
  { client, wanted, options, facade }: Omit<Call, "runtime" | "layers">,
  loadPyodide: Runtime["loadPyodide"],
  code: string,
  message: string,
): Promise<Booted> {
  const place = options.indexURL === undefined ? {} : { indexURL: options.indexURL };
  const pyodide = await loadPyodide({ ...options.pyodide, ...place });
  const attached = await facade.attach(pyodide, options.config, client);
  return loaded({ wanted }, { pyodide, attached, releases: [] }, "plain", { code, message });
}

/** Loads what is not there yet. */
async function loaded({ wanted }: Pick<Call, "wanted">, restored: Restored, from: Booted["from"], reason: Booted["reason"]): Promise<Booted> {
  const { pyodide, attached } = restored;
  const releases = [...restored.releases];
  for (const { url, options } of wanted.slice(releases.length)) releases.push(await attached.loadRelease(url, options));
  return Object.freeze({ ...attached, pyodide, releases: Object.freeze(releases), from, reason: reason && Object.freeze(reason) });
}

/** Loads the releases while Pyodide starts. What goes wrong is said by the load that follows. */
function fetchAhead({ client, layers, wanted, runtime }: Call): void {
  if (!canRestore(runtime.version)) return;
  for (const release of wanted) prefetch(client, layers, request(release, runtime)).catch(() => {});
}

async function prefetch(client: Client, layers: string[], text: string): Promise<string | undefined> {
  return client.prefetch(text, layers, (json) => dispatch("progress", JSON.parse(json) as Progress));
}

/** JSON of a load. */
function request({ url, options }: Wanted, { version }: Runtime): string {
  const python = { tag: cacheTag(pythonOf(version)) };
  return JSON.stringify({ url, options: JSON.parse(loadRequest(options)), python, waits: canWait() });
}

/** The Python of a Pyodide, for which bytecode is chosen. A load that finds it otherwise starts anew. */
function pythonOf(version: string): string {
  return version.startsWith("0.") ? "3.13" : `3.${version.slice(1, 3)}`;
}

/** Which snapshot the cache is likely to have; undefined if it has none. */
async function likelySnapshot({ client, wanted, runtime, options }: Call): Promise<"release" | "pyodide" | undefined> {
  if (!canRestore(runtime.version) || hasItsOwn(options)) return undefined;
  const [first] = wanted;
  if (first !== undefined && (await client.holdsSnapshot(nameOf(first.url), runtime.version))) return "release";
  if (plainDescription(runtime) !== undefined && (await client.holdsSnapshot("", runtime.version))) return "pyodide";
  return undefined;
}

/** Whether the page starts Pyodide with what a snapshot was not made with: another standard library, or packages of its own. */
function hasItsOwn({ pyodide }: BootOptions): boolean {
  const { stdLibURL, packages } = (pyodide ?? {}) as { stdLibURL?: unknown; packages?: readonly unknown[] };
  return stdLibURL !== undefined || (packages ?? []).length > 0;
}

function nameOf(url: string): string {
  return url.slice(url.lastIndexOf("/") + 1).replace(/@.*$/, "");
}

function plainDescription({ version }: Runtime): string | undefined {
  return Object.hasOwn(__SNAPSHOTS__, version) ? __SNAPSHOTS__[version] : undefined;
}

async function fromSnapshot(call: Call, which: "release" | "pyodide"): Promise<Restored> {
  const { runtime, options, facade, client } = call;
  const found = which === "release" ? ofRelease(call) : ofPyodide(call);
  const pyodide = (await restore(
    runtime,
    options.pyodide ?? {},
    found.then(({ bytes }) => bytes),
  )) as Pyodide;
  const { request } = await found;
  const host = facade.host(pyodide, client);
  pyodide._webimport = host;
  writePackage(pyodide);
  const descriptions: Description[] = [];
  if (request !== undefined) {
    // The release that was loaded ahead; Python counts its loads from 1.
    const description = await host.load(0, request, null, call.layers);
    host.mount(0);
    descriptions.push(JSON.parse(description) as Description);
  }
  callBridge(pyodide, "restore", JSON.stringify({ releases: descriptions, environment: environment(options), arguments: commandLine(options) }));
  for (const description of descriptions) host.announce("loaded", JSON.stringify(description));
  host.done();
  const attached = await facade.attach(pyodide, options.config, client);
  return { pyodide, attached, releases: descriptions.map(({ sha256 }) => host.release(sha256) as Release) };
}

async function ofRelease(call: Call): Promise<Found> {
  const { client, layers, runtime } = call;
  const wanted = call.wanted[0] as Wanted;
  const text = request(wanted, runtime);
  const description = await prefetch(client, layers, text);
  if (description === undefined) throw noSnapshot(runtime);
  const release = JSON.parse(description) as Description;
  const snapshot = await client.snapshot(pinned(wanted, release, text), layers, runtime.version, false);
  if (snapshot === undefined) throw replaced(release);
  const bytes = await checked(runtime, snapshot, [release.sha256]);
  return { bytes, request: text };
}

async function ofPyodide({ client, runtime }: Call): Promise<Found> {
  const description = plainDescription(runtime) as string;
  return { bytes: await checked(runtime, await client.plainSnapshot(folder(), description, runtime.version, false), []) };
}

/** The folder of this script, where the snapshots of Pyodide alone are. */
function folder(): string {
  return new URL(".", import.meta.url).href;
}

/** JSON of a request for exactly this release. */
function pinned({ options }: Wanted, { repository, name, version, sha256, trust }: Description | Release, text: string): string {
  const exactly: LoadOptions = { ...options, root: trust.root, version, sha256 };
  return JSON.stringify({ ...JSON.parse(text), url: `${repository}/${name}`, options: JSON.parse(loadRequest(exactly)), loaded: [sha256] });
}

/** The bytes of a snapshot that fits this page. */
async function checked(runtime: Runtime, snapshot: Snapshot | undefined, releases: readonly string[]): Promise<Uint8Array> {
  if (snapshot === undefined) throw noSnapshot(runtime);
  const { bytes } = snapshot;
  const described = JSON.parse(snapshot.description) as Described;
  snapshot.free();
  const own = described.releases.map(({ sha256 }) => sha256);
  if (described.webimport !== VERSION || own.join() !== releases.join()) {
    throw mismatch(`it has webimport ${described.webimport} and ${own.length} releases`);
  }
  const files: [string, string][] = [
    ["pyodide.asm.wasm", described.wasm],
    ["python_stdlib.zip", described.stdlib],
  ];
  await Promise.all(files.map(([name, digest]) => checkFile(`${runtime.indexURL}${name}`, digest)));
  return bytes;
}

/** Pyodide fetches the same file by the same URL, so that the browser has it once. */
async function checkFile(url: string, digest: string): Promise<void> {
  const response = await fetch(url, { credentials: "same-origin" });
  const bytes = response.ok ? await readCapped(response, MAX_FILE) : undefined;
  if (bytes === undefined) throw mismatch(`\`${url}\` cannot be read`);
  const got = await sha256(bytes);
  if (got !== digest) throw mismatch(`\`${url}\` is of another build`);
}

function noSnapshot({ version }: Runtime): WebImportError {
  return new WebImportError("resolve.no_snapshot", `there is no memory snapshot for Pyodide ${version}`, { hint: "start without one" });
}

function replaced({ name, version }: Description): WebImportError {
  const message = `the memory snapshot in the cache is not one that is published for \`${name}\` ${version}`;
  return new WebImportError("resolve.no_snapshot", message, { hint: "if there is one, the next visit has it" });
}

function mismatch(reason: string): WebImportError {
  return new WebImportError("host.snapshot", `the memory snapshot does not fit this page: ${reason}`, { hint: "start without it" });
}

/** Fetches a snapshot for the next visit, when nobody waits for anything. */
function fetchSnapshot(call: Call, booted: Booted): void {
  if (canRestore(call.runtime.version) && !hasItsOwn(call.options)) whenQuiet(() => void keepSnapshot(call, booted).catch(() => {}));
}

async function keepSnapshot(call: Call, { releases }: Booted): Promise<void> {
  const { client, runtime } = call;
  // What is wrong with it is no reason to go without the other one.
  if (await keepOfRelease(call, releases[0]).catch(() => false)) return;
  const description = plainDescription(runtime);
  if (description !== undefined) (await client.plainSnapshot(folder(), description, runtime.version, true))?.free();
}

async function keepOfRelease({ client, layers, wanted, runtime }: Call, release: Release | undefined): Promise<boolean> {
  const [first] = wanted;
  if (first === undefined || release === undefined) return false;
  const snapshot = await client.snapshot(pinned(first, release, request(first, runtime)), layers, runtime.version, true);
  snapshot?.free();
  return snapshot !== undefined;
}

/** What a Pyodide that has just started in this page has, where a snapshot has its builder's. */
function environment({ pyodide }: BootOptions): Record<string, string> {
  const language = (globalThis.navigator?.languages?.[0] ?? "C").replace("-", "_");
  const { env } = (pyodide ?? {}) as { env?: Record<string, string> };
  return { LANG: `${language}.UTF-8`, _: "./this.program", ...env };
}

function commandLine({ pyodide }: BootOptions): string[] {
  const { args } = (pyodide ?? {}) as { args?: string[] };
  return args ?? [""];
}
