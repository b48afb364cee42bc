// Light or dark: the reader's choice, else the system's. A classic script in the head, so that a stored choice is
// there before the first paint.
"use strict";
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage refused: the choice lasts as long as the page
    }
  };
  const show = (theme) => {
    root.dataset.theme = theme;
    // Results sit in frames, each with a document of its own.
    for (const frame of document.querySelectorAll("iframe")) {
      if (frame.contentDocument) frame.contentDocument.documentElement.dataset.theme = theme;
    }
  };

  const choice = stored();
  show(choice === "light" || choice === "dark" ? choice : system.matches ? "dark" : "light");
  system.addEventListener("change", () => {
    if (!stored()) show(system.matches ? "dark" : "light");
  });
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const next = root.dataset.theme === "dark" ? "light" : "dark";
      show(next);
      try {
        localStorage.setItem("theme", next);
      } catch {
        // as above
      }
    });
  });
})();
