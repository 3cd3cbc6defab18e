"""A release is asked for once: a second request took the place of the first, and with it the name of who had asked."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Replaces one function."""

    dependencies: ClassVar = [("locking", "0006_order")]
    operations: ClassVar = [
        migrations.RunSQL(
            (_SQL / "0007_one_request.sql").read_text(), (_SQL / "0007_one_request.reverse.sql").read_text()
        ),
    ]
