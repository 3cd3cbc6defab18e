"""URLs of the REST API, version 1, and of the pages."""

from django.urls import path

from activity.api.reading import LogEntry, LogEntryProof, Logs, LogTypes
from activity.api.writing import WriteLogsBulk
from activity.views import logs

urlpatterns = [
    path("logs", Logs.as_view()),
    path("logs/bulk", WriteLogsBulk.as_view()),
    path("logs/<uuid:entry_id>", LogEntry.as_view(), name="api-log-entry"),
    path("logs/<uuid:entry_id>/proof", LogEntryProof.as_view(), name="api-log-entry-proof"),
    path("log-types", LogTypes.as_view()),
]

pages = [
    path("logs/", logs.Logs.as_view(), name="logs"),
    path("logs/<uuid:entry_id>/", logs.Entry.as_view(), name="log-entry"),
]
