"""Claims for tests: writers on machines of their own, hearts, and time that goes by."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from volume_material import STRANGER, writer_named

from provision.volume.claims import BEAT, Claims

NAME = "models/a.safetensors"


class Clock:
    """Seconds; each process has its own, and where it starts means nothing."""

    def __init__(self, now=5_000.0):
        self.now = now

    def __call__(self):
        return self.now


def pass_time(clock, seconds, *beating):
    """`seconds` go by, in which the hearts of `beating` beat."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now = min(end, clock.now + BEAT)
        for claims in beating:
            claims.beat()


def claims_of(volume, name, clock, owner=None, *, now=time.time) -> Claims:
    """The claims of a new writer, on a machine of its own unless said otherwise."""
    machine = replace(STRANGER, boot=f"{name}-1111-2222-3333-444444444444")
    return Claims(volume, writer_named(name, owner or machine), clock, now)


def kept(volume) -> Path:
    return Path(volume.path, ".provision/claims")


def claims_in(volume) -> list[Path]:
    """The folders of all claims."""
    return [path for path in kept(volume).iterdir() if len(path.name) == 16]


def hearts_in(volume) -> list[Path]:
    return [path for path in kept(volume).iterdir() if "." in path.name]
