"""The peers' tables, made in the bench's own database alone.

PlainEntry      the columns of activity_logs that are left without hash, signature and ledger, with the same secondary
                indexes: what a Django project has that logs into an ordinary table
BareEntry       the same columns with the primary key as the only index
AuditedEvent    an event as an ordinary model, every create of which django-auditlog records
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from activity.models import ActivityLog


class PlainColumns(models.Model):
    """The columns of an entry that do not prove anything; `record` holds the event's JSON."""

    id = models.UUIDField(primary_key=True)
    ledger_id = models.SmallIntegerField()
    leaf_index = models.BigIntegerField()
    record = models.BinaryField()
    detached_data = models.BinaryField(null=True)
    event_id = models.CharField(max_length=200, null=True)  # noqa: DJ001 as in activity_logs
    type = models.CharField(max_length=200)
    actor = models.CharField(max_length=500)
    action = models.CharField(max_length=200)
    target = models.CharField(max_length=500)
    outcome = models.CharField(max_length=16)
    severity = models.CharField(max_length=16)
    source = models.CharField(max_length=200)
    ip = models.GenericIPAddressField(null=True)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    revision = models.IntegerField(default=1)
    locked = models.BooleanField(default=False)

    class Meta:
        abstract = True


class BareEntry(PlainColumns):
    class Meta:
        app_label = "peers"

    def __str__(self) -> str:
        return str(self.id)


class PlainEntry(PlainColumns):
    class Meta:
        app_label = "peers"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["ledger_id", "leaf_index"], name="plain_one_entry_per_leaf"),
            models.UniqueConstraint(
                fields=["ledger_id", "source", "event_id"],
                condition=models.Q(event_id__isnull=False),
                name="plain_one_entry_per_event_id",
            ),
        ]
        # Taken from the real table, so that the peer never carries more or fewer than it.
        indexes: ClassVar = [
            models.Index(
                fields=["ledger_id" if name == "ledger" else name for name in index.fields],
                name=f"plain_{index.name.removeprefix('entries_')}",
                condition=index.condition,
            )
            for index in ActivityLog._meta.indexes
        ]

    def __str__(self) -> str:
        return str(self.id)


class AuditedEvent(models.Model):
    """What an event says, as an ordinary model."""

    event_id = models.CharField(max_length=200)
    type = models.CharField(max_length=200)
    actor = models.CharField(max_length=500)
    action = models.CharField(max_length=200)
    target = models.CharField(max_length=500)
    outcome = models.CharField(max_length=16)
    severity = models.CharField(max_length=16)
    source = models.CharField(max_length=200)
    ip = models.GenericIPAddressField(null=True)
    occurred_at = models.DateTimeField()
    data = models.JSONField()

    class Meta:
        app_label = "peers"

    def __str__(self) -> str:
        return str(self.pk)
