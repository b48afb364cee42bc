// Runs compile.py in Pyodide. Arguments: the folder of the `pyodide` package, the job folder.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [packageFolder, job] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(join(packageFolder, "pyodide.mjs")).href);
const pyodide = await loadPyodide({
  stdout: (line) => console.log(line),
  args: ["-B"],
  // The order of sets must not differ from run to run.
  env: { HOME: "/home/pyodide", PYTHONHASHSEED: "0" },
});
pyodide.FS.mkdirTree("/job");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: job }, "/job");
pyodide.globals.set("job", "/job");
pyodide.runPython("import sys; sys.argv = ['compile.py', job]; del job");
pyodide.runPython(readFileSync(join(job, "compile.py"), "utf8"));
