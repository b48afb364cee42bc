"""Loads: what is asked of the host, what stands in the way, and that a failure leaves nothing."""

import asyncio
import gc
import importlib
import importlib.metadata
import importlib.resources
import os
import pkgutil
import sys
import types
import warnings
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
import webimport
from conftest import TAG, run
from webimport import _finder, _release
from webimport._finder import contains

REPOSITORY = "https://code.example.org/repo"
EXTENSION = EXTENSION_SUFFIXES[0].removeprefix(".")


def state():
    return list(sys.path), set(sys.modules), list(sys.path_hooks), dict(_release.loaded), dict(_finder._claims)


def test_request_says_what_the_interpreter_is_and_has(host, load):
    load("mylib", {"mylib.py": ""}, root="sha256:ab", allow_shadow={"b", "a"}, offline="stale", trust="first-use", speculative=True)
    (request,) = host.requests
    assert request["url"] == f"{REPOSITORY}/mylib@1.0"
    assert request["options"] == {
        "root": "sha256:ab",
        "version": None,
        "sha256": None,
        "modules": None,
        "allow_shadow": ["a", "b"],
        "offline": "stale",
        "trust": "first-use",
        "speculative": True,
    }
    assert request["python"]["tag"] == TAG
    assert request["python"]["version"].startswith("3.")
    assert request["loaded"] == []
    assert request["occupied"]["json"] == "the standard library"
    assert request["occupied"]["sys"] == "the standard library"
    assert request["occupied"]["pyodide_js"] == "Pyodide"
    assert request["occupied"]["webimport"] == "webimport itself"
    assert request["occupied"]["pytest"] == "the installed package `pytest`"


def test_occupied_names_the_current_directory_and_loaded_releases(host, load):
    with open("draft.py", "w") as file:
        file.write("")
    os.mkdir("folder_of_data")
    os.mkdir("package")
    for name in ("package/__init__.py", "plain_file", "__init__.py", "compiled.abi3.so", "two.dots.py", "notes.txt"):
        with open(name, "w") as file:
            file.write("")
    sys.path.append(os.path.join(os.getcwd(), "nowhere"))
    load("mylib", {"mylib.py": "", "shared/a.py": ""})
    load("other", {"other.py": ""})
    occupied = host.requests[-1]["occupied"]
    assert occupied["draft"] == f"`{os.path.join(os.getcwd(), 'draft')}`"
    assert occupied["mylib"] == "the release `mylib` 1.0"
    assert "shared" not in occupied
    assert host.requests[-1]["namespaces"] == {"shared": "the release `mylib` 1.0"}
    assert occupied["package"] == f"`{os.path.join(os.getcwd(), 'package')}`"
    assert "compiled" in occupied
    # What no import can ask a folder for belongs to nobody.
    for name in ("folder_of_data", "plain_file", "__init__", "two", "two.dots", "notes", "nowhere"):
        assert name not in occupied, name


def test_release_says_what_was_loaded(load):
    release = load("mylib", {"mylib.py": "", "shared/a.py": ""})
    assert (release.name, release.version) == ("mylib", "1.0")
    assert release.modules == ("mylib", "shared")
    assert release.namespaces == ("shared",)
    assert release.trust["how"] == "chain"
    assert release.storage == "memory"
    assert release.loaded
    assert repr(release) == f"<Release mylib 1.0, sha256 {release.sha256[:12]}…>"
    release.unload()
    assert repr(release).endswith(", unloaded>")


def test_html_is_escaped(load):
    release = load("mylib", {"mylib.py": ""})
    release._description["repository"] = "https://code.example.org/?<script>"
    html = release._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert release.sha256 in html


def test_second_load_gives_the_same_release(host, load):
    first = load("mylib", {"mylib.py": ""})
    assert load("mylib", {"mylib.py": ""}) is first
    assert host.requests[-1]["loaded"] == [first.sha256]
    assert sys.path.count(first.path) == 1
    assert [event for event, _ in host.announced].count("loaded") == 1


