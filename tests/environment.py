"""The environment that test and bench processes run in, instead of what the caller's shell has. Imports no Django."""

import os

# Nowhere, until a fixture points them at a clone: a test must not find somebody's real database.
_NOWHERE = "ask_for_a_database_fixture?host=/nonexistent"
_VARIABLES = {
    "SECRET_KEY": "for tests only",
    "ALLOWED_HOSTS": "testserver,localhost",
    "SECURE_TRANSPORT": "off",
    "DATABASE_URL": f"postgresql://auditlog_app@/{_NOWHERE}",
    "DATABASE_APPROVER_URL": f"postgresql://auditlog_approver@/{_NOWHERE}",
    "DATABASE_OWNER_URL": f"postgresql://auditlog_owner@/{_NOWHERE}",
    "REDIS_URL": "unix:///nonexistent/valkey.sock",
    "AUDITLOG_MASTER_KEY": "bWFzdGVyIGtleSBmb3IgdGVzdHMsIDMyIGJ5dGVzISE=",
    "AUDITLOG_ORIGIN": "auditlog.test",
}
_KEPT = "AUDITLOG_TEST_STATE_DIR"


def take_over(settings_module: str) -> None:
    """Replace every variable of ours, before Django reads its settings."""
    for name in [name for name in os.environ if name.startswith(("AUDITLOG_", "DATABASE_"))]:
        if name != _KEPT:
            del os.environ[name]
    os.environ.pop("DEBUG", None)
    os.environ.update(_VARIABLES, DJANGO_SETTINGS_MODULE=settings_module)
