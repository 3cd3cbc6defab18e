"""How often somebody may ask: by API key or user, and by address for whoever has neither. The counts lie in the cache.

    write, read     what keys and people do            verify, public    what strangers do
    refused         wrong API keys from one address: guessing ends after a few, before a key is even looked up

Without its cache the server goes on recording and reading for those it knows, for a log must not lose events because
a counter is away; strangers are turned away with 503 meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from redis.exceptions import RedisError
from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

from activity.addresses import client_address

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView


class CountedByAddress(SimpleRateThrottle):
    """Knows whom to count by address: the framework would believe whatever a client writes into X-Forwarded-For."""

    def get_ident(self, request: Request) -> str:
        """Return the address that the peer or our own proxies vouch for; all on a Unix socket are one."""
        forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
        return client_address(request.META.get("REMOTE_ADDR", ""), forwarded, settings.AUDITLOG_PROXIES) or "unix"


class Throttle(CountedByAddress):
    """Counts requests under the view's `throttle_scope`, or under `read` or `write`."""

    num_requests: int | None
    duration: int | None  # seconds
    rate = "as the request has it"  # None would be no rate at all

    def __init__(self) -> None:
        """Leave the rate to `allow_request`: it follows from the request."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Tell whether the request is within its rate."""
        kind = "read" if request.method in SAFE_METHODS else "write"
        self.scope = getattr(view, "throttle_scope", kind)
        self.num_requests, self.duration = self.parse_rate(str(api_settings.DEFAULT_THROTTLE_RATES[self.scope]))
        try:
            return bool(super().allow_request(request, view))
        except RedisError:
            if request.user.is_authenticated:
                return True
            raise

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Return whose count it is."""
        del view
        ident = f"user-{request.user.pk}" if request.user.is_authenticated else f"address-{self.get_ident(request)}"
        return self.cache_format % {"scope": self.scope, "ident": ident}


class RefusedKeys(CountedByAddress):
    """Counts wrong API keys by address."""

    scope = "refused"
    num_requests: int
    duration: int  # seconds

    def get_rate(self) -> str:
        """Return the rate as it is set now."""
        return str(api_settings.DEFAULT_THROTTLE_RATES[self.scope])

    def get_cache_key(self, request: Request, view: Any) -> str:
        """Return whose count it is."""
        del view
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}

    def require_few(self, request: Request) -> None:
        """Raise Throttled if too many keys from this address were wrong."""
        try:
            history = self._history(request)
        except RedisError:
            return  # a right key counts more than a guess that goes uncounted for a moment
        if len(history) >= self.num_requests:
            raise Throttled(wait=max(history[-1] + self.duration - self.timer(), 1))

    def count(self, request: Request) -> None:
        """Count one wrong key."""
        try:
            history = [self.timer(), *self._history(request)]
            self.cache.set(self.get_cache_key(request, None), history, self.duration)
        except RedisError:
            return

    def _history(self, request: Request) -> list[float]:
        now = self.timer()
        marks: list[float] = self.cache.get(self.get_cache_key(request, None), [])
        return [mark for mark in marks if mark > now - self.duration]
