"""Settings of the server without which an acknowledged event may be lost in a crash."""

from auditlog_project.posture.problem import Connection, Problem

_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def server_problems(connection: Connection) -> list[Problem]:
    """Return which of the settings are off, as this role's sessions see them."""
    found = connection.execute(
        "SELECT name FROM pg_settings WHERE name = ANY(%s) AND setting = 'off'", (list(_DURABLE),)
    )
    return [
        Problem(
            "auditlog.E050",
            f"{name} is off: events that were acknowledged may vanish in a crash.",
            f"Set {name} = on, and look at ALTER ROLE … SET and ALTER DATABASE … SET too.",
        )
        for (name,) in found
    ]
