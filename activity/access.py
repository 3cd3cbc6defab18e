"""Which ledgers somebody may read or write through the API. Reads rows; writes nothing.

A person reads the ledgers that are granted to him or one of his groups, if a role of his lets him read at all; being
a superuser grants no ledger. An API key reads or writes its one ledger, and writes as its one source.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db.models import Q
from rest_framework_api_key.crypto import KeyGenerator

from activity.models import ApiKey
from activity.models import LedgerGrant as Grant
from signing.models import Ledger

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

READ_PERMISSION = "activity.view_activitylog"
WRITE_PERMISSION = "activity.add_activitylog"


@dataclass(frozen=True, slots=True)
class Access:
    """Ledgers by name. `source` is the only one that may be written as, or None for any."""

    readable: frozenset[str] = frozenset()
    writable: frozenset[str] = frozenset()
    source: str | None = None


def of_key(key: ApiKey) -> Access:
    """Return what an API key may do."""
    own = frozenset({key.ledger.name})
    return Access(
        readable=own if ApiKey.Scope.READ in key.scopes else frozenset(),
        writable=own if ApiKey.Scope.WRITE in key.scopes else frozenset(),
        source=key.source,
    )


def of_user(user: User | AnonymousUser) -> Access:
    """Return what a person may do; nothing without a login."""
    if not user.is_authenticated or not user.is_active:
        return Access()
    grants = Grant.objects.filter(Q(user_id=user.pk) | Q(group__user=user.pk))
    granted = frozenset(grants.values_list("ledger__name", flat=True))
    takes_events = Ledger.objects.filter(name__in=granted, kind=Ledger.Kind.ACTIVITY).values_list("name", flat=True)
    return Access(
        readable=granted if user.has_perm(READ_PERMISSION) else frozenset(),
        writable=frozenset(takes_events) if user.has_perm(WRITE_PERMISSION) else frozenset(),
    )


def key_of(text: str) -> ApiKey | None:
    """Return the row of an API key that somebody sent, unless it is unknown, revoked or expired."""
    prefix = text.partition(".")[0]
    if "\0" in text:
        return None
    key = ApiKey.objects.select_related("ledger").filter(prefix=prefix, revoked_at=None).first()
    if key is None or not KeyGenerator().verify(text, key.hashed_key):
        return None
    return None if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else key
