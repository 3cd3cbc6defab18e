"""What any stranger may fetch: the public entry keys, as a JWK Set (RFC 7517). No account, no cookie, no throttle."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from signing import queries


@require_safe
def jwks(request: HttpRequest) -> JsonResponse:
    """Return every public entry key that was ever active."""
    del request
    return JsonResponse(queries.jwks(), content_type="application/jwk-set+json")
