"""What every step has that somebody takes: a right, a reason, a ledger that he may read, and the database's refusals.

What strengthens is written by the app role. What weakens is written by the approver's role, which demands a record that
is committed already (`require_no_transaction`, `as_approver`).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, connection, connections

from activity import access
from activity.services import MAX_EXPLANATION
from locking.errors import BadLockError, LockNotFoundError, LockRefusedError
from signing.queries import ledger_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.contrib.auth.models import User

    from signing.models import Ledger

MAX_CASE = 200


def require_right(*, by: User, permission: str) -> None:
    """Raise PermissionDenied unless somebody has a permission."""
    if not by.has_perm(permission):
        raise PermissionDenied(f"{by.get_username()} lacks the permission {permission}")


def require_reason(*, reason: str) -> None:
    """Raise BadLockError unless a reason says something, and not too much."""
    require_text("a reason", reason, MAX_EXPLANATION)


def require_text(what: str, text: str, limit: int, *, may_be_empty: bool = False) -> None:
    """Raise BadLockError unless a text is given, plain, and not longer than it is kept."""
    if (not text.strip() and not may_be_empty) or "\0" in text:
        raise BadLockError(f"it needs {what}, in plain text")
    if len(text) > limit:
        raise BadLockError(f"{what} has {len(text):,} characters; at most {limit:,} are kept")


def require_case(*, case_reference: str) -> None:
    """Raise BadLockError unless a reference of a case is plain and short; it may be empty."""
    require_text("a case reference", case_reference, MAX_CASE, may_be_empty=True)


def require_no_transaction() -> None:
    """Raise RuntimeError inside a transaction, which could take back the record of what is then done."""
    if connection.in_atomic_block:
        message = "what the approver's role does is recorded first, in a transaction of its own"
        raise RuntimeError(message)


def readable(*, by: User, name: str) -> Ledger:
    """Return a ledger that somebody may read. Raises LockNotFoundError."""
    if name not in access.of_user(by).readable:
        raise LockNotFoundError(f"there is no ledger {name} that {by.get_username()} may read")
    return ledger_named(name)


def row_of(call: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
    """Return the row that a definer function gives, or None."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM public.{call}", parameters)  # noqa: S608 a name of ours
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def value_of(call: str, parameters: Sequence[Any]) -> Any:
    """Return what a definer function gives."""
    row = row_of(call, parameters)
    return None if row is None else row[0]


def as_approver(*, call: str, parameters: Sequence[Any]) -> None:
    """Call a function as the approver's role, which the web process alone has."""
    if "approver" not in connections.databases:
        raise LockRefusedError("this process has no approver's role (DATABASE_APPROVER_URL)")
    with named_refusals(), connections["approver"].cursor() as cursor:
        cursor.execute(f"SELECT public.{call}", parameters)


@contextmanager
def named_refusals() -> Iterator[None]:
    """Raise LockRefusedError where the database refused by rule AL006 or a constraint, with its words."""
    try:
        yield
    except IntegrityError as error:
        cause: Any = error.__cause__
        raise LockRefusedError(f"the database refuses: {cause.diag.constraint_name}") from error
    except DatabaseError as error:
        refusal: Any = error.__cause__
        if getattr(refusal, "sqlstate", None) != "AL006":
            raise
        # "AL006: UPDATE on log_locks is refused: a lock is never shortened": what it was on, people need not know.
        said = refusal.diag.message_primary.partition(": ")[2]
        raise LockRefusedError(said.partition(" is refused: ")[2] or said) from error
