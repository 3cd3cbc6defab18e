"""Calling what is asynchronous from a test, also where Playwright keeps an event loop running in this thread."""

from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Coroutine
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections


def awaited(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **named: Any) -> Any:
    """Return what a coroutine function returns. A loop that runs in this thread stands aside meanwhile.

    Beside such a loop Django works in another thread, whose connection would outlive the test's database.
    """

    async def called() -> Any:
        try:
            return await function(*arguments, **named)
        finally:
            await sync_to_async(connections.close_all)()

    running = _get_running_loop()
    _set_running_loop(None)
    try:
        return async_to_sync(called)()
    finally:
        _set_running_loop(running)
