"""A stranger fetches public keys, checkpoints and tiles without an account, and rebuilds the tree from them."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from django.test import Client, override_settings

from activity.services import record_many
from signing import checkpoint, queries
from signing.queries import ledger_named, note_keys
from tests.clusters import Database
from tests.signing.installation import event, record


@pytest.fixture
def stranger(fresh_database: Database) -> Iterator[Client]:
    with override_settings(
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, SECURE_SSL_REDIRECT=False
    ):
        yield Client()


def test_the_public_keys_need_no_account(stranger: Client) -> None:
    response = stranger.get("/.well-known/jwks.json")
    assert (response.status_code, response["Content-Type"]) == (200, "application/jwk-set+json")
    assert response.json() == queries.jwks()
    assert response.json()["keys"]
    assert stranger.post("/.well-known/jwks.json").status_code == 405


def _root(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as the text has it: nothing of ours."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + _root(hashes[:split]) + _root(hashes[split:])).digest()


def test_the_tiles_make_the_root_that_the_checkpoint_signs(stranger: Client) -> None:

    record_many([event(number) for number in range(600)])
    response = stranger.get("/ledgers/activity/checkpoint")
    assert (response["Content-Type"], response["Cache-Control"]) == ("text/plain; charset=utf-8", "no-cache")
    head = checkpoint.verify(response.content.decode(), note_keys(ledger_named("activity"))).checkpoint
    assert head.size > 600
    full, width = divmod(head.size, 256)
    paths = [f"0/{index:03}" for index in range(full)] + [f"0/{full:03}.p/{width}"] * bool(width)
    tiles = [stranger.get(f"/ledgers/activity/tile/{path}") for path in paths]
    assert {tile["Content-Type"] for tile in tiles} == {"application/octet-stream"}
    assert all("immutable" in tile["Cache-Control"] for tile in tiles)
    leaves = b"".join(tile.content for tile in tiles)
    assert _root([leaves[at : at + 32] for at in range(0, len(leaves), 32)]) == head.root
    above = stranger.get(f"/ledgers/activity/tile/1/000.p/{full}").content
    assert above == b"".join(_root([tile.content[at : at + 32] for at in range(0, 8192, 32)]) for tile in tiles[:full])


@pytest.mark.parametrize(
    "path",
    ["tile/0/999", "tile/0/000", "tile/1/000.p/1", "tile/entries/000.p/1", "tile/0/0", "tile/x/000", "tile/64/000",
     "tile/0/000.p/255"],
)  # fmt: skip
def test_a_tile_that_is_not_there_or_not_public_is_not_found(stranger: Client, path: str) -> None:
    record(3)
    assert stranger.get("/ledgers/activity/tile/0/000.p/3").status_code == 200
    response = stranger.get(f"/ledgers/activity/{path}")
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_a_ledger_that_there_is_not_is_not_found(stranger: Client) -> None:
    assert stranger.get("/ledgers/nowhere/checkpoint").status_code == 404
    assert stranger.get("/ledgers/nowhere/tile/0/000.p/1").status_code == 404
