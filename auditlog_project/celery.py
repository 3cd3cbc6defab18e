"""The Celery application: `celery -A auditlog_project worker` and `… beat`. Messages are JSON only (settings.py).

Worker and beat refuse to start in a posture in which the guards of the database would not hold.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init
from django_structlog.celery.signals import bind_extra_task_metadata, modify_context_before_task_publish
from django_structlog.celery.steps import DjangoStructLogInitStep
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from metaaudit.jobs import RecordedTask

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "auditlog_project.settings")

app = Celery("auditlog", task_cls=RecordedTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)

# What a message says besides its arguments: ids that tie log lines together. Nobody's name or address rides along, and
# of a forged message nothing else is believed.
_TIES = ("request_id", "task_id", "parent_task_id")
_LONGEST_ID = 64


def refuse_weak_posture(**_: object) -> None:
    """Raise SystemExit naming every problem. Celery logs and survives any lesser exception of a receiver."""
    from auditlog_project import posture  # noqa: PLC0415 -- needs the loaded apps

    try:
        posture.require(posture.Process.WORKER)
    except posture.PostureError as error:
        raise SystemExit(str(error)) from error


worker_init.connect(refuse_weak_posture)
beat_init.connect(refuse_weak_posture)


def keep_logging(**_: object) -> None:
    """Leave logging as LOGGING says: Celery configures its own only where nobody listens to this signal."""


def send_ids_alone(context: dict[str, object], **_: object) -> None:
    """Take everything but ids out of what goes to the broker."""
    for name in context.keys() - set(_TIES):
        del context[name]


def bind_ids_alone(task: Any, **_: object) -> None:
    """Keep nothing but ids of what came with a message, and the task's name."""
    ids = {name: value for name, value in get_contextvars().items() if name in _TIES and isinstance(value, str)}
    clear_contextvars()
    bind_contextvars(task=task.name, **{name: value[:_LONGEST_ID] for name, value in ids.items()})


setup_logging.connect(keep_logging)
modify_context_before_task_publish.connect(send_ids_alone)
bind_extra_task_metadata.connect(bind_ids_alone)
