// A code editor made of a transparent textarea over coloured text. The browser keeps doing what it does well (caret,
// selection, undo, input methods, spell-checking off); this adds indentation and colour.
//
// Tab indents, so the keyboard needs another way out: after Escape, Tab moves on as it does elsewhere.

import { highlight } from "./highlight.js";

const INDENT = "    ";

/**
 * Turn a textarea into an editor, in place.
 *
 * @param {HTMLTextAreaElement} textarea
 * @returns {HTMLElement} what stands in its place
 */
export function makeEditor(textarea) {
  const frame = document.createElement("div");
  frame.className = "editor";
  const sheet = document.createElement("div");
  sheet.className = "sheet";
  const colours = document.createElement("pre");
  colours.setAttribute("aria-hidden", "true");

  textarea.replaceWith(frame);
  sheet.append(colours, textarea);
  frame.append(sheet);
  Object.assign(textarea, { spellcheck: false, autocomplete: "off", autocapitalize: "off", wrap: "off", rows: 1 });
  textarea.setAttribute("autocorrect", "off");
  textarea.value = textarea.value.trimEnd();
  textarea.setSelectionRange(0, 0);

  // The coloured text gives the sheet its size. The line feed keeps an empty last line as tall as the others.
  const paint = () => colours.replaceChildren(highlight(textarea.value), "\n");
  textarea.addEventListener("input", paint);
  paint();

  let leaving = false;
  textarea.addEventListener("blur", () => (leaving = false));
  textarea.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      leaving = true;
      return;
    }
    if (event.key === "Tab" && leaving) return;
    if (event.key !== "Shift") leaving = false;
    if (event.isComposing || event.defaultPrevented) return;
    const edit = editFor(event, textarea);
    if (edit) {
      event.preventDefault();
      edit();
    }
  });
  return frame;
}

function editFor(event, textarea) {
  const modified = event.ctrlKey || event.metaKey || event.altKey;
  if (event.key === "Tab" && !modified) {
    if (event.shiftKey) return () => changeLines(textarea, (line) => line.replace(/^ {1,4}/, ""));
    if (spansLines(textarea)) return () => changeLines(textarea, (line) => (line ? INDENT + line : line));
    return () => insert(textarea, INDENT.slice(column(textarea) % INDENT.length));
  }
  if (event.key === "Enter" && !modified && !event.shiftKey) return () => insert(textarea, `\n${nextIndent(textarea)}`);
  if (event.key === "/" && (event.ctrlKey || event.metaKey)) return () => changeLines(textarea, toggleComments(textarea));
  if (event.key === "Backspace" && !modified && textarea.selectionStart === textarea.selectionEnd) {
    const before = currentLine(textarea);
    if (before && /^ +$/.test(before)) {
      const width = before.length % INDENT.length || INDENT.length;
      return () => {
        textarea.setSelectionRange(textarea.selectionStart - width, textarea.selectionEnd);
        insert(textarea, "");
      };
    }
  }
  return null;
}

/** The text from the start of the line to the caret. */
function currentLine(textarea) {
  const { value, selectionStart } = textarea;
  return value.slice(value.lastIndexOf("\n", selectionStart - 1) + 1, selectionStart);
}

function column(textarea) {
  return currentLine(textarea).length;
}

function spansLines(textarea) {
  return textarea.value.slice(textarea.selectionStart, textarea.selectionEnd).includes("\n");
}

function nextIndent(textarea) {
  const line = currentLine(textarea);
  const indent = /^ */.exec(line)[0];
  const code = line.replace(/#.*$/, "").trim();
  if (/[:([{]$/.test(code)) return indent + INDENT;
  if (/^(return|raise|pass|break|continue)\b/.test(code)) return indent.slice(INDENT.length);
  return indent;
}

function toggleComments(textarea) {
  const [first, last] = lineRange(textarea);
  const lines = textarea.value.slice(first, last).split("\n");
  const commented = lines.every((line) => !line.trim() || /^\s*#/.test(line));
  return (line) => (commented ? line.replace(/^(\s*)# ?/, "$1") : line.replace(/^(\s*)(?=\S)/, "$1# "));
}

function lineRange(textarea) {
  const { value, selectionStart, selectionEnd } = textarea;
  const first = value.lastIndexOf("\n", selectionStart - 1) + 1;
  const end = value.indexOf("\n", Math.max(selectionEnd - (spansLines(textarea) ? 1 : 0), first));
  return [first, end < 0 ? value.length : end];
}

function changeLines(textarea, change) {
  const [first, last] = lineRange(textarea);
  const before = textarea.value.slice(first, last);
  const after = before.split("\n").map(change).join("\n");
  if (after === before) return;
  const several = before.includes("\n");
  const caret = textarea.selectionStart + after.length - before.length;
  textarea.setSelectionRange(first, last);
  insert(textarea, after);
  if (several) textarea.setSelectionRange(first, first + after.length);
  else textarea.setSelectionRange(Math.max(first, caret), Math.max(first, caret));
}

/** Replace the selection. `execCommand` is the one way that the browser's undo takes part in. */
function insert(textarea, text) {
  const command = text ? "insertText" : "delete";
  if (document.execCommand(command, false, text)) return;
  textarea.setRangeText(text, textarea.selectionStart, textarea.selectionEnd, "end");
  textarea.dispatchEvent(new Event("input", { bubbles: true }));
}
