"""A Celery consumer that takes nothing but what this application sends. celery.py names it.

Whoever reaches the broker can write messages, and Celery believes much of what they say: what to call afterwards, when
to run, how long. Ours say little: a task of ours, an id or two, perhaps when it is too late. All else is refused and
dropped before Celery looks at it, and what cannot even be read costs a new connection, not the worker; a worker that
dies of a message would meet it again after each start.

    headers     task: one of ours; id: a short text; expires: none or a time; no other limits than the
                task has, nothing about groups, retries or an eta
    body        JSON, at most MAX_BODY_BYTES: [positional, by name, what comes after]; values are short texts, numbers
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any

from celery.worker.consumer import Consumer

MAX_BODY_BYTES = 16 * 1024
_LONGEST_TEXT = 200
_PARTS = 3
_BUILT_IN = frozenset({"celery.accumulate"})  # gives back what it gets: whether a worker answers
# What would make Celery do more than the task itself.
_MUST_BE_EMPTY = ("eta", "group", "chord", "chain", "callbacks", "errbacks", "link", "link_error", "stamps", "shadow")
_LOG = logging.getLogger(__name__)


class RefusedMessageError(Exception):
    """A message is not one that this application sends."""


class StrictConsumer(Consumer):  # type: ignore[misc] # no types
    """Celery's consumer behind that rule."""

    loop: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taken = self.loop

        def loop(*loop_args: Any) -> Any:
            try:
                return taken(*loop_args)
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                # The transport choked on what it read, which is out of the queue by now.
                _LOG.error("the broker holds what is no message: %s", type(error).__name__)
                raise ConnectionError("a message could not be read") from None

        self.loop = loop

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """Return what is called with each message."""
        take = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> Any:
            try:
                require_ours(message, self.app.tasks)
            except RefusedMessageError as error:
                _LOG.error("a message was refused: %s", error)
                message.reject_log_error(_LOG, self.connection_errors)
                return None
            return take(message)

        return on_task_received


def require_ours(message: Any, known: Any) -> None:
    """Raise RefusedMessageError unless the message is one that this application sends; `known` are its tasks."""
    headers = message.headers
    if not isinstance(headers, dict) or message.content_type != "application/json":
        raise RefusedMessageError("it has no headers, or is not JSON")
    task = headers.get("task")
    if not isinstance(task, str) or task not in known or (task.startswith("celery.") and task not in _BUILT_IN):
        raise RefusedMessageError("it names no task of ours")
    if not _is_short(headers.get("id")) or headers.get("retries", 0) != 0:
        raise RefusedMessageError("it has no id, or was tried before")
    own_limits = [known[task].time_limit, known[task].soft_time_limit]
    if any(headers.get(name) for name in _MUST_BE_EMPTY) or headers.get("timelimit") not in ([None, None], own_limits):
        raise RefusedMessageError("it says what to do beside its task")
    _require_moment(headers.get("expires"))
    _require_body(message.body)


def _require_moment(expires: object) -> None:
    try:
        if expires is not None:
            datetime.fromisoformat(expires)  # type: ignore[arg-type] # refused below if it is none
    except (TypeError, ValueError):
        raise RefusedMessageError("it expires at no time") from None


def _require_body(body: Any) -> None:
    if not isinstance(body, str | bytes) or len(body) > MAX_BODY_BYTES:
        raise RefusedMessageError("it has no body, or a large one")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedMessageError("its body is no JSON") from None
    if not isinstance(said, list) or len(said) != _PARTS:
        raise RefusedMessageError("its body has other parts")
    args, kwargs, after = said
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(after, dict | None):
        raise RefusedMessageError("its body has parts of other kinds")
    if any(value for value in (after or {}).values()):
        raise RefusedMessageError("it says what to do afterwards")
    if not all(_is_plain(value) for value in (*args, *kwargs.values())):
        raise RefusedMessageError("its arguments are no ids")


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, int | float) or _is_short(value)


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT
