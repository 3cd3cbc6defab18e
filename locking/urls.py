"""URLs of the REST API of locks, version 1."""

from django.urls import path

from locking.api import views as api

urlpatterns = [
    path("locks", api.Locks.as_view()),
    path("locks/<int:lock_id>", api.OneLock.as_view()),
    path("locks/<int:lock_id>/extend", api.ExtendLock.as_view()),
    path("locks/<int:lock_id>/release", api.ReleaseLock.as_view()),
]
