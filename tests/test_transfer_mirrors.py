"""Mirrors: any may send any byte. A source that fails gives its turn away; one that lies is found and named."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from byte_faults import cuts_after, flips, ignores_range
from fill_bed import BIG, NAME, PLAIN, SIZES, SMALL, TOKEN, Bed, build, content, file_of
from hub_kinds import HUGGINGFACE, MODELSCOPE, http_settings, reach
from loopback_tls import Certificate, serving
from misbehaving_hub import MisbehavingHub, Rule, answers, later

from provision.digest import PIECE_SIZE
from provision.errors import DigestMismatch, ExitCode, Gated, PathNotFound
from provision.hubs import Pace
from provision.hubs.schemes import open_hub
from provision.hubs.settings import HubSettings
from provision.lock import Lock, Mirror
from provision.serve import Folder, Settings
from provision.transfer import suppliers

SOURCE, MIRROR = f"hf://{NAME}", f"modelscope://{NAME}"
ALL = SIZES[BIG]
P = PIECE_SIZE
DOWN = Rule("", answers(503))


@dataclass(kw_only=True)
class Beds:
    """The source, and a mirror of the other kind: two hubs with the same repository."""

    bed: Bed
    mirror: MisbehavingHub

    def lock(self, *paths: str, mirrors=None) -> Lock:
        lock = self.bed.lock(*paths)
        mirrors = (Mirror(source=MIRROR, revision="master", commit=None),) if mirrors is None else mirrors
        return replace(lock, models=tuple(replace(model, mirrors=mirrors) for model in lock.models))

    def fill(self, *paths: str, mirrors=None, **settings):
        return self.bed.fill(self.lock(*paths, mirrors=mirrors), **{"connections": 1, **settings})


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = Folder(build(tmp_path_factory.mktemp("served")))
    with MisbehavingHub(folder, Settings(token=TOKEN)) as hub, MisbehavingHub(folder) as mirror:
        yield hub, mirror


@pytest.fixture
def beds(served, tmp_path):
    hub, mirror = served
    for one in served:
        one.rules.clear()
        one.log.clear()
    (tmp_path / "volume").mkdir()
    adapter = reach(MODELSCOPE, mirror.endpoint)
    bed = Bed(
        hub=hub,
        kind=HUGGINGFACE,
        volume=tmp_path / "volume",
        sent_elsewhere=10 * ALL,
        others={"modelscope": adapter},
    )
    return Beds(bed=bed, mirror=mirror)


def done(result):
    """The outcome of the one file, which is as promised."""
    assert result.exit_code == ExitCode.DONE
    (outcome,) = result.outcomes
    return outcome


def test_a_mirror_is_not_asked_while_its_source_serves(beds):
    assert done(beds.fill(BIG)).served == {SOURCE: ALL}
    assert beds.mirror.log == []


@pytest.mark.parametrize(
    "refusal",
    [answers(404, {"X-Error-Code": "EntryNotFound"}), answers(403, {"X-Error-Code": "GatedRepo"})],
    ids=["404", "gated"],
)
def test_where_the_source_refuses_the_mirror_serves_and_the_report_says_why(beds, refusal):
    beds.bed.hub.rules.append(Rule("/resolve/", refusal))
    result = beds.fill(BIG)
    assert done(result).served == {MIRROR: ALL}
    assert list(done(result).dropped) == [SOURCE]
    assert any("goes on" in note for note in result.notes)
    assert result.sleeps == []


def test_where_the_source_is_down_the_mirror_serves_without_a_wait(beds):
    beds.bed.hub.rules.append(DOWN)
    result = beds.fill(BIG)
    assert done(result).served == {MIRROR: ALL}
    assert result.sleeps == []


def test_the_next_one_takes_over_in_the_middle_of_a_file(beds):
    beds.bed.hub.rules += later(1, "", cuts_after(5_000_000))
    beds.bed.hub.rules.append(Rule("", answers(503), place="cdn"))
    outcome = done(beds.fill(BIG))
    assert outcome.served == {SOURCE: P + 5_000_000, MIRROR: ALL - P - 5_000_000}, "no byte twice"


def test_one_that_is_slow_by_the_stated_measure_gives_its_turn_away(beds, monkeypatch):
    monkeypatch.setattr(suppliers, "SLOW", Pace(slowest=2_000_000, window=0.3))
    beds.bed.hub.rules.append(Rule("", bodies_that_trickle(), place="cdn"))
    result = beds.fill(BIG)
    outcome = done(result)
    assert 0 < outcome.served[SOURCE] < P
    assert outcome.served[SOURCE] + outcome.served[MIRROR] == ALL
    assert any("bytes a second" in note for note in result.notes)


def bodies_that_trickle():
    """The honest answer, 8 KiB at a time, each when the client has had the time to take it."""
    import asyncio

    async def trickling(honest, scope, receive, send):
        async def drops(message):
            body = message.get("body", b"")
            for at in range(0, len(body), 8192):
                await send({**message, "body": body[at : at + 8192], "more_body": True})
                await asyncio.sleep(0.02)
            if not body or not message.get("more_body"):
                await send({**message, "body": b""} if body else message)

        await honest(scope, receive, drops)

    return trickling


def test_a_slow_one_is_still_better_than_none(beds, monkeypatch):
    monkeypatch.setattr(suppliers, "SLOW", Pace(slowest=2_000_000, window=0.1))
    beds.bed.hub.rules.append(Rule("", bodies_that_trickle(), place="cdn"))
    beds.mirror.rules.append(DOWN)
    assert done(beds.fill(SMALL)).served[SOURCE] == SIZES[SMALL]


def test_what_failed_for_one_file_is_asked_last_for_the_next(beds):
    beds.bed.hub.rules.append(DOWN)
    result = beds.fill(BIG, SMALL)
    assert result.exit_code == ExitCode.DONE
    assert [request for request in beds.bed.hub.log if SMALL in request.target] == []


def test_where_all_refuse_the_sources_own_words_are_the_error(beds):
    beds.bed.hub.rules.append(Rule("/resolve/", answers(403, {"X-Error-Code": "GatedRepo"})))
    beds.mirror.rules.append(Rule("FilePath", answers(404)))
    result = beds.fill(SMALL)
    assert isinstance(result.error, Gated)
    assert set(result.outcomes[0].dropped) == {SOURCE, MIRROR}


def test_a_mirror_whose_bytes_are_wrong_is_dropped_and_named_with_the_bytes(beds):
    beds.bed.hub.rules += later(1, "", answers(503))
    beds.mirror.rules.append(Rule("", flips(P + 77), place="cdn"))
    result = beds.fill(BIG)
    outcome = done(result)
    assert list(outcome.dropped) == [MIRROR]
    assert f"bytes {P:,}-{2 * P - 1:,}" in outcome.dropped[MIRROR]
    assert outcome.served[SOURCE] == ALL, "what the source had sent was not asked of it again"


def test_a_source_whose_bytes_are_wrong_is_dropped_and_the_mirror_sends_the_whole(beds):
    beds.bed.hub.rules.append(Rule("", flips(P + 77), place="cdn"))
    outcome = done(beds.fill(BIG))
    assert outcome.served == {SOURCE: ALL, MIRROR: ALL}
    assert list(outcome.dropped) == [SOURCE]


def test_bytes_that_are_wrong_everywhere_get_no_name_and_the_error_names_all_who_sent_them(beds):
    for hub in (beds.bed.hub, beds.mirror):
        hub.rules.append(Rule("", flips(5), place="cdn"))
    result = beds.fill(BIG)
    assert isinstance(result.error, DigestMismatch)
    assert {SOURCE, MIRROR} <= set(result.error.message.replace(",", "").split())
    assert not (beds.bed.volume / "models" / BIG).exists()


def test_bytes_that_come_differently_each_time_are_named_by_offset(beds):
    beds.bed.hub.rules += later(1, "", flips(P + 5))
    beds.bed.hub.rules += [Rule("", flips(3), place="cdn")]
    result = beds.fill(BIG, mirrors=())
    assert isinstance(result.error, DigestMismatch)
    assert SOURCE in result.error.message
    assert f"bytes 0-{2 * P - 1:,}" in result.error.message


def test_a_mirror_may_have_the_file_under_another_path(beds):
    beds.bed.hub.rules.append(DOWN)
    lock = beds.lock(PLAIN)
    wrong = replace(lock.models[0].files[0], path="elsewhere.json")
    mirror = Mirror(source=MIRROR, revision="master", commit=None, paths=(("elsewhere.json", PLAIN),))
    model = replace(lock.models[0], files=(wrong,), mirrors=(mirror,))
    assert done(beds.bed.fill(replace(lock, models=(model,)))).served == {MIRROR: SIZES[PLAIN]}


def test_a_mirror_that_lacks_a_file_is_passed_over(beds):
    mirrors = (
        Mirror(source="modelscope://acme/nothing", revision="master", commit=None),
        Mirror(source=MIRROR, revision="master", commit=None),
    )
    beds.bed.hub.rules.append(Rule("/resolve/", answers(404, {"X-Error-Code": "EntryNotFound"})))
    assert done(beds.fill(SMALL, mirrors=mirrors)).served == {MIRROR: SIZES[SMALL]}


def test_a_plain_https_server_is_a_mirror_even_without_ranges(beds, tmp_path_factory):
    certificate = Certificate.made_in(tmp_path_factory.mktemp("tls"))
    folder = tmp_path_factory.mktemp("web") / "weights"
    folder.mkdir()
    (folder / BIG).write_bytes(content(BIG))
    settings = {"ca_bundle": str(certificate.bundle)}
    beds.bed.others["https"] = open_hub("https", HubSettings(http=http_settings(**settings)))
    beds.bed.hub.rules += later(1, "", answers(503), times=None)
    with serving(folder.parent, certificate) as web:
        mirror = Mirror(source=f"https://{web.host}/weights", revision="", commit=None)
        outcome = done(beds.fill(BIG, mirrors=(mirror,), connections=3, **settings))
    assert outcome.served[mirror.source] >= ALL - P
    assert (beds.bed.volume / "models" / BIG).read_bytes() == content(BIG)


def test_a_server_without_ranges_sends_the_whole_once_however_many_connections_there_are(beds):
    beds.bed.hub.rules.append(Rule("", ignores_range(), place="cdn"))
    result = beds.fill(BIG, mirrors=(), connections=4)
    assert done(result).fetched <= ALL + 3 * P, "others leave as soon as they notice"


def test_a_path_that_no_one_has_is_refused(beds):
    lock = beds.lock(SMALL)
    model = replace(lock.models[0], files=(replace(file_of(SMALL), path="no/such.npy"),))
    assert isinstance(beds.bed.fill(replace(lock, models=(model,))).error, PathNotFound)


def test_a_source_that_cuts_after_every_byte_gives_its_turn_away(beds):
    """It makes progress, and would for years."""
    beds.bed.hub.rules.append(Rule("", cuts_after(1), place="cdn"))
    result = beds.fill(SMALL)
    assert done(result).served[MIRROR] >= SIZES[SMALL] - 10
    assert len(beds.bed.hub.asked("", "cdn")) < 10


def test_a_lie_is_told_though_the_mirror_has_nothing_to_say(beds):
    beds.bed.hub.rules.append(Rule("", flips(5), place="cdn"))
    beds.mirror.rules.append(Rule("FilePath", answers(404)))
    result = beds.fill(BIG)
    assert result.exit_code == ExitCode.BYTES
    assert SOURCE in result.error.message


def test_a_lie_is_told_though_the_mirror_is_down(beds):
    beds.bed.hub.rules.append(Rule("", flips(5), place="cdn"))
    beds.mirror.rules.append(DOWN)
    result = beds.fill(BIG)
    assert result.exit_code == ExitCode.UNAVAILABLE
    assert "was promised" in result.error.message


def test_what_a_source_asked_for_is_kept_while_a_mirror_fails(beds):
    """Retry-After is the source's; the mirror's failures neither shorten it nor make the source forgotten."""
    beds.bed.hub.rules += later(0, "", answers(429, {"Retry-After": "60"}), times=1)
    beds.mirror.rules.append(DOWN)
    result = beds.fill(SMALL)
    assert result.exit_code == ExitCode.DONE
    assert len(beds.bed.hub.asked("", "cdn")) == 2
    assert sum(result.sleeps) >= 50, "all of it, but what the fill itself has taken"
