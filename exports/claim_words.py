"""The sentences of a claim: what an export claims, and what it does not. Pure.

    auditlog-export-claim/1     where no entry is marked; and all exports that were made before there was another
    auditlog-export-claim/2     where entries are marked: what is so of each verdict among them

Sentences belong to the format, and verifiers compare them. Those of the first stay as they are, although they call
`tampered` what is missing, so that exports which were signed with them go on to verify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from exports.manifest import Claim

FIRST = "auditlog-export-claim/1"
SECOND = "auditlog-export-claim/2"
MAY_DIFFER = (Verdict.TAMPERED, Verdict.MISSING)  # verdicts of entries whose record may be another one than the leaf
_MEANINGS = {
    "tampered": "Something of it was changed after it was recorded; it is exported as it was found.",
    "missing": "The ledger has its leaf, and the entry was gone; only its place is exported.",
    "untrusted_key": "Its record is the leaf, and the key that signed it is not trusted for it.",
    "removed": "What stood there was removed under a recorded decision, which its record tells.",
    "erased": "Its personal data were erased under a recorded decision; the rest is as it was recorded.",
    "cannot_tell": "Nothing wrong was found, and something that is needed to be sure was not there.",
}


def claims(claim: Claim) -> list[str]:
    """Return what the export claims, as plain sentences."""
    return _first(claim) if claim.format == FIRST else _second(claim)


def claims_not(claim: Claim) -> list[str]:
    """Return what the export does not claim, as plain sentences."""
    said = [
        "That what a source reported happened as it was reported: the log proves what was recorded, and when.",
        "That every event was recorded: what never reached the log is in no export.",
        "That the filter selects all that matters: it is shown, and judged by whoever reads it.",
    ]
    if claim.complete_range is None:
        said.append("That entries outside the filter do not exist: only their number in the ledger is proved.")
    if claim.time_stamp_authority is None:
        said.append("When it was signed, beyond the word of the signer: no time stamp authority was asked.")
    return said


def of_marked(verdicts: Container[str]) -> str:
    """Return what entries have in common that are marked with these verdicts."""
    was_removed = "removed" in verdicts or "erased" in verdicts
    return "did not verify or had been removed" if was_removed else "did not verify"


def kinds_of_marked(verdicts: Mapping[str, int]) -> str:
    """Return how many entries are marked with which verdict."""
    return ", ".join(
        f"{number} {verdict}" for verdict, number in sorted(verdicts.items()) if number and verdict in _MEANINGS
    )


def _first(claim: Claim) -> list[str]:
    said = [
        f"Each of the {claim.entries} exported entries is a leaf of {_tree(claim)}, unless it is marked as tampered.",
        "Every record is exported byte for byte as it was hashed when it was recorded.",
        _signed(claim),
        *_complete(claim, f"{claim.entries} as records"),
    ]
    if claim.marked:
        said.append(f"{claim.marked} entries are marked: they did not verify when they were exported.")
    return said


def _second(claim: Claim) -> list[str]:
    differing = " or ".join(verdict for verdict in MAY_DIFFER if claim.verdicts.get(verdict))
    unless, unless_so = (
        (f", unless it is marked as {differing}", ", unless its entry is marked so") if differing else ("", "")
    )
    missing = claim.verdicts.get("missing", 0)
    records = f"{claim.entries - missing} as records" + (f", {missing} as hashes of what is missing" if missing else "")
    return [
        f"Each of the {claim.entries} exported entries is a leaf of {_tree(claim)}{unless}.",
        f"Every record is exported byte for byte as it was hashed when it was recorded{unless_so}.",
        _signed(claim),
        *_complete(claim, records),
        *(
            f"Marked as {verdict}: {claim.verdicts[verdict]}. {meaning}"
            for verdict, meaning in _MEANINGS.items()
            if claim.verdicts.get(verdict)
        ),
    ]


def _tree(claim: Claim) -> str:
    return f"the ledger {claim.ledger} as it stood at {claim.ledger_size} leaves"


def _signed(claim: Claim) -> str:
    return f"The account named here exported it at {claim.exported_at}, and signed it with the certificate named here."


def _complete(claim: Claim, records: str) -> list[str]:
    if claim.complete_range is None:
        return []
    first, end = claim.complete_range
    said = f"Of the leaves {first} up to, but not including, {end} every one is here: {records} and {claim.withheld}"
    return [f"{said} as hashes only: the filter left them out, or they were amended or removed since."]
