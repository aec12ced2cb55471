"""Flags and variables of `provision fill`, as they come out at the other end of the wire: whole processes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from connect_proxy import ConnectProxy
from fill_bed import BIG, NAME, PLAIN, SIZES, SMALL, TOKEN, bed_at, build, content, file_of, lock_of
from fill_process import end, run, start
from hub_kinds import COMMIT, HUGGINGFACE
from loopback_tls import Certificate, serving
from misbehaving_hub import MisbehavingHub, Rule

from provision.errors import ExitCode
from provision.lock import Mirror
from provision.serve import Folder, Settings
from provision.transfer.rate import BURST


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with MisbehavingHub(Folder(build(tmp_path_factory.mktemp("served"))), Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture
def bed(hub, tmp_path):
    return bed_at(hub, HUGGINGFACE, tmp_path)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return Certificate.made_in(tmp_path_factory.mktemp("tls"))


def test_a_fill_goes_through_the_proxy_but_where_none_is_wanted_and_believes_a_ca_of_ones_own(
    bed, certificate, tmp_path
):
    there, beside = tmp_path / f"hub/{NAME}/resolve/{COMMIT}", tmp_path / "web/weights"
    for folder, path in ((there, SMALL), (beside, PLAIN)):
        folder.mkdir(parents=True)
        (folder / path).write_bytes(content(path))
    lock = lock_of(HUGGINGFACE, COMMIT, file_of(SMALL), file_of(PLAIN))
    with (
        serving(tmp_path / "hub", certificate) as home,
        serving(tmp_path / "web", certificate) as web,
        ConnectProxy() as proxy,
    ):
        mirrors = (Mirror(source=f"https://{web.host}/weights", revision="", commit=None),)
        variables = {
            "HF_ENDPOINT": f"https://{home.host}",
            "HTTPS_PROXY": proxy.address.replace("//", "//me:s3cret@"),
            "NO_PROXY": f".example,{web.host}",
            "SSL_CERT_FILE": str(certificate.bundle),
        }
        lock = replace(lock, models=tuple(replace(model, mirrors=mirrors) for model in lock.models))
        ended = end(start(bed, lock, variables=variables))

    assert ended.code == ExitCode.DONE, ended.stderr
    assert ended.document["fetched_bytes"] == SIZES[SMALL] + SIZES[PLAIN]
    assert {asked.split()[1] for asked in proxy.log} == {home.host}
    assert "s3cret" not in ended.stderr
    assert {headers["Authorization"] for _, headers in home.log} == {f"Bearer {TOKEN}"}
    assert [(target, headers.get("Authorization")) for target, headers in web.log] == [(f"/weights/{PLAIN}", None)]


def test_all_connections_together_keep_the_rate_that_was_asked_for(bed):
    """By the server's clock: from the first request on. What the last bytes are due for is over before a fill ends."""
    rate, began = 12_000_000, []

    async def noted(honest, scope, receive, send):
        began.append(time.monotonic())
        await honest(scope, receive, send)

    bed.hub.rules.append(Rule("", noted, place="cdn"))
    ended = run(bed, bed.lock(BIG), "--max-rate", f"{rate // 1_000_000}M")

    assert ended.code == ExitCode.DONE, ended.stderr
    assert time.monotonic() - began[0] >= SIZES[BIG] / rate - BURST
    assert len({request.client for request in bed.hub.asked("", "cdn")}) > 1, "else one could not be told from all"


class Counter:
    """A behaviour that holds bodies of `size` bytes until `least` were open at once, and then until nobody has come for
    `pause` seconds. `most`: open at once.

    A body counts until its last bytes are about to be sent: before that nobody can ask for the next in its stead.
    """

    def __init__(self, size, least, pause):
        self.size, self.least, self.pause = size, least, pause
        self.here, self.most, self.last = 0, 0, 0.0

    async def __call__(self, honest, scope, receive, send):
        self.here += 1
        self.most, self.last = max(self.most, self.here), time.monotonic()
        async with asyncio.timeout(30):
            while self.most < self.least or time.monotonic() < self.last + self.pause:  # noqa: ASYNC110 - clients do it
                await asyncio.sleep(0.02)
        left = self.size

        async def counted(message):
            nonlocal left
            left, before = left - len(message.get("body", b"")), left
            self.here -= left <= 0 < before
            await send(message)

        await honest(scope, receive, counted)


def test_a_host_is_asked_for_no_more_bodies_at_once_than_was_said(bed):
    counter = Counter(SIZES[SMALL], least=2, pause=0.5)
    bed.hub.rules.append(Rule("", counter, place="cdn"))
    many = [replace(file_of(SMALL), target=f"models/{number}") for number in range(6)]
    lock = lock_of(bed.kind, bed.commit(), *many)
    ended = run(bed, lock, "--connections", "6", "--per-host", "2")

    assert ended.code == ExitCode.DONE, ended.stderr
    assert ended.document["fetched_bytes"] == 6 * SIZES[SMALL]
    assert counter.most == 2
