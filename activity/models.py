"""Tables of log types, entries, verification runs, and of who may read and write. services.py alone writes entries.

An entry is its record; every other column is an index over the record, or a proof about it, and the verifier compares
them. Its id is a UUIDv7 whose milliseconds are those of `recorded_at`, so that one order, by id, serves every list and
a time range is a range of ids.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from typing import Any, ClassVar, NoReturn

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from activity.errors import EntryLockedError
from activity.event import MAX_CHARACTERS, OUTCOMES, SEVERITIES
from signing.algorithms import ALGORITHMS
from signing.errors import ImmutableRowError
from signing.models import AppendOnlyModel, Ledger, SigningKey

FOR_GOOD = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)  # an end that never comes; Python has no infinity
OVERRIDE_RUNS = "override runs"


class LogType(models.Model):
    """How events of one kind are kept. `pattern` is a type (`auth.login`) or a prefix (`auth.*`); the longest wins.

    Every change is a system entry, so a row that was edited behind the application's back shows in `verify`.
    """

    pattern = models.CharField(max_length=MAX_CHARACTERS["type"], primary_key=True)
    requires_signature = models.BooleanField()
    algorithm = models.CharField(max_length=16, choices=[(name, name) for name in ALGORITHMS], default="Ed25519")
    description = models.TextField(blank=True)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "log_types"
        ordering: ClassVar = ["pattern"]

    def __str__(self) -> str:
        return self.pattern


class EntryVersion(models.Model):
    """What an entry is in one revision: its record, its place in its ledger, its signature, and an index over it."""

    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    leaf_index = models.BigIntegerField()
    record = models.BinaryField()
    detached_data = models.BinaryField(null=True)
    event_digest = models.BinaryField()
    signature = models.BinaryField(null=True)
    key = models.ForeignKey(
        SigningKey, models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    event_id = models.CharField(max_length=MAX_CHARACTERS["event_id"], null=True)  # noqa: DJ001 none is not ""
    type = models.CharField(max_length=MAX_CHARACTERS["type"])
    actor = models.CharField(max_length=MAX_CHARACTERS["actor"])
    action = models.CharField(max_length=MAX_CHARACTERS["action"])
    target = models.CharField(max_length=MAX_CHARACTERS["target"])
    outcome = models.CharField(max_length=16, choices=[(name, name) for name in OUTCOMES])
    severity = models.CharField(max_length=16, choices=[(name, name) for name in SEVERITIES])
    source = models.CharField(max_length=MAX_CHARACTERS["source"])
    ip = models.GenericIPAddressField(null=True)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    revision = models.IntegerField(default=1)

    class Meta:
        abstract = True


# What floors above know of locks: each returns the error for the first of these entries that is locked so, or None.
FURTHER_LOCKS: list[Callable[[models.QuerySet[ActivityLog]], EntryLockedError | None]] = []
FURTHER_LOCKED: list[Callable[[], RawSQL]] = []  # each gives the ids of all entries that are


class EntryQuerySet(models.QuerySet["ActivityLog"]):
    """Refuses what the database would refuse, with an error that says which entry and why, before the round trip."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Refuse: an entry changes by an amendment alone (amending.py). Raises EntryLockedError, ImmutableRowError."""
        del kwargs
        raise self.refusal()

    def delete(self) -> NoReturn:
        """Refuse: an entry goes by a removal alone (amending.py), which leaves a tombstone. Raises as `update`."""
        raise self.refusal()

    def kept(self) -> EntryQuerySet:
        """Return those that are locked or past a deadline, which neither change nor lose what they were before."""
        is_kept = models.Q(locked=True) | models.Q(locks_at__lte=datetime.now(UTC))
        for ids in FURTHER_LOCKED:
            is_kept |= models.Q(pk__in=ids())
        return self.filter(is_kept)

    def refusal(self) -> Exception:
        """Return the error that names the first locked entry among these rows, or says that no entry is changed so."""
        meant = ActivityLog.objects.using(self.db).filter(pk__in=self.values("pk"))
        locked = meant.filter(models.Q(locked=True) | models.Q(locks_at__lte=datetime.now(UTC)))
        errors = (entry.locked_error() for entry in locked.order_by("pk").iterator())
        locking = chain(errors, (further(meant) for further in FURTHER_LOCKS))
        return next((error for error in locking if error is not None), None) or ImmutableRowError(self.model)


