"""Which import names are taken, and by whom.

Owners are words that fit behind "belongs to". Namespace packages are nobody's: several folders may share one.
What is in them is somebody's, and of two portions that have the same name Python imports from one only: from
the first that has it as a module or as a package with ``__init__``, wherever the others stand (PEP 420).

Nothing is imported to find out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, all_suffixes
from importlib.util import find_spec

from ._errors import FetchError
from ._finder import ReleaseFinder, contains, portions
from ._release import loaded

#: What Pyodide puts into every interpreter, beside the standard library.
_RUNTIME = ("_pyodide", "_pyodide_core", "js", "pyodide", "pyodide_js")


def occupied_names() -> dict[str, str]:
    """Name to owner, the nearest to the interpreter where there are two."""
    return {
        **_installed(),
        **{name: str(release) for release in loaded.values() for name in release.own_names()},
        **dict.fromkeys(_RUNTIME, "Pyodide"),
        "webimport": "webimport itself",
        **dict.fromkeys((*sys.stdlib_module_names, *sys.builtin_module_names), "the standard library"),
    }


def found_owner(name: str, *, shareable: bool) -> str | None:
    """Where an import of a top-level name would come from; None: from nowhere.

    This sees what no list has: import hooks, modules that were put into ``sys.modules``, and namespace
    packages, which are no hindrance to a portion of the same one (`shareable`).
    """
    spec = _find(name)
    if spec is None:
        return None
    if spec.loader is not None and spec.has_location:
        return f"`{spec.origin}`"
    folders = _portions(spec)
    if folders and _is_namespace(spec):
        taken = name in sys.modules or not all(_is_plain_folder(folder) for folder in folders)
        return f"`{folders[0]}`" if taken and not shareable else None
    return f"`{spec.origin}`" if spec.origin else "an import hook"


def taken_below(namespace: str, path: str) -> Iterator[tuple[str, str]]:
    """What others have in a namespace package that the folder `path` has in it, too: dotted names and owners.

    `path` is not on ``sys.path`` yet. A name is taken unless it is a folder without ``__init__`` on both
    sides; then what is in these is compared.
    """
    others = _find(namespace)
    if others is not None and _is_namespace(others):
        yield from _taken_in(namespace, os.path.join(path, namespace), _portions(others))


def is_found_in(name: str, path: str) -> bool:
    """Whether an import of the (dotted) name would come from the folder `path`, or from there too."""
    top, *below = name.split(".")
    spec = _find(top)
    for child in below:
        if spec is None or not _is_namespace(spec):
            break
        top = f"{top}.{child}"
        spec = _first(_provided(top, _portions(spec)))
    if spec is None:
        return False
    if _is_namespace(spec):
        return any(contains(path, portion) for portion in _portions(spec))
    return spec.has_location and contains(path, spec.origin or "")


def _taken_in(package: str, folder: str, others: list[str]) -> Iterator[tuple[str, str]]:
    for child in _children(folder):
        name = f"{package}.{child}"
        for other in others:
            _look_into(os.path.join(other, child))
        provided = list(_provided(name, others))
        if not provided:
            continue
        # In this order, as what is in the folders of a large release is fetched when somebody looks into them.
        _look_into(os.path.join(folder, child))
        own = ReleaseFinder(folder, folder, None).find_spec(name)
        if own is None:
            continue
        shared: list[str] = []
        for spec in provided:
            if not (_is_namespace(own) and _is_namespace(spec)):
                yield name, _location(spec)
                break
            shared.extend(_portions(spec))
        else:
            if shared:
                yield from _taken_in(name, os.path.join(folder, name.rpartition(".")[2]), shared)


def _look_into(folder: str) -> None:
    """Has what is in a folder be there: a finder takes a folder that it cannot read for one without `__init__`."""
    try:
        os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise FetchError(
            f"what is in `{folder}` cannot be fetched: {error}",
            code="fetch.network",
            hint="check the connection and load the release again",
        ) from None


def _children(folder: str) -> list[str]:
    """The names that an import could ask the folder for, and some that none can."""
    entries = os.listdir(folder)
    suffixes = ("", *all_suffixes())
    names = {entry.removesuffix(suffix) for entry in entries for suffix in suffixes if entry.endswith(suffix)}
    return sorted(name for name in names if name and "." not in name)


def _provided(name: str, folders: Iterable[str]) -> Iterator[ModuleSpec]:
    """What an import of the dotted name could come to, in Python's order."""
    # Not at the top: 20 ms in a browser.
    import pkgutil

    if name in sys.modules:
        specs = [_find(name)]
    else:
        finders = [pkgutil.get_importer(folder) for folder in folders]
        specs = [finder.find_spec(name) for finder in finders if finder is not None and hasattr(finder, "find_spec")]
    yield from (spec for spec in specs if spec is not None)


