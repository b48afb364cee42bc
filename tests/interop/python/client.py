"""python-tuf's client, asked by the tests: one JSON object a line in, one a line out, in the same order.

`{"base": NAME, "files": {PATH: HEX}}` keeps a repository under a name. `{"load": {…}}` lets a new client fetch a
target and answers `{"accepted": HEX}` or `{"refused": REASON}`. The client reads a kept repository with changes
(`base`, `changes`; null takes a file away), or a server (`url`). It is new, or has seen the kept repository `warm`.
Only what the library is asked decides; nothing here verifies anything.
"""

from __future__ import annotations

import datetime
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

Files = dict[str, bytes]

BASE = "memory:///"


class Memory(FetcherInterface):
    """A server that has these files."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        content = self.files.get(url.removeprefix(BASE))
        if content is None:
            raise DownloadHTTPError("no such file", 404)
        return iter([content])


class Clients:
    """The kept repositories, and what clients that have seen them know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Files] = {}
        self.warm: dict[tuple[str, int], Path] = {}

    def keep(self, name: str, files: dict[str, str]) -> dict[str, str]:
        self.files[name] = {path: bytes.fromhex(content) for path, content in files.items()}
        return {}

    def load(self, request: dict) -> dict[str, str]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            known = Path(folder, "metadata")
            if request.get("warm") is None:
                known.mkdir()
            else:
                shutil.copytree(self.seen(request["warm"], request["now"]), known, symlinks=True)
            try:
                content = fetch(self.server(request), known, Path(folder, "target"), request)
            # Whatever a client raises, it has not accepted.
            except Exception as error:
                return {"refused": f"{type(error).__name__}: {error}"}
            return {"accepted": content.hex()}

    def server(self, request: dict) -> FetcherInterface | None:
        if "url" in request:
            return None
        files = dict(self.files[request["base"]])
        for path, content in request["changes"].items():
            if content is None:
                files.pop(path, None)
            else:
                files[path] = bytes.fromhex(content)
        return Memory(files)

    def seen(self, name: str, now: int) -> Path:
        """What a client knows that has refreshed from the kept repository; an error if it refused."""
        if (name, now) not in self.warm:
            known = self.folder / f"warm-{len(self.warm)}"
            known.mkdir()
            files = self.files[name]
            root = files["metadata/1.root.json"]
            updater(Memory(files), known, BASE, root, now).refresh()
            self.warm[name, now] = known
        return self.warm[name, now]


def fetch(server: FetcherInterface | None, known: Path, target: Path, request: dict) -> bytes:
    root = bytes.fromhex(request["root"])
    client = updater(server, known, request.get("url", BASE), root, request["now"])
    client.refresh()
    found = client.get_targetinfo(request["target"])
    if found is None:
        raise LookupError("no role names the target")
    return Path(client.download_target(found, str(target))).read_bytes()


def updater(server: FetcherInterface | None, known: Path, url: str, root: bytes, now: int | None) -> Updater:
    client = Updater(
        str(known),
        f"{url}metadata/",
        target_base_url=f"{url}targets/",
        fetcher=server,
        bootstrap=root,
    )
    if now is not None:
        # There is no public way to give it a clock.
        client._trusted_set.reference_time = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    return client


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clients = Clients(Path(folder))
        for line in sys.stdin:
            request = json.loads(line)
            if "base" in request:
                answer = clients.keep(request["base"], request["files"])
            else:
                answer = clients.load(request["load"])
            print(json.dumps(answer), flush=True)


main()
