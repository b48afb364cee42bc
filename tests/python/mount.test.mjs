/** The read-only mount in real Pyodides. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { importBundle, PYODIDES, sparseTreeOf, startPyodide, treeOf } from "./support/pyodide.mjs";

const { ReleaseMount } = await importBundle("internal/mount.ts");

const DATA = Uint8Array.from({ length: 100_000 }, (_, index) => index % 251);
const FILES = {
  "pkg/__init__.py": "import os\nHERE = os.path.dirname(__file__)\n",
  "pkg/sub/__init__.py": "",
  "pkg/sub/mod.py": "def fail():\n    raise ValueError('here')\n",
  "pkg/data.bin": DATA,
  "pkg/empty.txt": "",
};

/** Where every object is there from the start. */
const NOWHERE = {
  read(object) {
    throw new Error(`object ${object} is not there`);
  },
  onTrouble(error) {
    throw error;
  },
};

/** Runs `body` in Python with ROOT, DATA, `call` (repr of the result or the name of the exception). */
function runner(pyodide, root) {
  return (expressions) => {
    const source = `
import errno, glob, importlib, io, mmap, os, shutil, sys, traceback, zipfile
ROOT, DATA = ${JSON.stringify(root)}, ${JSON.stringify(`${root}/pkg/data.bin`)}
def mapped(access, **options):
    with open(DATA, "rb") as file, mmap.mmap(file.fileno(), options.pop("length", 0), access=access, **options) as view:
        return len(view), view[0], view[-1]
def seek():
    with open(DATA, "rb") as file:
        file.seek(-10, 2); end = len(file.read())
        file.seek(5); file.seek(5, 1); middle = list(file.read(3))
        file.seek(200000)
        return end, middle, file.read(4), file.tell()
def call(expression):
    try:
        return repr(eval(expression))
    except BaseException as error:
        return type(error).__name__
import json
json.dumps({expression: call(expression) for expression in json.loads(${JSON.stringify(JSON.stringify(expressions))})})
`;
    return JSON.parse(pyodide.runPython(source));
  };
}

const READS = {
  "sorted(os.listdir(ROOT))": "['pkg']",
  "[(entry.name, entry.is_dir(), entry.is_file()) for entry in sorted(os.scandir(ROOT + '/pkg'), key=lambda e: e.name)]":
    "[('__init__.py', False, True), ('data.bin', False, True), ('empty.txt', False, True), ('sub', True, False)]",
  "[(len(folders), len(files)) for _, folders, files in os.walk(ROOT)]": "[(1, 0), (1, 3), (0, 2)]",
  "glob.glob(ROOT + '/**/mod.py', recursive=True) == [ROOT + '/pkg/sub/mod.py']": "True",
  "(oct(os.stat(DATA).st_mode), os.stat(DATA).st_size, os.stat(DATA).st_mtime)": "('0o100644', 100000, 315619200.0)",
  "oct(os.stat(ROOT).st_mode)": "'0o40755'",
  "open(DATA, 'rb').read() == bytes(i % 251 for i in range(100000))": "True",
  "open(ROOT + '/pkg/empty.txt').read()": "''",
  "seek()": "(10, [10, 11, 12], b'', 200000)",
  "os.lseek(os.open(DATA, os.O_RDONLY), -5, 0)": "OSError",
  "list(os.pread(os.open(DATA, os.O_RDONLY), 3, 251))": "[0, 1, 2]",
  "mapped(mmap.ACCESS_READ)": "(100000, 0, 101)",
  "mapped(mmap.ACCESS_COPY)": "(100000, 0, 101)",
  "mapped(mmap.ACCESS_READ, offset=65536, length=10)": "(10, 25, 34)",
  "(os.access(DATA, os.R_OK), os.access(DATA, os.W_OK), os.access(ROOT, os.W_OK), os.access(ROOT, os.X_OK))": "(True, False, False, True)",
  "(os.chdir(ROOT + '/pkg'), os.path.realpath('data.bin') == DATA, os.chdir('/tmp'))": "(None, True, None)",
  "open(shutil.copyfile(DATA, '/tmp/copy'), 'rb').read() == open(DATA, 'rb').read()": "True",
  "open(os.path.join(shutil.copytree(ROOT + '/pkg', '/tmp/tree'), 'data.bin'), 'ab').write(b'x')": "1",
  "zipfile.ZipFile(io.BytesIO(), 'w').write(DATA)": "None",
  "os.makedirs(ROOT + '/pkg', exist_ok=True)": "None",
  "open(ROOT + '/nothing')": "FileNotFoundError",
  "open(DATA + '/x')": "NotADirectoryError",
  "open(ROOT + '/pkg')": "IsADirectoryError",
};

