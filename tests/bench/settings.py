"""Settings of the bench's own processes: those of the product, with django-auditlog and the peers added."""

from auditlog_project.settings import *  # noqa: F403 a settings module is its names
from auditlog_project.settings import INSTALLED_APPS as _PRODUCT

INSTALLED_APPS = [*_PRODUCT, "auditlog", "tests.bench.peers"]
