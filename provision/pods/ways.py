"""Ways in which a pod can be heard: its own web address, its log, what it leaves on the volume."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections import deque
from typing import TYPE_CHECKING, Protocol

from provision.errors import PodError, ProvisionError
from provision.hubs.address import host_of
from provision.hubs.deadline import within
from provision.hubs.http.body import transport_faults
from provision.names import STATE_FOLDER
from provision.pods.status import LIMIT, LINE, RESULT_LINE, read_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.hubs.http.pools import Pools
    from provision.pods.cloud import Cloud, Pod
    from provision.pods.status import Status

RESULT_LIMIT = 64 * 1024 * 1024
"""Bytes of a result document; a lock of 100,000 files has half of it."""

_PARTS = 1024
_PART = 8 * 1024
_SHORT, _LONG = 10.0, 120.0
"""Seconds for a status, and for a result."""

_RESULT = re.compile(r"(\d{1,4})/(\d{1,4}) ([A-Za-z0-9+/=]+)")
_LAST = 20


class Way(Protocol):
    """One way. `pause`: seconds between two questions."""

    pause: float

    def status(self) -> Status | None:
        """What the pod says of itself; None where it says nothing yet. Raises PodError where this way is closed."""

    def result(self) -> bytes | None:
        """The result document; None where it is not there, or not there yet."""


class Endpoint:
    """The pod's own web address. Redirects are not followed: they would be shown the token. `clock` never jumps."""

    pause = 0.0

    def __init__(  # noqa: PLR0913 - who is asked, how, and when it is enough
        self, cloud: Cloud, pools: Pools, pod: Pod, clock: Callable[[], float], *, port: int, token: str
    ) -> None:
        self._cloud, self._pools, self._pod, self._clock = cloud, pools, pod, clock
        self._port, self._token = port, token

    def status(self) -> Status | None:
        """As Way. Raises PodError also for all that a proxy says while the pod starts."""
        return read_status(self._asked("GET", "/status", LIMIT, _SHORT))

    def result(self) -> bytes | None:
        """As Way."""
        try:
            return self._asked("GET", "/result", RESULT_LIMIT, _LONG)
        except PodError:
            return None

    def taken(self) -> bool:
        """Tell the pod that its result has been taken, so that it need not wait; whether it has heard."""
        try:
            self._asked("POST", "/taken", LIMIT, _SHORT)
        except PodError:
            return False
        return True

    def _asked(self, method: str, path: str, limit: int, seconds: float) -> bytes:
        address = self._cloud.address(self._pod.id, self._port)
        if not address:
            raise PodError("the pod has no address yet")
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        try:
            with within(self._clock, seconds), transport_faults(host_of(address)):
                response = self._pools.request(method, address + path, headers, None, _SHORT)
                try:
                    body = response.read(limit + 1, decode_content=False)
                finally:
                    response.close()
        except ProvisionError as error:
            raise PodError(f"the pod cannot be reached: {error.message}") from error
        if response.status != 200 or len(body) > limit:
            raise PodError(f"the pod's address answers {response.status}")
        return body


class Log:
    """What the pod prints. `last` holds its last lines but those that are for us; `count` is how many came in all."""

    pause = 8.0

    def __init__(self, cloud: Cloud, pod: Pod) -> None:
        self._cloud, self._pod = cloud, pod
        self._after = ""
        self._status: Status | None = None
        self._parts: dict[int, dict[int, str]] = {}
        self.last: deque[str] = deque(maxlen=_LAST)
        self.count = 0

    def status(self) -> Status | None:
        """As Way."""
        self._read()
        return self._status

    def result(self) -> bytes | None:
        """As Way."""
        try:
            self._read()
        except PodError:
            return None
        for total, parts in self._parts.items():
            if len(parts) == total:
                return _unpacked("".join(parts[number] for number in range(1, total + 1)))
        return None

    def _read(self) -> None:
        lines = self._cloud.logs(self._pod.id, self._after)
        if lines and not lines[-1].id:  # it cannot go on where it was: these are all, once more
            self.last.clear()
            self.count = 0
        self.count += len(lines)
        for line in lines:
            self._take(line.text)
        self._after = lines[-1].id if lines else self._after

    def _take(self, text: str) -> None:
        if text.startswith(LINE):
            try:
                status = read_status(text.removeprefix(LINE))
            except PodError:
                return
            if status.lease == self._pod.name:
                self._status = status
        elif text.startswith(RESULT_LINE):
            self._take_part(text.removeprefix(RESULT_LINE))
        else:
            self.last.append(text)

    def _take_part(self, text: str) -> None:
        match = _RESULT.fullmatch(text.strip()) if len(text) <= _PART else None
        if match is None:
            return
        number, total = int(match[1]), int(match[2])
        if 1 <= number <= total <= _PARTS and (total in self._parts or len(self._parts) < 8):
            self._parts.setdefault(total, {})[number] = match[3]


class Marker:
    """What the pod leaves on the volume. `read` gives a file of the volume; None where there is none."""

    pause = 15.0

    def __init__(self, read: Callable[[str], bytes | None], pod: Pod) -> None:
        self._read, self._name = read, f"{STATE_FOLDER}/jobs/{pod.name}"

    def status(self) -> Status | None:
        """As Way. That there is nothing yet is no proof that there will be nothing."""
        text = self._had(".json")
        if text is None:
            raise PodError("there is nothing of the pod on the volume yet")
        return read_status(text)

    def result(self) -> bytes | None:
        """As Way."""
        try:
            return self._had(".result.json")
        except PodError:
            return None

    def _had(self, ending: str) -> bytes | None:
        try:
            return self._read(self._name + ending)
        except ProvisionError as error:
            raise PodError(f"the volume cannot be read from here: {error.message}") from error


def _unpacked(packed: str) -> bytes | None:
    """The gzipped JSON in base64; None where it is none, or too much."""
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = unzip.decompress(base64.b64decode(packed, validate=True), RESULT_LIMIT)
        json.loads(text)
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None
    return text
