"""URLs. The API and the pages come with their issues."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from auditlog_project.first_login import FirstLogin
from auditlog_project.health import healthz, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("first-login/<uidb64>/<token>/", FirstLogin.as_view(), name="first-login"),
    path("healthz", healthz),
    path("readyz", readyz),
    path("api/v1/", include("activity.urls")),
    path("", include("signing.urls")),
]
