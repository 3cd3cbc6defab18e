"""What gunicorn is started with: `gunicorn -c python:auditlog_project.server`. Options of the command line win.

Each request is one line of request_logs.py, so gunicorn keeps no access log of its own.
"""

from __future__ import annotations

from logging.config import dictConfig
from typing import Any

from gunicorn.glogging import Logger

from auditlog_project.settings import LOGGING


class LinesLikeOurs(Logger):  # type: ignore[misc]
    """gunicorn's own lines, in the form of all others."""

    def setup(self, cfg: Any) -> None:
        """Put our handlers in place of gunicorn's."""
        super().setup(cfg)
        dictConfig(LOGGING)


bind = ["127.0.0.1:8000"]
wsgi_app = "auditlog_project.wsgi"
forwarder_headers = ""  # no header says where the application lies: paths are recorded as they were asked for
control_socket_disable = True  # nobody is to steer a server through a file in somebody's home
logger_class = LinesLikeOurs
worker_class = "auditlog_project.slow_clients.BufferingWorker"
workers = 2
threads = 4  # that answer; each may have a connection to the database
timeout = 120  # seconds in which a worker must show that it lives
graceful_timeout = 20  # seconds for answers under way when the server stops
