"""Views: the volume that is named on the command line, mounted or through S3."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from provision.cli import console, settings
from provision.errors import InputError, VolumeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.crew import Stop
    from provision.volume.mount import Volume
    from provision.volume.s3 import S3View
    from provision.volume.view import View

BUCKET = "s3://"
REQUESTS = 16
"""Files asked for at once through S3, where each answer takes a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A volume as it is named on the command line."""

    volume: str | None
    datacenter: str | None
    endpoint_url: str | None

    @property
    def is_bucket(self) -> bool:
        """Whether it is named as a bucket, not as a folder."""
        return self.volume is not None and self.volume.startswith(BUCKET)


@contextmanager
def opened(named: Named, stop: Stop) -> Iterator[tuple[View, Volume | None]]:
    """The view, and the volume where it is mounted, so that records can be left on it.

    Raises:
        InputError: what is said of it does not go together.
        VolumeAbsent: there is none.
    """
    if named.is_bucket:
        with _bucket(named, stop) as view:
            yield view, None
        return
    if named.datacenter or named.endpoint_url:
        raise InputError(
            "--datacenter and --endpoint-url are for a volume that is named as s3://VOLUME_ID",
            hint="leave them out, or name the volume so",
        )
    from provision.volume.mount import Volume

    with Volume.open(settings.volume_path(named.volume)) as volume:
        yield volume, volume


@contextmanager
def runs(view: View) -> Iterator[Volume | None]:
    """The folder of this machine where verifications of `view` that are under way keep their records; None where it
    cannot be had, or lies on that very volume.
    """
    from pathlib import Path

    from provision.digest import sha256_of
    from provision.volume.mount import Volume

    state = Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))  # noqa: PTH111 - never raises
    place = state / "provision/verifying" / sha256_of(view.identity.encode())[:16]
    with ExitStack() as stack:
        folder = None
        if state.is_absolute() and not place.resolve().is_relative_to(view.path):
            with suppress(VolumeError):
                folder = stack.enter_context(Volume.open(str(place), create=True))
        yield folder


def _bucket(named: Named, stop: Stop) -> S3View:
    from provision.retry import Patience, Retry
    from provision.volume.s3 import S3View, settings_from

    found = settings_from(
        named.volume or "", datacenter=named.datacenter, endpoint_url=named.endpoint_url, environment=os.environ
    )
    found = replace(found, proxies=settings.proxies(), ca_bundle=settings.ca_bundle(), user_agent=settings.USER_AGENT)
    return S3View.open(found, Retry(patience=Patience(), sleep=stop.sleep, tell=console.say), console.say)
