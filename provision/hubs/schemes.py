"""The schemes of sources and mirrors (`hf://ORG/NAME`), and the hub that each of them means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from provision.errors import InputError
from provision.names import nearest, shown

if TYPE_CHECKING:
    from provision.hubs import Hub
    from provision.hubs.settings import HubSettings

SCHEMES = ("hf", "modelscope", "https")


def open_hub(scheme: str, settings: HubSettings) -> Hub:
    """The hub that `scheme` means. Nothing is asked of it, and no vendor's library is imported, until it is used.

    Raises:
        InputError: there is no such scheme.
    """
    if scheme == "hf":
        from provision.hubs.huggingface import HuggingFace

        return HuggingFace(settings)
    if scheme == "modelscope":
        from provision.hubs.modelscope import ModelScope

        return ModelScope(settings)
    if scheme == "https":
        from provision.hubs.https import Https

        return Https()
    meant = " or ".join(f"{known}://" for known in nearest(scheme, SCHEMES) or SCHEMES)
    raise InputError(f"no hub is called `{shown(scheme)}`", hint=f"write {meant}")
