// The panel: what each loaded release is, who signed it, where its bytes came from; and what the cache holds.

import { bytes, count, digest, element } from "./format.js";

/** The list of loaded releases. The figures are in `data-` attributes too, for whoever reads the page by program. */
export class Releases {
  #list;
  #nothing;
  #shown = new Map();

  /** @param {HTMLElement} list what it holds at first says that nothing is loaded */
  constructor(list) {
    this.#list = list;
    this.#nothing = [...list.childNodes];
  }

  /** @param {object} release the detail of a `loaded` event */
  add(release) {
    if (!this.#shown.size) this.#list.replaceChildren();
    const before = this.#shown.get(release.sha256);
    // A second load of a release may bring more of its modules: the figures add up.
    const network = sum(before?.network, release.network);
    const cache = sum(before?.cache, release.cache);
    const card = makeCard(release, network, cache);
    if (before) before.card.replaceWith(card);
    else this.#list.append(card);
    this.#shown.set(release.sha256, { card, network, cache });
  }

  /** @param {string} sha256 the digest of the release's manifest */
  remove(sha256) {
    this.#shown.get(sha256)?.card.remove();
    this.#shown.delete(sha256);
    if (!this.#shown.size) this.#list.replaceChildren(...this.#nothing);
  }
}

function sum(before, more) {
  return Object.fromEntries(Object.entries(more).map(([key, value]) => [key, value + (before?.[key] ?? 0)]));
}

function makeCard(release, network, cache) {
  const { name, version, sha256, repository, trust, storage, offline, warnings } = release;
  const card = element("article", "release");
  Object.assign(card.dataset, {
    release: name,
    version,
    sha256,
    storage,
    offline: String(offline),
    networkFiles: network.files,
    networkBytes: network.bytes,
    networkRequests: network.requests,
    cacheFiles: cache.files,
    cacheBytes: cache.bytes,
  });

  const how = trust.how === "pin" ? "pinned by digest" : "signatures checked";
  card.append(
    element("h3", "", name, " ", element("span", "version", version)),
    element("p", "verdict", seal(), ` ${how}${trust.firstUse ? ", root trusted on first use" : ""}`),
    transfer(network, cache),
    facts([
      ["Signed by", trust.keyids.length ? spaced(trust.keyids.map((keyid) => digest(keyid, "key"))) : "—"],
      ["Root pin", trust.root ? digest(trust.root, "root pin") : "—"],
      ["Manifest", digest(sha256, "manifest digest")],
      ["Repository", link(repository)],
      ["Good until", trust.expires ? date(trust.expires) : "no limit: the pin names the bytes"],
      ["Compiled for", release.bytecode ?? "no: runs from source"],
      ["Kept in", storage === "memory" ? "memory, until this page closes" : "IndexedDB"],
      ["Offline", offline ? (network.requests > 0 ? "yes, the server did not answer" : "yes, nothing was asked of the network") : "no"],
    ]),
  );
  for (const warning of warnings) {
    card.append(element("p", "warning", element("code", "chip", warning.code), ` ${warning.message}`, hint(warning.hint)));
  }
  return card;
}

function transfer(network, cache) {
  const bar = element("progress", "split");
  bar.max = Math.max(network.bytes + cache.bytes, 1);
  bar.value = network.bytes;
  bar.setAttribute("aria-label", "Share of bytes from the network");
  const requests = network.requests ? `, ${count(network.requests, "request")}` : "";
  return element(
    "div",
    "transfer",
    bar,
    element("p", "from-network", element("b", "", "Network"), ` ${count(network.files, "file")}, ${bytes(network.bytes)}${requests}`),
    element("p", "from-cache", element("b", "", "Cache"), ` ${count(cache.files, "file")}, ${bytes(cache.bytes)}`),
  );
}

function facts(pairs) {
  const list = element("dl");
  for (const [term, value] of pairs) list.append(element("dt", "", term), element("dd", "", ...[value].flat()));
  return list;
}

function spaced(elements) {
  return elements.flatMap((one) => [one, " "]);
}

function link(address) {
  const made = element("a", "", address.replace(/^https?:\/\//, ""));
  // The address comes with a description of our own making, yet a link may only ever be a web address.
  if (/^https?:\/\//.test(address)) made.href = address;
  return made;
}

function date(text) {
  const moment = new Date(text);
  return Number.isNaN(moment.getTime())
    ? text
    : moment.toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" });
}

function hint(text) {
  return text ? element("span", "hint", ` ${text}`) : "";
}

function seal() {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", "M10 1.5 17 4v5.5c0 4.2-2.9 7.3-7 9-4.1-1.7-7-4.8-7-9V4zM6.5 10 9 12.5 13.5 8");
  svg.append(path);
  return svg;
}

/** The cache's figures and its two buttons. */
export class CachePanel {
  #cache;
  #info = document.getElementById("cache-info");
  #result = document.getElementById("cache-result");

  /** @param {{info: Function, clear: Function, verify: Function}} cache `webimport.cache` */
  constructor(cache) {
    this.#cache = cache;
    this.#button("cache-clear", async () => {
      await cache.clear();
      return "Cleared. What is loaded stays loaded.";
    });
    this.#button("cache-verify", async () => {
      const { checked, dropped } = await cache.verify();
      const bad = dropped.length ? `${count(dropped.length, "bad one")} dropped` : "all sound";
      return `${count(checked, "object")} hashed again: ${bad}.`;
    });
  }

  async refresh() {
    try {
      const { storage, objects, bytes: size, repositories } = await this.#cache.info();
      const place = storage === "memory" ? "in memory only" : "in IndexedDB";
      this.#info.textContent = `${count(objects, "object")}, ${bytes(size)}, ${count(repositories, "repository", "repositories")}, ${place}`;
      Object.assign(this.#info.dataset, { objects, bytes: size, repositories, storage });
    } catch (error) {
      this.#info.textContent = error.message;
    }
  }

  #button(id, act) {
    const button = document.getElementById(id);
    button.disabled = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      this.#result.textContent = "";
      try {
        this.#result.textContent = await act();
      } catch (error) {
        this.#result.textContent = error.message;
      }
      button.disabled = false;
      await this.refresh();
    });
  }
}
