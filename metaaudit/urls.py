"""URLs of the REST API of meta logs, version 1, and of the pages about them."""

from django.urls import path

from metaaudit import views
from metaaudit.api import views as api

urlpatterns = [
    path("meta-logs", api.MetaLogs.as_view()),
    path("meta-logs/<uuid:meta_id>", api.OneMetaLog.as_view()),
    path("meta-logs/<uuid:meta_id>/replay", api.ReplayMetaLog.as_view()),
]

pages = [
    path("meta-logs/", views.Accesses.as_view(), name="meta-logs"),
    path("meta-logs/activity/", views.Activity.as_view(), name="meta-activity"),
    path("meta-logs/export/", views.Export.as_view(), name="meta-export"),
    path("meta-logs/<uuid:meta_id>/", views.OneAccess.as_view(), name="meta-log"),
    path("meta-logs/<uuid:meta_id>/replay/", views.ReplayAccess.as_view(), name="meta-replay"),
]
