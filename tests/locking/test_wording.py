"""What is said of locks in words, and that whoever has looked has looked at this very thing."""

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from locking.seen import is_seen, seal
from locking.wording import consequences, end_words, last_words, names_words, rule_words, scope_words

UNTIL = datetime(2032, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({}, "every entry"),
        ({"leaf_from": 0}, "every entry"),
        ({"entries": ["a"]}, "1 entry, by its id"),
        ({"entries": ["a", "b"]}, "2 entries, by their ids"),
        ({"type": "auth.*"}, 'every type that begins with "auth."'),
        ({"type": "auth.login", "ip": "::1", "actor": "a\u202eb"}, "type auth.login, actor a⟨U+202E⟩b, IP address ::1"),
        ({"leaf_from": 0, "leaf_to": 1000}, "leaves before 1,000"),
        ({"leaf_from": 5, "type": "a"}, "type a, leaves from 5"),
        ({"recorded_from": "2026-01-01T00:00:00.000000Z"}, "recorded from 2026-01-01 00:00:00 UTC"),
    ],
)
def test_a_scope_in_words(scope: dict[str, Any], words: str) -> None:
    assert scope_words(scope) == words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "age", "days": 90}, "90 days after an entry was recorded"),
        (
            {"kind": "period", "period": "month", "days": 1},
            "1 day after the end of the month in which an entry was recorded",
        ),
        ({"kind": "event", "type": "a.b", "sources": ["grc", "hr"]}, "when an entry of type a.b arrives from grc, hr"),
        ({"kind": "count", "entries": 1_000_000}, "each time the ledger has grown by 1,000,000 entries"),
    ],
)
def test_a_rule_in_words(rule: dict[str, Any], words: str) -> None:
    assert rule_words(rule) == words


def test_ends_in_words() -> None:
    assert end_words("hold", None) == last_words("hold", None) == "until it is released"
    assert end_words("compliance", None) == last_words("governance", None) == "for good"
    assert end_words("governance", UNTIL) == "until 2032-01-01 00:00 UTC"
    assert last_words("governance", 1) == "1 day from the moment it begins"


def test_only_what_can_be_ended_is_said_to_be() -> None:
    assert any("two people can release it" in said for said in consequences("governance", UNTIL))
    assert not any("release" in said for said in consequences("compliance", UNTIL))
    assert consequences("compliance", None)[1:] == [
        "Nobody ends this lock: no administrator, no approver, no override.",
        "It has no end, and nobody gives it one.",
    ]
    assert consequences("governance", UNTIL)[2] == "It can be extended, never shortened."


def test_names_in_words() -> None:
    assert [names_words(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "nobody", "a", "a or b", "a, b or c",
    ]  # fmt: skip


def test_a_seal_is_good_for_one_person_one_thing_and_an_hour() -> None:
    what = {"ledger": "activity", "scope": {"type": "auth.*"}, "until": None}
    sealed = seal(by="olga", what=what)
    assert is_seen(sealed, by="olga", what={"until": None, "scope": {"type": "auth.*"}, "ledger": "activity"})
    assert not is_seen(sealed, by="otto", what=what)
    assert not is_seen(sealed, by="olga", what=what | {"until": "2032"})
    assert not is_seen(sealed[:-1], by="olga", what=what)
    assert not is_seen("", by="olga", what=what)
    with time_machine.travel(datetime.now(UTC).timestamp() + 3_700):
        assert not is_seen(sealed, by="olga", what=what)
