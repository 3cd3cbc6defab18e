"""`./auditlog locks`: what is locked, and new locks in the name of an account that may lock."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from locking.models import LogLock
from tests.clusters import Database
from tests.locking.test_services import Scene


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


def locks(*arguments: str) -> str:
    output = io.StringIO()
    call_command("locks", *arguments, stdout=output)
    return output.getvalue()


def test_a_lock_is_made_and_listed(scene: Scene) -> None:
    assert "nothing is locked" in locks("list")
    made = locks(
        "make", "--as", "olga", "--kind", "hold", "--scope", '{"type": "auth.*"}', "--case", "C-7", "--reason", "suit"
    )
    assert made == locks("list")
    assert "legal hold, in force, 10 entries of activity, until it is released, by olga, case C-7: suit" in made


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"--scope": "{"}, "no JSON"),
        ({"--scope": '{"colour": "red"}'}, "there is no colour"),
        ({"--as": "nobody"}, "no active account"),
        ({"--as": "anton"}, "lacks the permission"),
        ({"--until": "soon"}, "--until"),
        ({"--until": "0001-01-01T00:00:00+14:00"}, "--until"),
    ],
)
def test_a_refusal_says_why_and_locks_nothing(scene: Scene, changed: dict[str, Any], sentence: str) -> None:
    asked = {"--as": "olga", "--kind": "governance", "--scope": '{"leaf_from": 0}', "--reason": "r"} | changed
    with pytest.raises(CommandError, match=sentence):
        locks("make", *(word for pair in asked.items() for word in pair))
    assert not LogLock.objects.exists()
