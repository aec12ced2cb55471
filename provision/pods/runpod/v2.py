"""Pods by REST v2: without RunPod's SDK, and once its GraphQL is no more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from provision.pods.cloud import Request
from provision.pods.runpod.faults import unclear
from provision.pods.runpod.orders import as_ordered, create_body, masked, secrets_of
from provision.pods.runpod.readings import pod_of, pods_of
from provision.pods.runpod.rest import Question

if TYPE_CHECKING:
    from provision.pods.cloud import Order, Pod
    from provision.pods.runpod.rest import Rest

_PAGES = 200


class V2:
    """A way to pods."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def create(self, order: Order) -> Pod:
        """The pod, rented. What was not understood may have been rented all the same."""
        question = Question(
            asked="rent a pod", method="POST", path="/v2/pods", body=create_body(order), secrets=secrets_of(order)
        )
        pod = pod_of(self._rest.ask(question).document())
        if pod is None:
            raise unclear("rent a pod", "its answer is not understood here")
        return as_ordered(pod, order)

    def pod(self, pod_id: str) -> Pod | None:
        """One pod, None when it is gone."""
        answer = self._rest.ask(Question(asked="look at the pod", path=_path(pod_id)))
        if answer.is_absence:
            return None
        document = answer.document()
        if document is None:
            raise unclear("look at the pod", "its answer is empty")
        return pod_of(document)

    def pods(self) -> list[Pod]:
        """All pods."""
        return pods_of(whole_list(self._rest, "list the pods", "/v2/pods", "pods"))

    def delete(self, pod_id: str) -> None:
        """Give it back; one that is gone is no error."""
        answer = self._rest.ask(Question(asked="delete the pod", method="DELETE", path=_path(pod_id)))
        if not answer.is_absence:
            answer.check()

    def requests(self, order: Order) -> list[Request]:
        """What `create` would send, for people to read."""
        return creation(self._rest, order)


def _path(pod_id: str) -> str:
    return f"/v2/pods/{quote(pod_id, safe='')}"


def creation(rest: Rest, order: Order) -> list[Request]:
    """The request of v2 that rents `order`, secrets masked."""
    body = json.dumps(create_body(masked(order)), indent=2, ensure_ascii=False)
    return [Request(method="POST", url=rest.url("/v2/pods"), body=body)]


def whole_list(rest: Rest, asked: str, path: str, name: str) -> list[Any]:
    """All items of a list, which v2 gives under `name`.

    The published contract has no pages; clients have met a `nextCursor`, which goes back as `cursor`.
    """
    items: list[Any] = []
    mark, cursor = "&" if "?" in path else "?", ""
    for _ in range(_PAGES):
        further = f"{mark}cursor={quote(cursor, safe='')}" if cursor else ""
        page = rest.ask(Question(asked=asked, path=path + further, is_list=True)).document()
        part = page.get(name) if isinstance(page, dict) else None
        if not isinstance(part, list):
            raise unclear(asked, "its answer is not understood here")
        items += part
        following = _cursor(page)
        if not following:
            return items
        if following == cursor:
            break
        cursor = following
    raise unclear(asked, "its list has no end")


def _cursor(page: dict[str, Any]) -> str:
    pages = page.get("pagination")
    cursor = page.get("nextCursor") or (pages.get("nextCursor") if isinstance(pages, dict) else None)
    return cursor if isinstance(cursor, str) else ""
