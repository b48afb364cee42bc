"""Where config comes from, and that none of it is lost."""

import json

import pytest
import webimport
from conftest import run
from webimport import _config

URL = "https://code.example.org/repo"


def layers(host):
    run(_config.apply(host))
    return host.layers


def block(text, format="json", source="a block"):
    return {"format": format, "source": source, "text": text}


def test_no_config_is_empty_layers(host):
    assert layers(host) == {"page": {}, "notebook": {}, "call": {}}


def test_page_blocks_merge_key_by_key(host):
    host.page = [
        block(json.dumps({"frozen": True, "repositories": {URL: {"root": "sha256:aa", "mirrors": ["https://m"]}}})),
        block(f'[repositories."{URL}"]\nroot = "sha256:bb"\n[releases.x]\nversion = "1"\n', "toml"),
    ]
    assert layers(host)["page"] == {
        "frozen": True,
        "repositories": {URL: {"root": "sha256:bb", "mirrors": ["https://m"]}},
        "releases": {"x": {"version": "1"}},
    }


@pytest.mark.parametrize(
    ("text", "format", "says"),
    [
        ("<!doctype html>", "json", "is not JSON"),
        ("<!doctype html>", "toml", "is not TOML"),
        ("[]", "json", "is not a JSON object"),
        ('{"frozen": true, "frozen": false}', "json", "twice"),
        ("[" * 100_000, "json", "is not JSON"),
        ('{"frozen": NaN}', "json", "JSON"),
        ("when = 2020-01-01\n", "toml", "date"),
    ],
)
def test_bad_page_block_is_refused(host, text, format, says):
    host.page = [block(text, format, "`https://x/y`")]
    with pytest.raises(webimport.ConfigError, match=says) as caught:
        run(_config.apply(host))
    assert caught.value.code == "config.invalid"
    assert caught.value.hint


def test_bad_page_config_stops_the_load(host, load):
    host.page = [block("{")]
    with pytest.raises(webimport.ConfigError):
        load("mylib", {"mylib.py": ""})
    assert host.requests == []


def test_file_beside_the_notebook_is_read_at_each_load(host):
    assert layers(host)["notebook"] == {}
    with open("webimport.toml", "w") as file:
        file.write("frozen = true\n")
    assert layers(host)["notebook"] == {"frozen": True}


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"x" * (64 * 1024 + 1), "config.source"), (b"\xff", "config.invalid"), (b"frozen = yes", "config.invalid")],
)
def test_bad_file_is_refused(host, content, code):
    with open("webimport.toml", "wb") as file:
        file.write(content)
    with pytest.raises(webimport.ConfigError, match="`webimport.toml`") as caught:
        run(_config.apply(host))
    assert caught.value.code == code


def test_folder_in_place_of_the_file_is_refused(host, tmp_path):
    (tmp_path / "notebook" / "webimport.toml").mkdir()
    with pytest.raises(webimport.ConfigError, match="cannot be read"):
        run(_config.apply(host))


def test_file_of_the_largest_size_is_read(host):
    with open("webimport.toml", "w") as file:
        file.write("frozen = true #".ljust(64 * 1024, "x"))
    assert layers(host)["notebook"] == {"frozen": True}


SCRIPT = """\
# A notebook.
# /// script
# requires-python = ">=3.11"
# [tool.webimport]
# frozen = false
# [tool.webimport.releases.x]
# version = "2"
# ///
print("hello")
"""


def test_script_block_goes_over_the_file(host):
    with open("webimport.toml", "w") as file:
        file.write('frozen = true\n[releases.x]\nversion = "1"\n')
    webimport.configure_from_script(SCRIPT)
    expected = {"frozen": False, "releases": {"x": {"version": "2"}}}
    assert host.layers["notebook"] == expected
    assert layers(host)["notebook"] == expected


def test_version_and_channel_of_one_release_are_one_key(host):
    host.page = [
        block(json.dumps({"releases": {"x": {"version": "1", "sha256": "ab"}, "y": {"channel": "next"}}})),
        block(json.dumps({"releases": {"x": {"channel": "next"}, "y": {"sha256": "cd"}}})),
        block(json.dumps({"releases": {"channel": {"version": "1"}}})),
        block(json.dumps({"releases": {"version": {"version": "2"}}})),
    ]
    assert layers(host)["page"] == {
        "releases": {
            "x": {"channel": "next", "sha256": "ab"},
            "y": {"channel": "next", "sha256": "cd"},
            "channel": {"version": "1"},
            "version": {"version": "2"},
        }
    }


def test_version_and_channel_in_one_source_are_left_for_the_wasm_module_to_refuse(host):
    host.page = [block("{}"), block(json.dumps({"releases": {"x": {"version": "1", "channel": "next"}}}))]
    assert layers(host)["page"] == {"releases": {"x": {"version": "1", "channel": "next"}}}


DEEP = ["a = " + "[" * 30_000, ".".join("a" * 3000) + " = 1", "a = " + "1" * 5000]


@pytest.mark.parametrize("text", DEEP, ids=["list", "tables", "digits"])
def test_toml_beyond_python_s_bounds_is_refused(host, text):
    with open("webimport.toml", "w") as file:
        file.write(text)
    # Twice: merging is no deeper than a config.
    host.page = [block(text, "toml"), block(text, "toml")]
    webimport_script = "# /// script\n# [tool.webimport]\n# " + text + "\n# ///\n"
    for refused in (lambda: run(_config.apply(host)), lambda: webimport.configure_from_script(webimport_script)):
        with pytest.raises(webimport.ConfigError) as caught:
            refused()
        assert caught.value.code == "config.invalid"
        host.page = []


@pytest.mark.parametrize("config", [None, 3, "frozen", [("frozen", True)], {"a": b"x"}])
def test_configure_takes_a_mapping_of_plain_values(host, config):
    with pytest.raises(webimport.ConfigError) as caught:
        webimport.configure(config)
    assert caught.value.code == "config.invalid"
    assert "call" not in host.layers


def test_script_that_is_no_text_is_refused(host):
    with pytest.raises(webimport.ConfigError, match="expected text") as caught:
        webimport.configure_from_script(None)
    assert caught.value.code == "config.invalid"


def test_script_without_block_sets_nothing(host):
    webimport.configure_from_script("print('hello')\n")
    assert layers(host)["notebook"] == {}


@pytest.mark.parametrize(
    "text", [SCRIPT + SCRIPT, "# /// script\n# x =\n# ///\n", "# /// script\n# tool.webimport = 1\n# ///\n"]
)
def test_bad_script_is_refused(host, text):
    with pytest.raises(webimport.ConfigError) as caught:
        webimport.configure_from_script(text)
    assert caught.value.code == "config.invalid"


def test_configure_replaces_what_it_said_before(host):
    webimport.configure({"frozen": True})
    webimport.configure({"releases": {"x": {"version": "1"}}})
    assert host.layers["call"] == {"releases": {"x": {"version": "1"}}}


def test_bad_configure_keeps_what_was_set(host):
    webimport.configure({"frozen": True})
    for bad in ({"forzen": True}, {"frozen": float("nan")}, {"frozen": object()}):
        with pytest.raises(webimport.ConfigError):
            webimport.configure(bad)
    assert layers(host)["call"] == {"frozen": True}


def test_configure_before_the_start_holds(host, monkeypatch):
    monkeypatch.setattr("webimport._compat.running_host", lambda: None)
    webimport.configure({"frozen": True})
    assert host.layers == {}
    assert layers(host)["call"] == {"frozen": True}