def test_two_loads_of_one_release_at_once_give_one(host):
    host.publish("mylib", "1.0", {"mylib.py": ""})

    async def both():
        host.gate = asyncio.Event()
        loads = [asyncio.ensure_future(webimport.load_release(f"{REPOSITORY}/mylib@1.0")) for _ in range(2)]
        await asyncio.sleep(0)
        host.gate.set()
        return await asyncio.gather(*loads)

    first, second = run(both())
    assert first is second
    assert sys.path.count(first.path) == 1
    assert host.prepared == {}
    assert len(host.mounted) == 1


def test_collision_with_a_load_that_was_faster_is_refused(host):
    host.publish("slow", "1.0", {"common.py": "WHO = 'slow'\n"})
    host.publish("fast", "1.0", {"common.py": "WHO = 'fast'\n"})

    async def both():
        host.gate = asyncio.Event()
        loads = [asyncio.ensure_future(webimport.load_release(f"{REPOSITORY}/{name}@1.0")) for name in ("fast", "slow")]
        await asyncio.sleep(0)
        host.gate.set()
        return await asyncio.gather(*loads, return_exceptions=True)

    fast, error = run(both())
    assert isinstance(error, webimport.ResolveError)
    assert error.code == "resolve.shadow"
    assert error.name == "common"
    assert str(error) == "`slow` claims the import name `common`, which belongs to the release `fast` 1.0"
    assert error.hint.startswith("unload that release first")
    assert error.__notes__ == [f"hint: {error.hint}"]
    assert host.mounted == {fast.path}
    assert importlib.import_module("common").WHO == "fast"


def test_release_that_is_unloaded_while_the_answer_comes_is_loaded_again(host, load):
    first = load("mylib", {"mylib.py": ""})

    def unload_once():
        host.before_answer = None
        first.unload()

    host.before_answer = unload_once
    second = run(webimport.load_release(f"{REPOSITORY}/mylib@1.0"))
    assert second is not first
    assert second.loaded
    assert not first.loaded


def test_namespace_may_not_be_taken_by_a_package(host, load):
    load("one", {"shared/a.py": ""})
    with pytest.raises(webimport.ResolveError, match="shared"):
        load("two", {"shared/__init__.py": ""})
    load("three", {"shared/b.py": ""})


def test_namespace_of_a_package_is_refused(load):
    load("one", {"shared/__init__.py": ""})
    with pytest.raises(webimport.ResolveError, match="the release `one` 1.0"):
        load("two", {"shared/b.py": ""})


def test_folder_without_modules_is_no_hindrance(load):
    os.mkdir("mylib")
    assert load("mylib", {"mylib/__init__.py": "X = 1\n"}).loaded
    assert importlib.import_module("mylib").X == 1


def test_file_beside_the_notebook_is_a_hindrance(host, load):
    with open("mylib.py", "w") as file:
        file.write("WHO = 'file'\n")
    before = state()
    with pytest.raises(webimport.ResolveError, match="mylib") as caught:
        load("mylib", {"mylib.py": "WHO = 'release'\n"})
    assert os.getcwd() in str(caught.value)
    assert state() == before
    assert not host.mounted


def test_module_put_into_sys_modules_by_hand_is_a_hindrance(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "handmade", types.ModuleType("handmade"))
    with pytest.raises(webimport.ResolveError, match="`sys.modules`"):
        load("handmade", {"handmade.py": ""})


def test_allowed_name_is_found_in_the_release_first(load):
    with open("mylib.py", "w") as file:
        file.write("WHO = 'file'\n")
    release = load("mylib", {"mylib.py": "WHO = 'release'\n"}, allow_shadow=["mylib"])
    assert sys.path[0] == release.path
    assert importlib.import_module("mylib").WHO == "release"
    assert release.warnings == ()


def test_allowed_name_that_is_imported_already_is_warned_about(host, load):
    import colorsys  # noqa: F401

    with pytest.warns(webimport.WebImportWarning, match="`colorsys` is still imported from"):
        release = load("colours", {"colorsys.py": "", "colours.py": ""}, allow_shadow=["colorsys"])
    (warning,) = release.warnings
    assert warning["code"] == "resolve.shadow"
    assert ("warning", {**warning, "release": "colours@1.0"}) in host.announced
    release.unload()
    assert "colorsys" in sys.modules


def test_allow_shadow_of_a_free_name_changes_nothing(load):
    release = load("mylib", {"mylib.py": ""}, allow_shadow=["other"])
    assert sys.path[-1] == release.path


