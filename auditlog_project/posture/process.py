"""Addresses that a serving process must not have: whoever takes the process over has them too."""

from collections.abc import Mapping
from typing import Any

from auditlog_project.posture.problem import Problem

_SET_UP_ONLY = ("DATABASE_OWNER_URL", "DATABASE_ADMIN_URL")


def address_problems(environ: Mapping[str, str], databases: Mapping[str, Any], *, may_approve: bool) -> list[Problem]:
    """Return the problems of a serving process with this environment and these configured databases."""
    problems = [
        Problem(
            "auditlog.E010", f"{name} is in the environment of a serving process.", "Unset it: set-up alone uses it."
        )
        for name in _SET_UP_ONLY
        if environ.get(name)
    ]
    if "owner" in databases and not problems:
        problems.append(
            Problem("auditlog.E010", "The database alias `owner` is configured in a serving process.", "Remove it.")
        )
    if "approver" in databases and not may_approve:
        problems.append(
            Problem(
                "auditlog.E011",
                "DATABASE_APPROVER_URL is in the environment of a worker; the web process alone approves.",
                "Unset it for workers and beat.",
            )
        )
    return problems
