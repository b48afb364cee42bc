"""The exceptions as users meet them."""

import copy
import json
import pickle
import tomllib
import traceback
from pathlib import Path

import pytest
import webimport
from conftest import run
from webimport import _bridge, _compat
from webimport._errors import error_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("config.invalid", webimport.ConfigError),
        ("url.insecure", webimport.ConfigError),
        ("trust.no_root", webimport.TrustError),
        ("verify.rollback", webimport.VerifyError),
        ("fetch.status", webimport.FetchError),
        ("resolve.offline", webimport.ResolveError),
        ("store.quota", webimport.StoreError),
        ("host.csp", webimport.HostError),
        ("internal.bug", webimport.HostError),
    ],
)
def test_code_gives_the_class(code, kind):
    error = error_for(code, "m")
    assert type(error) is kind
    assert error.code == code


def test_integrity_failure_is_not_a_missing_module():
    error = error_for("verify.digest", "m")
    assert isinstance(error, ImportError)
    assert not isinstance(error, ModuleNotFoundError)


def test_traceback_shows_public_name_message_and_hint():
    error = error_for("fetch.status", "`u` was answered with status 500", hint="try again", status=500)
    assert "".join(traceback.format_exception(error)) == (
        "webimport.FetchError: `u` was answered with status 500\nhint: try again\n"
    )


@pytest.mark.parametrize("duplicate", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_errors_survive_pickle_and_copy(duplicate):
    error = error_for("fetch.status", "m", hint="h", name="n", path="p", status=500)
    twin = duplicate(error)
    assert type(twin) is webimport.FetchError
    assert (str(twin), twin.code, twin.hint, twin.name, twin.path, twin.status) == ("m", "fetch.status", "h", "n", "p", 500)
    assert twin.__notes__ == ["hint: h"]


def test_outside_of_pyodide_says_so():
    with pytest.raises(webimport.HostError) as caught:
        run(webimport.load_release("https://code.example.org/repo/mylib"))
    assert caught.value.code == "host.not_attached"
    with pytest.raises(webimport.HostError):
        webimport.freeze()
    assert _compat.running_host() is None


def test_bridge_answers_with_values_and_errors(host):
    release = host.publish("mylib", "1.0", {"mylib.py": ""})
    answer = json.loads(run(_bridge.load("https://x/mylib@1.0", '{"allow_shadow": ["a"]}')))
    assert answer == {"value": release.sha256}
    host.error = error_for("fetch.status", "m", hint="h", name="n", status=500)
    failed = json.loads(run(_bridge.load("https://x/mylib@1.0", "{}")))
    assert failed == {"error": {"code": "fetch.status", "message": "m", "hint": "h", "name": "n", "status": 500}}
    assert json.loads(_bridge.configure('{"forzen": 1}'))["error"]["code"] == "config.unknown_key"
    assert release.sha256 in json.loads(_bridge.freeze())["value"]
    _bridge.unload(release.sha256)
    _bridge.unload(release.sha256)
    assert json.loads(_bridge.freeze()) == {"value": "[]"}


def test_one_version_everywhere():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert webimport.__version__ == cargo["workspace"]["package"]["version"]
    project = tomllib.loads((ROOT / "src/python/pyproject.toml").read_text())
    assert webimport.__version__ == project["project"]["version"]
    assert f'VERSION = "{webimport.__version__}"' in (ROOT / "www/internal/version.ts").read_text()
