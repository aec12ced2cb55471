"""The part of RunPod's GraphQL schema that is known, and the checks of a query against it.

The fields are those that RunPod's own programs send and ask for; the published schema is not complete, and
introspection is off. A field or an argument that is not in it answers 400, GRAPHQL_VALIDATION_FAILED.
"""

from __future__ import annotations

from typing import Any

from runpod_cloud.graphql import Enum, Field, Variable

Table = dict[str, str]


class GraphQLInvalidError(Exception):
    """The query does not fit the schema."""


COMMON: Table = {
    "name": "String", "imageName": "String", "cloudType": "CloudTypeEnum", "dataCenterId": "String",
    "dataCenterIds": "[String]", "templateId": "String", "dockerArgs": "String", "containerDiskInGb": "Int",
    "ports": "String", "env": "[EnvironmentVariableInput]", "volumeMountPath": "String", "networkVolumeId": "String",
    "startSsh": "Boolean", "startJupyter": "Boolean", "supportPublicIp": "Boolean", "terminateAfter": "DateTime",
    "stopAfter": "DateTime", "countryCode": "String", "minDownload": "Int", "minUpload": "Int",
    "containerRegistryAuthId": "String", "deployCost": "Float",
}  # fmt: skip

INPUTS: dict[str, Table] = {
    "deployCpuPodInput": {**COMMON, "instanceId": "String"},
    "PodFindAndDeployOnDemandInput": {
        **COMMON, "gpuTypeId": "String", "gpuTypeIdList": "[String]", "gpuCount": "Int", "volumeInGb": "Int",
        "minVcpuCount": "Int", "minMemoryInGb": "Int", "allowedCudaVersions": "[String]", "minDisk": "Int",
        "volumeKey": "String", "globalNetwork": "Boolean",
    },
    "EnvironmentVariableInput": {"key": "String!", "value": "String!"},
    "PodTerminateInput": {"podId": "String!"},
    "PodStopInput": {"podId": "String!", "incrementVersion": "Boolean"},
    "PodResumeInput": {"podId": "String!", "gpuCount": "Int", "syncMachine": "Boolean"},
    "PodFilter": {"podId": "String!"},
    "GpuTypeFilter": {"id": "String", "ids": "[String]"},
    "GpuLowestPriceInput": {
        "gpuCount": "Int", "minMemoryInGb": "Int", "minVcpuCount": "Int", "secureCloud": "Boolean",
        "dataCenterId": "String",
    },
}  # fmt: skip

POD: Table = {
    "id": "String!", "name": "String", "imageName": "String", "containerDiskInGb": "Int", "costPerHr": "Float",
    "adjustedCostPerHr": "Float", "desiredStatus": "PodStatus", "dockerArgs": "String", "dockerId": "String",
    "env": "[String]", "gpuCount": "Int", "lastStatusChange": "String", "lastStartedAt": "DateTime",
    "createdAt": "DateTime", "machineId": "String", "memoryInGb": "Float", "podType": "PodType", "port": "Int",
    "ports": "String", "uptimeSeconds": "Int", "vcpuCount": "Float", "volumeInGb": "Float", "volumeMountPath": "String",
    "networkVolumeId": "String", "networkVolume": "NetworkVolume", "templateId": "String", "machine": "PodMachineInfo",
    "runtime": "PodRuntime",
}  # fmt: skip

OBJECTS: dict[str, Table] = {
    "Pod": POD,
    "PodRuntime": {"ports": "[PodRuntimePorts]", "uptimeInSeconds": "Int"},
    "PodRuntimePorts": {
        "ip": "String", "isIpPublic": "Boolean", "privatePort": "Int", "publicPort": "Int", "type": "String",
    },
    "PodMachineInfo": {
        "podHostId": "String", "gpuDisplayName": "String", "dataCenterId": "String", "location": "String",
        "secureCloud": "Boolean",
    },
    "NetworkVolume": {"id": "String!", "name": "String!", "size": "Int!", "dataCenterId": "String!"},
    "User": {
        "id": "String!", "email": "String", "pubKey": "String", "pods": "[Pod]", "networkVolumes": "[NetworkVolume]",
        "clientBalance": "Float", "currentSpendPerHr": "Float", "spendLimit": "Int",
    },
    "GpuType": {
        "id": "String", "displayName": "String", "memoryInGb": "Int", "maxGpuCount": "Int", "manufacturer": "String",
        "cudaCores": "Int", "secureCloud": "Boolean", "communityCloud": "Boolean", "securePrice": "Float",
        "communityPrice": "Float", "oneMonthPrice": "Float", "threeMonthPrice": "Float", "oneWeekPrice": "Float",
        "communitySpotPrice": "Float", "secureSpotPrice": "Float", "lowestPrice": "LowestPrice",
    },
    "LowestPrice": {"minimumBidPrice": "Float", "uninterruptablePrice": "Float", "stockStatus": "String"},
}  # fmt: skip

