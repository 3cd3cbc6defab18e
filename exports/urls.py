"""URLs of the REST API of exports, version 1, and of the pages about exports and verification."""

from django.urls import path

from exports.api import verifying
from exports.api import views as api
from exports.views import keys, orders, verify

urlpatterns = [
    path("exports", api.Exports.as_view()),
    path("exports/<uuid:export_id>", api.OneExport.as_view()),
    path("exports/<uuid:export_id>/download", api.TakeFile.as_view()),
    path("exports/<uuid:export_id>/cancel", api.Cancel.as_view()),
    path("verify", verifying.Verify.as_view()),
]

pages = [
    path("verify/", verify.Verify.as_view(), name="verify"),
    path("verify/auditlog-verify.html", verify.OfflinePage.as_view(), name="verify-offline"),
    path("exports/", orders.Exports.as_view(), name="exports"),
    path("exports/new/", orders.Order.as_view(), name="order-export"),
    path("exports/key/", keys.Key.as_view(), name="export-key"),
    path("exports/<uuid:export_id>/", orders.Follow.as_view(), name="export"),
    path("exports/<uuid:export_id>/progress/", orders.Progress.as_view(), name="export-progress"),
    path("exports/<uuid:export_id>/cancel/", orders.Cancel.as_view(), name="cancel-export"),
    path("exports/<uuid:export_id>/download/", orders.TakeFile.as_view(), name="download-export"),
    path("exports/<uuid:export_id>/download/<path:name>", orders.TakeFile.as_view(), name="download-export-file"),
]
