/**
 * A read-only file system over verified bytes, for `pyodide.FS.mount`.
 *
 * Files are views into the objects that hold them; nothing is copied until Python reads. All files of a release
 * are there from the start, with their sizes, but those of folders that a shard lists, which is asked for when somebody
 * looks into the folder. An object that has not come yet is asked for when the first of its files is opened. Paths were checked with the manifest; they are only checked here for what would break the tree.
 *
 * Every write is refused with `PermissionError`: the nodes' modes carry no write bit (EACCES), and the operations
 * that would write do not exist (EPERM). As on any mount, a rename across its border is EXDEV, an `OSError`.
 */

import type { FileSystem, FileSystemType, Node, NodeOperations, StreamOperations } from "./pyodide.js";

/** Decoded objects of a release. */
export interface Objects {
  /** Which ones. */
  readonly objects: Uint32Array;
  /** Their bytes. Each owns its memory: a view into a WebAssembly memory would be detached when that grows. */
  readonly buffers: readonly Uint8Array[];
}

/** Files of a release, without their folders. */
export interface Listing {
  /** Relative, `/` between components. */
  readonly paths: readonly string[];
  /** For each path: object, offset and size in bytes. */
  readonly spans: Uint32Array;
  /** Folders whose files a shard lists. */
  readonly folders: readonly string[];
  /** The shard of each folder. */
  readonly shards: Uint32Array;
}

/** Files of a release, and the objects that are there. */
export interface FileTree extends Listing, Objects {}

/** What is not there, at once. What it throws is told to `onTrouble`. */
export interface Source {
  /** The bytes of an object. */
  read(object: number): Uint8Array;
  /** Has the mount `add` what a shard lists. */
  reveal(shard: number): void;
  onTrouble(error: unknown): void;
}

const FOLDER = 0o040555;
const FILE = 0o100444;
const ENOENT = 44;
const EINVAL = 28;
const EIO = 29;
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
  readonly #root: Folder;
  readonly #source: Source;
  readonly #objects = new Map<number, Uint8Array>();

  /** Mounts `tree` at `path`, which must not be mounted yet. All or nothing. */
  constructor(FS: FileSystem, path: string, tree: FileTree, source: Source) {
    this.#FS = FS;
    this.#path = path;
    this.#source = source;
    this.#root = folderOf(tree);
    this.supply(tree);
    FS.mkdirTree(path);
    const access = { open: (file: File) => this.#open(file), look: (folder: Folder) => this.#look(folder) };
    FS.mount(fileSystemType(FS, this.#root, access), {}, path);
  }

  /** Takes files that were not known before. */
  add(listing: Listing): void {
    addTo(this.#root, listing, new Map());
  }

  /** Takes objects that have come. */
  supply({ objects, buffers }: Objects): void {
    objects.forEach((object, index) => {
      const bytes = buffers[index];
      if (bytes === undefined) throw new RangeError(`${objects.length} objects, ${buffers.length} buffers`);
      this.#objects.set(object, bytes);
    });
  }

  /** Whether the bytes of an object are there. */
  has(object: number): boolean {
    return this.#objects.has(object);
  }

  /** Whether the bytes of a file are still to come; false for what is no file of the release. */
  lacks(path: string): boolean {
    const file = this.#find(path);
    return file !== undefined && !this.#objects.has(file.object);
  }

  /** The bytes of a file, a view, if they are there. */
  peek(path: string): Uint8Array | undefined {
    const file = this.#find(path);
    return file !== undefined && this.#objects.has(file.object) ? this.#bytes(file) : undefined;
  }

  /** Gets the bytes of a file at once. Throws what the source throws. */
  bring(path: string): void {
    const file = this.#find(path);
    if (file !== undefined) this.#bytes(file);
  }

  /** Has all folders on the way to a path list their files, and the one there. Throws what the source throws. */
  reveal(path: string): void {
    let entry: Folder | File | undefined = this.#root;
    for (const component of path.slice(this.#path.length + 1).split("/")) {
      if (!(entry instanceof Folder)) return;
      this.#reveal(entry);
      entry = entry.entries.get(component);
    }
    if (entry instanceof Folder) this.#reveal(entry);
  }

  /** Files that are still open stay readable; their bytes go when the last is closed. */
  unmount(): void {
    this.#FS.unmount(this.#path);
    removeMountPoint(this.#FS, this.#path);
    this.#objects.clear();
  }

  #open(file: File): Uint8Array {
    return this.#orError(() => this.#bytes(file));
  }

  #look(folder: Folder): Map<string, Folder | File> {
    this.#orError(() => this.#reveal(folder));
    return folder.entries;
  }

  #orError<Value>(work: () => Value): Value {
    try {
      return work();
    } catch (error) {
      this.#source.onTrouble(error);
      throw new this.#FS.ErrnoError(EIO);
    }
  }

  #reveal(folder: Folder): void {
    if (folder.shard === undefined) return;
    this.#source.reveal(folder.shard);
    // It may list nothing for this interpreter.
    folder.shard = undefined;
  }

  #bytes({ object, offset, size }: File): Uint8Array {
    let bytes = this.#objects.get(object);
    if (bytes === undefined) {
      bytes = this.#source.read(object);
      this.#objects.set(object, bytes);
    }
    if (offset + size > bytes.length) throw new RangeError(`a file lies outside of object ${object}`);
    return bytes.subarray(offset, offset + size);
  }

  #find(path: string): File | undefined {
    if (!path.startsWith(`${this.#path}/`)) return undefined;
    let entry: Folder | File | undefined = this.#root;
    for (const component of path.slice(this.#path.length + 1).split("/")) {
      if (!(entry instanceof Folder)) return undefined;
      entry = entry.entries.get(component);
    }
    return entry instanceof Folder ? undefined : entry;
  }
}

