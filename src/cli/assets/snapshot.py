"""What `snapshot.mjs` has done inside of Pyodide.

It calls the functions by `answer`, with JSON both ways. All of it is defined in a namespace of its own, which is gone when
the memory is stored.
"""

import json

#: Bytes of a traceback that are shown.
TRACEBACK = 4000

#: Places of JavaScript objects that are named.
PLACES = 5


async def answer(function, values):
    """Calls a function with a JSON list of arguments."""
    given = function(*json.loads(values))
    return json.dumps(await given if hasattr(given, "__await__") else given)


async def load(url, root, sha256):
    """Loads the release, as a notebook does; answers with its folder, or with the error."""
    import webimport

    try:
        release = await webimport.load_release(url, root=root, sha256=sha256)
    except webimport.WebImportError as error:
        return {"error": {"code": error.code, "message": error.msg, "hint": error.hint}}
    return {"path": release.path}


def import_all(names):
    """Imports the modules, one after the other; answers with the first that fails, and how."""
    for name in names:
        try:
            __import__(name)
        except BaseException as error:  # SystemExit, too
            import traceback

            # Without the frame of this function.
            frames = error.__traceback__.tb_next
            text = "".join(traceback.format_exception(type(error), error, frames))
            return {"module": name, "traceback": text[-TRACEBACK:].strip()}
    return None


def state():
    """What is in this interpreter."""
    import asyncio
    import sys

    import webimport
    from webimport._release import loaded

    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return {
        "tag": sys.implementation.cache_tag,
        "webimport": webimport.__version__,
        "releases": [
            {"name": release.name, "version": release.version, "sha256": release.sha256} for release in loaded.values()
        ],
        "modules": sorted(_modules()),
        "tasks": sorted(getattr(task.get_coro(), "__qualname__", repr(task)) for task in tasks),
    }


def holders(is_held):
    """Where objects are that `is_held`, which is JavaScript's, knows: in modules, those of the releases first."""
    import sys

    ours = _modules()
    names = sorted(sys.modules, key=lambda name: (name not in ours, name))
    places = []
    for name in names:
        for place, value in _values(name, _own(sys.modules[name])):
            if _is_javascript(value) and is_held(value):
                places.append(place)
    return places[:PLACES]


def _is_javascript(value):
    from pyodide.ffi import JsException, JsProxy

    # Not `isinstance`, which asks what only stands for something else what it is.
    return issubclass(type(value), (JsProxy, JsException))


def _modules():
    """Dotted names of the modules that come from releases."""
    import sys

    from webimport._release import _is_inside, loaded

    paths = [release.path for release in loaded.values()]
    return {
        name
        for name, module in list(sys.modules.items())
        if all(map(str.isidentifier, name.split("."))) and any(_is_inside(path, module) for path in paths)
    }


def _values(name, attributes):
    """The values of a module, and one level deeper those of classes, instances, functions and plain containers."""
    for attribute, value in list(attributes.items()):
        place = f"{name}.{attribute}"
        yield place, value
        if isinstance(value, dict):
            yield from ((f"{place}[{key!r}]", inner) for key, inner in list(value.items()))
            yield from ((f"a key of {place}", key) for key in list(value))
        elif isinstance(value, (list, tuple)):
            yield from ((f"{place}[{index}]", inner) for index, inner in enumerate(value))
        elif isinstance(value, (set, frozenset)):
            yield from ((f"an element of {place}", inner) for inner in list(value))
        elif type(value).__name__ != "module":
            for inner, content in list(_own(value).items()):
                yield f"{place}.{inner}", content
            for cell in _own(value, "__closure__") or ():
                try:
                    yield f"a variable around {place}", cell.cell_contents
                except ValueError:
                    pass
            for default in _own(value, "__defaults__") or ():
                yield f"a default of {place}", default


def _own(value, attribute="__dict__"):
    """An attribute that no code of the value's own computes."""
    try:
        return object.__getattribute__(value, attribute)
    except Exception:
        return {}
