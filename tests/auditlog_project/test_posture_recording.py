"""A process does not serve where accesses could go unrecorded."""

import pytest
from django.conf import settings
from django.test import override_settings

from auditlog_project import posture
from auditlog_project.posture.recording import MIDDLEWARE, recording_problems

APPS = settings.INSTALLED_APPS
STACK = settings.MIDDLEWARE


def ids(apps: list[str], middleware: list[str]) -> list[str]:
    return [problem.id for problem in recording_problems(apps, middleware)]


def test_as_it_is_every_access_is_recorded() -> None:
    assert ids(APPS, STACK) == []


@pytest.mark.parametrize(
    ("apps", "middleware", "found"),
    [
        ([name for name in APPS if name != "metaaudit"], STACK, ["auditlog.E060"]),
        (APPS, [name for name in STACK if name != MIDDLEWARE], ["auditlog.E061"]),
        (APPS, [*STACK, MIDDLEWARE], ["auditlog.E061"]),
        (APPS, ["django.middleware.cache.UpdateCacheMiddleware", *STACK], ["auditlog.E062"]),
    ],
)
def test_what_lets_an_access_go_unrecorded_is_named(apps: list[str], middleware: list[str], found: list[str]) -> None:
    assert ids(apps, middleware) == found


@pytest.mark.django_db(databases=["default", "approver"])
def test_a_serving_process_refuses_it() -> None:
    with override_settings(MIDDLEWARE=STACK[1:]):
        assert posture.serving_problems() == []
    with override_settings(MIDDLEWARE=[name for name in STACK if name != MIDDLEWARE]):
        assert [problem.id for problem in posture.serving_problems()] == ["auditlog.E061"]
