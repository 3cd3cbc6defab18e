"""Reading ledgers and keys: heads, tree nodes, proofs, checkpoints, public keys. Writes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import connection

from signing import certificates
from signing.certificates import Certified
from signing.checkpoint import NoteKey
from signing.errors import BadCertificateError, ExportKeyError, LedgerNotFoundError
from signing.jws import public_jwk
from signing.merkle import HASH_SIZE, TILE_HEIGHT, TILE_WIDTH, Frontier, inclusion_proof, tile_root
from signing.models import ExportCertificate, Ledger, LedgerCheckpoint, LedgerHead, SigningKey
from signing.providers import PROVIDERS
from signing.statements import database_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signing.merkle import NodeReader

_HASHES = """
    SELECT coalesce(
        (SELECT t.hashes FROM public.ledger_tiles t
          WHERE t.ledger_id = %(ledger)s AND t.level = %(level)s AND t.tile_index = %(tile)s),
        (SELECT string_agg(n.hash, ''::bytea ORDER BY n.node_index) FROM public.ledger_nodes n
          WHERE n.ledger_id = %(ledger)s AND n.level = %(level)s
            AND n.node_index >= %(tile)s * 256 AND n.node_index < (%(tile)s + 1) * 256))
"""


def ledger_named(name: str) -> Ledger:
    """Return the ledger. Raises LedgerNotFoundError, naming the ones there are."""
    if "\0" in name:  # PostgreSQL has no such text
        message = f"there is no ledger {name!r}"
        raise LedgerNotFoundError(message)
    place = (database_name(), name)
    if place in _ledgers:
        return _ledgers[place]
    try:
        ledger = Ledger.objects.get(name=name)
    except Ledger.DoesNotExist:
        names = ", ".join(Ledger.objects.values_list("name", flat=True)) or "none; run ./auditlog setup_database"
        message = f"there is no ledger {name!r}; there are: {names}"
        raise LedgerNotFoundError(message) from None
    if not connection.in_atomic_block:  # what is read inside a transaction may be rolled back
        _ledgers[place] = ledger
    return ledger


_ledgers: dict[tuple[str, str], Ledger] = {}  # by database; the row of a ledger never changes


def head(ledger: Ledger) -> Frontier:
    """Return the committed head of the ledger."""
    row = LedgerHead.objects.get(ledger=ledger)
    return Frontier(row.size, map(bytes, row.frontier))


def latest_checkpoint(ledger: Ledger) -> LedgerCheckpoint | None:
    """Return the newest signed checkpoint, or None for a ledger whose set-up was interrupted."""
    return LedgerCheckpoint.objects.filter(ledger=ledger).order_by("-size").first()


def tile(ledger: Ledger, level: int, tile_index: int) -> bytes:
    """Return the hashes of a tile, up to 256 of 32 bytes; fewer while it fills, none if nothing is there yet."""
    with connection.cursor() as cursor:
        cursor.execute(_HASHES, {"ledger": ledger.pk, "level": level, "tile": tile_index})
        row = cursor.fetchone()
    return bytes(row[0]) if row and row[0] is not None else b""


def node_reader(ledger: Ledger, tiles: dict[tuple[int, int], bytes] | None = None) -> NodeReader:
    """Return a reader of the tree's perfect subtrees; it keeps in `tiles`, by level and index, what it has read."""
    tiles = {} if tiles is None else tiles

    def node_at(height: int, index: int) -> bytes:
        level, rest = divmod(height, TILE_HEIGHT)
        first = index << rest
        place = (level, first // TILE_WIDTH)
        end = (first % TILE_WIDTH + (1 << rest)) * HASH_SIZE
        if len(tiles.get(place, b"")) < end:
            tiles[place] = tile(ledger, *place)
        return tile_root(tiles[place][first % TILE_WIDTH * HASH_SIZE : end])

    return node_at


def prove_inclusion(ledger: Ledger, leaf_index: int, size: int) -> list[bytes]:
    """Return the proof that ties a leaf to the root of the first `size` leaves. Raises IndexError beyond them."""
    return inclusion_proof(leaf_index, size, node_reader(ledger))


def note_keys(ledger: Ledger, *states: str) -> list[NoteKey]:
    """Return the checkpoint keys under the ledger's origin, active ones unless other states are named."""
    keys = SigningKey.objects.filter(
        purpose=SigningKey.Purpose.CHECKPOINT, state__in=states or (SigningKey.State.ACTIVE,)
    )
    return [NoteKey(ledger.origin, bytes(key.public_key)) for key in keys]


def active_keys(purpose: str, *, refresh: bool = False) -> tuple[SigningKey, ...]:
    """Return the active keys of a purpose in the order of their ids, as this process last saw them.

    Who uses them has the database confirm them in the same call (`ledger_append`, `checkpoint_store`) and refreshes.
    """
    place = (database_name(), purpose)
    if refresh or place not in _active_keys:
        keys = SigningKey.objects.filter(purpose=purpose, state=SigningKey.State.ACTIVE)
        _active_keys[place] = tuple(sorted(keys, key=lambda key: key.id))
    return _active_keys[place]


_active_keys: dict[tuple[str, str], tuple[SigningKey, ...]] = {}


def export_signer(person: str, *, at: datetime | None = None) -> Certified:
    """Return who signs a person's exports now. Raises ExportKeyError if nobody does, saying why and what to do."""
    rows = list(ExportCertificate.objects.filter(person=person).select_related("key").order_by("-created_at"))
    row = next((row for row in rows if row.certificate and row.key.state == SigningKey.State.ACTIVE), None)
    if row is None:
        raise ExportKeyError(_why_nobody_signs(person, rows))
    signer = certified(row)
    revoked = ExportCertificate.objects.filter(revoked_at__isnull=False, certificate__in=signer.chain).first()
    if revoked is not None:
        raise ExportKeyError(
            f"the CA that certified {person} was revoked on {revoked.revoked_at:%Y-%m-%d}: issue a new certificate"
        )
    try:
        certificates.require_validity([signer.certificate, *signer.chain], at or datetime.now(UTC))
    except BadCertificateError as error:
        raise ExportKeyError(f"the certificate of {person} is expired or not valid yet: {error}") from error
    return signer


def _why_nobody_signs(person: str, rows: Sequence[ExportCertificate]) -> str:
    # A request that was withdrawn says nothing about the keys before it.
    rows = [row for row in rows if row.certificate is not None or row.key.state == SigningKey.State.PRE_ACTIVE]
    if not rows:
        return f"{person} has no export key: make one under Exports, or with ./auditlog export_keys create"
    newest = rows[0]
    if newest.revoked_at is not None:
        return f"the certificate of {person} was revoked on {newest.revoked_at:%Y-%m-%d}: issue a new one"
    if newest.certificate is None:
        return f"the export key of {person} still waits for its certificate"
    return f"the export key of {person} is {newest.key.state}: issue a new certificate"


def certified(row: ExportCertificate) -> Certified:
    """Return the signer of a certificate that is there."""
    if row.certificate is None:
        raise ExportKeyError(f"{row.key_id} still waits for its certificate")
    sign = PROVIDERS[row.key.provider].signer(row.key)
    return Certified(bytes(row.certificate), tuple(map(bytes, row.chain)), row.key.algorithm, sign)


def jwks() -> dict[str, list[dict[str, Any]]]:
    """Return the public entry keys that were ever active, as a JWK Set (RFC 7517); HMAC keys have no public half."""
    keys = SigningKey.objects.filter(purpose=SigningKey.Purpose.ENTRY).exclude(state=SigningKey.State.PRE_ACTIVE)
    jwk = (public_jwk(key.id, key.algorithm, bytes(key.public_key)) for key in keys)
    return {"keys": [key for key in jwk if key is not None]}
