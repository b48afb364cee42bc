/** The event target that all of a page's Pyodides share. */

import type { EventDetails, Events } from "../public/api.js";

export const events = new EventTarget() as Events;

/** Tells every listener; one that throws is reported by the platform and stops nobody. */
export function dispatch<Name extends keyof EventDetails>(name: Name, detail: EventDetails[Name]): void {
  events.dispatchEvent(new CustomEvent(name, { detail }));
}
