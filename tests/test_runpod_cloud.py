"""The stand-in for RunPod, REST v2 and what both APIs share: shapes, refusals, volumes, catalog, money."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from runpod_bed import ask, order, query, rent
from runpod_cloud import RunPodCloud

POD_FIELDS = {
    "id", "name", "status", "actions", "image", "args", "disk", "mounts", "ports", "env", "registry", "cloud",
    "dataCenterId", "cudaVersion", "ssh", "template", "cost", "locked", "runtime", "createdAt", "startedAt",
    "globalNetworking",
}  # fmt: skip
"""What the published schema requires of a pod."""


@pytest.fixture
def cloud():
    with RunPodCloud(keys=("rpa_KEY", "rpa_OTHER")) as cloud:
        yield cloud


def test_a_pod_is_told_of_until_it_is_deleted(cloud):
    volume = cloud.create_volume()
    made = ask(cloud, "POST", "/v2/pods", order(volume.id, env={"A": "b"}))

    assert made.status == 201
    assert made.json.keys() == POD_FIELDS | {"cpu"}
    assert (made.json["status"], made.json["runtime"], made.json["cost"]) == ("RUNNING", None, 0.06)
    assert made.json["cpu"] == {"id": "cpu3c", "vcpuCount": 2, "memory": 4}
    pod = made.json["id"]
    assert [one["id"] for one in ask(cloud, "GET", "/v2/pods").json["pods"]] == [pod]
    assert ask(cloud, "GET", f"/v2/pods/{pod}", key="rpa_OTHER").json["env"] == {"A": "b"}

    assert ask(cloud, "DELETE", f"/v2/pods/{pod}").status == 204
    assert ask(cloud, "GET", f"/v2/pods/{pod}").json == {"title": "Not Found", "status": 404, "detail": "pod not found"}
    assert ask(cloud, "DELETE", f"/v2/pods/{pod}").status == 404
    cloud.assert_clean()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"imageName": "x"}, 422, "$: additional properties 'imageName' not allowed"),
        ({"env": {"A": 1}}, 422, "$.env.A: got integer, want string"),
        ({"cpu": {"id": "cpu3c"}}, 422, "$.cpu: missing properties 'vcpuCount'"),
        ({"cpu": {"id": "cpu3c", "vcpuCount": 1}}, 422, "$.cpu.vcpuCount: minimum: got 1, want 2"),
        ({"mounts": {"network": [{"volumeId": "x"}]}}, 422, "$.mounts.network[0]: missing properties 'path'"),
        ({"mounts": {"network": [{"volumeId": "x", "path": "/w"}] * 2}}, 422, "maxItems: got 2, want 1"),
        ({"cloud": "ALL"}, 422, "value must be one of 'SECURE', 'COMMUNITY'"),
        ({"name": ""}, 422, "minLength"),
        ({"cpu": {"id": "cpu3c", "vcpuCount": 6}}, 400, "power of two"),
        ({"gpu": {"id": "NVIDIA RTX A4000"}}, 400, "exactly one of gpu or cpu"),
        ({"mounts": {"persistent": {"size": 10, "path": "/w"}}}, 400, "not supported on CPU pods"),
        ({"cpu": {"id": "cpu9x", "vcpuCount": 2}}, 400, "unknown CPU flavor"),
        ({"templateId": "t"}, 404, "template not found"),
        ({"mounts": {"network": [{"volumeId": "x", "path": "/w"}]}}, 404, "network volume not found"),
        ({"env": {f"V{n}": "" for n in range(51)}}, 400, "at most 50"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_with_its_reason(cloud, change, status, words):
    told = ask(cloud, "POST", "/v2/pods", {**order(), **change})

    assert told.status == told.json["status"] == status
    assert told.headers["content-type"] == "application/problem+json"
    assert words in str([told.json["detail"], *told.json.get("errors", [])])
    assert not cloud.pods


def test_a_volume_elsewhere_is_refused_in_runpods_words(cloud):
    volume = cloud.create_volume(datacenter="EU-CZ-1")
    told = ask(cloud, "POST", "/v2/pods", order(volume.id, dataCenterIds=["EU-RO-1"]))

    assert told.status == 400
    assert told.json["detail"] == (
        f'Network volume "{volume.id}" is in data center "EU-CZ-1", which is not in the requested set [EU-RO-1]'
    )


def test_what_is_all_rented_is_a_400_in_v2_and_a_supply_constraint_in_graphql(cloud):
    cloud.capacity["cpu3c", "EU-RO-1"] = 1
    rent(cloud, dataCenterIds=["EU-RO-1"])
    told = ask(cloud, "POST", "/v2/pods", order(dataCenterIds=["EU-RO-1"]))

    assert (told.status, told.json["title"]) == (400, "Bad Request")
    assert told.json["detail"].startswith("There are no longer any instances available")
    wish = 'imageName: "i", instanceId: "cpu3c-2-4", dataCenterId: "EU-RO-1"'
    told = query(cloud, f"mutation {{ deployCpuPod(input: {{{wish}}}) {{ id }} }}").json
    assert told["errors"][0]["extensions"]["code"] == "SUPPLY_CONSTRAINT"
    assert told["data"] == {"deployCpuPod": None}


def test_the_catalog_tells_stock_only_where_it_is_asked_for_by_product(cloud):
    cloud.capacity["cpu3c", "EU-RO-1"] = 1
    rent(cloud, dataCenterIds=["EU-RO-1"])
    [cpu3c] = [cpu for cpu in ask(cloud, "GET", "/v2/catalog/cpus").json["cpus"] if cpu["id"] == "cpu3c"]
    assert "availability" not in cpu3c
    assert (cpu3c["ramGbPerVcpu"], cpu3c["price"]["securePerVcpu"]) == (2, 0.03)

    told = ask(cloud, "GET", "/v2/catalog/cpus/cpu3c?include=AVAILABILITY&product=POD").json
    assert {place["id"]: place["availability"] for place in told["dataCenters"]}["EU-RO-1"] == "NONE"
    assert told["availability"] == "HIGH"
    assert ask(cloud, "GET", "/v2/catalog/cpus?include=AVAILABILITY").status == 400
    assert ask(cloud, "GET", "/v2/catalog/gpus?include=AVAILABILITY&product=POD").json["gpus"][0]["availability"]

    [texas] = [
        place
        for place in ask(cloud, "GET", "/v2/catalog/datacenters?include=GPU_AVAILABILITY,CPU_AVAILABILITY").json[
            "dataCenters"
        ]
        if place["id"] == "US-TX-3"
    ]
    assert texas["networkVolumeTypes"] == []
    assert texas["gpuAvailability"]
    assert "cpuAvailability" not in texas


def test_volumes_are_made_grow_and_go_but_not_under_a_pod(cloud):
    wish = {"name": "models", "size": 20, "dataCenter": "EU-RO-1"}
    made = ask(cloud, "POST", "/v2/network-volumes", wish)
    assert (made.status, made.json.keys()) == (201, {"id", "name", "size", "dataCenter", "type"})
    place = f"/v2/network-volumes/{made.json['id']}"

    assert ask(cloud, "PATCH", place, {"size": 30}).json["size"] == 30
    assert ask(cloud, "PATCH", place, {"size": 20}).status == 400
    assert ask(cloud, "PATCH", place, {}).status == 422
    assert ask(cloud, "GET", "/v2/network-volumes").json == {"networkVolumes": [ask(cloud, "GET", place).json]}
    pod = rent(cloud, made.json["id"])
    assert ask(cloud, "DELETE", place).status == 400
    assert ask(cloud, "DELETE", f"/v2/pods/{pod}").status == 204
    assert ask(cloud, "DELETE", place).status == 204
    assert ask(cloud, "GET", place).status == 404


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"size": 9}, 422, "$.size: minimum: got 9, want 10"),
        ({"size": 4097}, 422, "$.size: maximum: got 4097, want 4096"),
        ({"dataCenter": "US-TX-3"}, 400, "supported data centers: EU-CZ-1, EU-RO-1, EUR-IS-1"),
        ({"dataCenterId": "EU-RO-1"}, 422, "additional properties 'dataCenterId'"),
    ],
)
def test_a_volume_that_cannot_be_is_refused_with_its_reason(cloud, change, status, words):
    told = ask(cloud, "POST", "/v2/network-volumes", {"name": "v", "size": 10, "dataCenter": "EU-RO-1", **change})

    assert told.status == status
    assert words in str([told.json["detail"], *told.json.get("errors", [])])


def test_a_volume_over_its_quota_is_reported():
    with RunPodCloud(volume_gigabyte=100) as cloud:
        volume = cloud.create_volume(size=10)
        (volume.folder / "a").write_bytes(bytes(1000))
        assert cloud.over_quota() == []
        (volume.folder / "b").write_bytes(b"1")
        assert cloud.over_quota() == [volume]


def test_pods_cost_by_the_clock_until_they_are_gone():
    now = [1_000_000.0]
    with RunPodCloud(clock=lambda: now[0]) as cloud:
        first, second = rent(cloud), rent(cloud, name="other", cpu={"id": "cpu3g", "vcpuCount": 4})
        now[0] += 1800
        ask(cloud, "DELETE", f"/v2/pods/{first}")
        now[0] += 1800

        assert {one.pod: (one.seconds, round(one.amount, 4)) for one in cloud.bill()} == {
            first: (1800, 0.03), second: (3600, 0.16),
        }  # fmt: skip
        told = query(cloud, "{ myself { clientBalance currentSpendPerHr } }").json["data"]["myself"]
        assert (round(told["clientBalance"], 4), told["currentSpendPerHr"]) == (99.81, 0.16)


def test_without_balance_nothing_is_rented_in_either_api(cloud):
    cloud.account.credit = 0
    assert ask(cloud, "POST", "/v2/pods", order()).status == 402
    told = query(cloud, 'mutation { deployCpuPod(input: {imageName: "i"}) { id } }').json
    assert told["errors"][0]["extensions"]["code"] == "INSUFFICIENT_BALANCE"


def test_who_asks_has_to_have_a_key_and_a_name_of_their_own(cloud):
    assert ask(cloud, "GET", "/v2/pods", key="wrong").status == 401
    assert ask(cloud, "POST", "/graphql", {"query": "{ myself { id } }"}, key="wrong").status == 401
    assert ask(cloud, "GET", "/v2/pods", Authorization="").json["detail"] == "missing bearer token"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{cloud.url}/v2/pods")
    assert (error.value.code, error.value.read()) == (403, b"error code: 1010")


def test_what_is_retired_is_gone(cloud):
    assert ask(cloud, "GET", "/v1/pods").status == 410
    assert query(cloud, "{ myself { id } }").status == 200
    cloud.dials.is_graphql_retired = True
    assert query(cloud, "{ myself { id } }").status == 410


def test_answers_tell_how_much_one_may_ask_and_beyond_that_when_again(cloud):
    cloud.dials.requests_a_minute = 2
    first, _, third = (ask(cloud, "GET", "/v2/pods") for _ in range(3))

    assert first.headers["ratelimit"].startswith('"minute";r=1;t=60,')
    assert first.headers["x-request-id"].startswith("req_")
    assert (third.status, third.headers["retry-after"]) == (429, "60")


def test_each_request_is_recorded(cloud):
    ask(cloud, "GET", "/v2/pods?includeClusterPods=true")
    query(cloud, "{ gpuTypes { id } }")
    first, second = cloud.requests

    assert (first.method, first.path, first.query, first.operation, first.status, first.by) == (
        "GET", "/v2/pods", "includeClusterPods=true", "listPods", 200, "account",
    )  # fmt: skip
    assert (second.operation, second.headers["authorization"]) == ("gpuTypes", "Bearer rpa_KEY")
    assert "gpuTypes" in second.text
    assert cloud.asked("gpuTypes") == [second]
    assert ask(cloud, "PUT", "/v2/pods").headers["allow"] == "GET, POST"
