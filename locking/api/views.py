"""`/api/v1/locks`: make, list, extend and release locks. For people; no API key locks or releases anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity.api.authentication import access_of
from activity.api.bodies import StrictJsonParser
from activity.api.writing import NOT_NOW
from activity.errors import BadQueryError
from activity.filters import take_none
from locking import filters, queries, scopes, services
from locking.api import descriptions
from locking.errors import BadLockError, LockNotFoundError, LockRefusedError
from locking.models import LogLock
from locking.rights import ASK_RELEASE, LOCK, RELEASE, SEE
from signing.errors import LedgerNotFoundError

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

_ORDER = {"ledger": str, "scope": dict, "kind": str, "reason": str, "case": str, "until": (str, type(None))}
_EXTENSION = {"until": (str, type(None)), "reason": str}
_RELEASE = {"reason": str}


class MayLock(BasePermission):
    """A person with a role that sees locks (GET) or has one of the view's rights, and a granted ledger."""

    message = "this needs a login, a role that locks, releases or sees locks, and a granted ledger"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether the sender may; services.py looks at which lock."""
        rights = (SEE,) if request.method in SAFE_METHODS else view.rights
        has_one = request.auth is None and any(request.user.has_perm(right) for right in rights)
        return has_one and bool(access_of(request).readable)


class Locking(APIView):
    """A view of locks."""

    permission_classes = (MayLock,)
    parser_classes = (StrictJsonParser,)
    rights: ClassVar[tuple[str, ...]] = ()

    def seen(self, request: Request, lock_id: int) -> LogLock:
        """Return a lock that whoever asks may see. Raises LockNotFoundError, BadQueryError for any parameter."""
        take_none(request.query_params)
        lock = queries.lock_for(access_of(request).readable, lock_id)
        if lock is None:
            raise LockNotFoundError(f"there is no lock {lock_id} that you may see")
        return lock


class Locks(Locking):
    """List locks (GET), or make one (POST)."""

    rights = (LOCK,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "GET": (BadQueryError, LedgerNotFoundError),
        "POST": (BadLockError, LockRefusedError, LockNotFoundError, *NOT_NOW),
    }

    @descriptions.list_locks
    def get(self, request: Request) -> Response:
        """Answer with a page of locks, and with a cursor if there are more."""
        page = queries.find(filters.wanted_of(request.query_params, access_of(request).readable))
        return Response({"locks": [_shown(lock) for lock in page.locks], "next": page.next})

    @descriptions.make_lock
    def post(self, request: Request) -> Response:
        """Make entries read-only. A small lock is in force in the answer; a worker finishes a large one."""
        said = _members(request.data, _ORDER, optional=("case", "until"))
        lock = services.lock(
            ledger=said["ledger"],
            scope=said["scope"],
            kind=said["kind"],
            reason=said["reason"],
            by=_person(request),
            case_reference=said.get("case", ""),
            until=_moment(said.get("until")),
        )
        return Response(_shown(lock), status=201 if lock.state == LogLock.State.IN_FORCE else 202)


class OneLock(Locking):
    """One lock."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"GET": (BadQueryError, LockNotFoundError)}

    @descriptions.get_lock
    def get(self, request: Request, lock_id: int) -> Response:
        """Answer with the lock as it stands."""
        return Response(_shown(self.seen(request, lock_id)))


class ExtendLock(Locking):
    """Making a lock last longer."""

    rights = (LOCK,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "POST": (BadQueryError, BadLockError, LockRefusedError, LockNotFoundError, *NOT_NOW)
    }

    @descriptions.extend_lock
    def post(self, request: Request, lock_id: int) -> Response:
        """Move the end of a retention into the future; nobody shortens one."""
        lock = self.seen(request, lock_id)
        said = _members(request.data, _EXTENSION)
        until = _moment(said["until"])
        lock = services.extend(lock_id=lock.pk, until=until, by=_person(request), reason=said["reason"])
        return Response(_shown(lock), status=202 if lock.is_being_extended else 200)


