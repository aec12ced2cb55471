"""Estimates: what would be rented, for how long and how much, and what would be sent; nothing is rented."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from provision.cli import options
from provision.cli.pod.running import nonce
from provision.names import shown
from provision.pods.bill import estimate_document, estimate_lines, money
from provision.pods.choice import price_text
from provision.pods.errand import order_for
from provision.pods.lease import new_lease
from provision.progress import duration_text
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from provision.cli.pod.errands import Prepared
    from provision.pods.cloud import Cloud, Request

_ALTERNATIVES = 3


def show(cloud: Cloud, prepared: Sequence[Prepared], output: str) -> None:
    """All of it, for people or as a document. Raises InputError where it could not be sent."""
    requests = {one.errand.token: _requests(cloud, one) for one in prepared}
    lines = [line for one in prepared for line in _lines(one, requests[one.errand.token])]
    document = {
        "schema": SCHEMA,
        "ok": True,
        "cloud": cloud.name,
        "pods": [_document(one, requests[one.errand.token]) for one in prepared],
    }
    options.show([*lines, "nothing was rented"], document, output)


def _requests(cloud: Cloud, one: Prepared) -> list[Request]:
    lease = new_lease(one.errand.project, time.time(), one.errand.seconds, nonce())
    return cloud.requests(order_for(one.errand, lease, one.errand.candidates[0]))


def _lines(one: Prepared, requests: Sequence[Request]) -> Iterator[str]:
    volume, errand = one.volume, one.errand
    share = f", share {one.label.split()[-1]}" if "--shard" in errand.job.verify else ""
    where = f"{volume.size} GB in {shown(volume.datacenter)}"
    yield f"{shown(volume.id)} ({shown(volume.name) or 'no name'}, {where}){share}:"
    for line in estimate_lines(one.estimate):
        yield f"  {line}"
    further = errand.candidates[1 : 1 + _ALTERNATIVES]
    if further:
        more = f" and {len(errand.candidates) - 1 - len(further)} more" if len(errand.candidates) > 4 else ""
        yield f"  else    {', '.join(f'{offer.id} ({price_text(offer.price)})' for offer in further)}{more}"
    yield f"  lease   {duration_text(one.errand.seconds)}: then the pod is gone, whatever happens; {_most(one)} at most"
    yield "  would send:"
    for request in requests:
        yield f"    {request.method} {request.url}"
        yield from (f"      {line}" for line in request.body.splitlines())


def _most(one: Prepared) -> str:
    price = one.errand.candidates[0].price
    return money(None if price is None else price * one.errand.seconds / 3600)


def _document(one: Prepared, requests: Sequence[Request]) -> dict[str, Any]:
    volume = one.volume
    return {
        "volume": {"id": volume.id, "name": volume.name, "size_gb": volume.size, "datacenter": volume.datacenter},
        "estimate": estimate_document(one.estimate),
        "candidates": [
            {"kind": offer.kind.value, "id": offer.id, "usd_per_hour": offer.price, "stock": offer.stock.value}
            for offer in one.errand.candidates
        ],
        "lease_seconds": round(one.errand.seconds),
        "requests": [{"method": one.method, "url": one.url, "body": one.body} for one in requests],
    }
