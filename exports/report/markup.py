"""HTML and SVG from templates, with everything escaped that is not markup of ours. Pure.

    fill("cover.html", purpose="<b>", facts=Markup("<dl>…</dl>"))

Every $name of a template is a value; a str is made visible and escaped. Templates lie in templates/exports/report. Why
not Django's: this room is pure, and a report needs no more than `$name`. Where there is no logic, nobody forgets to
escape.
"""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from exports.report.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "exports" / "report"


class Markup(str):
    """Text that is markup already. Only templates and code of ours make it, never log data."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Return a value as text inside an element or a quoted attribute: visible and escaped."""
    return value if isinstance(value, Markup) else Markup(escape(visible(str(value))))


def escaped(shown: str) -> Markup:
    """Return text that is visible already as text inside an element; in an attribute its quotes would do harm."""
    return Markup(escape(shown, quote=False))


def fill(template: str, /, **values: object) -> Markup:
    """Return the template with its names filled in. Raises KeyError for a name that has no value."""
    return Markup(_template(template).substitute({key: text(value) for key, value in values.items()}))


def joined(pieces: Iterable[Markup]) -> Markup:
    """Return pieces of markup, one after the other."""
    return Markup("".join(pieces))


@cache
def _template(name: str) -> Template:
    return Template((_TEMPLATES / name).read_text(encoding="utf-8"))
