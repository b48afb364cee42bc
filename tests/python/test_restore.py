"""What a Python that comes from a memory snapshot has of the page, and no longer of its builder."""

import json
import os
import random
import sys
import tempfile
import uuid

import pytest
import webimport
from webimport import _bridge, _config, _finder, _release, _restore


@pytest.fixture
def process(monkeypatch):
    """Whatever the restoring changes of this process is as before afterwards."""
    state = random.getstate()
    monkeypatch.setattr(os, "environ", {"HOME": "/builder", "PYTHONHASHSEED": "0", "LANG": "builder"})
    monkeypatch.setattr(sys, "argv", ["builder"])
    monkeypatch.setattr(sys, "path", ["", *sys.path, ""])
    monkeypatch.setattr(tempfile, "_name_sequence", iter("builder"))
    monkeypatch.setattr(tempfile, "tempdir", "/builder")
    monkeypatch.setattr(uuid, "_node", 1)
    monkeypatch.setattr(_config, "_configured", '{"frozen": true}')
    monkeypatch.setattr(_config, "_script", {"frozen": True})
    yield
    random.setstate(state)


def restore(releases, **page):
    page = {"environment": {"LANG": "page", "NEW": "1"}, "arguments": ["", "page"], **page}
    return json.loads(_bridge.restore(json.dumps({"releases": releases, **page})))


def described(release, **changes):
    return {**json.loads(release.to_json()), **changes}


def test_the_process_is_the_pages(host, process):
    assert restore([]) == {"value": None}
    # pytest's own comes and goes.
    seen = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    assert seen == {"HOME": "/builder", "LANG": "page", "NEW": "1"}
    assert sys.argv == ["", "page"]
    assert sys.path.count("") == 1 and sys.path[0] == ""
    assert (_config._configured, _config._script) == ("{}", {})


def test_what_would_be_alike_on_all_pages_is_not(host, process):
    drawn = set()
    for _ in range(2):
        random.seed(0)
        _restore.restore([], {}, [])
        drawn.add(random.random())
    assert len(drawn) == 2
    assert (tempfile._name_sequence, tempfile.tempdir, uuid._node) == (None, None, None)


def test_releases_are_described_as_this_page_got_them(host, process, load):
    release = load("mylib", {"mylib.py": "VALUE = 1"})
    other = described(release, repository="https://page.example.org/repo", network={"files": 0, "bytes": 0, "requests": 2})
    assert restore([other]) == {"value": None}
    assert (release.repository, release.network["requests"]) == ("https://page.example.org/repo", 2)
    import mylib

    assert mylib.VALUE == 1 and webimport._release.loaded[release.sha256] is release


def test_what_has_to_be_brought_is_asked_of_this_pages_host(host, process, load):
    files = {"pkg/__init__.py": "", "pkg/late.py": "VALUE = 2"}
    release = load("pkg", files, closures={"pkg": ["pkg/__init__.py"], "pkg.late": ["pkg/late.py"]})
    assert _finder._incomplete[release.path]
    # On this page all is there.
    for file, content in host.absent.pop(release.path).items():
        with open(os.path.join(release.path, file), "wb") as late:
            late.write(content)
    assert restore([described(release, incomplete=False)]) == {"value": None}
    assert release.path not in _finder._incomplete
    import pkg.late

    assert pkg.late.VALUE == 2 and host.fetched == []


@pytest.mark.parametrize("missing", [True, False])
def test_a_snapshot_with_other_releases_changes_nothing(host, process, load, missing):
    release = load("mylib", {"mylib.py": ""})
    releases = [] if missing else [described(release), described(release, sha256="0" * 64)]
    answer = restore(releases)
    assert answer["error"]["code"] == "host.snapshot"
    assert os.environ["LANG"] == "builder" and sys.argv == ["builder"]
    assert list(_release.loaded) == [release.sha256]


def test_a_config_beside_the_notebook_is_not_passed_over(host, process):
    with open("webimport.toml", "w") as file:
        file.write("frozen = true\n")
    answer = restore([])
    assert answer["error"]["code"] == "host.snapshot"
    assert "webimport.toml" in answer["error"]["message"]
    assert os.environ["LANG"] == "builder" and sys.argv == ["builder"]
