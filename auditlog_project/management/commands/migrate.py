"""Django's migrate, run by the owner alone: the runtime role may create nothing, so that it owns nothing."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as DjangoCommand


class Command(DjangoCommand):
    def execute(self, *args: Any, **options: Any) -> str | None:
        # Before the system checks, which would connect.
        if options["database"] != "owner":
            raise CommandError(
                "The runtime role may not create tables. Run `manage.py setup_database`: it migrates as the owner "
                "(DATABASE_OWNER_URL) and sets the privileges of new tables. For migrate alone: --database=owner"
            )
        return super().execute(*args, **options)
