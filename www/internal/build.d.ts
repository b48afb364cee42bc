/** What the build puts into the bundle. */

/** SHA-256 of `webimport.wasm`, lower-case hex: the bundle starts no other module. */
declare const __WASM_SHA256__: string;

/** Memory snapshots of Pyodide alone that are beside the bundle: what describes each, JSON text, by version. */
declare const __SNAPSHOTS__: Readonly<Record<string, string>>;

declare module "webimport:python" {
  /** The sources of the Python package: path below site-packages (`webimport/__init__.py`) to text. */
  const files: Readonly<Record<string, string>>;
  export default files;
}
