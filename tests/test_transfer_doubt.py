"""Doubt among several suppliers: one that fails while it is asked alone is no reason not to ask the next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from byte_faults import announces, flips, in_turn
from fill_bed import NAME, SIZES, TOKEN, Bed, build, content
from hub_kinds import HUGGINGFACE, MODELSCOPE, reach
from misbehaving_hub import MisbehavingHub, Rule, answers

from provision.digest import PIECE_SIZE
from provision.errors import ExitCode
from provision.lock import Mirror
from provision.serve import Folder, Settings

SOURCE, MIRROR = f"hf://{NAME}", f"modelscope://{NAME}"
P = PIECE_SIZE
PAIR = "pair.npy"
"""A piece, and a small one: whoever sends the second has not sent much."""
ALL = SIZES[PAIR] = P + 100_003


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = Folder(build(tmp_path_factory.mktemp("served"), (PAIR,)))
    with MisbehavingHub(folder, Settings(token=TOKEN)) as hub, MisbehavingHub(folder) as mirror:
        yield hub, mirror


@pytest.fixture
def bed(served, tmp_path):
    """A source whose rules are the bed's, and an honest mirror."""
    hub, mirror = served
    hub.rules.clear()
    mirror.log.clear()
    return Bed(
        hub=hub,
        kind=HUGGINGFACE,
        volume=tmp_path,
        sent_elsewhere=2 * ALL,
        others={"modelscope": reach(MODELSCOPE, mirror.endpoint)},
    )


def filled(bed, *behaviours):
    """What became of the file, when the CDN of its source meets each request with the next of `behaviours`."""
    bed.hub.rules.append(Rule("", in_turn(behaviours), place="cdn"))
    lock = bed.lock(PAIR)
    mirrors = (Mirror(source=MIRROR, revision="master", commit=None),)
    lock = replace(lock, models=tuple(replace(model, mirrors=mirrors) for model in lock.models))
    result = bed.fill(lock, connections=1)
    assert result.exit_code == ExitCode.DONE, result.error
    assert (bed.volume / "models" / PAIR).read_bytes() == content(PAIR)
    return result.outcomes[0]


LONGER = f"bytes {P}-{ALL - 1}/{ALL + 1}"
ANOTHER = {
    "another object": (announces({"etag": '"another"'}), "was replaced while it was being fetched"),
    "another size": (answers(206, {"Content-Range": LONGER}, bytes(ALL - P)), f"the hub has {ALL + 1:,} bytes"),
}


@pytest.mark.parametrize(("behaviour", "why"), ANOTHER.values(), ids=ANOTHER)
def test_a_source_that_has_other_bytes_meanwhile_does_not_keep_its_mirror_from_being_asked(bed, behaviour, why):
    outcome = filled(bed, flips(5), answers(503), behaviour)

    assert outcome.served[MIRROR] == ALL, "only what the source had sent was asked of the mirror as well"
    assert list(outcome.dropped) == [SOURCE]
    assert why in outcome.dropped[SOURCE]


def test_what_a_mirror_sent_before_another_was_asked_alone_is_kept(bed):
    outcome = filled(bed, flips(5), answers(503), flips(5))

    assert outcome.served == {SOURCE: ALL, MIRROR: ALL}
    assert list(outcome.dropped) == [SOURCE]
