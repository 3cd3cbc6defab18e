"""The fonts of the report: DejaVu Sans and DejaVu Sans Mono, found by fontconfig, as Pango will find them. Pure.

Only these: the same export looks the same on every machine, and what they cannot draw is shown as code point.
Without any font Pango ends the whole process, so ask `check_fonts` before rendering.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from fontTools.ttLib import TTFont

from exports.errors import NoFontsError

MONO = "DejaVu Sans Mono"
SANS = "DejaVu Sans"
_ADVICE = "install them (Debian: fonts-dejavu-core), then try again"


def check_fonts() -> None:
    """Raise NoFontsError unless the report can be drawn."""
    for family in (SANS, MONO):
        font_file(family)
        font_file(family, bold=True)


@cache
def font_file(family: str, *, bold: bool = False) -> Path:
    """Return the file of a family's upright face. Raises NoFontsError if fontconfig has no such font."""
    if shutil.which("fc-match") is None:
        raise NoFontsError("PDF reports need fontconfig and its fc-match (Debian: fontconfig)")
    pattern = f"{family}:style={'Bold' if bold else 'Book'}"
    command = ["fc-match", "--format=%{family[0]}\t%{file}", pattern]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    name, _, file = found.partition("\t")
    if name != family or not Path(file).is_file():
        raise NoFontsError(f"PDF reports need the fonts {SANS} and {MONO}: {_ADVICE}")
    return Path(file)


@cache
def mono_characters() -> frozenset[str]:
    """Return what the font of fixed pitch can draw."""
    return _characters(font_file(MONO))


@cache
def sans_characters() -> frozenset[str]:
    """Return what the proportional font can draw."""
    return _characters(font_file(SANS))


def _characters(file: Path) -> frozenset[str]:
    with TTFont(file, lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))
