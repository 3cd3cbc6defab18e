"""How a log line looks: one JSON object a line, or readable text under DEBUG. Used by settings.py and gunicorn alike.

    {"timestamp": "…Z", "level": "info", "logger": "…", "event": "request_finished", "request_id": "…",
     "request": "POST /api/v1/logs", "code": 201, "milliseconds": 12, "user_id": "api-key-Xy12Ab34", "ip": "192.0.2.7"}

No line holds a query string, a body, a header or the message of an exception: PostgreSQL quotes rows in its messages,
and rows are what people did. Of an exception stay its class, SQLSTATE and place.
"""

from __future__ import annotations

import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

import orjson
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

_MAX_FRAMES = 20
# The rest of such a path is a right: whoever reads it before its owner could use it.
_ONE_TIME_PATH = re.compile(r"^(/first-login/)\S+")


# After these words gunicorn quotes the request line, and Celery the message that it refuses.
_QUOTES = re.compile(
    r"^(Invalid request|Error handling request|Socket error processing request"
    r"|Received unregistered task|Received invalid task message|Can't decode message body|Received and deleted unknown"
    r"|Task handler raised error)\b.*",
    re.DOTALL,
)
_QUOTING = ("gunicorn.error", "celery.worker.", "kombu.")


def path_of(path: str) -> str:
    """Return a path as logs may show it, without one-time tokens."""
    return _ONE_TIME_PATH.sub(r"\1…", path)


def without_messages(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Replace exceptions by class, SQLSTATE and place."""
    error = _error(event.pop("exc_info", None))
    event.pop("stack_info", None)
    if isinstance(event.get("exception"), BaseException):
        # django-structlog's line of a failed task, with the message beside it.
        error = error or event.pop("exception")
        event.pop("error", None)
        event.pop("exception", None)
    for name, value in event.items():
        if isinstance(value, BaseException):
            event[name] = type(value).__name__
    if error is not None:
        event["error"] = " from ".join(_names(error))
        event["at"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
        ]
    return event


def without_streams(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Drop what django-structlog adds for each file that is sent: the request has its line."""
    if event.get("event") in {"streaming_started", "streaming_finished"}:
        raise structlog.DropEvent
    return event


def without_quotes(_logger: Any, _name: str, event: EventDict) -> EventDict:
    """Cut what gunicorn quotes of a request, and Celery of a message."""
    if str(event.get("logger")).startswith(_QUOTING):
        event["event"] = _QUOTES.sub(r"\1", str(event["event"]))
    return event


def _error(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    found = sys.exc_info() if exc_info is True else exc_info
    return found[1] if isinstance(found, tuple) else None


def _names(error: BaseException | None) -> list[str]:
    names: list[str] = []
    while error is not None and len(names) < _MAX_FRAMES:
        state = getattr(error, "sqlstate", None)
        names.append(type(error).__name__ + (f" ({state})" if state else ""))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return names


_COMMON: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logging_config(*, readable: bool) -> dict[str, Any]:
    """Return the value of LOGGING, and make structlog's own loggers write through it."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            without_streams,
            *_COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Processor = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(_json)
    last: list[Processor] = [] if readable else [without_messages, without_quotes]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": _COMMON,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, renderer],
    }
    quiet = {"level": "CRITICAL", "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Events and statements carry what people did: SQL with its parameters is never logged, whatever DEBUG says.
            "django.db.backends": {"level": "INFO"},
            "django.db.backends.schema": {"level": "WARNING"},
            # Says again what request_finished and request_failed say, with whole paths and headers.
            "django.request": quiet,
            "django.security.DisallowedHost": quiet,
            "gunicorn.error": {"level": "INFO", "propagate": True, "handlers": []},
            "gunicorn.http.wsgi": {"level": "ERROR"},  # warns of each HEAD that Django answers
            # django-structlog says what became of a task, without the message of its exception.
            "celery": {"level": "WARNING"},
            "celery.app.trace": quiet,
        },
    }


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
