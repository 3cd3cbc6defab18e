"""Reading log types and entries. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from activity.entries import LOG_TYPES_DIGEST
from activity.models import ActivityLog, ActivityRevision, LogType, OpenFinding, VerificationRun
from activity.policies import Policies, Policy
from signing import jws, statements
from signing.merkle import leaf_hash
from signing.tree_check import ExpectedRoot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.db.models import QuerySet

    from signing.models import Ledger

ACTIVITY_LEDGER = "activity"
TOMBSTONE = "auditlog.entry.removed"  # type of what stands in the place of a removed entry


def policies(*, refresh: bool = True) -> Policies:
    """Return the log types as they stand or, without `refresh`, as this process last saw them.

    Who uses what was seen earlier has the database confirm its digest in the same call (`entries.append_and_insert`).
    """
    place = statements.database_name()
    if refresh or place not in _policies:
        rows = statements.execute(_LOG_TYPES, [])
        _policies[place] = Policies((Policy(*row[:3]) for row in rows), rows[0][3] if rows else "")
    return _policies[place]


_policies: dict[str, Policies] = {}  # by database
_LOG_TYPES = f"SELECT pattern, requires_signature, algorithm, {LOG_TYPES_DIGEST} FROM public.log_types"  # noqa: S608 ours


class FirstVersion(NamedTuple):
    """An entry as its writer recorded it, which is what a retry gets back, whatever became of it since."""

    id: UUID
    leaf_index: int
    leaf_hash: bytes
    event_digest: bytes


def known_event_ids(ledger: Ledger, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], FirstVersion]:
    """Return the entries of a ledger that hold one of these (source, event id) pairs, by pair."""
    by_source: dict[str, list[str]] = {}
    for source, event_id in pairs:
        by_source.setdefault(source, []).append(event_id)
    found = {
        (source, entry.event_id or ""): entry
        for source, event_ids in by_source.items()
        for entry in ActivityLog.objects.filter(ledger=ledger, source=source, event_id__in=event_ids)
    }
    changed = [entry.pk for entry in found.values() if entry.revision > 1]
    archived = ActivityRevision.objects.filter(entry_id__in=changed, revision=1) if changed else ()
    first = {one.entry_id: one for one in archived}
    return {pair: _first_version(entry, first.get(entry.pk)) for pair, entry in found.items()}


def _first_version(entry: ActivityLog, archived: ActivityRevision | None) -> FirstVersion:
    if archived is None:
        return FirstVersion(entry.pk, entry.leaf_index, leaf_hash(bytes(entry.record)), bytes(entry.event_digest))
    return FirstVersion(entry.pk, archived.leaf_index, bytes(archived.leaf_hash), bytes(archived.event_digest))


def entry_at(ledger: str, leaf_index: int | None) -> UUID | None:
    """Return the id of the entry at a leaf of the ledger of this name, or None if there is none."""
    if leaf_index is None:
        return None
    found = ActivityLog.objects.filter(ledger__name=ledger, leaf_index=leaf_index)
    return found.order_by().values_list("pk", flat=True).first()


def entry_as_jws(entry: ActivityLog) -> str | None:
    """Return the entry as a compact JWS that any JOSE library verifies, or None if it is not signed."""
    if entry.key is None or entry.signature is None:
        return None
    header = jws.protected(entry.key.algorithm, entry.key.id)
    return jws.compact(header, bytes(entry.record), bytes(entry.signature))


def log_type_facts(log_type: LogType) -> dict[str, object]:
    """Return what the system entry of a log type says, so that the row can be compared with it."""
    return {
        "algorithm": log_type.algorithm,
        "description": log_type.description,
        "pattern": log_type.pattern,
        "requires_signature": log_type.requires_signature,
    }


def last_verified(ledger: Ledger) -> ExpectedRoot | None:
    """Return the tree that the last verification without alarm saw, or None if there was none."""
    run = (
        VerificationRun.objects.filter(ledger=ledger)
        .exclude(outcome=VerificationRun.Outcome.TAMPERED)
        .order_by("-id")
        .first()
    )
    if run is None:
        return None
    return ExpectedRoot(run.size, bytes(run.root), f"the verification of {run.finished_at:%Y-%m-%d %H:%M} UTC")


def open_findings() -> QuerySet[OpenFinding]:
    """Return what verification found and what no whole run has shown to be gone, the newest first."""
    return OpenFinding.objects.filter(gone_at=None)


def last_run(ledger: Ledger, *, whole: bool = False) -> VerificationRun | None:
    """Return the last verification of a ledger, or the last that began at its first leaf, or None."""
    runs = VerificationRun.objects.filter(ledger=ledger, **({"since": 0} if whole else {}))
    return runs.order_by("-id").first()
