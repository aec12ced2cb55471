"""Nobody is there: a name that means nothing, a closed port, a handshake that ends. For the hub, and for its CDN."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager

import pytest
from fill_bed import BIG, SMALL, TOKEN, Bed, build
from hub_kinds import KINDS
from misbehaving_hub import MisbehavingHub, Rule, redirects

from provision.errors import ExitCode, Unreachable
from provision.serve import Folder, Settings
from provision.transfer import assistance

FILE = r"/resolve/|/repo\?"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    files = Folder(build(tmp_path_factory.mktemp("served"), (BIG, SMALL)))
    with MisbehavingHub(files, Settings(token=TOKEN)) as hub:
        yield hub


@pytest.fixture(params=KINDS, ids=str)
def bed(request, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(assistance, "LOOK", 0.01)  # help comes at once
    hub.rules.clear()
    hub.log.clear()
    (tmp_path / "volume").mkdir()
    return Bed(hub=hub, kind=request.param, volume=tmp_path / "volume")


@contextmanager
def unknown_name():
    yield "https://hub.invalid"  # RFC 2606: no such name will ever be


@contextmanager
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as once_open:
        port = once_open.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@contextmanager
def reset_handshake():
    """Each connection ends with RST after the first byte of the client's hello."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


NOBODY = {"an unknown name": unknown_name, "a closed port": closed_port, "a handshake that ends": reset_handshake}


@pytest.fixture(params=NOBODY.values(), ids=NOBODY)
def nobody(request):
    with request.param() as address:
        yield address


def assert_given_up(bed, result):
    """After some patience, with a cause, and with nothing on the volume that takes room."""
    assert type(result.error) is Unreachable
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "cannot be reached" in result.error.message
    assert result.error.hint
    assert result.sleeps == [0.0, 0.0]
    assert result.fetched == 0
    assert [path for path in bed.volume.rglob(".provision-*") if path.stat().st_blocks] == []


def test_a_hub_that_nobody_answers_for_is_unavailable_and_costs_nothing(bed, nobody):
    lock = bed.lock(BIG)
    bed.endpoint = nobody
    assert_given_up(bed, bed.fill(lock, connections=3))
    bed.endpoint = ""
    assert bed.fill(lock).exit_code == ExitCode.DONE


def test_a_hub_that_sends_us_where_nobody_answers_is_unavailable_and_hears_no_token_there(bed, nobody):
    bed.hub.rules.append(Rule(FILE, redirects(f"{nobody}/weights?signature=s3cret")))
    result = bed.fill(bed.lock(BIG), connections=3)
    assert_given_up(bed, result)
    assert "s3cret" not in f"{result.error} {result.notes}"
    bed.hub.rules.clear()
    assert bed.fill(bed.lock(BIG)).exit_code == ExitCode.DONE


def test_a_hub_that_nobody_answers_for_is_not_asked_for_each_file(bed, nobody):
    lock = bed.lock(BIG, SMALL)
    bed.endpoint = nobody
    result = bed.fill(lock, connections=1)
    assert [type(outcome.error) for outcome in result.outcomes] == [Unreachable, Unreachable]
    assert len(result.sleeps) == 2, "patience is spent once"
