"""The second origin: large files by content, under signed addresses that expire. It knows no tokens."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from provision.serve.bytestream import ByteStream
from provision.serve.folder import MODELSCOPE

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from provision.serve.folder import Folder
    from provision.serve.snapshot import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Makes and judges signed addresses. `clock` gives seconds since 1970, `lifetime` is in seconds."""

    key: bytes
    clock: Callable[[], float]
    lifetime: float

    def sign(self, path: str) -> str:
        """`path` with a query that makes it an address honoured until `lifetime` from now."""
        expires = str(int(self.clock() + self.lifetime))
        return f"{path}?Expires={expires}&Signature={self._signature(path, expires)}&Key-Pair-Id=provision"

    def fault(self, path: str, expires: str, signature: str) -> str | None:
        """Why an address is not honoured, in the words S3 uses, or None when it is."""
        if not expires.isdigit() or not hmac.compare_digest(
            signature.encode(), self._signature(path, expires).encode()
        ):
            return "SignatureDoesNotMatch"
        return "AccessDenied" if self.clock() >= int(expires) else None

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self.key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def address(hub: str, name: str, entry: Entry) -> str:
    """The path on the CDN of a file's content: it names the bytes, so that it never means newer ones."""
    return f"/{hub}/{name}/{entry.sha256}"


def cdn_app(folder: Folder, signer: Signer) -> Starlette:
    """The CDN of `folder`, as an ASGI application: 200, 206, 416, and S3's XML with 403 or 404."""

    def content(request: Request) -> Response:
        path, query = request.url.path, request.query_params
        fault = signer.fault(path, query.get("Expires", ""), query.get("Signature", ""))
        if fault:
            return _xml(403, fault)
        hub, sha256 = request.path_params["hub"], request.path_params["sha256"]
        repository = folder.repository(hub, "{org}/{name}".format_map(request.path_params))
        entry = repository.snapshot().with_sha256(sha256) if repository else None
        if entry is None:
            return _xml(404, "NoSuchKey")
        # ModelScope's store repeats the digest, and its client trusts it; Hugging Face's does not.
        linked = {"X-Linked-ETag": f'"{sha256}"'} if hub == MODELSCOPE else {}
        return ByteStream(entry.source, etag=sha256, headers=linked)

    return Starlette(routes=[Route("/{hub}/{org}/{name}/{sha256}", content)])


_MESSAGES = {
    "SignatureDoesNotMatch": "The request signature we calculated does not match the signature you provided.",
    "AccessDenied": "Request has expired",
    "NoSuchKey": "The specified key does not exist.",
}


def _xml(status: int, code: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{_MESSAGES[code]}</Message></Error>"
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', status, media_type="application/xml")
