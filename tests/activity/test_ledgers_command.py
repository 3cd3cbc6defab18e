"""`ledgers` as an administrator runs it."""

import io
import re
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from activity.event import Event
from activity.services import record
from signing.models import KeyEvent, Ledger

pytestmark = pytest.mark.usefixtures("fresh_database")


def ledgers(*arguments: str) -> str:
    output = io.StringIO()
    call_command("ledgers", *arguments, stdout=output)
    return output.getvalue()


def test_the_list_says_where_each_ledger_stands() -> None:
    lines = ledgers("list").splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["keys", "keys"],
        ["activity", "activity"],
        ["meta", "meta"],
        ["meta-summaries", "meta"],
    ]
    for line in lines:
        assert re.search(r"[\d,]+ leaves  root [0-9a-f]{16}…  signed \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC up to", line)


def test_a_ledger_that_is_opened_takes_events() -> None:
    output = ledgers("open", "shop-eu", "--reason", "second tenant", "--by", "ada")
    assert output == "ledger shop-eu: opened, its checkpoints say auditlog.test/shop-eu\n"
    assert Ledger.objects.get(name="shop-eu").kind == "activity"
    last = bytes(KeyEvent.objects.latest("leaf_index").record)
    assert b'"by":"ada"' in last
    assert b'"reason":"second tenant"' in last
    assert re.search(r"shop-eu +activity +0 leaves", ledgers("list"))
    event = Event("shop.order", "order", "ada", datetime.now(UTC), "shop")
    assert record(event, ledger="shop-eu").leaf_index == 0
    assert re.search(r"shop-eu +activity +1 leaves", ledgers("list"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["open", "activity", "--reason", "again"], "open already"),
        (["open", "Shop EU", "--reason", "capitals"], "no ledger can have this name"),
        (["open", "shop", "--reason", ""], "must say something"),
        (["open", "shop"], "--reason"),
        ([], "list|open"),
    ],
)
def test_a_refusal_says_why_and_opens_nothing(arguments: list[str], sentence: str) -> None:
    before = set(Ledger.objects.values_list("name", flat=True))
    with pytest.raises(CommandError, match=sentence.replace("|", r"\|")) as error:
        ledgers(*arguments)
    assert "\n" not in str(error.value), "one sentence, no context of PostgreSQL"
    assert set(Ledger.objects.values_list("name", flat=True)) == before


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("ledgers", "--help")
    assert "./auditlog ledgers open" in capsys.readouterr().out
