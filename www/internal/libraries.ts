/**
 * Large compiled extensions on a page's main thread.
 *
 * `dlopen` compiles at once, which Chromium refuses on a main thread from 8 MiB on. So a library of that size is
 * compiled and linked beforehand, by what Emscripten has for files that are preloaded, under the path at which the
 * release will have it; `dlopen` finds it there. Bytes come here verified. A library that cannot be preloaded is left to
 * `dlopen`, which says why when it is imported.
 */

import type { FileTree } from "./mount.js";
import type { FileSystem } from "./pyodide.js";

/** Bytes of a library that every main thread compiles at once. */
const AT_ONCE = 8 * 1024 * 1024;

/**
 * Resolves when the libraries of the release at `path` can be opened that are in the objects of `tree`. Workers have no
 * limit.
 */
export async function preloadLibraries(FS: FileSystem, path: string, tree: FileTree): Promise<void> {
  if (typeof document === "undefined") return;
  const { paths, spans, objects, buffers } = tree;
  const there = new Map(Array.from(objects, (object, index) => [object, buffers[index]]));
  for (const [index, file] of paths.entries()) {
    const [object, offset, size] = spans.subarray(3 * index, 3 * index + 3) as unknown as [number, number, number];
    const bytes = there.get(object);
    if (!file.endsWith(".so") || size <= AT_ONCE || bytes === undefined) continue;
    await preload(FS, path, file, bytes.subarray(offset, offset + size));
  }
}

function preload(FS: FileSystem, folder: string, file: string, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = () => resolve();
    // The last argument: no file is made of it.
    FS.createPreloadedFile(folder, file, bytes, true, false, done, done, true);
  });
}
