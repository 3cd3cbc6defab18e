"""What can go wrong with events, entries and log types. No HTTP in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one event: position in its batch (from 0), JSON path, reason in plain words."""

    path: str
    reason: str
    index: int = 0

    def __str__(self) -> str:
        return f"event {self.index}, {self.path}: {self.reason}"


class ActivityError(Exception):
    """Base of every error of this app."""


class BadJsonError(ActivityError):
    """A text is not the JSON that we accept; `path` names the place."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class BadEventsError(ActivityError):
    """At least one event of a batch is refused, so the whole batch is; `problems` names every fault."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class BadStreamError(ActivityError):
    """A file of events breaks off, is damaged, or holds a unit that is too long; `place` names it."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


@dataclass(frozen=True, slots=True)
class UnitFault:
    """One fault of a file: the number of its line or record (from 1), the JSON path in the file, the reason."""

    number: int
    path: str
    reason: str


class BadUnitsError(ActivityError):
    """Lines or records of a file are refused; `unit` says which of both, `conflict` that only event ids contradict."""

    def __init__(self, unit: str, faults: Sequence[UnitFault], *, conflict: bool = False) -> None:
        super().__init__("; ".join(f"{unit} {fault.number:,}, {fault.path}: {fault.reason}" for fault in faults))
        self.unit = unit
        self.faults = tuple(faults)
        self.conflict = conflict


class EventIdConflictError(BadEventsError):
    """An event id was used before, by the same source, for other content."""


class UnknownLogTypeError(BadEventsError):
    """No log type matches and AUDITLOG_UNKNOWN_TYPES is `refuse`."""


class LogTypeError(ActivityError):
    """A log type cannot be what it is asked to be."""


class AuthorityError(ActivityError):
    """A right cannot be given or taken as it was asked for."""


class TooMuchError(ActivityError):
    """More was sent than is taken at once."""


class BadQueryError(ActivityError):
    """A query holds parameters that are unknown or wrong; `problems` names every one by its name."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.path} {problem.reason}" for problem in problems))
        self.problems = tuple(problems)


class AmendmentError(ActivityError):
    """An entry cannot be amended or removed as it was asked for."""


class EntryNotFoundError(ActivityError):
    """There is no such entry."""


class EntryLockedError(ActivityError):
    """The database refused to change an entry, because it is locked: rule AL002, with its own words why."""

    def __init__(self, entry: str, locks: Sequence[int], reason: str) -> None:
        super().__init__(f"the entry {entry} is locked: {reason}")
        self.entry = entry
        self.locks = tuple(locks)
        self.reason = reason


class TamperedEntryError(ActivityError):
    """The entry was changed or is missing, and AUDITLOG_ON_TAMPERED is `block`."""


class UnsignedEntryError(ActivityError):
    """The entry carries no signature that an outsider could verify."""


class UncoveredEntryError(ActivityError):
    """The entry is under no signed checkpoint yet; the next append or beat signs one."""


class BadEvidenceError(ActivityError):
    """What was brought to be checked is no evidence that we know."""
