/**
 * The part of Pyodide's JavaScript API, and of Emscripten's file system behind `pyodide.FS`, that webimport uses.
 *
 * Measured to be the same in Pyodide 0.29 and 314. Nothing here starts with an underscore but `_webimport`,
 * the property that `attach` adds.
 */

import type { Host } from "./host.js";

/** Pyodide, as `loadPyodide()` returns it. */
export interface Pyodide {
  readonly version: string;
  readonly FS: FileSystem;
  readonly globals: PythonProxy & { set(name: string, value: unknown): void };
  runPython(code: string, options?: { globals?: PythonProxy }): unknown;
  pyimport(name: string): PythonProxy;
  toPy(value: unknown): PythonProxy;
  /** Hosts of notebooks call it before each cell. */
  loadPackagesFromImports(code: string, ...options: unknown[]): Promise<unknown>;
  /** Set by `attach`; Python finds the host here at each call. */
  _webimport?: Host;
}

/** A Python object in JavaScript's hands. */
export interface PythonProxy {
  destroy(): void;
  readonly [name: string]: unknown;
}

/** Emscripten's `FS`. */
export interface FileSystem {
  readonly ErrnoError: new (errno: number) => { readonly errno: number };
  readonly filesystems: { readonly MEMFS: { readonly stream_ops: { readonly mmap: MapFile } } };
  createNode(parent: Node | null, name: string, mode: number, device: number): Node;
  mount(type: FileSystemType, options: object, path: string): Node;
  unmount(path: string): void;
  mkdirTree(path: string): void;
  rmdir(path: string): void;
  /** Gives a descriptor back without asking the file. */
  closeStream(descriptor: number): void;
  writeFile(path: string, text: string): void;
  /** With a library's bytes: compiles and links it, so that `dlopen` of that path finds it done. */
  createPreloadedFile(
    folder: string,
    name: string,
    bytes: Uint8Array,
    readable: boolean,
    writable: boolean,
    onload: () => void,
    onerror: () => void,
    withoutFile: boolean,
  ): void;
}

/** What `FS.mount` takes. */
export interface FileSystemType {
  mount(mount: Mount): Node;
}

/** One mount, opaque to us. */
export interface Mount {
  readonly opts: object;
}

/** An inode; the fields after `parent` are ours to fill. */
export interface Node {
  readonly id: number;
  readonly name: string;
  readonly mode: number;
  readonly parent: Node;
  mount: Mount;
  node_ops: NodeOperations;
  stream_ops: StreamOperations;
  /** The bytes of a file, null until it is opened. */
  contents: Uint8Array | null;
  /** Bytes of a file. */
  usedBytes: number;
}

/** An open file. */
export interface Stream {
  readonly node: Node;
  readonly fd: number;
  readonly position: number;
}

/** Without `setattr`, `mknod`, `rename`, `unlink`, `rmdir` and `symlink` Emscripten answers EPERM. */
export interface NodeOperations {
  getattr(node: Node): object;
  lookup?(parent: Node, name: string): Node;
  readdir?(node: Node): string[];
}

/** Without `write` no stream can be written to. */
export interface StreamOperations {
  open?(stream: Stream): void;
  llseek(stream: Stream, offset: number, whence: number): number;
  read?(stream: Stream, buffer: Int8Array | Uint8Array, offset: number, length: number, position: number): number;
  mmap?: MapFile;
}

/** `mmap(2)` of an open file. */
export type MapFile = (
  stream: Stream,
  length: number,
  position: number,
  protection: number,
  flags: number,
) => { ptr: number; allocated: boolean };
