"""A plain https mirror: any web server that has a repository's files under the same paths.

It has no revisions, no listing and no token, and nothing is asked of it before its bytes are wanted: whether these are
the promised ones, their sha256 decides.
"""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import quote

from provision.errors import HubRefused
from provision.hubs import Location, Pin
from provision.names import shown

_RESERVED = "/%:@!$&'()*+,;="
"""What stays as it was written in the address of a mirror (RFC 3986, §3.3): it may be quoted in part already."""


class Https:
    """The Hub protocol for `https://HOST[:PORT][/PATH]`; `repository` is what follows the two slashes."""

    name = "https"

    def resolve(self, repository: str, revision: str | None) -> Pin:
        """A pin without a commit; its revision is "". Does not touch the network.

        Raises:
            HubRefused: a revision is asked for.
        """
        if revision:
            raise HubRefused(
                f"https://{shown(repository)} has no revisions", hint="put the revision's files under a path of its own"
            )
        return Pin(repository=repository, revision="", commit=None)

    def files(self, pin: Pin) -> NoReturn:
        """Raises HubRefused: a plain web server does not list what it has."""
        raise HubRefused(
            f"https://{shown(pin.repository)} is a plain https mirror, which has no listing",
            hint="it can be a mirror; a source is hf:// or modelscope://",
        )

    def location(self, pin: Pin, path: str) -> Location:
        """The address of `path` below the mirror's own, without headers."""
        page = f"https://{quote(pin.repository, safe=_RESERVED)}"
        return Location(url=f"{page}/{quote(path)}", page=page, repository=pin.repository)
