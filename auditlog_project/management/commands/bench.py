"""`manage.py bench`: hands over to tests/bench, which measures with settings and a database of its own."""

import argparse
import subprocess
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Measure the figures of docs/performance.md on this machine: [NAME…] [--json] [--quick] [--list]"

    def run_from_argv(self, argv: list[str]) -> None:
        # The words after `bench` are not ours to read: tests/bench/__main__.py knows them, and its --help.
        self.execute(arguments=argv[2:])

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="NAME… --json --quick --list")

    def execute(self, *args: Any, **options: Any) -> str | None:
        if not (settings.BASE_DIR / "tests" / "bench").is_dir():
            raise CommandError("The bench is part of the source tree, not of an installed package.")
        command = [sys.executable, "-m", "tests.bench", *options["arguments"]]
        sys.exit(subprocess.run(command, cwd=settings.BASE_DIR, check=False).returncode)
