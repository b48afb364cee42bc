// Keeps what the page says, for the report of a failing test.
globalThis.harnessLog = [];
for (const level of ["debug", "log", "info", "warn", "error"]) {
  const shown = console[level].bind(console);
  console[level] = (...parts) => {
    harnessLog.push(`${level}: ${parts.map(String).join(" ")}`);
    shown(...parts);
  };
}
addEventListener("error", (event) => harnessLog.push(`uncaught: ${event.message ?? `failed to load ${event.target?.src}`}`), true);
addEventListener("unhandledrejection", (event) => harnessLog.push(`unhandled rejection: ${event.reason?.stack ?? event.reason}`));
addEventListener("securitypolicyviolation", (event) =>
  harnessLog.push(`refused by the policy: ${event.violatedDirective} ${event.blockedURI}`),
);
