"""What may be written for a name, a place or a digest, and how a fault in one is put into words.

Each check takes the text of one value, gives it back in its normal form, and raises `Fault` for a
text that cannot stand. No I/O, no YAML: the same rules serve the manifest, the lock and the command line.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from provision import names
from provision.errors import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAME = 96

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WRONG_IN_NAME = re.compile(r"[^A-Za-z0-9._-]")
_MOUNTS = ("/runpod-volume/", "/workspace/")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Fault(ValueError):
    """One value that cannot stand: what is wrong, and what was probably meant."""

    def __init__(self, message: str, *, meant: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.meant = meant


def quoted(text: str) -> str:
    """`text` between backquotes: no credential, nothing unprintable, and no more than fits on a line."""
    return f"`{names.shown(without_secrets(text))}`"


def did_you_mean(text: str) -> str:
    """The phrase for a likely correction."""
    return f"did you mean {quoted(text)}?"


def nearest(text: str, known: Iterable[str]) -> str:
    """The known word that `text` was probably meant to be, or ""."""
    return next(iter(names.nearest(text, known, 1)), "")


def forbidden_character(text: str) -> str:
    """The first control character, line break or lone surrogate in `text`, as U+XXXX, or ""."""
    found = (char for char in text if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"})
    return next((f"U+{ord(char):04X}" for char in found), "")


def name(text: str) -> str:
    """A project's or model's name: it becomes a file name, so only the safest characters stand."""
    if _NAME.fullmatch(text) and len(text) <= MAX_NAME:
        return text
    if len(text) > MAX_NAME:
        raise Fault(f"a name has at most {MAX_NAME} characters, this one {len(text)}")
    if not text:
        raise Fault("a name cannot be empty")
    raise Fault(f"{quoted(text)} cannot be a name: {_wrong_character(text)}", meant=_likely_name(text))


def _wrong_character(text: str) -> str:
    wrong = _WRONG_IN_NAME.search(text)
    if wrong is None:
        return f"it must start with a letter or a digit, not {quoted(text[0])}"
    shown = "a space" if wrong[0] == " " else quoted(wrong[0])
    return f"{shown} is not one of A-Z a-z 0-9 . _ -"


def _likely_name(text: str) -> str:
    likely = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")
    return did_you_mean(likely) if likely else ""


def place(text: str) -> str:
    """A folder or file below the root, without a trailing slash; "" and "." are the root itself."""
    if text.startswith("/"):
        raise Fault(f"{quoted(text)} is absolute, but places are relative to the root", meant=_relative(text))
    stripped = text.rstrip("/")
    if stripped in {"", "."}:
        return ""
    if stripped.startswith("~"):
        raise Fault(f"{quoted(text)} starts with `~`, which is not expanded; places are relative to the root")
    return repository_path(stripped)


def file_place(text: str) -> str:
    """A file's own final name below the root."""
    if text.endswith("/"):
        meant = f"write the whole name, as in {quoted(text + 'model.safetensors')}"
        raise Fault(f"{quoted(text)} is a folder; a file's target is its own final name", meant=meant)
    if normal := place(text):
        return normal
    raise Fault("a file's target is its own final name, not the root")


def _relative(text: str) -> str:
    for mount in _MOUNTS:
        text = text.removeprefix(mount)
    text = text.strip("/")
    return did_you_mean(text) if text else "leave the line out to take the root itself"


def repository_path(text: str) -> str:
    """A relative path of plain segments (`names.path_fault`), with what was probably meant where that can be told."""
    fault = names.path_fault(text)
    if not fault:
        return text
    slashed = text.replace("\\", "/")
    likely = "/".join(segment for segment in slashed.split("/") if segment not in {"", "."})
    helps = likely != text and not names.path_fault(likely)
    raise Fault(f"{quoted(text)} {fault}", meant=did_you_mean(likely) if helps else "")


def pattern(text: str) -> str:
    """An exact repository path or a glob (`globs`): a leading slash anchors a glob, a trailing one means a folder."""
    wild = any(char in text for char in "*?[")
    if wild and text.startswith("!"):
        raise Fault(f"{quoted(text)} starts with `!`: patterns cannot be negated", meant="use `exclude`")
    if wild and re.search(r"\{[^{}]*,[^{}]*\}", text):
        raise Fault(f"{quoted(text)}: braces are not expanded", meant="write one pattern for each")
    if text.startswith("/") and not wild:
        raise Fault(f"{quoted(text)} is absolute, but paths in a repository are relative", meant=_relative(text))
    bare = text.removeprefix("/").removesuffix("/") if text != "/" else ""
    if not bare:
        raise Fault("a pattern cannot be empty", meant="leave the list out to take the whole repository")
    repository_path(bare)
    return text


def variant(text: str) -> str:
    """The tag between a weight file's name and its suffix: `fp16` in `model.fp16.safetensors`."""
    tag = text.strip(".")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", text):
        return text
    meant = did_you_mean(tag) if tag != text and re.fullmatch(r"[A-Za-z0-9_-]{1,32}", tag) else ""
    raise Fault(f"{quoted(text)} cannot be a variant: up to 32 letters, digits, `_` or `-`, as in `fp16`", meant=meant)


def sha256(text: str) -> str:
    """64 hex digits in lower case; an accidental `sha256:` before them is dropped."""
    digits = text.strip().lower().removeprefix("sha256:").strip()
    if _SHA256.fullmatch(digits):
        return digits
    if re.fullmatch(r"[0-9a-f]{40}", digits):
        meant = "that looks like a git commit or a sha1"
    elif re.fullmatch(r"[0-9a-f]{32}", digits):
        meant = "that looks like an md5"
    else:
        meant = ""
    raise Fault(f"{quoted(text)} is not a sha256: 64 hex digits are", meant=meant)
