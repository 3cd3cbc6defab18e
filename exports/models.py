"""Tables of exports: what was ordered, the parts that workers make it of, and the file that came out.

What an export is (who ordered what, of which ledger as of which checkpoint) never changes; the database sees to it. Its
state only goes forward:

    waiting → running → ready → expired
                 ↘ failed      (waiting and running also → cancelled)

A running one may wait for the time stamp authority: `waits_for` says why, and `next_attempt_at` when it is asked again.

The file lies in the storage `exports`; files inside the container can be taken alone, for they are stored in it as they
are. Names and ids of people are facts, so nothing here refers to the table of users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from signing.models import Ledger

if TYPE_CHECKING:
    from datetime import datetime


class Export(models.Model):
    """One export: an order, and what has become of it."""

    class Format(models.TextChoices):
        """A file with the entries; several may be in one export."""

        PDF = "pdf", "PDF report"
        CSV = "csv", "CSV table"
        NDJSON = "ndjson", "NDJSON, the records byte for byte"
        JSON = "json", "JSON document"

    class State(models.TextChoices):
        """How far it is."""

        WAITING = "waiting"
        RUNNING = "running"
        READY = "ready"
        FAILED = "failed"
        CANCELLED = "cancelled"
        EXPIRED = "expired"

    OPEN: ClassVar = (State.WAITING, State.RUNNING)

    id = models.UUIDField(primary_key=True)
    ordered_by = models.CharField(max_length=150)
    ordered_by_id = models.IntegerField()
    ordered_at = models.DateTimeField(db_default=Now())
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, related_name="+")
    filters = models.JSONField(default=dict)
    formats = ArrayField(models.CharField(max_length=8, choices=Format.choices))
    purpose = models.CharField(max_length=500)
    case = models.CharField(max_length=200, blank=True)
    checkpoint = models.TextField()
    size = models.BigIntegerField()
    first_leaf = models.BigIntegerField()
    end_leaf = models.BigIntegerField()
    is_complete = models.BooleanField()

    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=500, blank=True)
    waits_for = models.CharField(max_length=500, blank=True)
    attempts = models.IntegerField(default=0)  # to get a time stamp, that failed
    next_attempt_at = models.DateTimeField(null=True)
    entries = models.BigIntegerField(null=True)
    verdicts = models.JSONField(default=dict)
    dataset_digest = models.CharField(max_length=64, blank=True)
    signer_certificate_sha256 = models.CharField(max_length=64, blank=True)
    file = models.CharField(max_length=200, blank=True)
    file_size = models.BigIntegerField(default=0)
    file_sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        db_table = "exports"
        ordering: ClassVar = ["-ordered_at"]
        indexes: ClassVar = [
            models.Index(fields=["ordered_by_id", "-ordered_at"], name="exports_of_somebody"),
            models.Index(fields=["state"], name="exports_by_state"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def complete_range(self) -> tuple[int, int] | None:
        """The leaves [first, end) of which every one is accounted for, or None."""
        return (self.first_leaf, self.end_leaf) if self.is_complete else None

    def is_due(self, now: datetime) -> bool:
        """Tell whether it does not wait for a later time."""
        return self.next_attempt_at is None or self.next_attempt_at <= now

    @property
    def is_open(self) -> bool:
        """Tell whether it may still become ready."""
        return self.state in self.OPEN


class ExportPart(models.Model):
    """The entries of a range of leaves; whoever locks the row makes the part, and a dead worker's lock is gone."""

    export = models.ForeignKey(Export, models.PROTECT, related_name="parts")
    number = models.IntegerField()
    first_leaf = models.BigIntegerField()
    end_leaf = models.BigIntegerField()
    done_at = models.DateTimeField(null=True)
    entries = models.BigIntegerField(default=0)
    first_entry = models.BigIntegerField(null=True)
    last_entry = models.BigIntegerField(null=True)
    leaves = models.JSONField(default=list)  # of its entries: first and last of each run
    verdicts = models.JSONField(default=dict)
    files = models.JSONField(default=dict)  # name in the storage, by what it holds

    class Meta:
        db_table = "export_parts"
        ordering: ClassVar = ["export", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["export", "number"], name="one_part_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.export_id}, part {self.number}"
