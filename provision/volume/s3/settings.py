"""How to reach a volume through S3, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.volume.s3.keys import keys_from
from provision.volume.s3.place import endpoint_at, endpoint_of, parse_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.volume.s3.keys import Keys
    from provision.volume.s3.place import Endpoint, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where, who, and how. Times in seconds.

    `answer`: longest wait until an answer begins: RunPod computes the MD5 of a file that was not written through S3
    when it is first asked for, minutes for a large one. `stall`: longest silence within a body.
    `connections`: how many are kept. `proxies` maps `http`, `https`, `all` to proxy addresses and `no` to the hosts
    that need none, as `urllib.request.getproxies` gives them. `ca_bundle`: a file of certificates.
    """

    place: Place
    endpoint: Endpoint
    keys: Keys
    connect: float = 10.0
    answer: float = 300.0
    stall: float = 60.0
    connections: int = 16
    proxies: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: str | None = None
    user_agent: str = "provision"


def settings_from(
    volume: str, *, datacenter: str | None, endpoint_url: str | None, environment: Mapping[str, str]
) -> S3Settings:
    """The settings for `s3://VOLUME_ID`, with keys and what else is usual from `environment`. An endpoint goes before
    a data center, which then only names the region.

    Raises:
        InputError: the volume, the data center or the endpoint is not well named, or there are no keys.
    """
    place = parse_place(volume)
    endpoint = _endpoint(datacenter, endpoint_url, environment)
    return S3Settings(place=place, endpoint=endpoint, keys=keys_from(environment))


def _endpoint(datacenter: str | None, endpoint_url: str | None, environment: Mapping[str, str]) -> Endpoint:
    get = environment.get
    if endpoint_url:
        return endpoint_at(endpoint_url, datacenter or get("AWS_REGION") or get("AWS_DEFAULT_REGION"))
    if datacenter:
        return endpoint_of(datacenter)
    usual = get("AWS_ENDPOINT_URL_S3") or get("AWS_ENDPOINT_URL")
    if usual:
        return endpoint_at(usual, get("AWS_REGION") or get("AWS_DEFAULT_REGION"))
    raise InputError(
        "a volume reached through S3 needs its data center",
        hint="pass --datacenter EU-RO-1 (the console shows it beside the volume), or --endpoint-url for other servers",
    )
