/** The options of a call, checked and in the names that Python uses. */

import { type LoadOptions, WebImportError } from "../public/api.js";

const PYTHON_NAMES: Record<keyof LoadOptions, string> = {
  root: "root",
  version: "version",
  sha256: "sha256",
  modules: "modules",
  allowShadow: "allow_shadow",
  offline: "offline",
  trust: "trust",
};

/** JSON of keyword arguments. A misspelt option is refused: it may be a pin. */
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
  }
  return JSON.stringify(request);
}
