"""Endpoint and token of each hub, where the environment settles them. Read here, passed on as values.

The hubs' own libraries know both, but take a third of a second to import, which a fill from a lock need not pay. So
their plain case is decided here, by the same rules (huggingface_hub 1.18 to 2.4, constants.py and utils/_auth.py;
modelscope_hub 0.5.1, config.py). Whatever is not plain, as a saved login or a retired variable, they decide themselves.
"""

from __future__ import annotations

import builtins
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from provision.errors import InputError, NotAHub
from provision.hubs.address import usable
from provision.hubs.settings import HubSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.hubs.http import HttpSettings

HUGGINGFACE = "https://huggingface.co"
MODELSCOPE = "https://modelscope.cn"

_HUGGINGFACE_KNOWS = (
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_OIDC_RESOURCE",
    "HUGGINGFACE_CO_STAGING",
    "HUGGING_FACE_HUB_TOKEN",
)
_MODELSCOPE_KNOWS = ("MODELSCOPE_DOMAIN", "MODELSCOPE_PREFER_AI_SITE")
"""Variables of which only the library says what they mean."""

_VARIABLES = {"hf": "HF_ENDPOINT", "modelscope": "MODELSCOPE_ENDPOINT"}

_ADDRESS = re.compile(r"https?://\S+")
_TOKEN = re.compile(r"[\w.~+/=-]*", re.ASCII)  # "" is nobody's


def hub_settings(scheme: str, http: HttpSettings) -> HubSettings:
    """How the hub of `scheme` is reached: with endpoint and token where both are settled, else with neither."""
    settle = {"hf": _huggingface, "modelscope": _modelscope}.get(scheme)
    endpoint, token = settle(os.environ) if settle else (None, None)
    if endpoint is None or token is None:
        return HubSettings(http=http)
    return HubSettings(http=http, endpoint=endpoint, token=token)


def check_endpoint(scheme: str) -> None:
    """Refuse what the environment says of where the hub of `scheme` is, when nothing could be asked there.

    Raises:
        InputError: it is no address; the variable is named.
    """
    name = _VARIABLES.get(scheme, "")
    address = os.environ.get(name)
    if address is not None and scheme == "modelscope":  # its library makes do with a host, or with nothing
        address = address.strip() or None
        address = f"https://{address}" if address and "://" not in address else address
    if address is None:
        return
    try:
        usable(address)
    except NotAHub as error:
        raise InputError(f"{name}: {error.message}", hint="write it as http://HOST:PORT or https://HOST") from error


def _huggingface(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    if any(map(environment.get, _HUGGINGFACE_KNOWS)) or hasattr(builtins, "get_ipython"):  # Colab keeps tokens, too
        return None, None
    cache = environment.get("XDG_CACHE_HOME", "~/.cache")
    home = environment.get("HF_HOME", _below(cache, "huggingface"))
    saved = environment.get("HF_TOKEN_PATH", _below(home, "token"))
    token = environment.get("HF_TOKEN") or _nobody(saved)
    return _plain(_ADDRESS, environment.get("HF_ENDPOINT", HUGGINGFACE)), _plain(_TOKEN, token)


def _modelscope(environment: Mapping[str, str]) -> tuple[str | None, str | None]:
    if any(map(environment.get, _MODELSCOPE_KNOWS)):
        return None, None
    home = environment.get("MODELSCOPE_HOME") or "~/.modelscope"
    token = environment.get("MODELSCOPE_API_TOKEN")  # an empty one is none, and hides what was saved
    if token is None:
        token = _nobody(f"{home}/credentials/cookies")
    return _plain(_ADDRESS, environment.get("MODELSCOPE_ENDPOINT") or MODELSCOPE), _plain(_TOKEN, token)


def _plain(kind: re.Pattern[str], value: str | None) -> str | None:
    return value if value is not None and kind.fullmatch(value) else None


def _below(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118 - as the library does: a folder "" is the one we are in


def _nobody(saved: str) -> str | None:
    """The token of nobody, "", where there is certainly no file `saved`; None where there may be one."""
    path = os.path.expanduser(saved)  # noqa: PTH111 - as the libraries do: it leaves alone what it cannot expand
    if not path.startswith("/") or "$" in path:
        return None
    try:
        Path(path).stat()
    except FileNotFoundError:
        return ""
    except OSError:
        return None
    return None
