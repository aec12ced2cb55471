"""The next request over a connection that was kept: it is written, and the head of its answer read, in one go.

urllib3 makes connections, and keeps them. What it does besides for each request, and what the standard library does to
read a head, costs a file of some kilobytes more than everything else that is done for it. Whatever is not the usual
case goes their way: no connection that is open, a proxy, a head that is not one of plain lines with a length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.exceptions import ReadTimeoutError

from provision.hubs.http.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

_PORTS = {"http": 80, "https": 443}
_TARGET = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[^\r\n\0]*")


def ask(pool: HTTPConnectionPool, target: str, headers: Mapping[str, str], stall: float) -> BaseHTTPResponse | None:
    """The answer to GET `target`, its body not yet read; None when nothing was asked, since there is no connection.
    A silence of `stall` seconds is a timeout.

    Raises:
        ValueError: a header that cannot be sent.
        urllib3.exceptions.HTTPError, http.client.HTTPException, OSError: as urllib3's own requests.
    """
    if pool.proxy is not None or not _TARGET.fullmatch(target):
        return None
    request = _request(pool, target, headers)
    connection: Any = pool._get_conn()  # noqa: SLF001 - urllib3 has no other way to a kept connection
    if connection.is_closed:
        pool._put_conn(connection)  # noqa: SLF001
        return None
    try:
        connection.sock.settimeout(stall)
        connection.sock.sendall(request)
        answer = connection.answer = Answer(connection.sock, method="GET")
        answer.begin_at_once()
        if answer.will_close:
            connection.close()  # the answer has a hold of its own on what it is read from
    except BaseException as error:
        connection.close()
        pool._put_conn(None)  # noqa: SLF001
        if isinstance(error, TimeoutError):
            raise ReadTimeoutError(pool, target, "silent") from error
        raise
    return _response(pool, connection, answer)


def _request(pool: HTTPConnectionPool, target: str, headers: Mapping[str, str]) -> bytes:
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    if pool.port not in {None, _PORTS.get(pool.scheme or "")}:
        host = f"{host}:{pool.port}"
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if not all(map(_VALUE.fullmatch, lines)):
        raise ValueError("a header of several lines")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


def _response(pool: HTTPConnectionPool, connection: Any, answer: Answer) -> BaseHTTPResponse:
    told: Any = answer.headers
    return HTTPResponse(
        body=answer,
        headers=told if isinstance(told, HTTPHeaderDict) else HTTPHeaderDict(told.items()),
        status=answer.status,
        version=answer.version,
        reason=answer.reason,
        preload_content=False,
        decode_content=False,
        original_response=answer,
        pool=pool,
        connection=connection,
        request_method="GET",
    )
