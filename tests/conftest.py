"""What holds for all tests."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

settings.register_profile("brief", max_examples=25)  # for CI: --hypothesis-profile=brief

# A shell starts what it puts in the background with SIGINT ignored, and children inherit that: the programs that these
# tests interrupt would not notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def volume(tmp_path):
    """An empty volume."""
    from provision.volume.mount import Volume

    with Volume.open(str(tmp_path)) as volume:
        yield volume


@pytest.fixture
def ours(volume):
    """Our own partials on it."""
    from volume_material import writer_named

    from provision.volume.partials import Partials

    return Partials(volume, writer_named("aaaaaaaa"))
