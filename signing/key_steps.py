"""The steps in the life of a key, each of them a record of the `keys` ledger. Writes, in the caller's transaction.

What a step means, and who may take it, is the business of services.py and export_keys.py; there are the records too.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from django.db import transaction
from uuid_utils import uuid7

from signing import ledger as ledgers
from signing import queries
from signing.errors import KeyNotFoundError, KeyStateError
from signing.merkle import leaf_hash
from signing.models import KeyEvent, Ledger, SigningKey

if TYPE_CHECKING:
    from signing.providers import NewKey

KEYS_LEDGER = "keys"


def store_key(key: SigningKey, made: NewKey, *, by: str, reason: str) -> SigningKey:
    """Insert and record a key that its provider made, in the caller's transaction, and return it."""
    key.public_key, key.sealed_private_key = made.public_key, made.sealed_private_key
    key.save(force_insert=True)
    public_key = base64.b64encode(made.public_key).decode()
    facts = {"algorithm": key.algorithm, "provider": key.provider, "public_key": public_key, "purpose": key.purpose}
    record_step("key.created", by=by, reason=reason, key=key.id, **facts)
    return key


def key_named(key_id: str) -> SigningKey:
    """Return the key. Raises KeyNotFoundError."""
    try:
        return SigningKey.objects.get(pk=key_id)
    except SigningKey.DoesNotExist:
        raise KeyNotFoundError(f"there is no key {key_id!r}; `./auditlog keys list` shows them") from None


def step_key(key: SigningKey, state: str, **changes: Any) -> None:
    """Move a key forward in its life, in the caller's transaction; the database sets the time."""
    for name, value in {"state": state, **changes}.items():
        setattr(key, name, value)
    key.save(update_fields=["state", *changes])
    key.refresh_from_db()


def record_step(event: str, *, by: str, reason: str, **facts: Any) -> None:
    """Append a step to the keys ledger, in the caller's transaction; the checkpoint follows its commit."""
    ledger = queries.ledger_named(KEYS_LEDGER)
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    said = {"at": at, "by": by, "event": event, "id": str(uuid7()), "ledger": ledger.name, "reason": reason, "v": 1}
    record = orjson.dumps({**said, **facts}, option=orjson.OPT_SORT_KEYS)
    appended = ledgers.append(ledger, [leaf_hash(record)])
    if appended is None:
        raise KeyStateError("the keys ledger refused a step that names no signing key")
    KeyEvent(leaf_index=appended.first_leaf, ledger=ledger, record=record).save(force_insert=True)
    transaction.on_commit(partial(sign, ledger))


def sign(ledger: Ledger) -> None:
    """Sign where the ledger stands, unless set-up has not come to the first checkpoint key yet."""
    if queries.active_keys(SigningKey.Purpose.CHECKPOINT, refresh=True):
        ledgers.sign_checkpoint(ledger)
