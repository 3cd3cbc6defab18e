"""Tables of locks, overrides and policies. Definer functions alone write them; the app role only reads.

What a lock does to an entry stands on the entry's own row (activity.models.ActivityLog), for the guard AL002 to read.
"""

from __future__ import annotations

from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from signing.models import AppendOnlyQuerySet, Ledger

LIFTED = 2**63 - 1  # in `lifted_to`: the lock has ended and holds nothing any more
EXTENDED = 2**63 - 1  # in `extended_to`: no entry waits for a later end


class GuardedModel(models.Model):
    """Base of tables that PostgreSQL's functions write: the ORM is refused before the round trip."""

    objects: ClassVar[models.Manager[Self]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True


class LogLock(GuardedModel):
    """What was made read-only in one ledger, why, by whom, and until when; `until` is None for good."""

    class Kind(models.TextChoices):
        """A retention may end; a legal hold lasts until it is released, and applies beside any retention."""

        GOVERNANCE = "governance", "retention (governance)"
        COMPLIANCE = "compliance", "retention (compliance)"
        HOLD = "hold", "legal hold"

    class State(models.TextChoices):
        """Whether a lock holds. Applied in chunks, it is in force only once all of it is locked."""

        APPLYING = "applying", "being applied"
        IN_FORCE = "in_force", "in force"
        RELEASED = "released", "released"
        EXPIRED = "expired", "expired"

    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    scope = models.JSONField()  # {"entries": [ids]} or members of FILTER
    reason = models.TextField()
    case_reference = models.CharField(max_length=200, default="")
    until = models.DateTimeField(null=True)
    locked_by = models.CharField(max_length=150)
    policy_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    state = models.CharField(max_length=16, choices=State.choices, default=State.APPLYING)
    next_leaf = models.BigIntegerField(default=0)  # up to which it was applied
    count = models.BigIntegerField(default=0)
    size = models.BigIntegerField(null=True)  # of the ledger, when it came into force
    root = models.BinaryField(null=True)  # of that tree
    in_force_at = models.DateTimeField(null=True)
    release_requested_by = models.CharField(max_length=150, null=True)  # noqa: DJ001 none is nobody
    release_reason = models.TextField(null=True)  # noqa: DJ001 the same
    declined_by = models.CharField(max_length=150, null=True)  # noqa: DJ001 the same: the last request that was
    declined_at = models.DateTimeField(null=True)
    decline_reason = models.TextField(null=True)  # noqa: DJ001 the same
    declined_record = models.UUIDField(null=True)  # the system entry that says so
    released_by = models.CharField(max_length=150, null=True)  # noqa: DJ001 the same
    released_at = models.DateTimeField(null=True)
    released_record = models.UUIDField(null=True)  # the system entry that says so
    lifted_to = models.BigIntegerField(default=0)  # leaf up to which its entries were freed after its end, or LIFTED
    extended_to = models.BigIntegerField(db_default=EXTENDED)  # leaf up to which they have its later end, or EXTENDED

    class Meta:
        db_table = "log_locks"
        verbose_name = "lock"
        permissions: ClassVar = [("release_loglock", "Can release a lock that another person asked to release")]
        ordering: ClassVar = ["-id"]
        # A filter walks its index in the order of ids, and so does what waits: a page costs the same at any size.
        indexes: ClassVar = [
            *(
                models.Index(fields=[name, "id"], name=f"locks_by_{name}")
                for name in ("ledger", "kind", "state", "case_reference", "policy_id")
            ),
            models.Index(
                fields=["id"],
                name="releases_to_give",
                condition=models.Q(state="in_force", release_requested_by__isnull=False),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(released_by__isnull=True)
                | (
                    models.Q(release_requested_by__isnull=False)
                    & ~models.Q(released_by=models.F("release_requested_by"))
                ),
                name="release_by_two_people",
            ),
            models.CheckConstraint(
                condition=~models.Q(kind="compliance", state="released"), name="compliance_is_never_released"
            ),
        ]

    def __str__(self) -> str:
        return f"lock {self.pk}"

    @property
    def is_being_extended(self) -> bool:
        """Tell whether entries still wait for the later end that it was given."""
        return self.state == self.State.IN_FORCE and self.extended_to < EXTENDED


class LockOverride(GuardedModel):
    """A time-boxed permission, asked for by one person and given by another, to change exactly these locked entries."""

    class State(models.TextChoices):
        """Where it stands. Denied, closed and expired are ends."""

        REQUESTED = "requested"
        APPROVED = "approved"
        DENIED = "denied"
        CLOSED = "closed"
        EXPIRED = "expired"

    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(db_default=Now())
    reason = models.TextField()
    case_reference = models.CharField(max_length=200, default="")
    entries = ArrayField(models.UUIDField())
    hours = models.IntegerField()
    lifts_holds = models.BooleanField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.REQUESTED)
    decided_by = models.CharField(max_length=150, null=True)  # noqa: DJ001 none is nobody
    decided_at = models.DateTimeField(null=True)
    decided_record = models.UUIDField(null=True)  # the system entry that says so
    runs_until = models.DateTimeField(null=True)
    used_count = models.IntegerField(default=0)
    ended_at = models.DateTimeField(null=True)
    reviewed_by = models.CharField(max_length=150, null=True)  # noqa: DJ001 none is nobody
    reviewed_at = models.DateTimeField(null=True)
    reviewed_record = models.UUIDField(null=True)

    class Meta:
        db_table = "lock_overrides"
        verbose_name = "override"
        permissions: ClassVar = [
            ("override_hold", "Can ask to override a legal hold"),
            ("decide_lockoverride", "Can decide an override that another person asked for"),
            ("review_lockoverride", "Can review an override that another person asked for"),
        ]
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            *(models.Index(fields=[name, "id"], name=f"overrides_by_{name}") for name in ("state", "case_reference")),
            models.Index(
                fields=["id"],
                name="overrides_to_review",
                condition=models.Q(state__in=["closed", "expired"], decided_by__isnull=False, reviewed_by__isnull=True),
            ),
            GinIndex(fields=["entries"], name="overrides_by_entries"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True) | ~models.Q(decided_by=models.F("requested_by")),
                name="override_by_two_people",
            ),
            models.CheckConstraint(
                condition=models.Q(reviewed_by__isnull=True) | ~models.Q(reviewed_by=models.F("requested_by")),
                name="override_reviewed_by_another",
            ),
            models.CheckConstraint(condition=models.Q(hours__gte=1, hours__lte=24), name="override_of_a_day_at_most"),
        ]

    def __str__(self) -> str:
        return f"override {self.pk}"

    @property
    def waits_for_review(self) -> bool:
        """Tell whether it was approved, has ended, and nobody has signed it off yet."""
        has_ended = self.state in {self.State.CLOSED, self.State.EXPIRED}
        return has_ended and self.decided_by is not None and self.reviewed_by is None


class LockPolicy(GuardedModel):
    """When which entries of a ledger are locked by themselves; `rule` and `scope` are explained in policies.py."""

    name = models.CharField(max_length=100, unique=True)
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, related_name="+")
    enabled = models.BooleanField()
    rule = models.JSONField()
    scope = models.JSONField()
    kind = models.CharField(max_length=16, choices=LogLock.Kind.choices)
    lock_days = models.IntegerField(null=True)  # how long its locks last; None: for good
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField(db_default=Now())
    set_record = models.UUIDField()  # the system entry that says so
    next_leaf = models.BigIntegerField(default=0)  # the cursor over the ledger
    done = models.CharField(max_length=64, default="")  # what it locked last: a day, a period, a multiple

    class Meta:
        db_table = "lock_policies"
        verbose_name = "lock policy"
        verbose_name_plural = "lock policies"
        ordering: ClassVar = ["name"]
        indexes: ClassVar = [
            models.Index(fields=[name, "id"], name=f"policies_by_{name}") for name in ("enabled", "kind")
        ]

    def __str__(self) -> str:
        return self.name
