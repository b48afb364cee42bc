/**
 * Loads a release before there is a Pyodide that could ask for it.
 *
 * The wasm client keeps what comes, and its next `load` of the same takes it over. Without Python nobody reads TOML, and
 * nobody knows which Python it will be: the page says so.
 */

import { type PrefetchOptions, type Progress, WebImportError } from "../public/api.js";
import { type Place, readConfigBlocks } from "./config_blocks.js";
import { toWebImportError } from "./errors.js";
import { dispatch } from "./events.js";
import { configText, loadRequest } from "./options.js";
import type { Client } from "./wasm.js";

/** The Python of the Pyodide that is the main target. */
const PYTHON = "3.14";

/** Resolves when the release is there. */
export async function prefetch(start: () => Promise<Client>, place: Place, url: string, options: PrefetchOptions): Promise<void> {
  const { python = PYTHON, config, ...loadOptions } = options;
  const request = JSON.stringify({
    url,
    options: JSON.parse(loadRequest(loadOptions)),
    python: { tag: cacheTag(python) },
    waits: canWait(),
  });
  const given = config === undefined ? [] : [configText(config)];
  const [client, layers] = await Promise.all([start(), pageLayers(place)]);
  try {
    await client.prefetch(request, [...layers, ...given], (json) => dispatch("progress", JSON.parse(json) as Progress));
  } catch (error) {
    throw toWebImportError(error);
  }
}

function cacheTag(python: string): string {
  if (!/^3\.[0-9]{1,3}$/.test(python)) {
    throw new WebImportError("config.invalid", `\`python\`: expected the version of a Python, got ${python}`, {
      hint: `write python: "${PYTHON}"`,
    });
  }
  return `cpython-${python.replace(".", "")}`;
}

/** Whether imports will be able to wait for the network. A load that finds it otherwise fetches what is missing. */
function canWait(): boolean {
  return "Suspending" in WebAssembly || typeof document === "undefined";
}

async function pageLayers(place: Place): Promise<string[]> {
  const blocks = await readConfigBlocks(place);
  const toml = blocks.find(({ format }) => format === "toml");
  if (toml !== undefined) {
    throw new WebImportError("config.source", `${toml.source} is TOML, which only Python reads`, {
      hint: "write the page's config as JSON, or load without `prefetch`",
    });
  }
  return blocks.map(({ text }) => text);
}
