"""The class of every Celery task: what a scheduled job does with the log is recorded as `system:<task>`.

A job that cannot be recorded does not run. Those in UNRECORDED read no entry: one signs where ledgers stand, one sends
what was found, one hands exports to workers, one writes the summary that would otherwise be about itself.
"""

from __future__ import annotations

from typing import Any

from celery import Task

UNRECORDED = frozenset({"signing.anchor_ledgers", "activity.send_notices", "exports.resume", "metaaudit.summarise"})
_ACTIONS = {"activity.verify_recent": "verify", "activity.verify_whole": "verify", "exports.work": "export"}


class RecordedTask(Task):  # type: ignore[misc] # Celery ships no types
    """Celery's task, recorded."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run, between two records."""
        if self.name in UNRECORDED or self.name.startswith("celery."):
            return super().__call__(*args, **kwargs)
        from metaaudit.record import Access, Who  # noqa: PLC0415 -- Celery loads this class before the apps
        from metaaudit.recording import recorded  # noqa: PLC0415 -- the same
        from metaaudit.vocabulary import Auth  # noqa: PLC0415 -- the same

        name = f"system:{self.name}"
        access = Access(
            Who(name, name, Auth.SYSTEM),
            _ACTIONS.get(self.name, "job"),
            "RUN",
            f"task:{self.name}",
            self.name,
            request_id=self.request.id,
        )
        with recorded(access):
            return super().__call__(*args, **kwargs)
