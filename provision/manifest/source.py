"""Where a model's bytes come from, as people write it: `hf://Org/Name@revision`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from provision.errors import InputError, without_secrets
from provision.manifest.wording import Fault, did_you_mean, quoted
from provision.names import web_fault

HubName = Literal["hf", "modelscope", "https"]

_SEGMENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_WEB_PAGES: dict[str, HubName] = {
    "huggingface.co": "hf",
    "www.huggingface.co": "hf",
    "hf.co": "hf",
    "modelscope.cn": "modelscope",
    "www.modelscope.cn": "modelscope",
    "modelscope.ai": "modelscope",
    "www.modelscope.ai": "modelscope",
}
_NEAR_SCHEMES: dict[str, HubName] = {
    "hf": "hf",
    "huggingface": "hf",
    "hub": "hf",
    "ms": "modelscope",
    "modelscope": "modelscope",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One repository of one hub. `str(source)` is the text that `Source.parse` reads back.

    `repository` is `Org/Name` (Hugging Face also has repositories without an owner, such as `gpt2`), or, for an
    https mirror, host and path. `revision` is None where nobody asked for one: the hub's default branch.
    """

    hub: HubName
    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.hub}://{self.repository}" + (f"@{self.revision}" if self.revision is not None else "")

    @property
    def name(self) -> str:
        """The repository's last name."""
        return self.repository.rpartition("/")[2]

    @classmethod
    def parse(cls, text: str) -> Source:
        """The source, or an https mirror, that `text` names. Raises InputError."""
        try:
            return read_mirror(text)
        except Fault as fault:
            raise InputError(without_secrets(fault.message), hint=without_secrets(fault.meant)) from None


def read_source(text: str) -> Source:
    """`hf://ORG/NAME[@REV]` or `modelscope://OWNER/NAME[@REV]`. Raises Fault."""
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "hf":
        return _on_hub("hf", rest)
    if separator and scheme == "modelscope":
        return _on_hub("modelscope", rest)
    likely = _likely(text)
    if likely is None and scheme == "https":
        raise Fault(f"{quoted(text)} can be a mirror, but a source is hf:// or modelscope://")
    meant = did_you_mean(likely) if likely else ""
    raise Fault(f"{quoted(text)} is not a source: hf://ORG/NAME[@REV] or modelscope://OWNER/NAME[@REV]", meant=meant)


def read_mirror(text: str) -> Source:
    """A source, or `https://host/path` under which the same repository paths are found. Raises Fault."""
    if not text.startswith("https://") or _likely(text) is not None:
        return read_source(text)
    place = text.removeprefix("https://").rstrip("/")
    fault = web_fault(place)
    if fault:
        raise Fault(f"{quoted(text)}: {fault}")
    return Source(hub="https", repository=place)


def _on_hub(hub: HubName, rest: str) -> Source:
    repository, at, revision = rest.partition("@")
    _check_repository(hub, repository)
    if at:
        _check_revision(revision)
    return Source(hub=hub, repository=repository, revision=revision if at else None)


def _check_repository(hub: HubName, repository: str) -> None:
    segments = repository.split("/")
    if hub == "modelscope" and len(segments) == 1:
        raise Fault(f"{quoted(repository)}: ModelScope repositories are OWNER/NAME")
    if segments[0] in {"datasets", "spaces"} and len(segments) > 2:
        raise Fault(f"{quoted(repository)}: only model repositories can be a source")
    if len(segments) > 2:
        raise Fault(
            f"{quoted(repository)} has more than ORG/NAME", meant="a revision follows an `@`, a file goes to `files`"
        )
    for segment in segments:
        _check_segment(hub, repository, segment)


def _check_segment(hub: HubName, repository: str, segment: str) -> None:
    """The hub's own rule for names; Hugging Face forbids `--`, which its cache puts between owner and name."""
    if not segment:
        raise Fault(f"{quoted(repository)} lacks a name: ORG/NAME")
    if not _SEGMENT.fullmatch(segment) or len(segment) > 96:
        raise Fault(f"{quoted(segment)} cannot be a repository's owner or name: up to 96 of A-Z a-z 0-9 . _ -")
    if ".." in segment or (hub == "hf" and "--" in segment):
        raise Fault(f"{quoted(segment)} cannot be a repository's owner or name: `..` and `--` are not allowed")


def _check_revision(revision: str) -> None:
    """Git's rule for references (git-check-ref-format), since a branch, a tag and `refs/pr/3` all are."""
    if not revision:
        raise Fault("nothing follows the `@`", meant="drop it to take the hub's default branch")
    wrong = re.search(r"[\s~^:?*\[\\%#]|@\{|\.\.|//|^[/.-]|/\.|[/.]$|\.lock(/|$)|^@$", revision)
    if wrong or len(revision) > 255:
        raise Fault(f"{quoted(revision)} cannot be a branch, tag or commit")


def _likely(text: str) -> str | None:
    """The source that was probably meant by a page's address, a missing or a nearly right scheme."""
    bare = text.strip()
    scheme, separator, rest = bare.partition(":")
    if separator and scheme.lower() in {"https", "http"}:
        hub, rest = _of_page(bare)
    elif separator and "@" not in scheme:
        hub, rest = _NEAR_SCHEMES.get(scheme.lower()), rest.lstrip("/")
    else:
        hub, rest = ("hf" if "/" in bare else None), bare
    if hub is None:
        return None
    try:
        return str(_on_hub(hub, rest))
    except Fault:
        return None


def _of_page(text: str) -> tuple[HubName | None, str]:
    """Hub and ORG/NAME[@REV] of `https://huggingface.co/Org/Name/tree/rev` and its like."""
    try:
        address = urlsplit(text)
        hub = _WEB_PAGES.get(address.hostname or "")
    except ValueError:
        return None, ""
    segments = [unquote(segment) for segment in address.path.split("/") if segment]
    if hub == "modelscope" and segments[:1] == ["models"]:
        segments = segments[1:]
    revision = _page_revision(segments[2:])
    return hub, "/".join(segments[:2]) + (f"@{revision}" if revision else "")


def _page_revision(rest: list[str]) -> str:
    """Only of `tree/REV`, `blob/REV/...`: where a revision has slashes itself, its page escapes them."""
    kinds = {"tree", "blob", "resolve", "commit"}
    return rest[1] if len(rest) > 1 and rest[0] in kinds else ""
