/**
 * The public types of webimport. Functions are in `index.ts`; everything else of the bundle is internal.
 *
 * Digests are SHA-256 in lower-case hex, sizes are bytes, times are RFC 3339 in UTC.
 */

/** Pins and places. The nearest to the call wins, key by key: call, `configure`, notebook, page. */
export interface Config {
  /** Refuse every release without a `sha256` pin. */
  frozen?: boolean;
  /** By base URL. */
  repositories?: Record<string, RepositoryConfig>;
  /** By release name. */
  releases?: Record<string, ReleaseConfig>;
}

/** How a repository is trusted, and where else it can be had. */
export interface RepositoryConfig {
  /** `sha256:<hex>`, the digest of `1.root.json`. */
  root?: string;
  /** Base URLs that serve the same files, tried in order. */
  mirrors?: string[];
}

/** What a bare name, or a URL without `@`, stands for. */
export interface ReleaseConfig {
  /** Base URL of its repository. */
  repository?: string;
  version?: string;
  channel?: string;
  /** Digest of `release.json`; with it a cached release loads without any request. */
  sha256?: string;
}

/** Options of {@link loadRelease}, for this call only. */
export interface LoadOptions {
  /** The repository's root pin, `sha256:<hex>`. */
  root?: string;
  /** A version or a channel. */
  version?: string;
  /** Digest of `release.json`. */
  sha256?: string;
  /** Refuses a release without these modules (dotted names). Of a partial release, those that are fetched. */
  modules?: readonly string[];
  /** Import names, dotted ones in namespace packages, that the release may take over from what else has them. */
  allowShadow?: readonly string[];
  /** `"only"`: no request. `"stale"`: none either, and verified metadata is taken although it has expired. */
  offline?: "only" | "stale";
  /** Trust the root that the server shows the first time, and keep to it. */
  trust?: "first-use";
  /** Asks for signed metadata before it is known that they are needed; what comes is judged in the same order. */
  speculative?: boolean;
}

/** Options of `prefetch`: those of the load that is to come, and what only Python knows otherwise. */
export interface PrefetchOptions extends LoadOptions {
  /** The Python of the Pyodide that is to come, `"3.14"` if left out: it decides which bytecode is fetched. */
  python?: string;
  /** The config that `attach` will be given, if any. */
  config?: Config;
}

/** Options of `boot`. */
export interface BootOptions {
  /** The folder of Pyodide's files. Without it, no snapshot is used. */
  indexURL?: string;
  /** `loadPyodide` of the page's own copy of Pyodide's module, if it is not that of `indexURL`. */
  loadPyodide?: (options: object) => Promise<object>;
  /** What else `loadPyodide` is given. */
  pyodide?: object;
  /** What is loaded, in order: URLs, or URLs with the options of a load. */
  releases?: readonly (string | (LoadOptions & { readonly url: string }))[];
  /** As for `attach`. */
  config?: Config;
}

/** A Pyodide with webimport and releases, and how it came. Frozen. */
export interface Booted extends Attached {
  readonly pyodide: object;
  /** In the order of the options. */
  readonly releases: readonly Release[];
  /** `snapshot`: from a memory snapshot, of the first release, which is imported then, or of Pyodide alone. */
  readonly from: "snapshot" | "plain";
  /** Why it is plain. */
  readonly reason: { readonly code: string; readonly message: string } | null;
}

/** A release that Python can import from. Frozen. */
export interface Release {
  readonly name: string;
  readonly version: string;
  /** Digest of its `release.json`. */
  readonly sha256: string;
  /** Its folder in Pyodide's file system. */
  readonly path: string;
  /** The top-level names that it provides. */
  readonly modules: readonly string[];
  /** Those of `modules` that are namespace packages, which releases may share. */
  readonly namespaces: readonly string[];
  readonly distributions: readonly { readonly name: string; readonly version: string }[];
  /** PEP 508 requirements that nothing inside the release satisfies. */
  readonly requires: readonly string[];
  readonly requiresPython: string | null;
  /** Its modules come as they are imported, or by `prefetch`. */
  readonly partial: boolean;
  /** Whether it has its sources; without, tracebacks show no lines. */
  readonly source: boolean;
  /** Base URL. */
  readonly repository: string;
  /** The cache tag whose bytecode is used, as `cpython-314`; null: compiled from source. */
  readonly bytecode: string | null;
  readonly trust: Trust;
  /** What came over the network for this load. */
  readonly network: { readonly files: number; readonly bytes: number; readonly requests: number };
  /** What came from the cache for this load. */
  readonly cache: { readonly files: number; readonly bytes: number };
  /** `memory` when the browser's database cannot be used: nothing is kept then. */
  readonly storage: "indexeddb" | "memory";
  readonly offline: boolean;
  readonly warnings: readonly Warning[];
  /**
   * Fetches modules (dotted names) of a partial release, with all that they import, before they are imported. Without
   * a list: everything, so that no import, no traceback and no file of it needs the network again. What is over 128 MiB
   * goes into the cache alone, from which imports that can wait, and `prefetch` by name, get it.
   */
  prefetch(modules?: readonly string[]): Promise<void>;
  /** Takes its modules, its path entry and its files away again. Does nothing the second time. */
  unload(): void;
}

