"""Which files a tokenizer of transformers can take its vocabulary from.

The names are those of `vocab_files_names` of all tokenizers of transformers 5 (models/*/tokenization_*.py), and the
patterns by which `PreTrainedTokenizerBase.from_pretrained` looks for others (tokenization_utils_base.py). A repository
with code of its own may keep it anywhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOCABULARY = re.compile(
    r"tokenizer(\..*)?\.json|.*\.(model|tiktoken|spm|bpe|codes|vocab|tokenizer|txt|gguf|py|tekken|dict|pkl|bin)"
    r"|.*(vocab|merges|byte_maps|tekken|tiktoken|sentencepiece|spiece|dict|word_shape).*|tokenizer\.model.*",
    re.IGNORECASE,
)
USUAL = ("tokenizer.json", "*vocab*", "*.model", "merges.txt", "*.tiktoken", "*.spm")
"""Globs of the usual ones."""

_WITHOUT = ("ByT5", "Canine", "Perceiver", "Dia", "Rag")  # bytes, code points, or in folders of their own


def has_vocabulary(names: Iterable[str]) -> bool:
    """Whether any of `names` may hold one."""
    return any(_VOCABULARY.fullmatch(name) for name in names)


def needs_vocabulary(kind: str) -> bool:
    """Whether a tokenizer of the class `kind` has one."""
    return not kind.startswith(_WITHOUT)
