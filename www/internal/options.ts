/**
 * The options of a call, checked and in the names that Python uses, and a config as text.
 *
 * JSON has no `undefined`: what a program took for a pin would be gone. Such a value is refused.
 */

import { type Config, type LoadOptions, WebImportError } from "../public/api.js";

const PYTHON_NAMES: Record<keyof LoadOptions, string> = {
  root: "root",
  version: "version",
  sha256: "sha256",
  modules: "modules",
  allowShadow: "allow_shadow",
  offline: "offline",
  trust: "trust",
  speculative: "speculative",
};

/** Options that decide what may be loaded; without a value they would let everything through. */
const PINS: ReadonlySet<string> = new Set(["root", "version", "sha256"]);

/** JSON of keyword arguments. A misspelt option is refused, and so is a pin without a value. */
export function loadRequest(options: LoadOptions): string {
  const request: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    const name = Object.hasOwn(PYTHON_NAMES, key) ? PYTHON_NAMES[key as keyof LoadOptions] : undefined;
    if (name === undefined) {
      throw new WebImportError("config.unknown_key", `unknown option \`${key}\``, {
        hint: `known options: ${Object.keys(PYTHON_NAMES).join(", ")}`,
      });
    }
    if (value !== undefined && value !== null) request[name] = value;
    else if (PINS.has(name)) {
      throw new WebImportError("config.invalid", `\`${key}\`: expected text, got ${value}`, {
        hint: `leave \`${key}\` out to load without it`,
      });
    }
  }
  return toJson(request, "the options");
}

/** JSON of a config. */
export function configText(config: Config): string {
  return toJson(config, "the config");
}

function toJson(value: unknown, subject: string): string {
  try {
    return JSON.stringify(value, representable);
  } catch (cause) {
    if (cause instanceof WebImportError) throw cause;
    // A cycle, a BigInt, a getter that throws.
    const message = `${subject} cannot be written as JSON: ${cause instanceof Error ? cause.message : cause}`;
    throw new WebImportError("config.invalid", message, { hint: HINT, cause });
  }
}

const HINT = "give every key a value of text, true, false, a list or an object, or leave it out";

function representable(key: string, value: unknown): unknown {
  if (["undefined", "function", "symbol"].includes(typeof value) || (typeof value === "number" && !Number.isFinite(value))) {
    throw new WebImportError("config.invalid", `\`${key}\` has no value that a config can have: ${String(value)}`, { hint: HINT });
  }
  return value;
}