const WRITES = [
  "open(DATA, 'w')",
  "open(DATA, 'a')",
  "open(DATA, 'r+')",
  "open(ROOT + '/new', 'w')",
  "open(ROOT + '/new', 'x')",
  "os.open(DATA, os.O_RDONLY | os.O_TRUNC)",
  "mapped(mmap.ACCESS_WRITE)",
  "os.mkdir(ROOT + '/new')",
  "os.mkdir(ROOT + '/pkg/new')",
  "os.unlink(DATA)",
  "os.rmdir(ROOT + '/pkg/sub')",
  "shutil.rmtree(ROOT)",
  "os.rename(DATA, DATA + '2')",
  "os.rename(ROOT + '/pkg', ROOT + '/other')",
  "os.replace(DATA, ROOT + '/pkg/empty.txt')",
  "shutil.move(DATA, '/tmp/moved')",
  "shutil.move('/tmp/copy', ROOT + '/pkg/in')",
  "os.symlink('/tmp', ROOT + '/link')",
  "os.chmod(DATA, 0o777)",
  "os.chmod(ROOT, 0o777)",
  "os.fchmod(os.open(DATA, os.O_RDONLY), 0o777)",
  "os.chown(DATA, 1, 1)",
  "os.utime(DATA)",
  "os.utime(DATA, (1, 1))",
  "os.truncate(DATA, 0)",
];

/** What any mount answers, read-only or not. */
const BORDERS = {
  "os.rename(DATA, '/tmp/x')": "OSError",
  "os.rename('/tmp/copy', ROOT + '/x')": "OSError",
  "os.rmdir(ROOT)": "OSError",
};

