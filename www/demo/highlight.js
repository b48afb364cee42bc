// Python source to coloured text. One regular expression finds the tokens that matter to a reader; whatever it does
// not know stays plain. It never changes a character, since the editor lays its caret over the result.

const KEYWORDS =
  "False None True and as assert async await break class continue def del elif else except finally for from global if " +
  "import in is lambda nonlocal not or pass raise return try while with yield match case type";
const BUILTINS =
  "abs all any bool bytes callable dict dir enumerate filter float format frozenset getattr hasattr hash help id input int " +
  "isinstance issubclass iter len list map max min next object open print range repr reversed round set setattr sorted str " +
  "sum super tuple type vars zip self loadRelease load_release";

const keywords = new Set(KEYWORDS.split(" "));
const builtins = new Set(BUILTINS.split(" "));

const TOKEN = new RegExp(
  [
    /(?<comment>#[^\n]*)/,
    /(?<string>\b[rbuftRBUFT]{0,2}(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?)|(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?))/,
    /(?<number>\b(?:0[xXoObB][\da-fA-F_]+|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?j?)\b)/,
    /(?<decorator>^[ \t]*@[\w.]+)/,
    /(?:(?<=\b(?:def|class)[ \t]+)(?<definition>[\p{L}_][\p{L}\p{N}_]*))/,
    /(?<word>[\p{L}_][\p{L}\p{N}_]*)/,
  ]
    .map((part) => part.source)
    .join("|"),
  "gmu",
);

/** The source as a fragment of text and `<span class="py-…">`. */
export function highlight(source) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  for (const match of source.matchAll(TOKEN)) {
    const kind = kindOf(match, source);
    if (!kind) continue;
    fragment.append(source.slice(end, match.index));
    const span = document.createElement("span");
    span.className = `py-${kind}`;
    span.textContent = match[0];
    fragment.append(span);
    end = match.index + match[0].length;
  }
  fragment.append(source.slice(end));
  return fragment;
}

function kindOf(match, source) {
  const { word, ...groups } = match.groups;
  if (word === undefined) return Object.keys(groups).find((name) => groups[name] !== undefined);
  if (source[match.index - 1] === ".") return null; // an attribute, whatever its name
  if (keywords.has(word)) return "keyword";
  return builtins.has(word) ? "builtin" : null;
}
