"""Pods by RunPod's own SDK, 1.12 (GraphQL) and 2 (REST v2). The only module that imports it: that takes 2 s.

Its errors hold what was sent: `QueryError.query` is the whole mutation, with every variable of the pod. They end here,
and what is raised instead leads to none of them.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provision.errors import CloudRefused, CloudUnavailable, ProvisionError
from provision.pods.cloud import Kind, Request
from provision.pods.runpod.faults import Said, fault, is_gone, unclear
from provision.pods.runpod.mutation import create_mutation, literal, start_command
from provision.pods.runpod.orders import as_ordered, masked, secrets_of
from provision.pods.runpod.readings import is_id, pod_of, pods_of
from provision.pods.runpod.rest import Question
from provision.pods.runpod.v2 import V2, creation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from provision.pods.cloud import Order, Pod
    from provision.pods.runpod.rest import Rest
    from provision.pods.runpod.settings import RunPodSettings

_BASE_URL = "RUNPOD_API_BASE_URL"
_base_url: ContextVar[str | None] = ContextVar("base_url", default=None)


class Retired(Exception):
    """GraphQL is no more (410). Whether what was asked for has come to pass is not known."""


class _System:
    """`os`, as the SDK's transport sees it: the base URL is that of whoever is calling.

    The SDK asks the environment for the base URL with each request, and takes it from nowhere else. The environment
    belongs to the whole process, and is not ours to write: so the two modules that ask are given an `os` whose
    environment has the base URL of the settings, for our own calls and no others.
    """

    def __init__(self, system: Any) -> None:
        self._system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    @property
    def environ(self) -> Any:
        base_url = _base_url.get()
        return self._system.environ if base_url is None else {**self._system.environ, _BASE_URL: base_url}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What is asked of the SDK: a phrase; whether of one pod, so that it may be gone; whether it is sent only once."""

    asked: str
    of_pod: bool = False
    once: bool = False
    secrets: Sequence[str] = field(default=(), repr=False)


def find_sdk(settings: RunPodSettings, rest: Rest) -> Sdk1 | Sdk2 | None:
    """The SDK that is installed; None where there is none, it cannot be imported, or it asks elsewhere for its address.

    Whatever goes wrong while it is imported (it reads files then) is no reason to fail: REST v2 does the same.
    """
    try:
        import runpod
        from runpod.api import graphql

        try:
            from runpod.api import rest as current
        except ImportError:
            return Sdk1(runpod, settings, rest) if _is_led(graphql) else None
        return Sdk2(runpod, settings, rest) if _is_led(current) else None
    except Exception:  # noqa: BLE001 - as the docstring says
        return None


def _is_led(module: Any) -> bool:
    """Whether `module` takes its address from us from here on."""
    system = getattr(module, "os", None)
    if system is not None and not isinstance(system, _System):
        module.os = _System(system)
    return system is not None


class _Sdk:
    """What both releases share: calls in our name, and their errors."""

    def __init__(self, runpod: Any, settings: RunPodSettings, rest: Rest) -> None:
        self._runpod, self._settings, self._rest = runpod, settings, rest

    def pod(self, pod_id: str) -> Pod | None:
        """One pod, None when it is gone. 1.12 pastes the id into its query.

        The SDK's None is not proof enough that nothing has to be paid: it makes the same of an empty answer.
        """
        if not is_id(pod_id):
            return None
        call = _Call(asked="look at the pod", of_pod=True)
        pod: Pod | None = self._call(call, lambda: pod_of(self._runpod.get_pod(pod_id, api_key=self._settings.key)))
        return pod or V2(self._rest).pod(pod_id)

    def pods(self) -> list[Pod]:
        """All pods."""
        call, key = _Call(asked="list the pods"), self._settings.key
        pods: list[Pod] = self._call(call, lambda: pods_of(self._runpod.get_pods(api_key=key)))
        return pods

    def delete(self, pod_id: str) -> None:
        """Give it back; one that is gone is no error. That there is no such pod may be said of all there is: v2 is told
        as well.
        """
        call = _Call(asked="delete the pod", of_pod=True)
        if is_id(pod_id) and not self._call(call, lambda: self._terminate(pod_id)):
            V2(self._rest).delete(pod_id)

    def _terminate(self, pod_id: str) -> bool:
        self._runpod.terminate_pod(pod_id)
        return True

    def _rent(self, order: Order, rent: Callable[[], Any]) -> Pod:
        def rented() -> Pod:
            pod = pod_of(rent())
            if pod is None:
                raise unclear("rent a pod", "its answer is not understood here")
            return as_ordered(pod, order)

        pod: Pod = self._call(_Call(asked="rent a pod", once=True, secrets=secrets_of(order)), rented)
        return pod

    def _call(self, call: _Call, operation: Callable[[], Any]) -> Any:
        with self._addressed():
            try:
                return operation()
            except ProvisionError:
                raise
            except Exception as error:  # noqa: BLE001 - of the SDK, its HTTP library, or dicts that lack what it reads
                said = self._said(error)
        if said is None:
            raise unclear(call.asked, "no answer, or none that its SDK understands")
        if call.of_pod and is_gone(said):
            return None
        raise fault(said, call.asked, [self._settings.key, *call.secrets])

    @contextmanager
    def _addressed(self) -> Iterator[None]:
        self._runpod.api_key = self._settings.key  # not all of its functions take the key
        before = _base_url.set(self._settings.base_url.rstrip("/"))
        try:
            yield
        finally:
            _base_url.reset(before)

    def _said(self, error: Exception) -> Said | None:
        """What RunPod said; None where `error` is not about that."""
        errors = self._runpod.error
        if isinstance(error, errors.AuthenticationError):
            return Said(status=401)
        if not isinstance(error, errors.QueryError):
            return None
        return Said(
            status=getattr(error, "status_code", None),
            words="; ".join([str(error), *map(str, getattr(error, "errors", None) or [])]),
            retry_after=getattr(error, "retry_after", None),
        )


