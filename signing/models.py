"""Tables of ledgers and keys. PostgreSQL guards them (migrations/sql); services.py and ledger.py are the writers.

The tree of a ledger is stored as
    ledger_heads   size and frontier: the roots of the perfect subtrees that make up the tree, largest first
    ledger_nodes   hashes that do not fill a tile yet: level 0 are leaves, level n are roots of tiles of level n - 1
    ledger_tiles   256 hashes each, once complete
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from signing.algorithms import ALGORITHMS
from signing.errors import ImmutableRowError

_Row_co = TypeVar("_Row_co", bound=models.Model, covariant=True)


class AppendOnlyQuerySet(models.QuerySet[_Row_co]):
    """Refuses what the database would refuse, with a plain error before the round trip."""

    def update(self, **kwargs: Any) -> NoReturn:
        """Refuse: rows of this table do not change."""
        del kwargs
        raise ImmutableRowError(self.model)

    def delete(self) -> NoReturn:
        """Refuse: rows of this table stay."""
        raise ImmutableRowError(self.model)


class AppendOnlyModel(models.Model):
    """Base of tables whose rows are written once. What holds is the guard AL001; this gives the refusal a name."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert a new row; refuse to change one."""
        if not self._state.adding:
            raise ImmutableRowError(type(self))
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: rows of this table stay."""
        del args, kwargs
        raise ImmutableRowError(type(self))


class Ledger(AppendOnlyModel):
    """An append-only Merkle tree over records. Opened by `services.open_ledger` alone."""

    class Kind(models.TextChoices):
        """Whose records a ledger takes."""

        ACTIVITY = "activity"
        META = "meta"
        KEYS = "keys"

    id = models.SmallAutoField(primary_key=True)
    name = models.CharField(max_length=63, unique=True)
    origin = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "ledgers"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class LedgerHead(models.Model):
    """Where a ledger stands: number of leaves and the frontier of its tree.

    `begun_by` is the transaction that has begun to append rows of its own, while it lasts.
    """

    ledger = models.OneToOneField(Ledger, models.PROTECT, primary_key=True, related_name="head")
    size = models.BigIntegerField()
    frontier = ArrayField(models.BinaryField())
    begun_by = models.BigIntegerField(null=True)

    class Meta:
        db_table = "ledger_heads"


class LedgerNode(models.Model):
    """A hash of 32 bytes that waits for its tile to fill."""

    pk = models.CompositePrimaryKey("ledger", "level", "node_index")
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    level = models.SmallIntegerField()
    node_index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        db_table = "ledger_nodes"


class LedgerTile(models.Model):
    """A complete tile: 256 hashes of 32 bytes, as C2SP tlog-tiles lays them out."""

    pk = models.CompositePrimaryKey("ledger", "level", "tile_index")
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="+")
    level = models.SmallIntegerField()
    tile_index = models.BigIntegerField()
    hashes = models.BinaryField()

    class Meta:
        db_table = "ledger_tiles"


class LedgerCheckpoint(models.Model):
    """A signed checkpoint (C2SP note). The newest is current; of the older ones about one a minute stays."""

    pk = models.CompositePrimaryKey("ledger", "size")
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, db_index=False, related_name="checkpoints")
    size = models.BigIntegerField()
    root = models.BinaryField()
    note = models.TextField()
    key_ids = ArrayField(models.CharField(max_length=100))  # that signed it, sorted
    signed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "ledger_checkpoints"


class SigningKey(models.Model):
    """A key and its life cycle (NIST SP 800-57). The private half is sealed by its provider.

    States only go forward; the guard AL005 sets the times of the steps. Keys of LOG_PURPOSES sign the log itself and
    are rotated; those of people, and of the CA that certifies them, come and go with their certificates.
    """

    class Purpose(models.TextChoices):
        """What the key may sign; one key, one purpose."""

        ENTRY = "entry"
        CHECKPOINT = "checkpoint"
        EXPORT = "export"
        CA = "ca"

    class State(models.TextChoices):
        """Where in its life the key stands."""

        PRE_ACTIVE = "pre-active"
        ACTIVE = "active"
        RETIRED = "retired"
        COMPROMISED = "compromised"
        DESTROYED = "destroyed"

    LOG_PURPOSES: ClassVar = (Purpose.ENTRY, Purpose.CHECKPOINT)

    id = models.CharField(max_length=100, primary_key=True)
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    algorithm = models.CharField(max_length=16, choices=[(name, name) for name in ALGORITHMS])
    state = models.CharField(max_length=16, choices=State.choices, default=State.PRE_ACTIVE)
    provider = models.CharField(max_length=32, default="local")
    public_key = models.BinaryField()
    sealed_private_key = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    activated_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "signing_keys"
        ordering: ClassVar = ["created_at", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["algorithm"],
                condition=models.Q(purpose="entry", state="active"),
                name="one_active_entry_key_per_algorithm",
            ),
        ]

    def __str__(self) -> str:
        return self.id


class KeyWindow(models.Model):
    """The leaves of one ledger that a key may have signed: first_leaf <= leaf < until_leaf.

    From `untrusted_from_leaf` on a compromised key proves nothing, for a thief could have signed there too.
    """

    pk = models.CompositePrimaryKey("key", "ledger")
    key = models.ForeignKey(SigningKey, models.PROTECT, related_name="windows")
    ledger = models.ForeignKey(Ledger, models.PROTECT, related_name="+")
    first_leaf = models.BigIntegerField()
    until_leaf = models.BigIntegerField(null=True)
    untrusted_from_leaf = models.BigIntegerField(null=True)

    class Meta:
        db_table = "signing_key_windows"


class ExportCertificate(models.Model):
    """Whose an export key is, and the certificate that says so; of the built-in CA, `person` is empty.

    Without a certificate yet, a CA outside was asked for one. The guard AL005 lets it be set once, and revoked once.
    """

    key = models.OneToOneField(SigningKey, models.PROTECT, primary_key=True, related_name="certificate")
    person = models.CharField(max_length=150)
    certificate = models.BinaryField(null=True)  # DER
    chain = ArrayField(models.BinaryField(), default=list)  # its issuers, nearest first, up to the root
    created_at = models.DateTimeField(db_default=Now())
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "export_certificates"
        ordering: ClassVar = ["created_at", "key"]

    def __str__(self) -> str:
        return f"{self.person or 'CA'}: {self.key_id}"


class KeyEvent(AppendOnlyModel):
    """A record of the `keys` ledger: a ledger opened, or a step in the life of a key."""

    leaf_index = models.BigIntegerField(primary_key=True)
    ledger = models.ForeignKey(Ledger, models.PROTECT, db_constraint=False, related_name="+")
    record = models.BinaryField()

    class Meta:
        db_table = "key_events"
        ordering: ClassVar = ["leaf_index"]
