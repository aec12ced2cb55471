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

_NEEDY = re.compile(
    r"(Albert|Bart|Barthez|Bert|BigBird|Blenderbot|Bloom|Camembert|CLIP|CodeGen|CodeLlama|Cohere|Deberta|DebertaV2"
    r"|DistilBert|Electra|Gemma|GPT2|GPTNeoX|Llama|Longformer|M2M100|Marian|MBart|MBart50|MobileBert|MPNet|MT5|Nllb"
    r"|Pegasus|Qwen2|Roberta|SeamlessM4T|Speech2Text|T5|Whisper|XGLM|XLMRoberta|XLNet)Tokenizer(Fast)?"
    r"|PreTrainedTokenizerFast"
)


def has_vocabulary(names: Iterable[str]) -> bool:
    """Whether any of `names` may hold one."""
    return any(_VOCABULARY.fullmatch(name) for name in names)


def needs_vocabulary(kind: str) -> bool:
    """Whether a tokenizer of the class `kind` is known to be of no use without one. Others may work on bytes."""
    return _NEEDY.fullmatch(kind) is not None
