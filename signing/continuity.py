"""Whether the log can go on where it stands: asked when a process starts, and most needed after a restore.

    1. the master key opens the active keys of entries and checkpoints
    2. no ledger is behind its newest anchor: what is recorded then takes the place of what was lost

A restored database whose own record would be the first to fail is found here before it has one. Writes nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from django.conf import settings

from signing import anchors
from signing.checkpoint import Checkpoint
from signing.models import Ledger, SigningKey
from signing.providers import PROVIDERS
from signing.verification import stored_head


def require_continuity() -> None:
    """Raise MasterKeyError (or another SigningError of a key that does not open), or AnchorConflictError."""
    for key in SigningKey.objects.filter(state=SigningKey.State.ACTIVE, purpose__in=SigningKey.LOG_PURPOSES):
        PROVIDERS[key.provider].signer(key)
    if settings.AUDITLOG_ANCHOR_DIR:
        for ledger in Ledger.objects.order_by("pk"):
            anchors.require_fit(Path(settings.AUDITLOG_ANCHOR_DIR), ledger.name, partial(_stands, ledger))


def _stands(ledger: Ledger) -> Checkpoint | None:
    tree, _ = stored_head(ledger)
    # A head that was tampered with is for verification to tell: it must not stop the recording of what comes next.
    return None if tree is None else Checkpoint(ledger.origin, tree.size, tree.root())
