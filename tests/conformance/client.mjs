#!/usr/bin/env node
// The conformance client in WebAssembly: the command line of the TUF conformance suite, files and HTTP. What is
// fetched, believed and kept is the module's business, which `cargo xtask test conformance` builds.
// Exit codes are the suite's: 0 done, 1 anything else.

import { mkdir, open, readdir, rename } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";

import module from "../../target/conformance/client.js";

const { Client, Target, fileLimit } = module;

// What a server may take before its speed is judged, and between two parts of an answer, in milliseconds.
const GRACE = 20_000;

// Bytes a second on the whole, after the grace; slow retrieval.
const MINIMUM_RATE = 4 * 1024;

try {
  await run();
  process.exit(0);
} catch (error) {
  console.error(`error: ${error.message ?? error}`);
  process.exit(1);
}

async function run() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      "metadata-dir": { type: "string" },
      "metadata-url": { type: "string" },
      "target-name": { type: "string", multiple: true },
      "target-base-url": { type: "string" },
      "target-dir": { type: "string" },
    },
  });
  const option = (name) => {
    const value = values[name];
    if (value === undefined) {
      throw new Error(`expected --${name}`);
    }
    return value;
  };
  const [command, ...rest] = positionals;
  const folder = option("metadata-dir");
  if (command === "init" && rest.length === 1) {
    await write(folder, "root.json", await read(rest[0], fileLimit()));
  } else if (command === "refresh" && rest.length === 0) {
    await verified(folder, (client) => refresh(client, option("metadata-url")));
  } else if (command === "download" && rest.length === 0) {
    const names = option("target-name");
    const base = option("target-base-url");
    const targets = option("target-dir");
    await verified(folder, async (client) => {
      await refresh(client, option("metadata-url"));
      for (const name of names) {
        const target = await lookUp(client, option("metadata-url"), name);
        await download(target, base, targets);
      }
    });
  } else {
    throw new Error(`expected init FILE, refresh or download, got \`${positionals.join(" ")}\``);
  }
}

// Lets `work` use a client, and writes what was verified, also if `work` fails: what was verified by then is not to
// be rolled back (TUF 5.3.8, 5.4.5, 5.5.7).
async function verified(folder, work) {
  const client = new Client(await readMetadata(folder), BigInt(Math.floor(Date.now() / 1000)));
  try {
    await work(client);
  } finally {
    for (const [name, bytes] of client.files()) {
      await write(folder, name, bytes);
    }
  }
}

async function refresh(client, base) {
  for (let fetch = client.step(); fetch !== undefined; fetch = client.step()) {
    client.supply(await metadata(fetch, base));
  }
}

async function lookUp(client, base, name) {
  let found = client.lookUp(name);
  while (!(found instanceof Target)) {
    client.supply(await metadata(found, base));
    found = client.lookUp(name);
  }
  return found;
}

// `undefined` for a file that does not exist and need not.
async function metadata(fetch, base) {
  const bytes = await get(join(base, fetch.path), fetch.limit);
  if (bytes === undefined && !fetch.mayBeAbsent) {
    throw new Error(`\`${fetch.path}\` does not exist`);
  }
  return bytes;
}

// Fetches a target unless the very bytes are there.
async function download(target, base, folder) {
  try {
    target.check(await read(path.join(folder, target.fileName), target.limit));
    return;
  } catch {
    // Of an older version, or not there.
  }
  const bytes = await get(join(base, target.urlPath), target.limit);
  if (bytes === undefined) {
    throw new Error(`\`${target.urlPath}\` does not exist`);
  }
  target.check(bytes);
  await write(folder, target.fileName, bytes);
}

// The bytes at `url`, `limit` at most; `undefined` for an answer that they do not exist. There is no second try.
async function get(url, limit) {
  const { protocol, hostname } = new URL(url);
  const isLoopback = ["127.0.0.1", "[::1]", "localhost"].includes(hostname);
  if (protocol !== "https:" && !(protocol === "http:" && isLoopback)) {
    throw new Error(`\`${url}\` is not https`);
  }
  const start = performance.now();
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), GRACE);
  try {
    // Where a redirect leads was not checked; a coding could make more of the bytes than there are.
    const response = await fetch(url, {
      redirect: "error",
      headers: { "accept-encoding": "identity" },
      signal: stalled.signal,
    });
    // Object stores answer 403 for what is not there.
    if ([403, 404, 410].includes(response.status)) {
      stalled.abort();
      return undefined;
    }
    if (response.status !== 200) {
      throw new Error(`\`${url}\` was answered with status ${response.status}`);
    }
    const parts = [];
    let length = 0;
    for await (const part of response.body) {
      parts.push(part);
      length += part.length;
      if (length > limit) {
        throw new Error(`\`${url}\` is longer than ${limit} bytes`);
      }
      const judged = (performance.now() - start - GRACE) / 1000;
      if (length < judged * MINIMUM_RATE) {
        throw new Error(`\`${url}\` is slower than ${MINIMUM_RATE} bytes a second`);
      }
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(), GRACE);
    }
    return Buffer.concat(parts);
  } catch (error) {
    throw new Error(`\`${url}\` cannot be fetched: ${error.cause?.message ?? error.message}`);
  } finally {
    clearTimeout(timer);
  }
}

function join(base, below) {
  return `${base.replace(/\/+$/, "")}/${below}`;
}

// The `.json` files of `folder` by name; one that is too long is left out, as nothing but a cache is lost.
async function readMetadata(folder) {
  const files = new Map();
  for (const name of await readdir(folder)) {
    if (path.extname(name) === ".json") {
      const bytes = await read(path.join(folder, name), fileLimit()).catch((error) => {
        if (!(error instanceof RangeError)) {
          throw error;
        }
      });
      if (bytes !== undefined) {
        files.set(name, bytes);
      }
    }
  }
  return files;
}

async function read(file, limit) {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    if (size > limit) {
      throw new RangeError(`\`${file}\` is longer than ${limit} bytes`);
    }
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

// Under another name first, which no reader takes for metadata, and then renamed.
async function write(folder, name, bytes) {
  await mkdir(folder, { recursive: true });
  const temporary = path.join(folder, `.webimport-tmp-${process.pid}`);
  const handle = await open(temporary, "w");
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path.join(folder, name));
}
