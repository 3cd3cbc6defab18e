"""`./auditlog bench [NAME…] [--json] [--quick] [--list]`: measures on a database of its own, made as for the tests.

Standard output: one JSON array, or a table; progress goes to standard error. Exit 0 if every bound holds, else 1; with
--quick nothing is judged. A process of its own, for django-auditlog belongs to the bench and not to the product.
"""

import sys

import django

from tests import environment

environment.take_over("tests.bench.settings")
django.setup()

from tests.bench.command import main  # noqa: E402 only now: it reads the settings

sys.exit(main())
