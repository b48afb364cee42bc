"""What can be seen of the package ``odd`` from Python, as texts that do not say where it lies."""

import bdb
import contextlib
import doctest
import importlib
import importlib.metadata
import importlib.resources
import importlib.util
import inspect
import io
import linecache
import os
import pathlib
import pdb
import pickle
import pkgutil
import runpy
import shutil
import sys
import tokenize
import trace
import traceback

from pyodide.http import pyfetch

FACTS = {}


def fact(function):
    FACTS[function.__name__] = function
    return function


def imports(name):
    """A fact: what becomes of an import, and what it leaves behind."""

    def look():
        outcome = attempt(lambda: sorted(key for key in vars(importlib.import_module(name)) if key.isupper()))
        parent, _, child = name.rpartition(".")
        outcome["left"] = [name in sys.modules, hasattr(sys.modules.get(parent), child)]
        return outcome

    FACTS[name] = look


def attempt(act):
    try:
        return {"value": act()}
    except BaseException as error:
        return {
            "raised": type(error).__name__,
            "name": getattr(error, "name", None),
            "path": getattr(error, "path", None),
            "traceback": "".join(traceback.format_exception(error)),
        }


def collect():
    root = os.path.dirname(os.path.dirname(importlib.util.find_spec("odd").origin))

    def without_root(value):
        if isinstance(value, dict):
            return {key: without_root(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [without_root(item) for item in value]
        return value.replace(root, "ROOT") if isinstance(value, str) else value

    return {name: without_root(attempt(look)) for name, look in FACTS.items()}


for each in (
    "syntax_error",
    "raises",
    "bom",
    "latin",
    "bad_encoding",
    "bad_utf8",
    "null_byte",
    "line_ends",
    "empty",
    "large",
    "class",
    "circle_one",
    "circle_bad",
    "no_data",
    "needs_absent",
    "needs_absent_sibling",
    "needs_absent_name",
    "beyond",
    "exits",
    "writer",
    "replaced",
    "absent",
    "deep.er",
):
    imports(f"odd.{each}")
imports("odd_space.part")
imports("odd_single")


@fact
def texts():
    from odd import bom, latin, line_ends

    return [bom.TEXT, latin.TEXT, line_ends.TEXT, inspect.getsource(latin), inspect.getsource(bom)]


@fact
def where():
    import odd
    import odd.deep
    import odd_single
    import odd_space

    seen = []
    for module in (odd, odd.deep, odd_single, odd_space):
        spec = module.__spec__
        seen.append(
            [
                getattr(module, "__file__", None),
                getattr(module, "__cached__", None),
                list(getattr(module, "__path__", [])),
                module.__package__,
                module.__doc__,
                [spec.name, spec.origin, spec.has_location, spec.cached, spec.parent],
                list(spec.submodule_search_locations or []),
            ]
        )
    return seen


@fact
def loader():
    spec = importlib.util.find_spec("odd.tested")
    found = spec.loader
    return [
        found.get_filename("odd.tested"),
        found.get_source("odd.tested"),
        found.is_package("odd.tested"),
        found.get_code("odd.tested").co_filename,
        found.get_data(os.path.join(os.path.dirname(spec.origin), "data.txt")).decode(),
    ]


@fact
def foreign_names():
    return [importlib.util.find_spec("nowhere_at_all"), attempt(lambda: importlib.util.find_spec("odd.nowhere"))]


@fact
def reloads():
    import odd.tested as module

    module.extra = 1
    again = importlib.reload(module)
    return [again is module, module.extra]


@fact
def a_failed_reload_leaves_the_module():
    import odd.counted as module

    module.fail = True
    failed = attempt(lambda: importlib.reload(module))
    return [failed, module.STATE, sys.modules.get("odd.counted") is module]


@fact
def sources():
    import odd.tested as module

    return [
        inspect.getsource(module.Point),
        inspect.getsourcelines(module.add),
        inspect.getsourcefile(module.add),
        inspect.getfile(module.Point),
        inspect.getmodule(module.add).__name__,
        str(inspect.signature(module.add)),
        linecache.getline(module.__file__, 1),
        tokenize.open(module.__file__).read() == inspect.getsource(module),
    ]


@fact
def tracebacks():
    import odd.tested

    return attempt(lambda: odd.tested.add(1, None))


@fact
def doctests():
    import odd.tested

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        results = doctest.testmod(odd.tested)
    assert list(results) == [1, 2], results
    return [list(results), said.getvalue()]


@fact
def debugger():
    import odd.tested

    bdb.Breakpoint.clearBreakpoints()
    orders = "\n".join(["break odd.tested:7", "continue", "where", "list", "print(left, right)", "step", "return", "quit"])
    said = io.StringIO()
    debug = pdb.Pdb(stdin=io.StringIO(orders + "\n"), stdout=said, nosigint=True, readrc=False)
    debug.use_rawinput = False
    outcome = attempt(lambda: debug.runcall(odd.tested.add, 1, 2))
    assert "return total" in said.getvalue() and "1 2" in said.getvalue(), said.getvalue()
    return [outcome, said.getvalue()]


@fact
def tracer():
    import odd.tested

    tracer = trace.Trace(count=1, trace=0)
    tracer.runfunc(odd.tested.add, 1, 2)
    counts = tracer.results().counts
    assert counts
    return sorted([name, line, count] for (name, line), count in counts.items() if "odd" in name)


@fact
def pickles():
    import odd.tested

    assert pickle.loads(pickle.dumps(odd.tested.Point(1, 2))) == odd.tested.Point(1, 2)
    assert pickle.loads(pickle.dumps(odd.tested.add)) is odd.tested.add
    return pickle.dumps(odd.tested.Point(1, 2)).hex()


@fact
def runs_as_main():
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        left = runpy.run_module("odd", run_name="__main__", alter_sys=True)
        again = runpy.run_module("odd.tested")
    keep = ("__name__", "__file__", "__package__", "RAN")
    return [said.getvalue(), {key: left.get(key) for key in keep}, {key: again.get(key) for key in keep}]


@fact
def package_tools():
    import odd

    return [
        sorted(module.name for module in pkgutil.iter_modules(odd.__path__)),
        sorted(module.name for module in pkgutil.walk_packages(odd.deep.__path__, "odd.deep.")),
        pkgutil.get_data("odd", "data.txt").decode(),
        pkgutil.resolve_name("odd.tested:Point.total").__qualname__,
        sorted(module.name for module in pkgutil.iter_modules() if module.name.startswith("odd")),
    ]


@fact
def resources():
    files = importlib.resources.files("odd")
    with importlib.resources.as_file(files / "deep") as folder:
        listed = sorted(entry.name for entry in folder.iterdir() if entry.name != "__pycache__")
    return [
        (files / "data.txt").read_text(encoding="utf-8"),
        (files / "deep" / "bytes.bin").read_bytes().hex(),
        attempt(lambda: (files / "absent.txt").read_text())["raised"],
        (files / "latin.py").read_text(encoding="ascii", errors="replace"),
        importlib.resources.read_text("odd.deep", "bytes.bin", encoding="latin-1"),
        importlib.resources.is_resource("odd", "data.txt"),
        listed,
    ]


@fact
def metadata():
    found = importlib.metadata.distribution("odd")
    return [
        found.version,
        found.metadata["Name"],
        [[point.name, point.value, point.load().__name__] for point in importlib.metadata.entry_points(group="odd.tools")],
        sorted(str(path) for path in found.files),
        found.read_text("absent.txt"),
        str(found.locate_file("odd/data.txt")),
        importlib.metadata.packages_distributions()["odd_single"],
    ]


@fact
def files_on_disk():
    import odd

    folder = pathlib.Path(odd.__file__).parent
    found = []
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__", "writer"})
        found += [os.path.join(top, name) + f" {os.path.getsize(os.path.join(top, name))}" for name in sorted(files)]
    return [found, sorted(path.name for path in folder.glob("*.txt")), os.path.samefile(folder, os.path.dirname(odd.__file__))]


@fact
def completion():
    import jedi

    script = jedi.Interpreter("import odd.typed\nodd.typed.", [{}])
    # The source has no types: that is the stub's.
    found = [[it.name, it.type, it.docstring()] for it in script.complete() if not it.name.startswith("_")]
    assert "-> bytes" in str(found), found
    return [found, [str(it.module_path) for it in jedi.Interpreter("import odd.tested\nodd.tested.add", [{}]).goto(2, 13, follow_imports=True)]]


#: Where the installed package lies.
INSTALLED = "/home/pyodide/installed"


async def install(url):
    """Puts the wheel where a package manager would: into a folder of ``sys.path``."""
    with open("/tmp/odd.zip", "wb") as file:
        file.write(await (await pyfetch(url)).bytes())
    shutil.unpack_archive("/tmp/odd.zip", INSTALLED)
    sys.path.append(INSTALLED)
    importlib.invalidate_caches()


def difference(one, other):
    return {name: [one[name], other[name]] for name in one if one[name] != other[name]}
