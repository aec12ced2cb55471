"""RunPod: pods by its SDK where that is installed, all else by its REST API v2, which is also what outlives the SDK.

settings   whose key, where to, how patient
key        where the key is found
orders     what an order becomes on its way: v2's body, what of it is secret
mutation   what it becomes for GraphQL
readings   what answers tell, of both interfaces
faults     what refusals mean, of both interfaces
logs       a log's events
rest       requests to v2, and their answers
abridged   lists without what makes them large
v2, sdk    the ways to pods
"""

from __future__ import annotations

import shlex
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from provision.errors import CloudRefused, CloudUnavailable, InputError, PodError
from provision.pods.cloud import ByHand
from provision.pods.runpod import readings
from provision.pods.runpod.faults import AGAIN, fault
from provision.pods.runpod.logs import TAIL, lines_of
from provision.pods.runpod.orders import check
from provision.pods.runpod.rest import Answer, Question, Rest
from provision.pods.runpod.sdk import Retired, find_sdk
from provision.pods.runpod.settings import RunPodSettings
from provision.pods.runpod.v2 import V2, whole_list
from provision.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from provision.pods.cloud import Datacenter, LogLine, NetworkVolume, Offer, Order, Pod, Request

__all__ = ["RunPod", "RunPodSettings"]

PODS_PAGE = "https://console.runpod.io/pods"

_TERABYTE = 1000

T = TypeVar("T")


class _Way(Protocol):
    """A way to pods."""

    def create(self, order: Order) -> Pod: ...
    def pod(self, pod_id: str) -> Pod | None: ...
    def pods(self) -> list[Pod]: ...
    def delete(self, pod_id: str) -> None: ...
    def requests(self, order: Order) -> list[Request]: ...


