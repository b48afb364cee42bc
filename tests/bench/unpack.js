// Puts the files of wheels, whose URLs are `args[0]`, into Pyodide's memory file system. Python does nothing for it: an
// interpreter that has run before has its own code compiled further, and has imported what others have yet to import.
const folder = pyodide.runPython("import site; site.getsitepackages()[0]");
for (const url of args[0]) {
  const zip = new DataView(await (await fetch(url)).arrayBuffer());
  // The end of the directory is the last 22 bytes, as there is no comment.
  const end = zip.byteLength - 22;
  let at = zip.getUint32(end + 16, true);
  for (let left = zip.getUint16(end + 10, true); left > 0; left--) {
    const [method, size] = [zip.getUint16(at + 10, true), zip.getUint32(at + 20, true)];
    const [name, extra, comment] = [28, 30, 32].map((field) => zip.getUint16(at + field, true));
    const path = `${folder}/${new TextDecoder().decode(new Uint8Array(zip.buffer, at + 46, name))}`;
    const local = zip.getUint32(at + 42, true);
    const start = local + 30 + zip.getUint16(local + 26, true) + zip.getUint16(local + 28, true);
    let body = new Response(new Uint8Array(zip.buffer, start, size)).body;
    if (method === 8) body = body.pipeThrough(new DecompressionStream("deflate-raw"));
    const bytes = size === 0 ? new Uint8Array() : new Uint8Array(await new Response(body).arrayBuffer());
    pyodide.FS.mkdirTree(path.slice(0, path.lastIndexOf("/")));
    pyodide.FS.writeFile(path, bytes);
    at += 46 + name + extra + comment;
  }
}
pyodide.runPython("import importlib; importlib.invalidate_caches()");
return null;
