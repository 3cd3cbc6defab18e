"""Recording accesses: the only writer of meta logs. When `record` returns, the record is committed.

Threads of a process share one append (GroupCommit), so that readers do not queue behind one another's commits. The head
is signed as checkpoint after each batch, unless the next batch waits already: its writer signs for both.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import DatabaseError, DataError, IntegrityError, connection, transaction

from metaaudit import store
from metaaudit.errors import NotRecordedError
from metaaudit.record import draft
from signing.errors import SigningError
from signing.groups import GroupCommit
from signing.ledger import sign_checkpoint
from signing.models import Ledger
from signing.queries import ledger_named
from signing.services import open_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metaaudit.record import Access, Draft
    from signing.ledger import Appended
    from signing.merkle import Frontier

META_LEDGER = "meta"
SUMMARY_LEDGER = "meta-summaries"
_LONGEST_UNSIGNED = 0.25  # seconds; verification waits one for the writers that are just signing
_ROUNDS = 8  # that one thread signs for others before it goes on with its own request
_LOG = logging.getLogger(__name__)


def record(*, access: Access) -> UUID:
    """Record an access and return the id of its record, committed. Raises NotRecordedError if it cannot be."""
    try:
        one = draft(access, META_LEDGER)
        _COMMIT.add(one)
    except (DatabaseError, SigningError) as error:
        raise NotRecordedError(f"the access could not be recorded ({type(error).__name__})") from error
    return one.id


def record_summary(*, access: Access) -> UUID:
    """Record a summary of what is not recorded one by one, in the ledger of summaries. Errors as `record`."""
    try:
        one = draft(access, SUMMARY_LEDGER)
        ledger = ledger_named(SUMMARY_LEDGER)
        appended = store.append(ledger, [one])
    except (DatabaseError, SigningError) as error:
        raise NotRecordedError(f"the summary could not be recorded ({type(error).__name__})") from error
    _sign(ledger, appended.frontier)
    return one.id


def bootstrap(*, by: str = "setup") -> list[str]:
    """Open the ledger of summaries if there is none yet; return a line for it."""
    if Ledger.objects.filter(name=SUMMARY_LEDGER).exists():
        return []
    open_ledger(name=SUMMARY_LEDGER, kind=Ledger.Kind.META, by=by, reason="set-up")
    return [f"ledger {SUMMARY_LEDGER}: opened"]


def _write(drafts: Sequence[Draft]) -> Appended:
    return store.append(ledger_named(META_LEDGER), drafts)


def _sign_batch(appended: Appended, is_awaited: bool) -> None:  # noqa: FBT001 as GroupCommit calls it
    """Sign where the ledger stands, one thread at a time: whoever signs takes what came meanwhile along."""
    global _due  # noqa: PLW0603 one for the process
    with _DUE_LOCK:
        if _due is None or _due.size < appended.frontier.size:
            _due = appended.frontier
    if is_awaited and time.monotonic() - _signed_at < _LONGEST_UNSIGNED:
        return
    for _ in range(_ROUNDS):
        if not _SIGNING.acquire(blocking=False):
            return
        try:
            _sign_due()
        finally:
            _SIGNING.release()
        if not _is_due():
            return


def _is_due() -> bool:
    return _due is not None


def _sign_due() -> None:
    global _due, _signed_at  # noqa: PLW0603 as above
    with _DUE_LOCK:
        frontier, _due = _due, None
    if frontier is not None:
        _signed_at = time.monotonic()
        _sign(ledger_named(META_LEDGER), frontier)


def _sign(ledger: Ledger, frontier: Frontier) -> None:
    if connection.in_atomic_block:
        transaction.on_commit(partial(sign_checkpoint, ledger))
        return
    try:
        sign_checkpoint(ledger, frontier)
    except (SigningError, OSError, DatabaseError):
        # The records are committed, which is what was promised; the next batch or beat signs, and verification tells.
        _LOG.exception("the checkpoint of the ledger %s could not be signed", ledger.name)


def _is_one_records_fault(error: Exception) -> bool:
    return isinstance(error, DataError | IntegrityError)


_DUE_LOCK, _SIGNING = Lock(), Lock()
_due: Frontier | None = None  # the newest head of `meta` that no thread of this process has signed yet
_signed_at = 0.0
_COMMIT: GroupCommit[Draft, Appended] = GroupCommit(_write, after=_sign_batch, is_one_items_fault=_is_one_records_fault)
