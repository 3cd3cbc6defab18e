"""URLs for strangers."""

from django.urls import path

from signing import api

urlpatterns = [
    path(".well-known/jwks.json", api.Jwks.as_view()),
    path("ledgers/<str:name>/checkpoint", api.LedgerCheckpoint.as_view(), name="ledger-checkpoint"),
    path("ledgers/<str:name>/tile/<path:path>", api.LedgerTile.as_view()),
]
