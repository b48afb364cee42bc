/**
 * In place of the wasm module: serves what tests put into `globalThis.published`, by `name@version`, and
 * checks nothing. A value that has a `code` is thrown. A release in `globalThis.partial` has its modules fetched
 * when they are asked for; there is, by module, what it imports.
 */

import { createHash } from "node:crypto";
import { listed, sparseTreeOf, treeOf } from "./pyodide.mjs";

export default async function init({ module_or_path }) {
  if (!(module_or_path instanceof WebAssembly.Module)) throw new TypeError("expected a compiled module");
}

export class Client {
  layers = {};

  configure(layer, json) {
    const config = JSON.parse(json);
    if ("forzen" in config) throw { code: "config.unknown_key", message: "unknown key `forzen`", hint: "known keys: frozen" };
    this.layers[layer] = config;
    globalThis.layers = this.layers;
  }

  async load(json, onProgress) {
    const request = JSON.parse(json);
    globalThis.requests = [...(globalThis.requests ?? []), request];
    const name = request.url.split("/").at(-1);
    const files = globalThis.published[name];
    if (files === undefined) throw { code: "resolve.unknown_name", message: `no release \`${name}\``, hint: "look again" };
    if (files.code !== undefined) throw files;
    const [release, version] = name.split("@");
    const sha256 = createHash("sha256").update(JSON.stringify([name, Object.keys(files)])).digest("hex");
    const path = `/webimport/${release}-${version}-${sha256.slice(0, 12)}`;
    const count = Object.keys(files).length;
    const already = request.loaded.includes(sha256);
    const progress = { release: name, phase: "objects", bytesDone: 9, bytesTotal: 9, filesDone: count, filesTotal: count, cached: false };
    if (!already) onProgress?.(JSON.stringify(progress));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const tops = new Set(Object.keys(files).map((file) => file.split("/")[0].split(".")[0]));
    const modules = [...tops].filter((top) => !top.includes("-")).sort();
    const namespaces = modules.filter((top) => !(`${top}.py` in files) && !(`${top}/__init__.py` in files));
    const description = {
      name: release,
      version,
      sha256,
      path,
      modules,
      namespaces,
      distributions: [{ name: release, version }],
      requires: [],
      requires_python: null,
      partial: globalThis.partial?.[name] !== undefined,
      sharded: false,
      incomplete: globalThis.partial?.[name] !== undefined,
      source: true,
      repository: "https://code.example.org/repo",
      bytecode: null,
      already,
      trust: { how: "chain", root: `sha256:${"0".repeat(64)}`, first_use: false, role: "targets", keyids: ["ab".repeat(32)], expires: null, expired: false },
      network: { files: count, bytes: 9, requests: 4 },
      cache: { files: 0, bytes: 0 },
      storage: "memory",
      offline: false,
      warnings: globalThis.nextWarnings ?? [],
    };
    const there = already ? {} : files;
    const imports = globalThis.partial?.[name];
    const tree = imports ? sparseTreeOf(there, Object.keys(there).filter((file) => file.includes("dist-info"))) : treeOf(there);
    return { description: JSON.stringify(description), path, free() {}, ...listed(tree), files: new Files(tree, imports) };
  }

  freeze(loaded) {
    return `# ${loaded}\n`;
  }

  async cacheInfo() {
    return '{"storage":"memory","objects":1,"bytes":9,"repositories":1}';
  }

  async cacheClear() {}

  async cacheVerify() {
    return '{"checked":1,"dropped":[]}';
  }
}

/** What comes after the load of a partial release. `globalThis.fetched` notes what the network was asked for. */
class Files {
  constructor(tree, imports = {}) {
    this.tree = tree;
    this.imports = imports;
    this.given = new Set(tree.objects);
    this.held = new Set();
  }

  async fetch(modules) {
    globalThis.fetched = [...(globalThis.fetched ?? []), ["fetch", ...modules]];
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (modules.includes("big.broken")) throw { code: "fetch.network", message: "no network", hint: "try again" };
    const wanted = new Set();
    const add = (module) => {
      for (const [index, path] of this.tree.paths.entries()) {
        const own = path.replace(/(\/__init__)?\.py$/, "").replaceAll("/", ".");
        if ((own === module || module.startsWith(`${own}.`)) && !wanted.has(index)) {
          wanted.add(index);
          for (const next of this.imports[own] ?? []) add(next);
        }
      }
    };
    modules.forEach(add);
    return this.give([...wanted]);
  }

  async give(wanted) {
    const objects = Uint32Array.from(wanted.filter((index) => !this.given.has(index)));
    const buffers = Array.from(objects, (index) => this.tree.contents[index]);
    return { report: JSON.stringify({ fetched: objects.length, bytes: 9, requests: objects.length, cached: 0 }), objects, buffers, free() {} };
  }

  supplied(objects) {
    for (const index of objects) {
      this.given.add(index);
      this.held.delete(index);
    }
  }

  async follow() {}

  async complete() {
    globalThis.fetched = [...(globalThis.fetched ?? []), ["complete"]];
    for (const index of this.tree.paths.keys()) if (!this.given.has(index)) this.held.add(index);
  }

  holds(object) {
    return this.held.has(object);
  }

  read(object) {
    if (this.held.delete(object)) return this.tree.contents[object];
    globalThis.fetched = [...(globalThis.fetched ?? []), ["read", this.tree.paths[object]]];
    if (this.tree.paths[object].includes("broken")) throw { code: "fetch.network", message: "no network", hint: "try again" };
    return this.tree.contents[object];
  }

  free() {}
}