def _first(specs: Iterable[ModuleSpec]) -> ModuleSpec | None:
    """The one that Python takes: a module, a package, or else all the portions of a namespace package."""
    folders: list[str] = []
    for spec in specs:
        if not _is_namespace(spec):
            return spec
        folders.extend(_portions(spec))
    if not folders:
        return None
    namespace = ModuleSpec("", None, is_package=True)
    namespace.submodule_search_locations = folders
    return namespace


def _location(spec: ModuleSpec) -> str:
    place = spec.origin or next(iter(_portions(spec)), "an import hook")
    return next((str(release) for release in loaded.values() if contains(release.path, place)), f"`{place}`")


def _find(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except ValueError:
        # In sys.modules without a spec: made by hand.
        return ModuleSpec(name, None, origin="sys.modules")


def _is_namespace(spec: ModuleSpec) -> bool:
    return spec.origin is None and spec.submodule_search_locations is not None


def _portions(spec: ModuleSpec) -> list[str]:
    return portions(spec.submodule_search_locations)


def _is_plain_folder(folder: str) -> bool:
    """A folder beside the notebook that Python would take for a namespace package, for lack of a better one."""
    in_release = any(contains(release.path, folder) for release in loaded.values())
    return not in_release and os.path.basename(os.path.dirname(folder)) != "site-packages"


def _installed() -> dict[str, str]:
    """What can be imported from installed packages, loaded Pyodide packages and the current directory."""
    names: dict[str, str] = {}
    for folder in (entry or os.getcwd() for entry in sys.path):
        if not _is_standard(folder) and not any(contains(release.path, folder) for release in loaded.values()):
            for name in _modules_in(folder):
                names.setdefault(name, _owner(folder, name))
    return names


def _modules_in(place: str) -> Iterator[str]:
    """The modules and regular packages in an entry of ``sys.path``."""
    if os.path.isdir(place):
        entries = _entries(place)
        modules = _file_modules(entries) - {"__init__"}
        # A folder without `__init__` is a namespace package at most, which is nobody's.
        others = {entry for entry in entries if "." not in entry} - modules
        packages = {name for name in others if "__init__" in _file_modules(_entries(os.path.join(place, name)))}
        yield from sorted(modules | packages)
    elif os.path.exists(place):
        # Not at the top: 20 ms in a browser, and archives are rare.
        import pkgutil

        yield from (module.name for module in pkgutil.iter_modules([place]))


def _file_modules(entries: Iterable[str]) -> set[str]:
    """The modules among the files of a folder."""
    stems = (entry.removesuffix(suffix) for entry in entries for suffix in all_suffixes() if entry.endswith(suffix))
    return {stem for stem in stems if stem and "." not in stem}


def _entries(folder: str) -> list[str]:
    """What is in a folder; nothing, where it cannot be read or is none."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_standard(folder: str) -> bool:
    """Whether all that is in the folder is of the standard library, which is listed elsewhere."""
    zipped = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return folder == os.path.dirname(os.__file__) or os.path.basename(folder) in (zipped, "lib-dynload")


def _owner(folder: str, name: str) -> str:
    if os.path.basename(folder) == "site-packages":
        return f"the installed package `{name}`"
    return f"`{os.path.join(folder, name)}`"
