"""Which top-level import names are taken, and by whom.

Owners are words that fit behind "belongs to". Namespace packages are nobody's: several folders may share one.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

from ._finder import contains
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
    portions = list(spec.submodule_search_locations or [])
    if portions and _is_namespace(spec):
        taken = name in sys.modules or not all(_is_plain_folder(portion) for portion in portions)
        return f"`{portions[0]}`" if taken and not shareable else None
    return f"`{spec.origin}`" if spec.origin else "an import hook"


def is_found_in(name: str, path: str) -> bool:
    """Whether an import of the name would come from the folder `path`, or from there too."""
    spec = _find(name)
    if spec is None:
        return False
    if _is_namespace(spec):
        return any(contains(path, portion) for portion in spec.submodule_search_locations or [])
    return spec.has_location and contains(path, spec.origin or "")


def _find(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except ValueError:
        # In sys.modules without a spec: made by hand.
        return ModuleSpec(name, None, origin="sys.modules")


def _is_namespace(spec: ModuleSpec) -> bool:
    return spec.origin is None and spec.submodule_search_locations is not None


def _is_plain_folder(portion: str) -> bool:
    """A folder beside the notebook that Python would take for a namespace package, for lack of a better one."""
    in_release = any(contains(release.path, portion) for release in loaded.values())
    return not in_release and os.path.basename(os.path.dirname(portion)) != "site-packages"


def _installed() -> dict[str, str]:
    """What can be imported from installed packages, loaded Pyodide packages and the current directory."""
    # Not at the top: 20 ms in a browser.
    import pkgutil

    names: dict[str, str] = {}
    for folder in (entry or os.getcwd() for entry in sys.path):
        if not _is_standard(folder) and not any(contains(release.path, folder) for release in loaded.values()):
            for module in pkgutil.iter_modules([folder]):
                names.setdefault(module.name, _owner(folder, module.name))
    return names


def _is_standard(folder: str) -> bool:
    """Whether all that is in the folder is of the standard library, which is listed elsewhere."""
    zipped = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return folder == os.path.dirname(os.__file__) or os.path.basename(folder) in (zipped, "lib-dynload")


def _owner(folder: str, name: str) -> str:
    if os.path.basename(folder) == "site-packages":
        return f"the installed package `{name}`"
    return f"`{os.path.join(folder, name)}`"
