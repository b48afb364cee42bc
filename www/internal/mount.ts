/**
 * A read-only file system over verified bytes, for `pyodide.FS.mount`.
 *
 * Files are views into the buffers that they came in; nothing is copied until Python reads. Paths were
 * checked with the manifest; they are only checked here for what would break the tree.
 *
 * Every write is refused with `PermissionError`: the nodes' modes carry no write bit (EACCES), and the operations
 * that would write do not exist (EPERM). As on any mount, a rename across its border is EXDEV, an `OSError`.
 */

import type { FileSystem, FileSystemType, Node, NodeOperations, StreamOperations } from "./pyodide.js";

/** The files of a release, without their folders. */
export interface FileTree {
  /** Relative, `/` between components. */
  readonly paths: readonly string[];
  /** For each path: index into `buffers`, offset and size in bytes. */
  readonly spans: Uint32Array;
  /** Each owns its memory: a view into a WebAssembly memory would be detached when that grows. */
  readonly buffers: readonly Uint8Array[];
}

const FOLDER = 0o040555;
const FILE = 0o100444;
const ENOENT = 44;
const EINVAL = 28;
/**
 * What `stat` adds to the modes, as it would on a disk that is mounted read-only: a package's folder that a
 * program copies, mode and all, must come out writable.
 */
const OWNER_MAY_WRITE = 0o000200;
/**
 * 2 January 1980, UTC, for every file: `zipfile` cannot store an earlier day in any time zone. A constant also
 * lets importlib keep its list of a folder for ever.
 */
const TIME = new Date(Date.UTC(1980, 0, 2));
const BLOCK = 4096;

/** A release's files at a path of Pyodide's file system. */
export class ReleaseMount {
  readonly #FS: FileSystem;
  readonly #path: string;

  /** Mounts `tree` at `path`, which must not be mounted yet. All or nothing. */
  constructor(FS: FileSystem, path: string, tree: FileTree) {
    const folder = folderOf(tree);
    this.#FS = FS;
    this.#path = path;
    FS.mkdirTree(path);
    FS.mount(fileSystemType(FS, folder), {}, path);
  }

  /** Files that are still open stay readable; their bytes go when the last is closed. */
  unmount(): void {
    this.#FS.unmount(this.#path);
    removeMountPoint(this.#FS, this.#path);
  }
}

/** A tree that is not made of nodes yet, so that a bad one leaves no node behind. */
type Folder = Map<string, Folder | Uint8Array>;

function folderOf({ paths, spans, buffers }: FileTree): Folder {
  const root: Folder = new Map();
  if (spans.length !== 3 * paths.length) {
    throw new RangeError(`${paths.length} paths need ${3 * paths.length} spans, got ${spans.length}`);
  }
  paths.forEach((path, index) => {
    const [buffer, offset, size] = spans.subarray(3 * index, 3 * index + 3) as unknown as [number, number, number];
    const bytes = buffers[buffer];
    if (bytes === undefined || offset + size > bytes.length) {
      throw new RangeError(`\`${path}\` lies outside of its buffer`);
    }
    const components = path.split("/");
    const name = components.pop() as string;
    let folder = root;
    for (const component of components) {
      const child = folder.get(checked(component, path)) ?? new Map();
      if (child instanceof Uint8Array) throw new RangeError(`\`${path}\` lies inside of a file`);
      folder.set(component, child);
      folder = child;
    }
    if (folder.has(checked(name, path))) throw new RangeError(`\`${path}\` is there twice`);
    folder.set(name, bytes.subarray(offset, offset + size));
  });
  return root;
}

function checked(component: string, path: string): string {
  if (component === "" || component === "." || component === "..") throw new RangeError(`\`${path}\` is no path`);
  return component;
}

function fileSystemType(FS: FileSystem, folder: Folder): FileSystemType {
  return {
    mount(mount) {
      const root = createNode(FS, null, "/", new Map());
      // FS.mount sets this too late: nodes take it over from their parent, and FS.unmount finds them by it.
      root.mount = mount;
      fill(FS, root, folder);
      return root;
    },
  };
}

function fill(FS: FileSystem, parent: Node, folder: Folder): void {
  const children = parent.contents as Map<string, Node>;
  for (const [name, entry] of folder) {
    const node = createNode(FS, parent, name, entry);
    children.set(name, node);
    if (!(entry instanceof Uint8Array)) fill(FS, node, entry);
  }
}

function createNode(FS: FileSystem, parent: Node | null, name: string, entry: Folder | Uint8Array): Node {
  const isFile = entry instanceof Uint8Array;
  const node = FS.createNode(parent, name, isFile ? FILE : FOLDER, 0);
  node.contents = isFile ? entry : new Map();
  node.usedBytes = isFile ? entry.length : 0;
  node.node_ops = isFile ? { getattr } : folderOperations(FS);
  node.stream_ops = isFile ? fileStreams(FS) : { llseek: seek(FS) };
  return node;
}

function getattr(node: Node): object {
  const isFile = node.contents instanceof Uint8Array;
  const size = isFile ? node.usedBytes : BLOCK;
  return {
    dev: 1,
    ino: node.id,
    mode: node.mode | OWNER_MAY_WRITE,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size,
    atime: TIME,
    mtime: TIME,
    ctime: TIME,
    blksize: BLOCK,
    blocks: Math.ceil(size / BLOCK),
  };
}

function seek(FS: FileSystem): StreamOperations["llseek"] {
  return (stream, offset, whence) => {
    const base = whence === 1 ? stream.position : whence === 2 ? stream.node.usedBytes : 0;
    if (base + offset < 0) throw new FS.ErrnoError(EINVAL);
    return base + offset;
  };
}

function folderOperations(FS: FileSystem): NodeOperations {
  return {
    getattr,
    // Emscripten asks only for names that are not in its own table of nodes.
    lookup() {
      throw new FS.ErrnoError(ENOENT);
    },
    readdir: (folder) => [".", "..", ...(folder.contents as Map<string, Node>).keys()],
  };
}

function fileStreams(FS: FileSystem): StreamOperations {
  return {
    llseek: seek(FS),
    read({ node }, buffer, offset, length, position) {
      const bytes = (node.contents as Uint8Array).subarray(position, position + length);
      buffer.set(bytes, offset);
      return bytes.length;
    },
    // Only Emscripten's own allocator can hand out pages for a mapping, and MEMFS is the public way to it.
    // It reads `node.contents`, which is why file nodes keep their bytes under that name.
    mmap: (...request) => FS.filesystems.MEMFS.stream_ops.mmap(...request),
  };
}

function removeMountPoint(FS: FileSystem, path: string): void {
  try {
    FS.rmdir(path);
  } catch {
    // The current directory of a program: an empty folder stays behind.
  }
}
