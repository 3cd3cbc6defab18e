"""The table of meta logs. Its rows are written by store.py alone and never change. And that of archives of them.

A meta log is its record; every other column is an index over it, and the verifier compares them. The column `seen`
(int8multirange: which leaves were shown) is PostgreSQL's alone, for Django has no field for it; queries.py asks it.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from metaaudit.tombstone import Tombstone, tombstone_of
from metaaudit.vocabulary import Auth, Phase
from signing.models import AppendOnlyModel, Ledger, SigningKey


class MetaLog(AppendOnlyModel):
    """One access to the logging system, or one half of an access: see vocabulary.py."""

    id = models.UUIDField(primary_key=True)
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    leaf_index = models.BigIntegerField()
    record = models.BinaryField()
    at = models.DateTimeField()
    user_id = models.CharField(max_length=150)
    user_name = models.CharField(max_length=150)
    auth = models.CharField(max_length=16, choices=[(each.value, each.value) for each in Auth])
    auth_id = models.CharField(max_length=64, null=True)  # noqa: DJ001 none is not ""
    action = models.CharField(max_length=32)  # of vocabulary.ACTIONS
    phase = models.CharField(max_length=16, choices=[(each.value, each.value) for each in Phase])
    completes = models.UUIDField(null=True)
    method = models.CharField(max_length=16)
    path = models.CharField(max_length=2048)
    route = models.CharField(max_length=300)
    query = models.JSONField()
    query_hash = models.BinaryField()
    result_count = models.BigIntegerField(null=True)
    result_digest = models.BinaryField(null=True)
    sizes = models.JSONField()
    status = models.IntegerField(null=True)
    duration_ms = models.BigIntegerField(null=True)
    bytes = models.BigIntegerField(null=True)
    ip = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=500, null=True)  # noqa: DJ001 as above
    request_id = models.CharField(max_length=64, null=True)  # noqa: DJ001 as above

    class Meta:
        db_table = "meta_logs"
        verbose_name = "meta log"
        verbose_name_plural = "meta logs"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["ledger", "leaf_index"], name="one_meta_log_per_leaf"),
        ]
        # A filter on one column walks its index in the order of ids, so that a page costs the same at any size.
        indexes: ClassVar = [
            *(
                models.Index(fields=[name, "id"], name=f"meta_logs_by_{name}")
                for name in ("user_id", "user_name", "action", "route", "status", "query_hash")
            ),
            models.Index(
                fields=["completes"], name="meta_logs_by_completes", condition=models.Q(completes__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class MetaArchive(AppendOnlyModel):
    """Leaves [first_leaf, end_leaf) whose rows may be gone: their tombstone, which is a leaf of the same ledger.

    Row and record of the tombstone are among the meta logs, too, until it is archived itself; here they stay.
    """

    id = models.UUIDField(primary_key=True)  # of the tombstone's meta log
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    leaf_index = models.BigIntegerField()
    record = models.BinaryField()
    signature = models.BinaryField()
    key = models.ForeignKey(SigningKey, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    first_leaf = models.BigIntegerField()
    end_leaf = models.BigIntegerField()

    class Meta:
        db_table = "meta_archives"
        verbose_name = "archive of meta logs"
        verbose_name_plural = "archives of meta logs"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["ledger", "first_leaf"], name="one_archive_per_first_leaf"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def tombstone(self) -> Tombstone | None:
        """What its record says; None for a record that is no tombstone, as only a forged row has it."""
        try:
            return tombstone_of(bytes(self.record))
        except ValueError:
            return None
