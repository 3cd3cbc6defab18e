"""Whether every request is recorded: the app is installed, and nothing answers before its middleware."""

from collections.abc import Sequence

from auditlog_project.posture.problem import Problem

APP = "metaaudit"
MIDDLEWARE = "metaaudit.middleware.RecordAccess"
ABOVE = frozenset({"auditlog_project.request_logs.RequestLogs"})  # writes a line; answers nothing


def recording_problems(apps: Sequence[str], middleware: Sequence[str]) -> list[Problem]:
    """Return what would let an access go unrecorded, given INSTALLED_APPS and MIDDLEWARE."""
    if not any(name == APP or name.startswith(f"{APP}.") for name in apps):
        text = "The app metaaudit is not installed: nobody records who looks at the log."
        return [Problem("auditlog.E060", text, "Put it back into INSTALLED_APPS.")]
    places = [place for place, name in enumerate(middleware) if name == MIDDLEWARE]
    if len(places) != 1:
        text = f"{MIDDLEWARE} stands {len(places)} times in MIDDLEWARE: it must stand there once."
        return [Problem("auditlog.E061", text, "Put it directly below the request log.")]
    strangers = [name for name in middleware[: places[0]] if name not in ABOVE]
    return [
        Problem(
            "auditlog.E062",
            f"{name} stands above {MIDDLEWARE}, so it could answer without a record.",
            "Move it below.",
        )
        for name in strangers
    ]
