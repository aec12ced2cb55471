"""What differs between the hubs, so that one law can be asked of both."""

from __future__ import annotations

import time
from dataclasses import dataclass

from provision.hubs.http import HttpSettings
from provision.hubs.schemes import open_hub
from provision.hubs.settings import HubSettings

TOKEN = "hf_secretsecretsecret"
COMMIT = "0123456789" * 4
SHA256 = "0123456789abcdef" * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One hub's words. `first` and `listing` are patterns of the first request of a resolve, and of every listing."""

    scheme: str
    branch: str
    first: str
    listing: str
    endpoint_variable: str
    token_variable: str

    def __str__(self) -> str:
        return self.scheme

    def entry(self, path: object = "a.bin", size: object = 1, sha256: object = SHA256) -> dict[str, object]:
        """A file as this hub lists it."""
        if self.scheme == "modelscope":
            return {"Type": "blob", "Path": path, "Name": path, "Size": size, "Sha256": sha256}
        lfs = {"oid": sha256, "size": size, "pointerSize": 130}
        return {"type": "file", "oid": COMMIT, "path": path, "size": size, "lfs": lfs}

    def listed(self, entries: object) -> object:
        """A listing of `entries` as this hub answers it."""
        return {"Code": 200, "Success": True, "Data": {"Files": entries}} if self.scheme == "modelscope" else entries


HUGGINGFACE = Kind(
    scheme="hf",
    branch="main",
    first=r"^/api/models/[^/]+/[^/]+(/revision/[^/]+)?(\?|$)",
    listing=r"/tree/",
    endpoint_variable="HF_ENDPOINT",
    token_variable="HF_TOKEN",
)
MODELSCOPE = Kind(
    scheme="modelscope",
    branch="master",
    first=r"^/api/v1/models/[^/]+/[^/]+$",
    listing=r"/repo/files",
    endpoint_variable="MODELSCOPE_ENDPOINT",
    token_variable="MODELSCOPE_API_TOKEN",
)
KINDS = (HUGGINGFACE, MODELSCOPE)


def http_settings(**changes):
    return HttpSettings(**{"user_agent": "provision/test", "now": time.time, "stall": 20.0, **changes})


def reach(kind, endpoint, *, token="", requests=5_000, **http):
    """The adapter for `kind` at `endpoint`, without the login of whoever runs the tests."""
    return open_hub(
        kind.scheme, HubSettings(http=http_settings(**http), endpoint=endpoint, token=token, requests=requests)
    )
