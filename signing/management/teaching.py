"""Management commands whose --help teaches: their text keeps its lines and examples."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand


class TeachingCommand(BaseCommand):
    """A command that shows its `help` as it is written."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Return Django's parser, which else would run the lines of the text together."""
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)
