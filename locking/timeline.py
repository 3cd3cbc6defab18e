"""What became of a lock, an override or a locked entry, as a list of moments. Reads; writes nothing.

Of a lock and an override the moments are the system entries that recorded them, each with its verdict: what was noted
elsewhere could be changed there. Of an entry they are its locks, its overrides and its versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.urls import reverse

from activity import retrieval
from activity.amendment import amendment_of
from activity.models import ActivityRevision
from activity.queries import TOMBSTONE
from activity.search import data_of
from activity.timestamps import parse_timestamp
from activity.visible import visible
from locking import queries
from locking.models import LockOverride, LogLock
from locking.wording import counted, end_words, moment_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from activity.models import ActivityLog
    from activity.retrieval import Checked
    from signing.verdicts import Verdict

ENDED_LOCKS, OVERRIDES = 20, 50  # that the page of an entry shows at most
_NEWEST_LOCKS = 500  # of its ledger, among which the admin looks for those that an entry was under
_STEPS = {
    "lock.started": "Lock begun",
    "lock.in-force": "In force",
    "lock.extended": "Extended",
    "lock.release-requested": "Release asked for",
    "lock.release-withdrawn": "Request withdrawn",
    "lock.release-declined": "Release declined",
    "lock.released": "Released",
    "lock.expired": "Its time was over",
    "override.requested": "Asked for",
    "override.approved": "Approved",
    "override.denied": "Denied",
    "override.closed": "Closed",
    "override.expired": "Its time was over",
    "override.reviewed": "Reviewed",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: in a few words, by whom, why, and where there is more of it."""

    at: datetime
    what: str
    by: str
    why: str = ""
    address: str = ""
    verdict: Verdict | None = None
    is_ahead: bool = False  # it has not happened yet


def of_subject(subject: LogLock | LockOverride) -> list[Moment]:
    """Return the recorded steps of a lock or an override, the first one first; the uses of an override are changes."""
    moments = [_step(checked) for checked in retrieval.check_entries(list(queries.steps_of(str(subject))))]
    if isinstance(subject, LockOverride):
        moments += _uses(subject)
    return sorted(moments, key=lambda moment: moment.at)


def _uses(made: LockOverride) -> list[Moment]:
    """Return what was changed under an override, in the words of the records that changed it."""
    present = {one.entry.pk: one for one in retrieval.check_entries(list(queries.entries_of(made)))}
    archived = {(one.entry_id, one.revision): one for one in queries.versions_of(made)}
    moments = []
    for version in archived.values():
        if version.override_id != made.pk or version.entry_id not in present:
            continue
        now = present[version.entry_id]
        is_newest = now.entry.revision == version.revision + 1
        then = now.entry if is_newest else archived.get((version.entry_id, version.revision + 1))
        if then is None:
            continue  # a version is missing, which `verify` says
        said = None if retrieval.is_blocked(now) else amendment_of(bytes(then.record))
        moments.append(
            Moment(
                version.superseded_at,
                f"Used: an entry {'removed' if then.type == TOMBSTONE else 'amended'}",
                visible(said.by) if said else "",
                visible(said.reason, keep="\n") if said else "",
                reverse("log-entry", args=[version.entry_id]),
                now.verdict if is_newest else None,
            )
        )
    return moments


def _step(checked: Checked) -> Moment:
    entry = checked.entry
    name = entry.type.removeprefix("auditlog.")
    if retrieval.is_blocked(checked):
        return Moment(entry.recorded_at, _STEPS[name], "", verdict=checked.verdict)
    said: Any = data_of(entry)
    said = said if isinstance(said, dict) else {}
    why = str(said.get("reason") or "")
    if name == "lock.in-force":
        leaves = _counted(said, "size", "leaf", "leaves")
        why = f"{_counted(said, 'count', 'entry', 'entries')}, when the ledger had {leaves}"
    elif name == "lock.extended":
        why = f"{_until(said)}. {why}"
    return Moment(
        entry.recorded_at, _STEPS[name], visible(entry.actor), visible(why, keep="\n"), verdict=checked.verdict
    )


def _counted(said: dict[str, Any], name: str, one: str, many: str) -> str:
    number = said.get(name)
    return counted(number if isinstance(number, int) else 0, one, many)