class ReleaseLock(Locking):
    """Ending a governance lock or a hold: one person asks, another one gives."""

    rights = (ASK_RELEASE, RELEASE)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "POST": (
            BadQueryError,
            BadLockError,
            LockRefusedError,
            LockNotFoundError,
            PermissionDenied,
            *NOT_NOW,
        )
    }

    @descriptions.release_lock
    def post(self, request: Request, lock_id: int) -> Response:
        """Ask for a release, with a reason (role compliance officer), or give what another person asked for (approver).

        Compliance is never released: 409.
        """
        lock = self.seen(request, lock_id)
        said = _members(request.data, _RELEASE, optional=("reason",))
        if lock.release_requested_by is None:
            lock = services.request_release(lock_id=lock.pk, by=_person(request), reason=said.get("reason", ""))
            return Response(_shown(lock), status=202)
        return Response(_shown(services.release(lock_id=lock.pk, by=_person(request))))


class WithdrawRelease(Locking):
    """Taking back a request for a release."""

    rights = (ASK_RELEASE,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "POST": (BadQueryError, BadLockError, LockRefusedError, LockNotFoundError, *NOT_NOW)
    }

    @descriptions.withdraw_release
    def post(self, request: Request, lock_id: int) -> Response:
        """Withdraw what one has asked for oneself; the lock holds as before."""
        lock = self.seen(request, lock_id)
        _members(request.data, {})
        return Response(_shown(services.withdraw_release(lock_id=lock.pk, by=_person(request))))


class DeclineRelease(Locking):
    """Refusing a release that another person asked for."""

    rights = (RELEASE,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "POST": (BadQueryError, BadLockError, LockRefusedError, LockNotFoundError, *NOT_NOW)
    }

    @descriptions.decline_release
    def post(self, request: Request, lock_id: int) -> Response:
        """Decline it, with a reason; the lock holds as before."""
        lock = self.seen(request, lock_id)
        said = _members(request.data, _RELEASE)
        lock = services.decline_release(lock_id=lock.pk, by=_person(request), reason=said["reason"])
        return Response(_shown(lock))


def _person(request: Request) -> User:
    user: Any = request.user
    return user  # type: ignore[no-any-return] # MayLock looked


def _members(sent: Any, kinds: dict[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the members of a body. Raises BadLockError naming what is unknown, missing or of another kind."""
    if not isinstance(sent, dict):
        raise BadLockError("the body is a JSON object")
    faults = {
        "there is no": [name for name in sent if name not in kinds],
        "it lacks": [name for name in kinds if name not in sent and name not in optional],
        "of the wrong kind:": [
            name for name, kind in kinds.items() if name in sent and not isinstance(sent[name], kind)
        ],
    }
    told = [f"{text} {', '.join(names)}" for text, names in faults.items() if names]
    if told:
        raise BadLockError("; ".join(told))
    return sent


def _moment(text: str | None) -> datetime | None:
    return None if text is None else scopes.moment("until", text)


def _shown(lock: LogLock) -> dict[str, Any]:
    return {
        "id": lock.pk,
        "ledger": lock.ledger.name,
        "scope": lock.scope,
        "kind": lock.kind,
        "state": lock.state,
        "reason": lock.reason,
        "case": lock.case_reference,
        "until": lock.until,
        "progress": queries.progress(lock),
        "being_extended": lock.is_being_extended,
        "locked_by": lock.locked_by,
        "policy": lock.policy_id,
        "created_at": lock.created_at,
        "in_force_at": lock.in_force_at,
        "entries": lock.count,
        "ledger_size": lock.size,
        "ledger_root": lock.root and bytes(lock.root).hex(),
        "release_requested_by": lock.release_requested_by,
        "release_reason": lock.release_reason,
        "declined_by": lock.declined_by,
        "decline_reason": lock.decline_reason,
        "declined_at": lock.declined_at,
        "released_by": lock.released_by,
        "ended_at": lock.released_at,
    }
