/**
 * In place of the wasm module: serves what tests put into `globalThis.published`, by `name@version`, and
 * checks nothing. A value that has a `code` is thrown.
 */

import { createHash } from "node:crypto";
import { treeOf } from "./pyodide.mjs";

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
    return { description: JSON.stringify(description), path, free() {}, ...treeOf(already ? {} : files) };
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
