"""That somebody has seen what he is about to do: a seal over it, given with the page that shows it. Pure but for time.

    seal(by="olga", what={"ledger": "activity", "kind": "hold", "scope": {"type": "auth.*"}, "until": None})

A step that cannot be taken back is taken only with the seal of exactly this, of this person, and of the last hour:
whoever changes a field after he has looked, looks again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson
from django.core import signing as tokens

_SALT = "locking.seen"
_SECONDS = 3_600


def seal(*, by: str, what: dict[str, Any]) -> str:
    """Return the seal for a page that shows this to somebody."""
    return tokens.dumps(_digest(by, what), salt=_SALT)


def is_seen(sealed: str, *, by: str, what: dict[str, Any]) -> bool:
    """Tell whether somebody was shown exactly this within the last hour."""
    try:
        return bool(tokens.loads(sealed, salt=_SALT, max_age=_SECONDS) == _digest(by, what))
    except tokens.BadSignature:
        return False


def _digest(by: str, what: dict[str, Any]) -> str:
    return sha256(orjson.dumps([by, what], option=orjson.OPT_SORT_KEYS)).hexdigest()
