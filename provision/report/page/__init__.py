"""A verification as one page of HTML: a map of the volume, what is wrong and what to run, every model and file.

The page is one file that asks for nothing: it works offline, from a folder, without JavaScript (which only adds the
search), in light and dark, on a phone and on paper. What it shows is escaped, and a policy forbids all else.

page.html, page.css, page.js   the templates
markup     elements, escaped
contents   what is shown: files with their findings
treemap    geometry
drawing    the map
sections   the rest
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from provision.report.advice import NOTHING_GIVEN
from provision.report.page import sections
from provision.report.page.contents import shelves
from provision.report.page.drawing import treemap
from provision.report.page.markup import joined
from provision.report.wording import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from provision.lock import Lock
    from provision.report.advice import Commands
    from provision.verification.findings import Verification

__all__ = ["page"]


def page(
    verification: Verification, locks: Sequence[Lock], made_at: datetime, commands: Commands = NOTHING_GIVEN
) -> str:
    """The whole page. `locks` tell what was promised; `made_at` is in UTC."""
    stock = shelves(verification, locks)
    style, script = _resource("page.css"), _resource("page.js")
    return Template(_resource("page.html")).substitute(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        title=joined([f"{verification.volume}: {verdict(verification)}"]),
        head=sections.head(verification, made_at),
        totals=sections.totals(stock),
        legend=sections.legend(stock),
        map=joined([treemap(stock, 1200, 560, "wide"), treemap(stock, 340, 520, "tall")]),
        findings=sections.troubles_section(verification, commands),
        notes=sections.notes(verification),
        models=sections.models(stock, commands),
    )


def _resource(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what may stand inline (CSP Level 3, §2.3.1 hash-source)."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
