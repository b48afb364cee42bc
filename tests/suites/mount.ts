/**
 * For test suites alone: the product's mount, for trees that a test makes in the browser, which no publisher
 * has signed. Python finds it as `js.suites`; see `python/served.py`.
 */

import { ReleaseMount } from "../../www/internal/mount.js";
import type { Pyodide } from "../../www/internal/pyodide.js";

declare global {
  var pyodide: Pyodide;
  var suites: object | undefined;
}

/** Every object is there from the start. */
const NOWHERE = {
  read(object: number): Uint8Array {
    throw new RangeError(`object ${object} is not there`);
  },
  reveal(shard: number): void {
    throw new RangeError(`shard ${shard} is not there`);
  },
  onTrouble(error: unknown): void {
    throw error;
  },
};

const mounts = new Map<string, ReleaseMount>();

globalThis.suites = {
  mount(path: string, paths: string[], buffers: Uint8Array[]): void {
    const spans = Uint32Array.from(buffers.flatMap((bytes, index) => [index, 0, bytes.length]));
    const objects = Uint32Array.from(buffers.keys());
    const tree = { paths, spans, folders: [], shards: new Uint32Array(), objects, buffers };
    mounts.set(path, new ReleaseMount(pyodide.FS, path, tree, NOWHERE));
  },
  unmount(path: string): void {
    mounts.get(path)?.unmount();
    mounts.delete(path);
  },
};
