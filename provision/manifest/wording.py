"""What may be written for a name, a place or a digest, and how a fault in one is put into words.

Each check takes the text of one value, gives it back in its normal form, and raises `Fault` for a
text that cannot stand. No I/O, no YAML: the same rules serve the manifest, the lock and the command line.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAME = 96
MAX_PATH_BYTES = 1024
MAX_SEGMENT_BYTES = 255  # NAME_MAX of every file system in use

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
    """`text` between backquotes: nothing unprintable, and no more than fits on a line."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return f"`{shown if len(shown) <= 120 else shown[:58] + '...' + shown[-58:]}`"


def did_you_mean(text: str) -> str:
    """The phrase for a likely correction."""
    return f"did you mean {quoted(text)}?"


def nearest(text: str, known: Iterable[str]) -> str:
    """The known word that `text` was probably meant to be, or ""."""
    return next(iter(get_close_matches(text, list(known), n=1, cutoff=0.6)), "")


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
    if re.match(r"[A-Za-z]:", text):
        raise Fault(f"{quoted(text)} starts with a drive letter, but places are relative to the root")
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
    """A path of plain segments: nothing absolute, empty, `.` or `..`, and no backslash."""
    if not text:
        raise Fault("a path cannot be empty")
    if "\\" in text:
        raise Fault(f"{quoted(text)} holds a backslash", meant=did_you_mean(text.replace("\\", "/")))
    segments = text.split("/")
    if ".." in segments:
        raise Fault(f"{quoted(text)} leaves its folder by `..`")
    if "" in segments or "." in segments:
        plain = "/".join(segment for segment in segments if segment not in {"", "."})
        wrong = "an empty" if "" in segments else "a `.`"
        raise Fault(f"{quoted(text)} has {wrong} segment", meant=did_you_mean(plain) if plain else "")
    _check_lengths(text, segments)
    return text


def _check_lengths(text: str, segments: list[str]) -> None:
    if len(text.encode()) > MAX_PATH_BYTES:
        raise Fault(f"a path has at most {MAX_PATH_BYTES} bytes, this one {len(text.encode())}")
    longest = max(len(segment.encode()) for segment in segments)
    if longest > MAX_SEGMENT_BYTES:
        raise Fault(f"a file or folder name has at most {MAX_SEGMENT_BYTES} bytes, here one has {longest}")


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
