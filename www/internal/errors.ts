/** Whatever the wasm module, the platform or Python throws, as a `WebImportError`. */

import { type ErrorDetail, WebImportError } from "../public/api.js";

/** The form in which errors cross a border as data: thrown by the wasm module, returned by Python. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | null;
  readonly name?: string | null;
  readonly status?: number | null;
}

/** Makes the `Error` that callers see. An error without a code is a defect of webimport. */
export function toWebImportError(thrown: unknown): WebImportError {
  if (thrown instanceof WebImportError) return thrown;
  if (isRecord(thrown)) {
    const detail: { -readonly [Key in keyof ErrorDetail]: ErrorDetail[Key] } = {};
    if (typeof thrown.name === "string") detail.name = thrown.name;
    if (typeof thrown.status === "number") detail.status = thrown.status;
    return new WebImportError(thrown.code, thrown.message, { hint: thrown.hint ?? null, detail });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new WebImportError("internal.bug", message, {
    hint: "this is a defect of webimport; please report it with what was loaded",
    cause: thrown,
  });
}

function isRecord(thrown: unknown): thrown is ErrorRecord {
  const record = thrown as Partial<ErrorRecord> | null;
  return typeof record === "object" && record !== null && typeof record.code === "string" && typeof record.message === "string";
}