ROOTS: dict[str, dict[str, tuple[str, Table]]] = {
    "query": {
        "pod": ("Pod", {"input": "PodFilter"}),
        "myself": ("User", {}),
        "gpuTypes": ("[GpuType]", {"input": "GpuTypeFilter"}),
    },
    "mutation": {
        "deployCpuPod": ("Pod", {"input": "deployCpuPodInput!"}),
        "podFindAndDeployOnDemand": ("Pod", {"input": "PodFindAndDeployOnDemandInput"}),
        "podTerminate": ("Void", {"input": "PodTerminateInput!"}),
        "podStop": ("Pod", {"input": "PodStopInput!"}),
        "podResume": ("Pod", {"input": "PodResumeInput!"}),
    },
}
NESTED: dict[tuple[str, str], Table] = {("GpuType", "lowestPrice"): {"input": "GpuLowestPriceInput"}}
ENUMS = {"CloudTypeEnum": ("ALL", "COMMUNITY", "SECURE")}


def check_fields(fields: tuple[Field, ...] | None, kind: str, at: str) -> None:
    """What is asked of an object of `kind` has to be there. Raises GraphQLInvalidError."""
    table, bare = OBJECTS.get(_bare(kind)), _bare(kind)
    if table is None and fields is not None:
        raise GraphQLInvalidError(
            f'Field "{at}" must not have a selection since type "{kind}" has no subfields.'
        )  # fmt: skip
    if table is None:
        return
    if fields is None:
        raise GraphQLInvalidError(
            f'Field "{at}" of type "{kind}" must have a selection of subfields. Did you mean "{at} {{ ... }}"?'
        )
    for field in fields:
        if field.name != "__typename" and field.name not in table:
            raise GraphQLInvalidError(f'Cannot query field "{field.name}" on type "{bare}".')
        check_arguments(field, NESTED.get((bare, field.name), {}), f"{bare}.{field.name}")
        check_fields(field.fields, table.get(field.name, "String"), field.name)


def check_arguments(field: Field, known: Table, at: str) -> None:
    """The arguments of a field have to be known, and those that must be there, there."""
    for name in field.arguments:
        if name not in known:
            raise GraphQLInvalidError(f'Unknown argument "{name}" on field "{at}".')
    for name, kind in known.items():
        if kind.endswith("!") and name not in field.arguments:
            raise GraphQLInvalidError(
                f'Field "{field.name}" argument "{name}" of type "{kind}" is required, but it was not provided.'
            )


def coerced(value: Any, kind: str, variables: dict[str, Any], *, literal: bool = True) -> Any:
    """`value` as one of `kind`, with the variables put in. Raises GraphQLInvalidError."""
    if isinstance(value, Variable):
        if value.name not in variables:
            raise GraphQLInvalidError(f'Variable "${value.name}" is not defined.')
        return coerced(variables[value.name], kind, variables, literal=False)
    if value is None:
        if kind.endswith("!"):
            raise GraphQLInvalidError(f'Expected value of type "{kind}", found null.')
        return None
    bare = kind.removesuffix("!")
    if bare.startswith("["):
        items = value if isinstance(value, list) else [value]
        return [coerced(item, bare[1:-1], variables, literal=literal) for item in items]
    if bare in INPUTS:
        return _input(value, bare, variables, literal=literal)
    return _scalar(value, bare, literal=literal)


def _input(value: Any, kind: str, variables: dict[str, Any], *, literal: bool) -> dict[str, Any]:
    table = INPUTS[kind]
    if not isinstance(value, dict):
        raise GraphQLInvalidError(f'Expected value of type "{kind}", found {value!r}.')
    for name in value:
        if name not in table:
            raise GraphQLInvalidError(f'Field "{name}" is not defined by type "{kind}".')
    for name, inner in table.items():
        if inner.endswith("!") and name not in value:
            raise GraphQLInvalidError(f'Field "{kind}.{name}" of required type "{inner}" was not provided.')
    return {name: coerced(item, table[name], variables, literal=literal) for name, item in value.items()}


def _scalar(value: Any, kind: str, *, literal: bool) -> Any:
    is_word = isinstance(value, Enum) or (not literal and isinstance(value, str))
    fits = {
        "String": isinstance(value, str) and not isinstance(value, Enum),
        "DateTime": isinstance(value, str) and not isinstance(value, Enum),
        "Int": isinstance(value, int) and not isinstance(value, bool),
        "Float": isinstance(value, int | float) and not isinstance(value, bool),
        "Boolean": isinstance(value, bool),
    }
    if kind in ENUMS and is_word and value not in ENUMS[kind]:
        raise GraphQLInvalidError(f'Value "{value}" does not exist in "{kind}" enum.')
    if not (is_word if kind in ENUMS else fits[kind]):
        noun = "Enum" if kind in ENUMS else kind
        raise GraphQLInvalidError(f"{noun} cannot represent the value: {value!r}")
    return value


def _bare(kind: str) -> str:
    return kind.strip("[]!")
