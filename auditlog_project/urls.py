"""URLs: pages for people, the API for systems, and what strangers may fetch."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path

from activity.urls import pages as activity_pages
from auditlog_project.first_login import FirstLogin
from auditlog_project.health import healthz, readyz
from auditlog_project.navigation import start
from auditlog_project.openapi.views import OpenApiJson, OpenApiYaml, docs
from auditlog_project.sign_in import AdminSignIn, SignIn
from exports.urls import pages as exports_pages
from locking.urls import pages as locking_pages
from metaaudit.urls import pages as metaaudit_pages

urlpatterns: list[URLPattern | URLResolver] = [
    path("", start, name="start"),
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/login/", AdminSignIn.as_view()),  # before the admin's own, which counts no wrong password
    path("admin/", admin.site.urls),
    path("first-login/<uidb64>/<token>/", FirstLogin.as_view(), name="first-login"),
    path("", include(activity_pages)),
    path("", include(exports_pages)),
    path("", include(locking_pages)),
    path("", include(metaaudit_pages)),
    path("healthz", healthz),
    path("readyz", readyz),
    path("api/v1/openapi.json", OpenApiJson.as_view()),
    path("api/v1/openapi.yaml", OpenApiYaml.as_view()),
    path("api/v1/docs", docs, name="api-docs"),
    path("api/v1/", include("activity.urls")),
    path("api/v1/", include("exports.urls")),
    path("api/v1/", include("locking.urls")),
    path("api/v1/", include("metaaudit.urls")),
    path("", include("signing.urls")),
]
handler400 = "auditlog_project.refusals.bad_request"
handler404 = "auditlog_project.refusals.not_found"
handler500 = "auditlog_project.refusals.server_error"
