"""Reading ledgers: tiles, proofs across tile boundaries, keys. In a transaction that is rolled back."""

import hashlib

import pytest
from django.db import transaction

from signing import ledger as ledgers
from signing import queries, services
from signing.checkpoint import NoteKey
from signing.errors import LedgerNotFoundError
from signing.merkle import Frontier, root_at, verify_inclusion
from signing.models import Ledger, SigningKey
from tests.signing.installation import BY, active_key

pytestmark = pytest.mark.django_db
LEAVES = [hashlib.sha256(str(number).encode()).digest() for number in range(600)]


@pytest.fixture
def meta() -> Ledger:
    """Give a ledger of 600 leaves."""
    ledger = queries.ledger_named("meta")
    with transaction.atomic():
        ledgers.append(ledger, LEAVES[:1])
        ledgers.append(ledger, LEAVES[1:])
    return ledger


def test_an_unknown_ledger_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(LedgerNotFoundError, match="there is no ledger 'shop'; there are: activity, keys, meta"):
        queries.ledger_named("shop")


def test_the_head_is_the_tree_of_all_leaves(meta: Ledger) -> None:
    tree = Frontier()
    tree.extend(LEAVES)
    assert (queries.head(meta).size, queries.head(meta).root()) == (600, tree.root())


def test_tiles_hold_the_hashes_while_they_fill_and_when_they_are_full(meta: Ledger) -> None:
    assert queries.tile(meta, 0, 0) == b"".join(LEAVES[:256])
    assert queries.tile(meta, 0, 2) == b"".join(LEAVES[512:])
    assert len(queries.tile(meta, 1, 0)) == 2 * 32
    assert queries.tile(meta, 0, 3) == queries.tile(meta, 2, 0) == b""


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 513, 600])
def test_every_proof_ties_its_leaf_to_the_root_of_that_size(meta: Ledger, size: int) -> None:
    root = root_at(size, queries.node_reader(meta))
    for leaf in {0, size // 2, size - 1}:
        verify_inclusion(LEAVES[leaf], leaf, size, queries.prove_inclusion(meta, leaf, size), root)


def test_a_leaf_beyond_the_size_has_no_proof(meta: Ledger) -> None:
    with pytest.raises(IndexError):
        queries.prove_inclusion(meta, 600, 600)


def test_a_ledger_without_checkpoint_has_none_to_give() -> None:
    assert queries.latest_checkpoint(Ledger(id=999)) is None


def test_checkpoint_keys_stand_under_the_origin_of_the_ledger() -> None:
    ledger = queries.ledger_named("activity")
    assert queries.note_keys(ledger) == [NoteKey(ledger.origin, bytes(active_key("checkpoint").public_key))]
    assert queries.note_keys(ledger, "retired") == []


def test_active_keys_are_those_last_seen_until_they_are_refreshed() -> None:
    before = queries.active_keys("entry", refresh=True)
    services.rotate_key(purpose="entry", algorithm="Ed25519", **BY)
    assert queries.active_keys("entry") == before
    assert queries.active_keys("entry", refresh=True) == (active_key(),)


def test_the_key_set_holds_public_halves_of_keys_that_were_ever_active_and_no_hmac() -> None:
    first = active_key()
    for algorithm in ("Ed25519", "HS256", "ES256"):
        services.rotate_key(purpose="entry", algorithm=algorithm, **BY)
    services.create_key(purpose="entry", algorithm="Ed25519", **BY)
    published = {key["kid"] for key in queries.jwks()["keys"]}
    assert published == {first.id, active_key().id, active_key(algorithm="ES256").id}
    assert not any("d" in key for key in queries.jwks()["keys"])
    assert SigningKey.objects.count() == 6
