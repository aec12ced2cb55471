"""RunPod's REST API v2: JSON in and out, a log that never ends, and every answer bounded.

The published contract: docs.runpod.io, api-reference-v2. Nothing is sent twice here: who calls knows what may be.
"""

from __future__ import annotations

import io
import json
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provision.errors import AccessDenied, CloudRefused, CloudUnavailable, HubRefused, HubUnavailable
from provision.hubs.address import host_of
from provision.hubs.answers import retry_after
from provision.hubs.deadline import within
from provision.hubs.http.body import transport_faults
from provision.hubs.http.pools import Pools
from provision.pods.runpod.abridged import Abridged
from provision.pods.runpod.faults import KEYS_PAGE, Said, fault, unclear, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from urllib3 import BaseHTTPResponse

    from provision.pods.runpod.settings import RunPodSettings

_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer; of a list, of what is kept of it."""

_LIST_LIMIT = 200 * 2 * 1024 * 1024
"""Bytes of a list: 200 pods, each with all the variables that a process can have (execve(2)). They are never held."""

_PIECE = 256 * 1024

_BUFFER = io.DEFAULT_BUFFER_SIZE
"""Bytes of a stream that are taken at once: asked for more, Python's reader keeps what it has until more comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `asked`: a phrase for what was asked for, "list the pods". `secrets` are never to be shown."""

    asked: str
    status: int
    body: bytes = field(repr=False)
    retry_after: float | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def said(self) -> Said:
        """What it says, where it is no answer to what was asked."""
        return Said(status=self.status, words=words_of(self.body), retry_after=self.retry_after)

    @property
    def is_absence(self) -> bool:
        """Whether RunPod itself says that there is no such thing; a page with that status comes from somebody else."""
        return self.status == 404 and self.body.lstrip().startswith(b"{")

    def check(self) -> None:
        """Raise what `faults.fault` gives where it is a refusal."""
        if not 200 <= self.status < 300:
            raise fault(self.said, self.asked, self.secrets)

    def document(self) -> Any:
        """Its JSON. Raises what `check` does, and CloudUnavailable where there is none."""
        self.check()
        with suppress(ValueError, RecursionError):
            return json.loads(self.body)
        raise unclear(self.asked, "its answer is no JSON")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request. `secrets`: what of `body` no error may show. `is_list`: long strings of its answer are left out."""

    asked: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = field(default=None, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    is_list: bool = False


class Rest:
    """Requests in the name of one key. Safe to share between threads."""

    def __init__(self, settings: RunPodSettings) -> None:
        self._settings, self._pools = settings, Pools(settings.http)
        self._base = settings.base_url.rstrip("/")

    def url(self, path: str) -> str:
        """Where `path` of the API is."""
        return self._base + path

    def ask(self, question: Question) -> Answer:
        """The answer, whatever its status.

        Raises:
            CloudRefused: the key, the address or a proxy cannot be used.
            CloudUnavailable: no answer, or none that ends in time and within bounds.
        """
        return self._send(question, self._whole)

    def listen(self, question: Question) -> Answer:
        """As `ask`, of a stream of events that does not end: as much of it as the settings have time for."""
        return self._send(question, self._begun)

    def _send(self, question: Question, receive: Callable[[BaseHTTPResponse, Question], Answer]) -> Answer:
        settings, url = self._settings, self.url(question.path)
        data = None if question.body is None else json.dumps(question.body).encode()
        headers = {"Accept": "application/json", **({"Content-Type": "application/json"} if data else {})}
        headers |= {"Authorization": f"Bearer {settings.key}", **question.headers}
        error: CloudRefused | CloudUnavailable
        try:
            with within(settings.http.clock, settings.timeout):
                response = self._pools.request(question.method, url, headers, data, settings.timeout)
                with closing(response), transport_faults(host_of(url)):
                    return receive(response, question)
        except AccessDenied:
            error = CloudRefused("the API key holds characters that no key has", hint=f"copy it anew from {KEYS_PAGE}")
        except HubRefused as failure:
            error = CloudRefused(failure.message, hint="check RUNPOD_API_BASE_URL, HTTPS_PROXY and NO_PROXY")
        except HubUnavailable as failure:
            error = unclear(question.asked, failure.message)
        raise error  # out here, so that it leads to nothing that holds the key

    def _whole(self, response: BaseHTTPResponse, question: Question) -> Answer:
        is_listed = question.is_list and response.status == 200
        body = _listed(response) if is_listed else response.read(_LIMIT + 1, decode_content=False)
        if len(body) > _LIMIT:
            raise unclear(question.asked, "its answer has no end")
        return self._answer(response, question, body)

    def _begun(self, response: BaseHTTPResponse, question: Question) -> Answer:
        if response.status != 200:
            return self._whole(response, question)
        return self._answer(response, question, _listen(response, self._settings))

    def _answer(self, response: BaseHTTPResponse, question: Question, body: bytes) -> Answer:
        settings = self._settings
        return Answer(
            asked=question.asked,
            status=response.status,
            body=body,
            retry_after=retry_after(response.headers, settings.http.now()) if response.status >= 400 else None,
            secrets=(settings.key, *question.secrets),
        )


def _listed(response: BaseHTTPResponse) -> bytes:
    """A list, its long strings left out; more than _LIMIT of anything where it has no end."""
    abridged, got = Abridged(), 0
    while piece := response.read(_PIECE, decode_content=False):
        got += len(piece)
        abridged.take(piece)
        if abridged.size > _LIMIT or got > _LIST_LIMIT:
            return bytes(_LIMIT + 1)
    return abridged.text


def _listen(response: BaseHTTPResponse, settings: RunPodSettings) -> bytes:
    """What comes until no event has come for `log_quiet`, or `log_time` is over; heartbeats are no events."""
    from provision.hubs.http.wire import answer_of

    clock, answer = settings.http.clock, answer_of(response)
    buffer, got = memoryview(bytearray(_BUFFER)), bytearray()
    until = latest = clock() + settings.log_time
    with suppress(TimeoutError):
        while (left := min(until, latest) - clock()) > 0 and len(got) < _LIMIT:
            answer.wait_at_most(left)
            count = answer.take(buffer)
            got += buffer[:count]
            if not count:
                break
            if b"data:" in buffer[:count].tobytes():
                latest = clock() + settings.log_quiet
    return bytes(got)
