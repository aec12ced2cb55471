"""GraphQL: what a query of RunPod's API asks for, done, in the shape that was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runpod_cloud import schema
from runpod_cloud.account import Account
from runpod_cloud.answers import Answer, RefusedError, document, graphql_error
from runpod_cloud.graphql import Field, GraphQLSyntaxError, Operation, Variable, parse
from runpod_cloud.machines import Machine, cpu_machine, gpu_machine
from runpod_cloud.pods import Order, Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query that was understood. `name`: its first field, which is what it is called in the list of requests."""

    operation: Operation
    variables: dict[str, Any]

    @property
    def name(self) -> str:
        """`deployCpuPod`, `myself`, …"""
        return self.operation.fields[0].name


def read(body: bytes) -> Asked | Answer:
    """The query in a request's body; else what is said of one that is wrong."""
    try:
        told = json.loads(body)
        text, variables = told["query"], told.get("variables") or {}
    except (ValueError, TypeError, KeyError, AttributeError):
        return graphql_error("POST body missing, invalid Content-Type, or JSON object has no keys.", "BAD_REQUEST", 400)
    try:
        operations = parse(text)
        wanted = told.get("operationName") or operations[0].name
        operation = next((one for one in operations if one.name == wanted), operations[0])
        _check(operation)
        return Asked(operation=operation, variables=_variables(operation, variables))
    except GraphQLSyntaxError as error:
        return graphql_error(str(error), "GRAPHQL_PARSE_FAILED", 400)
    except schema.GraphQLInvalidError as error:
        return graphql_error(str(error), "GRAPHQL_VALIDATION_FAILED", 400)


def answer(account: Account, asked: Asked, made: Callable[[Pod], bool]) -> Answer:
    """What GraphQL says. A refusal is a 200 with errors. `made`: whether a pod that is rented may start."""
    data: dict[str, Any] = {}
    for field in asked.operation.fields:
        try:
            value = RESOLVERS[field.name](Ask(account=account, given=given(field, asked.variables), made=made))
        except schema.GraphQLInvalidError as error:
            return graphql_error(str(error), "GRAPHQL_VALIDATION_FAILED", 400)
        except RefusedError as error:
            return graphql_error(error.detail, error.code, data={field.alias: None})
        data[field.alias] = _shaped(value, field)
    return document({"data": data})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One field of a query, for its resolver."""

    account: Account
    given: dict[str, Any]
    made: Callable[[Pod], bool]


def _check(operation: Operation) -> None:
    root, kind = schema.ROOTS[operation.kind], operation.kind.capitalize()
    for field in operation.fields:
        if field.name in ("__schema", "__type"):
            raise schema.GraphQLInvalidError(
                "GraphQL introspection is not allowed by Apollo Server, but the query contained __schema or __type. "
                "To enable introspection, pass introspection: true to ApolloServer in production"
            )
        if field.name not in root:
            raise schema.GraphQLInvalidError(f'Cannot query field "{field.name}" on type "{kind}".')
        result, arguments = root[field.name]
        schema.check_arguments(field, arguments, f"{kind}.{field.name}")
        schema.check_fields(field.fields, result, field.name)
        given(field, None)


def _variables(operation: Operation, told: dict[str, Any]) -> dict[str, Any]:
    return {
        name: schema.coerced(told.get(name, default), kind, {}, literal=name not in told)
        for name, (kind, default) in operation.variables.items()
    }


def given(field: Field, variables: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments of a field; without `variables` only literal ones are looked at."""
    arguments = next(root[field.name][1] for root in schema.ROOTS.values() if field.name in root)
    return {
        name: schema.coerced(value, arguments[name], variables or {})
        for name, value in field.arguments.items()
        if variables is not None or not _has_variable(value)
    }


def _has_variable(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, Variable) or any(_has_variable(item) for item in inner)


def _shaped(value: Any, field: Field) -> Any:
    if value is None or field.fields is None:
        return value
    if isinstance(value, list):
        return [_shaped(item, field) for item in value]
    return {inner.alias: _shaped(value.get(inner.name), inner) for inner in field.fields}


# Resolvers


def _deploy(ask: Ask) -> Any:
    told = ask.given.get("input") or {}
    pod = ask.account.create_pod(_order(ask.account, told), ask.made)
    return {**pod.graphql(), "runtime": None}


