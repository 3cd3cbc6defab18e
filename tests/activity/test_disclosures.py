"""What is shown of the log is noted: how many entries, in which order, from which leaves, up to which size."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest

from activity import search
from activity.disclosures import MAX_RANGES, Disclosure, collecting, note_entry, note_size
from activity.event import Event
from activity.models import ActivityLog
from activity.retrieval import check_entries, judge_entries
from activity.search import Search
from activity.services import record_many
from signing.merkle import leaf_hash
from signing.queries import ledger_named

EVENT = Event("shop.order", "order", "ann", datetime(2026, 11, 23, 12, tzinfo=UTC), "shop")


def test_the_digest_is_over_the_leaf_hashes_in_their_order() -> None:
    with collecting() as shown:
        note_entry("activity", 7, b"a" * 32)
        note_entry("activity", 3, b"b" * 32)
    assert (shown.count, shown.digest()) == (2, sha256(b"a" * 32 + b"b" * 32).digest())
    assert shown.leaves() == {"activity": [(3, 3), (7, 7)]}


@pytest.mark.parametrize("order", [range(10, 20), range(19, 9, -1), [*range(15, 20), *range(10, 15)]])
def test_neighbours_are_one_range(order: list[int]) -> None:
    shown = Disclosure()
    for leaf in order:
        shown.add("activity", leaf, b"x" * 32)
    assert shown.leaves() == {"activity": [(10, 19)]}


def test_a_run_of_leaves_is_noted_at_once() -> None:
    one_by_one, at_once = Disclosure(), Disclosure()
    hashes = [bytes([leaf]) * 32 for leaf in range(12)]
    for leaf, hashed in enumerate(hashes):
        one_by_one.add("activity", leaf, hashed)
    for first, last in ((0, 5), (5, 6), (6, 12)):
        at_once.add("activity", first, b"".join(hashes[first:last]))
    assert (at_once.count, at_once.digest(), at_once.leaves()) == (12, one_by_one.digest(), one_by_one.leaves())


def test_leaves_that_are_too_scattered_are_counted_and_not_listed() -> None:
    shown = Disclosure()
    for leaf in range(0, 2 * MAX_RANGES + 2, 2):
        shown.add("activity", leaf, b"x" * 32)
    assert (shown.count, shown.leaves()) == (MAX_RANGES + 1, None)
    assert shown.digest() == sha256(b"x" * 32 * (MAX_RANGES + 1)).digest()


def test_what_showed_nothing_has_no_digest_and_an_empty_page_has_that_of_nothing() -> None:
    with collecting() as shown:
        assert shown.digest() is None
        note_size("activity", 5)
    assert (shown.sizes, shown.digest()) == ({"activity": 5}, sha256(b"").digest())


def test_nothing_is_kept_outside() -> None:
    note_entry("activity", 7, b"a" * 32)
    with collecting() as outer:
        with collecting() as inner:
            note_entry("activity", 7, b"a" * 32)
        note_entry("activity", 8, b"b" * 32)
    assert (inner.count, outer.count) == (1, 1)


@pytest.mark.django_db
def test_a_page_notes_its_entries_and_how_far_it_looked() -> None:
    record_many([EVENT] * 3)
    size = ActivityLog.objects.count()
    asked = Search([ledger_named("activity")], equal={"type": "shop.order"}, limit=2)
    with collecting() as shown:
        page = search.find(asked)
        judge_entries(page.entries)
        assert shown.count == 0, "what is only judged is shown to nobody"
        check_entries(page.entries)
    hashes = [leaf_hash(bytes(entry.record)) for entry in page.entries]
    assert (shown.count, shown.digest()) == (2, sha256(b"".join(hashes)).digest())
    assert shown.sizes == {"activity": size}


@pytest.mark.django_db
def test_a_search_as_of_an_earlier_size_finds_what_it_found_then() -> None:
    record_many([EVENT] * 3)
    ledger = ledger_named("activity")
    with collecting() as shown:
        before = search.find(Search([ledger]))
    record_many([EVENT] * 3)
    again = search.find(Search([ledger], as_of=shown.sizes))
    assert [entry.pk for entry in again.entries] == [entry.pk for entry in before.entries]
    assert len(search.find(Search([ledger])).entries) == len(before.entries) + 3