SHARED = [
    # What is there, what comes, the name that is refused; None: they go together.
    ({"acme/cloud/storage.py": ""}, {"acme/cloud/__init__.py": "", "acme/cloud/storage.py": ""}, "acme.cloud"),
    ({"acme/cloud/__init__.py": ""}, {"acme/cloud/storage.py": ""}, "acme.cloud"),
    ({"acme/cloud/storage.py": ""}, {"acme/cloud.py": ""}, "acme.cloud"),
    ({"acme/cloud.py": ""}, {"acme/cloud/storage.py": ""}, "acme.cloud"),
    ({"acme/cloud/storage.py": ""}, {"acme/cloud/storage.pyc": ""}, "acme.cloud.storage"),
    ({"acme/cloud/storage.py": ""}, {f"acme/cloud/storage.{EXTENSION}": ""}, "acme.cloud.storage"),
    ({"acme/a-b.py": ""}, {"acme/a-b.py": ""}, "acme.a-b"),
    ({"acme/cloud/storage.py": ""}, {"acme/cloud/network.py": ""}, None),
    ({"acme/cloud/storage.py": ""}, {"acme/clouds/__init__.py": ""}, None),
    ({"acme/cloud/__pycache__/a.cpython-311.pyc": ""}, {"acme/cloud/__pycache__/a.cpython-311.pyc": ""}, None),
    ({"acme/README.txt": "", "acme/a.py": ""}, {"acme/README.txt": "", "acme/b.py": ""}, None),
]


def as_installed(tmp_path, files):
    folder = tmp_path / "site-packages"
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return folder


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize(("there", "comes", "name"), SHARED)
def test_namespace_that_is_installed_is_shared_but_not_what_is_in_it(host, load, tmp_path, there, comes, name, imported):
    folder = as_installed(tmp_path, there)
    if imported:
        importlib.import_module("acme")
    before = state()
    if name is None:
        assert load("victim", comes).loaded
        return
    with pytest.raises(webimport.ResolveError) as caught:
        load("victim", comes)
    assert (caught.value.code, caught.value.name) == ("resolve.shadow", name)
    assert f"`{name}`, which belongs to `{folder}/acme/" in str(caught.value)
    assert caught.value.hint == f'pass allow_shadow=["{name}"] if this release may provide it'
    assert state() == before
    assert not host.mounted


@pytest.mark.parametrize(("there", "comes", "name"), SHARED)
def test_namespace_of_a_release_is_shared_but_not_what_is_in_it(host, load, there, comes, name):
    first = load("owner", there)
    before = state()
    if name is None:
        assert load("victim", comes).loaded
        return
    with pytest.raises(webimport.ResolveError, match=f"`{name}`, which belongs to the release `owner` 1.0"):
        load("victim", comes)
    assert state() == before
    assert host.mounted == {first.path}


def test_namespace_in_a_zip_archive_and_beside_the_notebook_is_shared_likewise(load, tmp_path):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("acme/", "")
        archive.writestr("acme/packed.py", "")
    sys.path.append(str(tmp_path / "packed.zip"))
    os.makedirs("acme/local")
    for name in ("packed", "local"):
        with pytest.raises(webimport.ResolveError, match=f"`acme.{name}`"):
            load("victim", {f"acme/{name}.py": ""})
    assert load("victim", {"acme/other.py": ""}).loaded


def test_module_of_a_namespace_that_is_imported_already_is_a_hindrance(load, tmp_path, monkeypatch):
    as_installed(tmp_path, {"acme/there.py": ""})
    monkeypatch.setitem(sys.modules, "acme.handmade", types.ModuleType("acme.handmade"))
    with pytest.raises(webimport.ResolveError, match="`acme.handmade`, which belongs to `sys.modules`"):
        load("victim", {"acme/handmade.py": ""})


