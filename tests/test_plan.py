"""The plan: one step for each holding, by the table in `provision.plan`; nothing is read or written."""

from __future__ import annotations

import pytest
from volume_material import promised

from provision.errors import ExitCode, InputError
from provision.lock import Lock, LockedFile, LockedModel
from provision.plan import Action, Holding, State, biggest_first, plan

SIZE = 1000
FILE = promised(b"x" * SIZE, "models/a.safetensors")


def lock_of(*files: LockedFile, project: str = "p") -> Lock:
    model = LockedModel(
        name="m", source="hf://o/n", revision="main", commit=None, layout="tree", license=None,
        meaning_sha256="b" * 64, files=files,
    )  # fmt: skip
    return Lock(project=project, root="models", manifest_sha256="c" * 64, models=(model,))


@pytest.mark.parametrize(
    ("holding", "action", "missing", "growth"),
    [
        (Holding(state=State.ABSENT), Action.FETCH, SIZE, SIZE),
        (Holding(state=State.ABSENT, held=400), Action.RESUME, 600, 600),
        (Holding(state=State.PROVEN, size=SIZE), Action.KEEP, 0, 0),
        (Holding(state=State.UNPROVEN, size=SIZE), Action.PROVE, 0, 0),
        (Holding(state=State.DAMAGED, size=SIZE, held=900), Action.REPAIR, 100, 0),
        (Holding(state=State.WRONG_SIZE, size=300), Action.REPAIR, SIZE, SIZE),
        (Holding(state=State.WRONG_SIZE, size=3000, held=900), Action.REPAIR, 100, 0),
        (Holding(state=State.OTHER_VERSION, size=500), Action.FETCH, SIZE, SIZE),
        (Holding(state=State.OTHER_VERSION, size=500, held=10), Action.RESUME, 990, 990),
        (Holding(state=State.NOT_A_FILE), Action.REFUSE, 0, 0),
    ],
    ids=lambda x: f"{x.state.value}-{x.held}" if isinstance(x, Holding) else None,
)
def test_each_holding_has_its_step(holding: Holding, action: Action, missing: int, growth: int):
    made = plan([lock_of(FILE)], lambda _: holding)

    assert [(step.action, step.missing) for step in made.steps] == [(action, missing)]
    assert made.room_needed({FILE.target: holding}) == growth


def test_every_state_has_a_step():
    for state in State:
        assert plan([lock_of(FILE)], lambda _, s=state: Holding(state=s)).steps


def test_what_two_projects_promise_alike_is_one_step():
    made = plan([lock_of(FILE), lock_of(FILE, project="q")], lambda _: Holding(state=State.ABSENT))

    assert len(made.steps) == 1
    assert made.missing == SIZE


def test_two_projects_that_promise_different_bytes_for_one_target_are_refused():
    other = promised(b"y" * SIZE, FILE.target)

    with pytest.raises(InputError, match="two projects, p and q") as caught:
        plan([lock_of(FILE), lock_of(other, project="q")], lambda _: Holding(state=State.ABSENT))

    assert caught.value.exit_code is ExitCode.INPUT
    assert caught.value.hint


def test_what_takes_longest_starts_first_and_the_order_is_always_the_same():
    files = [promised(b"x" * size, f"models/{size}") for size in (5, 900, 30)]
    made = plan([lock_of(*files)], lambda _: Holding(state=State.ABSENT))

    assert [step.file.size for step in biggest_first(made.steps)] == [900, 30, 5]
