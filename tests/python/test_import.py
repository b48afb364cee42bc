"""Importing from a loaded release, by the standard import system's rules."""

import ast
import doctest
import importlib
import importlib.metadata
import importlib.resources
import importlib.util
import inspect
import linecache
import os
import pickle
import pkgutil
import runpy
import sys
import traceback
import zipfile
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

import pytest
import webimport
from conftest import TAG, compiled
from webimport import _finder

PACKAGE = {
    "shapes/__init__.py": '"""Shapes.\n\n>>> area(2)\n4\n"""\nfrom .square import area\nVERSION = "1.0"\n',
    "shapes/square.py": "def area(side):\n    return side * side\n",
    "shapes/deep/__init__.py": "from .. import VERSION\n",
    "shapes/deep/er.py": "from ..square import area\n\ndef fail():\n    raise ValueError('deep')\n",
    "shapes/__main__.py": "RESULT = __name__\n",
    "shapes/data/names.txt": "zażółć\n",
    "shapes/first.py": "from . import second\nname = 'first'\n",
    "shapes/second.py": "from . import first\nname = 'second'\n",
    "shapes/koi8.py": "# -*- coding: koi8-r -*-\nTEXT = 'привет'\n".encode("koi8-r"),
    "shapes/bom.py": "\ufeffTEXT = 'ok'\n".encode(),
    "shapes/broken.py": "1 +\n",
    "shapes/raises.py": "import json\nraise RuntimeError('in the body')\n",
    "shapes/missing.py": "import not_there_at_all\n",
    "shapes-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\n",
    "shapes-1.0.dist-info/entry_points.txt": "[shapes.plugins]\nsquare = shapes.square:area\n",
    "shapes-1.0.dist-info/RECORD": "shapes/__init__.py,,\nshapes/square.py,,\n",
    "solo.py": "VALUE = 7\n",
}


@pytest.fixture
def shapes(load):
    return load("shapes", PACKAGE)


def test_find_spec_gives_none_for_foreign_names(shapes):
    finder = sys.path_importer_cache.get(shapes.path) or _finder.path_hook(shapes.path)
    assert finder.find_spec("numpy") is None
    assert finder.find_spec("square") is None
    assert finder.find_spec("solo") is not None


def test_root_serves_only_what_the_release_claims(shapes):
    stray = os.path.join(shapes.path, "stray")
    os.mkdir(stray)
    importlib.invalidate_caches()
    assert PathFinder.find_spec("stray") is None
    with pytest.raises(ModuleNotFoundError, match="stray"):
        importlib.import_module("stray")


def test_path_hook_declines_paths_outside_of_releases(shapes, tmp_path):
    for path in (str(tmp_path), shapes.path + "-other", "", "/"):
        with pytest.raises(ImportError):
            _finder.path_hook(path)
    assert isinstance(_finder.path_hook(shapes.path + "/shapes"), _finder.ReleaseFinder)


def test_zip_archive_in_a_release_is_imported_from(load, tmp_path):
    with zipfile.ZipFile(tmp_path / "vendor.zip", "w") as archive:
        archive.writestr("vendored.py", "VALUE = 5\n")
        archive.writestr("inside/nested.py", "VALUE = 6\n")
    release = load("bundle", {"bundle/__init__.py": "", "bundle/vendor.zip": (tmp_path / "vendor.zip").read_bytes()})
    for path in ("/bundle/vendor.zip", "/bundle/vendor.zip/inside", "/bundle/__init__.py", "/absent"):
        with pytest.raises(ImportError):
            _finder.path_hook(release.path + path)
    sys.path += [release.path + "/bundle/vendor.zip", release.path + "/bundle/vendor.zip/inside"]
    assert importlib.import_module("vendored").VALUE == 5
    assert importlib.import_module("nested").VALUE == 6


def test_hook_is_registered_once(shapes, load):
    load("other", {"other.py": ""})
    assert sys.path_hooks.count(_finder.path_hook) == 1


