"""Releases whose modules come as they are imported."""

import importlib
import importlib.resources
import importlib.util
import inspect
import os
import sys
import traceback

import pytest
import webimport
from conftest import run

FILES = {
    "big/__init__.py": "",
    "big/core.py": "from .deep import util\nWHO = 'core'\n",
    "big/deep/__init__.py": "",
    "big/deep/util.py": "def fail():\n    raise ValueError('deep')\n",
    "big/late.py": "from . import core\n",
    "big/data.txt": "data",
    "big/_vendor/tool.py": "WHO = 'tool'\n",
    "big/counted.py": "import builtins\nbuiltins.counted_runs += 1\nVALUE = 1\n",
    "plugin/extra.py": "NAME = 'extra'\n",
}
CLOSURES = {
    "big": ["big/__init__.py", "big/data.txt"],
    "big.deep.util": ["big/__init__.py", "big/deep/__init__.py", "big/deep/util.py"],
    "big.core": ["big/__init__.py", "big/core.py", "big/deep/__init__.py", "big/deep/util.py"],
    "big.late": ["big/__init__.py", "big/core.py", "big/deep/__init__.py", "big/deep/util.py", "big/late.py"],
    "big.deep": ["big/__init__.py", "big/deep/__init__.py"],
    "big._vendor.tool": ["big/__init__.py", "big/_vendor/tool.py"],
    "big.counted": ["big/__init__.py", "big/counted.py"],
    "plugin.extra": ["plugin/extra.py"],
}


@pytest.fixture
def big(load):
    return load("big", FILES, closures=CLOSURES)


def test_an_import_fetches_what_is_not_there(host, big):
    core = importlib.import_module("big.core")
    assert core.WHO == "core"
    assert host.fetched == [["big"], ["big.core"]]
    importlib.import_module("big.late")
    assert host.fetched[2:] == [["big.late"]]


def test_finding_a_module_fetches_its_parents_only(host, big):
    spec = importlib.util.find_spec("big.core")
    assert spec.origin == os.path.join(big.path, "big", "core.py")
    assert host.fetched == [["big"]]


def test_a_module_of_a_namespace_package_comes_alone(host, big):
    assert importlib.import_module("plugin.extra").NAME == "extra"
    assert host.fetched == [["plugin.extra"]]


def test_prefetched_modules_need_nothing(host, big):
    host.waits = False
    run(big.prefetch("big.core"))
    assert importlib.import_module("big.core").WHO == "core"
    assert host.fetched == [["big.core"]]


def test_where_nothing_can_wait_the_import_is_refused_and_may_be_tried_again(host, big):
    host.waits = False
    with pytest.raises(ImportError) as caught, pytest.warns(webimport.WebImportWarning, match="big@1.0: not fetched"):
        importlib.import_module("big.core")
    assert caught.value.code == "resolve.not_fetched"
    assert not isinstance(caught.value, ModuleNotFoundError)
    assert "big" not in sys.modules
    run(big.prefetch("big.core"))
    assert importlib.import_module("big.core").WHO == "core"


def test_a_failed_fetch_is_the_error_of_the_import(host, big):
    host.error = webimport.FetchError("no network", code="fetch.network", hint="try again")
    with pytest.raises(webimport.FetchError), pytest.warns(webimport.WebImportWarning, match="no network"):
        importlib.import_module("big.core")
    assert "big.core" not in sys.modules
    told = {"code": "fetch.network", "message": "no network", "hint": "try again", "release": "big@1.0"}
    assert host.announced[-1] == ("warning", told)
    host.error = None
    assert importlib.import_module("big.core").WHO == "core"


def test_a_fetched_module_is_like_any_other(big):
    core = importlib.import_module("big.core")
    assert inspect.getsource(core.util.fail) == "def fail():\n    raise ValueError('deep')\n"
    try:
        core.util.fail()
    except ValueError:
        assert "raise ValueError('deep')" in traceback.format_exc()
    assert importlib.reload(core) is core
    assert importlib.resources.files("big").joinpath("data.txt").read_text() == "data"


def test_who_imports_while_another_waits_gets_the_whole_module(host, big, monkeypatch):
    monkeypatch.setattr("builtins.counted_runs", 0, raising=False)
    bring, seen = host.bring, []

    def bring_slowly(path, file, module):
        if module == "big.counted" and not seen:
            # As another task does while this one is suspended.
            seen.append(None)
            seen[0] = importlib.import_module("big.counted")
            assert seen[0].VALUE == 1
        bring(path, file, module)

    monkeypatch.setattr(host, "bring", bring_slowly)
    counted = importlib.import_module("big.counted")
    assert seen == [counted] and sys.modules["big.counted"] is counted
    assert sys.modules["builtins"].counted_runs == 1
    assert importlib.reload(counted) is counted
    assert sys.modules["builtins"].counted_runs == 2


def test_a_folder_inside_that_is_on_the_path_brings_its_modules(host, big, monkeypatch):
    monkeypatch.syspath_prepend(os.path.join(big.path, "big", "_vendor"))
    assert importlib.import_module("tool").WHO == "tool"
    assert host.fetched == [["big._vendor.tool"]]
    del sys.modules["tool"]


def test_names_of_modules_are_text(big):
    with pytest.raises(webimport.ConfigError) as caught:
        run(big.prefetch(["big.core"]))
    assert caught.value.code == "config.invalid"


