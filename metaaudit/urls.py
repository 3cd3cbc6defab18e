"""URLs of the REST API of meta logs, version 1, and of the pages about them."""

from django.urls import path

from metaaudit.api import views as api
from metaaudit.views import accesses, ordering

urlpatterns = [
    path("meta-logs", api.MetaLogs.as_view()),
    path("meta-logs/<uuid:meta_id>", api.OneMetaLog.as_view()),
    path("meta-logs/<uuid:meta_id>/replay", api.ReplayMetaLog.as_view()),
]

pages = [
    path("meta-logs/", accesses.Accesses.as_view(), name="meta-logs"),
    path("meta-logs/activity/", accesses.Activity.as_view(), name="meta-activity"),
    path("meta-logs/order/", ordering.OrderAccesses.as_view(), name="order-accesses"),
    path("meta-logs/export/", accesses.Export.as_view(), name="meta-export"),
    path("meta-logs/<uuid:meta_id>/", accesses.OneAccess.as_view(), name="meta-log"),
    path("meta-logs/<uuid:meta_id>/replay/", accesses.ReplayAccess.as_view(), name="meta-replay"),
]
