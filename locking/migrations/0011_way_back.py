"""There is no way back while something is locked: what is undone here takes guards and tables of locks away."""

from typing import Any, ClassVar

from django.core.management.base import CommandError
from django.db import migrations

_LOCKED = """
    SELECT (SELECT count(*) FROM public.log_locks WHERE state IN ('applying', 'in_force')),
           (SELECT count(*) FROM public.lock_policies WHERE enabled),
           (SELECT count(*) FROM public.activity_logs WHERE locked)"""


def refuse_while_locked(apps: Any, schema_editor: Any) -> None:
    """Raise CommandError while a lock holds, an entry is held, or a policy is enabled."""
    del apps
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_LOCKED)
        locks, policies, entries = cursor.fetchone()
    if locks or policies or entries:
        message = (
            "Nothing of locks was undone, for something is locked. "
            f"Locks in force or being applied: {locks:,}; enabled lock policies: {policies:,}; "
            f"locked entries: {entries:,}. "
            "Without these migrations nothing would hold them. Release the locks and disable the policies first, "
            "or restore a backup from before them (docs/locks.md, Migration plan)."
        )
        raise CommandError(message)


class Migration(migrations.Migration):
    """Changes nothing; undone before any other migration of locks."""

    dependencies: ClassVar = [("locking", "0010_refusals")]
    operations: ClassVar = [migrations.RunPython(migrations.RunPython.noop, refuse_while_locked)]
