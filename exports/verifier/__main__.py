"""`python -m exports.verifier`, and what auditlog-verify.pyz runs."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from exports.verifier.files import check_files
from exports.verifier.pins import BadPinError, read_pins
from exports.verifier.report import to_json, visible

_TEXT = """
Check exports of auditlog offline: containers (.asice), or files of one export that lie alone. Believes nothing but what
you pin with --trust:

  SHA-256 of a certificate, or certificates in a file      the CA of the signers; a time stamp authority
  trust.vkeys                                              checkpoint keys of the log
  jwks.json                                                keys that sign entries

exit status: 0 all is right and every key that signed is pinned; 1 something was changed; 2 something cannot be told
"""


def main(arguments: list[str] | None = None) -> int:
    """Check the files that are named and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="auditlog-verify", description=_TEXT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="+", type=Path)
    parser.add_argument("--trust", action="append", default=[], metavar="FILE|FINGERPRINT", help="may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args(arguments)
    try:
        pins = read_pins(options.trust)
        with ExitStack() as stack:
            given = [(stack.enter_context(path.open("rb")), str(path)) for path in options.file]
            reports = check_files(given, pins)
    except (BadPinError, OSError) as error:
        print(f"auditlog-verify: {visible(str(error))}", file=sys.stderr)
        return 2
    print(to_json(reports) if options.json else "\n".join(report.table() for report in reports), end="")
    codes = {report.exit_code for report in reports}
    return 1 if 1 in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
