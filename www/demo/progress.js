// A release on its way, as a line with a bar: bytes and files, where they come from, what is being done.

import { bytes, count, element } from "./format.js";

const PHASES = {
  metadata: "checking signatures",
  manifest: "reading the list of files",
  objects: "checking files",
  mount: "mounting",
  done: "ready",
};

/** The release's name: at first the notebook's words for it are known, a URL or a name, later `name@version`. */
function nameIn(release) {
  return release.split("/").at(-1).split("@")[0];
}

/** The lines of one cell, one for each release. */
export class ProgressLines {
  #area;
  #lines = new Map();

  /** @param {HTMLElement} area */
  constructor(area) {
    this.#area = area;
  }

  clear() {
    this.#area.replaceChildren();
    this.#lines.clear();
  }

  /** @param {object} progress the detail of a `progress` event */
  show(progress) {
    const { release, phase, bytesDone, bytesTotal, filesDone, filesTotal, cached } = progress;
    const key = nameIn(release);
    const line = this.#lines.get(key) ?? this.#add(key);
    line.box.dataset.phase = phase;
    line.name.textContent = release.includes("/") ? key : release.replace("@", " ");
    line.phase.textContent = PHASES[phase] ?? phase;
    line.bar.hidden = phase === "done";
    if (filesTotal) {
      const source = cached ? " from this browser" : "";
      line.figures.textContent =
        phase === "done"
          ? `${count(filesTotal, "file")}, ${bytes(bytesTotal)}${source}`
          : `${filesDone} of ${count(filesTotal, "file")}, ${bytes(bytesDone)} of ${bytes(bytesTotal)}${source}`;
    }
    if (bytesTotal) {
      line.bar.max = bytesTotal;
      line.bar.value = bytesDone;
    }
  }

  /** Take away what never finished: its exception says more. */
  abandon() {
    for (const [key, line] of this.#lines) {
      if (line.box.dataset.phase === "done") continue;
      line.box.remove();
      this.#lines.delete(key);
    }
  }

  #add(key) {
    const line = {
      box: element("div", "loading"),
      name: element("strong"),
      phase: element("span", "phase"),
      figures: element("span", "figures"),
      bar: element("progress"),
    };
    line.bar.setAttribute("aria-label", `Loading ${key}`);
    line.box.dataset.progress = key;
    line.box.append(line.name, line.phase, line.figures, line.bar);
    this.#area.append(line.box);
    this.#lines.set(key, line);
    return line;
  }
}