@pytest.mark.parametrize("allowed", ["acme", "acme.cloud", "acme.cloud.storage"])
def test_allowed_name_in_a_namespace_is_found_in_the_release_first(load, tmp_path, allowed):
    as_installed(tmp_path, {"acme/cloud/storage.py": "WHO = 'installed'\n", "acme/base.py": "WHO = 'installed'\n"})
    release = load("victim", {"acme/cloud/storage.py": "WHO = 'release'\n"}, allow_shadow=[allowed])
    assert release.warnings == ()
    assert importlib.import_module("acme.cloud.storage").WHO == "release"
    assert importlib.import_module("acme.base").WHO == "installed"
    release.unload()
    assert importlib.import_module("acme.cloud.storage").WHO == "installed"


@pytest.mark.parametrize("allowed", ["cloud", "acme.clouds", "acme.cloud.storage.x", "acme.c", "acme."])
def test_allowing_another_name_of_a_namespace_allows_nothing(load, tmp_path, allowed):
    as_installed(tmp_path, {"acme/cloud/storage.py": ""})
    with pytest.raises(webimport.ResolveError, match="`acme.cloud.storage`"):
        load("victim", {"acme/cloud/storage.py": ""}, allow_shadow=[allowed])


def test_allowed_name_of_a_namespace_that_is_not_replaced_is_warned_about(load, tmp_path):
    as_installed(tmp_path, {"acme/cloud/__init__.py": "", "acme/base.py": ""})
    importlib.import_module("acme.base")
    with pytest.warns(webimport.WebImportWarning) as caught:
        load("victim", {"acme/cloud/storage.py": "", "acme/base.py": ""}, allow_shadow=["acme"])
    assert [str(warning.message).partition(" from ")[0] for warning in caught] == [
        "`acme.base` is still imported",
        "`acme.cloud` is still imported",
    ]


FRONT = {
    "one.py": "WHO = 'release'\n",
    "two/__init__.py": "WHO = 'release'\n",
    "two/sub.py": "WHO = 'release'\n",
    "two/data.txt": "data",
    "both-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: both\nVersion: 1.0\n",
}


def test_only_allowed_names_of_a_release_come_first(load):
    for name in ("one", "two"):
        with open(f"{name}.py", "w") as file:
            file.write("WHO = 'file'\n")
    with pytest.raises(webimport.ResolveError, match="`two`"):
        load("both", FRONT, allow_shadow=["one"])
    os.remove("two.py")
    release = load("both", FRONT, allow_shadow=["one"])
    with open("two.py", "w") as file:
        file.write("WHO = 'file'\n")
    importlib.invalidate_caches()
    assert importlib.import_module("one").WHO == "release"
    assert importlib.import_module("two").WHO == "file"
    del sys.modules["two"]
    release.unload()
    assert importlib.import_module("one").WHO == "file"


def test_release_with_two_entries_is_one_folder_and_one_distribution(load):
    path = list(sys.path)
    release = load("both", FRONT, allow_shadow=["one"])
    assert sys.path[0] == release.path
    assert sys.path[1:-1] == path
    assert contains(release.path, sys.path[-1])
    one, two, sub = map(importlib.import_module, ("one", "two", "two.sub"))
    assert one.__file__ == f"{release.path}/one.py"
    assert two.__path__ == [f"{release.path}/two"]
    assert sub.__file__ == f"{release.path}/two/sub.py"
    assert sub.__spec__.cached == importlib.util.cache_from_source(sub.__file__)
    assert importlib.resources.files("two").joinpath("data.txt").read_text() == "data"
    found = [each for each in importlib.metadata.distributions() if each.metadata["Name"] == "both"]
    assert [each.version for each in found] == ["1.0"]
    ours = [module.name for module in pkgutil.iter_modules() if module.name in ("one", "two")]
    assert sorted(ours) == ["one", "two"]
    release.unload()
    assert sys.path == path
    assert not [entry for entry in sys.path_importer_cache if contains(release.path, entry)]
    assert "two.sub" not in sys.modules


def test_allowed_namespace_has_one_portion(load):
    release = load("both", {"acme/a.py": "", "other.py": ""}, allow_shadow=["acme"])
    assert list(importlib.import_module("acme").__path__) == [f"{release.path}/acme"]


@pytest.mark.parametrize(
    "options",
    [{"allow_shadow": "json"}, {"modules": "mylib"}, {"modules": [1]}, {"modules": 3}, {"allow_shadow": 3}],
)
def test_names_come_in_lists(host, options):
    with pytest.raises(webimport.ConfigError, match=next(iter(options))) as caught:
        run(webimport.load_release("mylib", **options))
    assert caught.value.code == "config.invalid"