def test_spec_of_package(shapes):
    import shapes as package

    file = f"{shapes.path}/shapes/__init__.py"
    spec = package.__spec__
    assert spec.origin == package.__file__ == file
    assert spec.has_location
    assert spec.submodule_search_locations == package.__path__ == [f"{shapes.path}/shapes"]
    assert spec.cached == package.__cached__ == importlib.util.cache_from_source(file)
    assert isinstance(spec.loader, SourceFileLoader)
    assert package.__package__ == "shapes"


def test_spec_of_module(shapes):
    import shapes.square as module

    assert module.__spec__.origin == module.__file__ == f"{shapes.path}/shapes/square.py"
    assert module.__spec__.submodule_search_locations is None
    assert not hasattr(module, "__path__")
    assert module.__package__ == module.__spec__.parent == "shapes"


def test_loader_answers_inspection(shapes):
    loader = importlib.util.find_spec("shapes").loader
    file = f"{shapes.path}/shapes/__init__.py"
    assert loader.get_filename("shapes") == file
    assert loader.is_package("shapes")
    assert loader.get_source("shapes") == PACKAGE["shapes/__init__.py"]
    assert loader.get_code("shapes").co_filename == file
    assert loader.get_data(file) == PACKAGE["shapes/__init__.py"].encode()


def test_loaders_read_beside_the_file_system(shapes, host):
    import shapes.square as module

    assert module.__file__ in host.read_files
    loader = module.__loader__
    # What the host does not have is the file system's answer.
    with pytest.raises(FileNotFoundError):
        loader.get_data(f"{shapes.path}/shapes/nowhere.txt")
    assert loader.get_data(__file__) == Path(__file__).read_bytes()
    assert loader.get_data(Path(module.__file__)) == PACKAGE["shapes/square.py"].encode()


def test_source_encodings_are_honoured(shapes):
    from shapes import bom, koi8

    assert koi8.TEXT == "привет"
    assert bom.TEXT == "ok"
    assert "привет" in koi8.__loader__.get_source("shapes.koi8")


def test_inspect_and_tracebacks_show_source(shapes):
    from shapes.deep import er

    assert inspect.getsource(er.fail).startswith("def fail")
    with pytest.raises(ValueError) as caught:
        er.fail()
    text = "".join(traceback.format_exception(caught.value))
    assert f'File "{shapes.path}/shapes/deep/er.py", line 4, in fail' in text
    assert "raise ValueError('deep')" in text


def test_body_error_comes_out_unchanged_and_module_leaves(shapes):
    with pytest.raises(RuntimeError, match="in the body"):
        importlib.import_module("shapes.raises")
    assert "shapes.raises" not in sys.modules
    with pytest.raises(SyntaxError):
        importlib.import_module("shapes.broken")
    assert "shapes.broken" not in sys.modules


def test_absent_names_are_module_not_found(shapes):
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("shapes.absent")
    assert caught.value.name == "shapes.absent"
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module("shapes.missing")
    assert caught.value.name == "not_there_at_all"


def test_circular_and_relative_imports_bind_to_the_parent(shapes):
    import shapes.deep
    import shapes.first

    assert shapes.first.second.first is shapes.first
    assert shapes.second.name == "second"
    assert shapes.deep.VERSION == "1.0"


def bytecode_files(source_in_bytecode, path="quick/__init__.py", tag=TAG):
    folder, _, file = path.rpartition("/")
    pyc = f"{folder}/__pycache__/{file.removesuffix('.py')}.{tag}.pyc"
    return {path: "WHERE = 'source'\n", pyc: compiled(source_in_bytecode, path)}


def test_bytecode_with_matching_tag_is_used_unchecked(load):
    release = load("quick", bytecode_files("WHERE = 'bytecode'\ndef f(): pass\n"))
    import quick

    assert quick.WHERE == "bytecode"
    assert quick.f.__code__.co_filename == f"{release.path}/quick/__init__.py"


