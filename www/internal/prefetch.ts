/**
 * Loads a release before there is a Pyodide that could ask for it.
 *
 * The wasm client keeps what comes, and its next `load` of the same takes it over. Without Python nobody reads TOML, and
 * nobody knows which Python it will be: the page says so.
 */

import { type Config, type PrefetchOptions, type Progress, WebImportError } from "../public/api.js";
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
  const [client, layers] = await Promise.all([start(), pageLayers(place, config)]);
  try {
    await client.prefetch(request, layers, (json) => dispatch("progress", JSON.parse(json) as Progress));
  } catch (error) {
    throw toWebImportError(error);
  }
}

/** The tag of the bytecode of a Python, as `3.14`. */
export function cacheTag(python: string): string {
  if (!/^3\.[0-9]{1,3}$/.test(python)) {
    throw new WebImportError("config.invalid", `\`python\`: expected the version of a Python, got ${python}`, {
      hint: `write python: "${PYTHON}"`,
    });
  }
  return `cpython-${python.replace(".", "")}`;
}

/** Whether imports will be able to wait for the network. A load that finds it otherwise fetches what is missing. */
export function canWait(): boolean {
  return "Suspending" in WebAssembly || typeof document === "undefined";
}

/** The page's config as JSON texts, the last one the strongest: its blocks, and what `attach` is given. */
export async function pageLayers(place: Place, config: Config | undefined): Promise<string[]> {
  const given = config === undefined ? [] : [configText(config)];
  const blocks = await readConfigBlocks(place);
  const toml = blocks.find(({ format }) => format === "toml");
  if (toml !== undefined) {
    throw new WebImportError("config.source", `${toml.source} is TOML, which only Python reads`, {
      hint: "write the page's config as JSON, or load without `prefetch`",
    });
  }
  return [...blocks.map(({ text }) => text), ...given];
}
