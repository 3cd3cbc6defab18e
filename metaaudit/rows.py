"""A meta log as the API, a CSV file and a JSON file show it: the columns, and the record that they are an index of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from activity.timestamps import timestamp
from signing.jws import base64url
from signing.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Collection

    from activity.models import EntryVersion
    from metaaudit.models import MetaLog
    from metaaudit.replay import Replayed, Seen
    from signing.verdicts import Verdict

CSV_COLUMNS = (
    "id", "at", "user_id", "user_name", "auth", "auth_id", "action", "phase", "completes", "method", "path", "route",
    "query", "query_hash", "result_count", "result_digest", "sizes", "status", "duration_ms", "bytes", "ip", "agent",
    "request_id", "ledger", "leaf_index", "leaf_hash",
)  # fmt: skip


def listed(log: MetaLog) -> dict[str, Any]:
    """Return a meta log as JSON values."""
    digest = log.result_digest
    return {
        "id": str(log.pk),
        "ledger": log.ledger.name,
        "leaf_index": log.leaf_index,
        "leaf_hash": leaf_hash(bytes(log.record)).hex(),
        "at": timestamp(log.at),
        "user_id": log.user_id,
        "user_name": log.user_name,
        "auth": log.auth,
        "auth_id": log.auth_id,
        "action": log.action,
        "phase": log.phase,
        "completes": log.completes and str(log.completes),
        "method": log.method,
        "path": log.path,
        "route": log.route,
        "query": log.query,
        "query_hash": bytes(log.query_hash).hex(),
        "result_count": log.result_count,
        "result_digest": None if digest is None else bytes(digest).hex(),
        "sizes": log.sizes,
        "status": log.status,
        "duration_ms": log.duration_ms,
        "bytes": log.bytes,
        "ip": log.ip,
        "agent": log.agent,
        "request_id": log.request_id,
        "record": base64url(bytes(log.record)).decode(),
    }


def replayed(log: MetaLog, found: Replayed, verdict: Verdict, readable: Collection[str]) -> dict[str, Any]:
    """Return a replay as JSON values; contents of entries of ledgers that may be read, ids of the others."""
    digest = log.result_digest
    return {
        "meta_log": str(log.pk),
        "verdict": verdict,
        "matches": found.matches,
        "reasons": list(found.reasons),
        "recorded": {"count": log.result_count, "digest": None if digest is None else bytes(digest).hex()},
        "found": {"count": found.count, "digest": found.digest.hex()},
        "entries": [_seen(one, may_read=one.ledger in readable) for one in found.entries],
    }


def _seen(one: Seen, *, may_read: bool) -> dict[str, Any]:
    now = one.now
    return {
        "entry": one.entry_id,
        "ledger": one.ledger,
        "leaf_index": one.leaf_index,
        "leaf_hash": one.leaf_hash.hex(),
        "change": one.change,
        "verdict": None if now is None else now.verdict,
        "reasons": [] if now is None else list(now.reasons),
        "then": _version(one.then, may_read=may_read),
        "now": None if now is None else _version(now.entry, may_read=may_read),
    }


def _version(version: EntryVersion, *, may_read: bool) -> dict[str, Any]:
    place: dict[str, Any] = {"leaf_index": version.leaf_index, "revision": version.revision}
    if not may_read:
        return place
    return place | {
        "type": version.type,
        "actor": version.actor,
        "action": version.action,
        "target": version.target,
        "record": base64url(bytes(version.record or b"")).decode(),
    }
