"""Saying in the admin that a key was stolen: since when, up to which anchor it is believed, and why."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.test import Client

from signing.models import KeyWindow, SigningKey
from signing.queries import head, ledger_named
from tests.administrators import administrator, key_steps, text_of
from tests.signing.installation import active_key, anchor_all, record

pytestmark = pytest.mark.usefixtures("fresh_database")


@pytest.fixture
def sam() -> Client:
    return administrator()


def page(key: SigningKey, since: datetime | None = None) -> str:
    asked = "" if since is None else f"?since={since:%Y-%m-%dT%H:%M:%S}"
    return f"/admin/signing/signingkey/{key.pk}/compromise/{asked}"


def believing(key: SigningKey, **sizes: int) -> dict[str, str]:
    """Return the choices for every ledger in which the key may sign: nothing, where no size is named."""
    ledgers = KeyWindow.objects.filter(key=key).values_list("ledger__name", flat=True)
    return {"reason": "stolen", **{f"ledger-{name}": str(sizes.get(name, 0)) for name in ledgers}}


def window(key: SigningKey, ledger: str = "activity") -> KeyWindow:
    return KeyWindow.objects.get(key=key, ledger__name=ledger)


def anchored_in_the_past(sam: Client) -> tuple[int, datetime]:
    """Record and anchor yesterday, record more today; return the size of yesterday and a moment in between."""
    now = datetime.now(UTC)
    record(3)
    with time_machine.travel(now - timedelta(days=1), tick=True):
        anchor_all()
    size = head(ledger_named("activity")).size
    record(2)
    anchor_all()
    return size, now - timedelta(hours=1)


def test_without_a_time_nothing_but_distrust_is_offered(sam: Client) -> None:
    record(3)
    anchor_all()
    said = text_of(sam.get(page(active_key())))
    assert "nothing that it ever signed" in said
    assert "what it signed before leaf" not in said


def test_anchors_before_the_theft_are_offered_and_later_ones_not(sam: Client) -> None:
    yesterday, since = anchored_in_the_past(sam)
    said = text_of(sam.get(page(active_key(), since)))
    assert f"what it signed before leaf {yesterday} (anchored" in said
    assert f"what it signed before leaf {yesterday + 2} " not in said
    assert "checked" in sam.get(page(active_key(), since)).content.decode(), "the newest of them is chosen"


def test_the_key_is_believed_up_to_the_chosen_leaf_and_replaced(sam: Client) -> None:
    yesterday, since = anchored_in_the_past(sam)
    key = active_key()
    asked = believing(key, activity=yesterday) | {"reason": "laptop stolen"}
    said = text_of(sam.post(page(key, since), asked, follow=True))
    assert f"untrusted from {yesterday}" in said
    key.refresh_from_db()
    assert key.state == "compromised"
    assert (window(key).untrusted_from_leaf, window(key, "meta").untrusted_from_leaf) == (yesterday, 0)
    assert active_key() != key
    assert ("key.compromised", "sam", "laptop stolen") in key_steps()


def test_what_is_no_anchor_older_than_the_theft_is_refused(sam: Client) -> None:
    yesterday, since = anchored_in_the_past(sam)
    key = active_key()
    for size in (yesterday + 2, yesterday - 1, -1, 10**12):
        response = sam.post(page(key, since), believing(key, activity=size))
        assert b"errorlist" in response.content
    key.refresh_from_db()
    assert key.state == "active"


@pytest.mark.parametrize("missing", ["reason", "ledger-activity"])
def test_reason_and_a_choice_for_every_ledger_are_needed(sam: Client, missing: str) -> None:
    asked = believing(active_key())
    del asked[missing]
    assert b"errorlist" in sam.post(page(active_key()), asked).content
    assert key_steps() == []


def test_a_time_in_the_future_offers_nothing(sam: Client) -> None:
    record(3)
    anchor_all()
    said = text_of(sam.get(page(active_key(), datetime.now(UTC) + timedelta(days=1))))
    assert "This lies in the future" in said
    assert "what it signed before leaf" not in said


def test_an_anchor_of_another_tree_is_not_offered(sam: Client) -> None:
    """Whoever set the database back would otherwise have his own tree believed."""
    _, since = anchored_in_the_past(sam)
    (anchor, *_) = sorted((Path(settings.AUDITLOG_ANCHOR_DIR) / "activity").glob("*.checkpoint"))
    lines = anchor.read_text().split("\n")
    lines[2] = "A" * 43 + "="
    anchor.write_text("\n".join(lines))
    said = text_of(sam.get(page(active_key(), since)))
    assert "No anchor can be offered" in said
    assert "what it signed before leaf" not in said


def test_a_later_leaf_than_before_is_refused_in_the_services_words(sam: Client) -> None:
    yesterday, since = anchored_in_the_past(sam)
    key = active_key()
    asked = believing(key)
    assert sam.post(page(key, since), asked).status_code == 302
    said = text_of(sam.post(page(key, since), asked | {"ledger-activity": str(yesterday)}))
    assert "is distrusted in activity from leaf 0 on, never from a later one" in said
    assert window(key).untrusted_from_leaf == 0


def test_a_checkpoint_key_says_what_verifiers_must_do(sam: Client) -> None:
    key = active_key("checkpoint")
    asked = believing(key)
    said = text_of(sam.post(page(key), asked, follow=True))
    assert "take the lines below out of each trust file" in said
    assert "auditlog.test/activity+" in said


def test_who_may_look_may_not_say_so() -> None:
    key = active_key()
    asked = believing(key)
    assert administrator("ann", "auditor").post(page(key), asked).status_code == 403
    key.refresh_from_db()
    assert key.state == "active"
