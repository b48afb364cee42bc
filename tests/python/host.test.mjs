/** The host: who gets what of a release when, over a stand-in for the wasm module. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { importBundle, listed, sparseTreeOf, startPyodide } from "./support/pyodide.mjs";

const { Host } = await importBundle("internal/host.ts");
const { FS } = await startPyodide("pyodide");

const REQUEST = JSON.stringify({ python: { tag: "cpython-314" } });
const SMALL = { "a/__init__.py": "A = 1", "a/b.py": "B = 2", "a/c.py": "C = 3" };
/** More than a page's main thread compiles at once. */
const LARGE = { "a/x.so": new Uint8Array(8 * 1024 * 1024 + 1) };

let releases = 0;

/** A mounted release of which nothing is there. `made` overrides methods of its `Files`, given these. */
async function mounted(contents, made = () => ({})) {
  const path = `/webimport/a-${releases++}`;
  const tree = sparseTreeOf(contents, []);
  const files = {
    given: new Set(),
    held: new Set(),
    async give(wanted) {
      const objects = Uint32Array.from(wanted).filter((object) => !files.given.has(object));
      return { objects, buffers: Array.from(objects, (object) => tree.contents[object]), report: "{}", free() {} };
    },
    fetch: () => files.give(tree.paths.keys()),
    supplied: (objects) => objects.forEach((object) => files.given.add(object)),
    follow: async () => {},
    complete: async () => tree.paths.forEach((_, object) => files.held.add(object)),
    holds: (object) => files.held.has(object),
    read(object) {
      if (!files.held.delete(object)) throw { code: "fetch.network", message: "no network", hint: "try again" };
      return tree.contents[object];
    },
    free() {},
  };
  Object.assign(files, made(files));
  const client = { load: async () => ({ description: "{}", path, ...listed(tree), files, free() {} }) };
  const host = new Host(client, FS, "document", () => {});
  await host.load(1, REQUEST, null);
  host.mount(1);
  return { host, path, files, lacks: (file) => host.lacks(path, `${path}/${file}`) };
}

/** A promise that a test settles. */
function gate() {
  let open;
  const opened = new Promise((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** What `work` does on a main thread, where linking a library takes until `linked`; `linking` says that it began. */
async function onMainThread(work) {
  const [linking, linked] = [gate(), gate()];
  const original = FS.createPreloadedFile;
  globalThis.document = {};
  FS.createPreloadedFile = async (...[, , , , , onload]) => {
    linking.open();
    await linked.opened;
    onload();
  };
  try {
    await work(linking, linked);
  } finally {
    FS.createPreloadedFile = original;
    delete globalThis.document;
  }
}

test("what two fetches want is fetched once", async () => {
  const first = gate();
  const asked = [];
  const { host, path, lacks } = await mounted(SMALL, (files) => ({
    async fetch() {
      const supply = await files.give([0, 1, 2]);
      asked.push([...supply.objects]);
      if (asked.length === 1) await first.opened;
      return supply;
    },
  }));
  const both = [0, 1].map(() => host.fetch(path, '["a.b"]').then(() => lacks("a/b.py")));
  first.open();
  assert.deepEqual(await Promise.all(both), [false, false]);
  assert.deepEqual(asked, [[0, 1, 2], []]);
});

test("nobody is told that a library has come while another fetch links it", async () => {
  const { host, path, lacks } = await mounted(LARGE);
  await onMainThread(async (linking, linked) => {
    const fetched = (modules) => host.fetch(path, modules).then(() => lacks("a/x.so"));
    const first = fetched('["a.x"]');
    await linking.opened;
    const later = [fetched('["a.x"]'), fetched("[]")];
    assert.equal(lacks("a/x.so"), true);
    linked.open();
    assert.deepEqual(await Promise.all([first, ...later]), [false, false, false]);
  });
});

test("a fetch that fails lets the next one begin", async () => {
  let asked = 0;
  const { host, path, lacks } = await mounted(SMALL, (files) => ({
    async fetch() {
      if (asked++ === 0) throw { code: "fetch.network", message: "no network", hint: "try again" };
      return files.give([0, 1, 2]);
    },
  }));
  const [first, second] = [0, 1].map(() => host.fetch(path, '["a.b"]'));
  await assert.rejects(first, { code: "fetch.network" });
  await second;
  assert.equal(lacks("a/b.py"), false);
});

test("of a release that was unloaded while a fetch waited for its turn, nothing is asked", async () => {
  const first = gate();
  let asked = 0;
  const { host, path } = await mounted(SMALL, (files) => ({
    async fetch() {
      asked += 1;
      await first.opened;
      return files.give([0]);
    },
  }));
  const both = [0, 1].map(() => host.fetch(path, '["a.b"]'));
  const unloaded = both.map((one) => assert.rejects(one, { code: "host.unloaded" }));
  host.unmount(path);
  first.open();
  await Promise.all(unloaded);
  assert.ok(asked <= 1);
});

test("what was prefetched is ready, and comes without the network", async () => {
  const { host, path, lacks } = await mounted(SMALL);
  const ready = (file) => host.ready(path, `${path}/${file}`);
  assert.deepEqual([ready("a/b.py"), ready("a"), ready("a/gone.py"), host.ready("/elsewhere", "/elsewhere/a/b.py")], [false, false, false, false]);
  assert.throws(() => host.bring(path, `${path}/a/b.py`), { code: "fetch.network" });
  await host.fetch(path, "[]");
  assert.deepEqual([ready("a/b.py"), lacks("a/b.py")], [true, true]);
  host.bring(path, `${path}/a/b.py`);
  assert.deepEqual([ready("a/b.py"), lacks("a/b.py")], [false, false]);
  assert.equal(FS.readFile(`${path}/a/c.py`, { encoding: "utf8" }), "C = 3");
});

test("a library that an import could not link at once is linked by a prefetch of everything", async () => {
  await onMainThread(async (_linking, linked) => {
    linked.open();
    const { host, path, files, lacks } = await mounted({ ...SMALL, ...LARGE });
    await files.complete();
    assert.deepEqual(["a/x.so", "a/b.py"].map((file) => host.ready(path, `${path}/${file}`)), [false, true]);
    await host.fetch(path, "[]");
    assert.deepEqual([lacks("a/x.so"), lacks("a/b.py")], [false, true]);
  });
});
