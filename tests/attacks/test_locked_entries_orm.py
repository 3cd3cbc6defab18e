"""Ways to change a locked entry with Django's ORM as the application's role: none succeeds.

Each says which error stops it. Afterwards every row is what it was, byte for byte, and `verify` finds nothing. What the
database stops works for somebody who owns it and has switched the guards off.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, cast
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core import serializers
from django.core.management import call_command
from django.db import models, transaction
from django.db.models import F, ProtectedError, Value
from django.db.models.deletion import Collector
from django.db.models.sql import DeleteQuery, UpdateQuery
from django.forms import modelform_factory
from django.test import RequestFactory

from activity import amending
from activity.errors import EntryLockedError
from activity.models import ActivityLog, ActivityRevision
from signing.models import Ledger, SigningKey
from tests.attacks.intruder import assert_clean, fingerprint
from tests.attacks.locked_ledger import GOVERNANCE, entry_at
from tests.attacks.orm import (
    AL002,
    DENIED,
    NEVER,
    OURS,
    TWICE,
    Attack,
    Ways,
    assert_stopped,
    assert_works_unguarded,
    changed,
    of_the_database,
    raw,
)
from tests.awaiting import awaited
from tests.clusters import Database


class Shadow(models.Model):  # noqa: DJ008 nobody is shown it
    """The same table under a model that knows no guard."""

    id = models.UUIDField(primary_key=True)
    actor = models.TextField()
    locked = models.BooleanField()

    class Meta:
        app_label = "activity"
        managed = False
        db_table = "activity_logs"


class Unguarded(ActivityLog):
    """A subclass that takes back what ActivityLog refuses."""

    class Meta:
        app_label = "activity"
        proxy = True

    save: ClassVar[Any] = models.Model.save
    delete: ClassVar[Any] = models.Model.delete


def as_new(entry: ActivityLog, **columns: Any) -> ActivityLog:
    """Return the entry as if it had never been saved."""
    entry._state.adding = True
    return changed(entry, **columns)


def unguarded(entry: ActivityLog) -> Any:
    return Unguarded.objects.get(pk=entry.pk)


def collected(entry: ActivityLog) -> object:
    collector = Collector(using="default", origin=entry)
    collector.collect([entry])
    return collector.delete()


def in_savepoint(entry: ActivityLog) -> object:
    with transaction.atomic():
        with suppress(EntryLockedError), transaction.atomic():
            changed(entry).save()
        return raw().filter(pk=entry.pk).update(actor="eve")


def locked_first(entry: ActivityLog) -> None:
    with transaction.atomic():
        changed(raw().select_for_update().get(pk=entry.pk)).save_base(raw=True, update_fields=["actor"])


def loaded(entry: ActivityLog) -> object:
    said = json.loads(serializers.serialize("json", [entry]))
    said[0]["fields"]["actor"] = "eve"
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "entry.json"
        path.write_text(json.dumps(said))
        return call_command("loaddata", str(path), verbosity=0)


def deserialized(entry: ActivityLog) -> None:
    said = json.loads(serializers.serialize("json", [entry]))
    said[0]["fields"]["locked"] = False
    for one in serializers.deserialize("json", json.dumps(said)):
        one.save()


def by_admin(act: Callable[[Any, Any], object]) -> object:
    request = RequestFactory().post("/admin/")
    request.user = User.objects.get(username="olga")
    return act(admin.site.get_model_admin(ActivityLog), request)


def form(entry: ActivityLog) -> object:
    made = modelform_factory(ActivityLog, fields=["actor"])(data={"actor": "eve"}, instance=entry)
    assert made.is_valid(), made.errors
    return made.save()


def officer() -> User:
    return User.objects.get(username="olga")


ATTACKS: Ways = {
    # The instance.
    "save": (lambda entry: changed(entry).save(), OURS),
    "save one field": (lambda entry: changed(entry).save(update_fields=["actor"]), OURS),
    "save by force": (lambda entry: changed(entry).save(force_update=True), OURS),
    "save to another alias": (lambda entry: changed(entry).save(using="default"), OURS),
    "save asynchronously": (lambda entry: awaited(changed(entry).asave), OURS),
    "save and unlock": (lambda entry: changed(entry, locked=False, held_by=None, governance_until=None).save(), OURS),
    "save what was loaded before it was locked": (lambda entry: changed(entry, locked=False, held_by=None, actor="eve").save(), OURS),
    "save as new": (lambda entry: as_new(entry, actor="eve").save(), TWICE),
    "save as new with another id": (lambda entry: as_new(entry, id=uuid4(), event_id=None).save(), TWICE),
    "save raw": (lambda entry: changed(entry).save_base(raw=True), DENIED),
    "save raw one field": (lambda entry: changed(entry).save_base(raw=True, update_fields=["actor"]), AL002),
    "Model.save": (lambda entry: models.Model.save(changed(entry), update_fields=["actor"]), AL002),
    "delete": (lambda entry: entry.delete(), OURS),
    "delete with parents": (lambda entry: entry.delete(keep_parents=True), OURS),
    "delete asynchronously": (lambda entry: awaited(entry.adelete), OURS),
    "Model.delete": (models.Model.delete, DENIED),
    "collector": (collected, DENIED),
    "proxy that saves": (lambda entry: changed(unguarded(entry)).save(update_fields=["actor"]), AL002),
    "proxy that deletes": (lambda entry: unguarded(entry).delete(), DENIED),
    "form": (form, OURS),
    # Query sets.
    "update": (lambda entry: ActivityLog.objects.filter(pk=entry.pk).update(actor="eve"), OURS),
    "update all": (lambda _: ActivityLog.objects.update(actor="eve"), OURS),
    "update with F": (lambda entry: ActivityLog.objects.filter(pk=entry.pk).update(revision=F("revision") + 1), OURS),
    "update asynchronously": (lambda entry: awaited(ActivityLog.objects.filter(pk=entry.pk).aupdate, actor="e"), OURS),
    "bulk_update": (lambda entry: ActivityLog.objects.bulk_update([changed(entry)], ["actor"]), OURS),
    "update_or_create": (lambda entry: ActivityLog.objects.update_or_create(pk=entry.pk, defaults={"actor": "eve"}), OURS),
    "bulk_create over it": (
        lambda entry: ActivityLog.objects.bulk_create(
            [changed(entry)], update_conflicts=True, unique_fields=["id"], update_fields=["actor"]
        ),
        AL002,
    ),
    "bulk_create over its locks": (
        lambda entry: ActivityLog.objects.bulk_create(
            [changed(entry)], update_conflicts=True, unique_fields=["id"], update_fields=["locked", "held_by"]
        ),
        DENIED,
    ),
    "bulk_create again": (lambda entry: ActivityLog.objects.bulk_create([entry]), TWICE),
    "query set delete": (lambda entry: ActivityLog.objects.filter(pk=entry.pk).delete(), OURS),
    "delete all": (lambda _: ActivityLog.objects.all().delete(), OURS),
    "raw delete": (lambda entry: ActivityLog.objects.filter(pk=entry.pk)._raw_delete("default"), DENIED),
    "raw manager": (lambda entry: raw().filter(pk=entry.pk).update(actor="eve"), AL002),
    "raw manager unlocks": (lambda entry: raw().filter(pk=entry.pk).update(locked=False, held_by=None), DENIED),
    "raw manager lets an override run": (lambda entry: raw().filter(pk=entry.pk).update(override_until=Value("2099-01-01")), DENIED),
    "raw manager moves it": (lambda entry: raw().filter(pk=entry.pk).update(leaf_index=F("leaf_index") + 100_000), AL002),
    "raw manager bulk_update": (lambda entry: raw().bulk_update([changed(entry)], ["actor"]), AL002),
    "raw manager deletes": (lambda entry: raw().filter(pk=entry.pk).delete(), DENIED),
    "base manager": (lambda entry: ActivityLog._base_manager.filter(pk=entry.pk).update(actor="eve"), AL002),
    "raw query that updates": (
        lambda entry: list(ActivityLog.objects.raw("UPDATE activity_logs SET actor = 'e' WHERE id = %s RETURNING *", [entry.pk])),
        AL002,
    ),
    "raw query that deletes": (
        lambda entry: list(ActivityLog.objects.raw("DELETE FROM activity_logs WHERE id = %s RETURNING *", [entry.pk])),
        DENIED,
    ),
    "locked first": (locked_first, AL002),
    "in a savepoint": (in_savepoint, AL002),
    "update query": (lambda entry: UpdateQuery(ActivityLog).update_batch([cast("Any", entry.pk)], cast("Any", {"actor": "eve"}), "default"), AL002),
    "delete query": (lambda entry: DeleteQuery(ActivityLog).delete_batch([str(entry.pk)], "default"), DENIED),
    # Another model of the same table.
    "shadow saves": (lambda entry: changed(raw(Shadow).get(pk=entry.pk)).save(update_fields=["actor"]), AL002),
    "shadow unlocks": (lambda entry: raw(Shadow).filter(pk=entry.pk).update(locked=False), DENIED),
    "shadow deletes": (lambda entry: raw(Shadow).filter(pk=entry.pk).delete(), DENIED),
    # Fixtures and related rows.
    "loaddata": (loaded, DENIED),
    "deserialized": (deserialized, DENIED),
    "its ledger deleted": (lambda entry: entry.ledger.delete(), NEVER),
    "all ledgers deleted": (lambda _: raw(Ledger).delete(), ProtectedError),
    "its key deleted": (lambda entry: SigningKey.objects.filter(pk=entry.key_id).delete(), ProtectedError),
    "the archive emptied": (lambda _: ActivityRevision.objects.all().delete(), DENIED),
    # The admin, whose permissions somebody has got round.
    "admin action": (lambda entry: by_admin(lambda made, request: made.delete_queryset(request, raw().filter(pk=entry.pk))), DENIED),
    "admin deletes": (lambda entry: by_admin(lambda made, request: made.delete_model(request, entry)), OURS),
    "admin saves": (lambda entry: by_admin(lambda made, request: made.save_model(request, changed(entry), None, True)), OURS),  # noqa: FBT003
    # Services.
    "amended": (lambda entry: amending.amend(entry_id=entry.pk, changes={"actor": "eve"}, by=officer(), reason="r"), AL002),
    "removed": (lambda entry: amending.remove(entry_id=entry.pk, rule="r", by=officer(), reason="r"), AL002),
}  # fmt: skip
# What is obeyed and does nothing.
IDLE: dict[str, Attack] = {
    "bulk_create that ignores conflicts": lambda entry: ActivityLog.objects.bulk_create(
        [changed(entry)], ignore_conflicts=True
    ),
    "get_or_create": lambda entry: ActivityLog.objects.get_or_create(pk=entry.pk, defaults={"actor": "eve"}),
}


def test_there_are_at_least_60_ways() -> None:
    assert len(ATTACKS) + len(IDLE) >= 60


@pytest.mark.parametrize("name", ATTACKS)
def test_a_locked_entry_stays_as_it_is(locked_database: Database, name: str) -> None:
    assert_stopped(locked_database, ATTACKS[name])


@pytest.mark.parametrize("name", of_the_database(ATTACKS))
def test_without_guards_and_as_the_owner_it_would_work(locked_database: Database, name: str) -> None:
    assert_works_unguarded(locked_database, ATTACKS[name][0])


@pytest.mark.parametrize("name", IDLE)
def test_what_is_obeyed_changes_nothing(locked_database: Database, name: str) -> None:
    before = fingerprint(locked_database)
    IDLE[name](entry_at(GOVERNANCE))
    assert fingerprint(locked_database) == before


@pytest.mark.usefixtures("locked_database")
def test_after_all_of_this_verify_finds_nothing() -> None:
    assert_clean()
