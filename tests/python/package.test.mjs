/** The facade and the Python package together in real Pyodides, over a stand-in for the wasm module. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { importBundle, PYODIDES, startPyodide, WASM } from "./support/pyodide.mjs";

const REPOSITORY = "https://code.example.org/repo";

globalThis.published = {
  "shapes@1.0": {
    "shapes/__init__.py": "from .square import area\n",
    "shapes/square.py": "def area(side):\n    return side * side\n\ndef fail():\n    raise ValueError('here')\n",
    "shapes/data.txt": "data",
    "shapes-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\n",
  },
  "solo@1.0": { "solo.py": "VALUE = 7\n", "shared/a.py": "A = 1\n" },
  "other@1.0": { "shared/b.py": "B = 2\n" },
  "clash@1.0": { "solo.py": "VALUE = 8\n" },
  "front@1.0": { "solo.py": "VALUE = 9\n", "back.py": "VALUE = 9\n", "front-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: front\nVersion: 1.0\n" },
  "hider@1.0": { "shared/a.py": "A = 9\n" },
  "taker@1.0": { "shared/__init__.py": "", "shared/b.py": "B = 9\n" },
  "cloud@1.0": { "acme/cloud/__init__.py": "", "acme/cloud/storage.py": "WHO = 'release'\n" },
  "stdlib@1.0": { "json/__init__.py": "" },
  "big@1.0": {
    "big/__init__.py": "",
    "big/core.py": "from .deep import util\nWHO = 'core'\n",
    "big/deep/__init__.py": "",
    "big/deep/util.py": "WHO = 'util'\n",
    "big/late.py": "from .deep import util\nWHO = 'late'\n",
    "big/broken.py": "",
    "big/data.txt": "data",
    "big-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: big\nVersion: 1.0\n",
  },
  "bad@1.0": { code: "verify.digest", message: "`x`: expected, got", hint: "tell the publisher", name: "x", status: 200 },
};

globalThis.partial = {
  "big@1.0": { "big.core": ["big.deep.util"], "big.late": ["big.deep.util"], "big.deep.util": ["big.deep"], "big.deep": ["big"] },
};

async function attached(name, config) {
  const webimport = await importBundle();
  const pyodide = await startPyodide(name);
  const bound = await webimport.attach(pyodide, config, { wasm: WASM });
  return { webimport, pyodide, bound };
}

/** The value of `name` after running a cell as notebooks do. */
async function cell(pyodide, code) {
  return JSON.parse(await pyodide.runPythonAsync(`${code}\nimport json\njson.dumps(result)`));
}

async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: "expected a rejection" });
}

