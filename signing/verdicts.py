"""The closed vocabulary of verification, and what a verifier reports. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(StrEnum):
    """What can be said of a leaf, or of a whole ledger. Names inside reports are for ever."""

    VALID = "valid"
    TAMPERED = "tampered"
    MISSING = "missing"
    UNTRUSTED_KEY = "untrusted_key"
    REMOVED = "removed"
    ERASED = "erased"
    UNSIGNED = "unsigned"
    CANNOT_TELL = "cannot_tell"


ALARMS = frozenset({Verdict.TAMPERED, Verdict.MISSING})
DOUBTS = frozenset({Verdict.CANNOT_TELL, Verdict.UNTRUSTED_KEY})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or cannot be known: where, what, why. `leaf_index` is None if it is no single leaf."""

    ledger: str
    leaf_index: int | None
    verdict: Verdict
    reason: str

    def __str__(self) -> str:
        place = self.ledger if self.leaf_index is None else f"{self.ledger}, leaf {self.leaf_index}"
        return f"{place}: {self.verdict}: {self.reason}"


def outcome(found: Iterable[Verdict]) -> Verdict:
    """Return `tampered` if anything alarms, else `cannot_tell` if anything is in doubt, else `valid`."""
    verdicts = set(found)
    if verdicts & ALARMS:
        return Verdict.TAMPERED
    return Verdict.CANNOT_TELL if verdicts & DOUBTS else Verdict.VALID
