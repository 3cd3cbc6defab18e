"""The rows of entries on their way into PostgreSQL: with its leaf for one, COPY for many, UPDATE for a new version.

Called by services.py and amending.py alone.

The columns beside the record are an index over it. PostgreSQL has no U+0000 in text, so they show it as U+2400.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connection

from activity import copy_rows
from activity.copy_rows import COLUMNS
from activity.record import shown
from signing.ledger import execute_append
from signing.statements import text_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import LiteralString

    from activity.drafts import Draft
    from signing.ledger import Appended
    from signing.models import Ledger

_FOR_EVER = ("id", "ledger_id", "event_id", "type", "source", "recorded_at", "locked")
_NAMES = ", ".join(COLUMNS)
_SENT = [name for name in COLUMNS if name != "leaf_index"]  # which the database gives
_PLACES = ", ".join(f"{'%b' if COLUMNS[name] == 'bytea' else '%s'}::{COLUMNS[name]}" for name in _SENT)
_VALUES = ", ".join("first_leaf + new.place" if name == "leaf_index" else f"new.{name}" for name in COLUMNS)
# Stands for all that log types decide about an entry.
LOG_TYPES_DIGEST: LiteralString = (
    "(SELECT coalesce(md5(string_agg(concat_ws(' ', t.pattern, t.requires_signature, t.algorithm), ',' "
    "ORDER BY t.pattern)), '') FROM public.log_types t)"
)
# Where the log types are not those that the entry was made with, no key is active: nothing is appended.
_APPEND: LiteralString = (
    "SELECT first_leaf, new_size, new_frontier FROM public.ledger_append(%s::smallint, %b::bytea, "  # noqa: S608 ours
    f"CASE WHEN %s::text = {LOG_TYPES_DIGEST} THEN %s::text[] ELSE ARRAY[''] END)"
)
# What differs from version to version; the app role may update nothing else.
_VERSION = [name for name in COLUMNS if name not in _FOR_EVER]
_SUPERSEDE = (
    f"UPDATE public.activity_logs SET {', '.join(f'{name} = %s::{COLUMNS[name]}' for name in _VERSION)} "  # noqa: S608 names only
    "WHERE id = %s::uuid"
)
# The condition holds for every row, but is volatile: so PostgreSQL inserts each row when it comes. Otherwise it keeps
# up to 1,000 rows of the binary form in memory, a whole batch, and begins to insert them when the last one is there.
_COPY = f"COPY public.activity_logs ({_NAMES}) FROM STDIN (FORMAT BINARY) WHERE clock_timestamp() IS NOT NULL"
AT_ONCE = 8  # entries that are written with their leaves in one statement
_ip = lru_cache(maxsize=4096)(ipaddress.ip_interface)


def append_and_insert(ledger: Ledger, drafts: Sequence[Draft], key_ids: list[str], log_types: str) -> Appended | None:
    """Append the leaves of 1 to AT_ONCE entries and write their rows, in one round trip.

    `log_types` is the digest of those that the drafts were made with. Returns as `signing.ledger.append`, also None if
    they have changed.
    """
    hashes = b"".join([draft.leaf_hash for draft in drafts])
    parameters: list[Any] = [ledger.pk, hashes, log_types, text_array(key_ids)]
    for draft in drafts:
        said = _row(ledger, draft, 0)
        del said["leaf_index"]
        parameters += said.values()
    return execute_append(_append_and_insert(len(drafts)), parameters)


@lru_cache(maxsize=AT_ONCE)
def _append_and_insert(rows: int) -> LiteralString:
    """Return the statement for so many rows; a session prepares each of them once."""
    new: LiteralString = ", ".join(f"({place}, {_PLACES})" for place in range(rows))
    return (
        f"WITH appended AS MATERIALIZED ({_APPEND}), "  # noqa: S608 names and places only
        f"stored AS (INSERT INTO public.activity_logs ({_NAMES}) SELECT {_VALUES} "
        f"FROM appended, (VALUES {new}) new (place, {', '.join(_SENT)})) "
        "SELECT first_leaf, new_size, new_frontier FROM appended"
    )


def supersede(ledger: Ledger, draft: Draft, leaf_index: int) -> None:
    """Make a draft, whose leaf stands at this index, the newest version of its entry; the database archives the old."""
    said = _row(ledger, draft, leaf_index)
    with connection.cursor() as cursor:
        cursor.execute(_SUPERSEDE, [*(said[name] for name in _VERSION), draft.id_text])


def copy(ledger: Ledger, runs: Iterable[Sequence[Draft]], first_leaf: int) -> None:
    """Write entries, in runs, whose leaves follow one another from `first_leaf`.

    PostgreSQL stores a run while the next is made; what making it raises leaves nothing of the COPY.
    """
    leaf_index = first_leaf
    # Django wraps the errors of execute(), not those of a COPY.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(_COPY) as stream:
        stream.write(copy_rows.HEADER)
        for run in runs:
            stream.write(b"".join([copy_rows.row(one, ledger.pk, at) for at, one in enumerate(run, start=leaf_index)]))
            leaf_index += len(run)
        stream.write(copy_rows.TRAILER)


def _row(ledger: Ledger, draft: Draft, leaf_index: int) -> dict[str, Any]:
    """Return the values of COLUMNS, in their order."""
    event, claims = draft.event, draft.claims
    values = (
        draft.id_text,
        ledger.pk,
        leaf_index,
        draft.record,
        claims.detached,
        claims.digest,
        draft.signature,
        draft.key_id,
        event.event_id and shown(event.event_id),
        event.type,
        shown(event.actor),
        shown(event.action),
        shown(event.target),
        event.outcome,
        event.severity,
        shown(event.source),
        event.ip and _ip(event.ip),
        event.occurred_at,
        draft.recorded_at,
        draft.revision,
        False,
    )
    return dict(zip(COLUMNS, values, strict=True))
