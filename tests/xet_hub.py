"""A hub that keeps its large files in Xet storage: what huggingface.co adds to its answers, as rules of a hub of ours.

Sources: huggingface_hub 2.4.0 (`utils/_xet.py`), https://huggingface.co/docs/xet/auth and `/file-id`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from misbehaving_hub import Behaviour, MisbehavingHub, Rule, tells
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from xet_cas import Cas

XET_TOKEN = "xet_accesstokensecret"


def announce(hub: MisbehavingHub, cas: Cas, lifetime: float = 3600) -> None:
    """From now on `hub` names `cas` for each of the store's files, with a token that lasts `lifetime` seconds."""
    cas.token = XET_TOKEN
    hub.rules.append(Rule(r"/resolve/", names(cas.store.hashes, hub)))
    hub.rules.append(Rule(r"/xet-read-token/", lends(cas.endpoint, XET_TOKEN, lifetime)))


def names(hashes: Mapping[str, str], hub: MisbehavingHub) -> Behaviour:
    """The honest answer, and the file's hash in the storage where it has one."""

    async def naming(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        repository, _, rest = scope["path"].partition("/resolve/")
        commit, _, path = rest.partition("/")
        route = f"{hub.endpoint}/api/models{repository}/xet-read-token/{commit}"
        added = [(b"x-xet-hash", hashes.get(path, "").encode()), (b"link", f'<{route}>; rel="xet-auth"'.encode())]

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start" and path in hashes:
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await honest(scope, receive, adding)

    return naming


def lends(address: str, token: str, lifetime: float = 3600) -> Behaviour:
    """A token for the storage at `address`, in headers for huggingface_hub and as JSON for hf_xet."""
    expires = int(time.time() + lifetime)
    headers = {"X-Xet-Cas-Url": address, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires)}

    async def lending(honest: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
                message = {**message, "headers": [*message["headers"], *raw]}
            await send(message)

        await tells({"casUrl": address, "accessToken": token, "exp": expires})(honest, scope, receive, adding)

    return lending