def test_bytecode_with_another_tag_is_left_alone(load):
    load("quick", bytecode_files("WHERE = 'bytecode'\n", tag="cpython-301"))
    import quick

    assert quick.WHERE == "source"


def test_bytecode_alone_is_imported(load):
    load("bare", {"bare.pyc": compiled("WHERE = 'bytecode'\n", "bare.py")})
    import bare

    assert bare.WHERE == "bytecode"


def test_namespace_spans_two_releases_and_a_folder(load, tmp_path):
    local = tmp_path / "local"
    (local / "nspace" / "c").mkdir(parents=True)
    (local / "nspace" / "c" / "__init__.py").write_text("NAME = 'c'\n")
    sys.path.append(str(local))
    one = load("nspace-a", {"nspace/a/__init__.py": "NAME = 'a'\n"})
    import nspace.a

    two = load("nspace-b", {"nspace/b.py": "NAME = 'b'\n"})
    import nspace.b
    import nspace.c

    assert (nspace.a.NAME, nspace.b.NAME, nspace.c.NAME) == ("a", "b", "c")
    assert sorted(nspace.__path__) == sorted([f"{one.path}/nspace", f"{two.path}/nspace", f"{local}/nspace"])
    one.unload()
    assert "nspace.a" not in sys.modules
    assert not hasattr(nspace, "a")
    assert nspace.b.NAME == "b"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nspace.a")
    two.unload()
    assert sys.modules["nspace"] is nspace
    assert list(nspace.__path__) == [f"{local}/nspace"]


def test_nested_namespaces_go_with_their_release(load):
    release = load("deep", {"outer/inner/one.py": "X = 1\n", "outer/two/__init__.py": "from ..inner import one\n"})
    import outer.two

    assert outer.two.one.X == 1
    release.unload()
    assert not [name for name in sys.modules if name.partition(".")[0] == "outer"]


def test_unload_leaves_nothing(load):
    release = load("shapes", PACKAGE)
    import shapes
    import shapes.deep.er
    import solo

    linecache.getline(shapes.__file__, 1)
    assert shapes.__file__ in linecache.cache
    release.unload()
    assert not [name for name in sys.modules if name.partition(".")[0] in ("shapes", "solo")]
    assert release.path not in sys.path
    assert not [path for path in sys.path_importer_cache if path.startswith(release.path)]
    assert not [file for file in linecache.cache if file.startswith(release.path)]
    assert not os.path.exists(release.path)
    assert solo.VALUE == 7
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("shapes")


def test_unload_passes_over_a_namespace_package_that_lost_its_parent(load, tmp_path):
    (tmp_path / "local" / "lost" / "inner").mkdir(parents=True)
    sys.path.append(str(tmp_path / "local"))
    importlib.import_module("lost.inner")
    del sys.modules["lost"]
    release = load("shapes", PACKAGE)
    release.unload()
    assert not release.loaded
    assert load("other", {"lost/inner/mine.py": ""}).loaded


def test_unload_twice_is_harmless(load):
    release = load("shapes", PACKAGE)
    release.unload()
    again = load("shapes", PACKAGE)
    release.unload()
    assert again.loaded
    assert not release.loaded
    assert importlib.import_module("solo").VALUE == 7


def test_unload_takes_what_a_module_put_in_its_own_place(load):
    body = "import sys\nclass Lazy: pass\nsys.modules[__name__] = Lazy()\n"
    release = load("lazy", {"lazy/__init__.py": "", "lazy/moves.py": body})
    import lazy.moves

    assert "lazy.moves" in sys.modules
    release.unload()
    assert "lazy.moves" not in sys.modules


def test_another_version_after_unload_shows_its_own_source(load):
    first = load("shapes", PACKAGE)
    import shapes.square

    assert "side * side" in inspect.getsource(shapes.square.area)
    first.unload()
    changed = {**PACKAGE, "shapes/square.py": "\n\ndef area(length):\n    return length ** 2\n"}
    second = load("shapes", changed, version="2.0")
    import shapes.square

    assert "length ** 2" in inspect.getsource(shapes.square.area)
    assert first.path != second.path


