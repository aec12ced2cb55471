"""The two calls that are made: HeadObject and GetObject. The only module that speaks to boto3."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from provision.errors import InputError, VolumeError, VolumeTrouble
from provision.names import shown
from provision.volume.s3.answer import ReplacedError, facts_of, span_of
from provision.volume.s3.body import Body
from provision.volume.s3.breaker import Breaker
from provision.volume.s3.faults import RefusedError, foreign_faults, not_s3, refusal
from provision.volume.s3.keys import Keys
from provision.volume.s3.place import no_endpoint, proxied

if TYPE_CHECKING:
    from collections.abc import Callable

    from provision.retry import Retry
    from provision.volume.s3.answer import Answer, ObjectFacts, Span
    from provision.volume.s3.settings import S3Settings

T = TypeVar("T")

_WHOLE = (
    "the server does not honour ranges: to read the end of a file all of it has to come; "
    "verifying in a pod that has the volume mounted is faster"
)


class Client:
    """Asks for objects, as often as `retry` has patience for. Threads may share it. `tell` gets what people should
    know, once.

    Raises (head, open, and what they hand out):
        VolumeAbsent: there is no such bucket.
        VolumeTrouble: trouble that often passes; out of `patiently` it comes as a VolumeError, when it has not passed.
        VolumeError: it cannot be asked for, or the server refused.
    """

    def __init__(self, settings: S3Settings, retry: Retry, tell: Callable[[str], None]) -> None:
        self._settings, self._retry, self._tell = settings, retry, tell
        self._sdk = _made(settings)
        self._breaker = Breaker()
        self._stands = False
        self._told = False

    def close(self) -> None:
        """Give the connections back."""
        self._sdk.close()

    def name(self, path: str) -> str:
        """What people call the object at `path`."""
        return shown(f"{self._settings.place}/{path}", 300)

    def patiently(self, operation: Callable[[], T], position: Callable[[], int] = lambda: 0) -> T:
        """The result of `operation`, called again while patience lasts. `position` tells how far it has come. After the
        server has given nothing for a whole patience, it is called once only, until something comes again.
        """
        try:
            with self._breaker.watching(operation, position) as watched:
                return self._retry.call(watched, position=position)
        except VolumeTrouble as error:
            # Not retryable any more: who reads a file again from its first byte must not multiply our own attempts.
            message = f"{error.message}; given up after {self._retry.patience.attempts} attempts in a row"
            raise VolumeError(message, hint=error.hint) from error

    def head(self, path: str) -> ObjectFacts | None:
        """What is known of the object at `path`; None when there is none."""
        return self.patiently(lambda: self._head(path))

    def open(self, path: str, span: Span, known: ObjectFacts) -> Body:
        """The bytes of `span`, of the object that was `known`: one attempt, not yet read. From a server that has no
        ranges come more, and what is before them is passed over.

        Raises:
            ReplacedError: it is another object by now, or gone.
        """
        try:
            answer = self._get(path, span, known.etag)
        except RefusedError as refused:
            if refused.status in {404, 412, 416}:
                raise ReplacedError from None
            raise refusal(refused, self.name(path), self._settings) from None
        return self._body(answer, path, span, known)

    def _body(self, answer: Answer, path: str, span: Span, known: ObjectFacts) -> Body:
        stream, what = answer["Body"], self.name(path)
        try:
            come = span_of(answer, span, known, what)
            if come[0] < span[0] or come[1] > span[1]:
                self._say_whole()
            with foreign_faults(what, self._settings):
                stream.set_socket_timeout(self._settings.stall)
            body = Body(stream, come, what, self._settings)
            body.skip_to(span[0])
        except BaseException:
            stream.close()
            raise
        return body

    def _say_whole(self) -> None:
        if not self._told:
            self._told = True
            self._tell(_WHOLE)

    def _head(self, path: str) -> ObjectFacts | None:
        what = self.name(path)
        try:
            with foreign_faults(what, self._settings):
                answer = self._sdk.head_object(Bucket=self._settings.place.bucket, Key=self._settings.place.key(path))
        except RefusedError as refused:
            if refused.status == 404 and self._stands:
                return None
            if 400 <= refused.status < 500 and refused.status != 429:
                return self._told_by_get(path)
            raise refusal(refused, what, self._settings) from None
        self._stands = True
        return facts_of(answer, what)

    def _told_by_get(self, path: str) -> ObjectFacts | None:
        """What HEAD would not tell. Its refusal has no words, and does not tell a file that is absent from a volume
        that is; and there are servers that refuse no more than the HEAD.
        """
        what = self.name(path)
        try:
            answer = self._some(path)
        except RefusedError as refused:
            if refused.code == "NoSuchKey" or (refused.status == 404 and self._stands):
                self._stands = True
                return None
            if refused.status == 404 and not refused.has_words:
                raise not_s3(what, refused.status) from None
            raise refusal(refused, what, self._settings) from None
        answer["Body"].close()
        self._stands = True
        return facts_of(answer, what)

    def _some(self, path: str) -> Answer:
        """The first byte; of an empty object, which has none, all of it."""
        try:
            return self._get(path, (0, 1), None)
        except RefusedError as refused:
            if refused.status != 416:
                raise
        return self._get(path, None, None)

    def _get(self, path: str, span: Span | None, etag: str | None) -> Answer:
        place = self._settings.place
        wanted = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        same = {"IfMatch": etag} if etag else {}
        with foreign_faults(self.name(path), self._settings):
            answer: Answer = self._sdk.get_object(Bucket=place.bucket, Key=place.key(path), **wanted, **same)
        return answer


def botocore_keys() -> Keys | None:
    """What botocore's own search finds: profiles, and what a machine was given. None when that is nothing.

    Raises:
        InputError: boto3 is not installed, or a profile is not as it should be.
    """
    boto3 = _boto3()
    from botocore.exceptions import BotoCoreError

    try:
        found = boto3.session.Session().get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise InputError(
            f"the keys for S3 cannot be had from the AWS profile ({type(error).__name__})",
            hint="check AWS_PROFILE and the files in ~/.aws, or set a pair of keys",
        ) from error
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        return None
    return Keys(access=frozen.access_key, secret=frozen.secret_key, token=frozen.token)


def _boto3() -> Any:
    try:
        import boto3
        import boto3.session
    except ImportError as error:
        raise InputError(
            "a volume is reached through S3 with boto3, which is not installed",
            hint="pip install 'volume-provision[s3]'",
        ) from error
    return boto3


def _made(settings: S3Settings) -> Any:
    """A client; where boto3 makes none, it is for what a person wrote."""
    boto3 = _boto3()
    from botocore.exceptions import BotoCoreError, InvalidRegionError

    try:
        return _client(boto3, settings)
    except InvalidRegionError as error:
        raise InputError(
            f"`{shown(settings.endpoint.region)}` is not the name of a region",
            hint="for an endpoint of your own, --datacenter or AWS_REGION names it",
        ) from error
    except (ValueError, BotoCoreError) as error:
        raise no_endpoint() from error


def _client(boto3: Any, settings: S3Settings) -> Any:
    """A client that takes nothing from the environment or from profiles, and does not retry by itself."""
    from botocore.config import Config
    from botocore.session import Session

    nothing = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}
    core = Session(session_vars={name: (None, None, value, None) for name, value in nothing.items()})
    keys = settings.keys
    return boto3.session.Session(botocore_session=core).client(
        "s3",
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.token,
        region_name=settings.endpoint.region,
        endpoint_url=settings.endpoint.url,
        verify=settings.ca_bundle or True,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=settings.connect,
            read_timeout=settings.answer,
            max_pool_connections=settings.connections,
            proxies=proxied(settings.endpoint.url, settings.proxies),
            # A checksum of the whole is sent by some servers with a part, which boto3 then calls damaged.
            response_checksum_validation="when_required",
            request_checksum_calculation="when_required",
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
            user_agent_extra=settings.user_agent,
        ),
    )
