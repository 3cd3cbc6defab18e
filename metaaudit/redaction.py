"""What of a request is kept out of its record: secrets, by their names, and contents. Pure.

a value whose name sounds like a secret     [redacted], also where a search is kept to be run again
a text of more than LONGEST characters      its SHA-256 and length, so that it can be compared and not read
an object or a list                         the same, over its JSON
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from metaaudit.vocabulary import REDACTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LONGEST = 500  # characters of a value in a body
MAX_PAIRS = 200
_SECRET = re.compile(
    r"pass(word|wd|phrase|code)?\b|password|passwd|passphrase|secret|token|authorization|api[_-]?key|cookie|session"
    r"|csrf|private|credential|\botp\b|\bpin\b|signature",
    re.IGNORECASE,
)
_ONE_TIME_PATH = re.compile(r"^(/first-login/)\S+")


def is_secret(name: str) -> bool:
    """Tell whether a parameter of this name is one whose value nobody is to read later."""
    return _SECRET.search(name) is not None


def query_pairs(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return parameters of an address, whole, without secrets."""
    return [(name, REDACTED if is_secret(name) else value) for name, value in pairs]


def search_without(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a search as it is kept: without what members of data are to say whose names sound like a secret."""
    hidden = [[*path, REDACTED if any(map(is_secret, path)) else text] for *path, text in said.get("data", ())]
    return {**said, "data": hidden} if hidden else dict(said)


def is_hidden(said: Mapping[str, Any]) -> bool:
    """Tell whether something of a kept search is hidden, so that nobody can run it again."""
    return any(text == REDACTED for *_, text in said.get("data", ()))


def body_pairs(kind: str, pairs: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    """Return members of a body under the names `<kind>.<name>`, without secrets and in short."""
    kept: list[tuple[str, str]] = []
    left_out = 0
    for name, value in pairs:
        if len(kept) < MAX_PAIRS:
            kept.append((f"{kind}.{_short(name)}", REDACTED if is_secret(name) else _short(value)))
        else:
            left_out += 1
    return [*kept, (f"{kind}.…", f"{left_out} more")] if left_out else kept


def path_without(path: str, secrets: Mapping[str, object]) -> str:
    """Return a path without the values of parameters that are secret, and without one-time links."""
    for name, value in secrets.items():
        if is_secret(name) and str(value):
            path = path.replace(str(value), REDACTED)
    return path if REDACTED in path else _ONE_TIME_PATH.sub(rf"\1{REDACTED}", path)


def argument_pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return the arguments of a command without what follows an option that sounds like a secret."""
    return [("argument", each) for each in _arguments(arguments)]


def _arguments(arguments: Sequence[str]) -> Iterator[str]:
    hides_next = False
    for each in arguments[:MAX_PAIRS]:
        name, is_set, _ = each.partition("=")
        # --api-key=…, and what an option takes as a pair: --filter data.session_token=…
        names_one = is_secret(name) and (each.startswith("-") or (bool(is_set) and " " not in name))
        if hides_next and not each.startswith("-"):
            yield REDACTED
        elif names_one and is_set:
            yield f"{name}={REDACTED}"
        else:
            yield _short(each)
        hides_next = names_one and not is_set


def _short(value: object) -> str:
    if isinstance(value, str) and len(value) <= LONGEST:
        return value
    if value is None or isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()[:LONGEST]
    raw = value.encode(errors="replace") if isinstance(value, str) else orjson.dumps(value)
    return f"sha256:{sha256(raw).hexdigest()} ({len(raw)} bytes)"
