"""Log data as the report prints it: nothing hidden, nothing moved, nothing lost at the end of a line."""

import html
import re
import unicodedata

import pytest

from exports.report.cells import printed
from exports.report.charts import shortened
from exports.report.columns import COLUMNS
from exports.report.markup import Markup, fill, text
from exports.report.rows import SMALL_WIDTH, block, wrap
from exports.report.visible import columns, is_fixed_pitch, visible
from signing.verdicts import Verdict
from tests.exports.exported import entry


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\tb\nc\rd\x00\x1b", "a«U+0009»b«U+000A»c«U+000D»d«U+0000»«U+001B»"),
        ("gpj.\u202eexe", "gpj.«U+202E»exe"),
        ("a\u2066b\u2069\u200f\u061c", "a«U+2066»b«U+2069»«U+200F»«U+061C»"),
        ("a\u200bb\u200db\ufeff\u00ad", "a«U+200B»b«U+200D»b«U+FEFF»«U+00AD»"),
        ("a\u00a0b\u2003c\u2028\u3000", "a«U+00A0»b«U+2003»c«U+2028»«U+3000»"),
        ("\u3164\u2800\ufe0f\u115f", "«U+3164»«U+2800»«U+FE0F»«U+115F»"),
        ("\ue000\U000e0041\ufdd0", "«U+E000»«U+E0041»«U+FDD0»"),
        ("日本", "«U+65E5»«U+672C»"),  # no font of ours has them
        ("Zoë Ω Ж שלום مرحبا €", "Zoë Ω Ж שלום مرحبا €"),
        ("e\u0301", "é"),
        ("e\u0301\u0337\u0489", "é«U+0337»«U+0489»"),  # marks that would run into other lines
        ("\u0301e", "«U+0301»e"),
    ],
)
def test_what_nobody_sees_is_shown_as_its_code_point(hidden: str, shown: str) -> None:
    assert visible(hidden) == shown
    assert visible(shown) == shown


def test_no_character_is_dropped_and_none_but_the_space_is_blank() -> None:
    for number in [*range(0xD800), *range(0xE000, 0x11000), 0x1F600, 0xE0001, 0x10FFFF]:
        character = chr(number)
        shown = visible(character)
        assert shown in {character, f"«U+{number:04X}»"} or unicodedata.normalize("NFC", character) != character
        assert shown.isprintable()
        assert not shown.isspace() or shown == " "


def test_of_a_missing_entry_stands_the_reason_alone() -> None:
    missing = entry()._replace(record=b"", verdict=Verdict.MISSING, reason="its entry is not there any more")
    said = printed(missing)
    assert (said.remark, said.facts, said.data) == ("MISSING: its entry is not there any more", "", "")


def test_lines_hold_what_fits_and_lose_nothing_but_spaces() -> None:
    for value in ("one two three " * 30, "x" * 400, "path/to/a/file." * 20, "Ω" * 90 + "שלום" * 30, "a  b" * 40):
        lines = wrap(value, 26, 1_000)
        assert all(columns(line) <= 26 for line in lines)
        assert "".join(lines).replace(" ", "") == value.replace(" ", "")


def test_what_is_cut_is_counted() -> None:
    for value in ("x" * 400, "word " * 100, "ש" * 300):
        *_, last = lines = wrap(value, 24, 3)
        assert len(lines) == 3
        assert all(columns(line) <= 24 for line in lines)
        kept, left_out = re.fullmatch(r"(.*)… \+(\d+)", last).groups()  # type: ignore[union-attr]
        assert value.endswith(value[-int(left_out) :])
        taken = "".join([*lines[:-1], kept]).replace(" ", "")
        assert value.replace(" ", "").startswith(taken)
        assert len(taken) + len(value[len(value) - int(left_out) :].replace(" ", "")) == len(value.replace(" ", ""))


def test_columns_stay_in_place_beside_another_direction_or_a_wider_font() -> None:
    assert "<span" not in block(printed(entry(1, actor="Zoë Ω")), "valid").inside
    for actor in ("שלום", "مرحبا", "😀"):
        inside = block(printed(entry(1, actor=actor)), "valid").inside
        assert inside.count("<span") == len(COLUMNS)
        assert f"<span class=w3>{actor}</span>" in inside
    assert not is_fixed_pitch("مرحبا")


def test_an_entry_never_fills_more_than_half_a_page() -> None:
    worst = "\u202e" * 500
    tall = block(printed(entry(1, actor=worst, target=worst, source="\u202e" * 200, data={"x": worst})), "valid")
    assert tall.height < 842 / 2
    lines = html.unescape(re.sub(r"<[^>]+>", "\n", tall.inside)).split("\n")
    assert len(lines) > 20
    assert all(len(line) <= SMALL_WIDTH for line in lines)


def test_templates_escape_whatever_is_not_markup_of_ours() -> None:
    evil = "</li><script>\"'&amp;\u202e$name"
    made = fill("sentence.html", sentence=evil)
    assert made == "<li>&lt;/li&gt;&lt;script&gt;&quot;&#x27;&amp;amp;«U+202E»$name</li>\n"
    assert fill("sentence.html", sentence=Markup("<b>")) == "<li><b></li>\n"
    assert text(evil) == text(text(evil))
    with pytest.raises(KeyError):
        fill("sentence.html", other="x")


def test_labels_of_charts_are_cut_and_visible() -> None:
    assert shortened("x" * 60, 44) == "x" * 43 + "…"
    assert shortened("\u202ex", 44) == "«U+202E»x"