class Sdk1(_Sdk):
    """1.12: GraphQL. It hides the status of an answer, so that an odd one is looked into."""

    def create(self, order: Order) -> Pod:
        """The pod, rented by a mutation of our own: `mutation` tells why."""
        query = create_mutation(order)

        def rent() -> Any:
            (answer,) = self._run(query).values()
            if answer is None:  # how GraphQL says that there was nothing to be had, at times
                raise fault(Said(status=None, words="SUPPLY_CONSTRAINT"), "rent a pod")
            return answer

        return self._rent(order, rent)

    def requests(self, order: Order) -> list[Request]:
        """What `create` would send, for people to read."""
        body = json.dumps({"query": create_mutation(masked(order))}, indent=2, ensure_ascii=False)
        return [Request(method="POST", url=self._rest.url("/graphql"), body=body)]

    def _terminate(self, pod_id: str) -> bool:
        # The SDK's own is content with any JSON, even with that of a 503.
        self._run(f"mutation {{ podTerminate(input: {{ podId: {literal(pod_id)} }}) }}")["podTerminate"]
        return True

    def _run(self, query: str) -> Any:
        return self._runpod.api.graphql.run_graphql_query(query, api_key=self._settings.key)["data"]

    def _call(self, call: _Call, operation: Callable[[], Any]) -> Any:
        """Raises Retired where GraphQL is no more."""
        failure: CloudRefused | CloudUnavailable
        try:
            return super()._call(call, operation)
        except CloudUnavailable as error:
            failure = error
        try:
            self._look(call)
        except (CloudRefused, CloudUnavailable) as error:
            if not call.once:  # what became of a request that is sent only once it cannot tell
                failure = error
        raise failure

    def _look(self, call: _Call) -> None:
        """Ask GraphQL for next to nothing, and heed the status."""
        query = {"query": "query { myself { id } }"}
        answer = self._rest.ask(Question(asked=call.asked, method="POST", path="/graphql", body=query))
        if answer.status == 410:
            raise Retired
        answer.check()


class Sdk2(_Sdk):
    """2: REST v2."""

    def create(self, order: Order) -> Pod:
        """The pod, rented."""
        is_cpu = order.offer.kind is Kind.CPU
        return self._rent(
            order,
            lambda: self._runpod.create_pod(
                name=order.name,
                image_name=order.image,
                gpu_type_id=None if is_cpu else order.offer.id,
                instance_id=order.offer.id if is_cpu else None,
                cloud_type="SECURE",
                support_public_ip=False,
                start_ssh=False,
                data_center_id=order.volume.datacenter,
                container_disk_in_gb=order.disk,
                docker_args=start_command(order.command),
                ports=f"{order.port}/http",
                volume_mount_path=order.mount,
                env=dict(order.env),
                network_volume_id=order.volume.id,
            ),
        )

    def requests(self, order: Order) -> list[Request]:
        """What `create` would send: it is what our own client sends."""
        return creation(self._rest, order)
