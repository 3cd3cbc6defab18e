"""A locked entry refuses with AL002 before anything else, and names a policy that has not come to it yet."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Replaces one function and puts its trigger before the others."""

    dependencies: ClassVar = [("locking", "0009_declined")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0010_refusals.sql").read_text(), (_SQL / "0010_refusals.reverse.sql").read_text()),
    ]