for (const name of PYODIDES) {
  test(`${name}: a release from cell and from script`, async (context) => {
    const { webimport, pyodide, bound } = await attached(name);
    const seen = [];
    for (const event of ["progress", "loaded", "unloaded", "warning"]) {
      webimport.events.addEventListener(event, ({ type, detail }) => seen.push([type, detail]));
    }
    const events = () => seen.splice(0);

    await context.test("attach installs the package", async () => {
      const found = await cell(
        pyodide,
        `import importlib.metadata, webimport
result = [webimport.__version__, importlib.metadata.version("webimport"), loadRelease is webimport.load_release]`,
      );
      assert.deepEqual(found, [webimport.version, webimport.version, true]);
      assert.equal(globalThis.webimport.version, webimport.version);
    });

    await context.test("attach again changes nothing", async () => {
      const host = pyodide._webimport;
      await webimport.attach(pyodide);
      assert.equal(pyodide._webimport, host);
    });

    await context.test("a cell loads and imports", async () => {
      const result = await cell(
        pyodide,
        `
steps = []
release = await loadRelease("${REPOSITORY}/shapes@1.0", progress=steps.append)
import importlib.metadata, importlib.resources, inspect, os, shapes, sys
result = {
    "area": shapes.area(3),
    "file": shapes.__file__ == release.path + "/shapes/__init__.py",
    "data": importlib.resources.files("shapes").joinpath("data.txt").read_text(),
    "version": importlib.metadata.version("shapes"),
    "source": inspect.getsource(shapes.area),
    "phases": [step.phase for step in steps],
    "last": sys.path[-1] == release.path,
    "repr": repr(release),
    "html": "shapes 1.0" in release._repr_html_(),
}`,
      );
      const request = globalThis.requests.at(-1);
      assert.match(result.repr, /^<Release shapes 1\.0, sha256 [0-9a-f]{12}…>$/);
      delete result.repr;
      assert.deepEqual(result, {
        area: 9,
        file: true,
        data: "data",
        version: "1.0",
        source: "def area(side):\n    return side * side\n",
        phases: ["objects", "mount", "done"],
        last: true,
        html: true,
      });
      assert.match(request.python.tag, /^cpython-31[34]$/);
      assert.match(request.python.version, /^3\.1[34]\.\d+$/);
      assert.equal(request.occupied.js, "Pyodide");
      assert.equal(request.occupied.json, "the standard library");
      const [objects, mount, loaded, done] = events();
      assert.deepEqual([objects[0], objects[1].phase], ["progress", "objects"]);
      assert.equal(mount[1].phase, "mount");
      assert.deepEqual([loaded[0], loaded[1].name, loaded[1].trust.firstUse], ["loaded", "shapes", false]);
      assert.deepEqual(done[1], { release: "shapes@1.0", phase: "done", bytesDone: 9, bytesTotal: 9, filesDone: 4, filesTotal: 4, cached: false });
    });

    await context.test("a script gets the release that a cell loaded", async () => {
      const release = await webimport.loadRelease(`${REPOSITORY}/shapes@1.0`);
      assert.equal(release, await bound.loadRelease(`${REPOSITORY}/shapes@1.0`));
      assert.deepEqual(globalThis.requests.at(-1).loaded, [release.sha256]);
      assert.ok(Object.isFrozen(release) && Object.isFrozen(release.trust));
      assert.deepEqual(release.modules, ["shapes"]);
      assert.deepEqual(Object.keys(release).sort(), [
        "bytecode", "cache", "distributions", "modules", "name", "namespaces", "network", "offline", "partial", "path",
        "prefetch", "repository", "requires", "requiresPython", "sha256", "source", "storage", "trust", "unload", "version",
        "warnings",
      ]);
      assert.deepEqual(events(), []);
    });

    await context.test("unload from a script unloads in Python", async () => {
      const release = await webimport.loadRelease(`${REPOSITORY}/shapes@1.0`);
      release.unload();
      release.unload();
      const result = await cell(
        pyodide,
        `result = ["shapes" in sys.modules, os.path.exists(release.path), release.loaded, release.path in sys.path]`,
      );
      assert.deepEqual(result, [false, false, false, false]);
      assert.deepEqual(events(), [["unloaded", { name: "shapes", version: "1.0", sha256: release.sha256 }]]);
    });

    await context.test("options go to Python under its names", async () => {
      const options = { root: "sha256:ab", modules: ["solo"], allowShadow: ["x"], offline: "only", trust: "first-use", speculative: true };
      const release = await webimport.loadRelease(`${REPOSITORY}/solo@1.0`, options);
      assert.deepEqual(globalThis.requests.at(-1).options, {
        root: "sha256:ab", version: null, sha256: null, modules: ["solo"], allow_shadow: ["x"], offline: "only", trust: "first-use", speculative: true,
      });
      assert.deepEqual([release.modules, release.namespaces], [["shared", "solo"], ["shared"]]);
      assert.equal((await rejection(webimport.loadRelease("x", { modules: "solo" }))).code, "config.invalid");
      const error = await rejection(webimport.loadRelease("x", { allow_shadow: [] }));
      assert.equal(error.code, "config.unknown_key");
      assert.match(error.hint, /allowShadow/);
    });

    await context.test("a pin without a value is refused, in options and in a config", async () => {
      const count = globalThis.requests.length;
      for (const pin of ["root", "version", "sha256"]) {
        for (const value of [undefined, null]) {
          const error = await rejection(webimport.loadRelease(`${REPOSITORY}/solo@1.0`, { [pin]: value }));
          assert.deepEqual([error.code, error.message], ["config.invalid", `\`${pin}\`: expected text, got ${value}`]);
        }
      }
      const bad = [undefined, () => 1, Symbol("x"), NaN, 1n].map((root) => ({ repositories: { [REPOSITORY]: { root } } }));
      const cyclic = {};
      cyclic.releases = cyclic;
      for (const config of [...bad, cyclic, { frozen: undefined }, { repositories: { [REPOSITORY]: { mirrors: [undefined] } } }]) {
        assert.throws(() => webimport.configure(config), { name: "WebImportError", code: "config.invalid" });
        assert.equal((await rejection(webimport.attach(pyodide, config))).code, "config.invalid");
      }
      for (const config of [undefined, null, []]) assert.throws(() => webimport.configure(config), { code: "config.invalid" });
      assert.equal(globalThis.requests.length, count);
      await webimport.loadRelease(`${REPOSITORY}/solo@1.0`, { modules: undefined, allowShadow: undefined, offline: undefined, trust: undefined });
    });

    await context.test("what is in a shared namespace package is not taken over", async () => {
      const result = await cell(
        pyodide,
        `
import os, site, sys
folder = site.getsitepackages()[0] + "/acme/cloud"
os.makedirs(folder)
with open(folder + "/storage.py", "w") as file: file.write("WHO = 'installed'\\n")
refused = []
before = list(sys.path), os.listdir("/webimport")
for name in ("hider", "taker", "cloud"):
    try: await loadRelease(f"${REPOSITORY}/{name}@1.0")
    except webimport.ResolveError as error: refused.append([error.code, error.name])
import acme.cloud.storage
result = [refused, (list(sys.path), os.listdir("/webimport")) == before, acme.cloud.storage.WHO]
del sys.modules["acme"], sys.modules["acme.cloud"], sys.modules["acme.cloud.storage"]
os.remove(folder + "/storage.py"); os.removedirs(folder)`,
      );
      assert.deepEqual(result, [
        [["resolve.shadow", "shared.a"], ["resolve.shadow", "shared"], ["resolve.shadow", "acme.cloud"]], true, "installed",
      ]);
    });

    await context.test("only the allowed names of a release come first", async () => {
      const result = await cell(
        pyodide,
        `
import importlib, importlib.metadata
before = list(sys.path)
release = await loadRelease("${REPOSITORY}/front@1.0", allow_shadow=["solo"])
with open("back.py", "w") as file: file.write("VALUE = 1\\n")
importlib.invalidate_caches()
import solo, back
found = [each.version for each in importlib.metadata.distributions() if each.metadata["Name"] == "front"]
result = [solo.VALUE, solo.__file__ == release.path + "/solo.py", back.VALUE, found, sys.path[0] == release.path]
release.unload()
os.remove("back.py")
del sys.modules["back"]
import solo
result += [solo.VALUE, sys.path == before]`,
      );
      assert.deepEqual(result, [9, true, 1, ["1.0"], true, 7, true]);
    });

    await context.test("an interrupt in the progress callback leaves nothing", async () => {
      const result = await cell(
        pyodide,
        `
before = list(sys.path), os.listdir("/webimport")
result = []
for phase in ("objects", "mount", "done"):
    def interrupt(progress):
        if progress.phase == phase: raise KeyboardInterrupt
    try: await loadRelease("${REPOSITORY}/front@1.0", allow_shadow=["solo"], progress=interrupt)
    except KeyboardInterrupt: result.append((list(sys.path), os.listdir("/webimport")) == before)`,
      );
      assert.deepEqual(result, [true, true, true]);
    });

    await context.test("a deep config is refused in words", async () => {
      const result = await cell(
        pyodide,
        `
with open("webimport.toml", "w") as file: file.write("a = " + "[" * 30000)
try: await loadRelease("${REPOSITORY}/solo@1.0")
except webimport.ConfigError as error: result = error.code
os.remove("webimport.toml")`,
      );
      assert.equal(result, "config.invalid");
    });

    await context.test("namespace packages are shared, other names are not", async () => {
      const result = await cell(
        pyodide,
        `
await loadRelease("${REPOSITORY}/other@1.0")
import shared.a, shared.b
try:
    await loadRelease("${REPOSITORY}/clash@1.0")
except webimport.ResolveError as error:
    clash = str(error)
try:
    await loadRelease("${REPOSITORY}/stdlib@1.0")
except webimport.ResolveError as error:
    stdlib = str(error)
result = [shared.a.A + shared.b.B, clash, stdlib, sorted(os.listdir("/webimport"))]`,
      );
      assert.equal(result[0], 3);
      assert.equal(result[1], "`clash` claims the import name `solo`, which belongs to the release `solo` 1.0");
      assert.equal(result[2], "`stdlib` claims the import name `json`, which belongs to the standard library");
      assert.equal(result[3].length, 2);
    });

    await context.test("a failure has code, hint and details on both sides", async () => {
      const error = await rejection(webimport.loadRelease(`${REPOSITORY}/bad@1.0`));
      assert.ok(error instanceof webimport.WebImportError && error instanceof Error);
      assert.deepEqual(
        [error.name, error.code, error.message, error.hint, error.detail],
        ["WebImportError", "verify.digest", "`x`: expected, got", "tell the publisher", { name: "x", status: 200 }],
      );
      const result = await cell(
        pyodide,
        `
try:
    await loadRelease("${REPOSITORY}/bad@1.0")
except ImportError as error:
    import traceback
    result = [type(error).__name__, error.code, str(error), error.hint, error.name, error.path, error.status, traceback.format_exc()]`,
      );
      assert.deepEqual(result.slice(0, 7), [
        "VerifyError", "verify.digest", "`x`: expected, got", "tell the publisher", "x", `${REPOSITORY}/bad@1.0`, 200,
      ]);
      assert.match(result[7], /webimport\.VerifyError: `x`: expected, got\nhint: tell the publisher\n$/);
      assert.doesNotMatch(result[7], /JsException/);
      assert.equal((await rejection(webimport.loadRelease("nothing@1"))).code, "resolve.unknown_name");
    });

    await context.test("two loads at once are one release, in either language", async () => {
      const [script, digest] = await Promise.all([
        webimport.loadRelease(`${REPOSITORY}/shapes@1.0`),
        cell(pyodide, `result = (await loadRelease("${REPOSITORY}/shapes@1.0")).sha256`),
      ]);
      assert.equal(script.sha256, digest);
      assert.equal(await cell(pyodide, `result = sys.path.count("${script.path}")`), 1);
    });

    await context.test("a cancelled load leaves nothing", async () => {
      await webimport.loadRelease(`${REPOSITORY}/shapes@1.0`).then((release) => release.unload());
      const result = await cell(
        pyodide,
        `
import asyncio
task = asyncio.ensure_future(loadRelease("${REPOSITORY}/shapes@1.0", progress=print))
await asyncio.sleep(0)
task.cancel()
try: await task
except asyncio.CancelledError: pass
await asyncio.sleep(0.05)
result = [any("shapes" in path for path in sys.path), any("shapes" in path for path in os.listdir("/webimport"))]`,
      );
      assert.deepEqual(result, [false, false]);
    });

    await context.test("config reaches the client, from both sides", async () => {
      webimport.configure({ frozen: true });
      assert.deepEqual(globalThis.layers.call, { frozen: true });
      await cell(pyodide, `webimport.configure({"releases": {"x": {"version": "1"}}}); result = 0`);
      assert.deepEqual(globalThis.layers.call, { releases: { x: { version: "1" } } });
      assert.throws(() => webimport.configure({ forzen: true }), { code: "config.unknown_key" });
      await cell(
        pyodide,
        `
with open("webimport.toml", "w") as file: file.write("frozen = false\\n")
await loadRelease("${REPOSITORY}/solo@1.0")
os.remove("webimport.toml")
result = 0`,
      );
      assert.deepEqual(globalThis.layers, { page: {}, notebook: { frozen: false }, call: { releases: { x: { version: "1" } } } });
      await webimport.attach(pyodide, { releases: { y: { version: "2" } } });
      await webimport.loadRelease(`${REPOSITORY}/solo@1.0`);
      assert.deepEqual(globalThis.layers.page, { releases: { y: { version: "2" } } });
    });

    await context.test("warnings are events and Python warnings", async () => {
      events();
      globalThis.nextWarnings = [{ code: "store.quota", message: "the storage is full", hint: "make room" }];
      const result = await cell(
        pyodide,
        `
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    await loadRelease("${REPOSITORY}/shapes@1.0")
result = [[warning.category.__name__, str(warning.message), warning.filename] for warning in caught]`,
      );
      globalThis.nextWarnings = undefined;
      assert.deepEqual(result, [["WebImportWarning", "the storage is full; make room", "<exec>"]]);
      const [, warning] = events().find(([type]) => type === "warning");
      assert.deepEqual(warning, { code: "store.quota", message: "the storage is full", hint: "make room", release: "shapes@1.0" });
    });

    await context.test("freeze and cache answer", async () => {
      assert.match(webimport.freeze(), /"name": "shapes", "version": "1.0"/);
      assert.equal(await cell(pyodide, "result = webimport.freeze()"), webimport.freeze());
      assert.deepEqual(await webimport.cache.info(), { storage: "memory", objects: 1, bytes: 9, repositories: 1 });
      assert.deepEqual(await webimport.cache.verify(), { checked: 1, dropped: [] });
      assert.equal(await webimport.cache.clear(), undefined);
      assert.equal((await cell(pyodide, "result = await webimport.cache.info()")).objects, 1);
    });

    await context.test("no JavaScript object stays in the package's state", async () => {
      const result = await cell(
        pyodide,
        `
from pyodide.ffi import JsProxy
result = [
    f"{module}.{name}"
    for module in list(sys.modules) if module.partition(".")[0] == "webimport"
    for name, value in vars(sys.modules[module]).items() if isinstance(value, JsProxy)
]`,
      );
      assert.deepEqual(result, []);
    });
  });

  test(`${name}: a partial release`, async (context) => {
    const { webimport, pyodide } = await attached(name);
    const asked = () => {
      const calls = globalThis.fetched ?? [];
      globalThis.fetched = [];
      return calls;
    };
    asked();
    const warnings = [];
    webimport.events.addEventListener("warning", ({ detail }) => warnings.push(detail));
    const load = () => cell(pyodide, `release = await loadRelease("${REPOSITORY}/big@1.0"); result = [release.partial, release.source]`);
    const unload = () => cell(pyodide, "release.unload(); result = 0");

    await context.test("metadata are there without its modules", async () => {
      assert.deepEqual(await load(), [true, true]);
      assert.equal(await cell(pyodide, `import importlib.metadata; result = importlib.metadata.version("big")`), "1.0");
      assert.deepEqual(asked(), []);
    });

    await context.test("where the thread may wait, an import brings each module", async () => {
      assert.equal(await cell(pyodide, "import big.core; result = big.core.util.WHO"), "util");
      assert.deepEqual(asked(), ["big/__init__.py", "big/core.py", "big/deep/__init__.py", "big/deep/util.py"].map((path) => ["read", path]));
      await unload();
    });

    await context.test("a spec is found without bytes", async () => {
      await load();
      asked();
      const result = await cell(
        pyodide,
        `
import importlib.util, pkgutil
import big
result = [importlib.util.find_spec("big.late").origin == release.path + "/big/late.py", sorted(module.name for module in pkgutil.iter_modules(big.__path__))]`,
      );
      assert.deepEqual(result, [true, ["broken", "core", "deep", "late"]]);
      assert.deepEqual(asked(), [["read", "big/__init__.py"]]);
      await unload();
    });

    // A page's main thread: Node has no `document` and cannot suspend Python.
    globalThis.document = { querySelectorAll: () => [], readyState: "complete" };
    await context.test("where it may not, the error names the way out", async () => {
      await load();
      const result = await cell(
        pyodide,
        `
import sys, webimport
try: import big.core
except ModuleNotFoundError: result = "not found"
except webimport.ResolveError as error: result = [error.code, error.name, error.hint, "big" in sys.modules]`,
      );
      assert.deepEqual(result, [
        "resolve.not_fetched", "big", 'run `await release.prefetch("big")` first, `release` being what `loadRelease` returned, or `await webimport.prefetch_imports(code)` with all imports of a cell', false,
      ]);
      assert.equal(await cell(pyodide, `await release.prefetch("big.core"); import big.core; result = big.core.WHO`), "core");
      assert.deepEqual(asked(), [["fetch", "big.core"]]);
      await unload();
    });

    await context.test("the imports of a cell are fetched before it runs", async () => {
      await load();
      const code = "import os, big.late as late\nfrom big import core, nothing\nfrom big.deep.util import WHO\nresult = late.WHO";
      await pyodide.loadPackagesFromImports(code);
      assert.deepEqual(asked(), [["fetch", "big", "big.core", "big.deep.util", "big.late"]]);
      assert.equal(await cell(pyodide, "import big.late as late; result = late.WHO"), "late");
      await webimport.prefetchImports("import (");
      await webimport.prefetchImports("import json");
      assert.deepEqual(asked(), []);
      assert.equal((await rejection(webimport.prefetchImports("import big.broken"))).code, "fetch.network");
      await pyodide.loadPackagesFromImports("import big.broken");
      await unload();
    });

    await context.test("a script prefetches, and loading again fetches what is named", async () => {
      const release = await webimport.loadRelease(`${REPOSITORY}/big@1.0`);
      assert.equal(release.partial, true);
      asked();
      await release.prefetch(["big.late"]);
      await release.prefetch();
      for (const wrong of ["big.late", [1]]) assert.equal((await rejection(release.prefetch(wrong))).code, "config.invalid");
      assert.equal(await webimport.loadRelease(`${REPOSITORY}/big@1.0`, { modules: ["big.core"] }), release);
      assert.deepEqual(asked(), [["fetch", "big.late"], ["complete"], ["fetch", "big.core"]]);
      release.unload();
      assert.equal((await rejection(release.prefetch(["big.late"]))).code, "host.unloaded");
    });
    delete globalThis.document;

    await context.test("a module that cannot be had is an error with its code, a file an OSError with a warning", async () => {
      await load();
      const result = await cell(
        pyodide,
        `
import big, webimport
import warnings
told = []
warnings.showwarning = lambda message, *rest, **more: told.append(str(message))
warnings.simplefilter("always")
try: import big.broken
except webimport.FetchError as error: result = [error.code]
try: open(release.path + "/big/broken.py")
except OSError as error: result.append(error.errno)`,
      );
      assert.deepEqual(result, ["fetch.network", 29]);
      const text = "big@1.0: no network; try again";
      assert.deepEqual(await cell(pyodide, "result = told"), [text, text]);
      const warning = { code: "fetch.network", message: "no network", hint: "try again", release: "big@1.0" };
      assert.deepEqual(warnings.slice(-2), [warning, warning]);
    });
  });

  test(`${name}: what attach refuses`, async (context) => {
    await context.test("another wasm module", async () => {
      const webimport = await importBundle();
      const pyodide = await startPyodide(name);
      const wrong = Uint8Array.from([...WASM, 0, 1, 0]);
      const error = await rejection(webimport.attach(pyodide, undefined, { wasm: wrong }));
      assert.deepEqual([error.code, error.detail], ["verify.digest", { name: "webimport.wasm" }]);
      assert.equal(pyodide._webimport, undefined);
      await webimport.attach(pyodide, undefined, { wasm: WASM });
    });

    await context.test("another version of the package", async () => {
      const webimport = await importBundle();
      const pyodide = await startPyodide(name);
      pyodide.runPython(`
import os, site
os.mkdir(site.getsitepackages()[0] + "/webimport")
with open(site.getsitepackages()[0] + "/webimport/__init__.py", "w") as file: file.write("__version__ = '0.0.9'")`);
      const error = await rejection(webimport.attach(pyodide, undefined, { wasm: WASM }));
      assert.equal(error.code, "host.version");
      assert.match(error.message, /0\.0\.9/);
    });

    await context.test("what is no Pyodide", async () => {
      const webimport = await importBundle();
      for (const other of [undefined, null, {}, Promise.resolve({}), "pyodide"]) {
        const error = await rejection(webimport.attach(other));
        assert.deepEqual([error.code, error.hint.includes("await loadPyodide()")], ["host.pyodide", true]);
      }
    });

    await context.test("calls before attach", async () => {
      const webimport = await importBundle();
      assert.equal((await rejection(webimport.loadRelease("x"))).code, "host.not_attached");
      assert.equal((await rejection(webimport.cache.info())).code, "host.not_attached");
      assert.throws(() => webimport.freeze(), { code: "host.not_attached" });
      const pyodide = await startPyodide(name);
      // The package without its script and module, as after a restored snapshot that nobody attached.
      await (await importBundle()).attach(pyodide, undefined, { wasm: WASM });
      delete pyodide._webimport;
      globalThis.webimport = undefined;
      const result = await cell(
        pyodide,
        `
import webimport
try: await loadRelease("x")
except webimport.HostError as error: result = error.code`,
      );
      assert.equal(result, "host.not_attached");
      // A page that has the script starts it for the package.
      globalThis.webimport = { attach: (target) => webimport.attach(target, undefined, { wasm: WASM }) };
      assert.equal(await cell(pyodide, `result = (await loadRelease("${REPOSITORY}/solo@1.0")).name`), "solo");
      globalThis.webimport = undefined;
    });
  });
}
