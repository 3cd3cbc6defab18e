"""Entries as they are served, after somebody who owns the database changed something: each carries the right verdict."""

import pytest
from django.test import override_settings

from activity import retrieval
from activity.models import ActivityLog
from activity.retrieval import Checked, check_entries
from signing.merkle import leaf_hash
from signing.services import mark_compromised
from signing.verdicts import Verdict
from tests.attacks.conftest import Attacked
from tests.attacks.intruder import of

ACTIVITY = of("activity")


@pytest.fixture(params=["at first sight", "after it was seen whole"])
def seen(request: pytest.FixtureRequest, attacked: Attacked) -> Attacked:
    """Give the ledger to a server that has served nothing yet, and to one that remembers all of it."""
    if request.param != "at first sight":
        assert {one.verdict for one in everything()} == {Verdict.VALID, Verdict.UNSIGNED}
    return attacked


def everything() -> list[Checked]:
    return check_entries(list(ActivityLog.objects.select_related("ledger").order_by("leaf_index")))


def served(leaf: int) -> Checked:
    (checked,) = check_entries([ActivityLog.objects.select_related("ledger").get(leaf_index=leaf)])
    return checked


def test_what_nobody_touched_is_valid_or_rightly_unsigned(attacked: Attacked) -> None:
    by_leaf = {one.entry.leaf_index: one for one in everything()}
    assert len(by_leaf) == attacked.recorded.size
    assert by_leaf[attacked.recorded.signed].verdict == by_leaf[attacked.recorded.full].verdict == Verdict.VALID
    assert by_leaf[attacked.recorded.unsigned].verdict == Verdict.UNSIGNED
    assert not any(one.reasons for one in by_leaf.values())


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"actor": "eve"}, "columns differ from the record: actor"),
        ({"occurred_at": "2020-01-01Z"}, "columns differ from the record: occurred_at"),
        ({"event_digest": b"x"}, "event_digest"),
        ({"record": b"{}"}, "not the leaf that the ledger holds"),
        ({"signature": None, "key_id": None}, "columns differ from the record: kid"),
        ({"signature": b"\0" * 64}, "its signature is not that of"),
        ({"detached_data": b"{}"}, "data lies beside a record"),
    ],
)
def test_an_edited_row_is_tampered(seen: Attacked, columns: dict[str, object], reason: str) -> None:
    seen.intruder.edit(seen.recorded.signed, **columns)
    checked = served(seen.recorded.signed)
    assert (checked.verdict, reason in checked.reasons[0]) == (Verdict.TAMPERED, True), checked.reasons
    assert served(seen.recorded.signed + 1).verdict == Verdict.VALID


def test_a_record_is_tampered_even_if_its_leaf_was_changed_with_it(seen: Attacked) -> None:
    leaf = seen.recorded.unsigned
    forged = seen.intruder.backdate(leaf)
    seen.intruder.edit_leaf(leaf, leaf_hash(forged))
    assert served(leaf).verdict == Verdict.TAMPERED


def test_a_tree_that_was_rebuilt_is_not_the_one_that_was_signed(attacked: Attacked) -> None:
    leaf = attacked.recorded.unsigned
    attacked.intruder.backdate(leaf)
    attacked.intruder.rebuild_tree()
    checked = served(leaf)
    assert checked.verdict == Verdict.TAMPERED
    assert "not the one whose root was signed" in checked.reasons[0]


def test_a_checkpoint_of_a_stranger_is_not_believed(seen: Attacked) -> None:
    seen.intruder(
        f"UPDATE ledger_checkpoints SET note = overlay(note PLACING 'AAAA' FROM length(note) - 20) WHERE {ACTIVITY}"
    )
    checked = served(50)
    assert checked.verdict == Verdict.TAMPERED
    assert "cannot be believed" in checked.reasons[0]


def test_without_any_checkpoint_nothing_is_valid(seen: Attacked) -> None:
    seen.intruder(f"DELETE FROM ledger_checkpoints WHERE {ACTIVITY}")
    assert served(50).verdict == Verdict.TAMPERED


def test_a_leaf_under_no_checkpoint_yet_cannot_be_told(seen: Attacked) -> None:
    late = seen.recorded.late
    seen.intruder(f"DELETE FROM ledger_checkpoints WHERE {ACTIVITY} AND size > {late}")
    checked = served(late)
    assert (checked.verdict, checked.reasons) == (Verdict.CANNOT_TELL, (retrieval.UNCOVERED,))


def test_a_stolen_keys_entries_are_untrusted_from_the_leaf_on_and_valid_before_it(seen: Attacked) -> None:
    recorded = seen.recorded
    mark_compromised(
        key_id=recorded.active_key, by="ada", reason="stolen", trusted_until={"activity": recorded.late}
    )  # fmt: skip
    assert served(recorded.late).verdict == Verdict.UNTRUSTED_KEY
    assert served(recorded.late - 1).verdict in {Verdict.VALID, Verdict.UNSIGNED}
    assert served(recorded.signed).verdict == Verdict.VALID, "another key signed it"


def test_a_keys_ledger_that_was_changed_makes_everything_doubtful(attacked: Attacked) -> None:
    attacked.intruder(f"UPDATE key_events SET record = record || ' ' WHERE {of('keys')} AND leaf_index = 1")
    checked = served(50)
    assert checked.verdict == Verdict.CANNOT_TELL
    assert "the keys ledger is not to be relied on" in checked.reasons[0]


def test_without_a_pinned_key_nothing_is_valid(attacked: Attacked) -> None:
    assert served(50).verdict == Verdict.VALID
    with override_settings(AUDITLOG_TRUST_FILE=""):
        checked = served(50)
    assert checked.verdict == Verdict.CANNOT_TELL
    assert "no checkpoint key is pinned" in checked.reasons[0]
