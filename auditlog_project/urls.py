"""URLs. The API and the pages come with their issues."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("activity.urls")),
    path("", include("signing.urls")),
]
