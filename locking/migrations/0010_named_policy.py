"""A refusal for a policy that has not come to an entry yet names the policy."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Replaces one function."""

    dependencies: ClassVar = [("locking", "0009_declined")]
    operations: ClassVar = [
        migrations.RunSQL(
            (_SQL / "0010_named_policy.sql").read_text(), (_SQL / "0010_named_policy.reverse.sql").read_text()
        ),
    ]
