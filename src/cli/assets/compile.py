"""Compiles the sources of a release, in CPython and in Pyodide alike.

Run with one argument, a job folder. It holds `job.json` with the cache tag that is wanted (or null for any)
and the paths of the sources inside the release; the source with index N is `in/N`, and its bytecode goes to
`out/N`: an unchecked hash-based pyc (PEP 552), whose file name is the path inside the release behind the job's
`prefix`. `result.json` says which interpreter it was and which sources do not compile.
"""

import importlib.util
import json
import marshal
import os
import sys
import warnings

UNCHECKED_HASH_BASED = 0b01
PROGRESS = 20


def main(job):
    with open(os.path.join(job, "job.json"), encoding="utf-8") as file:
        request = json.load(file)
    tag = sys.implementation.cache_tag
    result = {
        "tag": tag,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "final": sys.version_info.releaselevel == "final",
        "failed": {},
    }
    if request["tag"] in (None, tag):
        compile_all(job, request["prefix"], request["paths"], result["failed"])
    with open(os.path.join(job, "result.json"), "w", encoding="utf-8") as file:
        json.dump(result, file)


def compile_all(job, prefix, paths, failed):
    # A doubtful escape is for the author of the source, who sees it elsewhere.
    warnings.simplefilter("ignore")
    for index, path in enumerate(paths):
        if index % PROGRESS == 0:
            print("compiled", index, flush=True)
        with open(os.path.join(job, "in", str(index)), "rb") as file:
            source = file.read()
        try:
            code = compile(source, prefix + path, "exec", dont_inherit=True, optimize=0)
            body = marshal.dumps(code)
        except Exception as error:  # SyntaxError, ValueError, RecursionError, MemoryError, whatever comes
            failed[path] = "{}: {}".format(type(error).__name__, error)
            continue
        with open(os.path.join(job, "out", str(index)), "wb") as file:
            file.write(importlib.util.MAGIC_NUMBER)
            file.write(UNCHECKED_HASH_BASED.to_bytes(4, "little"))
            file.write(importlib.util.source_hash(source))
            file.write(body)


if __name__ == "__main__":
    main(sys.argv[1])
