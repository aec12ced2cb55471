"""What comes from the environment: the volume, proxies, certificates. Read here, passed on as values."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from provision import __version__
from provision.errors import InputError, VolumeAbsent

if TYPE_CHECKING:
    from provision.hubs.http import HttpSettings
    from provision.shard import Shard

MOUNTS = ("/runpod-volume", "/workspace")
"""Where RunPod mounts a network volume: serverless workers, and pods (docs.runpod.io, network volumes)."""

USER_AGENT = f"provision/{__version__}"

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def volume_path(given: str | None) -> str:
    """The volume's root: `--volume` (or PROVISION_VOLUME, through click), else the first of MOUNTS that is a mount.

    Raises:
        InputError: it is the root of the file system, or no folder at all.
        VolumeAbsent: none was given and none is mounted.
    """
    if given:
        if given.startswith("s3://"):
            raise InputError(
                f"`{given}` can only be verified through S3: this needs a mounted volume",
                hint="run it in a pod that has the volume attached, with --volume DIR",
            )
        if os.path.realpath(given) == "/":
            raise InputError(f"`{given}` is the root of this machine, no volume", hint="is a variable in it empty?")
        return given
    for mount in MOUNTS:
        if os.path.ismount(mount):
            return mount
    raise VolumeAbsent(
        f"no volume was given, and neither {MOUNTS[0]} nor {MOUNTS[1]} is a mount",
        hint="attach the network volume, or name a folder: --volume DIR or PROVISION_VOLUME",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there may be at once, in all and to one host."""

    connections: int = 8
    per_host: int = 8


def http_settings(limits: Limits) -> HttpSettings:
    """How to reach out, by the environment's usual variables."""
    from provision.hubs.http import HttpSettings

    return HttpSettings(
        user_agent=USER_AGENT,
        now=time.time,
        proxies=proxies(),
        ca_bundle=ca_bundle(),
        connections=limits.connections,
        per_host=limits.per_host,
    )


def proxies() -> dict[str, str]:
    """By scheme, and what is to be asked without one under `no`: as the standard library finds them.

    It imports much for that, and finds nothing where there is no such variable; only other systems than Linux keep
    proxies elsewhere, too.
    """
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies

    return getproxies()


def ca_bundle() -> str | None:
    """A bundle of certificates of the user's own."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    return next(filter(None, map(os.environ.get, names)), None)


_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", re.IGNORECASE)


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


class Duration(click.ParamType[float]):
    """A length of time as people write it: `90m`, `1h30m`, `45s`; where it may be `bare`, a number is seconds, and
    where it may be `empty`, it may be no time at all.
    """

    name = "time"

    def __init__(self, example: str = "90m, 1h30m or 45s", *, bare: bool = True, empty: bool = True) -> None:
        self._example, self._bare, self._empty = example, bare, empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if match is None or not any(match.groups()) or (str(value).strip().isdigit() and not self._bare):
            self.fail(f"`{value}` is not a time; write it as {self._example}", param, ctx)
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        length = float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
        if not (length or self._empty):
            self.fail(f"`{value}` is no time at all", param, ctx)
        return length


class Size(click.ParamType[int]):
    """A number of bytes as people write it: `50G`, `1.5TB`, `512MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; k, M, G, T count by thousands, Ki, Mi, Gi, Ti by 1024."""
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"`{value}` is not a size; write it as 50G, 1.5TB or 512MiB", param, ctx)
        number, unit, binary = match.groups()
        base = 1024 if binary else 1000
        size = int(float(number) * base ** ("kmgt".index(unit.lower()) + 1 if unit else 0))
        if not size:
            self.fail(f"`{value}` is nothing at all", param, ctx)
        return size


class Gigabytes(Size):
    """A size of a volume: as `Size`, but a number alone is GB, as clouds count volumes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        is_bare = isinstance(value, str) and value.strip().isdigit()
        return super().convert(f"{value}G" if is_bare else value, param, ctx)


class Share(click.ParamType[float]):
    """A share of the whole: `5%`, `0.05`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Between 0, which it is not, and 1."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            self.fail(f"`{value}` is no share of the whole; write it as 5%", param, ctx)
        return share


class ShardType(click.ParamType["Shard"]):
    """A share of a fill: `2/8` is the second of eight."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """As `provision.shard.parse`."""
        from provision.shard import Shard, parse

        if isinstance(value, Shard):
            return value
        try:
            return parse(str(value))
        except InputError as error:
            self.fail(f"{error.message}; {error.hint}", param, ctx)
