"""URLs of the REST API, version 1."""

from django.urls import path

from activity.api.writing import WriteLogs, WriteLogsBulk

urlpatterns = [
    path("logs", WriteLogs.as_view()),
    path("logs/bulk", WriteLogsBulk.as_view()),
]