def _until(said: dict[str, Any]) -> str:
    until = said.get("until")
    words = end_words(str(said.get("kind")), parse_timestamp(until) if isinstance(until, str) else None)
    return words[:1].upper() + words[1:]


def of_entry(entry: ActivityLog) -> list[Moment]:
    """Return the locks that an entry was or is under, its overrides and its versions, the first one first."""
    ended = queries.ended_locks_over(entry)[:ENDED_LOCKS]
    return _moments(
        entry, [*queries.locks_of(entry), *ended], queries.overrides_of(entry)[:OVERRIDES], _versions(entry)
    )


def newest_of_entry(entry: ActivityLog, most: int) -> list[Moment]:
    """Return the newest of these; of locks that have ended, those among the newest of its ledger are looked at."""
    ended = queries.ended_locks_over(entry, among=_NEWEST_LOCKS)[:most]
    locks = [*queries.locks_of(entry)[:most], *ended]
    return _moments(entry, locks, queries.overrides_of(entry)[:most], _versions(entry)[:most])[-most:]


def _moments(
    entry: ActivityLog,
    locks: Iterable[LogLock],
    overrides: Iterable[LockOverride],
    versions: Iterable[ActivityRevision],
) -> list[Moment]:
    moments = [Moment(entry.recorded_at, "Recorded", visible(entry.source))]
    for lock in locks:
        moments += _lock_moments(lock)
    for made in overrides:
        moments += _override_moments(made)
    moments += map(_version_moment, versions)
    if entry.locks_at is not None:
        moments.append(_deadline(entry.locks_at))
    return sorted(moments, key=lambda moment: moment.at)


def _lock_moments(lock: LogLock) -> list[Moment]:
    address = reverse("lock", args=[lock.pk])
    case = f" (case {lock.case_reference})" if lock.case_reference else ""
    what = f"{str(lock).capitalize()}: {lock.get_kind_display()}, {end_words(lock.kind, lock.until)}"
    moments = [Moment(lock.created_at, what, visible(lock.locked_by), visible(lock.reason + case), address)]
    if lock.released_at is not None:
        by = visible(lock.released_by or "")
        moments.append(
            Moment(lock.released_at, f"{str(lock).capitalize()} {lock.get_state_display()}", by, address=address)
        )
    elif lock.until is not None:
        moments.append(
            Moment(lock.until, f"{str(lock).capitalize()} ends", "", address=address, is_ahead=_ahead(lock.until))
        )
    return moments


def _override_moments(made: LockOverride) -> list[Moment]:
    address, name = reverse("override", args=[made.pk]), str(made).capitalize()
    moments = [
        Moment(made.requested_at, f"{name} asked for", visible(made.requested_by), visible(made.reason), address)
    ]
    if made.decided_at is not None and made.decided_by is not None:
        decided = "denied" if made.state == LockOverride.State.DENIED else "approved"
        until = f"may change until {moment_words(made.runs_until)}" if made.runs_until else ""
        moments.append(Moment(made.decided_at, f"{name} {decided}", visible(made.decided_by), until, address))
    if made.ended_at is not None and made.state != LockOverride.State.DENIED:
        moments.append(Moment(made.ended_at, f"{name} {made.state}", "", address=address))
    if made.reviewed_at is not None:
        moments.append(Moment(made.reviewed_at, f"{name} reviewed", visible(made.reviewed_by or ""), address=address))
    return moments


def _versions(entry: ActivityLog) -> QuerySet[ActivityRevision]:
    """Return the versions that an entry had, the newest first."""
    return ActivityRevision.objects.filter(entry_id=entry.pk).order_by("-revision")


def _version_moment(version: ActivityRevision) -> Moment:
    return Moment(
        version.superseded_at,
        f"Revision {version.revision} superseded",
        "",
        "under no override" if version.override_id is None else f"under override {version.override_id}",
        "" if version.override_id is None else reverse("override", args=[version.override_id]),
    )


def _deadline(at: datetime) -> Moment:
    ahead = _ahead(at)
    return Moment(at, "A retention policy locks it" if ahead else "Locked by a retention policy", "", is_ahead=ahead)


def _ahead(at: datetime) -> bool:
    return at > datetime.now(UTC)
