"""The stand-in's chaos dial: before and after the effect, in each API's words, by whom it is asked, by a seed."""

from __future__ import annotations

import http.client
import json
import time

import pytest
from runpod_bed import ask, order, query, rent, until
from runpod_cloud import Fault, RunPodCloud, Timing
from runpod_cloud.faults import ANSWERS, MISFORTUNES, PASSING

DEPLOY = 'mutation { deployCpuPod(input: {imageName: "i", dockerArgs: "sleep 100"}) { id } }'


@pytest.fixture
def cloud():
    with RunPodCloud() as cloud:
        cloud.dials.timing = Timing(restart=0.02, grace=0.2)
        yield cloud


@pytest.mark.parametrize("kind", ["cut", "hang", "torn"])
def test_an_answer_may_not_come_though_the_pod_is_rented(cloud, kind):
    cloud.faults.on("createPod", kind, after=True, seconds=0.01)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(cloud, "POST", "/v2/pods", order())

    assert len(cloud.pods) == 1
    assert ask(cloud, "POST", "/v2/pods", order()).status == 201


@pytest.mark.parametrize("kind", ["cut", "hang"])
def test_or_it_does_not_come_and_nothing_is_rented(cloud, kind):
    cloud.faults.on("create", kind, seconds=0.01)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        query(cloud, DEPLOY)

    assert not cloud.pods


@pytest.mark.parametrize("kind", sorted(ANSWERS))
@pytest.mark.parametrize("after", [False, True])
def test_any_answer_can_stand_in_the_place_of_the_true_one(cloud, kind, after):
    cloud.faults.on("create", kind, after=after, times=2)
    by_rest, by_query = ask(cloud, "POST", "/v2/pods", order()), query(cloud, DEPLOY)

    assert len(cloud.pods) == (2 if after else 0)
    assert cloud.faults.told == [("createPod", kind, after), ("deployCpuPod", kind, after)]
    if kind.startswith("page"):
        assert by_rest.status == by_query.status == int(kind[4:])
        assert b"<html>" in by_rest.body
    elif kind == "null":
        assert by_query.json == {"data": {"deployCpuPod": None}}
    elif kind.isdigit():
        assert by_rest.status == by_rest.json["status"] == int(kind)
        assert by_query.status == (int(kind) if kind in ("401", "410", "429", "503") else 200)
    elif kind != "empty":
        assert by_rest.status == 400
        assert by_query.json["errors"][0]["message"] == by_rest.json["detail"]


def test_an_answer_may_be_slow(cloud):
    cloud.faults.on("listPods", "slow", seconds=0.1)
    began = time.monotonic()
    assert ask(cloud, "GET", "/v2/pods").json == {"pods": []}
    assert time.monotonic() - began >= 0.1


def test_a_rule_can_be_for_pods_alone_and_for_so_many_times(cloud):
    pod = rent(cloud)
    key = cloud.account.pod(pod).key
    cloud.faults.on("delete", "403", times=2, by="pod")
    assert [ask(cloud, "DELETE", f"/v2/pods/{pod}", key=key).status for _ in range(3)] == [403, 403, 204]
    pod = rent(cloud)
    cloud.faults.on("delete", "403", times=None, by="pod")
    assert ask(cloud, "DELETE", f"/v2/pods/{pod}").status == 204
    with pytest.raises(ValueError, match="made-up"):
        cloud.faults.on("*", "made-up")


def test_a_bad_host_never_gets_a_runtime(cloud):
    cloud.faults.on("create", "bad-host")
    pod = rent(cloud)
    told = ask(cloud, "GET", f"/v2/pods/{pod}").json
    assert (told["status"], told["runtime"], told["cost"]) == ("RUNNING", None, 0.06)
    assert not cloud.account.pod(pod).container.thread.is_alive()
    assert not cloud.alive()
    ask(cloud, "DELETE", f"/v2/pods/{pod}")
    cloud.assert_clean()


def test_a_pod_may_crash_and_start_again(cloud):
    cloud.faults.on("create", "crash", seconds=0.1)
    pod = rent(cloud, sh="sleep 100 & wait")
    container = cloud.account.pod(pod).container
    until(lambda: container.exits == [-9])
    until(lambda: len(cloud.alive().get(pod, [])) == 2)


def test_a_pod_may_vanish_or_stop_or_lose_its_volume(cloud):
    volume = cloud.create_volume()
    (volume.folder / "model").write_text("kept")
    for kind in ("vanish", "exit", "unmount"):
        cloud.faults.on("create", kind, seconds=0.05)
    lost, stopped, bare = rent(cloud, volume.id), rent(cloud, volume.id), rent(cloud, volume.id)

    until(lambda: cloud.account.pod(lost) is None)
    until(lambda: ask(cloud, "GET", f"/v2/pods/{stopped}").json["status"] == "EXITED")
    assert ask(cloud, "GET", f"/v2/pods/{stopped}").json["cost"] == 0
    until(lambda: not volume.folder.exists())
    volume.mount()
    assert (volume.folder / "model").read_text() == "kept"
    assert [pod.id for pod in cloud.pods] == [stopped, bare]