def _order(account: Account, told: dict[str, Any]) -> Order:
    datacenters = [told["dataCenterId"]] if told.get("dataCenterId") else told.get("dataCenterIds") or []
    if not told.get("imageName") and not told.get("templateId"):
        raise RefusedError(400, "imageName is required")
    if told.get("networkVolumeId") and not told.get("volumeMountPath"):
        raise RefusedError(400, "volumeMountPath is required")
    return Order(
        name=told.get("name") or "pod", image=told.get("imageName") or "runpod/base", machine=_machine(account, told),
        args=told.get("dockerArgs") or "", env={pair["key"]: pair["value"] for pair in told.get("env") or []},
        ports=[port for port in (told.get("ports") or "").split(",") if port], disk=told.get("containerDiskInGb") or 10,
        cloud=told.get("cloudType") or "ALL", datacenters=datacenters, volume_id=told.get("networkVolumeId") or "",
        mount=told.get("volumeMountPath") or "", persistent=told.get("volumeInGb") or 0,
        terminate_after=_time(told.get("terminateAfter")),
    )  # fmt: skip


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise schema.GraphQLInvalidError(f'DateTime cannot represent an invalid date-time-string "{text}".') from None


def _machine(account: Account, told: dict[str, Any]) -> Machine:
    wanted = told.get("gpuTypeId") or next(iter(told.get("gpuTypeIdList") or []), None)
    if wanted is not None:
        gpu = account.catalog.gpu(wanted)
        if gpu is None:
            raise RefusedError(400, f"GPU type {wanted} not found")
        return gpu_machine(gpu, told.get("gpuCount") or 1)
    instance = told.get("instanceId") or "cpu3c-2-4"
    flavor, vcpus = [*instance.split("-"), ""][:2]
    cpu = account.catalog.cpu(flavor)
    if cpu is None or not vcpus.isdigit() or cpu_machine(cpu, int(vcpus)).names[0] != instance:
        raise RefusedError(400, f"instance {instance} not found")
    return cpu_machine(cpu, int(vcpus))


def _pod(ask: Ask) -> Any:
    pod = ask.account.pod((ask.given.get("input") or {}).get("podId", ""))
    return pod.graphql() if pod else None


def _terminate(ask: Ask) -> Any:
    ask.account.terminate(ask.given["input"]["podId"])


def _stop(ask: Ask) -> Any:
    return ask.account.stop(ask.given["input"]["podId"]).graphql()


def _resume(ask: Ask) -> Any:
    return ask.account.resume(ask.given["input"]["podId"]).graphql()


def _myself(ask: Ask) -> Any:
    account = ask.account
    pods = account.listed()
    return {
        "id": "user_2aBcDeFgHiJ", "email": "someone@example.com", "pubKey": "", "spendLimit": 80,
        "pods": [pod.graphql() for pod in pods], "clientBalance": account.balance,
        "currentSpendPerHr": sum(pod.price for pod in pods if pod.status == "RUNNING"),
        "networkVolumes": [volume.graphql() for volume in list(account.volumes.values())],
    }  # fmt: skip


def _gpu_types(ask: Ask) -> Any:
    wanted = (ask.given.get("input") or {}).get("id")
    return [
        {
            "id": gpu.id, "displayName": gpu.name, "memoryInGb": gpu.memory, "maxGpuCount": gpu.most,
            "manufacturer": "Nvidia",
            "secureCloud": gpu.secure is not None, "communityCloud": gpu.community is not None,
            "securePrice": gpu.secure or 0, "communityPrice": gpu.community or 0,
            "lowestPrice": {"minimumBidPrice": gpu.community, "uninterruptablePrice": gpu.secure or gpu.community},
        }
        for gpu in ask.account.catalog.gpus
        if wanted in (None, gpu.id)
    ]  # fmt: skip


RESOLVERS: dict[str, Callable[[Ask], Any]] = {
    "deployCpuPod": _deploy, "podFindAndDeployOnDemand": _deploy, "podTerminate": _terminate, "podStop": _stop,
    "podResume": _resume, "pod": _pod, "myself": _myself, "gpuTypes": _gpu_types,
}  # fmt: skip