def test_loading_again_fetches_the_named_modules(host, big):
    again = run(webimport.load_release("https://code.example.org/repo/big@1.0", modules=["big.late"]))
    assert again is big
    assert host.fetched == [["big.late"]]
    run(webimport.load_release("https://code.example.org/repo/big@1.0"))
    assert host.fetched == [["big.late"]]


@pytest.mark.parametrize(
    ("code", "fetched"),
    [
        ("import big.core", [["big.core"]]),
        ("import big.core as core, os", [["big.core"]]),
        ("from big import core, nothing", [["big", "big.core"]]),
        ("def later():\n    from big.deep import util", [["big.deep", "big.deep.util"]]),
        ("from plugin import extra", [["plugin", "plugin.extra"]]),
        ("from . import big", []),
        ("%time\nimport big.core\n!ls\nbig?", [["big.core"]]),
        ("if True:\n    %load_ext x\nimport big.core", [["big.core"]]),
        ("import bigger, json", []),
        ("import (", []),
        ("\0", []),
    ],
)
def test_the_imports_of_code_are_fetched(host, big, code, fetched):
    run(webimport.prefetch_imports(code))
    assert host.fetched == fetched


def test_a_whole_release_has_nothing_to_fetch(host, load):
    load("small", {"small.py": ""})
    run(webimport.prefetch_imports("import small"))
    importlib.import_module("small")
    assert host.fetched == []


def test_after_unloading_nothing_is_fetched(host, big):
    importlib.import_module("big.core")
    big.unload()
    assert "big.core" not in sys.modules
    with pytest.raises(webimport.HostError) as caught:
        run(big.prefetch("big.late"))
    assert caught.value.code == "host.unloaded"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("big.late")


SHARDS = ["big/deep", "big/_vendor", "plugin/inner"]
SHARDED = {**FILES, "plugin/inner/part.py": "NAME = 'part'\n"}


@pytest.fixture
def sharded(load):
    return load("big", SHARDED, closures={**CLOSURES, "plugin.inner.part": ["plugin/inner/part.py"]}, shards=SHARDS)


def test_a_load_looks_into_no_folder(host, sharded):
    assert host.looked == []


def test_an_import_looks_into_the_folders_that_it_comes_through(host, sharded):
    importlib.import_module("big")
    assert host.looked == []
    importlib.import_module("big.deep.util")
    assert host.looked == ["big/deep"]
    # A namespace package.
    assert importlib.import_module("plugin.inner.part").NAME == "part"
    assert host.looked == ["big/deep", "plugin/inner"]


def test_a_module_that_is_nowhere_is_looked_for_in_no_other_folder(host, sharded):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("big.none")
    assert host.looked == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("big.deep.none")
    assert host.looked == ["big/deep"]


def test_a_folder_that_nothing_can_wait_for_is_an_import_error(host, sharded):
    run(sharded.prefetch("big"))
    importlib.import_module("big")
    host.waits = False
    with pytest.raises(ImportError) as caught, pytest.warns(webimport.WebImportWarning, match="big@1.0: not fetched"):
        importlib.import_module("big.deep")
    assert caught.value.code == "resolve.not_fetched"
    assert not isinstance(caught.value, ModuleNotFoundError)
    host.waits = True
    assert importlib.import_module("big.deep.util")


@pytest.mark.parametrize("name", ["big.deep", "big.deep.util", "plugin.inner", "plugin.inner.part"])
def test_a_module_that_another_task_imports_meanwhile_is_imported_once(host, sharded, name):
    importlib.import_module("big")
    parent, _, child = name.rpartition(".")
    first = []
    host.meanwhile = lambda: first.append(importlib.import_module(name))
    assert importlib.import_module(name) is first[0]
    assert host.meanwhile is None
    assert getattr(sys.modules[parent], child) is first[0]
    if first[0].__spec__.origin is not None:
        assert importlib.reload(first[0]) is first[0]


def test_a_folder_that_cannot_be_looked_into_is_the_error_of_the_import(host, sharded):
    importlib.import_module("big")
    host.error = webimport.FetchError("no network", code="fetch.network", hint="try again")
    with pytest.raises(webimport.FetchError), pytest.warns(webimport.WebImportWarning, match="no network"):
        importlib.import_module("big.deep")
    host.error = None
    assert importlib.import_module("big.deep.util")


@pytest.mark.parametrize(
    ("code", "looked", "fetched"),
    [
        ("import big.core", [], [["big.core"]]),
        ("from big import deep, nothing", [], [["big", "big.deep"]]),
        ("from big.deep import util, nothing", ["big/deep"], [["big.deep", "big.deep.util"]]),
        ("import big.deep.util", ["big/deep"], [["big.deep.util"]]),
        ("import json", [], []),
    ],
)
def test_the_imports_of_code_look_into_their_own_folders(host, sharded, code, looked, fetched):
    run(webimport.prefetch_imports(code))
    assert (host.looked, host.fetched) == (looked, fetched)


def test_a_shared_namespace_package_is_compared_in_what_others_have_of_it(host, load):
    shards = {"space/mine/one.py": "", "space/mine/deep/two.py": "", "space/both/three.py": ""}
    load("first", {"space/yours.py": "", "space/both/four.py": ""})
    load("big", shards, closures={}, shards=["space/mine", "space/both"])
    assert importlib.import_module("space.mine.one").__name__ == "space.mine.one"
    assert host.looked[-1] == "space/mine"
    assert importlib.import_module("space.both.three") and importlib.import_module("space.both.four")