class RunPod:
    """A `Cloud`. What may be asked twice is, as the settings' patience allows; what creates something never is."""

    def __init__(self, settings: RunPodSettings) -> None:
        self._settings, self._rest = settings, Rest(settings)
        self._retry = Retry(patience=settings.patience, sleep=settings.sleep)
        self._guard = Lock()
        self._way: _Way | None = None

    @property
    def name(self) -> str:
        """As `Cloud.name`."""
        return "runpod"

    def volumes(self) -> list[NetworkVolume]:
        """As `Cloud.volumes`."""
        listed = self._retry.call(
            lambda: whole_list(self._rest, "list the volumes", "/v2/network-volumes", "networkVolumes")
        )
        return readings.volumes_of(listed)

    def volume(self, volume_id: str) -> NetworkVolume | None:
        """As `Cloud.volume`."""
        question = Question(asked="look at the volume", path=_volume(volume_id))
        return self._retry.call(lambda: _found(self._rest.ask(question), readings.volume_of))

    def create_volume(self, name: str, size: int, datacenter: str) -> NetworkVolume:
        """As `Cloud.create_volume`."""
        body = {"name": name, "size": size, "dataCenter": datacenter}
        question = Question(asked="create the volume", method="POST", path="/v2/network-volumes", body=body)
        return readings.volume_of(_accepted(self._rest.ask(question)).document())

    def resize_volume(self, volume_id: str, size: int) -> NetworkVolume:
        """As `Cloud.resize_volume`. RunPod's volumes only grow."""
        volume = self.volume(volume_id)
        if volume is None:
            raise InputError(f"there is no volume `{volume_id}`", hint="`provision volume ls` tells which there are")
        if size < volume.size:
            raise InputError(f"volume {volume_id} has {volume.size} GB: it can grow, and never shrink")
        question = Question(asked="resize the volume", method="PATCH", path=_volume(volume_id), body={"size": size})
        return self._retry.call(lambda: readings.volume_of(_accepted(self._rest.ask(question)).document()))

    def delete_volume(self, volume_id: str) -> None:
        """As `Cloud.delete_volume`."""
        question = Question(asked="delete the volume", method="DELETE", path=_volume(volume_id))
        self._retry.call(lambda: _found(self._rest.ask(question)))

    def datacenters(self) -> list[Datacenter]:
        """As `Cloud.datacenters`."""
        return readings.datacenters_of(self._catalog("datacenters", "dataCenters"))

    def volume_price(self, size: int) -> float:
        """As `Cloud.volume_price`: $0.07 per GB for the first TB, $0.05 beyond, for standard storage.

        docs.runpod.io, storage/network-volumes, "Pricing"; the API does not tell it.
        """
        return round(0.07 * min(size, _TERABYTE) + 0.05 * max(0, size - _TERABYTE), 2)

    def offers(self, datacenter: str) -> list[Offer]:
        """As `Cloud.offers`: CPU machines in two sizes, and one GPU of each type, with stock or without."""
        stocked = "?include=AVAILABILITY&product=POD"
        return [
            *readings.cpu_offers(self._catalog(f"cpus{stocked}", "cpus"), datacenter),
            *readings.gpu_offers(self._catalog(f"gpus{stocked}", "gpus"), datacenter),
        ]

    def create_pod(self, order: Order) -> Pod:
        """As `Cloud.create_pod`.

        Raises:
            InputError: it holds what cannot be sent.
        """
        check(order)
        try:
            return self._pods().create(order)
        except Retired:
            self._way = V2(self._rest)
        raise CloudUnavailable(
            "RunPod has retired its GraphQL API just now; whether the pod was rented is not known", hint=AGAIN
        )

    def pod(self, pod_id: str) -> Pod | None:
        """As `Cloud.pod`."""
        return self._again(lambda way: way.pod(pod_id))

    def pods(self) -> list[Pod]:
        """As `Cloud.pods`."""
        return self._again(lambda way: way.pods())

    def delete_pod(self, pod_id: str) -> None:
        """As `Cloud.delete_pod`."""
        self._again(lambda way: way.delete(pod_id))

    def logs(self, pod_id: str, after: str) -> Sequence[LogLine]:
        """As `Cloud.logs`: at most the last 5,000 lines."""
        return self._retry.call(lambda: self._logs(pod_id, after))

    def address(self, pod_id: str, port: int) -> str:
        """As `Cloud.address`: RunPod's proxy, which does not know of a pod at once."""
        return self._settings.pod_url.replace("{pod}", pod_id).replace("{port}", str(port)).rstrip("/")

    def by_hand(self, pod_id: str) -> ByHand:
        """As `Cloud.by_hand`."""
        url = shlex.quote(self._rest.url(f"/v2/pods/{quote(pod_id, safe='')}"))
        command = f'curl -fsS -X DELETE -H "Authorization: Bearer $RUNPOD_API_KEY" {url}'
        return ByHand(command=command if pod_id else "", page=PODS_PAGE)

    def requests(self, order: Order) -> list[Request]:
        """As `Cloud.requests`."""
        return self._pods().requests(order)

    def _pods(self) -> _Way:
        with self._guard:
            if self._way is None:
                sdk = find_sdk(self._settings, self._rest) if self._settings.use_sdk else None
                self._way = sdk or V2(self._rest)
            return self._way

    def _again(self, ask: Callable[[_Way], T]) -> T:
        """The answer of the way to pods, which is v2 for good once GraphQL is no more; where it fails, v2's."""
        return self._retry.call(lambda: self._asked(ask))

    def _asked(self, ask: Callable[[_Way], T]) -> T:
        way, v2 = self._pods(), V2(self._rest)
        failure: PodError | None = None
        try:
            return ask(way)
        except Retired:
            self._way = v2
        except (CloudRefused, CloudUnavailable) as error:
            if isinstance(way, V2):
                raise
            failure = error
        try:
            return ask(v2)
        except PodError as error:
            failure = failure or error
        raise failure

    def _catalog(self, path: str, name: str) -> list[Any]:
        return self._retry.call(lambda: whole_list(self._rest, "read the catalog", f"/v2/catalog/{path}", name))

    def _logs(self, pod_id: str, after: str) -> list[LogLine]:
        path = f"/v2/pods/{quote(pod_id, safe='')}/logs?source=container"
        headers = {"Last-Event-ID": after} if after else {}
        question = Question(asked="read the pod's log", path=f"{path}&tail={TAIL}", headers=headers)
        answer = self._rest.listen(question)
        if after and answer.status in {400, 422}:  # its contract calls the id a time, its own example is more than that
            since = quote(after.partition("/")[0], safe="")
            answer = self._rest.listen(Question(asked=question.asked, path=f"{path}&since={since}"))
        if answer.is_absence:
            return []
        answer.check()
        return lines_of(answer.body, after)


def _volume(volume_id: str) -> str:
    return f"/v2/network-volumes/{quote(volume_id, safe='')}"


def _found(answer: Answer, read: Callable[[Any], T] | None = None) -> T | None:
    """What `answer` tells; None where what was asked about is gone."""
    if answer.is_absence:
        return None
    answer.check()
    return read(answer.document()) if read else None


def _accepted(answer: Answer) -> Answer:
    """`answer`, unless it says that what was asked for is wrong: a person gave a volume's name, size and place."""
    if answer.status in {400, 404, 422}:
        raise InputError(fault(answer.said, answer.asked, answer.secrets).message)
    return answer
