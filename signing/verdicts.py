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

    @property
    def words(self) -> str:
        """Return the verdict as people read it."""
        return self.value.replace("_", " ")

    @property
    def meaning(self) -> str:
        """Return what it means, in one sentence for somebody who knows no cryptography."""
        return _MEANINGS[self]

    @property
    def tone(self) -> str:
        """Return how it is to be taken: `good`, `bad`, `doubt` or `plain`."""
        if self in ALARMS:
            return "bad"
        return "doubt" if self in DOUBTS else "good" if self is Verdict.VALID else "plain"


_MEANINGS = {
    Verdict.VALID: "It is exactly what was recorded, it stands where it was recorded, and its signature is right.",
    Verdict.TAMPERED: "Something was changed after it was recorded. Do not rely on it.",
    Verdict.MISSING: "It was recorded, and somebody took it away.",
    Verdict.UNTRUSTED_KEY: "Its signature is of a key that is not trusted for it: somebody else may have made it.",
    Verdict.REMOVED: "It was removed under a recorded decision; that it was there is still proved.",
    Verdict.ERASED: "Its personal data were erased under a recorded decision; the rest is still proved.",
    Verdict.UNSIGNED: "It is exactly what was recorded and stands where it was; its log type requires no signature.",
    Verdict.CANNOT_TELL: "Nothing wrong was found, but something that is needed to be sure is not there.",
}
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
