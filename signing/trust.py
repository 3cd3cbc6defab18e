"""The trust file: checkpoint keys that are pinned outside the database. Pure: text in, keys out.

    # comment
    auditlog.local/activity+0c7f8d2e+AaBb…        one vkey (C2SP signed-note) a line

Whoever owns the database can rebuild everything in it with fresh keys; only a key pinned elsewhere shows it. A key
is pinned for the ledgers of one installation: those whose origin has the same part before the last slash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signing.checkpoint import NoteKey
from signing.errors import BadKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable


def parse(text: str) -> list[NoteKey]:
    """Return the pinned keys. Raises BadKeyError naming the faulty line, also when there is no key at all."""
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        vkey = line.strip()
        if not vkey or vkey.startswith("#"):
            continue
        try:
            keys.append(NoteKey.parse(vkey))
        except BadKeyError as error:
            raise BadKeyError(f"line {number}: {error}") from error
    if not keys:
        raise BadKeyError("no key is pinned in it")
    return keys


def format_lines(keys: Iterable[NoteKey]) -> str:
    """Return the text of a trust file that pins these keys."""
    head = "# Checkpoint keys of this auditlog. Keep a copy where the database's administrators cannot write.\n"
    return head + "".join(f"{key.vkey}\n" for key in keys)


def for_origin(pinned: Iterable[NoteKey], origin: str) -> list[NoteKey]:
    """Return the pinned keys as keys of one ledger of the same installation, each once."""
    installation = origin.rpartition("/")[0]
    material = {key.public_key: None for key in pinned if key.name.rpartition("/")[0] == installation}
    return [NoteKey(origin, public_key) for public_key in material]
