"""What goes wrong with S3, as the error tree says it. Whether it may pass decides the class; all of them exit with 7.

Words of a server are foreign: they are shown without what looks like a secret, and without our keys.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from provision.errors import (
    ProvisionError,
    VolumeAbsent,
    VolumeDenied,
    VolumeError,
    VolumeFull,
    VolumeTrouble,
    without_secrets,
)
from provision.names import shown
from provision.volume.s3.keys import WHERE
from provision.volume.s3.place import DATACENTERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from provision.volume.s3.settings import S3Settings

_KEYS = f"check the pair of keys. {WHERE}"
_DENIED = f"do these keys belong to the account that owns the volume, and may they read? {WHERE}"
_SLOW = (
    "RunPod computes the MD5 of a large file when it is first asked for, which takes minutes once; "
    "run the same command again"
)
_LATER = "run the same command again in a while"
_FEWER = "run the same command again in a while, and not from many places at once"
_ONE_CENTER = "a volume lives in one data center only: check its id and --datacenter in the console under Storage"
_FULL = "free room or grow the volume; meanwhile verify in a pod that has it mounted"
_NOT_S3 = "is --endpoint-url the address of an S3 server, with nothing in between?"
_CLOCK = "S3 refuses requests that are more than a quarter of an hour off: set this machine's clock"
_MOUNTED = "verify it in a pod that has the volume mounted"


_Meaning = tuple[type[VolumeError], str, str]

_THROTTLED: _Meaning = (VolumeTrouble, "the server asks us to slow down", _FEWER)
_BUSY: _Meaning = (VolumeTrouble, "the server cannot answer now", _LATER)
_REFUSED: _Meaning = (VolumeDenied, "the server does not let these keys read it", _DENIED)
_EXPIRED: _Meaning = (VolumeError, "the keys are no longer valid", _KEYS)
_NO_ROOM: _Meaning = (VolumeFull, "the volume is full, and its server answers nothing else", _FULL)

_CODES: dict[str, _Meaning] = {
    "InvalidAccessKeyId": (VolumeError, "the server does not know the access key", _KEYS),
    "SignatureDoesNotMatch": (VolumeError, "the secret key is not the one that goes with the access key", _KEYS),
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "AccountProblem"), _REFUSED),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), (VolumeError, "this machine's clock is wrong", _CLOCK)),
    "NoSuchBucket": (VolumeAbsent, "there is no such volume in that data center", _ONE_CENTER),
    "AuthorizationHeaderMalformed": (
        VolumeError,
        "the request was signed for another region",
        "pass --datacenter, or set AWS_REGION for other servers",
    ),
    **dict.fromkeys(("SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded"), _THROTTLED),
    **dict.fromkeys(("TooManyRequests", "RequestThrottled", "BandwidthLimitExceeded"), _THROTTLED),
    **dict.fromkeys(("InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted"), _BUSY),
    **dict.fromkeys(("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"), _NO_ROOM),
    **dict.fromkeys(
        ("KeyTooLongError", "InvalidURI", "InvalidObjectName", "XMinioInvalidObjectName", "InvalidArgument"),
        (VolumeError, "the server does not take a key like this one", _MOUNTED),
    ),
}
_STATUSES: dict[int, _Meaning] = {
    401: _REFUSED,
    403: _REFUSED,
    408: _BUSY,
    429: _THROTTLED,
    500: _BUSY,
    502: _BUSY,
    503: _BUSY,
    504: (VolumeTrouble, "the server did not find an answer in time", _SLOW),
    507: _NO_ROOM,
    # Cloudflare, which stands in front of RunPod: nothing came from behind it for 100 seconds.
    524: (VolumeTrouble, "the server did not find an answer in time", _SLOW),
    **dict.fromkeys((520, 521, 522, 523, 525, 526, 527, 530), _BUSY),
}


class RefusedError(Exception):
    """The server said no. Never leaves the package: what it means depends on what was asked.

    `code` is S3's word for it; `has_words` is false when there is none, as on a page of any other server.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__()  # the server's words may hold our access key
        told = answer.get("Error", {})
        self.status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        self.code = str(told.get("Code", ""))
        self.has_words = bool(self.code) and not self.code.isdigit()
        self.words = str(told.get("Message", "")) if self.has_words else ""


@contextmanager
def foreign_faults(what: str, settings: S3Settings) -> Iterator[None]:
    """Within, all that botocore raises becomes a RefusedError, or what `unanswered` makes of it."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        raise RefusedError(error.response) from None
    except ProvisionError:
        raise
    except Exception as error:  # noqa: BLE001 - what botocore lets through of urllib3 has no class that we may know
        raise unanswered(error, what, settings) from None


def refusal(refused: RefusedError, what: str, settings: S3Settings) -> VolumeError:
    """The error for an answer that is a refusal."""
    status, code = refused.status, refused.code
    kind, text, hint = _CODES.get(code) or _STATUSES.get(status) or _unknown(status)
    told = _foreign(f"{status} {code}" if refused.has_words else str(status), 80, settings)
    words = "" if code in _CODES else _foreign(refused.words, 200, settings)
    return kind(f"{what}: {text} ({told}{': ' if words else ''}{words})", hint=hint)


def _foreign(text: str, limit: int, settings: S3Settings) -> str:
    return shown(settings.keys.hidden_in(without_secrets(text)), limit)


def _unknown(status: int) -> _Meaning:
    if 300 <= status < 400:
        return VolumeError, "the server sends us elsewhere, which is not followed", _NOT_S3
    return _BUSY if status >= 500 else (VolumeError, "the server refused", _MOUNTED)


def not_s3(what: str, status: int) -> VolumeError:
    """The error for an answer that no S3 server gives."""
    return VolumeError(f"{what}: what answers there is not S3 ({status})", hint=_NOT_S3)


def unanswered(error: Exception, what: str, settings: S3Settings) -> VolumeError:
    """The error for anything else that botocore raises: no answer came, or not all of it."""
    from botocore import exceptions

    host = urlsplit(settings.endpoint.url).hostname or ""
    if isinstance(error, exceptions.SSLError):
        return VolumeError(
            f"{what}: {host} has no certificate that can be trusted",
            hint="check the address and the clock; a proxy that looks into connections has a certificate of its own",
        )
    if isinstance(error, exceptions.ProxyConnectionError):
        return VolumeTrouble(f"{what}: the proxy cannot be reached", hint="check HTTPS_PROXY, ALL_PROXY and NO_PROXY")
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
        return VolumeTrouble(f"{what}: {host} cannot be reached", hint=_unreachable(host))
    if isinstance(error, exceptions.ReadTimeoutError):
        return VolumeTrouble(f"{what}: {host} did not answer in time", hint=_SLOW)
    cut = (
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
        exceptions.ConnectionError,
        OSError,
    )
    if isinstance(error, cut):
        return VolumeTrouble(f"{what}: the connection to {host} was cut", hint=_LATER)
    return VolumeError(f"{what}: the answer of {host} makes no sense ({type(error).__name__})", hint=_NOT_S3)


def _unreachable(host: str) -> str:
    if host.endswith(".runpod.io"):
        return f"is it the volume's data center? These have S3: {', '.join(DATACENTERS)}"
    return "check --endpoint-url, and any proxy in between"
