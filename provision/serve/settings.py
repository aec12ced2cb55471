"""What a person or a test decides about a served folder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the hubs and their CDN behave. The defaults are what the real hubs were seen to do.

    Raises nothing: every combination is served.
    """

    token: str | None = None
    """When set, the hub's routes demand it; the CDN never does."""
    gated: frozenset[str] = frozenset()
    """Repository names (`org/name`) whose files are refused to everyone."""
    page: int = 1000
    """Entries in one page of a Hugging Face tree."""
    listing_cap: int = 3000
    """Entries after which a ModelScope listing ends without a word."""
    tells_head: bool = False
    """Whether a ModelScope listing names its head commit in full. The real one often leaves `Id` empty."""
    unknown_revision_is_empty: bool = False
    """Whether ModelScope answers an unknown revision with an empty listing (200) or a 404: both were seen."""
    address_lifetime: float = 3600.0
    """Seconds for which a signed CDN address is honoured."""
