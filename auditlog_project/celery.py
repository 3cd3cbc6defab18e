"""The Celery application: `celery -A auditlog_project worker` and `… beat`. Messages are JSON only (settings.py).

Worker and beat refuse to start in a posture in which the guards of the database would not hold.
"""

import os

from celery import Celery
from celery.signals import beat_init, worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "auditlog_project.settings")

app = Celery("auditlog")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def refuse_weak_posture(**_: object) -> None:
    """Raise SystemExit naming every problem. Celery logs and survives any lesser exception of a receiver."""
    from auditlog_project import posture  # noqa: PLC0415 -- needs the loaded apps

    try:
        posture.require(posture.Process.WORKER)
    except posture.PostureError as error:
        raise SystemExit(str(error)) from error


worker_init.connect(refuse_weak_posture)
beat_init.connect(refuse_weak_posture)
