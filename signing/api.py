"""What any stranger may fetch, and mirror: public keys, checkpoints and tiles. No account, no cookie.

/.well-known/jwks.json                       entry keys (RFC 7517)
/ledgers/<name>/checkpoint                   the newest signed checkpoint (C2SP tlog-checkpoint)
/ledgers/<name>/tile/<L>/<N>[.p/<W>]         hashes (C2SP tlog-tiles); records themselves are for those who may read
"""

from __future__ import annotations

import json

from django.http import Http404, HttpResponse
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from signing import queries, tiles
from signing.merkle import HASH_SIZE, TILE_HEIGHT

_FOR_EVER = "public, max-age=31536000, immutable"


class Public(APIView):
    """A view for everybody, counted by address."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_scope = "public"


class Jwks(Public):
    """The public entry keys."""

    def get(self, request: Request) -> HttpResponse:
        """Answer with every public entry key that was ever active."""
        del request
        return HttpResponse(json.dumps(queries.jwks()), content_type="application/jwk-set+json")


class LedgerCheckpoint(Public):
    """The head of a ledger."""

    def get(self, request: Request, name: str) -> HttpResponse:
        """Answer with the newest signed checkpoint."""
        del request
        newest = queries.latest_checkpoint(queries.ledger_named(name))
        if newest is None:
            raise Http404(f"the ledger {name} has no checkpoint yet")
        return _answer(newest.note.encode(), "text/plain; charset=utf-8", "no-cache")


class LedgerTile(Public):
    """A tile of a ledger's tree."""

    def get(self, request: Request, name: str, path: str) -> HttpResponse:
        """Answer with the hashes of a tile that the newest checkpoint covers."""
        del request
        wanted = tiles.parse_tile_path(f"tile/{path}")
        ledger = queries.ledger_named(name)
        newest = queries.latest_checkpoint(ledger)
        if wanted.level == tiles.ENTRIES:
            raise Http404("records are not public; who may read them uses /api/v1/logs")
        covered = 0 if newest is None else newest.size >> TILE_HEIGHT * wanted.level
        if wanted.index * tiles.TILE_WIDTH + wanted.width > covered:
            raise Http404(f"the ledger {name} does not reach this tile yet")
        hashes = queries.tile(ledger, wanted.level, wanted.index)[: wanted.width * HASH_SIZE]
        return _answer(hashes, "application/octet-stream", _FOR_EVER)


def _answer(content: bytes, content_type: str, caching: str) -> HttpResponse:
    answer = HttpResponse(content, content_type=content_type)
    answer["Cache-Control"] = caching
    return answer
