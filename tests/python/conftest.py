"""A host for plain CPython: it "mounts" a release by writing its files below a temporary folder."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "src" / "python"))

import webimport  # noqa: E402
from webimport import _compat, _config, _finder, _release  # noqa: E402

TAG = sys.implementation.cache_tag


@dataclass
class Published:
    """A release as a repository would have it."""

    name: str
    version: str
    files: dict[str, bytes]
    #: Of a partial release: the files that each module brings. Its other files come with the load.
    closures: dict[str, list[str]] | None = None
    #: The folders whose files are not known from the start.
    shards: list[str] | None = None

    @property
    def sha256(self) -> str:
        text = json.dumps([self.name, self.version, {p: b.hex() for p, b in self.files.items()}])
        return hashlib.sha256(text.encode()).hexdigest()

    def names(self) -> tuple[list[str], list[str]]:
        regular, folders = set(), set()
        for path in self.files:
            top, _, rest = path.partition("/")
            if not rest:
                regular.add(top.partition(".")[0])
            elif top.isidentifier():
                folders.add(top)
                if rest == "__init__.py":
                    regular.add(top)
        return sorted(regular | folders), sorted(folders - regular)


@dataclass
class FakeHost:
    """In place of the page. `gate`, when set, holds every load back until it is opened."""

    root: Path
    releases: dict[str, Published] = field(default_factory=dict)
    page: list[dict[str, str]] = field(default_factory=list)
    layers: dict[str, dict] = field(default_factory=dict)
    requests: list[dict] = field(default_factory=list)
    announced: list[tuple[str, dict]] = field(default_factory=list)
    prepared: dict[int, tuple[dict, Published] | None] = field(default_factory=dict)
    mounted: set[str] = field(default_factory=set)
    error: Exception | None = None
    mount_error: Exception | None = None
    warnings: list[dict] = field(default_factory=list)
    gate: asyncio.Event | None = None
    before_answer: object = None
    #: Whether this page can wait in the middle of an import.
    waits: bool = True
    #: By the path of a partial release: the files that are still to come.
    absent: dict[str, dict[str, bytes]] = field(default_factory=dict)
    closures: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    fetched: list[list[str]] = field(default_factory=list)
    #: What was read of loaders, beside the file system.
    read_files: list[str] = field(default_factory=list)
    #: By the path of a release: folders that nobody has looked into; and what was looked into.
    hidden: dict[str, set[str]] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    #: What another task does while somebody waits for a folder.
    meanwhile: object = None
    #: What the next releases require; Pyodide's packages; those of them that were loaded.
    requires: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    installed: list[str] = field(default_factory=list)
    loads_packages: bool = True

    def publish(self, name: str, version: str, files: dict[str, str | bytes], closures=None, shards=None) -> Published:
        encoded = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        release = self.releases[f"{name}@{version}"] = Published(name, version, encoded, closures, shards)
        return release

    async def load(self, ticket, request, on_progress):
        request = json.loads(request)
        self.requests.append(request)
        self.prepared[ticket] = None
        if self.error is not None:
            del self.prepared[ticket]
            raise self.error
        release = self.releases[request["url"].rpartition("/")[2]]
        already = release.sha256 in request["loaded"]
        if not already:
            self._progress(release, on_progress)
        if self.gate is not None:
            await self.gate.wait()
        if self.before_answer is not None:
            self.before_answer()
        description = self._describe(release, already)
        if ticket in self.prepared:
            self.prepared[ticket] = (description, release)
        return json.dumps(description)

    def _progress(self, release, on_progress):
        total = sum(map(len, release.files.values()))
        for done in (0, total // 2, total):
            record = {
                "release": f"{release.name}@{release.version}",
                "phase": "objects",
                "bytesDone": done,
                "bytesTotal": total,
                "filesDone": len(release.files) if done == total else 0,
                "filesTotal": len(release.files),
                "cached": False,
            }
            on_progress(json.dumps(record))

    def _describe(self, release, already):
        modules, namespaces = release.names()
        return {
            "name": release.name,
            "version": release.version,
            "sha256": release.sha256,
            "path": str(self.root / f"{release.name}-{release.version}-{release.sha256[:12]}"),
            "modules": modules,
            "namespaces": namespaces,
            "distributions": [{"name": release.name, "version": release.version}],
            "requires": list(self.requires),
            "requires_python": None,
            "partial": release.closures is not None,
            "sharded": release.shards is not None,
            "incomplete": release.closures is not None,
            "source": True,
            "repository": "https://code.example.org/repo",
            "bytecode": TAG,
            "already": already,
            "trust": {
                "how": "chain",
                "root": "sha256:" + "0" * 64,
                "first_use": False,
                "role": "targets",
                "keyids": ["ab" * 32],
                "expires": None,
                "expired": False,
            },
            "network": {"files": len(release.files), "bytes": 10, "requests": 3},
            "cache": {"files": 0, "bytes": 0},
            "storage": "memory",
            "offline": False,
            "warnings": list(self.warnings),
        }

    def can_wait(self):
        return True

    def mount(self, ticket):
        if self.mount_error is not None:
            raise self.mount_error
        description, release = self.prepared.pop(ticket)
        root = description["path"]
        late = {path for closure in (release.closures or {}).values() for path in closure}
        self.absent[root] = {str(Path(root, path)): release.files[path] for path in late}
        self.closures[root] = release.closures or {}
        self.hidden[root] = {str(Path(root, folder)) for folder in release.shards or ()}
        for path, content in release.files.items():
            file = Path(root, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"" if path in late else content)
        self.mounted.add(root)

    def loadable(self, path):
        root, absent = Path(path), self.absent[path]
        files = (file for file in root.rglob("*") if file.suffix in (".py", ".so") and str(file) not in absent)
        return "\n".join(str(file.relative_to(root)) for file in files)

    def read(self, file):
        assert isinstance(file, str)
        self.read_files.append(file)
        root = next((root for root in self.mounted if _finder.contains(root, file)), None)
        if root is None or self.lacks(root, file) or not Path(file).is_file():
            return None
        return Path(file).read_bytes()

    def lacks(self, path, file):
        return file in self.absent.get(path, {})

    async def fetch(self, path, modules):
        modules = json.loads(modules)
        self.fetched.append(modules)
        if self.error is not None:
            raise self.error
        for name in modules:
            for file in self.closures[path].get(name, ()):
                content = self.absent[path].pop(str(Path(path, file)), None)
                if content is not None:
                    Path(path, file).write_bytes(content)
        return "{}"

    def bring(self, path, file, module):
        if not self.waits:
            raise webimport.ResolveError("not fetched", code="resolve.not_fetched", hint="prefetch", name=module)
        coroutine = self.fetch(path, json.dumps([module]))
        with pytest.raises(StopIteration):
            coroutine.send(None)

    def hides(self, path, folder):
        return any(_finder.contains(hidden, folder) for hidden in self.hidden[path])

    async def reveal(self, path, folders):
        for folder in json.loads(folders):
            self._look(path, str(Path(path, folder)))

    def look(self, path, folder, module):
        if not self.waits:
            raise webimport.ResolveError("not fetched", code="resolve.not_fetched", hint="prefetch", name=module)
        self._look(path, folder)

    def _look(self, path, folder):
        if self.error is not None:
            raise self.error
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        for hidden in sorted(self.hidden[path]):
            if _finder.contains(hidden, folder):
                self.hidden[path].remove(hidden)
                self.looked.append(hidden[len(path) + 1 :])

    def package_version(self, name):
        return self.packages.get(name)

    async def load_packages(self, names):
        if not self.loads_packages:
            raise webimport.FetchError("Pyodide could not load it", code="fetch.package", hint="look")
        self.installed += names
        for name in names:
            info = self.root.parent / "notebook" / f"{name.replace(chr(45), chr(95))}-{self.packages[name]}.dist-info"
            info.mkdir()
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {self.packages[name]}\n"
            (info / "METADATA").write_text(text)
        importlib.invalidate_caches()

    def discard(self, ticket):
        self.prepared.pop(ticket, None)

    def unmount(self, path):
        if path in self.mounted:
            self.mounted.remove(path)
            shutil.rmtree(path)

    def configure(self, layer, text):
        config = json.loads(text)
        if "forzen" in config:
            raise webimport.ConfigError("unknown key `forzen`", code="config.unknown_key", hint="known keys: frozen")
        self.layers[layer] = config

    def freeze(self, loaded):
        return loaded

    async def page_config(self):
        return json.dumps(self.page)

    async def cache_info(self):
        return '{"storage": "memory", "objects": 2, "bytes": 20, "repositories": 1}'

    async def cache_clear(self):
        self.announced.append(("cleared", {}))

    async def cache_verify(self):
        return '{"checked": 2, "dropped": []}'

    def announce(self, event, text):
        self.announced.append((event, json.loads(text)))


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A fresh host, and afterwards an interpreter as it was before."""
    fake = FakeHost(tmp_path / "webimport")

    async def running():
        return fake

    folder = tmp_path / "notebook"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(_compat, "host", running)
    monkeypatch.setattr(_compat, "running_host", lambda: fake)
    monkeypatch.setattr(_config, "_configured", "{}")
    monkeypatch.setattr(_config, "_script", {})
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # As in a notebook: the current directory comes first.
    monkeypatch.syspath_prepend("")
    path, modules, hooks = list(sys.path), set(sys.modules), list(sys.path_hooks)
    yield fake
    for release in list(_release.loaded.values()):
        release.unload()
    assert _finder.path_hook not in sys.path_hooks
    assert sys.path_hooks == hooks
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        attributes = vars(sys.modules[name])
        if str(tmp_path) in f"{attributes.get('__file__')} {attributes.get('__path__')}":
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def load(host):
    """Publishes and loads a release in one go."""

    def load(name, files, version="1.0", closures=None, shards=None, **options):
        host.publish(name, version, files, closures, shards)
        return run(webimport.load_release(f"https://code.example.org/repo/{name}@{version}", **options))

    return load


def run(coroutine):
    """Runs a coroutine to its end."""
    return asyncio.run(coroutine)


def compiled(source: str, path: str) -> bytes:
    """An unchecked hash-based pyc (PEP 552), as a publisher makes it."""
    import importlib._bootstrap_external as external
    import importlib.util as util

    code = compile(source, path, "exec")
    return bytes(external._code_to_hash_pyc(code, util.source_hash(source.encode()), checked=False))