class ActivityLog(EntryVersion):
    """An entry as it stands now. Amended, its row is the newest version; removed, it is the tombstone.

    What holds are the guards AL001 and AL003; this class gives their refusals a name.
    """

    id = models.UUIDField(primary_key=True)
    # The state of its locks stands here, for the guard AL002 to read; definer functions of locking alone write it.
    locked = models.BooleanField(default=False)
    held_by = ArrayField(models.BigIntegerField(), null=True)  # the locks
    hold_count = models.IntegerField(db_default=0)  # legal holds among them
    governance_until = models.DateTimeField(null=True)  # FOR_GOOD where there is no end
    compliance_until = models.DateTimeField(null=True)
    locks_at = models.DateTimeField(null=True)  # deadline of a retention policy, after which it is as good as locked
    was_held_by = ArrayField(models.BigIntegerField(), null=True)  # locks of policies, which have ended
    override_id = models.BigIntegerField(null=True)  # approved for this entry, until then
    override_until = models.DateTimeField(null=True)

    objects = EntryQuerySet.as_manager()

    class Meta:
        db_table = "activity_logs"
        verbose_name = "entry"
        verbose_name_plural = "entries"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["ledger", "leaf_index"], name="one_entry_per_leaf"),
            models.UniqueConstraint(
                fields=["ledger", "source", "event_id"],
                condition=models.Q(event_id__isnull=False),
                name="one_entry_per_event_id",
            ),
            models.CheckConstraint(
                condition=models.Q(signature__isnull=True, key__isnull=True)
                | models.Q(signature__isnull=False, key__isnull=False),
                name="signature_names_its_key",
            ),
            models.CheckConstraint(
                condition=models.Q(locked=True, held_by__isnull=False)
                | models.Q(
                    locked=False,
                    held_by__isnull=True,
                    hold_count=0,
                    governance_until__isnull=True,
                    compliance_until__isnull=True,
                ),
                name="locked_by_its_locks",
            ),
        ]
        # A filter on one column walks its index in the order of ids, so that a page costs the same at any size.
        indexes: ClassVar = [
            *(
                models.Index(fields=[name, "id"], name=f"entries_by_{name}")
                for name in ("type", "actor", "action", "target", "outcome", "severity", "source", "occurred_at")
            ),
            models.Index(fields=["ip", "id"], name="entries_by_ip", condition=models.Q(ip__isnull=False)),
            models.Index(fields=["ledger", "id"], name="entries_by_ledger"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert a new row; refuse to change one. Raises EntryLockedError, ImmutableRowError."""
        if not self._state.adding:
            raise self._refusal()
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: entries stay. Raises EntryLockedError, ImmutableRowError."""
        del args, kwargs
        raise self._refusal()

    def _refusal(self) -> Exception:
        """Return the error that fits the row as the database has it now; the one in memory may be stale."""
        return ActivityLog.objects.filter(pk=self.pk).refusal()

    @property
    def lock_words(self) -> str:
        """Return "locked", "override runs" or nothing, as the guard AL002 judges; by this machine's clock."""
        now = datetime.now(UTC)
        is_fixed = self.compliance_until is not None and self.compliance_until > now
        if self.locked and not is_fixed and self.override_until is not None and self.override_until > now:
            return OVERRIDE_RUNS
        return "locked" if self.locked_error() else ""

    def locked_error(self) -> EntryLockedError | None:
        """Return the error that says which locks hold this entry now, and why, in the words of the guard AL002."""
        now = datetime.now(UTC)
        if self.compliance_until is not None and self.compliance_until > now:
            reason = f"retention in mode compliance, until {self.compliance_until}"
        elif self.hold_count:
            reason = "legal hold"
        elif self.governance_until is not None and self.governance_until > now:
            reason = f"retention in mode governance, until {self.governance_until}"
        elif self.locks_at is not None and self.locks_at <= now:
            reason = f"a retention policy locks it since {self.locks_at}"
        else:
            return None
        return EntryLockedError(str(self.pk), self.held_by or [], reason)


class ActivityRevision(EntryVersion):
    """A version of an entry that an amendment or a removal superseded, archived by the database itself.

    Purged, nothing is left but its place, its hash, and what tells a retry from a conflict.
    """

    entry_id = models.UUIDField()
    leaf_hash = models.BinaryField()
    superseded_at = models.DateTimeField(db_default=Now())
    override_id = models.BigIntegerField(null=True)  # under which a locked version was superseded
    purged_by = models.UUIDField(null=True)  # the system entry that says who purged it, and why

    class Meta:
        db_table = "activity_revisions"
        verbose_name = "revision"
        ordering: ClassVar = ["entry_id", "revision"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["entry_id", "revision"], name="one_row_per_revision"),
            models.UniqueConstraint(fields=["ledger", "leaf_index"], name="one_revision_per_leaf"),
        ]

    def __str__(self) -> str:
        return f"{self.entry_id}, revision {self.revision}"


class VerificationRun(AppendOnlyModel):
    """One finished verification of a ledger: what was checked up to which size, and what came out."""

    class Outcome(models.TextChoices):
        """As the exit code of `verify` says it: 0, 1, 2."""

        VALID = "valid"
        TAMPERED = "tampered"
        CANNOT_TELL = "cannot_tell"

    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(db_default=Now())
    since = models.BigIntegerField()
    size = models.BigIntegerField()
    root = models.BinaryField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    findings = models.JSONField(default=list)

    class Meta:
        db_table = "verification_runs"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["ledger", "id"], name="runs_by_ledger"),
            models.Index(fields=["outcome", "id"], name="runs_by_outcome"),
            models.Index(fields=["ledger", "id"], name="whole_runs_by_ledger", condition=models.Q(since=0)),
        ]


