/**
 * Reads `<script type="application/webimport+json">` blocks, inline or with `src`.
 *
 * The document is looked at once, when this module is evaluated: what a notebook shows later, which may hold
 * such a block, is none of the page's config. By then a module script, `async` or not, and whatever it imports
 * has the document's own blocks before it and after it; only while the document is still being parsed are they
 * waited for. The wheel is evaluated when a notebook asks for it, with its outputs in the body already, so there
 * only the head counts.
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

/** Where blocks count. */
export type Place = "document" | "head";

/** An element as it was; its `src` absolute, "" for an inline block. */
interface Captured {
  readonly place: "head" | "body";
  readonly src: string;
  readonly integrity: string;
  readonly text: string;
  /** Of `src`; undefined again after a failure. */
  fetched: Promise<ConfigBlock> | undefined;
}

const captured = capture();

/** In document order; none in a worker, which has no document. A `src` that could not be fetched is tried again. */
export async function readConfigBlocks(place: Place): Promise<ConfigBlock[]> {
  const blocks = (await captured).filter((block) => place === "document" || block.place === "head");
  return Promise.all(blocks.map((block) => (block.src === "" ? inline(block) : fetched(block))));
}

async function capture(): Promise<Captured[]> {
  if (typeof document === "undefined") return [];
  if (document.readyState !== "loading") return current();
  return new Promise((resolve) => document.addEventListener("DOMContentLoaded", () => resolve(current()), { once: true }));
}

function current(): Captured[] {
  return Array.from(document.querySelectorAll<HTMLScriptElement>(SELECTOR), (script) => ({
    place: document.head.contains(script) ? "head" : "body",
    src: script.src,
    integrity: script.integrity,
    text: script.text,
    fetched: undefined,
  }));
}

function inline({ text }: Captured): ConfigBlock {
  return { format: "json", source: "the page's config block", text };
}

async function fetched(block: Captured): Promise<ConfigBlock> {
  try {
    return await (block.fetched ??= fetchBlock(block));
  } catch (error) {
    block.fetched = undefined;
    throw error;
  }
}

async function fetchBlock({ src, integrity }: Captured): Promise<ConfigBlock> {
  const text = decode(src, await fetchCapped(src, integrity));
  return { format: new URL(src).pathname.endsWith(".toml") ? "toml" : "json", source: `\`${src}\``, text };
}

async function fetchCapped(url: string, integrity: string): Promise<Uint8Array> {
  let response: Response;
  let bytes: Uint8Array | undefined;
  try {
    response = await fetch(url, { integrity });
    bytes = response.ok ? await readCapped(response, MAX_BYTES) : new Uint8Array();
  } catch (cause) {
    throw failed(`\`${url}\` cannot be fetched`, cause);
  }
  if (!response.ok) throw failed(`\`${url}\` was answered with status ${response.status}`);
  if (bytes === undefined) throw failed(`\`${url}\` is longer than ${MAX_BYTES} bytes`);
  return bytes;
}

/** The body, or undefined when it goes on past the limit, in bytes. */
export async function readCapped(response: Response, limit: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
    size += read.value.length;
    if (size > limit) {
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