def test_reload_keeps_the_module(shapes):
    import shapes.square as module

    module.area = None
    assert importlib.reload(module) is module
    assert module.area(3) == 9


def test_pickle_of_class_and_function(load):
    load("shapes", {**PACKAGE, "shapes/point.py": "class Point:\n    x = 1\n"})
    from shapes.point import Point
    from shapes.square import area

    assert pickle.loads(pickle.dumps(area)) is area
    assert isinstance(pickle.loads(pickle.dumps(Point())), Point)


def test_runpy_runs_package_and_module(shapes):
    assert runpy.run_module("shapes", run_name="__main__")["RESULT"] == "__main__"
    assert runpy.run_module("solo")["VALUE"] == 7


def test_pkgutil_lists_and_reads(shapes):
    assert {module.name for module in pkgutil.iter_modules([shapes.path])} == {"shapes", "solo"}
    import shapes as package

    names = {module.name for module in pkgutil.walk_packages(package.__path__, "shapes.", onerror=lambda name: None)}
    assert {"shapes.deep", "shapes.deep.er", "shapes.square"} <= names
    assert pkgutil.get_data("shapes", "data/names.txt").decode() == "zażółć\n"


def test_resources_are_files(shapes):
    files = importlib.resources.files("shapes")
    assert files.joinpath("data", "names.txt").read_text(encoding="utf-8") == "zażółć\n"
    assert files.joinpath("data/names.txt").read_text(encoding="ascii", errors="ignore") == "za\n"
    with pytest.raises(FileNotFoundError):
        files.joinpath("data/none.txt").read_bytes()
    with importlib.resources.as_file(files.joinpath("data/names.txt")) as path:
        assert path.is_file()


def test_resources_of_a_plain_module_and_of_a_namespace(load):
    load("mixed", {"nsp/data.txt": "in nsp", "nsp/x.py": "", "mod.py": "", "nsp/deep/y.txt": "deep"})
    import mod
    import nsp.x

    assert importlib.resources.files(nsp).joinpath("data.txt").read_text() == "in nsp"
    assert importlib.resources.files(nsp.x.__package__).joinpath("deep/y.txt").read_text() == "deep"
    assert mod.__spec__.submodule_search_locations is None


def test_metadata_is_found_and_goes_with_the_release(load):
    release = load("shapes", PACKAGE)
    assert importlib.metadata.version("shapes") == "1.0"
    (entry,) = importlib.metadata.entry_points(group="shapes.plugins")
    assert entry.load()(3) == 9
    assert [str(file) for file in importlib.metadata.files("shapes")] == ["shapes/__init__.py", "shapes/square.py"]
    assert importlib.metadata.distribution("shapes").read_text("METADATA").startswith("Metadata-Version")
    release.unload()
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("shapes")


def test_doctest_runs(shapes):
    import shapes as package

    assert doctest.testmod(package) == doctest.TestResults(failed=0, attempted=1)


def test_files_open_beside_the_module(shapes):
    import shapes as package

    with open(os.path.join(os.path.dirname(package.__file__), "data", "names.txt"), encoding="utf-8") as file:
        assert file.read() == "zażółć\n"


def test_installed_packages_win_over_nothing_and_come_first_on_the_path(shapes):
    assert sys.path[-1] == shapes.path


def test_public_names_are_documented():
    for name in webimport.__all__:
        value = getattr(webimport, name)
        assert inspect.getdoc(value), name


def test_only_the_compat_module_touches_javascript():
    package = os.path.dirname(webimport.__file__)
    for file in (file for file in os.listdir(package) if file.endswith(".py") and file != "_compat.py"):
        with open(os.path.join(package, file), encoding="utf-8") as source:
            tree = ast.parse(source.read())
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in imported} & {"js", "pyodide", "pyodide_js"}, file
