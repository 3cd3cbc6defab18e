"""URLs of the pages about exports and verification."""

from django.urls import path

from exports import views

pages = [
    path("verify/", views.Verify.as_view(), name="verify"),
]
