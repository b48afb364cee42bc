/** The page's config blocks: when they are looked at, and what of them is looked at again. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { importBundle } from "./support/pyodide.mjs";

const HEAD = "head";
const BODY = "body";

/** A document of blocks, as `[place, text or {src}]`; scripts added to `blocks` later are in it, too. */
function openDocument(blocks, readyState = "interactive") {
  const parsed = new EventTarget();
  const element = ([place, content]) => ({ place, src: "", integrity: "", text: "", ...(typeof content === "string" ? { text: content } : content) });
  const elements = blocks.map(element);
  globalThis.document = Object.assign(parsed, {
    readyState,
    head: { contains: ({ place }) => place === HEAD },
    querySelectorAll: () => [...elements],
  });
  return { add: (...block) => elements.push(element(block)), elements, parsed };
}

const fetchAsBefore = globalThis.fetch;

afterEach(() => {
  delete globalThis.document;
  globalThis.fetch = fetchAsBefore;
});

async function startModule() {
  const { readConfigBlocks } = await importBundle("internal/config_blocks.ts");
  return async (place = "document") => (await readConfigBlocks(place)).map(({ text }) => text);
}

test("blocks of the document count, wherever they stand", async () => {
  openDocument([[HEAD, "1"], [BODY, "2"]]);
  assert.deepEqual(await (await startModule())(), ["1", "2"]);
});

test("blocks that come after the module was evaluated do not count", async () => {
  const page = openDocument([[HEAD, "1"]]);
  const read = await startModule();
  page.add(BODY, "evil");
  page.elements[0].text = "evil";
  assert.deepEqual(await read(), ["1"]);
});

test("a module that is evaluated while the document is parsed waits for the rest of it", async () => {
  const page = openDocument([[HEAD, "1"]], "loading");
  const read = await startModule();
  page.add(BODY, "2");
  const reading = read();
  page.parsed.dispatchEvent(new Event("DOMContentLoaded"));
  page.add(BODY, "evil");
  assert.deepEqual(await reading, ["1", "2"]);
});

test("a source that failed is fetched again, and nothing else is looked at again", async () => {
  const page = openDocument([[HEAD, { src: "https://code.example.org/a.toml", integrity: "sha384-x" }]]);
  const asked = [];
  let broken = true;
  globalThis.fetch = async (url, options) => {
    asked.push([url, options.integrity]);
    return broken ? new Response("", { status: 503 }) : new Response("frozen = true");
  };
  const read = await startModule();
  await assert.rejects(read(), { code: "config.source" });
  broken = false;
  page.elements[0].src = "https://evil.example.org/a.toml";
  page.elements[0].integrity = "";
  page.add(BODY, "evil");
  assert.deepEqual(await read(), ["frozen = true"]);
  assert.deepEqual(await read(), ["frozen = true"]);
  assert.deepEqual(asked, Array(2).fill(["https://code.example.org/a.toml", "sha384-x"]));
});

test("only the head counts for the wheel", async () => {
  openDocument([[HEAD, "1"], [BODY, "an output"], [BODY, { src: "https://evil.example.org/a.json" }]]);
  globalThis.fetch = () => assert.fail("nothing is fetched for the body");
  assert.deepEqual(await (await startModule())("head"), ["1"]);
});

test("a worker has no blocks", async () => {
  assert.deepEqual(await (await startModule())(), []);
});
