"""The life of keys and the opening of ledgers. One function, one use case, one transaction; each step is a record.

A record of the `keys` ledger is deterministic JSON:
    {"at":…,"by":…,"event":"key.created","id":…,"key":…,"ledger":"keys","reason":…,"v":1, and by event:}
    key.created      algorithm, provider, public_key (base64), purpose
    key.activated    windows: {ledger: first leaf}          key.retired  windows: {ledger: end, exclusive}
    key.compromised  windows as key.retired, trusted_until: {ledger: first leaf that is not trusted}
    key.destroyed    nothing more
    certificate.assigned  person                            certificate.added  certificate, chain (base64 of DER)
    certificate.revoked   nothing more
    ledger.opened    name, origin, kind, keys: [id, …] that may sign from leaf 0
States: pre-active, active, retired, compromised, destroyed (NIST SP 800-57 part 1, section 7).
"""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from signing import ledger as ledgers
from signing import queries, trust
from signing.algorithms import ALGORITHMS
from signing.errors import KeyStateError
from signing.key_steps import KEYS_LEDGER, key_named, record_step, sign, step_key, store_key
from signing.models import KeyWindow, Ledger, SigningKey
from signing.providers import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Mapping


State = SigningKey.State
Purpose = SigningKey.Purpose


@transaction.atomic
def create_key(*, purpose: str, algorithm: str, by: str, reason: str, provider: str = "local") -> SigningKey:
    """Make a key that waits (pre-active) and return it. Raises KeyStateError for a pair that cannot be."""
    if algorithm not in ALGORITHMS:
        raise KeyStateError(f"no algorithm {algorithm!r}; there are: {', '.join(ALGORITHMS)}")
    if purpose not in SigningKey.LOG_PURPOSES:
        raise KeyStateError(f"no purpose {purpose!r} here; there are: {', '.join(SigningKey.LOG_PURPOSES)}")
    if purpose == Purpose.CHECKPOINT and algorithm != "Ed25519":
        raise KeyStateError("checkpoints are signed with Ed25519, as C2SP signed-note wants it")
    key_id = f"{purpose}-{algorithm.lower()}-{secrets.token_hex(6)}"
    made = PROVIDERS[provider].create(key_id, purpose, algorithm)
    key = SigningKey(id=key_id, purpose=purpose, algorithm=algorithm, provider=provider)
    return store_key(key, made, by=by, reason=reason)


@transaction.atomic
def rotate_key(*, purpose: str, algorithm: str, by: str, reason: str) -> SigningKey:
    """Put a new key in the place of the active one and return it; in an empty slot, its first key.

    An entry key takes over at one leaf of each ledger: the old one is retired in the same transaction. Checkpoint keys
    overlap, and both sign until the old one is retired with `retire_key`.
    """
    key = create_key(purpose=purpose, algorithm=algorithm, by=by, reason=reason)
    sizes = ledgers.lock_all()
    if purpose == Purpose.ENTRY:
        for old in SigningKey.objects.filter(purpose=purpose, algorithm=algorithm, state=State.ACTIVE):
            _end_window(old, State.RETIRED, sizes)
            record_step("key.retired", by=by, reason=reason, key=old.id, windows=_named(sizes, purpose))
    _activate(key, sizes, by=by, reason=reason)
    return key


@transaction.atomic
def retire_key(*, key_id: str, by: str, reason: str) -> SigningKey:
    """End the overlap of a checkpoint key and return it. An entry key is retired by rotation alone.

    Raises KeyStateError also while no checkpoint of both keys covers the whole keys ledger: without one, nothing leads
    from the old key, which verifiers have pinned, to the new.
    """
    sizes = ledgers.lock_all()
    key = key_named(key_id)
    if key.purpose not in SigningKey.LOG_PURPOSES:
        raise KeyStateError(f"{key_id} is retired by revoking its certificate: ./auditlog export_keys revoke")
    if key.purpose == Purpose.ENTRY:
        raise KeyStateError(
            f"{key_id} is an entry key: rotate it, then it is retired at the leaf where the next takes over"
        )
    if key.state != State.ACTIVE:
        raise KeyStateError(f"{key_id} is {key.state}: only an active key is retired")
    if not _active(key.purpose, key.algorithm).exclude(pk=key_id).exists():
        raise KeyStateError(f"{key_id} is the only checkpoint key: rotate first, so that another signs")
    _require_signed_keys_ledger(sizes)
    _end_window(key, State.RETIRED, sizes)
    record_step("key.retired", by=by, reason=reason, key=key_id, windows=_named(sizes, key.purpose))
    return key


