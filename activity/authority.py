"""Giving and taking rights: the only writer of API keys and ledger grants. Each step is a system entry.

An API key is shown once, by `create_api_key`; only its hash stays. Rights are never changed, only given and taken, so
that the entries tell who could do what at any time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework_api_key.crypto import KeyGenerator

from activity.errors import AuthorityError
from activity.event import MAX_CHARACTERS
from activity.models import ApiKey, LedgerGrant
from activity.services import record_step
from signing.models import Ledger
from signing.queries import ledger_named

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_NAME = 100


@transaction.atomic
def create_api_key(
    *,
    name: str,
    scopes: Iterable[str],
    ledger: str,
    source: str,
    by: str,
    reason: str,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Return a new API key's row and the key itself, which nobody can show again. Raises AuthorityError."""
    _require(reason)
    asked = sorted(set(scopes))
    opened = ledger_named(ledger)
    if not asked or not set(asked) <= set(ApiKey.Scope.values):
        raise AuthorityError(f"scopes are one or more of {', '.join(ApiKey.Scope.values)}")
    if not 0 < len(name.strip()) <= _MAX_NAME:
        raise AuthorityError(f"an API key has a name of 1 to {_MAX_NAME} characters")
    if not 0 < len(source) <= MAX_CHARACTERS["source"] or "\0" in source:
        raise AuthorityError(f"an API key has a source of 1 to {MAX_CHARACTERS['source']} characters")
    if ApiKey.Scope.WRITE in asked and opened.kind != Ledger.Kind.ACTIVITY:
        raise AuthorityError(f"the ledger {ledger} takes no events from writers")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise AuthorityError("the expiry of an API key lies in the future")
    key, prefix, hashed_key = KeyGenerator().generate()
    row = ApiKey(
        prefix=prefix,
        hashed_key=hashed_key,
        name=name,
        scopes=asked,
        ledger=opened,
        source=source,
        created_by=by,
        expires_at=expires_at,
    )
    row.save(force_insert=True)
    said = {"ledger": ledger, "scopes": asked, "source": source, "reason": reason}
    _record("api-key.created", target=prefix, by=by, expires_at=expires_at and expires_at.isoformat(), **said)
    return row, key


@transaction.atomic
def revoke_api_key(*, prefix: str, by: str, reason: str) -> ApiKey:
    """Revoke an API key for good. Raises AuthorityError for an unknown one and for one that is revoked already."""
    _require(reason)
    if not ApiKey.objects.filter(prefix=prefix, revoked_at=None).update(revoked_at=datetime.now(UTC)):
        raise AuthorityError(f"there is no API key {prefix!r} that could be revoked")
    _record("api-key.revoked", target=prefix, by=by, reason=reason)
    return ApiKey.objects.get(prefix=prefix)


@transaction.atomic
def grant_ledger(*, ledger: str, to: User | Group, by: str, reason: str) -> LedgerGrant:
    """Let a user, or the members of a group, see a ledger. Raises AuthorityError if they may already."""
    _require(reason)
    opened = ledger_named(ledger)
    if LedgerGrant.objects.filter(ledger=opened, **_holder(to)).exists():
        raise AuthorityError(f"{to} may see {ledger} already")
    grant = LedgerGrant.objects.create(ledger=opened, given_by=by, **_holder(to))
    _record("ledger-grant.given", target=ledger, by=by, to=_described(to), reason=reason)
    return grant


@transaction.atomic
def revoke_grant(*, ledger: str, of: User | Group, by: str, reason: str) -> None:
    """Take back what `grant_ledger` gave. Raises AuthorityError if there is nothing to take."""
    _require(reason)
    taken, _ = LedgerGrant.objects.filter(ledger=ledger_named(ledger), **_holder(of)).delete()
    if not taken:
        raise AuthorityError(f"{of} has no grant on {ledger}")
    _record("ledger-grant.taken", target=ledger, by=by, of=_described(of), reason=reason)


@transaction.atomic
def create_administrator(*, username: str, by: str, reason: str) -> User:
    """Return a superuser who has no password yet, or makes an earlier one without password lose his one-time links.

    Raises AuthorityError if the name belongs to somebody else.
    """
    _require(reason)
    user = User.objects.filter(username=username).first()
    if user is not None and (not user.is_superuser or user.has_usable_password() or not user.is_active):
        raise AuthorityError(f"the account {username} is there already")
    user = user or User(username=username, is_staff=True, is_superuser=True)
    user.set_unusable_password()  # another one each time, so that what was signed over the last one is void
    try:
        user.full_clean()
    except ValidationError as error:
        raise AuthorityError(f"{username!r} is no name for an account: {' '.join(error.messages)}") from error
    user.save()
    _record("administrator.made", target=username, by=by, superuser=True, reason=reason)
    return user


@transaction.atomic
def set_first_password(*, user: User, password: str) -> None:
    """Give an administrator the password that he chose himself, and record that his one-time link was used."""
    user.set_password(password)
    user.save(update_fields=["password"])
    record_account(account=user, by=user.get_username(), step="set the first password")


def record_account(*, account: User, by: str, step: str) -> None:
    """Record what an account may do after a step, in the transaction that makes it; `step` says what was done."""
    _record(
        "account.set",
        target=account.get_username(),
        by=by,
        step=step,
        active=account.is_active,
        staff=account.is_staff,
        superuser=account.is_superuser,
        roles=sorted(account.groups.values_list("name", flat=True)),
        permissions=sorted(account.user_permissions.values_list("codename", flat=True)),
    )


def _holder(of: User | Group) -> dict[str, User | Group]:
    return {"user" if isinstance(of, User) else "group": of}


def _described(of: User | Group) -> str:
    return f"user {of.get_username()}" if isinstance(of, User) else f"group {of.name}"


def _require(reason: str) -> None:
    if not reason.strip():
        raise AuthorityError("giving or taking a right needs a reason")


def _record(kind: str, *, target: str, by: str, **facts: object) -> None:
    record_step(kind=kind, target=target, by=by, data=facts)
