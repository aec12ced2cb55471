"""The error tree: every failure says what happened, what to do next, and how the process exits.

    ProvisionError                  1   a fault of ours
    ├─ InputError                   2   edit your input
    │  └─ ManifestError                 every fault of a manifest, each with file:line:column
    ├─ PromiseBroken                3   the bytes are not as promised
    │  ├─ SizeMismatch
    │  ├─ DigestMismatch
    │  ├─ ObjectChanged
    │  ├─ HeaderMismatch
    │  └─ VerificationFailed
    ├─ LockError                    4   lock missing or stale
    │  ├─ LockMissing
    │  ├─ LockStale
    │  └─ LockUnreadable
    ├─ HubRefused                   5   the hub refused; asking again cannot help
    │  ├─ Gated
    │  ├─ AccessDenied
    │  ├─ RepositoryNotFound
    │  ├─ RevisionNotFound
    │  ├─ PathNotFound
    │  ├─ NotAHub
    │  └─ HostileListing
    ├─ HubUnavailable               6   run again, it resumes              (retryable)
    │  ├─ RateLimited
    │  ├─ Unreachable
    │  ├─ ConnectionCut
    │  ├─ Stalled
    │  ├─ AddressExpired
    │  └─ OfflineMode                   (not retryable)
    ├─ VolumeError                  7   absent, full, read-only
    │  ├─ VolumeAbsent
    │  ├─ VolumeFull
    │  ├─ VolumeReadOnly
    │  ├─ VolumeDenied                  these keys may not read it
    │  ├─ UnsafePath
    │  └─ VolumeTrouble                 EIO, ESTALE                        (retryable)
    ├─ PodError                     8   the pod failed
    │  └─ PodNotReturned            9   a pod may still be billing
    └─ Interrupted                130   by the user, or the system
       └─ TimeIsUp                      by --max-time

Whether an error may be retried is a property of its class; `retry.py` only reads it. Messages and
hints never contain a token: whoever builds one from foreign text passes it through `without_secrets`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ExitCode(IntEnum):
    """What the process says when it ends. Scripts may rely on it; an unknown code means failure."""

    DONE = 0
    FAULT = 1
    INPUT = 2
    BYTES = 3
    LOCK = 4
    REFUSED = 5
    UNAVAILABLE = 6
    VOLUME = 7
    POD = 8
    POD_NOT_RETURNED = 9
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """One line for people, shown by `provision --help`."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.FAULT: "a fault of ours",
    ExitCode.INPUT: "edit your input",
    ExitCode.BYTES: "the bytes are not as promised",
    ExitCode.LOCK: "lock missing or stale",
    ExitCode.REFUSED: "the hub refused (gated, 401, 404)",
    ExitCode.UNAVAILABLE: "the hub is unavailable; run again, it resumes",
    ExitCode.VOLUME: "the volume (absent, full, read-only)",
    ExitCode.POD: "the pod failed",
    ExitCode.POD_NOT_RETURNED: "a pod may still be billing",
    ExitCode.INTERRUPTED: "interrupted; run again, it resumes",
}


class ProvisionError(Exception):
    """The root: `message` says what happened, `hint` what to do next ("" when there is nothing to say)."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAULT
    retryable: ClassVar[bool] = False
    retry_after: float | None = None
    """Seconds that whoever could not serve asked us to wait, if it did."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(ProvisionError):
    """Something a person wrote must be edited: a manifest, a flag, a name."""

    exit_code = ExitCode.INPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One fault in a text that a person wrote. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    message: str
    where: str = ""  # the place in the document: models[2].files[0]
    meant: str = ""  # what was probably meant, as a short phrase

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        meant = f"; {self.meant}" if self.meant else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{where}{meant}"


class ManifestError(InputError):
    """All faults of one manifest at once, in the order of the text."""

    def __init__(self, issues: Sequence[Issue], *, hint: str = "") -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(map(str, self.issues)), hint=hint)


class PromiseBroken(ProvisionError):
    """Bytes, on a volume or from a hub, are not what the lock promised."""

    exit_code = ExitCode.BYTES


class SizeMismatch(PromiseBroken):
    """A length other than the promised one."""


class DigestMismatch(PromiseBroken):
    """The right length, other bytes."""


class ObjectChanged(PromiseBroken):
    """What is behind an address was replaced while it was being fetched."""


class HeaderMismatch(PromiseBroken):
    """A safetensors header that is damaged or not the promised one."""


class VerificationFailed(PromiseBroken):
    """A verification ended with findings other than ok."""


class LockError(ProvisionError):
    """The lock cannot be used as it is."""

    exit_code = ExitCode.LOCK


class LockMissing(LockError):
    """There is no lock where one is needed."""


class LockStale(LockError):
    """The lock does not belong to its manifest."""


