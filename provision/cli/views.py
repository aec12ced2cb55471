"""Views: the volume that is named on the command line, mounted or through S3."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.cli import settings
from provision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.volume.mount import Volume
    from provision.volume.view import View

BUCKET = "s3://"
REQUESTS = 16
"""Files asked for at once through S3, where each answer takes a while."""


def is_bucket(given: str | None) -> bool:
    """Whether the volume is named as a bucket, not as a folder."""
    return given is not None and given.startswith(BUCKET)


@contextmanager
def opened(given: str | None, datacenter: str | None, endpoint_url: str | None) -> Iterator[tuple[View, Volume | None]]:
    """The view, and the volume where it is mounted, so that records can be left on it.

    Raises:
        InputError: what is said of it does not go together.
        VolumeAbsent: there is none.
    """
    if given is not None and is_bucket(given):
        with _bucket(given, datacenter, endpoint_url) as view:
            yield view, None
        return
    if datacenter or endpoint_url:
        raise InputError(
            "--datacenter and --endpoint-url are for a volume that is named as s3://VOLUME_ID",
            hint="leave them out, or name the volume so",
        )
    from provision.volume.mount import Volume

    with Volume.open(str(settings.volume_path(given))) as volume:
        yield volume, volume
