"""Who changes something by a command, and why: the same two options everywhere, and neither may be empty."""

import getpass
import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError


def add_accountability(parser: ArgumentParser) -> None:
    """Add --reason and --by."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; recorded for ever")
    parser.add_argument("--by", default=operator(), metavar="WHO", help="who; recorded for ever (%(default)s)")


def accountable(options: dict[str, Any]) -> dict[str, str]:
    """Return who and why as services take them. Raises CommandError if one says nothing."""
    if not options["reason"].strip() or not options["by"].strip():
        raise CommandError("--reason and --by must say something: they are what an auditor reads later")
    return {"by": options["by"], "reason": options["reason"]}


def operator() -> str:
    """Return the name of the operating-system user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"
