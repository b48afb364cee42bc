/** Which compiled extensions are linked before they are mounted. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { importBundle } from "./support/pyodide.mjs";

const AT_ONCE = 8 * 1024 * 1024;
const TAG = "cpython-314";
const { largeLibraries, preloadLibraries } = await importBundle("internal/libraries.ts");

/** A release with a small library, one of the largest size that is compiled at once, a larger one, and a large file. */
const sizes = { "a/small.so": 9, "a/largest.so": AT_ONCE, "a/larger.so": AT_ONCE + 1, "a/data.bin": AT_ONCE + 2 };
const buffers = [new Uint8Array(4 * AT_ONCE)];
const spans = Uint32Array.from(Object.values(sizes).flatMap((size, index) => [0, index, size]));
const tree = { paths: Object.keys(sizes), spans, objects: Uint32Array.of(0), buffers };

async function preloaded(outcome, given = tree) {
  const calls = [];
  const FS = {
    createPreloadedFile(folder, name, bytes, readable, writable, onload, onerror, withoutFile) {
      calls.push({ file: `${folder}/${name}`, offset: bytes.byteOffset, size: bytes.length, withoutFile });
      (outcome === "failure" ? onerror : onload)();
    },
  };
  await preloadLibraries(FS, "/webimport/a-1.0", largeLibraries(given, TAG), given);
  return calls;
}

for (const outcome of ["success", "failure"]) {
  test(`a library that dlopen could not compile is linked before, and a ${outcome} lets the load go on`, async () => {
    globalThis.document = {};
    try {
      const expected = { file: "/webimport/a-1.0/a/larger.so", offset: 2, size: AT_ONCE + 1, withoutFile: true };
      assert.deepEqual(await preloaded(outcome), [expected]);
    } finally {
      delete globalThis.document;
    }
  });
}

test("a library whose object has not come is left alone", async () => {
  globalThis.document = {};
  try {
    assert.deepEqual(await preloaded("success", { ...tree, objects: Uint32Array.of(1) }), []);
  } finally {
    delete globalThis.document;
  }
});

test("a library for another interpreter is left alone", async () => {
  globalThis.document = {};
  try {
    const tags = ["", ".abi3", ".cpython-313-wasm32-emscripten", ".cpython-314-wasm32-emscripten", ".cpython-314"];
    const paths = tags.map((tag) => `a/x${tag}.so`);
    const given = { ...tree, paths, spans: Uint32Array.from(paths.flatMap((_, index) => [0, index, AT_ONCE + 1])) };
    const files = (await preloaded("success", given)).map(({ file }) => file);
    assert.deepEqual(files, [0, 1, 3, 4].map((index) => `/webimport/a-1.0/${paths[index]}`));
  } finally {
    delete globalThis.document;
  }
});

test("where there is no document, dlopen has no limit", async () => {
  assert.deepEqual(await preloaded("success"), []);
});
