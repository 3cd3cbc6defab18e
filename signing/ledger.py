"""Appending to a ledger and signing where it stands. PostgreSQL's `ledger_append` assigns leaves; nothing else may.

    BEGIN; … ledger.append(…): locks the head, gives leaf indexes; … INSERT of the rows; COMMIT;
    or BEGIN; ledger.begin(…): locks the head; INSERT of rows, which become leaves with it; ledger.begun(…); COMMIT;
    then sign_checkpoint: the committed head becomes a checkpoint, before the writer gets his answer.

A crash after COMMIT loses no leaf: the next append or beat signs a checkpoint that covers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection

from signing import anchors, checkpoint, queries, statements
from signing.errors import AnchorConflictError, LedgerRefusedError, NoActiveKeyError
from signing.merkle import Frontier
from signing.models import SigningKey
from signing.providers import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from signing.models import Ledger

REFUSED = "AL004"
# Made for every checkpoint anew, they would be a tenth of what Python does for a single event.
_note_key = lru_cache(maxsize=64)(checkpoint.NoteKey)
_path = lru_cache(maxsize=4)(Path)


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a batch of leaves stands, and the tree as it is with them."""

    first_leaf: int
    frontier: Frontier


# What `append` calls, for a statement that stores its one row in the same round trip.
APPEND = "SELECT first_leaf, new_size, new_frontier FROM public.ledger_append(%s::smallint, %b::bytea, %s::text[])"
_BEGIN: LiteralString = "SELECT public.ledger_begin(%s::smallint)"
_HEAD: LiteralString = "SELECT h.size, h.frontier FROM public.ledger_heads h WHERE h.ledger_id = %s::smallint"


def append(ledger: Ledger, leaf_hashes: Sequence[bytes], *, key_ids: Sequence[str] = ()) -> Appended | None:
    """Append leaves inside the caller's transaction, which holds the ledger's head until it ends.

    Returns None, with the head locked and nothing appended, if one of `key_ids` is no active entry key any more: a
    rotation came between signing and locking, sign anew. Raises LedgerRefusedError for what is no ledger or no hash.
    """
    if not connection.in_atomic_block:
        message = "leaves are appended in the transaction that stores their rows"
        raise RuntimeError(message)
    return execute_append(APPEND, [ledger.pk, b"".join(leaf_hashes), statements.text_array(key_ids)])


def begin(ledger: Ledger) -> int:
    """Lock the ledger's head and return the leaf index of the first row that this transaction inserts.

    The rows follow one another from there, in one statement, and the guard AL003 appends their hashes. No key signs
    them: `append` confirms keys. Raises LedgerRefusedError for what is no ledger.
    """
    if not connection.in_atomic_block:
        message = "an append begins in the transaction that stores its rows"
        raise RuntimeError(message)
    try:
        return int(statements.execute(_BEGIN, [ledger.pk])[0][0])
    except DatabaseError as error:
        _raise_refusal(error)
        raise


def begun(ledger: Ledger) -> Frontier:
    """Return the tree with the leaves of an append that this transaction has begun and whose rows are inserted."""
    return Frontier(*statements.execute(_HEAD, [ledger.pk])[0])


def execute_append(
    statement: LiteralString, parameters: Sequence[Any], *, using: str = DEFAULT_DB_ALIAS
) -> Appended | None:
    """Execute a statement that calls ledger_append, stores the row and gives its columns; otherwise as `append`.

    Outside a transaction it is one by itself, and a head that was locked for nothing is free again.
    """
    try:
        rows = statements.execute(statement, parameters, using=using)
    except DatabaseError as error:
        _raise_refusal(error)
        raise
    return Appended(rows[0][0], Frontier(*rows[0][1:])) if rows else None


def lock_all() -> dict[int, int]:
    """Lock every ledger until the transaction ends, so that no append comes between; return sizes by ledger id."""
    with connection.cursor() as cursor:
        # Twice: a ledger that was opened while the first call waited is seen by the second alone.
        cursor.execute("SELECT FROM public.ledger_lock_all()")
        cursor.execute("SELECT ledger_id, size FROM public.ledger_lock_all()")
        return dict(cursor.fetchall())


def open_ledger(name: str, origin: str, kind: str) -> int:
    """Make an empty ledger and return its id; every key that is active may sign in it from the first leaf."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT public.ledger_open(%s, %s, %s)", [name, origin, kind])
        except DatabaseError as error:
            _raise_refusal(error)
            raise
        return int(cursor.fetchone()[0])


def _raise_refusal(error: DatabaseError) -> None:
    """Raise LedgerRefusedError if this is a refusal of ours; its SQLSTATE has no class of its own in psycopg."""
    cause: Any = error.__cause__
    if getattr(cause, "sqlstate", None) == REFUSED:
        raise LedgerRefusedError(cause.diag.message_primary) from error


def sign_checkpoint(ledger: Ledger, frontier: Frontier | None = None, *, force_anchor: bool = False) -> str:
    """Sign the committed head, keep and anchor it, and return the newest checkpoint: this one, or one that covers more.

    `frontier` is a head that the caller has committed; without it the present one is read. Raises NoActiveKeyError
    without a checkpoint key, AnchorConflictError if an anchor outside shows that the database was rolled back.
    """
    if connection.in_atomic_block:
        message = "only a committed head is signed: a rolled-back one would contradict the next"
        raise RuntimeError(message)
    tree = frontier or queries.head(ledger)
    stored = _sign_and_store(ledger, tree) or _sign_and_store(ledger, tree, refresh=True)
    if stored is None:
        raise NoActiveKeyError("the checkpoint keys changed twice while a checkpoint was signed; try again")
    size, note = stored
    if settings.AUDITLOG_ANCHOR_DIR:
        _anchor(ledger, size, note, force=force_anchor)
    return note


def _sign_and_store(ledger: Ledger, tree: Frontier, *, refresh: bool = False) -> tuple[int, str] | None:
    keys = queries.active_keys(SigningKey.Purpose.CHECKPOINT, refresh=refresh)
    if not keys:
        if not refresh:
            return None
        raise NoActiveKeyError("there is no active checkpoint key; run ./auditlog setup_database")
    head = checkpoint.Checkpoint(ledger.origin, tree.size, tree.root())
    signers = [(_note_key(ledger.origin, bytes(key.public_key)), PROVIDERS[key.provider].signer(key)) for key in keys]
    note = checkpoint.sign(head, signers)
    # The head is durable already and a checkpoint can be signed again, so this commit need not wait for the disk.
    rows = statements.execute(
        "SELECT kept.size, kept.note FROM set_config('synchronous_commit', 'off', true), "
        "public.checkpoint_store(%s::smallint, %s::bigint, %b::bytea, %s::text, %s::text[]) kept",
        [ledger.pk, tree.size, head.root, note, statements.text_array([key.id for key in keys])],
    )
    return (rows[0][0], rows[0][1]) if rows else None


def _anchor(ledger: Ledger, size: int, note: str, *, force: bool) -> None:
    directory = _path(settings.AUDITLOG_ANCHOR_DIR)
    try:
        anchors.write(directory, ledger.name, note, size, now=datetime.now(UTC), force=force)
    except AnchorConflictError as error:
        # Another process may have anchored a later checkpoint meanwhile; only an anchor beyond the head contradicts.
        if size >= error.anchored_size or queries.head(ledger).size < error.anchored_size:
            raise
