#!/usr/bin/env python3
"""Django's command line for auditlog: `python manage.py COMMAND`. Set-up on a new server: `setup_database`."""

import os
import sys

from django.core.management import execute_from_command_line

from metaaudit.terminal import recorded_command


def main() -> None:
    """Run the management command that the arguments name, recorded with who runs it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "auditlog_project.settings")
    with recorded_command(sys.argv):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