@pytest.mark.parametrize("option", ["root", "version", "sha256", "offline", "trust"])
def test_options_are_text(host, option):
    for value in (b"x", 3, ["x"]):
        with pytest.raises(webimport.ConfigError, match=f"`{option}`: expected text") as caught:
            run(webimport.load_release("mylib", **{option: value}))
        assert (caught.value.code, caught.value.path) == ("config.invalid", "mylib")
    assert host.requests == []


def test_a_flag_is_true_or_false(host):
    with pytest.raises(webimport.ConfigError, match="`speculative`: expected True or False") as caught:
        run(webimport.load_release("mylib", speculative="no"))
    assert (caught.value.code, host.requests) == ("config.invalid", [])


def test_no_names_may_be_none(host, load):
    load("mylib", {"mylib.py": ""}, allow_shadow=None, modules=None)
    assert host.requests[-1]["options"]["allow_shadow"] == []


def test_traceback_of_a_refusal_ends_at_the_call(host, load):
    host.error = webimport.VerifyError("`x`: bad", code="verify.digest")
    with pytest.raises(webimport.VerifyError) as caught:
        load("mylib", {"mylib.py": ""})
    assert caught.traceback[-1].name == "load_release"


@pytest.mark.parametrize("where", ["error", "mount_error"])
def test_failure_leaves_nothing(host, load, where):
    before = state()
    setattr(host, where, webimport.VerifyError("`x`: bad", code="verify.digest", hint="h", name="x"))
    with pytest.raises(webimport.VerifyError) as caught:
        load("mylib", {"mylib.py": ""})
    assert caught.value.path == f"{REPOSITORY}/mylib@1.0"
    assert state() == before
    assert not host.mounted
    assert host.prepared == {}


def test_failure_after_the_mount_leaves_nothing(host, load, monkeypatch):
    before = state()
    # The release claims a module that none of its files provides.
    monkeypatch.setattr("conftest.Published.names", lambda self: (["mylib", "ghost"], []))
    with pytest.raises(webimport.ResolveError, match="ghost"):
        load("mylib", {"mylib.py": ""})
    assert state() == before
    assert not host.mounted
    assert not os.path.exists(host.root) or not os.listdir(host.root)


def test_warning_that_is_made_an_error_leaves_nothing(host, load):
    before = state()
    host.warnings = [{"code": "store.unavailable", "message": "the storage cannot be used", "hint": "h"}]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(webimport.WebImportWarning, match="the storage cannot be used"):
            load("mylib", {"mylib.py": ""})
    assert state() == before
    assert not host.mounted
    events = [event for event, _ in host.announced if event != "progress"]
    assert events == ["loaded", "warning", "unloaded"]


def test_failed_announcement_leaves_nothing(host, load, monkeypatch):
    before = state()
    announce = type(host).announce

    def fail_once(self, event, text):
        if event == "loaded":
            raise RuntimeError("no page")
        announce(self, event, text)

    monkeypatch.setattr(type(host), "announce", fail_once)
    with pytest.raises(RuntimeError, match="no page"):
        load("mylib", {"mylib.py": ""})
    assert state() == before
    assert not host.mounted


