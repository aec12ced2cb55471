"""Markers: what a pod leaves on the volume, read without a pod: from the folder, or through S3 where there are keys."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from provision.cli import settings
from provision.pods.local import Local

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.pods.cloud import Cloud, NetworkVolume
    from provision.volume.view import View

LIMIT = 64 * 1024 * 1024
_ANSWER = 20.0  # seconds
_KEYS = ("RUNPOD_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID")


def marker(cloud: Cloud, volume: NetworkVolume) -> Callable[[str], bytes | None] | None:
    """A reader of the volume's files; None where nothing can read it from here."""
    if isinstance(cloud, Local):
        return lambda name: _in_folder(cloud, volume, name)
    if not any(map(os.environ.get, _KEYS)):
        return None
    return lambda name: _in_bucket(volume, name)


def _in_folder(cloud: Local, volume: NetworkVolume, name: str) -> bytes | None:
    from provision.volume.mount import Volume

    with Volume.open(str(cloud.folder(volume))) as mounted:
        return _read(mounted, name)


def _in_bucket(volume: NetworkVolume, name: str) -> bytes | None:
    """Asked once, and without patience: whoever watches asks again."""
    from provision.retry import Patience, Retry
    from provision.volume.s3 import S3View, settings_from

    found = settings_from(
        f"s3://{volume.id}",
        datacenter=volume.datacenter,
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3"),
        environment=os.environ,
    )
    found = replace(
        found,
        proxies=settings.proxies(),
        ca_bundle=settings.ca_bundle(),
        user_agent=settings.USER_AGENT,
        answer=_ANSWER,
    )
    with S3View.open(found, Retry(patience=Patience(attempts=1), sleep=lambda _: None)) as view:
        return _read(view, name)


def _read(view: View, name: str) -> bytes | None:
    file = view.open_file(name)
    if file is None:
        return None
    with file:
        return file.read_at(0, min(file.stat().st_size, LIMIT))
