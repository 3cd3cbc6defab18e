"""URLs. The API, the pages and the admin come with their issues."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
