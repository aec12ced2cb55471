r"""Addresses on the web: which are used at all, and which belong to one origin. Pure.

Parsers disagree: in `http://EVIL\@HOME/` the standard library sees HOME, the clients go to EVIL. A token must not
depend on who is right, so an address that leaves room for two readings is refused.
"""

from __future__ import annotations

import re

from provision.errors import NotAHub, without_secrets
from provision.names import shown

_PORTS = {"http": 80, "https": 443}
_ADDRESS = re.compile(
    r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?:[/?#][^\s\\]*)?", re.IGNORECASE | re.ASCII
)


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what must be equal for a token to be sent (RFC 6454).

    Raises:
        NotAHub: it is no address of a web server, or one that parsers may read differently: with a user's name, a
            backslash, a blank, an unprintable character, or a host that is not written in ASCII.
    """
    match = _ADDRESS.fullmatch(url) if url.isprintable() else None
    scheme, host, port = match.groups() if match else ("", "", None)
    number = int(port or _PORTS.get(scheme.lower(), 0))
    if not 0 < number < 65536:
        raise NotAHub(
            f"`{shown(without_secrets(url))}` is no address of a hub", hint="write https://HOST, as its page gives it"
        )
    return scheme.lower(), host.lower(), number


def usable(endpoint: str) -> str:
    """`endpoint`, without a slash at its end; raises what `origin_of` does."""
    origin_of(endpoint)
    return endpoint.rstrip("/")


def host_of(url: str) -> str:
    """Host and port of `url` as they are written, fit to print; never a user's name or password."""
    return shown(re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2])
