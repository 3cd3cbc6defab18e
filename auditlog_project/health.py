"""Whether this process lives (`/healthz`) and whether it can do its work (`/readyz`), for machines that ask often.

    {"status": "failed",
     "checks": {"database": "ok", "posture": "ok", "broker": "failed", "keys": "ok", "verification": "ok"}}

200 or 503. Anybody may ask, so that an answer is a word for each check; why one failed is logged, by error class alone.
`verification` is told but decides nothing: who tampers with a row must not stop the recording of what he does next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from activity.models import VerificationRun
from auditlog_project import posture
from signing.errors import SigningError
from signing.models import Ledger, SigningKey
from signing.providers import PROVIDERS

POSTURE_SECONDS = 10  # how long a judgement of the posture is taken for good
TOO_OLD = timedelta(hours=26)  # a night's verification, and a delay
_PATIENCE_SECONDS = 2
_LOG = logging.getLogger(__name__)
_postures: dict[str, tuple[float, bool]] = {}  # by database: when it was judged, and how


class NotReadyError(Exception):
    """A check has an answer, and it is no."""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process lives; asks nobody."""
    del request
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 503 while events cannot be taken."""
    del request
    checks: dict[str, bool] = {}
    for name, check in (CHECKS | {"verification": verification}).items():
        # Each would wait for a database that is known not to answer.
        checks[name] = (name == "broker" or checks.get("database", True)) and _holds(name, check)
    ready = all(checks[name] for name in CHECKS)
    words = {name: "ok" if holds else "failed" for name, holds in checks.items()}
    return JsonResponse({"status": "ok" if ready else "failed", "checks": words}, status=200 if ready else 503)


def _holds(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except (NotReadyError, DatabaseError, psycopg.Error, redis.RedisError, SigningError, OSError) as error:
        _LOG.error("not ready: %s (%s)", name, type(error).__name__)
        return False
    return True


@contextmanager
def _quick() -> Iterator[None]:
    """Let no statement wait for long."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{_PATIENCE_SECONDS}s'")
        yield


@_quick()
def database() -> None:
    """Pass if the database answers."""
    Ledger.objects.exists()


def posture_holds() -> None:
    """Pass if the guards hold, as this process last saw it a few seconds ago."""
    place = str(connection.settings_dict["NAME"])
    judged_at, holds = _postures.get(place, (0.0, False))
    if time.monotonic() - judged_at > POSTURE_SECONDS:
        holds = not posture.serving_problems()
        _postures[place] = time.monotonic(), holds
    if not holds:
        raise NotReadyError


def broker() -> None:
    """Pass if broker and cache answer."""
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=_PATIENCE_SECONDS, socket_timeout=_PATIENCE_SECONDS
    ) as client:
        client.ping()


@_quick()
def keys() -> None:
    """Pass if there are active keys for entries and for checkpoints and each opens."""
    active = list(SigningKey.objects.filter(state=SigningKey.State.ACTIVE))
    for key in active:
        PROVIDERS[key.provider].signer(key)
    if not {key.purpose for key in active} >= set(SigningKey.LOG_PURPOSES):
        raise NotReadyError


@_quick()
def verification() -> None:
    """Pass if every ledger was verified lately and no last run found anything."""
    for ledger in Ledger.objects.all():
        run = VerificationRun.objects.filter(ledger=ledger).order_by("-id").first()
        if run is None:
            if datetime.now(UTC) - ledger.created_at > TOO_OLD:
                raise NotReadyError
        elif run.outcome == VerificationRun.Outcome.TAMPERED or datetime.now(UTC) - run.finished_at > TOO_OLD:
            raise NotReadyError


CHECKS: dict[str, Callable[[], None]] = {
    "database": database,
    "posture": posture_holds,
    "broker": broker,
    "keys": keys,
}
