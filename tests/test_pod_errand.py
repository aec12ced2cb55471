"""Errands: what a pod is handed, and what is too much for one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pod_bed import CHEAP, START, VOLUME, Bed
from test_pod_result import LOCK

from provision.errors import InputError
from provision.pods.carrying import new_order
from provision.pods.errand import VARIABLES, Errand, order_for
from provision.pods.job import COMMAND, VARIABLE_LIMIT, Job, Task
from provision.pods.lease import new_lease

ERRAND = Errand(
    job=Job(task=Task.FILL, locks=(LOCK,)),
    volume=VOLUME,
    candidates=(CHEAP,),
    seconds=3600,
    script=b"#!/bin/sh\n",
    token="status-token",
    package="volume-provision==0.1.0",
    env={"HF_TOKEN": "{{ RUNPOD_SECRET_hf }}"},
)
LEASE = new_lease("p", START, 3600, "k3f9a2xq")


def test_an_order_is_all_that_a_pod_needs() -> None:
    order = order_for(ERRAND, LEASE, CHEAP)

    assert (order.name, order.image, order.command) == (str(LEASE), "python:3.12-slim", COMMAND)
    assert (order.offer, order.volume, order.mount, order.port) == (CHEAP, VOLUME, "/workspace", 8000)
    assert order.deadline == START + 3600
    assert (
        order.env.items()
        >= {
            "PROVISION_LEASE": str(LEASE),
            "PROVISION_DEADLINE": str(int(START + 3600)),
            "PROVISION_STATUS_TOKEN": "status-token",
            "PROVISION_STATUS_PORT": "8000",
            "PROVISION_PACKAGE": "volume-provision==0.1.0",
            "PROVISION_VOLUME": "/workspace",
            "PROVISION_VOLUME_SIZE": "100G",
            "PROVISION_PRICE": "0.06",
            "HF_TOKEN": "{{ RUNPOD_SECRET_hf }}",
        }.items()
    )
    assert {"PROVISION_SCRIPT", "PROVISION_PARCEL_0"} <= set(order.env)


def test_a_lease_runs_from_the_order_for_as_long_as_the_errand_says() -> None:
    bed = Bed()
    bed.time.sleep(7000)

    assert new_order(bed.renting, ERRAND, CHEAP).deadline == START + 7000 + 3600


def test_what_is_passed_on_does_not_replace_what_is_ours() -> None:
    order = order_for(replace(ERRAND, env={"PROVISION_LEASE": "x"}), LEASE, CHEAP)

    assert order.env["PROVISION_LEASE"] == str(LEASE)


def test_too_many_variables_are_refused_before_anything_is_rented() -> None:
    room = VARIABLES - len(order_for(replace(ERRAND, env={}), LEASE, CHEAP).env)
    full = {f"V{number}": "" for number in range(room)}

    assert len(order_for(replace(ERRAND, env=full), LEASE, CHEAP).env) == VARIABLES
    with pytest.raises(InputError, match="takes 50 environment variables, and this would be 51"):
        order_for(replace(ERRAND, env=full | {"W": ""}), LEASE, CHEAP)


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "Ä", "A-B"])
def test_what_is_no_name_of_a_variable_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name"):
        order_for(replace(ERRAND, env={name: "x"}), LEASE, CHEAP)


@pytest.mark.parametrize("value", ["x" * (VARIABLE_LIMIT + 1), "a\0b"])
def test_a_value_that_no_process_takes_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(InputError, match="the value of HF_TOKEN is too long") as caught:
        order_for(replace(ERRAND, env={"HF_TOKEN": value}), LEASE, CHEAP)
    assert value[:20] not in caught.value.message.replace("HF_TOKEN", "")


def test_a_lease_of_several_projects_has_a_name_all_the_same() -> None:
    both = replace(ERRAND, job=Job(task=Task.FILL, locks=(LOCK, replace(LOCK, project="q"))))

    assert (ERRAND.project, both.project) == ("p", "projects")


def test_no_secret_is_shown() -> None:
    errand = replace(ERRAND, env={"HF_TOKEN": "hf_secret"})

    for shown in (repr(errand), repr(order_for(errand, LEASE, CHEAP))):
        assert "hf_secret" not in shown
        assert "status-token" not in shown
