"""What the system entries of the ledger say of locks, overrides and policies. Reads only.

A number is told once: whoever begins a lock or asks for an override under a number that there was already (its row was
deleted, and the sequence set back) changes nothing of what the first one is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from activity.models import ActivityLog
from activity.queries import ACTIVITY_LEDGER
from activity.search import data_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

ENDLESS = 2**63 - 1
_PREFIX = "auditlog."
_KINDS = (
    "lock.started",
    "lock.in-force",
    "lock.extended",
    "lock.release-requested",
    "lock.release-withdrawn",
    "lock.release-declined",
    "lock.released",
    "lock.expired",
    "override.requested",
    "override.approved",
    "override.denied",
    "override.closed",
    "override.expired",
    "override.reviewed",
    "lock-policy.set",
)


@dataclass(slots=True)
class Step:
    """A system entry: its kind, id, leaf and time, who took the step, and what it says."""

    kind: str
    entry: str
    leaf_index: int
    at: datetime
    by: str
    data: dict[str, Any]


@dataclass(slots=True)
class ToldLock:
    """A lock as the ledger tells it; `facts` are those of its start until it is in force."""

    started: Step
    facts: dict[str, Any]
    in_force: Step | None = None
    until_before: str | None = None  # its last extension
    asked: Step | None = None  # the request for its release that stands
    refused: Step | None = None  # the one that was declined last, which stands until the approver's role has done so
    declines: list[Step] = field(default_factory=list)
    releases: list[Step] = field(default_factory=list)
    released: int = ENDLESS  # size of its ledger when its release was recorded
    ended: str = ""


@dataclass(slots=True)
class ToldOverride:
    """An override as the ledger tells it. Whoever asked for it neither decides nor reviews it."""

    requested: Step
    approvals: list[Step] = field(default_factory=list)
    denials: list[Step] = field(default_factory=list)
    reviews: list[Step] = field(default_factory=list)
    ended: Step | None = None


class Told:
    """All that is told; policies by their names, each step that set one in its order."""

    def __init__(self) -> None:
        self.locks: dict[int, ToldLock] = {}
        self.overrides: dict[int, ToldOverride] = {}
        self.policies: dict[str, list[Step]] = {}
        for step in _steps():
            try:
                self._take(step)
            except (LookupError, TypeError, AttributeError):
                continue  # not as our services write it; the comparison with the tables shows what it hides

    def _take(self, step: Step) -> None:
        subject, _, what = step.kind.partition(".")
        if subject == "lock":
            self._take_lock(what, step)
        elif subject == "override":
            self._take_override(what, step)
        else:
            self.policies.setdefault(step.data["name"], []).append(step)

    def _take_lock(self, what: str, step: Step) -> None:
        said = step.data
        if what == "started":
            self.locks.setdefault(said["lock"], ToldLock(step, dict(said)))
            return
        lock = self.locks[said["lock"]]
        if what == "in-force":
            if lock.in_force is None:
                lock.in_force, lock.facts = step, dict(said)
        elif what == "extended":
            lock.until_before, lock.facts["until"] = lock.facts["until"], said["until"]
        elif what == "expired":
            lock.ended = "expired"
        else:
            _take_release(lock, what, step)

    def _take_override(self, what: str, step: Step) -> None:
        number = step.data["override"]
        if what == "requested":
            self.overrides.setdefault(number, ToldOverride(step))
            return
        override = self.overrides[number]
        if what in {"closed", "expired"}:
            override.ended = override.ended or step
        elif override.requested.by != step.by:
            taken = {"approved": override.approvals, "denied": override.denials, "reviewed": override.reviews}
            taken[what].append(step)


def _take_release(lock: ToldLock, what: str, step: Step) -> None:
    """Follow a request for a release: who asked withdraws it, another person declines it or gives the release."""
    if what == "release-requested":
        lock.asked, lock.refused = step, None
    elif what == "release-withdrawn":
        lock.asked, lock.refused = (None if one and one.by == step.by else one for one in (lock.asked, lock.refused))
    elif not any(one and one.by != step.by for one in (lock.asked, lock.refused)):
        return
    elif what == "release-declined":
        lock.refused, lock.asked = lock.asked or lock.refused, None
        lock.declines.append(step)
    else:
        lock.released, lock.ended = step.data["at_size"], "released"
        lock.releases.append(step)


def _steps() -> Iterator[Step]:
    kinds = [f"{_PREFIX}{kind}" for kind in _KINDS]
    entries = ActivityLog.objects.filter(ledger__name=ACTIVITY_LEDGER, type__in=kinds, key__isnull=False)
    for entry in entries.order_by("leaf_index").iterator(chunk_size=500):
        data = data_of(entry)
        if isinstance(data, dict):
            kind = entry.type.removeprefix(_PREFIX)
            yield Step(kind, str(entry.pk), entry.leaf_index, entry.recorded_at, entry.actor, data)
