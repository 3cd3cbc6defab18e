"""What a reader sees of a text is what is in it."""

import pytest

from activity.visible import visible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("ann", "ann"),
        ("Grüße, 世界 🔑", "Grüße, 世界 🔑"),
        ("user\u202egnp.exe", "user⟨U+202E⟩gnp.exe"),
        ("a\0b\x1b[2J", "a⟨U+0000⟩b⟨U+001B⟩[2J"),
        ("pay\u200bpal\ufeff", "pay⟨U+200B⟩pal⟨U+FEFF⟩"),
        ("soft\u00adhyphen", "soft⟨U+00AD⟩hyphen"),
        ("line\nfeed", "line⟨U+000A⟩feed"),
    ],
)
def test_what_is_not_seen_is_written_out(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_a_text_of_lines_keeps_them() -> None:
    assert visible("a\n\tb\r", keep="\n\t") == "a\n\tb⟨U+000D⟩"
