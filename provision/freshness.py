"""Freshness: whether a lock still answers the manifest that it was made from. Decided from the two alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from provision.digest import sha256_of

if TYPE_CHECKING:
    from provision.lock import Lock
    from provision.manifest import Manifest, Model


def model_meaning(manifest: Manifest, model: Model) -> str:
    """Identifies an entry and the root it stands below; while it is equal, the locked model still answers the entry."""
    meaning = json.dumps([manifest.root, model.meaning_sha256], separators=(",", ":"))
    return sha256_of(meaning.encode())


def answers(manifest: Manifest, lock: Lock) -> bool:
    """Whether `lock` was made from `manifest` as it is now: the same meaning, and every entry with its own model.

    A lock of a release before mirrors has none and still belongs: it promises the same.
    """
    wanted = [(model.name, model_meaning(manifest, model)) for model in manifest.models]
    promised = [(model.name, model.meaning_sha256) for model in lock.models]
    return lock.manifest_sha256 == manifest.meaning_sha256 and wanted == promised
