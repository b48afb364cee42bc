"""Makes a repository with python-tuf's metadata API, from a specification in JSON on stdin.

`folder` is where it goes, with the targets in place below `targets/` (digest in the file name) already. `keys` has
private keys in PEM form by name, `expires` a time in Unix seconds, `versions` the states that are published one
after the other. Each version has `roots` (key names and thresholds by role, one for each new root, signed also by
the keys of the one before), `targets` and, for each delegated role, `team` or `bins`. Target entries are read from
the files, their `custom` from the specification.
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer


class Publisher:
    """One repository on its way through its versions."""

    def __init__(self, specification: dict) -> None:
        self.folder = Path(specification["folder"])
        (self.folder / "metadata").mkdir(parents=True)
        self.expires = datetime.datetime.fromtimestamp(specification["expires"], datetime.timezone.utc)
        self.signers = {name: signer(pem) for name, pem in specification["keys"].items()}
        self.root: dict = {}
        self.root_version = 0

    def publish(self, version: int, state: dict) -> None:
        for roles in state["roots"]:
            self.publish_root(roles)
        meta = {}
        top = Targets(version=version, expires=self.expires, targets=self.files(state["targets"]))
        delegated = {}
        for name, role in state.get("delegations", {}).items():
            key = role["key"]
            public = self.signers[key].public_key
            keys = {public.keyid: public}
            content = self.files(role["targets"])
            if role["kind"] == "paths":
                entry = DelegatedRole(name, [public.keyid], 1, terminating=False, paths=role["paths"])
                top.delegations = Delegations(keys, roles={name: entry})
                delegated[name] = (key, Targets(version=version, expires=self.expires, targets=content))
            else:
                bins = SuccinctRoles([public.keyid], 1, role["bits"], name)
                top.delegations = Delegations(keys, succinct_roles=bins)
                for bin_name in bins.get_roles():
                    part = {path: file for path, file in content.items() if bins.get_role_for_target(path) == bin_name}
                    delegated[bin_name] = (key, Targets(version=version, expires=self.expires, targets=part))
        for name, (key, role) in delegated.items():
            self.write(f"{version}.{name}.json", role, [key])
            meta[f"{name}.json"] = MetaFile(version)
        self.write(f"{version}.targets.json", top, self.root["targets"]["keys"])
        meta["targets.json"] = MetaFile(version)
        snapshot = Snapshot(version=version, expires=self.expires, meta=meta)
        content = self.write(f"{version}.snapshot.json", snapshot, self.root["snapshot"]["keys"])
        # With digests here and without them in the snapshot, both forms are in use.
        pinned = MetaFile.from_data(version, content, ["sha256", "sha512"])
        timestamp = Timestamp(version=version, expires=self.expires, snapshot_meta=pinned)
        self.write("timestamp.json", timestamp, self.root["timestamp"]["keys"])

    def publish_root(self, roles: dict) -> None:
        self.root_version += 1
        keys = {}
        for role in roles.values():
            for name in role["keys"]:
                public = self.signers[name].public_key
                keys[public.keyid] = public
        root = Root(
            version=self.root_version,
            expires=self.expires,
            keys=keys,
            roles={
                name: Role([self.signers[key].public_key.keyid for key in role["keys"]], role["threshold"])
                for name, role in roles.items()
            },
            consistent_snapshot=True,
        )
        before = self.root["root"]["keys"] if self.root else []
        signers = list(dict.fromkeys([*before, *roles["root"]["keys"]]))
        self.write(f"{self.root_version}.root.json", root, signers)
        self.root = roles

    def files(self, targets: dict) -> dict[str, TargetFile]:
        files = {}
        for path, target in targets.items():
            content = (self.folder / "targets" / target["file"]).read_bytes()
            files[path] = TargetFile.from_data(path, content, ["sha256", "sha512"])
            if target["custom"] is not None:
                files[path].unrecognized_fields = {"custom": target["custom"]}
        return files

    def write(self, name: str, signed: Signed, keys: list[str]) -> bytes:
        metadata = Metadata(signed)
        for key in keys:
            metadata.sign(self.signers[key], append=True)
        content = metadata.to_bytes(JSONSerializer(compact=False))
        (self.folder / "metadata" / name).write_bytes(content)
        return content


def signer(pem: str) -> CryptoSigner:
    key = load_pem_private_key(pem.encode(), None)
    made = CryptoSigner(key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        # So that a repository is the same bytes each time. There is no public way to ask for it.
        made._sign_args.sig_algo = ec.ECDSA(SHA256(), deterministic_signing=True)
    return made


def main() -> None:
    specification = json.load(sys.stdin)
    publisher = Publisher(specification)
    for number, state in enumerate(specification["versions"], start=1):
        publisher.publish(number, state)


main()