class LockUnreadable(LockError):
    """The lock is damaged, or written by a newer release."""


class HubRefused(ProvisionError):
    """A hub said no, or said something that is refused here; asking again cannot help."""

    exit_code = ExitCode.REFUSED


class Gated(HubRefused):
    """The repository exists; access must be asked for on its page."""


class AccessDenied(HubRefused):
    """A token is missing, wrong, or not allowed to do this."""


class RepositoryNotFound(HubRefused):
    """No such repository, or it is private and the token does not open it."""


class RevisionNotFound(HubRefused):
    """The repository has no such branch, tag or commit."""


class PathNotFound(HubRefused):
    """The repository has no such file at that revision."""


class NotAHub(HubRefused):
    """What answered is not a hub: a proxy's page, another service."""


class HostileListing(HubRefused):
    """A listing that names paths or sizes no honest repository has."""


class HubUnavailable(ProvisionError):
    """A hub cannot serve now. `retry_after`: seconds the hub asked us to wait, if it did."""

    exit_code = ExitCode.UNAVAILABLE
    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RateLimited(HubUnavailable):
    """The hub asked us to slow down (429, or 503 with Retry-After)."""


class Unreachable(HubUnavailable):
    """No answer from the hub: name lookup, connection, TLS, or a 5xx."""


class ConnectionCut(HubUnavailable):
    """The connection ended before the promised bytes did."""


class Stalled(HubUnavailable):
    """The connection stands, but nothing comes."""


class AddressExpired(HubUnavailable):
    """A signed download address is no longer honoured; a fresh one must be asked for."""


class OfflineMode(HubUnavailable):
    """The user's settings forbid the network."""

    retryable = False


class VolumeError(ProvisionError):
    """The volume cannot be used as it is."""

    exit_code = ExitCode.VOLUME


class VolumeAbsent(VolumeError):
    """There is no volume at that place: not given, not mounted, not a folder."""


class VolumeFull(VolumeError):
    """No room: known before the first byte, or learnt from ENOSPC, EDQUOT or ENXIO."""


class VolumeReadOnly(VolumeError):
    """The volume can be read but not written."""


class VolumeDenied(VolumeError):
    """The keys are good, but may not read it: what some servers say, too, of what is absent, to keys without a list."""


class UnsafePath(VolumeError):
    """A path on the volume that is, or goes through, something other than plain folders and files."""


class VolumeTrouble(VolumeError):
    """The file system failed in a way that often passes (EIO, ESTALE)."""

    retryable = True


class PodError(ProvisionError):
    """The rented pod did not do its work."""

    exit_code = ExitCode.POD


class CloudRefused(PodError):
    """The cloud said no: the key, the balance, a permission, or a request that it does not understand."""


class CloudUnavailable(PodError):
    """The cloud cannot answer now. Whether what was asked for took effect is unknown."""

    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class NoCapacity(PodError):
    """No machine of the kind that was asked for is free just now; another kind, or later, may do."""


class PodLost(PodError):
    """A pod that never came up, or went away before its job was done."""


class PodNotReturned(PodError):
    """A rented pod could not be given back and may still cost money."""

    exit_code = ExitCode.POD_NOT_RETURNED


class Interrupted(ProvisionError):
    """The user, or the system, asked us to stop."""

    exit_code = ExitCode.INTERRUPTED


class TimeIsUp(Interrupted):
    """The time that the user gave is over."""


SEVERITY = (
    ExitCode.POD_NOT_RETURNED,
    ExitCode.INTERRUPTED,
    ExitCode.FAULT,
    ExitCode.INPUT,
    ExitCode.LOCK,
    ExitCode.VOLUME,
    ExitCode.BYTES,
    ExitCode.REFUSED,
    ExitCode.UNAVAILABLE,
    ExitCode.POD,
    ExitCode.DONE,
)
"""Of several the first in this order decides: what a person must act on before what passes by itself."""


def worst(errors: Iterable[ProvisionError]) -> ProvisionError:
    """The one of several errors that decides the exit code: what a person must act on before what passes by itself."""
    return min(errors, key=lambda error: SEVERITY.index(error.exit_code))


_SECRETS = (
    r"(?i:\b(?:bearer|basic)\s+[^\s\"',;]+)",
    r"\b(?:hf|ms|rpa|rps)[_-][A-Za-z0-9_-]{8,}",
    r"(?i:\b(?:m_session_id|token|access_token|api_key|signature|x-amz-[a-z-]+|policy|key-pair-id|sig)=[^\s&\"'<>;]+)",
    r"(?<=://)[^/\s@]+(?=@)",
)


def without_secrets(text: str) -> str:
    """`text` with everything that looks like a credential replaced by ***: for words that came from outside."""
    return re.sub("|".join(_SECRETS), "***", text)  # compiled at the first use: most runs have nothing to hide
