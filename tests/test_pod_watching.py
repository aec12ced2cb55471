"""Watching: a pod is heard by whichever way is open, and only its own words count."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pod_bed import START, Bed
from pod_voice import NAME, POD, TOKEN, HeardCloud, Voice, Volume, heard_bed, pools, status, text

from provision.errors import CloudUnavailable, Interrupted, PodError, PodLost
from provision.pods import ways
from provision.pods.cloud import State
from provision.pods.rental import Heard
from provision.pods.status import LIMIT, LINE, RESULT_LINE, Phase, Status
from provision.pods.watching import Vigilance, Watch
from provision.pods.ways import RESULT_LIMIT, Endpoint, Log, Marker

ENDED = status(Phase.ENDED, now=START + 90, exit_code=0)
DEADLINE = START + 3600


@dataclass
class Seat:
    """A watch over a pod with all three ways. `at` is what happens when so many seconds have passed."""

    bed: Bed
    cloud: HeardCloud
    volume: Volume = field(default_factory=Volume)
    shown: list[Status] = field(default_factory=list)
    at: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bed.points.at = lambda _number, name: self._happen() if name == "sleep" else None
        self.log = Log(self.cloud, POD)
        endpoint = Endpoint(self.cloud, pools(), POD, time.monotonic, port=8000, token=TOKEN)
        all_ways = [endpoint, self.log, Marker(self.volume, POD)]
        self.watch = Watch(self.bed.renting, POD, all_ways, self.shown.append, Vigilance())

    def _happen(self) -> None:
        while self.at and self.bed.time.passed >= self.at[0][0]:
            self.at.pop(0)[1]()
        assert self.bed.time.passed < 10_000, "nothing ends this"

    def until_ended(self) -> Status:
        return self.watch.until_ended(DEADLINE)


def seat() -> Seat:
    return Seat(*heard_bed())


def lines_of(result: bytes, size: int = 10) -> list[str]:
    packed = base64.b64encode(gzip.compress(result)).decode()
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    return [f"{RESULT_LINE}{number}/{len(parts)} {part}" for number, part in enumerate(parts, 1)]


def test_the_pods_own_address_is_asked_with_the_token_and_nobody_else_while_it_answers() -> None:
    seated = seat()
    with Voice(status=text(status(done=5, total=10))) as voice:
        seated.cloud.where = voice.address
        seated.at = [(30, lambda: setattr(voice, "status", text(ENDED)))]
        seated.volume.is_closed, seated.cloud.lines = True, []
        assert seated.watch.heard() is Heard.WORD
        asked = seated.cloud.asked_logs

        # The same moment told again is no news, but the address is open: nothing else is needed for a while.
        assert seated.until_ended() == ENDED

    assert [said.done for said in seated.shown] == [5, 0]
    assert set(voice.asked) == {("GET /status", f"Bearer {TOKEN}")}
    assert seated.cloud.asked_logs <= asked + 2


@pytest.mark.parametrize("code", [401, 404, 500, 502, 503, 524])
def test_while_the_proxy_knows_no_pod_the_log_is_read_and_later_the_address_again(code: int) -> None:
    seated = seat()
    with Voice(status=text(status(done=7, now=START + 60)), code=code) as voice:
        seated.cloud.where = voice.address
        seated.cloud.lines = ["installing", LINE + text(status(done=3, now=START + 10)).decode()]
        seated.at = [
            (20, lambda: setattr(voice, "code", 200)),
            (60, lambda: setattr(voice, "status", text(ENDED))),
        ]
        assert seated.until_ended() == ENDED

    assert [said.done for said in seated.shown] == [3, 7, 0]


def test_without_address_and_log_the_volume_tells() -> None:
    seated = seat()
    seated.at = [
        (30, lambda: seated.volume.files.update({f".provision/jobs/{NAME}.json": text(status(done=1))})),
        (60, lambda: seated.volume.files.update({f".provision/jobs/{NAME}.json": text(ENDED)})),
    ]

    assert seated.until_ended() == ENDED
    assert [said.done for said in seated.shown] == [1, 0]
    assert seated.volume.asked < 10


def test_a_refused_connection_is_no_loss() -> None:
    seated = seat()
    seated.cloud.where = "http://127.0.0.1:1"
    seated.cloud.lines = [LINE + text(ENDED).decode()]

    assert seated.until_ended() == ENDED


def test_a_redirect_is_not_shown_the_token() -> None:
    seated = seat()
    with Voice(status=text(ENDED)) as elsewhere, Voice(code=302, location=elsewhere.address + "/status") as voice:
        seated.cloud.where = voice.address
        assert seated.watch.heard() is Heard.UNKNOWN

    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502</html>",
        b"{}",
        b"",
        text(status(Phase.ENDED, lease="provision-other-20270115T080000Z-3600s-00000000", exit_code=0)),
        text(ENDED)[:-1] + b" " * LIMIT + b"}",
    ],
    ids=["page", "empty object", "nothing", "another pod's", "too long"],
)
def test_what_is_no_word_of_this_pod_is_passed_over(body: bytes) -> None:
    seated = seat()
    with Voice(status=body) as voice:
        seated.cloud.where = voice.address
        seated.watch.heard()

    assert seated.watch.status is None


def test_a_line_of_another_pod_does_not_hide_the_words_of_this_one() -> None:
    seated = seat()
    other = status(lease="provision-other-20270115T080000Z-3600s-00000000", now=START + 99)
    seated.cloud.lines = [LINE + text(status(done=4)).decode(), LINE + text(other).decode()]
    seated.watch.heard()

    assert [said.done for said in seated.shown] == [4]


def test_a_result_beyond_all_measure_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "RESULT_LIMIT", len(RESULT) - 1)
    seated = seat()
    with Voice(result=RESULT) as voice:
        seated.cloud.where = voice.address
        assert seated.watch.result() is None


def test_an_older_word_does_not_replace_a_newer() -> None:
    seated = seat()
    seated.cloud.lines = [LINE + text(status(done=9, now=START + 50)).decode()]
    seated.volume.files[f".provision/jobs/{NAME}.json"] = text(status(done=2, now=START + 40))
    seated.watch.heard()
    seated.bed.time.sleep(100)
    seated.watch.heard()

    assert [said.done for said in seated.shown] == [9]
    assert seated.volume.asked > 0


def test_nothing_said_where_the_log_is_open_is_told_from_not_knowing() -> None:
    seated = seat()
    assert seated.watch.heard() is Heard.UNKNOWN

    seated = seat()
    seated.cloud.lines = []
    assert seated.watch.heard() is Heard.NOTHING
    seated.bed.time.sleep(4)
    assert seated.watch.heard() is Heard.NOTHING

    seated.cloud.lines = ["sh: base64: not found"]
    seated.bed.time.sleep(10)
    assert seated.watch.heard() is Heard.WORD


def test_a_pod_that_is_gone_is_lost_with_its_last_words() -> None:
    seated = seat()
    said = status(done=3 * 10**9, total=10**10, now=START + 5)
    seated.cloud.lines = [LINE + text(said).decode(), "Killed", f"{RESULT_LINE}nonsense"]
    seated.at = [(40, seated.cloud.there.clear)]

    with pytest.raises(PodLost, match=r"pod pod0 is gone; it was last filling, 3\.0 GB of 10\.0 GB") as caught:
        seated.until_ended()

    assert caught.value.hint == "its last words:\nKilled"


def test_one_look_that_finds_nothing_is_no_loss() -> None:
    seated = seat()
    seated.cloud.lines = []
    seated.at = [
        (14, seated.cloud.there.clear),
        (17, lambda: seated.cloud.there.update({POD.id: POD})),
        (40, lambda: seated.cloud.lines and None),
        (60, lambda: seated.cloud.lines.append(LINE + text(ENDED).decode())),  # type: ignore[union-attr]
    ]

    assert seated.until_ended() == ENDED


def test_a_cloud_that_cannot_be_asked_is_no_loss() -> None:
    seated = seat()
    seated.cloud.lines = []
    happen = seated.bed.points.at

    def at(number: int, name: str) -> None:
        happen(number, name)
        if name == "pod: before":
            raise CloudUnavailable("503")

    seated.bed.points.at = at
    seated.at = [(60, lambda: seated.cloud.lines.append(LINE + text(ENDED).decode()))]  # type: ignore[union-attr]

    assert seated.until_ended() == ENDED


def test_a_pod_that_was_stopped_is_lost_and_one_that_ended_meanwhile_is_not() -> None:
    from dataclasses import replace

    seated = seat()
    seated.at = [(30, lambda: seated.cloud.there.update({POD.id: replace(POD, state=State.STOPPED)}))]
    with pytest.raises(PodLost, match="was stopped, as a cloud does when the balance is used up; nothing is known"):
        seated.until_ended()

    seated = seat()
    seated.cloud.there.clear()
    seated.at = [
        (25, lambda: seated.volume.files.update({f".provision/jobs/{NAME}.json": text(ENDED)})),
    ]
    assert seated.until_ended() == ENDED


def test_past_its_deadline_nothing_more_is_expected_of_a_pod_nor_of_another_in_its_place() -> None:
    seated = seat()
    seated.cloud.lines = ["working"]
    seated.at = [(number, lambda: seated.cloud.lines.append("working")) for number in range(0, 9000, 300)]  # type: ignore[union-attr]

    with pytest.raises(PodError, match="came before its job was done") as caught:
        seated.until_ended()

    assert not isinstance(caught.value, PodLost)  # which would be rented anew
    assert "--max-time" in caught.value.hint
    assert 3660 < seated.bed.time.passed < 3700


def test_silence_is_told_with_what_is_known_and_is_a_loss_in_the_end_where_the_log_is_open() -> None:
    seated = seat()
    seated.cloud.lines = [LINE + text(status(Phase.VERIFYING)).decode()]

    with pytest.raises(PodLost, match=r"has said nothing for 15 min 0 s; it was last verifying"):
        seated.until_ended()

    assert "nothing was heard of pod pod0 for 2 min 0 s; it was last verifying" in seated.bed.told
    assert 6 <= len(seated.bed.told) <= 8


def test_an_interrupt_comes_through() -> None:
    seated = seat()

    def stop() -> None:
        raise Interrupted("stop")

    seated.at = [(10, stop)]
    with pytest.raises(Interrupted):
        seated.until_ended()


RESULT = json.dumps({"schema": 1, "words": "x" * 300}).encode()


def test_the_result_comes_from_the_address_and_the_pod_is_told() -> None:
    seated = seat()
    with Voice(result=RESULT) as voice:
        seated.cloud.where = voice.address
        assert seated.watch.result() == RESULT
        seated.watch.taken()

    assert voice.asked == [("GET /result", f"Bearer {TOKEN}"), ("POST /taken", f"Bearer {TOKEN}")]


def test_the_result_comes_from_the_log_however_often_and_in_whatever_order_it_was_printed() -> None:
    seated = seat()
    lines = lines_of(RESULT)
    seated.cloud.lines = [*lines[1:], "", *lines]

    assert seated.watch.result() == RESULT


def test_the_result_comes_from_the_volume() -> None:
    seated = seat()
    seated.cloud.lines = lines_of(RESULT)[1:]
    seated.volume.files[f".provision/jobs/{NAME}.result.json"] = RESULT

    assert seated.watch.result() == RESULT


def test_a_result_that_comes_late_is_waited_for_and_one_that_never_comes_is_not() -> None:
    seated = seat()
    seated.cloud.lines = []
    seated.at = [(30, lambda: seated.cloud.lines.extend(lines_of(RESULT)))]  # type: ignore[union-attr]
    assert seated.watch.result() == RESULT

    seated = seat()
    assert seated.watch.result() is None
    assert 90 <= seated.bed.time.passed < 95

    seated = seat()
    seated.cloud.there.clear()
    assert seated.watch.result() is None
    assert seated.bed.time.passed < 10


@pytest.mark.parametrize(
    "unsound",
    [
        [f"{RESULT_LINE}1/1 !!!"],
        [f"{RESULT_LINE}1/1 AAAA"],
        [f"{RESULT_LINE}2/1 AAAA"],
        [f"{RESULT_LINE}1/1 " + base64.b64encode(gzip.compress(b"no json")).decode()],
        [f"{RESULT_LINE}0/9999 AAAA"],
        [f"{RESULT_LINE}1/1 " + "A" * 100_000],
        lambda: lines_of(b"[" + b" " * (RESULT_LIMIT + 5) + b"]", size=4000),
    ],
    ids=["no base64", "no gzip", "beyond", "no json", "zero", "long", "bomb"],
)
def test_a_log_without_a_sound_result_has_none(unsound: list[str] | Callable[[], list[str]]) -> None:
    _, cloud = heard_bed()
    cloud.lines = unsound() if callable(unsound) else unsound

    assert Log(cloud, POD).result() is None
