"""The locks of policies that have held an entry and have ended: a column for locking, which is in charge of it."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds a column without a value, so that no row is rewritten."""

    dependencies = [
        ("activity", "0010_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="activitylog",
            name="was_held_by",
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), null=True, size=None),
        ),
    ]
