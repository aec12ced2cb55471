"""Files of a hub that come from its Xet storage: where they are, who may have them, what is refused."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import hub_folder
import pytest
from hub_kinds import HUGGINGFACE, MODELSCOPE, TOKEN, http_settings, reach
from misbehaving_hub import MisbehavingHub, Rule, answers, redirects
from xet_bed import BIG, material, read, same, stream, wanted
from xet_cas import Cas, Fault, XetStore, refuses
from xet_hub import XET_TOKEN, announce, lends

from provision import errors
from provision.hubs import Pin
from provision.hubs.http import Http, Wanted
from provision.hubs.supply import Supply
from provision.hubs.xet import STREAMS
from provision.retry import Patience, Retry
from provision.serve.folder import Folder
from provision.serve.settings import Settings


@pytest.fixture(scope="module")
def content() -> bytes:
    return material()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, content) -> Path:
    place = tmp_path_factory.mktemp("hub")
    (place / "hf/acme/xet").mkdir(parents=True)
    (place / "hf/acme/xet" / BIG).write_bytes(content)
    (place / "hf/acme/xet/README.md").write_text("# small\n")
    return place


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory) -> XetStore:
    return XetStore.build(tmp_path_factory.mktemp("cas"), {BIG: folder / "hf/acme/xet" / BIG})


@pytest.fixture
def cas(store):
    with Cas(store) as running:
        yield running


@pytest.fixture
def hub(folder, cas):
    with MisbehavingHub(Folder(folder), Settings(token=TOKEN)) as running:
        announce(running, cas)
        yield running


def test_the_store_is_one_that_the_unmodified_client_fetches_from(hub, cas, content, tmp_path) -> None:
    done = hub_folder.run(
        "hf", "download", "acme/xet", BIG, "--local-dir", str(tmp_path / "here"), home=tmp_path,
        HF_ENDPOINT=hub.endpoint, HF_TOKEN=TOKEN, HF_HUB_DISABLE_XET="0", HF_XET_LOG_DEST=os.devnull,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert same((tmp_path / "here" / BIG).read_bytes(), content)
    assert cas.bytes_of("xorb") > 9_000_000
    assert not hub.asked("", place="cdn")


def test_the_hub_tells_where_a_file_is_stored_and_lends_one_token_for_all_files(hub, cas, content) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)
    sha256 = hashlib.sha256(content).hexdigest()
    first = replace(wanted(content, 0, 3_000_000), sha256=sha256)
    rest = replace(wanted(content, 3_000_000), sha256=sha256)

    assert same(read(adapter.open_xet(pin, first)) + read(adapter.open_xet(pin, rest)), content)
    assert len(hub.asked("/xet-read-token/")) == 1
    assert {asked.token for asked in cas.of("reconstruction")} == {XET_TOKEN}
    assert not hub.asked("", place="cdn")


def test_the_supply_opens_streams_of_either_kind(hub, cas, content) -> None:
    supply = Supply(
        lambda _scheme: reach(HUGGINGFACE, hub.endpoint, token=TOKEN),
        Http(http_settings()),
        Retry(patience=Patience(), sleep=pytest.fail, tell=pytest.fail),
    )
    pin = supply.resolve("hf", "acme/xet", None)

    assert same(read(supply.open_xet(pin, wanted(content))), read(supply.open("hf", pin, wanted(content))))
    assert len(hub.asked("", place="cdn")) == 1
    assert cas.bytes_of("xorb")


def test_a_hub_without_xet_storage_is_refused() -> None:
    supply = Supply(
        lambda _scheme: reach(MODELSCOPE, "http://127.0.0.1:9"),
        Http(http_settings()),
        Retry(patience=Patience(), sleep=pytest.fail, tell=pytest.fail),
    )

    with pytest.raises(errors.HubRefused, match="modelscope has no Xet storage"):
        supply.open_xet(Pin(repository="a/b", revision="main", commit=None), Wanted(path="x", size=1))


def test_a_token_that_is_nearly_over_is_asked_for_anew(hub, cas, content) -> None:
    hub.rules.insert(0, Rule(r"/xet-read-token/", lends(cas.endpoint, XET_TOKEN, lifetime=50)))
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)

    for _ in range(2):
        read(adapter.open_xet(pin, wanted(content, 0, 10)))

    assert len(hub.asked("/xet-read-token/")) == 2


def in_parts(adapter, pin, content) -> bytes:
    ends = [(start, min(start + 4_000_000, len(content))) for start in range(0, len(content), 4_000_000)]
    return b"".join(read(adapter.open_xet(pin, wanted(content, *span))) for span in ends)


def test_a_file_that_comes_in_parts_costs_the_hub_one_question(hub, cas, content) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)

    assert same(in_parts(adapter, pin, content), content)
    assert len(hub.asked("/resolve/")) == 1
    assert len(cas.of("reconstruction")) > 2


def test_what_the_hub_told_is_asked_anew_when_it_does_not_serve(hub, cas, content) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)
    read(adapter.open_xet(pin, wanted(content, 0, 10)))
    cas.faults.append(Fault("reconstruction", refuses(403)))
    with pytest.raises(errors.HubUnavailable):
        adapter.open_xet(pin, wanted(content, 10, 20))
    assert len(hub.asked("/resolve/")) == 1

    cas.faults.clear()
    body = adapter.open_xet(pin, wanted(content, 10))
    assert len(hub.asked("/resolve/")) == 2
    cas.faults.append(Fault("xorb", refuses(403)))
    with pytest.raises(errors.HubUnavailable):
        read(body)  # more than is there already

    cas.faults.clear()
    read(adapter.open_xet(pin, wanted(content, 20, 30)))
    assert len(hub.asked("/resolve/")) == 3


def test_what_the_hub_told_is_asked_anew_when_its_token_is_nearly_over(hub, content) -> None:
    now = [time.time()]
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN, now=lambda: now[0])
    pin = adapter.resolve("acme/xet", None)

    for later in (0, 3_500, 100):  # seconds; a token is good for an hour
        now[0] += later
        read(adapter.open_xet(pin, wanted(content, 0, 10)))

    assert len(hub.asked("/resolve/")) == 2


class Endless:
    """A session of the library, which ends, and says that it cannot."""

    def __init__(self, session) -> None:
        self._session = session

    def sigint_abort(self) -> None:
        self._session.sigint_abort()
        raise RuntimeError("no runtime at https://storage/?signature=s3cret")


def test_a_session_that_cannot_be_ended_gives_its_turn_back(cas, content) -> None:
    for _ in range(STREAMS + 1):
        body = stream(cas, content, 0, 10, answer=2.0)
        body._session.vendor = Endless(body._session.vendor)
        with pytest.raises(errors.HubRefused, match="cannot end") as raised:
            body.close()
        assert "s3cret" not in str(raised.value)


def test_what_is_not_as_promised_or_not_in_the_storage_is_refused(hub, content) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)
    pin = adapter.resolve("acme/xet", None)

    with pytest.raises(errors.HubRefused, match="does not keep all of acme/xet in Xet storage"):
        adapter.open_xet(pin, Wanted(path="README.md", size=8))
    with pytest.raises(errors.PathNotFound):
        adapter.open_xet(pin, wanted(content, path="nothing.bin"))
    with pytest.raises(errors.SizeMismatch):
        adapter.open_xet(pin, Wanted(path=BIG, size=5))
    with pytest.raises(errors.DigestMismatch):
        adapter.open_xet(pin, replace(wanted(content), sha256="0" * 64))


@pytest.mark.parametrize(
    ("address", "error"), [("local:///etc", errors.NotAHub), ("http://user@evil", errors.NotAHub), ("", errors.NotAHub)]
)
def test_a_hub_cannot_send_us_to_a_storage_that_is_no_web_server(hub, content, address, error) -> None:
    hub.rules.insert(0, Rule(r"/xet-read-token/", lends(address, XET_TOKEN)))
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)

    with pytest.raises(error):
        adapter.open_xet(adapter.resolve("acme/xet", None), wanted(content))


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answers(403), errors.AccessDenied),
        (answers(503), errors.Unreachable),
        (answers(429, {"Retry-After": "7"}), errors.RateLimited),
        (answers(200, body="<html>"), errors.NotAHub),
        (redirects("http://127.0.0.1:9/elsewhere"), errors.Unreachable),
    ],
)
def test_a_token_that_the_hub_does_not_lend_is_an_error_of_ours(hub, content, behaviour, error) -> None:
    hub.rules.insert(0, Rule(r"/xet-read-token/", behaviour))
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)

    with pytest.raises(error) as caught:
        adapter.open_xet(adapter.resolve("acme/xet", None), wanted(content))
    assert TOKEN not in f"{caught.value} {caught.value.hint}"


def test_the_address_of_a_pin_is_quoted_and_found(hub) -> None:
    adapter = reach(HUGGINGFACE, hub.endpoint, token=TOKEN)

    with pytest.raises(errors.PathNotFound):
        adapter.open_xet(Pin(repository="acme/xet", revision="main", commit=None), Wanted(path="a b#%20+&.txt", size=1))
