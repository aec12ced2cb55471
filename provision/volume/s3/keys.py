"""Who asks: the pair of keys that signs requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RUNPOD = ("RUNPOD_S3_ACCESS_KEY", "RUNPOD_S3_SECRET_KEY")
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

WHERE = "RunPod makes S3 keys in its console under Settings > S3 API Keys; they are not its API keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What requests are signed with. Neither is ever shown."""

    access: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def hidden_in(self, text: str) -> str:
        """`text` with these keys replaced by ***."""
        for word in filter(None, (self.token, self.secret, self.access)):
            text = text.replace(word, "***")
        return text


def keys_from(environment: Mapping[str, str], chain: Callable[[], Keys | None] | None = None) -> Keys:
    """RunPod's pair in `environment`, else AWS's with its session token, else what `chain` finds.

    `chain`: botocore's own search through profiles and what a machine was given, when None.

    Raises:
        InputError: there is none, or one of a pair is missing; or boto3 is.
    """
    for names in (RUNPOD, AWS):
        access, secret = (environment.get(name, "").strip() for name in names)
        if access and secret:
            token = environment.get("AWS_SESSION_TOKEN", "").strip() if names is AWS else ""
            return Keys(access=access, secret=secret, token=token or None)
        if access or secret:
            there, missing = names if access else reversed(names)
            raise InputError(f"{there} is set, but {missing} is not", hint=f"set both; {WHERE}")
    found = (chain or _searched)()
    if found is None:
        raise InputError(
            f"no keys for S3: neither {RUNPOD[0]} and {RUNPOD[1]} nor {AWS[0]} and {AWS[1]} are set",
            hint=f"set one pair; {WHERE}",
        )
    return found


def _searched() -> Keys | None:
    from provision.volume.s3.client import botocore_keys  # boto3 is only there with its extra

    return botocore_keys()
