"""Runs one cell in `__main__` and describes what came of it.

The page hands over source text and gets JSON back, so that no Python object has to be held on the JavaScript side.
Output to stdout and stderr does not pass through here: the page reads the streams.
"""

import __main__
import json
import linecache
import traceback

from pyodide.code import eval_code_async

# The lines shown around the line that failed.
CONTEXT = 2
# A result larger than this is not rendered: a frame of many megabytes stalls the page.
LARGEST_RESULT = 4_000_000

_RICH_REPRESENTATIONS = {"text/html": "_repr_html_", "image/svg+xml": "_repr_svg_"}


async def run(source: str, file_name: str) -> str:
    """Run a cell and return `{"result": {mime, text} | null, "error": … | null}`.

    `file_name` must not look like `<…>`: linecache keeps the source of other names only, and without it tracebacks
    through the cell show no lines.
    """
    try:
        value = await eval_code_async(source, globals=__main__.__dict__, filename=file_name)
        if value is not None:
            __main__._ = value
        answer = {"result": _represent(value), "error": None}
    except BaseException as error:  # KeyboardInterrupt and SystemExit end a cell, never the notebook
        answer = {"result": None, "error": _describe(error, file_name)}
    return json.dumps(answer)


def _represent(value: object) -> dict | None:
    if value is None:
        return None
    for mime, text in _offers(value):
        if isinstance(text, str) and len(text) <= LARGEST_RESULT:
            return {"mime": mime, "text": text}
    text = repr(value)
    if len(text) > LARGEST_RESULT:
        text = f"{text[:LARGEST_RESULT]}…"
    return {"mime": "text/plain", "text": text}


def _offers(value: object):
    # A class has the method too, but unbound: only instances are asked.
    if isinstance(value, type):
        return
    bundle = getattr(value, "_repr_mimebundle_", None)
    if bundle is not None:
        offered = bundle(include=None, exclude=None)
        offered = offered[0] if isinstance(offered, tuple) else offered
        for mime in _RICH_REPRESENTATIONS:
            yield mime, (offered or {}).get(mime)
    for mime, method in _RICH_REPRESENTATIONS.items():
        if callable(getattr(value, method, None)):
            yield mime, getattr(value, method)()


def _describe(error: BaseException, file_name: str) -> dict:
    summary = traceback.TracebackException.from_exception(error, compact=True)
    _forget_the_machinery(summary, file_name)
    return {"text": "".join(summary.format()), "chain": _chain(summary, getattr(error, "code", None))}


def _forget_the_machinery(summary: traceback.TracebackException, file_name: str) -> None:
    """Drop the frames above the cell: this file and Pyodide's."""
    names = [frame.filename for frame in summary.stack]
    first = names.index(file_name) if file_name in names else len(names)
    del summary.stack[:first]


def _chain(summary: traceback.TracebackException, code: object) -> list[dict]:
    """The exceptions in the order of a traceback: the one that everybody else follows from comes first."""
    chain = []
    link = "raised"
    seen = set()
    while summary is not None and id(summary) not in seen:
        seen.add(id(summary))
        chain.append(_one(summary, link, code if not chain else None))
        if summary.__cause__ is not None:
            summary, link = summary.__cause__, "cause"
        elif summary.__context__ is not None and not summary.__suppress_context__:
            summary, link = summary.__context__, "context"
        else:
            summary = None
    return chain[::-1]


def _one(summary: traceback.TracebackException, link: str, code: object) -> dict:
    frames = [_frame(frame) for frame in summary.stack]
    name = summary.exc_type_str.removeprefix("builtins.")
    message = str(summary)
    if hasattr(summary, "msg"):  # a SyntaxError: it says where the text is wrong, not where it ran
        message = summary.msg
        if summary.lineno is not None:
            frames.append(_syntax_frame(summary))
    return {
        "link": link,
        "type": name,
        "message": message,
        "code": code if isinstance(code, str) else None,
        "notes": [str(note) for note in summary.__notes__ or ()],
        "frames": frames,
        "inside": [_one(inner, "inside", None) for inner in summary.exceptions or ()],
    }


def _frame(frame: traceback.FrameSummary) -> dict:
    lines = linecache.getlines(frame.filename)
    number = frame.lineno or 0
    first = max(1, number - CONTEXT)
    shown = [line.rstrip("\n") for line in lines[first - 1 : number + CONTEXT]]
    described = {"file": frame.filename, "line": number, "name": frame.name, "first": first, "lines": shown, "mark": None}
    one_line = frame.end_lineno in (None, frame.lineno)
    if one_line and frame.colno is not None and frame.end_colno is not None and 0 < number <= len(lines):
        described["mark"] = _characters(lines[number - 1], frame.colno, frame.end_colno)
    return described


def _syntax_frame(summary: traceback.TracebackException) -> dict:
    number = int(summary.lineno)
    lines = linecache.getlines(summary.filename) or [""] * (number - 1) + [summary.text or ""]
    first = max(1, number - CONTEXT)
    start = max((summary.offset or 1) - 1, 0)
    end = (summary.end_offset or 0) - 1
    return {
        "file": summary.filename,
        "line": number,
        "name": "",
        "first": first,
        "lines": [line.rstrip("\n") for line in lines[first - 1 : number + CONTEXT]],
        "mark": [start, max(end, start + 1)],
    }


def _characters(line: str, start: int, end: int) -> list[int]:
    """Columns in a traceback count UTF-8 bytes; the page counts characters."""
    encoded = line.encode()
    return [len(encoded[:start].decode(errors="replace")), len(encoded[:end].decode(errors="replace"))]