@pytest.mark.parametrize("raised", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
@pytest.mark.parametrize("phase", ["objects", "mount", "done"])
def test_interrupt_in_the_progress_callback_leaves_nothing(host, load, phase, raised):
    def callback(progress):
        if progress.phase == phase:
            raise raised

    before = state()
    with pytest.raises(raised):
        load("mylib", {"mylib.py": "import json\n"}, progress=callback)
    assert state() == before
    assert not host.mounted
    assert host.prepared == {}


@pytest.mark.parametrize("phase", ["objects", "mount", "done"])
def test_callback_error_that_is_made_an_error_leaves_nothing(host, load, phase):
    def callback(progress):
        if progress.phase == phase:
            raise KeyError("oops")

    before = state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(webimport.WebImportWarning, match="oops"):
            load("mylib", {"mylib.py": ""}, progress=callback)
    assert state() == before
    assert not host.mounted


def test_names_that_the_progress_callback_takes_are_taken(host, load):
    def callback(progress):
        if progress.phase == "mount":
            with open("mylib.py", "w") as file:
                file.write("")

    with pytest.raises(webimport.ResolveError, match="mylib"):
        load("mylib", {"mylib.py": ""}, progress=callback)
    assert not host.mounted


def test_cancelled_load_leaves_nothing(host):
    host.publish("mylib", "1.0", {"mylib.py": ""})

    async def cancel():
        host.gate = asyncio.Event()
        load = asyncio.ensure_future(webimport.load_release(f"{REPOSITORY}/mylib@1.0"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load

    before = state()
    run(cancel())
    assert host.prepared == {}
    assert state() == before


def test_modules_that_are_asked_for_are_passed_on(host, load):
    load("mylib", {"mylib.py": ""}, modules=("mylib",))
    assert host.requests[-1]["options"]["modules"] == ["mylib"]


def test_progress_reaches_the_callback(host, load):
    seen = []
    load("mylib", {"mylib.py": "x = 1\n"}, progress=seen.append)
    assert [step.phase for step in seen] == ["objects"] * 3 + ["mount", "done"]
    assert seen[-1] == webimport.Progress("mylib@1.0", "done", 6, 6, 1, 1, False)
    assert [detail["phase"] for event, detail in host.announced if event == "progress"] == ["mount", "done"]


def test_progress_true_prints_lines(load, capsys):
    load("mylib", {"mylib.py": "x = 1\n"}, progress=True)
    assert capsys.readouterr().out == (
        "mylib@1.0: 3 bytes of 6 bytes\nmylib@1.0: 1 files, 6 bytes, over the network\n"
    )


def test_progress_callback_that_raises_stops_nothing(load):
    calls = []

    def callback(progress):
        calls.append(progress)
        raise KeyError("oops")

    with pytest.warns(webimport.WebImportWarning, match="oops"):
        assert load("mylib", {"mylib.py": ""}, progress=callback).loaded
    assert len(calls) == 1


def test_host_warnings_are_python_warnings(host, load):
    host.warnings = [{"code": "store.unavailable", "message": "the storage cannot be used", "hint": "h"}]
    with pytest.warns(webimport.WebImportWarning, match="the storage cannot be used; h"):
        load("mylib", {"mylib.py": ""})
    assert host.announced[-2][0] == "warning"


def test_no_warning_without_reason(load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("mylib", {"mylib.py": ""})


def test_events_tell_of_loaded_and_unloaded(host, load):
    load("mylib", {"mylib.py": ""}).unload()
    events = [(event, detail.get("name")) for event, detail in host.announced if event != "progress"]
    assert events == [("loaded", "mylib"), ("unloaded", "mylib")]


def test_freeze_names_what_is_loaded(load):
    one = load("one", {"one.py": ""})
    load("two", {"two.py": ""}).unload()
    assert one.sha256 in webimport.freeze()
    assert "two" not in webimport.freeze()


def test_cache_functions_ask_the_host(host):
    assert run(webimport.cache.info())["objects"] == 2
    assert run(webimport.cache.verify()) == {"checked": 2, "dropped": []}
    assert run(webimport.cache.clear()) is None
    assert host.announced == [("cleared", {})]


def test_unloaded_release_is_collected(load):
    import weakref

    release = load("mylib", {"mylib.py": ""})
    reference = weakref.ref(release)
    release.unload()
    del release
    gc.collect()
    assert reference() is None


def test_a_folder_that_cannot_be_looked_into_is_no_namespace_package(host, load, monkeypatch):
    load("one", {"space/shared/a.py": ""})
    listdir = os.listdir

    def refused(folder="."):
        if str(folder).endswith("space/shared") and "two" in str(folder):
            raise OSError(29, "I/O error")
        return listdir(folder)

    with monkeypatch.context() as patch, pytest.raises(webimport.FetchError, match="I/O error"):
        patch.setattr(os, "listdir", refused)
        load("two", {"space/shared/__init__.py": ""})
    assert len(_release.loaded) == 1
    with pytest.raises(webimport.ResolveError) as caught:
        load("two", {"space/shared/__init__.py": ""})
    assert caught.value.code == "resolve.shadow"