@transaction.atomic
def mark_compromised(*, key_id: str, trusted_until: Mapping[str, int], by: str, reason: str) -> SigningKey:
    """Distrust a key and return it; an active one is first replaced, so that recording goes on.

    `trusted_until` gives, by ledger name, the size of the last anchor that is known to be older than the compromise:
    leaves before it stay valid, from it on they are `untrusted_key`. A ledger that is not named is trusted nowhere.
    May be repeated with earlier leaves, not with later ones (KeyStateError), and after the key was destroyed.
    """
    key = key_named(key_id)
    if key.purpose not in SigningKey.LOG_PURPOSES:
        raise KeyStateError(f"{key_id} is distrusted by its certificate: ./auditlog export_keys revoke --stolen")
    was_active = key.state == State.ACTIVE
    if was_active:  # before the ledgers are locked, for an RSA key takes its time
        replacement = create_key(purpose=key.purpose, algorithm=key.algorithm, by=by, reason=reason)
    sizes = ledgers.lock_all()
    key.refresh_from_db()
    if was_active != (key.state == State.ACTIVE):
        raise KeyStateError(f"{key_id} became {key.state} in this moment; run the command again")
    _end_window(key, State.COMPROMISED, sizes)
    names = _named(sizes, key.purpose)
    trusted = {name: min(max(trusted_until.get(name, 0), 0), size) for name, size in names.items()}
    _distrust(key, trusted)
    ended = names if was_active else {}
    record_step("key.compromised", by=by, reason=reason, key=key_id, windows=ended, trusted_until=trusted)
    if was_active:
        # Anew: the record of the compromise is a leaf of the keys ledger, and the window opens behind it.
        _activate(replacement, ledgers.lock_all(), by=by, reason=reason)
    return key


@transaction.atomic
def destroy_key(*, key_id: str, by: str, reason: str) -> SigningKey:
    """Erase the private half for good and return the key. What it signed stays verifiable, except with HMAC."""
    key = key_named(key_id)
    if key.state == State.ACTIVE:
        raise KeyStateError(f"{key_id} is active: rotate it first")
    if key.state == State.PRE_ACTIVE and key.purpose not in SigningKey.LOG_PURPOSES:
        raise KeyStateError(
            f"{key_id} waits for a certificate: withdraw the request for it, with ./auditlog export_keys revoke"
        )
    if key.sealed_private_key is None:
        raise KeyStateError(f"the private half of {key_id} is destroyed already")
    step_key(key, State.DESTROYED, sealed_private_key=None)
    record_step("key.destroyed", by=by, reason=reason, key=key_id)
    return key


@transaction.atomic
def open_ledger(*, name: str, by: str, reason: str, kind: str = Ledger.Kind.ACTIVITY) -> Ledger:
    """Open an empty ledger, in which every active key may sign, and return it."""
    ledgers.lock_all()
    if Ledger.objects.filter(name=name).exists():
        raise KeyStateError(f"the ledger {name!r} is open already")
    origin = f"{settings.AUDITLOG_ORIGIN}/{name}"
    opened = Ledger.objects.get(pk=ledgers.open_ledger(name, origin, kind))
    keys = sorted(SigningKey.objects.filter(state=State.ACTIVE).values_list("id", flat=True))
    facts = {"name": name, "origin": origin, "kind": kind, "keys": keys}
    record_step("ledger.opened", by=by, reason=reason, **facts)
    transaction.on_commit(partial(sign, opened))
    return opened


