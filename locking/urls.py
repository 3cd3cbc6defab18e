"""URLs of the REST API of locks, version 1, and of the pages about locks and overrides."""

from django.urls import path

from locking.api import views as api
from locking.views import locks, new_lock, overrides

urlpatterns = [
    path("locks", api.Locks.as_view()),
    path("locks/<int:lock_id>", api.OneLock.as_view()),
    path("locks/<int:lock_id>/extend", api.ExtendLock.as_view()),
    path("locks/<int:lock_id>/release", api.ReleaseLock.as_view()),
    path("locks/<int:lock_id>/withdraw-release", api.WithdrawRelease.as_view()),
    path("locks/<int:lock_id>/decline-release", api.DeclineRelease.as_view()),
]

pages = [
    path("locks/", locks.Locks.as_view(), name="locks"),
    path("locks/open/", locks.OpenSteps.as_view(), name="open-steps"),
    path("locks/new/", new_lock.NewLock.as_view(), name="lock-entries"),
    path("locks/new/preview/", new_lock.PreviewLock.as_view(), name="preview-lock"),
    path("locks/<int:lock_id>/", locks.OneLock.as_view(), name="lock"),
    path("locks/<int:lock_id>/progress/", locks.Progress.as_view(), name="lock-progress"),
    path("locks/<int:lock_id>/extend/", locks.Extend.as_view(), name="extend-lock"),
    path("locks/<int:lock_id>/ask-release/", locks.AskRelease.as_view(), name="ask-release"),
    path("locks/<int:lock_id>/withdraw-release/", locks.WithdrawRelease.as_view(), name="withdraw-release"),
    path("locks/<int:lock_id>/decline-release/", locks.DeclineRelease.as_view(), name="decline-release"),
    path("locks/<int:lock_id>/release/", locks.Release.as_view(), name="release-lock"),
    path("overrides/", overrides.Overrides.as_view(), name="overrides"),
    path("overrides/new/", overrides.Ask.as_view(), name="ask-override"),
    path("overrides/<int:override_id>/", overrides.OneOverride.as_view(), name="override"),
    path("overrides/<int:override_id>/decide/", overrides.Decide.as_view(), name="decide-override"),
    path("overrides/<int:override_id>/close/", overrides.Close.as_view(), name="close-override"),
    path("overrides/<int:override_id>/review/", overrides.Review.as_view(), name="review-override"),
]
