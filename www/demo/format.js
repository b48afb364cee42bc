// Numbers and digests for people, and small elements that several rooms of the page make.

const decimal = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** Bytes in decimal units. */
export function bytes(count) {
  if (count < 1000) return `${count} B`;
  return count < 1_000_000 ? `${decimal.format(count / 1000)} kB` : `${decimal.format(count / 1_000_000)} MB`;
}

/** `1 file`, `2 files`. */
export function count(number, one, many = `${one}s`) {
  return `${decimal.format(number)} ${number === 1 ? one : many}`;
}

/** An element with a class and children; strings become text, never markup. */
export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** A button that shows the start of a digest, tells the whole on hover and copies it on a click. */
export function digest(text, label) {
  const bare = text.replace(/^sha256:/, "");
  const button = element("button", "digest", `${bare.slice(0, 10)}…`);
  button.type = "button";
  button.title = `${text}\nClick to copy`;
  button.setAttribute("aria-label", `Copy ${label} ${text}`);
  button.dataset.full = text;
  button.addEventListener("click", async () => {
    const copied = await copy(text);
    button.dataset.copied = copied ? "copied" : "not copied";
    setTimeout(() => delete button.dataset.copied, 1200);
  });
  return button;
}

/** Whether the text reached the clipboard. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or not a secure context
  }
}