for (const name of PYODIDES) {
  test(`${name}: reads, refuses writes, imports, unmounts`, async (context) => {
    const pyodide = await startPyodide(name);
    const root = "/webimport/pkg-1.0-0123456789ab";
    const mount = new ReleaseMount(pyodide.FS, root, treeOf(FILES), NOWHERE);
    const run = runner(pyodide, root);

    await context.test("reads", () => assert.deepEqual(run(Object.keys(READS)), READS));
    await context.test("every write is a PermissionError", () => {
      assert.deepEqual(run(WRITES), Object.fromEntries(WRITES.map((write) => [write, "PermissionError"])));
    });
    await context.test("the border is that of any mount", () => assert.deepEqual(run(Object.keys(BORDERS)), BORDERS));
    await context.test("nothing changed", () => {
      assert.deepEqual(run(["len(open(DATA, 'rb').read())", "sorted(os.listdir(ROOT + '/pkg'))", "os.stat(DATA).st_mtime"]), {
        "len(open(DATA, 'rb').read())": "100000",
        "sorted(os.listdir(ROOT + '/pkg'))": "['__init__.py', 'data.bin', 'empty.txt', 'sub']",
        "os.stat(DATA).st_mtime": "315619200.0",
      });
    });
    await context.test("is imported by the standard import system", () => {
      const text = pyodide.runPython(`
sys.path.append(ROOT)
import pkg.sub.mod
try: pkg.sub.mod.fail()
except ValueError: text = traceback.format_exc()
text`);
      assert.match(text, /pkg-1.0-0123456789ab\/pkg\/sub\/mod.py", line 2, in fail\n\s+raise ValueError\('here'\)/);
    });
    await context.test("an open file outlives the mount, the path does not", () => {
      const kept = pyodide.runPython("kept = open(DATA, 'rb'); kept.fileno()");
      assert.equal(typeof kept, "number");
      mount.unmount();
      assert.equal(pyodide.runPython("len(kept.read())"), 100_000);
      assert.equal(pyodide.runPython("kept.close(); os.path.exists(ROOT)"), false);
      assert.equal(pyodide.runPython("os.path.exists('/webimport')"), true);
    });
    await context.test("the path can be mounted again", () => {
      const again = new ReleaseMount(pyodide.FS, root, treeOf({ "other.txt": "again" }), NOWHERE);
      assert.equal(pyodide.runPython("open(ROOT + '/other.txt').read()"), "again");
      assert.throws(() => new ReleaseMount(pyodide.FS, root, treeOf(FILES), NOWHERE), { errno: 10 });
      assert.equal(pyodide.runPython("os.listdir(ROOT)").toString(), "['other.txt']");
      again.unmount();
    });
    await context.test("unmounting frees the bytes", async () => {
      setFlagsFromString("--expose-gc");
      const gc = runInNewContext("gc");
      let tree = treeOf({ "big.bin": new Uint8Array(30_000_000) });
      const bytes = new WeakRef(tree.buffers[0]);
      const large = new ReleaseMount(pyodide.FS, "/webimport/large", tree, NOWHERE);
      assert.equal(pyodide.runPython("os.path.getsize('/webimport/large/big.bin')"), 30_000_000);
      large.unmount();
      tree = undefined;
      for (let tries = 0; tries < 20 && bytes.deref() !== undefined; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        gc();
      }
      assert.ok(bytes.deref() === undefined);
    });
    await context.test("an object that is not there is read when its first file is opened", () => {
      const files = { "a.txt": "first", "b.txt": "second", "c.txt": "third" };
      const tree = sparseTreeOf(files, ["a.txt"]);
      const [asked, troubles] = [[], []];
      const source = {
        read(object) {
          asked.push(tree.paths[object]);
          if (tree.paths[object] === "c.txt") throw new Error("no network");
          return tree.contents[object];
        },
        onTrouble: (error) => troubles.push(error.message),
      };
      const sparse = new ReleaseMount(pyodide.FS, "/webimport/sparse", tree, source);
      const python = (expression) => pyodide.runPython(`import os\n${expression}`);
      assert.equal(python("os.path.getsize('/webimport/sparse/b.txt')"), 6);
      assert.deepEqual(asked, [], "a size needs no bytes");
      assert.ok(sparse.lacks("/webimport/sparse/b.txt"));
      assert.ok(!sparse.lacks("/webimport/sparse/a.txt"));
      assert.ok(!sparse.lacks("/webimport/sparse"));
      assert.ok(!sparse.lacks("/webimport/other/b.txt"));
      for (let times = 0; times < 2; times++) {
        assert.equal(python("open('/webimport/sparse/a.txt').read() + open('/webimport/sparse/b.txt').read()"), "firstsecond");
      }
      assert.deepEqual(asked, ["b.txt"], "once");
      assert.throws(() => python("open('/webimport/sparse/c.txt')"), /OSError: \[Errno 29\]/);
      assert.deepEqual(troubles, ["no network"]);
      assert.throws(() => sparse.bring("/webimport/sparse/c.txt"), /no network/);
      const opened = python(
        `
failures = 0
for _ in range(5000):
    try: open('/webimport/sparse/c.txt')
    except OSError: failures += 1
[failures, open('/webimport/sparse/a.txt').read()]`,
      ).toJs();
      assert.deepEqual(opened, [5000, "first"], "a failure keeps no descriptor");
      sparse.supply({ objects: Uint32Array.of(2), buffers: [tree.contents[2]] });
      assert.equal(python("open('/webimport/sparse/c.txt').read()"), "third");
      sparse.unmount();
    });
    await context.test("a folder is looked into when somebody does", () => {
      const later = {
        7: { ...treeOf({ "pkg/sub/__init__.py": "S = 1", "pkg/sub/a.txt": "a" }), folders: ["pkg/sub/deep"], shards: Uint32Array.of(9) },
        8: treeOf({}),
        9: treeOf({ "pkg/sub/deep/b.txt": "b" }),
      };
      const tree = { ...treeOf({ "pkg/__init__.py": "" }), folders: ["pkg/bad", "pkg/none", "pkg/sub"], shards: Uint32Array.of(6, 8, 7) };
      const [asked, troubles] = [[], []];
      const source = {
        read: () => later[7].buffers[0],
        reveal(shard) {
          asked.push(shard);
          if (shard === 6) throw new Error("no network");
          const { paths, folders, shards, spans } = later[shard];
          mounted.add({ paths, folders, shards, spans: spans.map((number, index) => (index % 3 === 0 ? shard : number)) });
          mounted.supply({ objects: Uint32Array.of(shard), buffers: later[shard].buffers });
        },
        onTrouble: (error) => troubles.push(error.message),
      };
      const root = "/webimport/stubs";
      const mounted = new ReleaseMount(pyodide.FS, root, tree, source);
      const python = (expression) => pyodide.runPython(`import os, json\njson.dumps(${expression})`);
      assert.equal(python(`[sorted(os.listdir('${root}/pkg')), os.path.isdir('${root}/pkg/sub')]`), '[["__init__.py", "bad", "none", "sub"], true]');
      assert.deepEqual(asked, [], "a folder is there before it is looked into");
      assert.ok(!mounted.lacks(`${root}/pkg/sub/a.txt`));
      assert.equal(python(`[os.path.exists('${root}/pkg/sub/no.txt'), sorted(os.listdir('${root}/pkg/sub'))]`), '[false, ["__init__.py", "a.txt", "deep"]]');
      assert.deepEqual(asked, [7]);
      assert.equal(python(`open('${root}/pkg/sub/deep/b.txt').read() + open('${root}/pkg/sub/a.txt').read()`), '"ba"');
      assert.equal(python(`os.listdir('${root}/pkg/none') + os.listdir('${root}/pkg/none')`), "[]");
      assert.deepEqual(asked, [7, 9, 8], "once each");
      assert.throws(() => python(`os.listdir('${root}/pkg/bad')`), /OSError: \[Errno 29\]/);
      assert.deepEqual(troubles, ["no network"]);
      assert.throws(() => mounted.reveal(`${root}/pkg/bad/x`), /no network/);
      mounted.reveal(`${root}/pkg/sub/deep`);
      assert.deepEqual(asked, [7, 9, 8, 6, 6]);
      mounted.add({ ...later[8], paths: ["pkg/bad/c.txt"], spans: Uint32Array.of(7, 0, 1) });
      assert.equal(python(`os.listdir('${root}/pkg/bad')`), '["c.txt"]');
      mounted.unmount();
    });
    await context.test("an object that is shorter than its files say is no file", () => {
      const tree = { ...treeOf({ "a.txt": "four" }), objects: new Uint32Array(), buffers: [] };
      const short = new ReleaseMount(pyodide.FS, "/webimport/short", tree, { ...NOWHERE, read: () => new Uint8Array(3), onTrouble() {} });
      assert.throws(() => pyodide.runPython("open('/webimport/short/a.txt')"), /OSError: \[Errno 29\]/);
      short.unmount();
    });
    await context.test("a tree that makes no sense leaves nothing", () => {
      const bad = [
        { ...treeOf({ "a.py": "x" }), spans: Uint32Array.of(0, 0) },
        { ...treeOf({ "a.py": "x" }), folders: ["b"] },
        { ...treeOf({ "a.py": "x" }), folders: ["../b"], shards: Uint32Array.of(0) },
        { ...treeOf({ "a.py": "x" }), folders: ["a.py"], shards: Uint32Array.of(0) },
        { ...treeOf({ "a.py": "x" }), spans: Uint32Array.of(0, 0, 2) },
        { ...treeOf({ "a.py": "x" }), objects: Uint32Array.of(0, 1) },
        treeOf({ "a/../b": "x" }),
        treeOf({ "/a": "x" }),
        treeOf({ a: "x", "a/b": "y" }),
        treeOf({ "a/b": "y", a: "x" }),
      ];
      for (const tree of bad) {
        assert.throws(() => new ReleaseMount(pyodide.FS, "/webimport/bad", tree, NOWHERE), RangeError);
      }
      assert.equal(pyodide.runPython("os.path.exists('/webimport/bad')"), false);
    });
  });
}
