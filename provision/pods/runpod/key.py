"""RunPod's API key: from the environment, else where RunPod's own tools keep it."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from provision.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VARIABLE = "RUNPOD_API_KEY"
CONFIG = ".runpod/config.toml"


def find_key(environment: Mapping[str, str], home: Path) -> str | None:
    """RUNPOD_API_KEY, else `api_key` of `[default]` in `~/.runpod/config.toml` (`runpod config` writes it); else None.

    RunPod's SDK reads the file only (`runpod/__init__.py` of 1.12).

    Raises:
        InputError: there is such a file, but it cannot be read or understood. The key is never shown.
    """
    key = environment.get(VARIABLE, "").strip()
    if key:
        return key
    path = home / CONFIG
    profile = _document(path).get("default")
    saved = profile.get("api_key", "") if isinstance(profile, dict) else ""
    if not isinstance(saved, str):
        raise _unreadable(path, "its api_key is no text")
    return saved.strip() or None


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _unreadable(path, error.strerror or "it cannot be read") from None
    # What is suppressed holds the file's text, and what is raised must not lead to it: it is raised outside.
    with suppress(UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return tomllib.loads(text.decode())
    raise _unreadable(path, "it is not TOML")


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} is of no use: {why}", hint=f"mend it with `runpod config`, or export {VARIABLE}, which goes before it"
    )
