"""Connections of urllib3 that look at the deadline whenever something comes. To be imported where urllib3 is used."""

from __future__ import annotations

import io
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from provision.hubs.deadline import check_deadline

if TYPE_CHECKING:
    from urllib3 import PoolManager


class _Incoming(io.RawIOBase):
    """What a socket receives."""

    def __init__(self, socket: io.RawIOBase) -> None:
        self._socket = socket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._socket.readinto(buffer)
        check_deadline()
        return count

    def close(self) -> None:
        self._socket.close()
        super().close()


class _Response(HTTPResponse):
    """The standard library's, which all of an answer is read through: status, headers, chunks and trailers."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fp: Any = io.BufferedReader(_Incoming(self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def timed(manager: PoolManager) -> PoolManager:
    """`manager`, whose connections heed `provision.hubs.deadline.within`."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager
