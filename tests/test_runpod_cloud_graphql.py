"""The stand-in's GraphQL: what RunPod's SDK sends is understood, and strings mean what the language says."""

from __future__ import annotations

import json

import pytest
from runpod_bed import SDK_112_CPU, query, until
from runpod_cloud import RunPodCloud
from runpod_cloud.graphql import GraphQLSyntaxError, parse

NASTY = "\"quotes\" 'and' \\ back\\slashes\\n $HOME ${x} `id` {{ }} # no comment \n new \t lines é 漢 😀 \u2028"


@pytest.fixture
def cloud():
    with RunPodCloud() as cloud:
        yield cloud


def escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


@pytest.mark.parametrize("text", [NASTY, "", "\x7f", "x" * 65536, "\\", '"', "😀"])
def test_what_is_escaped_arrives_in_the_pod_as_it_was(cloud, text):
    volume = cloud.create_volume()
    args = json.dumps({"cmd": ["sh", "-c", 'printf %s "$TEXT" > "$V/part" && mv "$V/part" "$V/text"; exec sleep 100']})
    sent = (
        SDK_112_CPU.replace("VOLUME", volume.id).replace("ARGS", escaped(args)).replace("VALUE", escaped(text))
        .replace("NAME", escaped(f"n{text}")).replace("env: [", 'env: [{ key: "V", value: "/workspace" }, ')
    )  # fmt: skip
    told = query(cloud, sent).json["data"]["deployCpuPod"]

    assert told["env"] == ["V=/workspace", f"TEXT={text}"]
    assert told.keys() == {"id", "imageName", "env", "machineId", "machine"}
    until((volume.folder / "text").exists)
    assert (volume.folder / "text").read_bytes().decode() == text
    [pod] = query(cloud, "{ myself { pods { name dockerArgs desiredStatus } } }").json["data"]["myself"]["pods"]
    assert pod == {"name": f"n{text}", "dockerArgs": args, "desiredStatus": "RUNNING"}


@pytest.mark.parametrize("text", ['a"b', "a\nb", "a\\qb", "a\\", "\x00"])
def test_what_is_not_escaped_breaks_the_query(cloud, text):
    told = query(cloud, SDK_112_CPU.replace("VALUE", text))

    assert told.status == 400
    assert told.json["errors"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
    assert told.json["errors"][0]["message"].startswith("Syntax Error: ")
    assert not cloud.pods


def test_what_is_not_escaped_can_become_part_of_the_query(cloud):
    sent = SDK_112_CPU.replace("networkVolumeId", "countryCode")
    query(cloud, sent.replace("VALUE", '" }, { key: "INJECTED", value: "yes').replace("ARGS", "sleep 100"))
    [pod] = cloud.pods
    assert pod.order.env == {"TEXT": "", "INJECTED": "yes"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mutation { deployCpuPod(input: {volumeInGb: 10}) { id } }", 'Field "volumeInGb" is not defined by type'),
        ("mutation { deployCpuPod(input: {ports: 8000}) { id } }", "String cannot represent"),
        ('mutation { deployCpuPod(input: {cloudType: "SECURE"}) { id } }', "Enum cannot represent"),
        ("mutation { deployCpuPod(input: {cloudType: MINE}) { id } }", 'does not exist in "CloudTypeEnum"'),
        ("mutation { deployCpuPod(input: {}) { cost } }", 'Cannot query field "cost" on type "Pod"'),
        ("mutation { deployCpuPod(input: {}) }", "must have a selection of subfields"),
        ("mutation { deployCpuPod { id } }", 'argument "input" of type "deployCpuPodInput!" is required'),
        ('mutation { podTerminate(input: {podId: "x"}) { id } }', "must not have a selection"),
        ("mutation { podTerminate(input: {}) }", 'of required type "String!" was not provided'),
        ("mutation { podTerminate(input: {podId: null}) }", "found null"),
        ('{ pod(input: {podId: "x"}, now: true) { id } }', 'Unknown argument "now"'),
        ("{ __schema { types { name } } }", "introspection is not allowed"),
        ("query($a: String!) { myself { id } }", 'type "String!", found null'),
        ("mutation { createEverything }", 'Cannot query field "createEverything" on type "Mutation"'),
    ],
)
def test_a_query_that_does_not_fit_the_schema_is_a_400(cloud, text, words):
    told = query(cloud, text)

    assert told.status == 400
    assert told.json["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert words in told.json["errors"][0]["message"]


def test_variables_carry_what_needs_no_escaping(cloud):
    volume = cloud.create_volume()
    wish = {
        "name": NASTY, "imageName": "i", "instanceId": "cpu3g-4-16", "cloudType": "SECURE",
        "dataCenterIds": ["EU-RO-1"], "networkVolumeId": volume.id, "volumeMountPath": "/workspace",
        "supportPublicIp": False, "terminateAfter": "2030-01-01T00:00:00Z", "env": [{"key": "A", "value": NASTY}],
        "dockerArgs": "sleep 100", "containerDiskInGb": 20, "startSsh": False,
    }  # fmt: skip
    text = "mutation deploy($input: deployCpuPodInput!) { deployCpuPod(input: $input) { id desiredStatus } }"
    told = query(cloud, text, input=wish).json["data"]["deployCpuPod"]

    assert told["desiredStatus"] == "RUNNING"
    [pod] = cloud.pods
    assert (pod.order.name, pod.order.env, pod.order.terminate_after) == (NASTY, {"A": NASTY}, 1893456000)
    assert (pod.price, pod.order.machine.names[0]) == (0.16, "cpu3g-4-16")
    assert query(cloud, text, input={**wish, "volumeInGb": 1}).status == 400


def test_a_pod_that_is_gone_is_null(cloud):
    made = query(cloud, 'mutation { deployCpuPod(input: {imageName: "i"}) { id runtime { uptimeInSeconds } } }').json
    pod = made["data"]["deployCpuPod"]["id"]
    assert made["data"]["deployCpuPod"]["runtime"] is None
    asked = f'query pod {{ pod(input: {{podId: "{pod}"}}) {{ id runtime {{ ports {{ privatePort }} }} }} }}'
    until(lambda: query(cloud, asked).json["data"]["pod"]["runtime"] is not None)

    told = query(cloud, f'\n mutation {{\n podTerminate(input: {{ podId: "{pod}" }})\n }}\n').json
    assert told == {"data": {"podTerminate": None}}
    assert query(cloud, asked).json == {"data": {"pod": None}}
    assert query(cloud, f'mutation {{ podTerminate(input: {{podId: "{pod}"}}) }}').json["errors"]
    cloud.assert_clean()


def test_a_stopped_pod_costs_nothing_and_can_go_on(cloud):
    made = query(cloud, 'mutation { deployCpuPod(input: {imageName: "i"}) { id } }').json["data"]["deployCpuPod"]
    told = query(cloud, f'mutation {{ podStop(input: {{podId: "{made["id"]}"}}) {{ id desiredStatus }} }}').json
    assert told["data"]["podStop"]["desiredStatus"] == "EXITED"
    assert query(cloud, "{ myself { currentSpendPerHr } }").json["data"]["myself"]["currentSpendPerHr"] == 0
    told = query(cloud, f'mutation {{ podResume(input: {{podId: "{made["id"]}"}}) {{ desiredStatus }} }}').json
    assert told["data"]["podResume"]["desiredStatus"] == "RUNNING"


def test_gpus_are_told_by_their_type(cloud):
    price = "lowestPrice(input: {gpuCount: 1}) { uninterruptablePrice }"
    text = f'query GpuTypes {{ gpuTypes(input: {{id: "NVIDIA RTX A4000"}}) {{ id {price} }} }}'
    assert query(cloud, text).json["data"]["gpuTypes"] == [
        {"id": "NVIDIA RTX A4000", "lowestPrice": {"uninterruptablePrice": 0.25}}
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{ a",
        "{ a(b: ) }",
        "{ a(b 1) }",
        "{ a } }",
        '{ a(b: "\\ud83d") }',
        "{ a(b: 01) }",
        "fragment x",
        "{ a(b: ?) }",
    ],
)
def test_what_is_no_document_is_a_syntax_error(text):
    with pytest.raises(GraphQLSyntaxError, match=r"^Syntax Error: "):
        parse(text)


def test_values_of_all_kinds_are_read():
    values = 'b: -1.5e3, c: [1, "\\u00e9\\/", E, true, null], d: {e: $v}, f: """b "q" """'
    text = f"query q($v: [Int!] = [1]) {{ x: a({values}) {{ g }} # end\n}}"
    [operation] = parse(text)
    [field] = operation.fields
    assert (field.alias, field.name, operation.variables) == ("x", "a", {"v": ("[Int!]", [1])})
    arguments = field.arguments
    assert (arguments["b"], arguments["c"], arguments["f"]) == (-1500.0, [1, "é/", "E", True, None], 'b "q" ')
    assert arguments["d"]["e"].name == "v"
