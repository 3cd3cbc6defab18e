"""ledger_append says that it returns one row, so that a prepared statement around it is planned once in a session.

PostgreSQL supposes 1,000 of a function that does not say; with these a plan for the values at hand always looks cheaper
than the one that is kept, and each append is planned anew.
"""

from typing import ClassVar

from django.db import migrations

_APPEND = "ALTER FUNCTION public.ledger_append(smallint, bytea, text[])"


class Migration(migrations.Migration):
    """What the planner is told alone."""

    dependencies: ClassVar = [("signing", "0005_streams")]
    operations: ClassVar = [migrations.RunSQL(f"{_APPEND} ROWS 1", f"{_APPEND} ROWS 1000")]
