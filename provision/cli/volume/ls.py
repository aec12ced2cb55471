"""`provision volume ls`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli import clouds, options
from provision.names import shown
from provision.report.document import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provision.cli.volume.known import Content
    from provision.pods.cloud import Cloud, NetworkVolume


@click.command("ls")
@options.manifests
@clouds.option
@options.output
def command(manifests: str, cloud: str | None, output: str) -> None:
    """List the network volumes: size, data center, what they cost a month, and what is known to be on them.

    What is on them is known from the proofs that lie beside the manifests; `provision pod verify` makes new ones.
    """
    from provision.cli.volume.known import contents, volume_document

    with options.told_errors(output):
        at = clouds.cloud(cloud)
        volumes = sorted(at.volumes(), key=lambda volume: (volume.name, volume.id))
        known = contents(at, volumes, Path(manifests))
        rows = [
            {**volume_document(volume, at.volume_price(volume.size)), "projects": _documents(known[volume.id])}
            for volume in volumes
        ]
        document = {"schema": SCHEMA, "ok": True, "cloud": at.name, "volumes": rows}
        options.show(_lines(at, volumes, known) if output == "text" else [], document, output)


def _lines(cloud: Cloud, volumes: Sequence[NetworkVolume], known: Mapping[str, Sequence[Content]]) -> list[str]:
    from provision.cli.tables import table_lines
    from provision.cli.volume.known import content_text
    from provision.pods.bill import money

    now = time.time()
    rows = [
        {
            "id": shown(volume.id),
            "name": shown(volume.name),
            "size": f"{volume.size} GB",
            "data center": shown(volume.datacenter),
            "a month": money(cloud.volume_price(volume.size)),
            "holds": "; ".join(content_text(content, now) for content in known[volume.id]) or "-",
        }
        for volume in volumes
    ]
    total = sum(cloud.volume_price(volume.size) for volume in volumes)
    if not rows:
        return [f"there are no volumes at {cloud.name}"]
    return [*table_lines(rows, {"size", "a month"}), f"in all: {money(total)} a month"]


def _documents(known: Sequence[Content]) -> list[dict[str, object]]:
    return [
        {"project": content.project, "ok": content.ok, "at": None if content.at is None else int(content.at)}
        for content in known
    ]
