"""Recording what is no request: a job or a command, as an intent before it runs and a completion when it has ended."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from django.db import DatabaseError

from activity.disclosures import collecting
from metaaudit import services
from metaaudit.errors import NotRecordedError
from metaaudit.vocabulary import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from metaaudit.record import Access

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130  # as exit codes have it
_LOG = logging.getLogger(__name__)


@contextmanager
def recorded(access: Access) -> Iterator[None]:
    """Record an access that is done in the block. Raises NotRecordedError before it if it cannot be recorded.

    `status` of the completion is the exit code that the block ends with, 0 if it ends without one.
    """
    intent = services.record(access=replace(access, phase=Phase.INTENT))
    began, status = time.monotonic(), FAILURE
    try:
        with collecting() as shown:
            yield
        status = SUCCESS
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else SUCCESS if leaving.code is None else FAILURE
        raise
    except KeyboardInterrupt:
        status = INTERRUPTED
        raise
    finally:
        ended = replace(
            access,
            phase=Phase.COMPLETION,
            completes=intent,
            status=status,
            duration_ms=round((time.monotonic() - began) * 1000),
            sizes=shown.sizes,
            result_count=shown.count if shown.digest() is not None else None,
            result_digest=shown.digest(),
            leaves=shown.leaves(),
            searches=shown.searches,
        )
        try:
            services.record(access=ended)
        except (NotRecordedError, DatabaseError, RuntimeError) as error:
            # What was done is done, and its intent is recorded: nobody is told that it did not happen.
            _LOG.error("the end of %s could not be recorded: %s", access.route, type(error).__name__, exc_info=error)
