"""What is believed of keys and checkpoints, for everything that is checked on request. Reads; writes nothing.

The keys ledger is verified anew whenever its head or the trust file changes. What is remembered until then cannot
become wrong: leaves that were proved once, and that one signature fits one record under one key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from activity.entry_check import EntryCheck
from activity.verification import hmac_verifier
from signing import statements, trust
from signing.errors import BadCheckpointError, DistrustedCheckpointError
from signing.verdicts import ALARMS, Finding, Verdict
from signing.verification import KEYS_LEDGER, verify_keys

if TYPE_CHECKING:
    from signing.checkpoint import Checkpoint
    from signing.models import Ledger
    from signing.verification import Trust

# Asked for with every page, so prepared.
_HEAD = (
    "SELECT h.size, h.frontier FROM public.ledger_heads h JOIN public.ledgers l ON l.id = h.ledger_id WHERE l.name = %s"
)
_NEWEST_NOTE = "SELECT c.note FROM public.ledger_checkpoints c WHERE c.ledger_id = %s ORDER BY c.size DESC LIMIT 1"
_KEPT_SIGNATURES = 65_536  # of 32 bytes


@dataclass(slots=True)
class Ground:
    """What is believed while keys and trust file stay as they are; `doubt` says why nothing is `valid`, or is None."""

    trust: Trust
    doubt: str | None
    tiles: dict[tuple[int, int], bytes] = field(
        default_factory=dict
    )  # of leaves as far as they are proved, by ledger and index
    _checks: dict[int, EntryCheck] = field(default_factory=dict)
    _heads: dict[int, tuple[str, Checkpoint | Finding]] = field(default_factory=dict)

    def entry_check(self, ledger: Ledger) -> EntryCheck:
        """Return what checks the entries of a ledger (step 4)."""
        if ledger.pk not in self._checks:
            check = EntryCheck(ledger.name, self.trust.ring, hmac_verifier, kept_signatures=_KEPT_SIGNATURES)
            self._checks[ledger.pk] = check
        return self._checks[ledger.pk]

    def head(self, ledger: Ledger) -> Checkpoint | Finding:
        """Return the newest checkpoint of a ledger, or what is wrong with it."""
        rows = statements.execute(_NEWEST_NOTE, [ledger.pk])
        if not rows:
            return Finding(ledger.name, None, Verdict.TAMPERED, "every signed checkpoint of its ledger is gone")
        note: str = rows[0][0]
        known = self._heads.get(ledger.pk)
        if known is None or known[0] != note:
            known = self._heads[ledger.pk] = (note, self._believed(ledger, note))
        return known[1]

    def checked(self, ledger: Ledger, note: str) -> Checkpoint:
        """Return the checkpoint of a note that somebody brings. Raises BadCheckpointError unless it is believed."""
        told = self.trust.ring.ledgers.get(ledger.name)
        return self.trust.checked(note, ledger.name, told.origin if told else ledger.origin)

    def _believed(self, ledger: Ledger, note: str) -> Checkpoint | Finding:
        try:
            return self.checked(ledger, note)
        except BadCheckpointError as error:
            is_stolen = isinstance(error, DistrustedCheckpointError)
            verdict = Verdict.UNTRUSTED_KEY if is_stolen else Verdict.TAMPERED
            return Finding(ledger.name, None, verdict, f"the newest checkpoint cannot be believed: {error}")


def present_ground() -> Ground:
    """Return the present ground (step 1)."""
    global _last_ground  # noqa: PLW0603 one for the process, replaced as a whole
    file = Path(settings.AUDITLOG_TRUST_FILE) if settings.AUDITLOG_TRUST_FILE else None
    pins = file.read_text() if file is not None and file.exists() else ""
    place = (statements.database_name(), pins, statements.execute(_HEAD, [KEYS_LEDGER]))
    if _last_ground is None or _last_ground[0] != place:
        _last_ground = (place, _new_ground(pins))
    return _last_ground[1]


_last_ground: tuple[object, Ground] | None = None


def _new_ground(pins: str) -> Ground:
    told = verify_keys(trust.parse(pins) if pins else [], anchors=())
    if not pins:
        return Ground(told, "no checkpoint key is pinned (AUDITLOG_TRUST_FILE): everything could have been rebuilt")
    alarm = next((finding for finding in told.findings if finding.verdict in ALARMS), None)
    return Ground(told, None if alarm is None else f"the keys ledger is not to be relied on: {alarm.reason}")
