"""Counting what is not recorded one by one: successful ingest, public files, and what strangers were refused.

Counts lie in the broker's store, a hash for each minute, and one job turns each finished minute into one summary in a
ledger of its own. They are no evidence until then; without the store they wait in the process, bounded.

    auditlog:counts:minutes        the minutes that have counts, as seconds since 1970
    auditlog:counts:<minute>       name -> count
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import lru_cache
from threading import Lock
from typing import Any

import redis
from django.conf import settings

MAX_NAMES = 200  # in one process and one summary; what is beyond is counted together
OTHERS = "others"
_MINUTES = "auditlog:counts:minutes"
_KEPT_SECONDS = 7 * 24 * 3600
_EVERY_SECONDS = 1.0
_PATIENCE_SECONDS = 0.25
_LOG = logging.getLogger(__name__)


def add(name: str) -> None:
    """Count one. Costs a round trip to the store at most once a second."""
    global _sent_at  # noqa: PLW0603 one for the process
    with _LOCK:
        if name not in _waiting and len(_waiting) >= MAX_NAMES:
            name = f"{name.partition(':')[0]}:{OTHERS}"
        _waiting[name] += 1
        due = time.monotonic() - _sent_at >= _EVERY_SECONDS
        if due:
            _sent_at = time.monotonic()
    if due:
        flush()


def flush() -> None:
    """Send what waits in this process to the store; what cannot be sent goes on waiting."""
    with _LOCK:
        taken = Counter(_waiting)
        _waiting.clear()
    if not taken:
        return
    minute = int(time.time()) // 60 * 60
    try:
        pipeline = _client(settings.REDIS_URL).pipeline()
        for name, number in taken.items():
            pipeline.hincrby(_key(minute), name, number)
        pipeline.sadd(_MINUTES, minute)
        pipeline.expire(_key(minute), _KEPT_SECONDS)
        pipeline.execute()
    except redis.RedisError as error:
        _LOG.debug("counts could not be sent: %s", type(error).__name__)
        with _LOCK:
            _waiting.update(taken)


def finished_minutes() -> dict[int, dict[str, int]]:
    """Return the counts of minutes that are over, by seconds since 1970 and name."""
    client = _client(settings.REDIS_URL)
    present = int(time.time()) // 60 * 60
    minutes = sorted(int(minute) for minute in client.smembers(_MINUTES) if int(minute) < present)
    found: dict[int, dict[str, int]] = {}
    for minute in minutes:
        counts: dict[Any, Any] = client.hgetall(_key(minute))
        found[minute] = {name.decode(errors="replace"): int(number) for name, number in counts.items()}
    return found


def forget(minute: int) -> None:
    """Drop the counts of a minute, which a summary holds now."""
    client = _client(settings.REDIS_URL)
    client.delete(_key(minute))
    client.srem(_MINUTES, minute)


def _key(minute: int) -> str:
    return f"auditlog:counts:{minute}"


@lru_cache(maxsize=4)
def _client(address: str) -> Any:
    return redis.Redis.from_url(address, socket_connect_timeout=_PATIENCE_SECONDS, socket_timeout=_PATIENCE_SECONDS)


_LOCK = Lock()
_waiting: Counter[str] = Counter()
_sent_at = 0.0
