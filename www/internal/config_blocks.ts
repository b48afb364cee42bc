/**
 * Reads `<script type="application/webimport+json">` blocks, inline or with `src`.
 *
 * The text is handed on unparsed, with its format: TOML and JSON are both parsed in Python. A block that
 * cannot be read is an error, never skipped: it may say `frozen`.
 */

import { WebImportError } from "../public/api.js";

/** One source of the page's config. */
export interface ConfigBlock {
  readonly format: "json" | "toml";
  /** For messages. */
  readonly source: string;
  readonly text: string;
}

const SELECTOR = 'script[type="application/webimport+json"]';
const MAX_BYTES = 1024 * 1024;

/** In document order; none in a worker, which has no document. */
export async function readConfigBlocks(): Promise<ConfigBlock[]> {
  if (typeof document === "undefined") return [];
  const scripts = [...document.querySelectorAll<HTMLScriptElement>(SELECTOR)];
  return Promise.all(scripts.map((script) => (script.src === "" ? inline(script) : fetched(script))));
}

function inline(script: HTMLScriptElement): ConfigBlock {
  return { format: "json", source: "the page's config block", text: script.text };
}

async function fetched(script: HTMLScriptElement): Promise<ConfigBlock> {
  const url = script.src;
  const text = decode(url, await fetchCapped(url, script.integrity));
  return { format: new URL(url).pathname.endsWith(".toml") ? "toml" : "json", source: `\`${url}\``, text };
}

async function fetchCapped(url: string, integrity: string): Promise<Uint8Array> {
  let response: Response;
  let bytes: Uint8Array | undefined;
  try {
    response = await fetch(url, { integrity });
    bytes = response.ok ? await readCapped(response) : new Uint8Array();
  } catch (cause) {
    throw failed(`\`${url}\` cannot be fetched`, cause);
  }
  if (!response.ok) throw failed(`\`${url}\` was answered with status ${response.status}`);
  if (bytes === undefined) throw failed(`\`${url}\` is longer than ${MAX_BYTES} bytes`);
  return bytes;
}

/** The body, or undefined when it goes on past the limit. */
async function readCapped(response: Response): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
    size += read.value.length;
    if (size > MAX_BYTES) {
      await reader?.cancel();
      return undefined;
    }
    chunks.push(read.value);
  }
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

function decode(url: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw failed(`\`${url}\` is not UTF-8`, cause);
  }
}

function failed(message: string, cause?: unknown): WebImportError {
  return new WebImportError("config.source", message, {
    hint: "nothing is loaded without the page's config; correct the `src` of the config block",
    cause,
  });
}