def test_a_volume_may_come_late(cloud):
    volume = cloud.create_volume()
    cloud.faults.on("create", "late-mount", seconds=0.2)
    wait = '[ -e "$V" ] || echo absent; until [ -e "$V" ]; do sleep 0.01; done; echo there; exec sleep 100'
    pod = rent(cloud, volume.id, sh=wait, env={"V": "/workspace"})
    until(lambda: cloud.account.pod(pod).container.log.text == "absent\nthere\n")


@pytest.mark.parametrize("works", [True, False])
def test_terminate_after_is_honoured_or_not(works):
    now = [1_000_000_000.0]
    with RunPodCloud(clock=lambda: now[0]) as cloud:
        cloud.dials.terminate_after_works = works
        wish = 'imageName: "i", terminateAfter: "2001-09-09T02:46:40Z"'
        query(cloud, f"mutation {{ deployCpuPod(input: {{{wish}}}) {{ id }} }}")
        now[0] = 1_000_003_601.0
        if works:
            until(lambda: not cloud.pods)
        else:
            cloud.account.look_after()
            assert len(cloud.pods) == 1


def test_without_credit_pods_stop_by_themselves():
    now = [0.0]
    with RunPodCloud(clock=lambda: now[0]) as cloud:
        cloud.account.credit = 0.06
        pod = rent(cloud)
        now[0] = 3601.0
        until(lambda: ask(cloud, "GET", f"/v2/pods/{pod}").json["status"] == "EXITED")


def test_chaos_is_the_same_for_the_same_seed():
    def run(seed: int) -> list[tuple[str, str, bool]]:
        with RunPodCloud() as cloud:
            cloud.faults.chaos(seed=seed, rate=0.5, seconds=0.01)
            for _ in range(20):
                for method, path, body in (("POST", "/v2/pods", order()), ("GET", "/v2/pods", None)):
                    try:
                        ask(cloud, method, path, body)
                    except (http.client.HTTPException, OSError, json.JSONDecodeError):
                        continue
            cloud.faults.clear()
            assert ask(cloud, "GET", "/v2/pods").status == 200
            return cloud.faults.told

    first = run(1)
    assert first == run(1) != run(2)
    assert 8 < len(first) < 32
    assert {kind for operation, kind, _ in first if operation == "listPods"} <= {*PASSING}
    assert {kind for operation, kind, _ in first if operation == "createPod"} & {*MISFORTUNES}


def test_a_function_can_decide(cloud):
    cloud.faults.decide(lambda operation, by: Fault(kind="500") if (operation, by) == ("listPods", "account") else None)
    assert [ask(cloud, "GET", path).status for path in ("/v2/pods", "/v2/network-volumes")] == [500, 200]


def test_a_mistake_of_the_stand_ins_is_not_kept_quiet():
    cloud = RunPodCloud()
    cloud.account.catalog = None
    cloud.__enter__()
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(cloud, "GET", "/v2/catalog/cpus")
    with pytest.raises(AttributeError):
        cloud.close()


def test_a_request_without_an_answer_may_take_effect_later(cloud):
    cloud.faults.on("create", "late", seconds=0.1)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(cloud, "POST", "/v2/pods", order(name="late"))
    assert not cloud.pods
    until(lambda: [pod.order.name for pod in cloud.pods] == ["late"])


def test_a_request_to_delete_may_be_answered_and_nothing_happens(cloud):
    pod = rent(cloud)
    cloud.faults.on("*", "lie", times=2)
    assert ask(cloud, "GET", f"/v2/pods/{pod}").status == 200
    assert ask(cloud, "DELETE", f"/v2/pods/{pod}").status == 204
    terminate = f'mutation {{ podTerminate(input: {{podId: "{pod}"}}) }}'
    assert query(cloud, terminate).json == {"data": {"podTerminate": None}}
    assert ask(cloud, "GET", f"/v2/pods/{pod}").status == 200
    assert ask(cloud, "DELETE", f"/v2/pods/{pod}").status == 204
    assert ask(cloud, "GET", f"/v2/pods/{pod}").status == 404


def test_a_new_pod_may_not_be_known_everywhere_at_once(cloud):
    cloud.dials.known_seconds = 0.2
    pod = rent(cloud)
    assert ask(cloud, "GET", f"/v2/pods/{pod}").status == 404
    assert ask(cloud, "GET", "/v2/pods").json == {"pods": []}
    assert [one.id for one in cloud.pods] == [pod]
    until(lambda: ask(cloud, "GET", f"/v2/pods/{pod}").status == 200)
