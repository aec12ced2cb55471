"""A folder as a hub: what the unmodified `hf download` and `modelscope download` can fetch from.

For air-gapped mirrors, the demonstration and the tests. Both hubs answer on one port, large files come from a second
one through signed redirects, as with the real ones. Needs the extra `serve`; it is imported only when a server is made.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.serve.folder import Folder
from provision.serve.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from provision.serve.server import Server

__all__ = ["Folder", "Settings", "open_server", "serve"]


def open_server(folder: Folder, settings: Settings | None = None, *, host: str, port: int, cdn_port: int) -> Server:
    """A server for `folder`, ports taken, to be used in a `with` statement. Port 0 takes a free one.

    Raises:
        InputError: The extra `serve` is not installed, or a port cannot be had.
    """
    try:
        server = import_module("provision.serve.server")
    except ModuleNotFoundError as error:
        hint = "pip install 'volume-provision[serve]'"
        raise InputError(f"serving needs the Python package {error.name}, which is not installed", hint=hint) from error
    binding = server.Binding(host=host, port=port, cdn_port=cdn_port)
    try:
        opened: Server = server.Server(folder, settings, binding=binding)
    except OSError as error:
        ports = " and ".join(str(number) for number in (port, cdn_port) if number) or "any port"
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot listen on {host}, port {ports}: {reason}", hint="choose another --port") from error
    return opened


def serve(  # noqa: PLR0913 - the flags of the command, one to one
    directory: Path,
    *,
    host: str,
    port: int,
    cdn_port: int,
    token: str | None,
    announce: Callable[[str, str], None],
) -> None:
    """Serves `directory` until interrupted. `announce` is called once, when requests are answered, with the
    endpoint of the hubs and that of the CDN.

    Every file is read first, so that no client waits for a digest longer than its timeout.

    Raises:
        InputError: No such folder or nothing in it, the extra `serve` is not installed, or a port cannot be had.
        KeyboardInterrupt: Somebody ended it.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a folder")
    folder = Folder(directory)
    with open_server(folder, Settings(token=token), host=host, port=port, cdn_port=cdn_port) as server:
        if not [repository.snapshot() for _, repository in folder.repositories()]:
            raise InputError(
                f"{directory} holds no repository", hint="put files under hf/ORG/NAME/ or modelscope/ORG/NAME/"
            )
        announce(server.endpoint, server.cdn_endpoint)
        server.wait()
