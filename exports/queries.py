"""Reading exports: whose they are, how far they are. Writes nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Q, QuerySet

from exports.models import Export
from exports.sources import exportable
from signing import certificates
from signing.errors import ExportKeyError
from signing.queries import export_signer
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

VIEW_PERMISSION = "exports.view_export"
_READING = "Reading and checking entries"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is. `rate` is in entries a second; what cannot be said yet is None."""

    entries: int
    leaves: int
    percent: int
    rate: float | None
    left: timedelta | None
    is_joining: bool

    @property
    def stage(self) -> str:
        """What is done now."""
        return "All entries are read; the files are joined and signed" if self.is_joining else _READING

    @property
    def words(self) -> str:
        """What is done by now, and how long the rest takes."""
        done = f"{self.entries:,} entries"
        if self.rate is None or self.is_joining:
            return done
        return f"{done}, {self.rate:,.0f} a second, about {self.left} left"


class Signer(NamedTuple):
    """Whose certificate signs somebody's exports until when; without one, `trouble` says why.

    `root` is the certificate above all in PEM, which verifiers pin, and `root_fingerprint` its SHA-256.
    """

    name: str = ""
    fingerprint: str = ""
    until: datetime | None = None
    root_fingerprint: str = ""
    root: str = ""
    trouble: str = ""


def visible(*, to: User | AnonymousUser) -> QuerySet[Export]:
    """Return the exports that somebody may see: his own, and with the right to, all those of ledgers he may read."""
    own = Q(ordered_by_id=to.pk)
    if to.has_perm(VIEW_PERMISSION):
        own |= Q(ledger__name__in=exportable(to))
    return Export.objects.select_related("ledger").filter(own)


def progress(export: Export) -> Progress:
    """Return how far an export is, by the leaves of the parts that are made."""
    parts = export.parts.values_list("first_leaf", "end_leaf", "entries", "done_at")
    leaves = sum(end - first for first, end, _, _ in parts)
    done = sum(end - first for first, end, _, at in parts if at is not None)
    entries = sum(count for _, _, count, _ in parts)
    seconds = (datetime.now(UTC) - export.started_at).total_seconds() if export.started_at else 0.0
    is_under_way = bool(done and seconds and export.is_open)
    return Progress(
        entries=entries,
        leaves=leaves,
        percent=100 * done // leaves if leaves else 100,
        rate=entries / seconds if is_under_way else None,
        left=timedelta(seconds=int(seconds * (leaves - done) / done)) if is_under_way else None,
        is_joining=export.is_open and done == leaves,
    )


def verdicts(export: Export) -> list[tuple[Verdict, int]]:
    """Return how many of the entries had which verdict, those that had any."""
    counts: Counter[str] = Counter(export.verdicts)
    return [(verdict, counts[verdict]) for verdict in Verdict if counts[verdict]]


def signer_of(user: User | AnonymousUser) -> Signer:
    """Return who signs somebody's exports, or why nobody does."""
    try:
        signer = export_signer(user.get_username())
    except ExportKeyError as error:
        return Signer(trouble=str(error))
    facts = certificates.facts(signer.certificate)
    pem = certificates.to_pem([signer.root]).decode()
    return Signer(facts.subject, signer.fingerprint, facts.not_after, certificates.fingerprint(signer.root), pem)
