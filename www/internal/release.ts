/** A loaded release as a plain, frozen JavaScript object. */

import type { Release, Warning } from "../public/api.js";

/** The description that the wasm module gives and Python hands on: JSON with snake_case keys. */
export interface Description {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  readonly path: string;
  readonly modules: string[];
  readonly namespaces: string[];
  readonly distributions: { name: string; version: string }[];
  readonly requires: string[];
  readonly requires_python?: string | null;
  readonly partial: boolean;
  readonly sharded: boolean;
  readonly source: boolean;
  readonly repository: string;
  readonly bytecode?: string | null;
  readonly already: boolean;
  readonly trust: {
    readonly how: "chain" | "pin";
    readonly root: string;
    readonly first_use: boolean;
    readonly role?: string | null;
    readonly keyids: string[];
    readonly expires?: string | null;
    readonly expired: boolean;
  };
  readonly network: { files: number; bytes: number; requests: number };
  readonly cache: { files: number; bytes: number };
  readonly storage: "indexeddb" | "memory";
  readonly offline: boolean;
  readonly warnings: Warning[];
}

/** The public view of a description. */
export function releaseOf(description: Description, methods: Pick<Release, "unload" | "prefetch">): Release {
  const { name, version, sha256, path, modules, namespaces, distributions, requires, repository } = description;
  const { partial, source } = description;
  const { trust, network, cache, storage, offline, warnings } = description;
  return deepFreeze({
    name,
    version,
    sha256,
    path,
    modules,
    namespaces,
    distributions,
    requires,
    requiresPython: description.requires_python ?? null,
    partial,
    source,
    repository,
    bytecode: description.bytecode ?? null,
    trust: {
      how: trust.how,
      root: trust.root,
      firstUse: trust.first_use,
      role: trust.role ?? null,
      keyids: trust.keyids,
      expires: trust.expires ?? null,
      expired: trust.expired,
    },
    network,
    cache,
    storage,
    offline,
    warnings,
    ...methods,
  });
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}
