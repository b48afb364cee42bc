"""What a release needs from outside of itself."""

import sys

import pytest
import webimport
from conftest import run
from webimport import _requires

URL = "https://code.example.org/repo/app@1.0"


@pytest.fixture
def app(host):
    """Loads a release with requirements."""

    def load(*requires, **options):
        host.publish("app", "1.0", {"app.py": ""})
        host.requires = list(requires)
        return run(webimport.load_release(URL, **options))

    return load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numpy", ("numpy", "", "")),
        ("numpy>=2", ("numpy", ">=2", "")),
        ("numpy (>=2,<3)", ("numpy", ">=2,<3", "")),
        ("Zope.Interface[test, docs] >= 5 ; python_version < '4'", ("zope-interface", ">= 5", " python_version < '4'")),
        ("pkg @ https://example.org/a;b.whl ; extra == 'x'", ("pkg", "", " extra == 'x'")),
    ],
)
def test_requirements_are_read(text, expected):
    assert _requires.parse(text)[:3] == expected


@pytest.mark.parametrize("text", ["", "-numpy", "numpy (>=2", ">=2", "[x]", "a" * 9_000 + " " * 9_000 + "("])
def test_what_is_no_requirement_is_none(text):
    assert _requires.parse(text) is None


@pytest.mark.parametrize(
    ("specifier", "version", "expected"),
    [
        ("", "1.0", True),
        (">=2", "2.0", True),
        (">=2", "1.9.9", False),
        (">=1.2,<2", "1.10", True),
        (">=1.2,<2", "2", False),
        ("==1.4.*", "1.4.7", True),
        ("==1.4.*", "1.5", False),
        ("!=1.4.*", "1.4.7", False),
        ("!=1.4", "1.4.1", True),
        ("==1.4", "1.4.0", True),
        ("~=1.4.2", "1.4.9", True),
        ("~=1.4.2", "1.5", False),
        ("~=1.4.2", "1.4.1", False),
        ("===1.0", "1.0", True),
        (">=2", "2.0rc1", True),
        (">=2.0rc1", "1.0", True),
    ],
)
def test_versions_are_compared_by_their_numbers(specifier, version, expected):
    assert _requires.fits(specifier, version) is expected


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("", True),
        ("python_version >= '3.8'", True),
        ("python_version < '3.8'", False),
        ("'3.8' > python_full_version", False),
        ("(python_version < '3') or sys_platform == 'nowhere'", False),
        ("python_version < '3' or implementation_name == 'cpython'", sys.implementation.name == "cpython"),
        ("'cpy' in implementation_name and python_version not in '2.7'", True),
        ("extra == 'test'", False),
        ("platform_python_implementation == 'PyPy' and python_version < '9'", False),
        ("os_name == 'nowhere'", False),
        ("platform_system == 'nowhere' or platform_machine == 'nowhere'", False),
        # One part may settle it.
        ("unknown == 'x' and python_version < '3'", False),
        ("unknown == 'x' or python_version > '3'", True),
        # What cannot be decided holds.
        ("platform_version >= '5'", True),
        ("python_version ~= '3.8'", True),
        ("sys_platform > 'a'", True),
        ("__import__('os').system('x')", True),
        ("not (", True),
        ("unknown == 'x' and python_version > '3'", True),
        ("-" * 50_000 + "1", True),
    ],
)
def test_markers_are_decided(marker, expected):
    assert _requires.applies(marker) is expected


def test_what_is_installed_needs_nothing(host, app):
    app("pytest", "pytest>=1; python_version > '3'", "nothing; python_version < '3'")
    assert host.installed == []


def test_another_loaded_release_counts(host, load, app):
    load("shapes", {"shapes.py": "", "shapes-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: shapes\nVersion: 1.2\n"})
    assert app("shapes>=1.1").loaded


def test_pyodides_packages_are_loaded_before_the_release(host, app):
    host.packages = {"numpie": "2.3.1", "panda-s": "3.0"}
    release = app("numpie>=2", "Panda_s")
    assert host.installed == ["numpie", "panda-s"]
    assert release.loaded


@pytest.mark.parametrize("offline", ["only", "stale"])
def test_offline_nothing_of_pyodide_is_fetched(host, app, offline):
    host.packages = {"numpie": "2.3.1"}
    with pytest.raises(webimport.ResolveError) as caught:
        app("numpie>=2", "pytest", offline=offline)
    assert caught.value.code == "resolve.offline"
    assert "`numpie>=2`" in str(caught.value) and "pytest" not in str(caught.value)
    assert host.installed == [] and not host.mounted


def test_all_that_is_missing_is_listed_and_nothing_is_loaded(host, app):
    host.packages = {"numpie": "1.26", "there": "1"}
    with pytest.raises(webimport.ResolveError) as caught:
        app("numpie>=2", "there", "nowhere>=1", "pytest<1")
    assert caught.value.code == "resolve.requires"
    message = str(caught.value)
    assert "the release `app` 1.0 requires `numpie>=2` (Pyodide has 1.26), `nowhere>=1`, `pytest<1` (" in message
    assert host.installed == []
    assert "app" not in sys.modules and not host.mounted


def test_a_release_whose_packages_did_not_load_is_not_loaded(host, app):
    host.packages = {"numpie": "2.0"}
    host.loads_packages = False
    with pytest.raises(webimport.FetchError) as caught:
        app("numpie")
    assert caught.value.code == "fetch.package"
    assert "app" not in sys.modules and not host.mounted


def test_extras_bring_what_they_require(host, load, app):
    metadata = "\n".join([
        "Metadata-Version: 2.1",
        "Name: shapes",
        "Version: 1.2",
        "Provides-Extra: fast-lane",
        "Provides-Extra: docs",
        "Requires-Dist: numpie>=2; extra == 'fast-lane'",
        "Requires-Dist: writer; extra == 'docs'",
        "Requires-Dist: always",
        "",
    ])
    load("shapes", {"shapes.py": "", "shapes-1.2.dist-info/METADATA": metadata})
    host.packages = {"numpie": "2.3"}
    assert app("shapes[Fast_Lane]>=1").loaded
    assert host.installed == ["numpie"]


def test_what_an_extra_requires_and_nobody_has_is_missing(load, app):
    metadata = "Metadata-Version: 2.1\nName: shapes\nVersion: 1.2\nRequires-Dist: numpie; extra == 'fast'\n"
    load("shapes", {"shapes.py": "", "shapes-1.2.dist-info/METADATA": metadata})
    with pytest.raises(webimport.ResolveError) as caught:
        app("shapes[fast]")
    assert "`numpie; extra == 'fast'`" in str(caught.value)
