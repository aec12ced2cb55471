"""Small JSON documents of strangers, read with bounds on bytes, values and depth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from provision.composition.misfit import Misfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provision.composition.misfit import Contents, Rule

LIMIT: Final = 32 * 1024 * 1024
"""Bytes. The largest indexes known, of models with 140,000 tensors, have 15 MiB."""

VALUES: Final = 400_000
"""Most commas, colons and brackets together: each may cost an object in memory, and 100 MiB in all is what a check may
take. Indexes of 140,000 tensors have 280,000.
"""


class Unfit(Exception):
    """A document that says nothing. `grave`: a reader cannot read it either; else it is only too large to check."""

    def __init__(self, detail: str, *, grave: bool = True) -> None:
        super().__init__(detail)
        self.detail, self.grave = detail, grave

    def misfit(self, rule: Rule, path: str) -> Misfit:
        """This, of the file at `path`."""
        return Misfit(rule=rule, path=path, detail=self.detail, grave=self.grave)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON object. `repeated`: a key that is given twice in one place, where there is any; the last one counts."""

    values: Mapping[str, Any]
    repeated: str | None


def document(contents: Contents, path: str) -> Document:
    """The JSON object at `path`. Raises Unfit."""
    size = contents.sizes[path]
    if size > LIMIT:
        raise Unfit(f"it has {size:,} bytes: too many to be checked", grave=False)
    data = contents.read(path, 0, size)
    if sum(map(data.count, (b",", b":", b"[", b"{"))) > VALUES:
        raise Unfit(f"it has more than {VALUES:,} values: too many to be checked", grave=False)
    pairs = _Pairs()
    try:
        values = json.loads(data, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        raise Unfit("it is not valid JSON") from None
    if not isinstance(values, dict):
        raise Unfit("it is not a JSON object")
    return Document(values=values, repeated=pairs.repeated)


class _Pairs:
    """Makes objects, and keeps the first key that one of them gives twice."""

    def __init__(self) -> None:
        self.repeated: str | None = None

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs) and self.repeated is None:
            seen = set[str]()
            self.repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return values
