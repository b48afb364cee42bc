/**
 * Large compiled extensions on a page's main thread.
 *
 * `dlopen` compiles at once, which Chromium refuses on a main thread from 8 MiB on. So a library of that size is
 * compiled and linked beforehand, by what Emscripten has for files that are preloaded, under the path at which the
 * release will have it; `dlopen` finds it there. Bytes come here verified. A library that cannot be preloaded is left to
 * `dlopen`, which says why when it is imported.
 */

import type { Listing, Objects } from "./mount.js";
import type { FileSystem } from "./pyodide.js";

/** Bytes of a library that every main thread compiles at once. */
const AT_ONCE = 8 * 1024 * 1024;

/** Names the interpreter that a library is for, where it is for one. */
const FOREIGN = /\.(cpython-\d+)[^/]*\.so$/;

/** A file and where it is. */
export interface Library {
  readonly file: string;
  readonly object: number;
  readonly offset: number;
  readonly size: number;
}

/**
 * What of these files has to be preloaded for an interpreter with the cache tag `tag`: nothing in a worker, which
 * compiles at once whatever the size.
 */
export function largeLibraries({ paths, spans }: Listing, tag: string): Library[] {
  if (typeof document === "undefined") return [];
  const libraries: Library[] = [];
  for (const [index, file] of paths.entries()) {
    const [object, offset, size] = spans.subarray(3 * index, 3 * index + 3) as unknown as [number, number, number];
    if (!file.endsWith(".so") || size <= AT_ONCE || (FOREIGN.exec(file)?.[1] ?? tag) !== tag) continue;
    libraries.push({ file, object, offset, size });
  }
  return libraries;
}

/** Resolves when those of the libraries of the release at `path` can be opened whose objects are there. */
export async function preloadLibraries(FS: FileSystem, path: string, libraries: Library[], there: Objects): Promise<void> {
  const buffers = new Map(Array.from(there.objects, (object, index) => [object, there.buffers[index]]));
  for (const { file, object, offset, size } of libraries) {
    const bytes = buffers.get(object);
    if (bytes !== undefined) await preload(FS, path, file, bytes.subarray(offset, offset + size));
  }
}

function preload(FS: FileSystem, folder: string, file: string, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = () => resolve();
    // The last argument: no file is made of it.
    FS.createPreloadedFile(folder, file, bytes, true, false, done, done, true);
  });
}
