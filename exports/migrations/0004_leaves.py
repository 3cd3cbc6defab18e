"""Each part of an export says which leaves are in it, so that a download can say what it shows."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds a column with a constant default; exports that were made before say nothing."""

    dependencies: ClassVar = [("exports", "0003_waiting")]
    operations: ClassVar = [
        migrations.AddField("exportpart", "leaves", models.JSONField(default=list)),
    ]
