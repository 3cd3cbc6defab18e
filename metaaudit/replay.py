"""Running an access again as of the size that the ledger had then: what somebody saw, and whether it is still so.

    1. the meta log itself: its record is the leaf that its ledger holds, and its columns say the same
    2. the search that was recorded is run again over the versions of entries that were current at that size; what
       asked for no search is looked up by the leaves that were recorded
    3. count and digest of what comes out are compared with those recorded
    4. each entry is shown as it was then, and beside it as it is now where it was amended or removed since

Reads; what it shows is noted like any other reading. Contents are for whoever may read the ledger: views look at that.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
from django.db.models import Exists, OuterRef

from activity import disclosures, search
from activity.ground import present_ground
from activity.models import ActivityLog, ActivityRevision
from activity.retrieval import Tree, judge_entries
from metaaudit import verification
from metaaudit.redaction import is_hidden
from signing.merkle import leaf_hash
from signing.models import Ledger
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from activity.retrieval import Checked
    from metaaudit.models import MetaLog

_MAX_LEAVES = 10_000  # that are looked up one by one
_NAMED = 20  # leaves in a reason
_MAX_ARCHIVED = 50_000  # versions that are looked through for one search


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry that was shown: the version then, and what the entry is now. `leaf_hash` is the one that was shown."""

    ledger: str
    leaf_index: int
    leaf_hash: bytes
    then: ActivityLog | ActivityRevision
    now: Checked | None  # None: there is no such entry any more

    @property
    def entry_id(self) -> str:
        """The id of the entry, whatever version."""
        return str(self.then.pk if isinstance(self.then, ActivityLog) else self.then.entry_id)

    @property
    def change(self) -> str:
        """`unchanged`, `amended`, `removed`, `purged` (its old bytes are gone), or `missing`."""
        if self.now is None:
            return "missing"
        if isinstance(self.then, ActivityLog):
            return "unchanged"
        if self.then.purged_by is not None:
            return "purged"
        return "removed" if self.now.verdict == Verdict.REMOVED else "amended"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out. `matches` is None if nothing was shown then, or too much, so that there is nothing to compare."""

    matches: bool | None
    count: int
    digest: bytes
    entries: list[Seen]
    reasons: tuple[str, ...]


def verdict_of(log: MetaLog) -> tuple[Verdict, tuple[str, ...]]:
    """Return what can be said of a meta log now (step 1), as of any entry."""
    ground = present_ground()
    row = verification.row_of(log)
    if row is None:
        return Verdict.MISSING, ("its ledger holds no meta log at this leaf",)
    finding = Tree(log.ledger, ground).misfit(row.leaf_index, leaf_hash(row.record))
    if finding is not None:
        return finding.verdict, (finding.reason,)
    if reason := verification.misfit(row, log.ledger.name):
        return Verdict.TAMPERED, (reason,)
    return (Verdict.CANNOT_TELL, (ground.doubt,)) if ground.doubt is not None else (Verdict.VALID, ())


def replay(log: MetaLog) -> Replayed:
    """Run an access again and compare (steps 2 to 4)."""
    said = orjson.loads(bytes(log.record))
    told = (said.get("result_count"), said.get("result_digest"))
    if told[0] is None:
        return Replayed(None, 0, sha256().digest(), [], ("nothing of the log was shown",))
    searches = said.get("searches") or []
    reasons: list[str] = []
    if any(map(is_hidden, searches)):
        reasons.append("a value that was searched for is not kept, for its name sounds like a secret")
        searches = []
    if not searches and (reason := _why_not_again(said)):
        return Replayed(None, 0, sha256().digest(), [], (*reasons, reason))
    if searches:
        versions = [each for one in searches for each in _found_again(one, said["sizes"], reasons)]
        orders = [versions]
    else:
        versions = _looked_up(said.get("leaves") or {})
        # The order of what no search gave is that of the leaves, in one direction or the other.
        orders = [versions, versions[::-1]]
    hashes = [b"".join(_hash(each) for each in order) for order in orders]
    digests = [sha256(each).digest() for each in hashes]
    place = next((number for number, digest in enumerate(digests) if digest.hex() == told[1]), 0)
    matches = (len(versions), digests[place].hex()) == told
    if not matches:
        reasons += _differences(versions, said)
    return Replayed(matches, len(versions), digests[place], _seen(orders[place]), tuple(reasons))


def _why_not_again(said: Mapping[str, Any]) -> str:
    """Return why what was shown by no search, such as the entries of a file, is not looked up; "" if it is."""
    number = said["result_count"]
    if not number:
        return ""
    if number > _MAX_LEAVES:
        return f"{number:,} entries were shown, and {_MAX_LEAVES:,} are looked up at most; an export proves itself"
    if said.get("leaves") is None:
        return f"{number:,} entries were shown, too scattered to be listed; an export proves itself"
    return ""


def _found_again(
    said: Mapping[str, Any], sizes: Mapping[str, int], reasons: list[str]
) -> list[ActivityLog | ActivityRevision]:
    """Run a search over the versions that were current at these sizes."""
    asked = search.of_said(said, sizes)
    with disclosures.collecting():  # what is found is noted when it is shown
        page = search.find(asked)
    if page.scanned is not None and page.next is not None:
        reasons.append("a filter on data stopped after as many entries as one page looks through")
    if "locked" in asked.equal:
        reasons.append("which entries were locked then is not looked up: locks of today decide")
    archived = [each for each in _archived(asked, sizes) if search.fits(each, asked)]
    is_falling = asked.order.startswith("-")
    column = asked.order.removeprefix("-")

    def key(each: ActivityLog | ActivityRevision) -> tuple[Any, ...]:
        entry_id = each.pk if isinstance(each, ActivityLog) else each.entry_id
        return (entry_id,) if column == "id" else (each.occurred_at, entry_id)

    if asked.after is not None:
        edge = (asked.after.id,) if column == "id" else (asked.after.occurred_at, asked.after.id)
        archived = [each for each in archived if (key(each) < edge if is_falling else key(each) > edge)]
    together: list[ActivityLog | ActivityRevision] = [*page.entries, *archived]
    together.sort(key=key, reverse=is_falling)
    return together[: asked.limit]


def _archived(asked: search.Search, sizes: Mapping[str, int]) -> Iterable[ActivityRevision]:
    """Return the versions that were current at these sizes and were superseded since, as far as columns decide."""
    for ledger in asked.ledgers:
        size = sizes.get(ledger.name, 0)
        next_version = {"ledger": ledger, "revision": OuterRef("revision") + 1, "leaf_index__lt": size}
        superseded = Exists(ActivityLog.objects.filter(pk=OuterRef("entry_id"), **next_version)) | Exists(
            ActivityRevision.objects.filter(entry_id=OuterRef("entry_id"), **next_version)
        )
        equal = {name: value for name, value in asked.equal.items() if name != "locked"}
        versions = ActivityRevision.objects.filter(ledger=ledger, leaf_index__lt=size, **equal)
        yield from versions.exclude(superseded).select_related("ledger")[:_MAX_ARCHIVED]


def _looked_up(leaves: Mapping[str, Sequence[Sequence[int]]]) -> list[ActivityLog | ActivityRevision]:
    """Return the versions that stand or stood at these leaves, in the order of ledgers and leaves."""
    found: list[ActivityLog | ActivityRevision] = []
    for ledger in Ledger.objects.filter(name__in=leaves).order_by("name"):
        versions: list[ActivityLog | ActivityRevision] = []
        for first, last in leaves[ledger.name]:
            place = {"ledger": ledger, "leaf_index__gte": first, "leaf_index__lte": last}
            versions += ActivityLog.objects.filter(**place).select_related("ledger")[:_MAX_LEAVES]
            versions += ActivityRevision.objects.filter(**place).select_related("ledger")[:_MAX_LEAVES]
        found += sorted(versions, key=lambda each: each.leaf_index)
    return found[:_MAX_LEAVES]


def _hash(version: ActivityLog | ActivityRevision) -> bytes:
    return leaf_hash(bytes(version.record)) if isinstance(version, ActivityLog) else bytes(version.leaf_hash)


def _seen(versions: Sequence[ActivityLog | ActivityRevision]) -> list[Seen]:
    """Put what each entry is now beside what was shown of it."""
    ids = [each.pk if isinstance(each, ActivityLog) else each.entry_id for each in versions]
    entries = ActivityLog.objects.filter(pk__in=ids).select_related("ledger", "key")
    now = {checked.entry.pk: checked for checked in judge_entries(list(entries))}
    seen = []
    for version, entry_id in zip(versions, ids, strict=True):
        one = Seen(version.ledger.name, version.leaf_index, _hash(version), version, now.get(entry_id))
        disclosures.note_entry(one.ledger, one.leaf_index, one.leaf_hash)
        seen.append(one)
    return seen


def _differences(versions: Sequence[ActivityLog | ActivityRevision], said: Mapping[str, Any]) -> list[str]:
    """Say in plain words what is not as it was recorded."""
    reasons = []
    if len(versions) != said["result_count"]:
        reasons.append(f"{said['result_count']} entries were shown, {len(versions)} are found now")
    told = {
        (ledger, leaf)
        for ledger, ranges in (said.get("leaves") or {}).items()
        for first, last in ranges
        for leaf in range(first, min(last, first + _MAX_LEAVES) + 1)
    }
    if told:
        found = {(each.ledger.name, each.leaf_index) for each in versions}
        if gone := sorted(told - found):
            reasons.append(f"not found any more: {_named(gone)}")
        if new := sorted(found - told):
            reasons.append(f"found now and not shown then: {_named(new)}")
    return reasons or ["the same number of entries, but not the same records in the same order"]


def _named(places: Sequence[tuple[str, int]]) -> str:
    listed = ", ".join(f"{ledger} leaf {leaf}" for ledger, leaf in places[:_NAMED])
    return listed + (f" and {len(places) - _NAMED} more" if len(places) > _NAMED else "")
