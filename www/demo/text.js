// What a program writes to a terminal, as elements: colours and styles (SGR), carriage returns; other control
// sequences are dropped.

const SEQUENCE = /\x1b\[([\d;:]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_]/g;

/** The text as a fragment; only `class` and single style properties carry the looks, which a CSP allows. */
export function terminalText(text) {
  const fragment = document.createDocumentFragment();
  const style = new Style();
  let end = 0;
  const plain = overwriteLines(text);
  for (const match of plain.matchAll(SEQUENCE)) {
    fragment.append(style.apply(plain.slice(end, match.index)));
    if (match[2] === "m") style.change(match[1]);
    end = match.index + match[0].length;
  }
  fragment.append(style.apply(plain.slice(end)));
  return fragment;
}

/** A carriage return starts the line again: progress bars count on it. */
function overwriteLines(text) {
  if (!text.includes("\r")) return text;
  return text
    .replaceAll("\r\n", "\n")
    .split("\n")
    .map((line) => line.replace(/\r+$/, "").split("\r").at(-1))
    .join("\n");
}

const SWITCHES = {
  1: ["bold", true],
  2: ["dim", true],
  3: ["italic", true],
  4: ["underline", true],
  7: ["inverse", true],
  9: ["strike", true],
  23: ["italic", false],
  24: ["underline", false],
  27: ["inverse", false],
  29: ["strike", false],
};

class Style {
  #on = new Set();
  #colour = { fg: null, bg: null };

  /** @param {string} codes numbers between semicolons */
  change(codes) {
    const numbers = codes.split(/[;:]/).map(Number);
    while (numbers.length) {
      const code = numbers.shift();
      const ground = code >= 40 && code < 50 || code >= 100 ? "bg" : "fg";
      if (code === 0) {
        this.#on.clear();
        this.#colour = { fg: null, bg: null };
      } else if (code === 22) {
        this.#on.delete("bold");
        this.#on.delete("dim");
      } else if (SWITCHES[code]) {
        const [name, on] = SWITCHES[code];
        if (on) this.#on.add(name);
        else this.#on.delete(name);
      } else if (code === 38 || code === 48) {
        this.#colour[ground] = extendedColour(numbers);
      } else if (code === 39 || code === 49) {
        this.#colour[ground] = null;
      } else if ((code >= 30 && code < 38) || (code >= 40 && code < 48)) {
        this.#colour[ground] = code % 10;
      } else if ((code >= 90 && code < 98) || (code >= 100 && code < 108)) {
        this.#colour[ground] = (code % 10) + 8;
      }
    }
  }

  apply(text) {
    const { fg, bg } = this.#colour;
    if (!text || (!this.#on.size && fg === null && bg === null)) return text;
    const span = document.createElement("span");
    span.className = [...this.#on].map((name) => `t-${name}`).join(" ");
    for (const [ground, colour] of [["fg", fg], ["bg", bg]]) {
      if (typeof colour === "number") span.classList.add(`t-${ground}-${colour}`);
      else if (colour) span.style[ground === "fg" ? "color" : "backgroundColor"] = colour;
    }
    span.textContent = text;
    return span;
  }
}

/** `5;n` (256 colours) or `2;r;g;b`, taken off the front of `numbers`. */
function extendedColour(numbers) {
  const kind = numbers.shift();
  if (kind === 2) return `rgb(${numbers.splice(0, 3).map((part) => part & 255).join(" ")})`;
  if (kind !== 5) return null;
  const index = numbers.shift() & 255;
  if (index < 16) return index;
  if (index > 231) return `rgb(${Array(3).fill(8 + (index - 232) * 10).join(" ")})`;
  const level = (step) => (step ? 55 + step * 40 : 0);
  const cube = index - 16;
  return `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`;
}