class OpenFinding(models.Model):
    """Something that verification found, from the run that showed it first to the whole run that showed it no more."""

    fingerprint = models.CharField(max_length=64)
    ledger = models.CharField(max_length=63)  # "*" for what concerns all of them
    leaf_index = models.BigIntegerField(null=True)
    verdict = models.CharField(max_length=16)
    reason = models.TextField()
    found_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "open_findings"
        verbose_name = "finding"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="open_findings_by_id", condition=models.Q(gone_at__isnull=True)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=models.Q(gone_at__isnull=True), name="one_open_finding"
            )
        ]

    def __str__(self) -> str:
        place = self.ledger if self.leaf_index is None else f"{self.ledger}, leaf {self.leaf_index}"
        return f"{place}: {self.verdict}: {self.reason}"


class Notice(models.Model):
    """What is told at one time about new findings; without any it is a test."""

    findings = models.ManyToManyField(OpenFinding, related_name="notices")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "notices"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"notice {self.pk}"


class Delivery(models.Model):
    """A notice on its way to one receiver."""

    class Kind(models.TextChoices):
        """How it is sent."""

        EMAIL = "email"
        WEBHOOK = "webhook"

    notice = models.ForeignKey(Notice, models.PROTECT, related_name="deliveries")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    receiver = models.CharField(max_length=500)
    attempts = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_error = models.CharField(max_length=200, default="")
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "deliveries"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.notice} by {self.kind}"


class ApiKey(models.Model):
    """A system's right to write to one ledger as one source, or to read it. The key itself is shown once, never kept.

    A key is `<prefix>.<secret>`; `hashed_key` is what djangorestframework-api-key makes of it.
    """

    class Scope(models.TextChoices):
        """What a key may do with its ledger."""

        WRITE = "logs:write"
        READ = "logs:read"

    prefix = models.CharField(max_length=8, primary_key=True)
    hashed_key = models.CharField(max_length=150)
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices))
    ledger = models.ForeignKey(Ledger, models.PROTECT, related_name="+")
    source = models.CharField(max_length=MAX_CHARACTERS["source"])
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class LedgerGrant(models.Model):
    """Somebody's right to see a ledger: one user's, or that of every member of a group."""

    ledger = models.ForeignKey(Ledger, models.PROTECT, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+")
    group = models.ForeignKey("auth.Group", models.CASCADE, null=True, blank=True, related_name="+")
    given_by = models.CharField(max_length=150)
    given_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "ledger_grants"
        ordering: ClassVar = ["ledger", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, group__isnull=True)
                | models.Q(user__isnull=True, group__isnull=False),
                name="grant_names_user_or_group",
            ),
            models.UniqueConstraint(fields=["ledger", "user"], name="one_grant_per_user"),
            models.UniqueConstraint(fields=["ledger", "group"], name="one_grant_per_group"),
        ]

    def __str__(self) -> str:
        return f"{self.ledger}: {self.user or self.group}"
