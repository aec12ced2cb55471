"""Which paths of a repository an entry selects, and what is wrong with the wish: decided from the listing alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from provision.manifest.globs import is_glob, matches
from provision.manifest.variants import usable
from provision.manifest.wording import did_you_mean, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from provision.errors import Issue
    from provision.manifest.entries import Model, Position, WantedFile

PICKLE_SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")  # formats whose loading can run code

_SHOWN = 5  # paths named in one message


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedFile:
    """A repository path, and what the manifest says of this one file."""

    path: str
    target: str | None = None  # its own final name below the root
    sha256: str | None = None  # the author's own promise
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Files in order of path. `issues`: what makes the wish unfit; `notes`: what a person may want to know."""

    files: tuple[SelectedFile, ...]
    issues: tuple[Issue, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """The paths that one item of `files`, or the whole entry, means."""

    item: WantedFile | None
    paths: tuple[str, ...]
    exact: bool
    position: Position

    def keeping(self, paths: Iterable[str]) -> _Claim:
        return _Claim(item=self.item, paths=tuple(paths), exact=self.exact, position=self.position)


def selection(model: Model, paths: Iterable[str]) -> Selection:
    """What `model` selects of a repository with these `paths`. `files` are right only where there are no issues."""
    listing = tuple(sorted(set(paths)))
    claims = _claims(model, listing)
    wanted = [claim.keeping(_not_excluded(model, claim.paths)) for claim in claims]
    kept, notes = _of_variant(model, wanted)
    issues: list[Issue] = []
    for claim, left, last in zip(claims, wanted, kept, strict=True):
        issues += _faults(model, (claim, left, last), listing)
    files = sorted(_files(kept), key=lambda file: (file.path, file.target or ""))
    return Selection(files=tuple(files), issues=tuple(issues), notes=(*_idle(model, listing), *notes))


def _claims(model: Model, listing: Sequence[str]) -> list[_Claim]:
    if model.files is None:
        return [_Claim(item=None, paths=tuple(listing), exact=False, position=model.position)]
    known = set(listing)
    return [_claim(item, listing, known) for item in model.files]


def _claim(item: WantedFile, listing: Sequence[str], known: set[str]) -> _Claim:
    """A path that equals the pattern letter by letter is meant by it, and then only that one."""
    if item.pattern in known:
        return _Claim(item=item, paths=(item.pattern,), exact=True, position=item.position)
    found = tuple(path for path in listing if matches(item.pattern, path)) if is_glob(item.pattern) else ()
    return _Claim(item=item, paths=found, exact=False, position=item.position)


def _not_excluded(model: Model, paths: Iterable[str]) -> Iterator[str]:
    return (path for path in paths if not any(matches(pattern, path) for pattern in model.exclude))


def _of_variant(model: Model, claims: Sequence[_Claim]) -> tuple[list[_Claim], list[str]]:
    """A file that is named exactly is wanted whatever the variant."""
    if model.variant is None:
        return list(claims), []
    open_paths = sorted({path for claim in claims if not claim.exact for path in claim.paths})
    found = usable(open_paths, model.variant)
    stay = set(found.paths)
    kept = [claim if claim.exact else claim.keeping(path for path in claim.paths if path in stay) for claim in claims]
    if found.variant_in and not found.plain_in:
        return kept, []
    where = f" in {_listed(folder or 'the root' for folder in found.plain_in)}" if found.variant_in else ""
    return kept, [f"no {model.variant} weights{where}: the plain ones are taken"]


def _faults(model: Model, stages: tuple[_Claim, _Claim, _Claim], listing: Sequence[str]) -> Iterator[Issue]:
    """`stages`: what a claim means, what `exclude` leaves of it, and what the variant leaves of that."""
    claim, wanted, kept = stages
    what = quoted(claim.item.pattern) if claim.item else "the repository"
    if not claim.paths:
        yield _nothing(claim, listing)
    elif not wanted.paths:
        yield claim.position.issue(f"`exclude` leaves nothing of {what}")
    elif not kept.paths:
        yield claim.position.issue(f"the variant {model.variant} leaves nothing of {what}")
    elif claim.item and not claim.exact and (claim.item.target or claim.item.sha256):
        yield claim.position.issue(f"{what} is a glob, and a glob cannot have a target or sha256 of one file")
    pickles = [path for path in kept.paths if path.lower().endswith(PICKLE_SUFFIXES)]
    if pickles and not model.allow_pickle:
        meant = "set `allow_pickle: true` if you trust the repository, or `exclude` them"
        yield claim.position.issue(f"loading a pickle can run any code in it: {_listed(pickles)}", meant=meant)


def _nothing(claim: _Claim, listing: Sequence[str]) -> Issue:
    if claim.item is None:
        return claim.position.issue("the repository has no files")
    pattern = claim.item.pattern
    what = f"nothing that matches {quoted(pattern)}" if is_glob(pattern) else f"no file {quoted(pattern)}"
    return claim.position.issue(f"the repository has {what}", meant=_nearest(pattern, listing))


def _nearest(pattern: str, listing: Sequence[str]) -> str:
    """A folder of that name, else the path most like it."""
    if any(path.startswith(f"{pattern}/") for path in listing):
        return f"{quoted(pattern + '/')} takes the whole folder"
    likely = nearest(pattern, listing)
    return did_you_mean(likely) if likely else ""


def _idle(model: Model, listing: Sequence[str]) -> Iterator[str]:
    """An exclusion may be idle on purpose (one list for many models), or be a slip: told, not refused."""
    for pattern in model.exclude:
        if not any(matches(pattern, path) for path in listing):
            yield f"`exclude`: {quoted(pattern)} matches nothing"


def _files(claims: Sequence[_Claim]) -> Iterator[SelectedFile]:
    """Exact items first: what they say of a file holds, though a glob means it too."""
    seen: set[str] = set()
    for claim in sorted(claims, key=lambda claim: not claim.exact):
        for path in claim.paths:
            if claim.exact and claim.item:
                item = claim.item
                yield SelectedFile(path=path, target=item.target, sha256=item.sha256, position=claim.position)
            elif path not in seen:
                yield SelectedFile(path=path, position=claim.position)
            seen.add(path)


def _listed(paths: Iterable[str]) -> str:
    every = list(paths)
    shown = ", ".join(quoted(path) for path in every[:_SHOWN])
    return shown if len(every) <= _SHOWN else f"{shown} and {len(every) - _SHOWN} more"
