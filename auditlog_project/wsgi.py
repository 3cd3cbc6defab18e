"""The WSGI application for gunicorn and runserver. It does not come up in a posture in which the guards do not hold."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "auditlog_project.settings")

application = get_wsgi_application()

from auditlog_project import posture  # noqa: E402 -- needs the loaded apps

posture.require(posture.Process.WEB)