/** Where the bytes of a file are. */
interface File {
  readonly object: number;
  readonly offset: number;
  readonly size: number;
}

/** A folder that is not made into a node yet, so that a bad tree leaves no node behind. */
class Folder {
  readonly entries = new Map<string, Folder | File>();
  /** The shard that lists the entries, as long as they are not here. */
  shard: number | undefined;
}

function folderOf(tree: FileTree): Folder {
  const root = new Folder();
  const { objects, buffers } = tree;
  addTo(root, tree, new Map(Array.from(objects, (object, index) => [object, buffers[index]?.length ?? 0])));
  return root;
}

/** `sizes`: of the objects that are there, in bytes. */
function addTo(root: Folder, { paths, spans, folders, shards }: Listing, sizes: ReadonlyMap<number, number>): void {
  if (spans.length !== 3 * paths.length || shards.length !== folders.length) {
    const lengths = `${spans.length} and ${shards.length}`;
    throw new RangeError(`${paths.length} paths and ${folders.length} folders need other spans and shards than ${lengths}`);
  }
  // Before the files, as some of these shards may be known already.
  folders.forEach((path, index) => {
    folderAt(root, path.split("/"), path).shard = shards[index];
  });
  // The one before is likely to be in the same folder.
  let around = { path: "", folder: root };
  paths.forEach((path, index) => {
    const number = (place: number) => spans[3 * index + place] as number;
    const [object, offset, size] = [number(0), number(1), number(2)];
    if (offset + size > (sizes.get(object) ?? Number.POSITIVE_INFINITY)) {
      throw new RangeError(`\`${path}\` lies outside of its object`);
    }
    const start = path.lastIndexOf("/") + 1;
    const parent = path.slice(0, start);
    if (parent !== around.path) around = { path: parent, folder: folderAt(root, parent.split("/").slice(0, -1), path) };
    const name = path.slice(start);
    const { entries } = around.folder;
    if (entries.has(checked(name, path))) throw new RangeError(`\`${path}\` is there twice`);
    entries.set(name, { object, offset, size });
  });
}

/** The folder, made where it is new. What is in it is known, and so are all folders around it. */
function folderAt(root: Folder, components: readonly string[], path: string): Folder {
  let folder = root;
  for (const component of components) {
    const child = folder.entries.get(checked(component, path)) ?? new Folder();
    if (!(child instanceof Folder)) throw new RangeError(`\`${path}\` lies inside of a file`);
    child.shard = undefined;
    folder.entries.set(component, child);
    folder = child;
  }
  return folder;
}

function checked(component: string, path: string): string {
  if (component === "" || component === "." || component === "..") throw new RangeError(`\`${path}\` is no path`);
  return component;
}

/** How the file system comes to what is in it. */
interface Access {
  /** The bytes of a file. */
  open(file: File): Uint8Array;
  /** The entries of a folder. */
  look(folder: Folder): ReadonlyMap<string, Folder | File>;
}

function fileSystemType(FS: FileSystem, folder: Folder, access: Access): FileSystemType {
  return {
    mount(mount) {
      const root = createFolder(FS, null, "/", folder, access);
      // FS.mount sets this too late: nodes take it over from their parent, and FS.unmount finds them by it.
      root.mount = mount;
      return root;
    },
  };
}

function createFolder(FS: FileSystem, parent: Node | null, name: string, folder: Folder, access: Access): Node {
  const node = FS.createNode(parent, name, FOLDER, 0);
  node.contents = null;
  node.usedBytes = BLOCK;
  node.node_ops = folderOperations(FS, folder, access);
  node.stream_ops = { llseek: seek(FS) };
  return node;
}

function createFile(FS: FileSystem, parent: Node, name: string, file: File, access: Access): Node {
  const node = FS.createNode(parent, name, FILE, 0);
  node.contents = null;
  node.usedBytes = file.size;
  node.node_ops = { getattr };
  node.stream_ops = fileStreams(FS, () => access.open(file));
  return node;
}

function getattr(node: Node): object {
  const size = node.usedBytes;
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

function folderOperations(FS: FileSystem, folder: Folder, access: Access): NodeOperations {
  return {
    getattr,
    // Emscripten asks once for each name, and keeps the node in its own table.
    lookup(parent, name) {
      const entry = access.look(folder).get(name);
      if (entry === undefined) throw new FS.ErrnoError(ENOENT);
      if (entry instanceof Folder) return createFolder(FS, parent, name, entry, access);
      return createFile(FS, parent, name, entry, access);
    },
    readdir: () => [".", "..", ...access.look(folder).keys()],
  };
}

function fileStreams(FS: FileSystem, open: () => Uint8Array): StreamOperations {
  return {
    open({ node, fd }) {
      try {
        node.contents ??= open();
      } catch (error) {
        // Emscripten has given the descriptor out already, and has 4,096 of them.
        FS.closeStream(fd);
        throw error;
      }
    },
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