/** Why a release is believed to be the publisher's. */
export interface Trust {
  /** `chain`: signed metadata from the pinned root on. `pin`: the release's own `sha256` pin. */
  readonly how: "chain" | "pin";
  /** The repository's root pin, `sha256:<hex>`. */
  readonly root: string;
  /** The root was taken from the server at the first load, as asked for by `trust: "first-use"`. */
  readonly firstUse: boolean;
  /** The role whose signed metadata name the release; null where a pin made that needless. */
  readonly role: string | null;
  /** Of the keys that signed them. */
  readonly keyids: readonly string[];
  /** When the first of those metadata expires; null where they were not needed. */
  readonly expires: string | null;
  /** They have expired, and were taken because `offline: "stale"` asks for it. */
  readonly expired: boolean;
}

/** Something that works, but not as it should. */
export interface Warning {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

/** The detail of a `progress` event. */
export interface Progress {
  /** As asked for: `name`, or `name@` and a version or channel. */
  readonly release: string;
  readonly phase: "metadata" | "manifest" | "objects" | "mount" | "done";
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly filesDone: number;
  readonly filesTotal: number;
  /** Everything so far came from the cache. */
  readonly cached: boolean;
}

/** What the cache holds. */
export interface CacheInfo {
  readonly storage: "indexeddb" | "memory";
  readonly objects: number;
  readonly bytes: number;
  readonly repositories: number;
}

/** Verified files kept in the browser. */
export interface Cache {
  info(): Promise<CacheInfo>;
  /**
   * Drops every file and all metadata, and with it what protects from older metadata. Which roots were trusted on
   * first use stays. Loaded releases stay loaded.
   */
  clear(): Promise<void>;
  /** Hashes every record and drops those that changed, so that the next load fetches them anew. */
  verify(): Promise<{ readonly checked: number; readonly dropped: readonly string[] }>;
}

/** The functions of this module, bound to one Pyodide. */
export interface Attached {
  loadRelease(url: string, options?: LoadOptions): Promise<Release>;
  prefetchImports(code: string): Promise<void>;
  configure(config: Config): void;
  freeze(): string;
  readonly cache: Cache;
}

/** The events of `events`, by name. */
export interface EventDetails {
  /** While a release loads. */
  progress: Progress;
  /** A release can be imported, whoever asked for it. */
  loaded: Release;
  /** A release is gone again. */
  unloaded: { readonly name: string; readonly version: string; readonly sha256: string };
  warning: Warning & { readonly release: string };
}

/** An `EventTarget` whose events are `CustomEvent`s. */
export interface Events extends EventTarget {
  addEventListener<Name extends keyof EventDetails>(
    name: Name,
    listener: (event: CustomEvent<EventDetails[Name]>) => void,
    options?: AddEventListenerOptions | boolean,
  ): void;
  addEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void;
  removeEventListener<Name extends keyof EventDetails>(
    name: Name,
    listener: (event: CustomEvent<EventDetails[Name]>) => void,
    options?: EventListenerOptions | boolean,
  ): void;
  removeEventListener(
    name: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: EventListenerOptions | boolean,
  ): void;
}

/** Every failure of webimport. */
export class WebImportError extends Error {
  override readonly name = "WebImportError";
  /** `stage.reason`, the same in Rust and in Python: for programs. */
  readonly code: string;
  /** What to do next: for people. */
  readonly hint: string | null;
  /** What the failure is about. */
  readonly detail: ErrorDetail;

  constructor(code: string, message: string, options: { hint?: string | null; detail?: ErrorDetail; cause?: unknown } = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.hint = options.hint ?? null;
    this.detail = options.detail ?? {};
  }
}

/** Parts of an error that a program may want. */
export interface ErrorDetail {
  /** The release or the file. */
  readonly name?: string;
  /** The HTTP status. */
  readonly status?: number;
}
