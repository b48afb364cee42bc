// The verifying core in WebAssembly, in Node: how fast it hashes, and how fast it verifies the metadata of a refresh.
// Arguments: the core's module, a repository's folder, the path of one of its targets, and how often to measure.
// Prints `{"hashing": [bytes a second], "refreshes": [refreshes a second]}`.

import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";

const [core, repository, name, runs] = process.argv.slice(2);
const { Client } = createRequire(import.meta.url)(path.resolve(core));

// The shorter a measurement is, the more the clock and the compiler count.
const HASHES = 8;
const REFRESHES = 200;

const folder = path.join(repository, "metadata");
const metadata = new Map();
for (const file of await readdir(folder)) {
  metadata.set(file, await readFile(path.join(folder, file)));
}
const trusted = new Map([["root.json", metadata.get("1.root.json")]]);
const now = BigInt(Math.floor(Date.now() / 1000));

// From the pinned root to the targets, as on a first visit: all files are there, none is believed yet.
function refresh() {
  const client = new Client(trusted, now);
  for (let fetch = client.step(); fetch !== undefined; fetch = client.step()) {
    client.supply(metadata.get(fetch.path));
    fetch.free();
  }
  return client;
}

function rate(times, work) {
  const start = performance.now();
  for (let time = 0; time < times; time++) work();
  return times / ((performance.now() - start) / 1000);
}

const target = refresh().lookUp(name);
const bytes = await readFile(path.join(repository, "targets", target.urlPath));
const measured = { hashing: [], refreshes: [] };
// What comes first is slower: the engine compiles in steps.
refresh().free();
target.check(bytes);
for (let run = 0; run < Number(runs); run++) {
  measured.hashing.push(bytes.length * rate(HASHES, () => target.check(bytes)));
  measured.refreshes.push(rate(REFRESHES, () => refresh().free()));
}
console.log(JSON.stringify(measured));
