"""URLs for strangers."""

from django.urls import path

from signing import api

urlpatterns = [path(".well-known/jwks.json", api.jwks)]
