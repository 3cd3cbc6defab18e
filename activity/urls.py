"""URLs of the REST API, version 1."""

from django.urls import path

from activity.api.reading import LogEntry, LogEntryProof, Logs, LogTypes
from activity.api.verifying import Verify
from activity.api.writing import WriteLogsBulk

urlpatterns = [
    path("logs", Logs.as_view()),
    path("logs/bulk", WriteLogsBulk.as_view()),
    path("logs/<uuid:entry_id>", LogEntry.as_view()),
    path("logs/<uuid:entry_id>/proof", LogEntryProof.as_view()),
    path("log-types", LogTypes.as_view()),
    path("verify", Verify.as_view()),
]
