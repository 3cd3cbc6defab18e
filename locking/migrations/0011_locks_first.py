"""What a locked entry refuses is said with AL002, also what would be refused of any entry."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Replaces one function and puts its trigger before the others."""

    dependencies: ClassVar = [("locking", "0010_named_policy")]
    operations: ClassVar = [
        migrations.RunSQL(
            (_SQL / "0011_locks_first.sql").read_text(), (_SQL / "0011_locks_first.reverse.sql").read_text()
        ),
    ]