def bootstrap(*, by: str = "setup") -> list[str]:
    """Open the first ledgers and make the first keys, as far as they are missing; return a line for each step done."""
    done = []
    with transaction.atomic():
        if not Ledger.objects.filter(name=KEYS_LEDGER).exists():
            open_ledger(name=KEYS_LEDGER, kind=Ledger.Kind.KEYS, by=by, reason="set-up")
            done.append(f"ledger {KEYS_LEDGER}: opened")
        for purpose in SigningKey.LOG_PURPOSES:
            if not _active(purpose, "Ed25519").exists():
                key = rotate_key(purpose=purpose, algorithm="Ed25519", by=by, reason="set-up")
                done.append(f"{purpose} key: {key}")
        for name, kind in (("activity", Ledger.Kind.ACTIVITY), ("meta", Ledger.Kind.META)):
            if not Ledger.objects.filter(name=name).exists():
                open_ledger(name=name, kind=kind, by=by, reason="set-up")
                done.append(f"ledger {name}: opened")
    return done + _pin()


def _pin() -> list[str]:
    """Write the trust file if there is none yet; it is never overwritten, for it is what the keys are judged by."""
    if not settings.AUDITLOG_TRUST_FILE or Path(settings.AUDITLOG_TRUST_FILE).exists():
        return []
    path = Path(settings.AUDITLOG_TRUST_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(trust.format_lines(key for ledger in Ledger.objects.all() for key in queries.note_keys(ledger)))
    return [f"trust file: {path}"]


def _active(purpose: str, algorithm: str) -> Any:
    return SigningKey.objects.filter(purpose=purpose, algorithm=algorithm, state=State.ACTIVE)


def _require_signed_keys_ledger(sizes: Mapping[int, int]) -> None:
    ledger = queries.ledger_named(KEYS_LEDGER)
    newest = queries.latest_checkpoint(ledger)
    if newest is None or newest.size < sizes[ledger.pk]:
        raise KeyStateError(
            "the last steps of keys are under no checkpoint yet: let the next beat sign one (or run the task "
            "signing.anchor_ledgers), then retire"
        )


def _named(sizes: Mapping[int, int], purpose: str) -> dict[str, int]:
    """Return ledger sizes by name, of the ledgers that keys of this purpose sign in."""
    return {
        ledger.name: sizes[ledger.pk]
        for ledger in Ledger.objects.all()
        if purpose == Purpose.CHECKPOINT or ledger.kind != Ledger.Kind.KEYS
    }


def _activate(key: SigningKey, sizes: Mapping[int, int], *, by: str, reason: str) -> None:
    step_key(key, State.ACTIVE)
    windows = _named(sizes, key.purpose)
    for ledger in Ledger.objects.filter(name__in=windows):
        KeyWindow(key=key, ledger=ledger, first_leaf=sizes[ledger.pk]).save(force_insert=True)
    record_step("key.activated", by=by, reason=reason, key=key.id, windows=windows)
    if key.purpose == Purpose.CHECKPOINT:
        # Signed at once by the new key beside the old one: that line is how a verifier gets from a pinned key to it.
        for ledger in Ledger.objects.all():
            transaction.on_commit(partial(sign, ledger))


def _end_window(key: SigningKey, state: str, sizes: Mapping[int, int]) -> None:
    step_key(key, state)
    for window in KeyWindow.objects.filter(key=key, until_leaf=None):
        KeyWindow.objects.filter(key=key, ledger=window.ledger).update(until_leaf=sizes[window.ledger_id])


def _distrust(key: SigningKey, trusted: Mapping[str, int]) -> None:
    for window in KeyWindow.objects.filter(key=key).select_related("ledger"):
        first_leaf, before = trusted.get(window.ledger.name), window.untrusted_from_leaf
        if first_leaf is None:
            continue
        if before is not None and first_leaf > before:
            raise KeyStateError(
                f"{key.id} is distrusted in {window.ledger.name} from leaf {before} on, never from a later one"
            )
        KeyWindow.objects.filter(key=key, ledger=window.ledger).update(untrusted_from_leaf=first_leaf)
