"""What any stranger may fetch, and mirror: public keys, checkpoints and tiles. No account, no cookie.

/.well-known/jwks.json                       entry keys (RFC 7517)
/ledgers/<name>/checkpoint                   the newest signed checkpoint (C2SP tlog-checkpoint)
/ledgers/<name>/tile/<L>/<N>[.p/<W>]         hashes (C2SP tlog-tiles); records themselves are for those who may read
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.http import Http404, HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from signing import queries, tiles
from signing.errors import BadTileError, LedgerNotFoundError
from signing.merkle import HASH_SIZE, TILE_HEIGHT

_FOR_EVER = "public, max-age=31536000, immutable"
_TAGS = ["Evidence"]
_JWKS = {
    "title": "Jwks",
    "description": "A JSON Web Key Set (RFC 7517).",
    "type": "object",
    "required": ["keys"],
    "properties": {
        "keys": {
            "type": "array",
            "items": {
                "title": "Jwk",
                "description": "A public key; further members by `kty` (RFC 7518, 8037, 9964).",
                "type": "object",
                "required": ["kty", "kid", "alg", "use"],
                "properties": {name: {"type": "string"} for name in ("kty", "kid", "alg")} | {"use": {"const": "sig"}},
                "additionalProperties": {"type": "string"},
            },
        }
    },
    "additionalProperties": False,
}


def _described(kind: str, shape: dict[str, Any], description: str) -> dict[Any, Any]:
    return {(200, kind): OpenApiResponse(shape, description)}


_NAME = OpenApiParameter("name", {"type": "string"}, OpenApiParameter.PATH, description="The name of a ledger.")


class Public(APIView):
    """A view for everybody, counted by address."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_scope = "public"


class Jwks(Public):
    """The public entry keys."""

    @extend_schema(
        operation_id="get_jwks",
        summary="Get the public entry keys",
        tags=_TAGS,
        responses=_described("application/jwk-set+json", _JWKS, "The keys."),
    )
    def get(self, request: Request) -> HttpResponse:
        """Answer with every public entry key that was ever active."""
        del request
        return HttpResponse(json.dumps(queries.jwks()), content_type="application/jwk-set+json")


class LedgerCheckpoint(Public):
    """The head of a ledger."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"GET": (LedgerNotFoundError, Http404)}

    @extend_schema(
        operation_id="get_checkpoint",
        summary="Get a ledger's newest checkpoint",
        tags=_TAGS,
        parameters=[_NAME],
        responses=_described("text/plain", {"type": "string"}, "A signed note (C2SP tlog-checkpoint)."),
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        """Answer with the newest signed checkpoint."""
        del request
        newest = queries.latest_checkpoint(queries.ledger_named(name))
        if newest is None:
            raise Http404(f"the ledger {name} has no checkpoint yet")
        return _answer(newest.note.encode(), "text/plain; charset=utf-8", "no-cache")


class LedgerTile(Public):
    """A tile of a ledger's tree."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"GET": (LedgerNotFoundError, BadTileError, Http404)}

    @extend_schema(
        operation_id="get_tile",
        summary="Get hashes of a ledger's tree",
        tags=_TAGS,
        parameters=[
            _NAME,
            OpenApiParameter(
                "path",
                {"type": "string", "examples": ["0/000", "0/x001/067.p/3"]},
                OpenApiParameter.PATH,
                description="Level, index and width as in C2SP tlog-tiles: `L/N`, or `L/N.p/W`. Slashes stay slashes.",
            ),
        ],
        responses=_described(
            "application/octet-stream", {"type": "string", "format": "binary"}, "SHA-256 hashes, one after the other."
        ),
    )
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
