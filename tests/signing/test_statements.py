"""The statements of the hot path: prepared and planned once in a session, with arrays as PostgreSQL reads them."""

from typing import Any

import pytest

from signing import statements
from signing.statements import text_array
from tests.signing.installation import record

_PREPARED = "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements"
_TRIED = 5  # plans for the values at hand that PostgreSQL makes before it looks whether one for all is as good


def test_an_event_is_two_statements_that_are_prepared_and_planned_once(every_server_database: Any) -> None:
    record(30)
    kept = {statement: plans for statement, *plans in statements.execute(_PREPARED, [])}
    for name in ("public.ledger_append(", "public.checkpoint_store("):
        ((kept_plans, plans_anew),) = [plans for statement, plans in kept.items() if name in statement]
        assert (kept_plans, plans_anew) == (30 - _TRIED, _TRIED), name


@pytest.mark.django_db
@pytest.mark.parametrize(
    "texts", [(), ("entry-ed25519-0a1b",), ("a", "b"), ("",), ("NULL", "{a,b}", 'a"b', "\\", '\\"', " ", "ü")]
)
def test_an_array_is_read_as_it_was_meant(texts: tuple[str, ...]) -> None:
    assert statements.execute("SELECT %s::text[]", [text_array(texts)]) == [(list(texts),)]
